//! What can be wrong with the database, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

/// Why the database did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is none yet.
    #[error("there is no database at {}: it is made by `nightline serve`; check `store.path`", path.display())]
    Missing {
        /// Where.
        path: PathBuf,
    },
    /// Its folder does not let it be made or written.
    #[error("cannot write the database {}: {why}; make its folder writable for this user, or set `store.path` elsewhere", path.display())]
    NotWritable {
        /// Where.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The disk is full.
    #[error("no space left for the database {}: free some space on that disk; calls go on, but are not stored", path.display())]
    DiskFull {
        /// Where.
        path: PathBuf,
    },
    /// The file is something else, or damaged.
    #[error("{} is not a Nightline database ({why}): move that file away, or set `store.path` elsewhere", path.display())]
    NotADatabase {
        /// Where.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// It was made by a newer version.
    #[error("the database {} was made by another version of Nightline ({why}): use that version, or set `store.path` elsewhere", path.display())]
    OtherVersion {
        /// Where.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// Another process serves with it.
    #[error("the database {} is in use by another `nightline serve`: stop that one, or set `store.path` elsewhere", path.display())]
    InUse {
        /// Where.
        path: PathBuf,
    },
    /// Another process held it for too long.
    #[error("the database {} was locked by another program for 5 s: close what has it open", path.display())]
    Busy {
        /// Where.
        path: PathBuf,
    },
    /// What is stored of a call cannot be understood.
    #[error("what the database {} holds of the call {call_id} cannot be read ({why}): it was written by another version or changed by hand", path.display())]
    Corrupt {
        /// Where.
        path: PathBuf,
        /// Which call.
        call_id: String,
        /// Why.
        why: String,
    },
    /// The beginning of an id fits several calls.
    #[error("several calls begin with {id}: write more of the id")]
    Ambiguous {
        /// The beginning.
        id: String,
    },
    /// The writing task has ended or its queue is full.
    #[error("the database writer is busy or has ended: see the log")]
    NoWriter,
    /// The writing task could not store it.
    #[error("it was not stored: {0}")]
    NotStored(String),
    /// Anything else.
    #[error("the database {} failed: {source}", path.display())]
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
const FULL: i32 = 13;
const CANTOPEN: i32 = 14;
const NOTADB: i32 = 26;

impl Error {
    pub(super) fn of(path: &Path, source: sqlx::Error) -> Self {
        let path = path.to_path_buf();
        let code = source
            .as_database_error()
            .and_then(sqlx::error::DatabaseError::code)
            .and_then(|code| code.parse::<i32>().ok())
            .map(|code| code & 0xff);
        let why = || source.as_database_error().map_or_else(String::new, |e| e.message().to_string());
        match code {
            Some(BUSY) => Self::Busy { path },
            Some(FULL) => Self::DiskFull { path },
            Some(READONLY | CANTOPEN) => Self::NotWritable { path, why: why() },
            Some(NOTADB | CORRUPT) => Self::NotADatabase { path, why: why() },
            _ => Self::Other { path, source },
        }
    }

    pub(super) fn folder(path: &Path, error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::StorageFull {
            return Self::DiskFull { path: path.into() };
        }
        Self::NotWritable { path: path.into(), why: error.to_string() }
    }

    pub(super) fn migration(path: &Path, error: sqlx::migrate::MigrateError) -> Self {
        use sqlx::migrate::MigrateError;
        match error {
            MigrateError::Execute(e) | MigrateError::ExecuteMigration(e, _) => Self::of(path, e),
            other => Self::OtherVersion { path: path.into(), why: other.to_string() },
        }
    }
}
