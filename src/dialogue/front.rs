//! One knowledge entry as a file: TOML front matter between `+++` lines, then the spoken answer.

use serde::Deserialize;

use super::knowledge::{Entry, Error, Origin, Sensitivity, Status};
use super::vehicle::Model;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Front {
    id: String,
    version: u32,
    title: String,
    #[serde(default)]
    title_en: Option<String>,
    category: String,
    status: Status,
    #[serde(default)]
    valid_from: Option<jiff::civil::Date>,
    #[serde(default)]
    valid_until: Option<jiff::civil::Date>,
    #[serde(default)]
    models: Vec<String>,
    #[serde(default)]
    sensitivity: Sensitivity,
    #[serde(default)]
    keywords: Vec<String>,
    questions: Vec<String>,
    #[serde(default)]
    questions_en: Vec<String>,
    #[serde(default)]
    answer_en: Option<String>,
    #[serde(default)]
    expert: Option<String>,
    #[serde(default)]
    flow: Option<String>,
    #[serde(default)]
    source: Option<Origin>,
    #[serde(default)]
    approved_by: Option<String>,
    #[serde(default)]
    approved_at: Option<jiff::civil::Date>,
}

/// Parses `source`, the content of `file`.
pub(super) fn parse(file: &str, source: &str) -> Result<Entry, Error> {
    let malformed = |line: usize, problem: String| Error::Malformed { file: file.to_owned(), line, problem };
    let source = source.strip_prefix('\u{feff}').unwrap_or(source).replace("\r\n", "\n");
    let Some(rest) = source.strip_prefix("+++\n") else {
        return Err(malformed(1, "does not begin with a line `+++`; add it before the front matter".into()));
    };
    let Some((front, body)) =
        rest.split_once("\n+++\n").or_else(|| rest.strip_suffix("\n+++").map(|front| (front, "")))
    else {
        return Err(malformed(
            source.lines().count().max(1),
            "the front matter does not end; add a line `+++` before the answer".into(),
        ));
    };
    let line_of = |offset: usize| 2 + front[..offset.min(front.len())].matches('\n').count();
    let front_lines = front.matches('\n').count() + 1;
    let front: Front = toml::from_str(front).map_err(|e| {
        let at = e.span().map_or(2, |s| line_of(s.start));
        malformed(at, format!("{}; correct this field", e.message()))
    })?;
    let answer: String = body.split('\n').map(str::trim).collect::<Vec<_>>().join("");
    // What callers have asked and nobody has answered yet waits as a draft.
    if answer.is_empty() && front.status != Status::Draft {
        return Err(malformed(
            front_lines + 3,
            "the answer is empty; write it below the second `+++`".into(),
        ));
    }
    if front.questions.is_empty() {
        return Err(malformed(2, "`questions` is empty; add at least one, as callers say it".into()));
    }
    if front.questions_en.is_empty() != front.answer_en.is_none() {
        return Err(malformed(2, "`questions_en` and `answer_en` go together; add the missing one".into()));
    }
    let models = front.models.iter().map(|text| Model::parse(text)).collect::<Result<Vec<_>, _>>();
    let models = models.map_err(|problem| malformed(2, format!("`models`: {problem}")))?;
    Ok(Entry {
        title_en: front.title_en.unwrap_or_else(|| front.id.replace('-', " ")),
        id: front.id,
        version: front.version,
        title: front.title,
        category: front.category,
        status: front.status,
        valid_from: front.valid_from,
        valid_until: front.valid_until,
        models,
        sensitivity: front.sensitivity,
        keywords: front.keywords,
        questions: front.questions,
        questions_en: front.questions_en,
        answer,
        answer_en: front.answer_en,
        expert: front.expert,
        flow: front.flow,
        source: front.source,
        approved_by: front.approved_by,
        approved_at: front.approved_at,
    })
}
