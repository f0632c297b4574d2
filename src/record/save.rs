//! Where the files of a call are, and the JSON record beside the recording.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::CallRecord;

/// Why a record is not on disk.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// The id would lead out of the folder.
    #[error("\"{0}\" cannot name a file: a call's id is letters, digits and `-`")]
    Id(String),
    /// The disk refused.
    #[error("cannot write the record {}: {source}; check that `record.folder` can be written and has space", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The recording of the call `id` in `folder`.
pub fn wav_path(folder: &Path, id: &str) -> Result<PathBuf, SaveError> {
    path(folder, id, "wav")
}

/// The JSON record of the call `id` in `folder`.
pub fn json_path(folder: &Path, id: &str) -> Result<PathBuf, SaveError> {
    path(folder, id, "json")
}

/// Writes `record` into `folder` as JSON and gives its path. The file is there whole or not at all. Blocks.
pub fn save(folder: &Path, record: &CallRecord) -> Result<PathBuf, SaveError> {
    let path = json_path(folder, &record.info.id)?;
    let temporary = path.with_extension("json.part");
    let write = || {
        fs::create_dir_all(folder)?;
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        let mut bytes = serde_json::to_vec_pretty(record)?;
        bytes.push(b'\n');
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, &path)?;
        // The new name is safe once its folder is.
        File::open(folder)?.sync_all()
    };
    write().map_err(|source| {
        let _ = fs::remove_file(&temporary);
        SaveError::Write { path: path.clone(), source }
    })?;
    Ok(path)
}

fn path(folder: &Path, id: &str, extension: &str) -> Result<PathBuf, SaveError> {
    if id.is_empty() || !id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
        return Err(SaveError::Id(id.into()));
    }
    Ok(folder.join(format!("{id}.{extension}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{CallInfo, fold};

    fn record(id: &str) -> CallRecord {
        fold(&CallInfo { id: id.into(), from: "138".into(), ..CallInfo::default() }, &[])
    }

    #[test]
    fn a_saved_record_reads_back_and_leaves_no_part() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("records");
        let path = save(&inner, &record("0191-a")).unwrap();
        let read: CallRecord = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        assert_eq!(read, record("0191-a"));
        assert_eq!(fs::read_dir(&inner).unwrap().count(), 1, "only the record is there");
    }

    #[test]
    fn an_id_cannot_lead_out_of_the_folder() {
        for id in ["", "../x", "a/b", "a\0", "."] {
            assert!(matches!(wav_path(Path::new("x"), id), Err(SaveError::Id(_))), "{id:?}");
        }
    }

    #[test]
    fn a_folder_that_cannot_be_written_says_what_to_do() {
        let error = save(Path::new("/dev/null/x"), &record("a")).unwrap_err().to_string();
        assert!(error.contains("`record.folder`"), "{error}");
    }
}
