//! Takes documents and call records in: what is new or has changed since the last time becomes a draft, and nothing else is touched.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::calls::{self, Asked};
use super::draft::{Document, Words, draft};
use super::read::{self, Kind};
use super::section::sections;
use super::shelf::{self, Shelf};
use crate::dialogue::knowledge::{Entry, Status};
use crate::dialogue::retrieval::Index;
use crate::dialogue::tenant::Tenant;
use crate::digest::sha256;

/// How to take in.
#[derive(Clone, Debug)]
pub struct Options {
    /// Group of topics for new entries.
    pub category: String,
    /// The day that entries are marked with.
    pub today: jiff::civil::Date,
}

/// What came of it.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Drafts that were not there before.
    pub new: Vec<Item>,
    /// Drafts of a higher version, as the source says something else now or callers ask in other words.
    pub changed: Vec<Item>,
    /// What is on the shelf as the source has it.
    pub unchanged: Vec<Item>,
    /// On the shelf from these documents, which do not hold it any more.
    pub gone: Vec<Item>,
    /// Questions of callers that the knowledge answers by now.
    pub answered: usize,
    /// Questions of callers that were left out, as they tell who asked.
    pub private: usize,
    /// Files that could not be read.
    pub failed: Vec<Failure>,
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Item {
    /// Its id.
    pub id: String,
    /// Its version now.
    pub version: u32,
    /// Its title.
    pub title: String,
    /// The document.
    pub document: String,
    /// Where in it.
    pub place: String,
}

/// A file that could not be read.
#[derive(Clone, Debug, Serialize)]
pub struct Failure {
    /// Which.
    pub file: String,
    /// Why, and what to do.
    pub problem: String,
}

/// A file to take in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Where it is.
    pub path: PathBuf,
    /// Its name as a source: the path under the folder that was given.
    pub name: String,
}

/// The files at `paths`: each file, and in folders and below what is of a known kind, in order of name.
pub fn files(paths: &[PathBuf]) -> Result<Vec<File>, read::Error> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            walk(path, path, &mut files)?;
        } else {
            let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            files.push(File { path: path.clone(), name });
        }
    }
    Ok(files)
}

fn walk(root: &Path, folder: &Path, files: &mut Vec<File>) -> Result<(), read::Error> {
    let io = |error| read::Error::Io { path: folder.to_owned(), error };
    let mut inside = std::fs::read_dir(folder).map_err(io)?.collect::<Result<Vec<_>, _>>().map_err(io)?;
    inside.sort_by_key(std::fs::DirEntry::file_name);
    for entry in inside {
        let path = entry.path();
        if entry.file_name().to_string_lossy().starts_with(['.', '~']) {
            continue;
        }
        // A link to a folder is not followed: it may lead back.
        if entry.file_type().map_err(io)?.is_dir() {
            walk(root, &path, files)?;
        } else if Kind::of(&path).is_some() {
            let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().replace('\\', "/");
            files.push(File { path, name });
        }
    }
    Ok(())
}

/// Takes `files` in. A file that cannot be read is reported, and the others go on; only a shelf that cannot be written ends it.
/// `progress` is called after each file.
pub fn ingest(
    shelf: &mut Shelf,
    tenant: &Tenant,
    files: &[File],
    options: &Options,
    progress: &mut dyn FnMut(&File),
) -> Result<Report, shelf::Error> {
    let mut report = Report::default();
    let words = Words::default();
    let mut seen = Seen::of(shelf);
    let mut asked = Vec::new();
    for file in files {
        match take(file, shelf, &words, options, &mut seen, &mut report) {
            Ok(questions) => asked.extend(questions),
            Err(Failed::Document(error)) => {
                report
                    .failed
                    .push(Failure { file: file.path.display().to_string(), problem: error.to_string() });
            }
            Err(Failed::Shelf(error)) => return Err(error),
        }
        progress(file);
    }
    for filed in shelf.newest() {
        let entry = &filed.entry;
        let Some(origin) = &entry.source else { continue };
        if seen.documents.contains(&origin.document)
            && !seen.ids.contains(&entry.id)
            && entry.status != Status::Retired
        {
            report.gone.push(item(entry));
        }
    }
    if !asked.is_empty() {
        let index = Index::new(&tenant.knowledge);
        calls::learn(shelf, tenant, &index, &asked, options, &mut report)?;
    }
    Ok(report)
}

/// What this run has come across.
struct Seen {
    documents: HashSet<String>,
    ids: HashSet<String>,
    /// The entry that holds a text, by its SHA-256: finds it again when the document was moved, and a copy of it.
    texts: HashMap<String, String>,
}

impl Seen {
    fn of(shelf: &Shelf) -> Self {
        let texts = shelf
            .newest()
            .filter_map(|f| Some((f.entry.source.as_ref()?.text_sha256.clone(), f.entry.id.clone())));
        Self { documents: HashSet::new(), ids: HashSet::new(), texts: texts.collect() }
    }
}

enum Failed {
    Document(read::Error),
    Shelf(shelf::Error),
}

impl From<read::Error> for Failed {
    fn from(error: read::Error) -> Self {
        Self::Document(error)
    }
}

impl From<shelf::Error> for Failed {
    fn from(error: shelf::Error) -> Self {
        Self::Shelf(error)
    }
}

/// Takes one file in; gives what was asked if it is the record of a call.
fn take(
    file: &File,
    shelf: &mut Shelf,
    words: &Words,
    options: &Options,
    seen: &mut Seen,
    report: &mut Report,
) -> Result<Vec<Asked>, Failed> {
    let kind = Kind::of(&file.path).ok_or_else(|| read::Error::Kind { path: file.path.clone() })?;
    let bytes = read::bytes(&file.path)?;
    if kind == Kind::Call {
        return Ok(calls::asked(&file.path, &bytes)?);
    }
    let blocks = read::blocks(&file.path, kind, &bytes)?;
    let document = Document {
        name: file.name.clone(),
        sha256: sha256(&bytes),
        taken: options.today,
        category: options.category.clone(),
    };
    let sections = sections(document.stem(), &blocks);
    if sections.is_empty() {
        return Err(read::Error::Empty { path: file.path.clone() }.into());
    }
    for section in &sections {
        place(draft(&document, section, words), shelf, seen, report)?;
    }
    seen.documents.insert(document.name);
    Ok(Vec::new())
}

/// Puts a draft onto the shelf, unless it is there.
fn place(
    mut drafted: Entry,
    shelf: &mut Shelf,
    seen: &mut Seen,
    report: &mut Report,
) -> Result<(), shelf::Error> {
    let Some(text) = drafted.source.as_ref().map(|origin| origin.text_sha256.clone()) else { return Ok(()) };
    if let Some(there) = shelf.find(&drafted.id).or_else(|| shelf.find(seen.texts.get(&text)?)) {
        let there = &there.entry;
        seen.ids.insert(there.id.clone());
        if there.source.as_ref().is_some_and(|origin| origin.text_sha256 == text) {
            report.unchanged.push(item(there));
            return Ok(());
        }
        // What a reviewer has decided stays; an English answer would say what the document said before.
        drafted = Entry {
            answer: drafted.answer,
            source: drafted.source,
            version: there.version + 1,
            status: Status::Draft,
            questions_en: Vec::new(),
            answer_en: None,
            expert: None,
            approved_by: None,
            approved_at: None,
            ..there.clone()
        };
        seen.texts.insert(text, drafted.id.clone());
        report.changed.push(item(&shelf.add(drafted)?.entry));
        return Ok(());
    }
    seen.ids.insert(drafted.id.clone());
    seen.texts.insert(text, drafted.id.clone());
    report.new.push(item(&shelf.add(drafted)?.entry));
    Ok(())
}

pub(super) fn item(entry: &Entry) -> Item {
    let (document, place) =
        entry.source.as_ref().map(|o| (o.document.clone(), o.place.clone())).unwrap_or_default();
    Item { id: entry.id.clone(), version: entry.version, title: entry.title.clone(), document, place }
}

#[cfg(test)]
#[path = "ingest_tests.rs"]
mod tests;
