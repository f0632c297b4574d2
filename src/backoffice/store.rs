//! The database file: opened, locked, brought up to date.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Row as _, SqlSafeStr as _, SqliteConnection, SqlitePool};

use super::error::Error;

/// How long a statement waits for another.
const BUSY: Duration = Duration::from_secs(5);
const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "backoffice", include_str!("../../migrations/backoffice/0001_backoffice.sql")),
    (2, "topics", include_str!("../../migrations/backoffice/0002_topics.sql")),
];

/// Opens the file at `path`, or a database in memory, with its tables up to date; and the lock of the file.
pub(super) async fn open(path: Option<&Path>) -> Result<(SqlitePool, Option<File>), Error> {
    let lock = match path {
        Some(path) => {
            if let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty()) {
                std::fs::create_dir_all(folder).map_err(|e| Error::folder(path, &e))?;
            }
            let lock = lock(path)?;
            // SQLite keeps the mode of a file that is there: it holds numbers and plates, for the owner only.
            private(path)?;
            Some(lock)
        }
        None => None,
    };
    let options = match path {
        Some(path) => SqliteConnectOptions::new()
            .filename(path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full),
        None => SqliteConnectOptions::new().in_memory(true),
    };
    // A database in memory lives as long as its one connection.
    let pool = SqlitePoolOptions::new()
        .max_connections(if path.is_some() { 4 } else { 1 })
        .min_connections(1)
        .idle_timeout(None)
        .max_lifetime(None)
        .acquire_timeout(Duration::from_secs(10))
        .connect_with(options.foreign_keys(true).busy_timeout(BUSY))
        .await
        .map_err(|e| Error::of(path, e))?;
    let migrations = MIGRATIONS.iter().map(|(version, name, sql)| {
        Migration::new(*version, (*name).into(), MigrationType::Simple, sql.into_sql_str(), false)
    });
    Migrator::with_migrations(migrations.collect())
        .run(&pool)
        .await
        .map_err(|e| Error::migration(path, e))?;
    Ok((pool, lock))
}

/// A number of six digits, easy to say, that no row of `table` has.
pub(super) async fn new_id(db: &mut SqliteConnection, table: Numbered) -> Result<String, sqlx::Error> {
    let taken = match table {
        Numbered::Bookings => "SELECT count(*) FROM bookings WHERE id = ?",
        Numbered::Rescues => "SELECT count(*) FROM rescues WHERE id = ?",
        Numbered::Tickets => "SELECT count(*) FROM tickets WHERE id = ?",
    };
    loop {
        let id = rand::random_range(100_000..=999_999_u32).to_string();
        let count: i64 = sqlx::query(taken).bind(&id).fetch_one(&mut *db).await?.try_get(0)?;
        if count == 0 {
            return Ok(id);
        }
    }
}

/// Tables whose rows have spoken numbers.
#[derive(Clone, Copy)]
pub(super) enum Numbered {
    Bookings,
    Rescues,
    Tickets,
}

fn private(path: &Path) -> Result<File, Error> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path).map_err(|e| Error::folder(path, &e))
}

/// The lock beside the file; the system lets go of it when the process ends, however it ends.
fn lock(path: &Path) -> Result<File, Error> {
    let mut name = path.as_os_str().to_os_string();
    name.push(".lock");
    let file = private(Path::new(&name))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::InUse { path: path.into() }),
        Err(TryLockError::Error(e)) => Err(Error::folder(path, &e)),
    }
}
