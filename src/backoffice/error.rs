//! Why a back office could not be opened, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

/// Why a back office could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file's folder does not let it be made or written.
    #[error("cannot write the back office's database {}: {why}; make its folder writable for this user, or give another file", path.display())]
    NotWritable {
        /// Where.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The file is something else, or damaged.
    #[error("{} is not a back office's database ({why}): move that file away, or give another", path.display())]
    NotADatabase {
        /// Where.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// It was made by another version.
    #[error("the back office's database {} was made by another version of Nightline ({why}): use that version, or give another file", path.display())]
    OtherVersion {
        /// Where.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// Another process has it open.
    #[error("the back office's database {} is in use by another `nightline backoffice`: stop that one, or give another file", path.display())]
    InUse {
        /// Where.
        path: PathBuf,
    },
    /// Anything else.
    #[error("the back office's database {} failed: {source}", path.display())]
    Other {
        /// Where.
        path: PathBuf,
        /// Why.
        source: sqlx::Error,
    },
}

// https://www.sqlite.org/rescode.html; extended codes hold the primary one in their low byte.
const BUSY: i32 = 5;
const READONLY: i32 = 8;
const CORRUPT: i32 = 11;
const CANTOPEN: i32 = 14;
const NOTADB: i32 = 26;

impl Error {
    pub(super) fn of(path: Option<&Path>, source: sqlx::Error) -> Self {
        let path = path.unwrap_or(Path::new("(in memory)")).to_path_buf();
        let database = source.as_database_error();
        let code =
            database.and_then(sqlx::error::DatabaseError::code).and_then(|code| code.parse::<i32>().ok());
        let why = database.map_or_else(String::new, |e| e.message().to_string());
        match code.map(|code| code & 0xff) {
            Some(BUSY) => Self::InUse { path },
            Some(READONLY | CANTOPEN) => Self::NotWritable { path, why },
            Some(NOTADB | CORRUPT) => Self::NotADatabase { path, why },
            _ => Self::Other { path, source },
        }
    }

    pub(super) fn folder(path: &Path, error: &io::Error) -> Self {
        Self::NotWritable { path: path.into(), why: error.to_string() }
    }

    pub(super) fn migration(path: Option<&Path>, error: sqlx::migrate::MigrateError) -> Self {
        use sqlx::migrate::MigrateError;
        match error {
            MigrateError::Execute(e) | MigrateError::ExecuteMigration(e, _) => Self::of(path, e),
            other => Self::OtherVersion {
                path: path.unwrap_or(Path::new("(in memory)")).into(),
                why: other.to_string(),
            },
        }
    }
}
