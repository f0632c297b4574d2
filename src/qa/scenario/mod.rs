//! Scenarios: conversations as YAML, with what must come of every turn and what must stand in the back office at the end.
//!
//! Each runs against a back office of its own, in memory and with the reference data, on the clock that the scenario names.

mod read;
mod text;

use std::time::Duration;

pub use read::{Scenario, Turn, load};
pub use text::converse;

/// What came of a scenario.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Verdict {
    /// Name of the file without its ending.
    pub name: String,
    /// What it is about.
    pub title: String,
    /// Rows of the mission.
    pub shows: Vec<String>,
    /// What is not as it should be; empty if all is.
    pub failures: Vec<String>,
    /// The conversation.
    pub turns: Vec<Spoken>,
}

/// A turn of the customer and the bot's answer.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Spoken {
    /// What the customer said.
    pub said: String,
    /// What the bot answered.
    pub answer: String,
    /// What the answer came to.
    pub act: String,
    /// Topic.
    pub topic: String,
    /// Confidence in 0..=1.
    pub confidence: f32,
    /// What it rests on.
    pub sources: Vec<String>,
    /// What was made and not spoken, each with the reason.
    pub withheld: Vec<String>,
    /// Tools that were used.
    pub tools: Vec<String>,
    /// From the words to the first clause.
    #[serde(rename = "first_clause_us", serialize_with = "micros")]
    pub first_clause: Option<Duration>,
}

impl Verdict {
    /// True if all is as it should be.
    pub fn passed(&self) -> bool {
        self.failures.is_empty()
    }
}

fn micros<S: serde::Serializer>(time: &Option<Duration>, s: S) -> Result<S::Ok, S::Error> {
    serde::Serialize::serialize(&time.map(|time| time.as_micros() as u64), s)
}
