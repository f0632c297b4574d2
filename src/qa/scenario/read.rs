//! A scenario as it is written.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use crate::dialogue::text::Lang;

/// A conversation and what must come of it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// The file's name without its ending.
    #[serde(skip)]
    pub name: String,
    /// What it is about.
    pub title: String,
    /// Rows of the mission.
    pub shows: Vec<String>,
    /// The customer's number, if it is known.
    #[serde(default)]
    pub caller: Option<String>,
    /// The tenant's local time at the beginning.
    #[serde(default = "late_evening")]
    pub now: jiff::civil::DateTime,
    /// What is said, in order.
    pub turns: Vec<Turn>,
    /// What must stand in the back office at the end.
    #[serde(default)]
    pub state: Vec<State>,
}

impl Scenario {
    /// True if the customer begins in English.
    pub fn is_english(&self) -> bool {
        self.turns.first().is_some_and(|turn| Lang::of(&turn.say) == Some(Lang::En))
    }
}

/// What the customer says, and what must come of it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Turn {
    /// The words.
    pub say: String,
    /// The words when it is asked again, by voice; the same if none.
    #[serde(default)]
    pub again: Option<String>,
    /// How sure the recogniser is, in 0..=1.
    #[serde(default = "sure")]
    pub confidence: f32,
    /// All of these stand in the answer.
    #[serde(default)]
    pub contains: Vec<String>,
    /// At least one of these does.
    #[serde(default)]
    pub contains_any: Vec<String>,
    /// None of these does.
    #[serde(default)]
    pub absent: Vec<String>,
    /// What it comes to.
    #[serde(default)]
    pub act: Option<String>,
    /// Why it is given to a person.
    #[serde(default)]
    pub handoff: Option<String>,
    /// Tools that are used, in order.
    #[serde(default)]
    pub tool_called: Option<Vec<String>>,
    /// What the answer rests on: a knowledge entry, `flow:ID` or `tool:NAME`.
    #[serde(default)]
    pub source: Option<String>,
    /// Confidence from here on.
    #[serde(default)]
    pub confidence_over: Option<f32>,
    /// Confidence up to here.
    #[serde(default)]
    pub confidence_under: Option<f32>,
    /// Longest time to the first clause.
    #[serde(default)]
    pub within_ms: Option<u64>,
}

/// What the back office answers at the end.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// Path and query.
    pub get: String,
    /// JSON pointer to the list or the object that is looked at.
    pub at: String,
    /// How many there are, if it is a list.
    #[serde(default)]
    pub count: Option<usize>,
    /// What one of them holds: these fields have these values, or texts that contain them.
    #[serde(default)]
    pub has: Value,
}

fn late_evening() -> jiff::civil::DateTime {
    jiff::civil::date(2026, 11, 23).at(22, 0, 0, 0)
}

fn sure() -> f32 {
    1.0
}

/// Why scenarios cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("cannot read {path}: {error}; check that it exists and may be read")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A file is not a scenario.
    #[error("{path}: {error}; correct it")]
    Malformed {
        /// Which.
        path: PathBuf,
        /// Where and why.
        error: serde_yaml_ng::Error,
    },
    /// There is none.
    #[error("{0} holds no scenario (*.yaml); name a folder that does, or a file")]
    Empty(PathBuf),
}

/// The scenarios of a file, or of a folder in order of their names.
pub fn load(path: &Path) -> Result<Vec<Scenario>, Error> {
    let io = |error| Error::Io { path: path.to_owned(), error };
    let mut files = Vec::new();
    if path.is_dir() {
        for entry in std::fs::read_dir(path).map_err(io)? {
            files.push(entry.map_err(io)?.path());
        }
        files.retain(|file| file.extension().is_some_and(|ending| ending == "yaml"));
        files.sort();
    } else {
        files.push(path.to_owned());
    }
    if files.is_empty() {
        return Err(Error::Empty(path.to_owned()));
    }
    files.iter().map(|file| read(file)).collect()
}

fn read(path: &Path) -> Result<Scenario, Error> {
    let text = std::fs::read_to_string(path).map_err(|error| Error::Io { path: path.to_owned(), error })?;
    let scenario: Scenario =
        serde_yaml_ng::from_str(&text).map_err(|error| Error::Malformed { path: path.to_owned(), error })?;
    let name = path.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(Scenario { name, ..scenario })
}
