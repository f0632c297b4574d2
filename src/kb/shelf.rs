//! The folder where entries are kept: reading, adding, approving, retiring.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use toml_edit::DocumentMut;

use crate::dialogue::knowledge::{self, Entry, Sensitivity, Status};

/// Why the shelf could not be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The disk refused.
    #[error("{}: {error}; check that it exists and may be read and written", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// An entry on the shelf cannot be understood.
    #[error(transparent)]
    Entry(#[from] knowledge::Error),
    /// No entry of that id.
    #[error("there is no entry `{id}`; `nightline kb list` shows all")]
    Unknown {
        /// The id.
        id: String,
    },
    /// It must not be told to callers as it is.
    #[error("`{id}` cannot be approved: {problem}")]
    Unfit {
        /// The id.
        id: String,
        /// What is wrong and what to do.
        problem: String,
    },
}

/// An entry and its file.
#[derive(Clone, Debug)]
pub struct Filed {
    /// Where.
    pub path: PathBuf,
    /// What.
    pub entry: Entry,
}

/// All entries of a folder, by id and version.
#[derive(Debug)]
pub struct Shelf {
    folder: PathBuf,
    entries: Vec<Filed>,
}

impl Shelf {
    /// Reads `folder`; an absent one is empty.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        let io = |error| Error::Io { path: folder.to_owned(), error };
        let mut entries = Vec::new();
        let mut paths = Vec::new();
        if folder.exists() {
            for file in std::fs::read_dir(folder).map_err(io)? {
                let path = file.map_err(io)?.path();
                if path.extension().is_some_and(|e| e == "md") {
                    paths.push(path);
                }
            }
        }
        paths.sort();
        for path in paths {
            let text = read(&path)?;
            let entry = knowledge::parse(&path.display().to_string(), &text)?;
            entries.push(Filed { path, entry });
        }
        let mut shelf = Self { folder: folder.to_owned(), entries };
        shelf.sort();
        Ok(shelf)
    }

    /// All entries, by id and version.
    pub fn entries(&self) -> &[Filed] {
        &self.entries
    }

    /// The highest version of each entry.
    pub fn newest(&self) -> impl Iterator<Item = &Filed> {
        self.entries
            .iter()
            .enumerate()
            .filter(|(i, f)| self.entries.get(i + 1).is_none_or(|next| next.entry.id != f.entry.id))
            .map(|(_, filed)| filed)
    }

    /// The highest version of the entry `id`.
    pub fn find(&self, id: &str) -> Option<&Filed> {
        self.entries.iter().rev().find(|f| f.entry.id == id)
    }

    /// Writes `entry` into a file of its own; no file that is there is changed.
    pub fn add(&mut self, entry: Entry) -> Result<&Filed, Error> {
        let name = match entry.version {
            1 => format!("{}.md", entry.id),
            version => format!("{}.v{version}.md", entry.id),
        };
        let path = self.folder.join(name);
        let io = |error| Error::Io { path: path.clone(), error };
        std::fs::create_dir_all(&self.folder).map_err(io)?;
        let mut file = tempfile(&path).map_err(io)?;
        file.1.write_all(render(&entry).as_bytes()).and_then(|()| file.1.sync_all()).map_err(io)?;
        // Unlike a rename this fails if the name is taken.
        let linked = std::fs::hard_link(&file.0, &path);
        let _ = std::fs::remove_file(&file.0);
        linked.map_err(io)?;
        let (id, version) = (entry.id.clone(), entry.version);
        self.entries.push(Filed { path, entry });
        self.sort();
        let at = self.entries.iter().position(|f| f.entry.id == id && f.entry.version == version);
        at.map(|at| &self.entries[at]).ok_or(Error::Unknown { id })
    }

    /// Approves the highest version of `id`, if `problem` finds nothing in it; earlier versions are retired first, so that two are
    /// never in use at one time.
    pub fn approve(
        &mut self,
        id: &str,
        by: &str,
        today: jiff::civil::Date,
        problem: impl FnOnce(&Entry) -> Option<String>,
    ) -> Result<&Filed, Error> {
        let filed = self.find(id).ok_or_else(|| Error::Unknown { id: id.into() })?;
        if let Some(problem) = problem(&filed.entry) {
            return Err(Error::Unfit { id: id.into(), problem });
        }
        let newest = filed.entry.version;
        for at in 0..self.entries.len() {
            let entry = &self.entries[at].entry;
            if entry.id == id && entry.version != newest && entry.status != Status::Retired {
                self.mark(at, Status::Retired, None)?;
            }
        }
        let at = self.entries.iter().position(|f| f.entry.id == id && f.entry.version == newest);
        let at = at.ok_or_else(|| Error::Unknown { id: id.into() })?;
        self.mark(at, Status::Approved, Some((by, today)))?;
        Ok(&self.entries[at])
    }

    /// Takes all versions of `id` out of use.
    pub fn retire(&mut self, id: &str) -> Result<(), Error> {
        if self.find(id).is_none() {
            return Err(Error::Unknown { id: id.into() });
        }
        for at in 0..self.entries.len() {
            if self.entries[at].entry.id == id && self.entries[at].entry.status != Status::Retired {
                self.mark(at, Status::Retired, None)?;
            }
        }
        Ok(())
    }

    /// Changes the status in the file and nothing else in it.
    fn mark(
        &mut self,
        at: usize,
        status: Status,
        by: Option<(&str, jiff::civil::Date)>,
    ) -> Result<(), Error> {
        let path = self.entries[at].path.clone();
        let text = read(&path)?.replace("\r\n", "\n");
        let wrong = |problem: String| knowledge::Error::Malformed {
            file: path.display().to_string(),
            line: 1,
            problem,
        };
        let rest = text.trim_start_matches('\u{feff}').strip_prefix("+++\n");
        let (front, body) = rest
            .and_then(|rest| rest.split_once("\n+++"))
            .ok_or_else(|| wrong("the front matter does not begin or end with `+++`; restore it".into()))?;
        let mut front: DocumentMut = format!("{front}\n").parse().map_err(|e| wrong(format!("{e}")))?;
        front["status"] = toml_edit::value(name(status));
        if let Some((by, day)) = by {
            front["approved_by"] = toml_edit::value(by);
            front["approved_at"] = toml_edit::value(day.to_string());
        }
        let text = format!("+++\n{front}+++{body}");
        let entry = knowledge::parse(&path.display().to_string(), &text)?;
        let io = |error| Error::Io { path: path.clone(), error };
        let (temporary, mut file) = tempfile(&path).map_err(io)?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(io)?;
        std::fs::rename(&temporary, &path).map_err(io)?;
        self.entries[at].entry = entry;
        Ok(())
    }

    fn sort(&mut self) {
        self.entries.sort_by(|a, b| (&a.entry.id, a.entry.version).cmp(&(&b.entry.id, b.entry.version)));
    }
}

fn read(path: &Path) -> Result<String, Error> {
    std::fs::read_to_string(path).map_err(|error| Error::Io { path: path.to_owned(), error })
}

fn tempfile(path: &Path) -> std::io::Result<(PathBuf, std::fs::File)> {
    let temporary = path.with_extension(format!("{}.part", std::process::id()));
    let file = std::fs::File::create(&temporary)?;
    Ok((temporary, file))
}

/// The name of a status in a file.
pub fn name(status: Status) -> &'static str {
    match status {
        Status::Draft => "draft",
        Status::Approved => "approved",
        Status::Retired => "retired",
    }
}

/// The name of a sensitivity in a file.
pub fn care(sensitivity: Sensitivity) -> &'static str {
    match sensitivity {
        Sensitivity::Normal => "normal",
        Sensitivity::Safety => "safety",
        Sensitivity::Dispute => "dispute",
    }
}

/// `entry` as the file that reads back as it.
pub fn render(entry: &Entry) -> String {
    let mut out = String::from("+++\n");
    let mut line = |key: &str, value: String| out.extend([key, " = ", &value, "\n"]);
    line("id", quoted(&entry.id));
    line("version", entry.version.to_string());
    line("title", quoted(&entry.title));
    line("title_en", quoted(&entry.title_en));
    line("category", quoted(&entry.category));
    line("status", quoted(name(entry.status)));
    let dates = [("valid_from", entry.valid_from), ("valid_until", entry.valid_until)];
    for (key, date) in dates.into_iter().filter_map(|(key, date)| Some((key, date?))) {
        line(key, quoted(&date.to_string()));
    }
    line("models", list(entry.models.iter().map(ToString::to_string)));
    line("sensitivity", quoted(care(entry.sensitivity)));
    line("keywords", list(entry.keywords.iter().cloned()));
    line("questions", lines(&entry.questions));
    if let Some(answer) = &entry.answer_en {
        line("questions_en", lines(&entry.questions_en));
        line("answer_en", quoted(answer));
    }
    for (key, text) in [("expert", &entry.expert), ("flow", &entry.flow), ("approved_by", &entry.approved_by)]
    {
        if let Some(text) = text {
            line(key, quoted(text));
        }
    }
    if let Some(date) = entry.approved_at {
        line("approved_at", quoted(&date.to_string()));
    }
    if let Some(origin) = &entry.source {
        out.push_str("\n[source]\n");
        let mut line = |key: &str, text: &str| out.extend([key, " = ", &quoted(text), "\n"]);
        line("document", &origin.document);
        line("place", &origin.place);
        line("sha256", &origin.sha256);
        line("text_sha256", &origin.text_sha256);
        line("taken", &origin.taken.to_string());
        if let Some(rest) = &origin.rest {
            line("rest", rest);
        }
    }
    out.push_str("+++\n");
    out.push_str(&entry.answer);
    out.push('\n');
    out
}

/// A basic string of TOML on one line. A JSON string is one, but for DEL, which TOML wants escaped.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.map(|item| quoted(&item)).collect::<Vec<_>>().join(", "))
}

fn lines(items: &[String]) -> String {
    format!(
        "[\n{}]",
        items.iter().map(|item| format!("    {},\n", quoted(item))).collect::<Vec<_>>().concat()
    )
}
