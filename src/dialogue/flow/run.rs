//! Walks a flow: where it stands with what is known.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Action, Expression, Flow, Flows, Kind, Text, fill};
use crate::dialogue::Reason;
use crate::dialogue::memory::{Asked, Progress};
use crate::dialogue::text::Lang;
use crate::tools::{Outcome, Use, Used};

/// A flow that forgets and begins again this often in one walk is wrong.
const MOST_AGAIN: u8 = 8;

/// What a flow may look at beside its own slots.
#[derive(Clone, Copy, Debug)]
pub struct Scene<'a> {
    /// All flows.
    pub flows: &'a Flows,
    /// What other flows have learned.
    pub facts: &'a Map<String, Value>,
    /// Uses of tools so far.
    pub used: &'a [Used],
    /// The caller's number.
    pub caller: Option<&'a str>,
    /// The tenant's local time.
    pub now: jiff::civil::DateTime,
    /// The caller's language.
    pub lang: Lang,
}

/// Where a walk ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Stand {
    /// It needs a slot, or a yes.
    Asks {
        /// The question.
        question: String,
    },
    /// It needs a tool.
    Uses(Use),
    /// It goes on as another.
    Starts {
        /// Id of that flow.
        flow: String,
        /// What it knows already.
        slots: Map<String, Value>,
    },
    /// It gives the call to a person, having said this.
    HandsOff(Reason, String),
    /// It is done, with these words.
    Ends(String),
    /// It cannot go on: a tool failed, or a text cannot be made. For the log.
    Broken(String),
}

/// A walk from the first step to where it stands.
#[derive(Clone, Debug)]
pub struct Walk {
    /// What was told on the way, for the first time.
    pub told: Vec<String>,
    /// Where it stands.
    pub stand: Stand,
    /// Everything that is known there, by name.
    pub known: Value,
}

impl Scene<'_> {
    /// Walks `flow`. What is told and asked is noted in `progress`.
    pub fn walk(&self, flow: &Flow, progress: &mut Progress) -> Walk {
        let mut told = Vec::new();
        for _ in 0..MOST_AGAIN {
            let mut known = self.known(progress);
            match self.pass(flow, progress, &mut known, &mut told) {
                Ok(Some(stand)) => return Walk { told, stand, known },
                // Something was forgotten: from the beginning.
                Ok(None) => {}
                Err(problem) => {
                    return Walk { told, stand: Stand::Broken(format!("{}: {problem}", flow.id)), known };
                }
            }
        }
        let stand = Stand::Broken(format!("{}: it forgets and begins again without end", flow.id));
        Walk { told, stand, known: Value::Null }
    }

    /// Everything that has a name before the first step.
    fn known(&self, progress: &Progress) -> Value {
        let mut known = self.facts.clone();
        known.extend(progress.slots.clone());
        known.insert("lang".into(), json!(if self.lang == Lang::En { "en" } else { "zh" }));
        known.insert("today".into(), json!(self.now.date().to_string()));
        known.insert("now".into(), json!(self.now.strftime("%Y-%m-%dT%H:%M").to_string()));
        // How often the caller's answer for a slot was of no use.
        known.insert("failed".into(), json!(progress.failed));
        known.insert("caller".into(), self.caller.map_or(Value::Null, |caller| json!(caller)));
        Value::Object(known)
    }

    fn pass(
        &self,
        flow: &Flow,
        progress: &mut Progress,
        known: &mut Value,
        told: &mut Vec<String>,
    ) -> Result<Option<Stand>, String> {
        progress.asked = None;
        for step in &flow.steps {
            if let Some(when) = &step.when
                && !self.holds(when, known)?
            {
                continue;
            }
            match &step.action {
                Action::Ask { slot, say, again } => {
                    let kind = &flow.slots[slot].kind;
                    if self.has(kind, slot, progress, known)? {
                        continue;
                    }
                    let text = if progress.misses > 0 { again } else { say };
                    let question = self.text(text, known)?;
                    progress.asked = Some(Asked::Slot(slot.clone()));
                    return Ok(Some(Stand::Asks { question }));
                }
                Action::Confirm { say } => {
                    let question = self.text(say, known)?;
                    if progress.agreed.as_ref() != Some(&question) {
                        progress.asked = Some(Asked::Yes(question.clone()));
                        return Ok(Some(Stand::Asks { question }));
                    }
                }
                Action::Call { tool, with, save, optional } => {
                    let what = self.usage(tool, with, progress, known)?;
                    // The last one counts: a failure may have been tried again.
                    let outcome =
                        self.used.iter().rev().find(|used| used.what == what).map(|used| &used.outcome);
                    let value = match outcome {
                        None => return Ok(Some(Stand::Uses(what))),
                        Some(Outcome::Done(answer)) => answer.clone(),
                        Some(Outcome::Refused { code, answer }) => {
                            let mut answer = answer.as_object().cloned().unwrap_or_default();
                            answer.insert("error".into(), json!(code));
                            Value::Object(answer)
                        }
                        Some(Outcome::Failed(_) | Outcome::Invalid(_)) if *optional => {
                            json!({"error": "failed"})
                        }
                        Some(Outcome::Failed(why) | Outcome::Invalid(why)) => {
                            return Err(format!("{tool}: {why}"));
                        }
                    };
                    known[save] = value;
                }
                Action::Set(values) => {
                    for (name, value) in values {
                        let value = self.value(value, known)?;
                        known[name] = value;
                    }
                }
                Action::Say(say) => {
                    let text = self.text(say, known)?;
                    if !progress.told.contains(&text) {
                        progress.told.push(text.clone());
                        told.push(text);
                    }
                }
                Action::Forget { slots, say } => {
                    let text = self.text(say, known)?;
                    if !text.is_empty() {
                        told.push(text);
                    }
                    for slot in slots {
                        progress.slots.remove(slot);
                        progress.fail(slot);
                    }
                    progress.wish = None;
                    return Ok(None);
                }
                Action::Start { flow, with } => {
                    let slots = self.values(with, known)?;
                    return Ok(Some(Stand::Starts { flow: flow.clone(), slots }));
                }
                Action::Handoff { reason, say } => {
                    return Ok(Some(Stand::HandsOff(*reason, self.text(say, known)?)));
                }
                Action::End(say) => return Ok(Some(Stand::Ends(self.text(say, known)?))),
            }
        }
        Err("its last step does not end it; add `end = true` without `when`".into())
    }

    /// Whether a slot has a value that still holds: one of the list, if it is from a list.
    fn has(
        &self,
        kind: &Kind,
        slot: &str,
        progress: &mut Progress,
        known: &mut Value,
    ) -> Result<bool, String> {
        if let Kind::Time { from } | Kind::Pick { from, .. } = kind {
            let list = self.value(from, known)?;
            let list = list.as_array().map(Vec::as_slice).unwrap_or_default();
            if let Some(value) = progress.slots.get(slot).filter(|value| !list.contains(value)).cloned() {
                // Another day, the same time of day: what is read out names both.
                let same = list
                    .iter()
                    .find(|other| time_of_day(other).is_some_and(|at| Some(at) == time_of_day(&value)));
                match same {
                    Some(time) => progress.slots.insert(slot.to_owned(), time.clone()),
                    None => progress.slots.remove(slot),
                };
                known[slot] = same.cloned().unwrap_or_default();
            }
            if !progress.slots.contains_key(slot)
                && let Kind::Time { .. } = kind
                && let Some(time) =
                    progress.wish.take().and_then(|wish| fill::time(&wish, list, self.now.date()))
            {
                progress.slots.insert(slot.to_owned(), time.clone());
                known[slot] = time;
            }
        }
        Ok(progress.slots.contains_key(slot))
    }

    fn usage(
        &self,
        tool: &str,
        with: &BTreeMap<String, Expression>,
        progress: &Progress,
        known: &Value,
    ) -> Result<Use, String> {
        let mut arguments = self.values(with, known)?;
        arguments.retain(|_, value| !value.is_null());
        Ok(Use { tool: tool.to_owned(), arguments, occasion: progress.occasion })
    }

    fn values(
        &self,
        with: &BTreeMap<String, Expression>,
        known: &Value,
    ) -> Result<Map<String, Value>, String> {
        with.iter().map(|(name, value)| Ok((name.clone(), self.value(value, known)?))).collect()
    }

    /// The value of an expression with what is known.
    pub(super) fn value(&self, source: &Expression, known: &Value) -> Result<Value, String> {
        self.flows.words.value(source, known).map_err(|error| format!("`{source}`: {error}"))
    }

    fn holds(&self, source: &Expression, known: &Value) -> Result<bool, String> {
        self.flows.words.holds(source, known).map_err(|error| format!("`{source}`: {error}"))
    }

    /// A text with what is known.
    pub fn text(&self, text: &Text, known: &Value) -> Result<String, String> {
        let source = if self.lang == Lang::En { &text.en } else { &text.zh };
        self.flows.words.text(source, known).map_err(|error| format!("`{source}`: {error}"))
    }
}

/// `14:00` of `2026-11-25T14:00`.
fn time_of_day(value: &Value) -> Option<&str> {
    value.as_str()?.split_once('T').map(|(_, time)| time)
}
