//! A flow as it is written, and what is wrong with it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;

use super::words::Words;
use super::{Action, Choice, Expression, Flow, Flows, Kind, Slot, Step, Text};
use crate::dialogue::Reason;
use crate::dialogue::source::{self, Source};
use crate::tools::Specs;

/// Why the flows cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file is not well formed.
    #[error("{file}:{line}: {problem}; correct it")]
    Malformed {
        /// The file.
        file: String,
        /// Line from 1.
        line: usize,
        /// What is wrong.
        problem: String,
    },
    /// A flow is wrong.
    #[error("{file}: {place}: {problem}")]
    Wrong {
        /// The file.
        file: String,
        /// Which part of it.
        place: String,
        /// What is wrong and what to do.
        problem: String,
    },
    /// The folder cannot be read.
    #[error(transparent)]
    Source(#[from] source::Error),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    id: String,
    title: String,
    title_en: String,
    topic: String,
    #[serde(default)]
    keep: Vec<String>,
    given_up: String,
    given_up_en: String,
    #[serde(default)]
    slots: BTreeMap<String, RawSlot>,
    #[serde(default, rename = "step")]
    steps: Vec<RawStep>,
}

/// Steps that several flows include.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    id: String,
    /// Tells it from a flow; always true.
    #[serde(rename = "part")]
    _part: bool,
    #[serde(default)]
    keep: Vec<String>,
    #[serde(default)]
    slots: BTreeMap<String, RawSlot>,
    #[serde(default, rename = "step")]
    steps: Vec<RawStep>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSlot {
    kind: String,
    from: Option<String>,
    label: Option<String>,
    label_en: Option<String>,
    first: Option<usize>,
    #[serde(default)]
    options: Vec<Choice>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawStep {
    when: Option<String>,
    ask: Option<String>,
    confirm: Option<String>,
    confirm_en: Option<String>,
    call: Option<String>,
    with: BTreeMap<String, String>,
    save: Option<String>,
    optional: bool,
    set: Option<BTreeMap<String, String>>,
    forget: Option<Vec<String>>,
    start: Option<String>,
    include: Option<String>,
    handoff: Option<Reason>,
    end: bool,
    say: Option<String>,
    say_en: Option<String>,
    again: Option<String>,
    again_en: Option<String>,
}

impl Flows {
    /// Reads `flows/*.toml` of a tenant. Every expression and text must be well formed, every tool be known to `tools`, and
    /// every slot that is asked for be there.
    pub fn load(source: &Source, tools: &Specs) -> Result<Self, Error> {
        let words = Words::new();
        let mut flows: Vec<Flow> = Vec::new();
        let mut files = Vec::new();
        let mut texts = Vec::new();
        let mut parts = Vec::new();
        for path in source.list("flows", "toml")? {
            let (file, text) = (source.show(&path), source.read(&path)?);
            if is_part(&text) {
                parts.push(read::<Part>(&file, &text)?);
            } else {
                texts.push((file, text));
            }
        }
        for (file, text) in texts {
            let raw: File = read(&file, &text)?;
            let wrong =
                |(place, problem): (String, String)| Error::Wrong { file: file.clone(), place, problem };
            if flows.iter().any(|flow| flow.id == raw.id) {
                return Err(wrong(("id".into(), format!("`{}` is taken; choose another", raw.id))));
            }
            let raw = raw.whole(&parts).map_err(wrong)?;
            flows.push(flow(raw, tools, &words).map_err(wrong)?);
            files.push(file);
        }
        for (flow, file) in flows.iter().zip(&files) {
            for step in &flow.steps {
                let Action::Start { flow: next, .. } = &step.action else { continue };
                if !flows.iter().any(|other| other.id == *next) {
                    let problem = format!("there is no flow `{next}`; name one that there is");
                    return Err(Error::Wrong { file: file.clone(), place: "start".into(), problem });
                }
            }
        }
        flows.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(Self { flows, words })
    }
}

fn read<T: serde::de::DeserializeOwned>(file: &str, text: &str) -> Result<T, Error> {
    toml::from_str(text).map_err(|error| Error::Malformed {
        file: file.to_owned(),
        line: source::line_of(text, &error),
        problem: error.message().to_owned(),
    })
}

fn is_part(text: &str) -> bool {
    let marked = text.parse::<toml::Table>().ok().and_then(|table| table.get("part")?.as_bool());
    marked == Some(true)
}

impl File {
    /// With the steps and slots of the parts that it includes. A slot of its own goes before one of a part.
    fn whole(mut self, parts: &[Part]) -> Result<Self, Problem> {
        let mut steps = Vec::new();
        for (number, step) in self.steps.into_iter().enumerate() {
            let Some(id) = &step.include else {
                steps.push(step);
                continue;
            };
            let Some(part) = parts.iter().find(|part| part.id == *id) else {
                let problem = format!("there is no part `{id}`; add a file in flows/ with `part = true`");
                return Err((format!("step {}", number + 1), problem));
            };
            if !step.with.is_empty() {
                steps.push(RawStep {
                    when: step.when.clone(),
                    set: Some(step.with.clone()),
                    ..RawStep::default()
                });
            }
            steps.extend(part.steps.iter().cloned().map(|mut inner| {
                inner.when = match (&step.when, inner.when) {
                    (Some(outer), Some(inner)) => Some(format!("({outer}) and ({inner})")),
                    (outer, inner) => inner.or_else(|| outer.clone()),
                };
                inner
            }));
            for (name, slot) in &part.slots {
                self.slots.entry(name.clone()).or_insert_with(|| slot.clone());
            }
            self.keep.extend(part.keep.iter().cloned());
        }
        Ok(Self { steps, ..self })
    }
}

/// What is wrong, and where.
type Problem = (String, String);

fn flow(raw: File, tools: &Specs, words: &Words) -> Result<Flow, Problem> {
    let mut slots = BTreeMap::new();
    for (name, slot) in raw.slots {
        let place = format!("slots.{name}");
        slots.insert(name, Slot { kind: kind(slot, words).map_err(|problem| (place, problem))? });
    }
    let mut steps = Vec::new();
    for (number, step) in raw.steps.into_iter().enumerate() {
        let place = format!("step {}", number + 1);
        steps.push(self::step(step, &slots, tools, words).map_err(|problem| (place, problem))?);
    }
    if !steps
        .iter()
        .any(|step| matches!(step.action, Action::End(_) | Action::Start { .. } | Action::Handoff { .. }))
    {
        return Err(("steps".into(), "none of them ends it; add `end = true`".into()));
    }
    let given_up = text(Some(raw.given_up), Some(raw.given_up_en), "given_up", words)
        .map_err(|p| ("given_up".into(), p))?;
    Ok(Flow {
        id: raw.id,
        title: raw.title,
        title_en: raw.title_en,
        topic: raw.topic,
        slots,
        steps,
        keep: raw.keep,
        given_up,
    })
}

fn kind(raw: RawSlot, words: &Words) -> Result<Kind, String> {
    let from = |from: Option<String>| {
        let from = from.ok_or("`from` is missing: the expression that gives the list")?;
        expression(from, words)
    };
    Ok(match raw.kind.as_str() {
        "phone" => Kind::Phone,
        "plate" => Kind::Plate,
        "date" => Kind::Date,
        "amount" => Kind::Amount,
        "yes_no" => Kind::YesNo,
        "proof" => Kind::Proof,
        "words" => Kind::Words { first: raw.first },
        "time" => Kind::Time { from: from(raw.from)? },
        "pick" => {
            let label = raw.label.ok_or("`label` is missing: the field by which each is called")?;
            Kind::Pick { from: from(raw.from)?, label: (label.clone(), raw.label_en.unwrap_or(label)) }
        }
        "choice" if raw.options.is_empty() => return Err("`options` is empty; add some".into()),
        "choice" => Kind::Choice(raw.options),
        other => {
            return Err(format!(
                "there is no kind `{other}`; there are phone, plate, date, time, pick, choice, amount, yes_no, proof, words"
            ));
        }
    })
}

fn step(raw: RawStep, slots: &BTreeMap<String, Slot>, tools: &Specs, words: &Words) -> Result<Step, String> {
    let when = raw.when.map(|when| expression(when, words)).transpose()?;
    let kinds = [
        raw.ask.is_some(),
        raw.confirm.is_some(),
        raw.call.is_some(),
        raw.set.is_some(),
        raw.forget.is_some(),
        raw.start.is_some(),
        raw.include.is_some(),
        raw.handoff.is_some(),
        raw.end,
    ];
    match kinds.iter().filter(|is| **is).count() {
        0 | 1 => {}
        _ => return Err("it does more than one thing; make each a step of its own".into()),
    }
    let say = |what: &str| text(raw.say.clone(), raw.say_en.clone(), what, words);
    let with = |with: BTreeMap<String, String>| -> Result<BTreeMap<String, Expression>, String> {
        with.into_iter().map(|(name, value)| Ok((name, expression(value, words)?))).collect()
    };
    let action = if let Some(slot) = raw.ask {
        if !slots.contains_key(&slot) {
            return Err(format!("there is no slot `{slot}`; add [slots.{slot}]"));
        }
        let question = say("say")?;
        let again = if raw.again.is_none() && raw.again_en.is_none() {
            question.clone()
        } else {
            text(raw.again, raw.again_en, "again", words)?
        };
        Action::Ask { slot, say: question, again }
    } else if raw.confirm.is_some() {
        Action::Confirm { say: text(raw.confirm, raw.confirm_en, "confirm", words)? }
    } else if let Some(tool) = raw.call {
        let spec =
            tools.find(&tool).ok_or_else(|| format!("there is no tool `{tool}` in tools.toml; add it"))?;
        for name in raw.with.keys() {
            if spec.parameters.pointer(&format!("/properties/{name}")).is_none() {
                return Err(format!("`{tool}` has no parameter `{name}`; see tools.toml"));
            }
        }
        Action::Call {
            save: raw.save.unwrap_or_else(|| tool.clone()),
            tool,
            with: with(raw.with)?,
            optional: raw.optional,
        }
    } else if let Some(set) = raw.set {
        Action::Set(with(set)?)
    } else if let Some(forget) = raw.forget {
        if let Some(unknown) = forget.iter().find(|slot| !slots.contains_key(*slot)) {
            return Err(format!("there is no slot `{unknown}` to forget; add [slots.{unknown}]"));
        }
        Action::Forget { slots: forget, say: say("say")? }
    } else if let Some(flow) = raw.start {
        Action::Start { flow, with: with(raw.with)? }
    } else if let Some(reason) = raw.handoff {
        let say = if raw.say.is_some() { say("say")? } else { Text::default() };
        Action::Handoff { reason, say }
    } else if let Some(part) = raw.include {
        return Err(format!("`{part}` is included in a part; include it in the flows themselves"));
    } else if raw.end {
        Action::End(say("say")?)
    } else {
        Action::Say(say("say")?)
    };
    Ok(Step { when, action })
}

fn expression(source: String, words: &Words) -> Result<Expression, String> {
    words
        .check_expression(&source)
        .map_err(|error| format!("`{source}` is no expression: {error}; correct it"))?;
    Ok(Arc::from(source))
}

fn text(zh: Option<String>, en: Option<String>, what: &str, words: &Words) -> Result<Text, String> {
    let zh = zh.ok_or_else(|| format!("`{what}` is missing; add it"))?;
    let en = en.ok_or_else(|| format!("`{what}_en` is missing; add it"))?;
    for text in [&zh, &en] {
        words.check_text(text).map_err(|error| format!("`{text}` is no text: {error}; correct it"))?;
    }
    Ok(Text { zh, en })
}
