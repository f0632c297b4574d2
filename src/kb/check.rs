//! Everything that is wrong with the knowledge, at once.

use std::collections::HashMap;

use jiff::ToSpan as _;
use serde::Serialize;

use super::most;
use crate::dialogue::flow::Flows;
use crate::dialogue::knowledge::{self, Entry, Knowledge, Status};
use crate::dialogue::retrieval::Index;
use crate::dialogue::tenant::Config;
use crate::dialogue::vehicle::{Vehicle, is_named};

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The file.
    pub file: String,
    /// The entry, if the file could be read.
    pub id: Option<String>,
    /// What is wrong and what to do.
    pub problem: String,
}

/// An entry that will not be told any more in so many days is a problem today.
pub const SOON: i64 = 30;

/// Looks at every file; `flows` is [`None`] if the flows themselves are broken, which is then told elsewhere.
pub fn check(
    files: Vec<(String, Result<Entry, knowledge::Error>)>,
    config: &Config,
    flows: Option<&Flows>,
    today: jiff::civil::Date,
) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut entries = Vec::new();
    for (file, entry) in files {
        match entry {
            Ok(entry) => entries.push((file, entry)),
            Err(error) => problems.push(Problem { file, id: None, problem: error.to_string() }),
        }
    }
    let mut versions: HashMap<(&str, u32), &str> = HashMap::new();
    let mut in_use: HashMap<&str, &str> = HashMap::new();
    for (file, entry) in &entries {
        let mut wrong = |problem: String| {
            problems.push(Problem { file: file.clone(), id: Some(entry.id.clone()), problem });
        };
        if let Some(other) = versions.insert((&entry.id, entry.version), file) {
            wrong(format!("has the id and version of {other}; give one of them another id or version"));
        }
        if entry.status != Status::Approved {
            continue;
        }
        unfit(entry, config, flows).into_iter().for_each(&mut wrong);
        dates(entry, today).into_iter().for_each(&mut wrong);
        if entry.usable(today)
            && let Some(other) = in_use.insert(&entry.id, file)
        {
            wrong(format!("is in use as well as another version, {other}; retire one of them"));
        }
    }
    let (files, used): (Vec<String>, Vec<Entry>) =
        entries.into_iter().filter(|(_, entry)| entry.usable(today)).unzip();
    let files: HashMap<String, String> = used.iter().map(|e| e.id.clone()).zip(files).collect();
    problems.extend(competing(&Knowledge::of(used), &files));
    problems
}

/// Why `entry` must not be told to callers as it is.
pub fn unfit(entry: &Entry, config: &Config, flows: Option<&Flows>) -> Vec<String> {
    let mut problems = Vec::new();
    if entry.answer.is_empty() {
        problems.push("has no answer; write it below the second `+++`".to_owned());
    }
    let answers = [Some(&entry.answer), entry.answer_en.as_ref(), entry.expert.as_ref()];
    for (answer, name) in answers.into_iter().zip(["answer", "answer_en", "expert"]) {
        let Some(answer) = answer else { continue };
        let (length, most) = (answer.chars().count(), most(answer));
        if length > most {
            problems
                .push(format!("`{name}` has {length} characters, too long to listen to; cut it to {most}"));
        }
    }
    if let Some(word) = entry.forbidden(&config.style.forbidden) {
        problems.push(format!("says `{word}`, which style.forbidden in tenant.toml rules out; reword it"));
    }
    for model in &entry.models {
        let known = config.models.is_empty()
            || config.models.iter().any(|m| is_named(m, model.name()) || is_named(model.name(), m));
        if !known {
            let known = config.models.join("、");
            problems.push(format!(
                "`models` names `{}`, which is none of {known} (models in tenant.toml)",
                model.name()
            ));
        }
    }
    if let (Some(flow), Some(flows)) = (&entry.flow, flows)
        && flows.find(flow).is_none()
    {
        problems.push(format!("begins the flow `{flow}`, which is not there; name one of flows/*.toml"));
    }
    problems
}

fn dates(entry: &Entry, today: jiff::civil::Date) -> Vec<String> {
    let mut problems = Vec::new();
    if let (Some(from), Some(until)) = (entry.valid_from, entry.valid_until)
        && from > until
    {
        problems.push(format!("is valid from {from} until {until}; put the dates in order"));
    }
    match entry.valid_until {
        Some(until) if until < today => {
            problems.push(format!("has not been told since {until}; renew `valid_until` or retire it"));
        }
        Some(until) if until <= today.saturating_add(SOON.days()) => {
            problems.push(format!(
                "will not be told after {until}; renew `valid_until` or prepare what follows it"
            ));
        }
        _ => {}
    }
    problems
}

/// Questions that lead to another entry than their own.
fn competing(knowledge: &Knowledge, files: &HashMap<String, String>) -> Vec<Problem> {
    let index = Index::new(knowledge);
    let mut problems = Vec::new();
    for (number, entry) in knowledge.entries().iter().enumerate() {
        // As a caller asks who has the vehicle that it holds for.
        let vehicle = entry.models.first().and_then(|model| Vehicle::parse(&model.for_one()));
        for question in entry.questions.iter().chain(&entry.questions_en) {
            let found = index.search_for(question, vehicle.as_ref());
            let Some(first) = found.hits.first().filter(|hit| hit.entry != number) else { continue };
            let other = &knowledge.entries()[first.entry];
            let own = found.hits.iter().find(|hit| hit.entry == number).map_or(0.0, |hit| hit.score);
            problems.push(Problem {
                file: files.get(&entry.id).cloned().unwrap_or_default(),
                id: Some(entry.id.clone()),
                problem: format!(
                    "the question 「{question}」 finds `{}` first ({:.2} against {own:.2}); move it there, or make the two differ",
                    other.id, first.score
                ),
            });
        }
    }
    problems
}
