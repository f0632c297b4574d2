//! What a page is told of a picture: sections of JSON, and of those only what is different from what it has.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::fold::{Decided, Kept, Moment, Phase, Picture};
use crate::dialogue::knowledge::Entry;
use crate::dialogue::tenant::Tenant;
use crate::dialogue::text::Lang;
use crate::dialogue::vehicle::Vehicle;
use crate::dialogue::{Act, Facts, Mind, Mood, Said, Who, problem};
use crate::kb::find::{Finder, Near};
use crate::record::{CallRecord, NoteRecord, ToolRecord, TurnRecord};
use crate::tools::{Outcome, Used};

/// Entries that are suggested.
const SUGGESTED: usize = 4;
/// The caller's turns, from the last back, among which one with a question is looked for.
const LOOKED_BACK: usize = 6;
/// A suggestion has at least this share of the best one's score.
const NEAR: f32 = 0.5;
/// Longest answer of a tool that is shown, characters.
const ANSWER: usize = 4000;

/// The sections of a page by name. `turns` is a list of which only the changed end is told again.
type Sections = Map<String, Value>;

/// Knows what a call's numbers and ids stand for.
pub(super) struct View {
    tenant: Arc<Tenant>,
    mind: Arc<dyn Mind>,
    finder: Finder,
}

/// What one page has been told.
#[derive(Default)]
pub(super) struct Told {
    /// The sections that depend on this.
    kept: Option<(Arc<Kept>, Sections)>,
    all: Option<Sections>,
}

/// Something to tell a page.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum News {
    /// Everything.
    State(Sections),
    /// The sections that are different; `turns` is `{"from": N, "items": […]}` and replaces what begins at the Nth.
    Change(Sections),
}

impl Told {
    /// What a page has to be told for it to show `picture`; [`None`] if it does already.
    pub fn news(&mut self, view: &View, picture: &Picture) -> Option<News> {
        let kept = match self.kept.take() {
            Some((of, sections)) if Arc::ptr_eq(&of, &picture.kept) => sections,
            _ => view.kept(&picture.kept),
        };
        let mut all = kept.clone();
        all.insert("moment".into(), moment(&picture.moment));
        self.kept = Some((picture.kept.clone(), kept));
        let news = match &self.all {
            None => Some(News::State(all.clone())),
            Some(before) => {
                let changes: Sections = all
                    .iter()
                    .filter(|(name, section)| before.get(*name) != Some(*section))
                    .map(|(name, section)| (name.clone(), change(name, section, before.get(name))))
                    .collect();
                Some(changes).filter(|changes| !changes.is_empty()).map(News::Change)
            }
        };
        self.all = Some(all);
        news
    }
}

fn change(name: &str, section: &Value, before: Option<&Value>) -> Value {
    match (section.as_array(), before.and_then(Value::as_array)) {
        (Some(turns), Some(before)) if name == "turns" => {
            let same = turns.iter().zip(before).take_while(|(now, then)| now == then).count();
            json!({ "from": same, "items": turns[same..] })
        }
        _ => section.clone(),
    }
}

fn moment(moment: &Moment) -> Value {
    json!({
        "committed": moment.words.committed,
        "tentative": moment.words.tentative,
        "caller_speaks": moment.caller_speaks,
        "bot_speaks": moment.bot_speaks,
    })
}

impl View {
    /// Of calls that are answered for `tenant`; `mind` makes the summary that is not told yet.
    pub fn new(tenant: Arc<Tenant>, mind: Arc<dyn Mind>) -> Self {
        Self { finder: Finder::new(tenant.clone()), tenant, mind }
    }

    fn kept(&self, kept: &Kept) -> Sections {
        let sections = json!({
            "call": kept.record.info,
            "state": Self::state(kept),
            "caller": caller(kept),
            "handoff": self.handoff(kept),
            "callback": kept.record.callback,
            "mood": kept.mood.as_ref().map(|mood| self.mood(mood)),
            "facts": kept.facts,
            "turns": said(&kept.record),
            "tools": kept.record.tools.iter().map(|tool| self.tool(tool)).collect::<Vec<_>>(),
            "sources": self.sources(kept),
            "advice": self.advice(kept),
        });
        match sections {
            Value::Object(sections) => sections,
            _ => Sections::new(),
        }
    }

    fn state(kept: &Kept) -> Value {
        let record = &kept.record;
        let over = kept.phase == Phase::Ended;
        json!({
            "phase": kept.phase,
            "ahead": kept.queue.map(|(ahead, _)| ahead),
            "expected_ms": kept.queue.and_then(|(_, expected)| expected),
            "disposition": record.disposition,
            // While the call is on the page counts for itself.
            "duration_ms": over.then_some(record.duration_ms),
            "recorded": record.recording.is_some(),
        })
    }

    fn handoff(&self, kept: &Kept) -> Value {
        let Some(handoff) = &kept.record.handoff else { return Value::Null };
        let told = handoff.summary.clone();
        let summary = told.clone().unwrap_or_else(|| {
            let said = |turn: &TurnRecord| Said {
                who: turn.who,
                text: turn.text.clone(),
                interrupted: turn.interrupted,
            };
            let history: Vec<Said> = kept.record.turns.iter().map(said).collect();
            let used = kept.record.tools.iter();
            let used: Vec<Used> =
                used.map(|tool| Used { what: tool.what.clone(), outcome: tool.outcome.clone() }).collect();
            self.mind.summarize(&Facts {
                history: &history,
                used: &used,
                reason: Some(handoff.reason),
                caller: kept.caller.number.as_deref(),
            })
        });
        json!({
            "reason": handoff.reason,
            "summary": summary,
            "summary_told": told.is_some(),
            "seats": handoff.seats,
            "failed": handoff.failed,
            "outcome": handoff.outcome,
            "bridged_ms": handoff.bridged_ms,
        })
    }

    fn mood(&self, mood: &Mood) -> Value {
        let name = match () {
            () if mood.is_upset(&self.tenant) => "upset",
            () if mood.is_tense(&self.tenant) => "tense",
            () => "uneasy",
        };
        json!({ "name": name, "level": mood.level, "signs": mood.logits.keys().collect::<Vec<_>>() })
    }

    fn tool(&self, used: &ToolRecord) -> Value {
        let spec = self.tenant.tools.find(&used.what.tool);
        let label = |argument: &str| {
            let pointer = format!("/properties/{argument}/description");
            spec.and_then(|spec| spec.parameters.pointer(&pointer)?.as_str()).map(first_phrase)
        };
        let arguments: Vec<Value> = used
            .what
            .arguments
            .iter()
            .map(|(name, value)| json!({ "name": name, "label": label(name), "value": plain(value) }))
            .collect();
        let (code, detail) = match &used.outcome {
            Outcome::Done(answer) => (None, pretty(answer)),
            Outcome::Refused { code, answer } => (Some(code), pretty(answer)),
            Outcome::Failed(why) | Outcome::Invalid(why) => (None, cut(why)),
        };
        json!({
            "at_ms": used.at_ms,
            "tool": used.what.tool,
            "title": spec.map(|spec| first_phrase(&spec.description)),
            "changes": spec.is_some_and(|spec| spec.changes),
            "arguments": arguments,
            "outcome": used.outcome.name(),
            "code": code,
            "detail": detail,
            "took_ms": used.took_ms,
        })
    }

    /// Entries that the answers rest on, those of the newest turns first.
    fn sources(&self, kept: &Kept) -> Vec<Value> {
        let mut seen = HashSet::new();
        let turns = kept.record.turns.iter().rev().flat_map(|turn| &turn.sources);
        turns
            .filter(|id| seen.insert(id.as_str()))
            .filter_map(|id| {
                let flow = id.strip_prefix("flow:").and_then(|flow| self.tenant.flows.find(flow));
                match (self.tenant.knowledge.entry(id), flow) {
                    (Some(found), _) => Some(entry(found)),
                    (None, Some(flow)) => {
                        Some(json!({ "id": id, "title": flow.title, "title_en": flow.title_en, "say": null }))
                    }
                    // What tools have said is among the tools.
                    (None, None) if id.starts_with("tool:") => None,
                    // Out of use since then.
                    (None, None) => Some(json!({ "id": id })),
                }
            })
            .collect()
    }

    /// What could be told to the caller now.
    fn advice(&self, kept: &Kept) -> Value {
        let words = kept
            .record
            .turns
            .iter()
            .rev()
            .filter(|turn| turn.who == Who::Caller)
            .take(LOOKED_BACK)
            .find(|turn| problem(&self.tenant, &turn.text, true).is_some());
        let machine = kept.decided.as_ref().map(|decided| self.machine(decided, words));
        let Some(words) = words else {
            return machine.map_or(Value::Null, |machine| json!({ "machine": machine }));
        };
        let vehicle = kept.facts.get("vehicle").or(match &kept.caller.vehicles[..] {
            [only] => Some(only),
            _ => None,
        });
        let mut advice = self.find(&words.text, vehicle.and_then(Vehicle::of_fact).as_ref());
        advice["words"] = json!(words.written.as_ref().unwrap_or(&words.text));
        advice["machine"] = json!(machine);
        advice
    }

    /// Entries for a question: `{"words", "confidence", "entries": […]}`.
    pub fn find(&self, question: &str, vehicle: Option<&Vehicle>) -> Value {
        let (near, confidence) = self.finder.find(question, vehicle, SUGGESTED);
        let best = near.first().map_or(0.0, |near| near.score);
        let lang = Lang::of(question).unwrap_or_default();
        let entries: Vec<Value> = near
            .iter()
            .filter(|near| near.score >= NEAR * best)
            .map(|Near { entry: found, score, matched }| {
                let mut shown = entry(found);
                shown["say"] = json!(found.answer(lang));
                shown["score"] = json!(hundredths(*score));
                shown["matched"] = json!(matched);
                shown
            })
            .collect();
        json!({ "words": question, "confidence": hundredths(confidence), "entries": entries })
    }

    fn machine(&self, decided: &Decided, words: Option<&TurnRecord>) -> Value {
        let lang = words.and_then(|words| Lang::of(&words.text)).unwrap_or_default();
        let first = decided.sources.iter().find_map(|id| self.tenant.knowledge.entry(id));
        json!({
            "act": decided.act.name(),
            "confidence": hundredths(decided.confidence),
            "tier": decided.tier,
            "topic": decided.topic,
            "sources": decided.sources,
            "spoken": decided.spoken,
            // It did something else; what it rests on is what it would have said.
            "answer": first.filter(|_| !matches!(decided.act, Act::Answer)).map(|entry| entry.answer(lang)),
            "withheld": decided.withheld,
        })
    }
}

fn caller(kept: &Kept) -> Value {
    let by_flow = || kept.facts.get("address").and_then(Value::as_str).map(str::to_owned);
    json!({
        "number": kept.caller.number,
        "from": kept.record.info.from,
        "on_file": kept.caller.on_file,
        "address": kept.caller.address.clone().or_else(by_flow),
        "vehicles": kept.caller.vehicles,
    })
}

/// The conversation with the bot, what the seat asked it, and what was written down of the bridge, in order.
fn said(record: &CallRecord) -> Vec<Value> {
    let turns = record.turns.iter().map(|one| (one.began_ms, turn(one)));
    let notes = record.notes.iter().map(|one| (one.began_ms, note(one)));
    let mut said: Vec<(u64, Value)> = turns.chain(notes).collect();
    said.sort_by_key(|(began, _)| *began);
    said.into_iter().map(|(_, one)| one).collect()
}

fn note(note: &NoteRecord) -> Value {
    json!({
        "who": note.leg,
        "text": note.text,
        "began_ms": note.began_ms,
        "ended_ms": note.ended_ms,
        "interrupted": false,
        "confidence": hundredths(note.confidence),
        "act": null,
        "sources": [],
    })
}

fn turn(turn: &TurnRecord) -> Value {
    json!({
        "who": turn.who,
        "text": turn.written.as_ref().unwrap_or(&turn.text),
        "began_ms": turn.began_ms,
        "ended_ms": turn.ended_ms,
        "interrupted": turn.interrupted,
        "confidence": turn.confidence.map(hundredths),
        "act": turn.act.as_ref().map(Act::name),
        "sources": turn.sources,
    })
}

fn entry(entry: &Entry) -> Value {
    json!({
        "id": entry.id,
        "version": entry.version,
        "title": entry.title,
        "title_en": entry.title_en,
        "say": entry.answer,
        "say_en": entry.answer_en,
        "sensitivity": entry.sensitivity,
        "models": entry.models.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "document": entry.source.as_ref().map(|origin| &origin.document),
        "place": entry.source.as_ref().map(|origin| &origin.place),
        "approved_at": entry.approved_at,
    })
}

/// `按手机号查客户：姓名、称呼` is for a model; people need the first words.
fn first_phrase(text: &str) -> &str {
    text.split(['：', '，', '。', '；', ',', ';', '.', ':']).next().unwrap_or(text)
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => cut(text),
        other => cut(&other.to_string()),
    }
}

fn pretty(value: &Value) -> String {
    cut(&serde_json::to_string_pretty(value).unwrap_or_default())
}

fn cut(text: &str) -> String {
    let mut characters = text.chars();
    let mut short: String = characters.by_ref().take(ANSWER).collect();
    if characters.next().is_some() {
        short.push('…');
    }
    short
}

fn hundredths(share: f32) -> f64 {
    (f64::from(share) * 100.0).round() / 100.0
}
