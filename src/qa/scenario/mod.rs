//! Scenarios: conversations as YAML, with what must come of every turn and what must stand in the back office at the end.
//!
//! Each runs against a back office of its own, in memory and with the reference data, on the clock that the scenario names.

mod office;
mod read;
mod text;
mod voice;

use std::time::Duration;

pub use office::Error;
pub use read::{Scenario, Turn, load};
pub use text::converse;
pub use voice::{Callers, telephone};

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
#[derive(Clone, Debug, Default, serde::Serialize)]
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
    fn new(scenario: &Scenario, turns: Vec<Spoken>, failures: Vec<String>) -> Self {
        let (name, title) = (scenario.name.clone(), scenario.title.clone());
        Self { name, title, shows: scenario.shows.clone(), failures, turns }
    }

    /// True if all is as it should be.
    pub fn passed(&self) -> bool {
        self.failures.is_empty()
    }
}

#[expect(clippy::ref_option, reason = "as serde calls it")]
fn micros<S: serde::Serializer>(time: &Option<Duration>, s: S) -> Result<S::Ok, S::Error> {
    serde::Serialize::serialize(&time.map(|time| time.as_micros() as u64), s)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use super::*;
    use crate::dialogue::tenant::Tenant;

    fn scenarios() -> Vec<Scenario> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/scenarios");
        load(&folder).expect("the scenarios are well formed")
    }

    #[tokio::test]
    async fn every_scenario_comes_out_right_by_text_with_the_light_tier() {
        let tenant = Tenant::load("nev", None).expect("the reference tenant loads");
        let mut wrong = Vec::new();
        for scenario in scenarios() {
            let verdict = converse(&scenario, tenant.clone(), None).await.expect("it runs");
            wrong.extend(verdict.failures.iter().map(|failure| format!("{}: {failure}", verdict.name)));
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn each_row_of_the_dialogue_is_shown_at_least_twice() {
        let mut rows: BTreeMap<String, usize> = BTreeMap::new();
        let scenarios = scenarios();
        assert!(scenarios.len() >= 40, "only {} scenarios", scenarios.len());
        for row in scenarios.iter().flat_map(|scenario| &scenario.shows) {
            *rows.entry(row.clone()).or_default() += 1;
        }
        for row in (1..=14).map(|n| format!("D{n}")).chain(["H1".to_owned()]) {
            assert!(
                rows.get(&row).is_some_and(|shown| *shown >= 2),
                "{row} is shown {:?} times",
                rows.get(&row)
            );
        }
    }

    #[tokio::test]
    async fn a_scenario_that_does_not_hold_is_found_out() {
        let tenant = Tenant::load("nev", None).expect("the reference tenant loads");
        let mut scenario =
            scenarios().into_iter().find(|s| s.name == "book-step-by-step").expect("it is there");
        scenario.turns[4].tool_called = Some(vec!["cancel_booking".into()]);
        scenario.turns[4].absent = vec!["约好了".into()];
        scenario.turns[4].act = Some("handoff".into());
        scenario.state[0].count = Some(2);
        let verdict = converse(&scenario, tenant, None).await.expect("it runs");
        for says in ["tools is book", "`约好了` stands", "act is answer", "not 2 in"] {
            assert!(verdict.failures.iter().any(|f| f.contains(says)), "{says}: {:?}", verdict.failures);
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_booking_made_by_voice_is_in_the_books() {
        let config = crate::config::Config::default();
        let pools = crate::services::Pools::open(&config).expect("the pools open");
        let tenant = Tenant::load("nev", None).expect("the reference tenant loads");
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/scenarios/voices");
        let callers = Callers::open(&folder).expect("the callers have voices");
        let scenario = scenarios().into_iter().find(|s| s.name == "book-all-at-once").expect("it is there");
        let verdict = telephone(&scenario, 0, tenant, &pools, &callers).await.expect("it runs");
        assert!(verdict.passed(), "{verdict:#?}");
    }

    #[test]
    fn a_file_that_is_no_scenario_is_named_with_line_and_reason() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("wrong.yaml");
        std::fs::write(&file, "title: x\nshows: [D1]\nturns:\n  - sa: hello\n").expect("it is written");
        let error = load(&file).expect_err("it is wrong").to_string();
        assert!(error.contains("wrong.yaml") && error.contains("sa"), "{error}");
        assert!(load(&folder.path().join("none.yaml")).is_err());
        std::fs::remove_file(&file).expect("it is removed");
        assert!(matches!(load(folder.path()), Err(read::Error::Empty(_))));
    }
}
