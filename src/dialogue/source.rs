//! Where a tenant's files come from: a folder, or the copy inside the binary.

use std::borrow::Cow;
use std::path::PathBuf;

use rust_embed::RustEmbed;

#[derive(RustEmbed)]
#[folder = "tenants/"]
#[exclude = "*/eval/*"]
struct Embedded;

/// Line, from 1, at which `text` is not well formed.
pub(crate) fn line_of(text: &str, error: &toml::de::Error) -> usize {
    error.span().map_or(1, |span| 1 + text[..span.start.min(text.len())].matches('\n').count())
}

/// Why a tenant's file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file or folder cannot be read.
    #[error("cannot read {path}: {error}; check that it exists and may be read")]
    Io {
        /// Which.
        path: String,
        /// Why.
        error: std::io::Error,
    },
    /// The file is not there or not text.
    #[error("{path} is missing or not UTF-8 text; add it or save it as UTF-8")]
    Missing {
        /// Which.
        path: String,
    },
}

/// A tenant's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The one of this name inside the binary.
    Embedded(String),
    /// A folder on disk, which replaces the embedded one as a whole.
    Folder(PathBuf),
}

impl Source {
    /// Names of the tenants inside the binary.
    pub fn embedded_names() -> Vec<String> {
        let mut names: Vec<String> =
            Embedded::iter().filter_map(|f| f.strip_suffix("/tenant.toml").map(str::to_owned)).collect();
        names.sort();
        names
    }

    /// The text of `file`, a path relative to the tenant.
    pub fn read(&self, file: &str) -> Result<String, Error> {
        let missing = || Error::Missing { path: self.show(file) };
        match self {
            Self::Embedded(name) => {
                let file = Embedded::get(&format!("{name}/{file}")).ok_or_else(missing)?;
                let bytes: Cow<'static, [u8]> = file.data;
                String::from_utf8(bytes.into_owned()).map_err(|_| missing())
            }
            Self::Folder(root) => match std::fs::read(root.join(file)) {
                Ok(bytes) => String::from_utf8(bytes).map_err(|_| missing()),
                Err(error) => Err(Error::Io { path: self.show(file), error }),
            },
        }
    }

    /// Files with extension `ext` directly under `folder` (the tenant's own if it is empty), sorted; none if there is no such folder.
    pub fn list(&self, folder: &str, ext: &str) -> Result<Vec<String>, Error> {
        let suffix = format!(".{ext}");
        let mut files: Vec<String> = match self {
            Self::Embedded(name) => {
                let prefix = if folder.is_empty() { format!("{name}/") } else { format!("{name}/{folder}/") };
                Embedded::iter()
                    .filter_map(|f| f.strip_prefix(&prefix).map(str::to_owned))
                    .filter(|f| !f.contains('/'))
                    .collect()
            }
            Self::Folder(root) => {
                let io = |error| Error::Io { path: self.show(folder), error };
                let path = root.join(folder);
                if !path.exists() {
                    return Ok(Vec::new());
                }
                let mut names = Vec::new();
                for entry in std::fs::read_dir(path).map_err(io)? {
                    names.push(entry.map_err(io)?.file_name().to_string_lossy().into_owned());
                }
                names
            }
        };
        files.retain(|f| f.ends_with(&suffix));
        files.sort();
        let place = |file: String| if folder.is_empty() { file } else { format!("{folder}/{file}") };
        Ok(files.into_iter().map(place).collect())
    }

    /// `file` as a person finds it.
    pub fn show(&self, file: &str) -> String {
        match self {
            Self::Embedded(name) => format!("(embedded) tenants/{name}/{file}"),
            Self::Folder(root) => root.join(file).display().to_string(),
        }
    }
}
