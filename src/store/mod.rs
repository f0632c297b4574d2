//! The database: calls, turns, events and call-backs in one SQLite file.
//!
//! A serving process holds it by [`Store::open`], which also closes the calls that died with an earlier process; tools look
//! into it beside a running server by [`Store::read`]. Running calls write through a [`StoreHandle`], which never waits.

mod callbacks;
mod error;
mod hooks;
mod messages;
pub mod outbound;
mod seats;
mod work_orders;
mod writer;

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
};
use sqlx::{Connection as _, Row as _, SqlSafeStr as _, SqliteConnection};

use crate::call::event::{Disposition, Event, EventKind, HandoffOutcome};
use crate::clock;
use crate::dialogue::Who;
use crate::record::{CallInfo, CallRecord, Pii, fold, name_of};
use crate::services::telephone_number;

pub use callbacks::{Booked, Callback, CallbackState};
pub use error::Error;
pub use hooks::{Hook, HookState, MOST_WAITING, Outbox, now_ms};
pub use messages::Message;
pub use work_orders::{State as WorkOrderState, WorkOrder};
pub use writer::{Lost, StoreHandle};

/// When a caller is called back whose call died with the process.
const SOON: &str = "尽快";
/// How long a statement waits for another process.
const BUSY: Duration = Duration::from_secs(5);
const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "calls", include_str!("../../migrations/sqlite/0001_calls.sql")),
    (2, "people", include_str!("../../migrations/sqlite/0002_people.sql")),
    (3, "hooks", include_str!("../../migrations/sqlite/0003_hooks.sql")),
    (4, "registrations", include_str!("../../migrations/sqlite/0004_registrations.sql")),
    (5, "messages", include_str!("../../migrations/sqlite/0005_messages.sql")),
    (6, "work orders", include_str!("../../migrations/sqlite/0006_work_orders.sql")),
];

/// The database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    pool: sqlx::SqlitePool,
    path: Arc<Path>,
    /// Who is told what happens.
    outbox: Outbox,
    /// Held as long as a clone lives: one serving process for one file.
    _lock: Option<Arc<File>>,
}

/// A line of the list of calls.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CallSummary {
    /// UUID v7.
    pub id: String,
    /// Tenant folder.
    pub tenant: String,
    /// Calling number or address.
    pub from: Pii<String>,
    /// Called number or address.
    pub to: String,
    /// `sip`, `fixture` …
    pub door: String,
    /// RFC 3339.
    pub started: String,
    /// From answer to end; 0 while it runs.
    pub duration_ms: u64,
    /// How it ended; [`None`] while it runs.
    pub disposition: Option<Disposition>,
}

/// Everything that is kept of one call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredCall {
    /// Its record; folded from the events so far while it runs.
    #[serde(flatten)]
    pub record: CallRecord,
    /// Its events in the order in which they came.
    pub events: Vec<Event>,
}

impl Store {
    /// Opens the database for serving: makes it if it is missing, brings its tables up to date, and closes calls that
    /// died with an earlier process. One process at a time; another gets [`Error::InUse`].
    pub async fn open(path: &Path) -> Result<Self, Error> {
        Self::open_with(path, Outbox::default()).await
    }

    /// As [`open`](Self::open), for a server that tells what happens by `outbox`; also of the calls that died with an earlier process.
    pub async fn open_with(path: &Path, outbox: Outbox) -> Result<Self, Error> {
        if let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(|e| Error::folder(path, &e))?;
        }
        let lock = lock(path)?;
        // SQLite keeps the mode of a file that is there: numbers and words of callers are for the owner only.
        OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)
            .map_err(|e| Error::folder(path, &e))?;
        let store = Self { outbox, ..Self::connect(path, Some(lock), false).await? };
        let migrations = MIGRATIONS.iter().map(|(version, name, sql)| {
            Migration::new(*version, (*name).into(), MigrationType::Simple, sql.into_sql_str(), false)
        });
        Migrator::with_migrations(migrations.collect())
            .run(&store.pool)
            .await
            .map_err(|e| Error::migration(path, e))?;
        store.close_dead_calls().await?;
        Ok(store)
    }

    /// Opens an existing database for reading, beside a server if one runs.
    pub async fn read(path: &Path) -> Result<Self, Error> {
        if !path.exists() {
            return Err(Error::Missing { path: path.into() });
        }
        let store = Self::connect(path, None, true).await?;
        let probe = sqlx::query("SELECT count(*) FROM calls").fetch_one(&store.pool).await;
        match probe {
            Ok(_) => Ok(store),
            Err(e) if e.to_string().contains("no such table") => Err(Error::Missing { path: path.into() }),
            Err(e) => Err(store.error(e)),
        }
    }

    /// A handle for running calls, and the task behind it. The task ends when the last handle is dropped, after it has
    /// written what it holds. Must be called in a tokio runtime.
    pub fn writer(&self) -> (StoreHandle, tokio::task::JoinHandle<()>) {
        writer::start(self.clone())
    }

    /// Notes that a call began. Again for the same call changes nothing.
    pub async fn begin_call(&self, info: &CallInfo) -> Result<(), Error> {
        let mut connection = self.acquire().await?;
        begin_call(&mut connection, info).await.map_err(|e| self.error(e))
    }

    /// Adds events of a call that has begun.
    pub async fn append_events(&self, call_id: &str, events: &[Event]) -> Result<(), Error> {
        let mut connection = self.acquire().await?;
        let mut transaction = connection.begin().await.map_err(|e| self.error(e))?;
        for event in events {
            append_event(&mut transaction, &self.outbox, call_id, event).await.map_err(|e| self.error(e))?;
        }
        self.commit(transaction).await
    }

    /// Stores the record of a call that is over, with its turns. Again for the same call replaces them.
    pub async fn finish_call(&self, record: &CallRecord) -> Result<(), Error> {
        let mut connection = self.acquire().await?;
        let mut transaction = connection.begin().await.map_err(|e| self.error(e))?;
        finish_call(&mut transaction, &self.outbox, record).await.map_err(|e| self.error(e))?;
        self.commit(transaction).await
    }

    /// The newest `limit` calls, newest first.
    pub async fn calls(&self, limit: u32) -> Result<Vec<CallSummary>, Error> {
        let rows = sqlx::query(
            "SELECT id, tenant, caller, called, door, started, duration_ms, disposition FROM calls \
             ORDER BY started DESC, id DESC LIMIT ?",
        )
        .bind(limit)
        .fetch_all(&self.pool)
        .await;
        self.all_of(rows, summary)
    }

    /// One call with its events; [`None`] if there is no such call. `id` may be cut short as long as it stays the only one.
    pub async fn call(&self, id: &str) -> Result<Option<StoredCall>, Error> {
        let rows = sqlx::query(
            "SELECT id, tenant, caller, called, door, started, record FROM calls \
             WHERE id = ?1 OR substr(id, 1, length(?1)) = ?1 ORDER BY id = ?1 DESC LIMIT 2",
        )
        .bind(id)
        .fetch_all(&self.pool)
        .await
        .map_err(|e| self.error(e))?;
        let row = match &rows[..] {
            [] => return Ok(None),
            [row] => row,
            [first, ..] if first.get::<&str, _>("id") == id => first,
            _ => return Err(Error::Ambiguous { id: id.into() }),
        };
        let info = info(row).map_err(|e| self.error(e))?;
        let events = self.events(&info.id).await?;
        let record = match row.try_get::<Option<&str>, _>("record").map_err(|e| self.error(e))? {
            Some(text) => serde_json::from_str(text).map_err(|e| self.corrupt(&info.id, &e))?,
            None => fold(&info, &events),
        };
        Ok(Some(StoredCall { record, events }))
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    async fn connect(path: &Path, lock: Option<File>, read_only: bool) -> Result<Self, Error> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .foreign_keys(true)
            .busy_timeout(BUSY)
            .read_only(read_only)
            .synchronous(SqliteSynchronous::Normal);
        // A reader keeps the mode that the file has.
        let options = if read_only { options } else { options.journal_mode(SqliteJournalMode::Wal) };
        let pool = SqlitePoolOptions::new()
            .max_connections(4)
            .acquire_timeout(Duration::from_secs(10))
            .connect_with(options)
            .await
            .map_err(|e| Error::of(path, e))?;
        Ok(Self { pool, path: path.into(), outbox: Outbox::default(), _lock: lock.map(Arc::new) })
    }

    /// Ends calls that an earlier process left running, with what their events tell.
    async fn close_dead_calls(&self) -> Result<(), Error> {
        let rows = sqlx::query(
            "SELECT id, tenant, caller, called, door, started FROM calls WHERE state = 'running'",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(|e| self.error(e))?;
        for row in &rows {
            let info = info(row).map_err(|e| self.error(e))?;
            let events = self.events(&info.id).await?;
            let mut record = fold(&info, &events);
            // A call whose end was still stored is only short of its record.
            if record.disposition.is_none() {
                record.disposition = Some(Disposition::Failed);
                record.faults.push("process: Nightline stopped during this call".into());
            }
            let waiting = is_owed_a_person(&events);
            self.finish_call(&record).await?;
            tracing::warn!(call = %info.id, "closed a call that an earlier process left running");
            if waiting && let Some(number) = telephone_number(&info.from) {
                self.book_callback(&info.id, &number, SOON).await?;
                tracing::warn!(call = %info.id, "its caller waited for a person and will be called back");
            }
        }
        for attempt in self.unfinished_attempts().await? {
            let call = match &attempt.call_id {
                Some(call) => self.call(call).await?,
                None => None,
            };
            let spoken = |call: &StoredCall| call.record.turns.iter().any(|turn| turn.who == Who::Caller);
            let reached = call.as_ref().is_some_and(spoken);
            let again = (!reached).then(|| jiff::Timestamp::try_from(clock::wall()).unwrap_or_default());
            self.end_attempt(attempt.id, reached, "interrupted", again).await?;
            tracing::warn!(
                order = attempt.id,
                reached,
                "a call that we placed ended with an earlier process"
            );
        }
        Ok(())
    }

    async fn events(&self, call_id: &str) -> Result<Vec<Event>, Error> {
        sqlx::query("SELECT body FROM events WHERE call_id = ? ORDER BY seq")
            .bind(call_id)
            .fetch_all(&self.pool)
            .await
            .map_err(|e| self.error(e))?
            .iter()
            .map(|row| {
                let body = row.try_get::<&str, _>("body").map_err(|e| self.error(e))?;
                serde_json::from_str(body).map_err(|e| self.corrupt(call_id, &e))
            })
            .collect()
    }

    async fn acquire(&self) -> Result<sqlx::pool::PoolConnection<sqlx::Sqlite>, Error> {
        self.pool.acquire().await.map_err(|e| self.error(e))
    }

    async fn commit(&self, transaction: sqlx::Transaction<'_, sqlx::Sqlite>) -> Result<(), Error> {
        transaction.commit().await.map_err(|e| self.error(e))?;
        self.outbox.committed();
        Ok(())
    }

    /// What `read` makes of each row.
    fn all_of<T>(
        &self,
        rows: Result<Vec<SqliteRow>, sqlx::Error>,
        read: impl Fn(&SqliteRow) -> Result<T, sqlx::Error>,
    ) -> Result<Vec<T>, Error> {
        rows.and_then(|rows| rows.iter().map(read).collect()).map_err(|e| self.error(e))
    }

    fn error(&self, error: sqlx::Error) -> Error {
        Error::of(&self.path, error)
    }

    fn corrupt(&self, call_id: &str, why: &serde_json::Error) -> Error {
        Error::Corrupt { path: self.path.to_path_buf(), call_id: call_id.into(), why: why.to_string() }
    }
}

/// Whether somebody was promised a person or was talking to one when the events stop, or nobody came and the caller had not said yet
/// what it would rather have.
fn is_owed_a_person(events: &[Event]) -> bool {
    let (mut owed, mut over) = (false, false);
    for event in events {
        match event.kind {
            EventKind::HandoffRequested { .. } => (owed, over) = (true, false),
            EventKind::HandoffEnded { outcome } => {
                use HandoffOutcome::{Accepted, CallerGone, Withdrawn};
                (owed, over) = (!matches!(outcome, Accepted | Withdrawn | CallerGone), true);
            }
            // What the caller says while it waits for a person takes nothing back.
            EventKind::CallerSaid { .. } => owed &= !over,
            EventKind::CallbackBooked { .. } | EventKind::MessageLeft { .. } | EventKind::Ended { .. } => {
                owed = false;
            }
            _ => {}
        }
    }
    owed
}

/// The lock beside the database; the system lets go of it when the process ends, however it ends.
fn lock(path: &Path) -> Result<File, Error> {
    let mut name = path.as_os_str().to_os_string();
    name.push(".lock");
    let name = PathBuf::from(name);
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(&name)
        .map_err(|e| Error::folder(path, &e))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::InUse { path: path.into() }),
        Err(TryLockError::Error(e)) => Err(Error::folder(path, &e)),
    }
}

async fn begin_call(connection: &mut SqliteConnection, info: &CallInfo) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO calls (id, tenant, caller, called, door, started, state) VALUES (?, ?, ?, ?, ?, ?, 'running') \
         ON CONFLICT (id) DO NOTHING",
    )
    .bind(&info.id)
    .bind(&info.tenant)
    .bind(&info.from)
    .bind(&info.to)
    .bind(&info.door)
    .bind(&info.started)
    .execute(connection)
    .await
    .map(drop)
}

async fn append_event(
    connection: &mut SqliteConnection,
    outbox: &Outbox,
    call_id: &str,
    event: &Event,
) -> Result<(), sqlx::Error> {
    let body = serde_json::to_string(event).map_err(|e| sqlx::Error::Encode(e.into()))?;
    let seq: i64 = sqlx::query_scalar(
        "INSERT INTO events (call_id, seq, at_ms, body) \
         SELECT ?1, coalesce(max(seq), 0) + 1, ?2, ?3 FROM events WHERE call_id = ?1 RETURNING seq",
    )
    .bind(call_id)
    .bind(event.at.since_start().as_millis() as i64)
    .bind(body)
    .fetch_one(&mut *connection)
    .await?;
    messages::keep(connection, call_id, event).await?;
    outbox.event(connection, call_id, seq, event).await
}

async fn finish_call(
    connection: &mut SqliteConnection,
    outbox: &Outbox,
    record: &CallRecord,
) -> Result<(), sqlx::Error> {
    let id = &record.info.id;
    begin_call(connection, &record.info).await?;
    let json = serde_json::to_string(record).map_err(|e| sqlx::Error::Encode(e.into()))?;
    sqlx::query(
        "UPDATE calls SET state = 'ended', duration_ms = ?, disposition = ?, record = ? WHERE id = ?",
    )
    .bind(record.duration_ms as i64)
    .bind(record.disposition.as_ref().map(name_of))
    .bind(json)
    .bind(id)
    .execute(&mut *connection)
    .await?;
    sqlx::query("DELETE FROM turns WHERE call_id = ?").bind(id).execute(&mut *connection).await?;
    for (i, turn) in record.turns.iter().enumerate() {
        sqlx::query(
            "INSERT INTO turns (call_id, seq, who, text, began_ms, ended_ms, interrupted, confidence, topic, latency_ms) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(id)
        .bind(i as i64 + 1)
        .bind(name_of(&turn.who))
        .bind(&turn.text)
        .bind(turn.began_ms as i64)
        .bind(turn.ended_ms as i64)
        .bind(turn.interrupted)
        .bind(turn.confidence)
        .bind(&turn.topic)
        .bind(turn.timings.and_then(|t| t.turn_latency).map(|d| d.as_millis() as i64))
        .execute(&mut *connection)
        .await?;
    }
    let now = jiff::Timestamp::try_from(clock::wall()).unwrap_or_default();
    work_orders::keep(connection, record, now).await?;
    outbox.ended(connection, record).await
}

fn named<T: for<'de> Deserialize<'de>>(name: &str) -> Result<T, sqlx::Error> {
    serde_json::from_value(name.into()).map_err(|e| sqlx::Error::Decode(e.into()))
}

fn info(row: &SqliteRow) -> Result<CallInfo, sqlx::Error> {
    Ok(CallInfo {
        id: row.try_get("id")?,
        tenant: row.try_get("tenant")?,
        from: row.try_get("caller")?,
        to: row.try_get("called")?,
        door: row.try_get("door")?,
        started: row.try_get("started")?,
        variables: BTreeMap::new(),
    })
}

fn summary(row: &SqliteRow) -> Result<CallSummary, sqlx::Error> {
    let info = info(row)?;
    Ok(CallSummary {
        id: info.id,
        tenant: info.tenant,
        from: info.from.into(),
        to: info.to,
        door: info.door,
        started: info.started,
        duration_ms: row.try_get::<i64, _>("duration_ms")? as u64,
        disposition: row.try_get::<Option<&str>, _>("disposition")?.map(named).transpose()?,
    })
}

#[cfg(test)]
mod tests;
