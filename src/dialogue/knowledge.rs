//! The approved knowledge of a tenant: what the bot may say.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::source::Source;
use super::text::Lang;
use super::vehicle::{self, Fit, Model, Vehicle};

/// One approved fact with the ways callers ask for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Unique id; reports and records name it.
    pub id: String,
    /// Raised at every change.
    pub version: u32,
    /// Short name of the topic, as it can be spoken in a question.
    pub title: String,
    /// The same in English.
    pub title_en: String,
    /// Group of topics.
    pub category: String,
    /// Only approved entries are used.
    pub status: Status,
    /// First day of use.
    pub valid_from: Option<jiff::civil::Date>,
    /// Last day of use.
    pub valid_until: Option<jiff::civil::Date>,
    /// Vehicle models that it holds for; empty for all.
    pub models: Vec<Model>,
    /// How careful to be.
    pub sensitivity: Sensitivity,
    /// Words that point to it.
    pub keywords: Vec<String>,
    /// How callers ask, in Chinese.
    pub questions: Vec<String>,
    /// How callers ask, in English.
    pub questions_en: Vec<String>,
    /// The spoken answer in Chinese.
    pub answer: String,
    /// The spoken answer in English, if there is one.
    pub answer_en: Option<String>,
    /// What a caller is told in Chinese who talks like a mechanic: shorter, in technical words.
    pub expert: Option<String>,
    /// The flow that does what the caller asks for; the answer is said where its tools cannot be had.
    pub flow: Option<String>,
    /// Where it was taken from; [`None`] if a person wrote it here.
    pub source: Option<Origin>,
    /// Who approved it.
    pub approved_by: Option<String>,
    /// When it was approved.
    pub approved_at: Option<jiff::civil::Date>,
}

/// Where an entry was taken from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// The document: its path under what was read in, or `calls`.
    pub document: String,
    /// Where in it: page, headings; a call's id.
    pub place: String,
    /// SHA-256 of the document, hexadecimal.
    pub sha256: String,
    /// SHA-256 of this place's text, hexadecimal: tells whether it has changed.
    pub text_sha256: String,
    /// When it was read in.
    pub taken: jiff::civil::Date,
    /// What the document says there beyond the answer; for the reviewer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rest: Option<String>,
}

/// Where an entry stands in review.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Being written.
    Draft,
    /// Checked by a person.
    Approved,
    /// No longer used.
    Retired,
}

/// How careful to be with a topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sensitivity {
    /// Answered by the machine.
    #[default]
    Normal,
    /// Danger: advice at once, then a person.
    Safety,
    /// Money or blame: needs more confidence.
    Dispute,
}

/// Why the knowledge could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be understood.
    #[error("{file}:{line}: {problem}")]
    Malformed {
        /// Path of the file.
        file: String,
        /// Line from 1.
        line: usize,
        /// What is wrong and what to do.
        problem: String,
    },
    /// Two entries share an id.
    #[error(
        "{file}: the id `{id}` is already used by {other}; give one of them another id, or raise its version and retire the older one"
    )]
    Twice {
        /// The second file.
        file: String,
        /// The first file.
        other: String,
        /// The id.
        id: String,
    },
    /// An answer breaks the house style.
    #[error("{file}: the answer says `{word}`, which style.forbidden in tenant.toml rules out; reword it")]
    Style {
        /// The file.
        file: String,
        /// The forbidden word.
        word: String,
    },
    /// Nothing to say.
    #[error("{place} holds no approved and valid entry (*.md); add one, or check `status` and the dates")]
    Empty {
        /// The folder.
        place: String,
    },
    /// The folder cannot be read.
    #[error(transparent)]
    Source(#[from] super::source::Error),
}

/// A file by its name for people, and the entry in it.
pub type Read = (String, Result<Entry, Error>);

/// Every file of a tenant's knowledge, and what it holds.
pub fn read(source: &Source) -> Result<Vec<Read>, super::source::Error> {
    let parse = |file: &String| {
        let shown = source.show(file);
        source.read(file).map_err(Error::from).and_then(|text| super::front::parse(&shown, &text))
    };
    Ok(source.list("knowledge", "md")?.iter().map(|file| (source.show(file), parse(file))).collect())
}

/// The entry that `text`, the content of `file`, holds.
pub fn parse(file: &str, text: &str) -> Result<Entry, Error> {
    super::front::parse(file, text)
}

/// All usable entries, in order of their ids.
#[derive(Clone, Debug)]
pub struct Knowledge {
    entries: Vec<Entry>,
    by_id: HashMap<String, usize>,
}

impl Knowledge {
    /// Reads `knowledge/*.md` of a tenant and keeps what is approved and valid on `today`. Every file must parse, also those
    /// that are not used. An id may be in several files if their versions differ and at most one of them is in use. No
    /// approved answer may hold a word of `forbidden`.
    pub fn load(source: &Source, today: jiff::civil::Date, forbidden: &[String]) -> Result<Self, Error> {
        let mut files: HashMap<(String, Option<u32>), String> = HashMap::new();
        let mut entries = Vec::new();
        for (file, entry) in read(source)? {
            let entry = entry?;
            let in_use = entry.usable(today);
            // Once by its version, and once more for being the one in use.
            for version in [Some(entry.version)].into_iter().chain(in_use.then_some(None)) {
                if let Some(other) = files.insert((entry.id.clone(), version), file.clone()) {
                    return Err(Error::Twice { file, other, id: entry.id });
                }
            }
            if entry.status == Status::Approved
                && let Some(word) = entry.forbidden(forbidden)
            {
                return Err(Error::Style { file, word: word.to_owned() });
            }
            if in_use {
                entries.push(entry);
            }
        }
        if entries.is_empty() {
            return Err(Error::Empty { place: source.show("knowledge") });
        }
        Ok(Self::of(entries))
    }

    /// These entries, whatever their status: for those who review them.
    pub fn of(mut entries: Vec<Entry>) -> Self {
        entries.sort_by(|a, b| a.id.cmp(&b.id));
        let by_id = entries.iter().enumerate().map(|(i, e)| (e.id.clone(), i)).collect();
        Self { entries, by_id }
    }

    /// The entries, in order of their ids.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entry of that id.
    pub fn entry(&self, id: &str) -> Option<&Entry> {
        self.by_id.get(id).map(|i| &self.entries[*i])
    }
}

impl Entry {
    /// The answer in that language; English callers get the Chinese one only if there is no other.
    pub fn answer(&self, lang: Lang) -> &str {
        match (lang, &self.answer_en) {
            (Lang::En, Some(answer)) => answer,
            _ => &self.answer,
        }
    }

    /// The answer for this caller: in the language, and in the wording for those who know cars if there is one.
    pub fn answer_for(&self, lang: Lang, expert: bool) -> &str {
        match &self.expert {
            Some(answer) if expert && lang == Lang::Zh => answer,
            _ => self.answer(lang),
        }
    }

    /// Everything that it may say, in any language and wording.
    pub fn wordings(&self) -> impl Iterator<Item = &str> {
        [Some(&self.answer), self.answer_en.as_ref(), self.expert.as_ref()]
            .into_iter()
            .flatten()
            .map(String::as_str)
    }

    /// The topic's name in that language.
    pub fn title(&self, lang: Lang) -> &str {
        match lang {
            Lang::Zh => &self.title,
            Lang::En => &self.title_en,
        }
    }

    /// Whether it holds for `vehicle`.
    pub fn fit(&self, vehicle: Option<&Vehicle>) -> Fit {
        vehicle::fit(&self.models, vehicle)
    }

    /// The first of `words` that the answer says.
    pub fn forbidden<'a>(&self, words: &'a [String]) -> Option<&'a str> {
        let says = |w: &str| self.wordings().any(|answer| answer.contains(w));
        words.iter().map(String::as_str).find(|w| says(w))
    }

    /// True if callers are told it on `today`.
    pub fn usable(&self, today: jiff::civil::Date) -> bool {
        self.status == Status::Approved
            && self.valid_from.is_none_or(|d| d <= today)
            && self.valid_until.is_none_or(|d| today <= d)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: jiff::civil::Date = jiff::civil::date(2026, 1, 1);

    fn load(files: &[(&str, &str)]) -> Result<Knowledge, Error> {
        let dir = tempfile::tempdir().expect("a temporary folder");
        std::fs::create_dir(dir.path().join("knowledge")).expect("its knowledge folder");
        for (name, text) in files {
            std::fs::write(dir.path().join("knowledge").join(name), text).expect("a file in it");
        }
        Knowledge::load(&Source::Folder(dir.path().to_owned()), DAY, &["百分之百".into()])
    }

    fn entry(id: &str, extra: &str, answer: &str) -> String {
        let status = if extra.contains("status") { "" } else { "status = \"approved\"\n" };
        format!(
            "+++\nid = \"{id}\"\nversion = 1\ntitle = \"题\"\ncategory = \"c\"\nquestions = [\"问\"]\n{status}{extra}\n+++\n{answer}\n"
        )
    }

    #[test]
    fn only_approved_and_valid_entries_are_used() {
        let knowledge = load(&[
            ("a.md", &entry("a", "", "好。")),
            ("b.md", &entry("b", "status = \"draft\"", "好。")),
            ("c.md", &entry("c", "valid_until = \"2025-12-31\"", "好。")),
            ("d.md", &entry("d", "valid_from = \"2026-01-02\"", "好。")),
        ])
        .expect("all files are well formed");
        let ids: Vec<_> = knowledge.entries().iter().map(|e| e.id.as_str()).collect();
        assert_eq!(ids, ["a"]);
    }

    #[test]
    fn a_wrong_field_is_named_with_file_and_line() {
        let error = load(&[("a.md", &entry("a", "statuss = 3\nstatus = \"approved\"", "好。"))]).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("a.md:7:") && text.contains("statuss"), "{text}");
        let error = load(&[("a.md", "id = 3")]).unwrap_err().to_string();
        assert!(error.contains("a.md:1:") && error.contains("+++"), "{error}");
    }

    #[test]
    fn doubles_forbidden_words_and_empty_folders_are_refused() {
        let twice =
            load(&[("a.md", &entry("a", "", "好。")), ("b.md", &entry("a", "", "好。"))]).unwrap_err();
        assert!(matches!(twice, Error::Twice { .. }), "{twice}");
        let versions = load(&[
            ("a.md", &entry("a", "", "好。")),
            ("a2.md", &entry("a", "status = \"draft\"", "很好。").replace("version = 1", "version = 2")),
        ])
        .expect("a draft may stand beside the entry that it will replace");
        assert_eq!(versions.entry("a").map(|e| e.answer.as_str()), Some("好。"));
        let both = load(&[
            ("a.md", &entry("a", "", "好。")),
            ("a2.md", &entry("a", "", "很好。").replace("version = 1", "version = 2")),
        ])
        .unwrap_err();
        assert!(matches!(both, Error::Twice { .. }), "{both}");
        let style = load(&[("a.md", &entry("a", "", "百分之百好。"))]).unwrap_err();
        assert!(matches!(style, Error::Style { .. }), "{style}");
        let empty = load(&[]).unwrap_err();
        assert!(matches!(empty, Error::Empty { .. }), "{empty}");
    }
}
