//! What a flow learns from the caller's words.

use serde_json::{Map, Value, json};

use super::{Flow, Kind, Scene};
use crate::dialogue::intent::Heard;
use crate::dialogue::memory::{Asked, Progress};
use crate::dialogue::slots::{self, Clock, Number, Plate, Proof};
use crate::dialogue::sound::{Sounds, syllables};
use crate::dialogue::text::{Lang, normalize, strip_fillers};

/// From here on a word of a choice counts as heard by its sound; one of two syllables is soon heard in something else.
const SOUNDS_LIKE: f32 = 0.85;
const SOUNDS_SAME: f32 = 0.97;

/// What came of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Learned {
    /// A slot, or a yes to what was read out.
    Something,
    /// A part of a number: the rest is waited for.
    Part,
    /// A no to what was read out: something is to be changed.
    No,
    /// The whole is not wanted any more.
    GivenUp,
    /// Nothing.
    Nothing,
}

impl Scene<'_> {
    /// Learns what it can from `text`, the reply to what `progress` has asked; `known` is what the last walk knew.
    pub fn learn(&self, flow: &Flow, progress: &mut Progress, known: &Value, text: &str) -> Learned {
        let asked = progress.asked.clone();
        let names_it = |slot: &String| matches!(&flow.slots[slot].kind, Kind::Choice(options) if chosen(text, options).is_some());
        // 取消 gives up, unless it is one of the answers.
        if slots::gives_up(text) && !matches!(&asked, Some(Asked::Slot(slot)) if names_it(slot)) {
            return Learned::GivenUp;
        }
        let mut learned = Learned::Nothing;
        if let Some(Asked::Slot(slot)) = &asked {
            learned = self.learn_slot(flow, progress, known, slot, text);
        }
        if learned != Learned::Part && self.learn_aside(flow, progress, known, text, asked.as_ref()) {
            learned = Learned::Something;
        }
        if learned == Learned::Nothing {
            learned = match (&asked, slots::yes_no(text)) {
                (Some(Asked::Yes(read)), Some(true)) => {
                    progress.agreed = Some(read.clone());
                    Learned::Something
                }
                (Some(Asked::Yes(_)), Some(false)) => Learned::No,
                (Some(Asked::Change), Some(false)) => Learned::GivenUp,
                _ => Learned::Nothing,
            };
        }
        if learned == Learned::Something {
            progress.misses = 0;
            progress.pieces.clear();
        }
        learned
    }

    /// Learns what the words that begin a flow already say.
    pub fn learn_first(&self, flow: &Flow, progress: &mut Progress, known: &Value, text: &str) {
        self.learn_aside(flow, progress, known, text, None);
    }

    /// The slot that was asked for.
    fn learn_slot(
        &self,
        flow: &Flow,
        progress: &mut Progress,
        known: &Value,
        slot: &str,
        text: &str,
    ) -> Learned {
        let mut pieces: Vec<&str> = progress.pieces.iter().map(String::as_str).collect();
        pieces.push(text);
        let list =
            |from| self.value(from, known).ok().and_then(|list| list.as_array().cloned()).unwrap_or_default();
        let value = match &flow.slots[slot].kind {
            Kind::Phone => match slots::phone(&pieces) {
                Number::Complete(digits) => Some(json!(digits)),
                Number::Part(_) => return part(progress, text),
                Number::TooLong => None,
                Number::None => {
                    self.caller.filter(|_| Heard::new(text).says_this_number()).map(|caller| json!(caller))
                }
            },
            Kind::Plate => match slots::plate(&pieces) {
                Plate::Complete(plate) => Some(json!(plate)),
                Plate::Part(_) => return part(progress, text),
                Plate::None => None,
            },
            Kind::Date => slots::date(text, self.now.date()).map(|date| json!(date.to_string())),
            Kind::Time { from } => time(text, &list(from), self.now.date()),
            Kind::Pick { from, label } => pick(text, &list(from), self.label(label)),
            Kind::Choice(options) => chosen(text, options),
            Kind::Amount => slots::amount(text).map(|amount| json!(amount)),
            Kind::YesNo => slots::yes_no(text).map(|yes| json!(yes)),
            Kind::Proof => slots::proof(text).map(|proof| match proof {
                Proof::Tail(tail) => json!({ "tail": tail }),
                Proof::Surname(surname) => json!({ "surname": surname }),
            }),
            Kind::Words { .. } => {
                let words = strip_fillers(&normalize(text));
                (words.chars().count() >= 2).then(|| json!(words))
            }
        };
        match value {
            Some(value) => {
                progress.slots.insert(slot.to_owned(), value);
                Learned::Something
            }
            None => Learned::Nothing,
        }
    }

    /// What the caller says beside it: other slots, sooner than they are asked for, or corrected. True if anything is new.
    fn learn_aside(
        &self,
        flow: &Flow,
        progress: &mut Progress,
        known: &Value,
        text: &str,
        asked: Option<&Asked>,
    ) -> bool {
        let mut new = false;
        for (name, slot) in &flow.slots {
            if asked == Some(&Asked::Slot(name.clone())) {
                continue;
            }
            let value = match &slot.kind {
                Kind::Phone => match slots::phone(&[text]) {
                    Number::Complete(digits) => Some(json!(digits)),
                    _ => None,
                },
                Kind::Plate => match slots::plate(&[text]) {
                    Plate::Complete(plate) => Some(json!(plate)),
                    _ => None,
                },
                Kind::Date => slots::date(text, self.now.date()).map(|date| json!(date.to_string())),
                Kind::Choice(options) => chosen(text, options),
                Kind::Pick { from, label } => self
                    .value(from, known)
                    .ok()
                    .and_then(|list| named(text, list.as_array()?, self.label(label))),
                Kind::Time { from } if slots::clock(text).is_some() => {
                    let list = self.value(from, known).ok().and_then(|list| list.as_array().cloned());
                    // The list may be another one by the time it is chosen from.
                    new |= progress.wish.as_deref() != Some(text) && progress.slots.contains_key(name);
                    progress.wish = Some(text.to_owned());
                    let same_day = slots::date(text, self.now.date()).is_none();
                    list.filter(|list| same_day && !list.is_empty())
                        .and_then(|list| time(text, &list, self.now.date()))
                        .or_else(|| {
                            progress.slots.remove(name);
                            None
                        })
                }
                Kind::Time { .. } | Kind::Amount | Kind::YesNo | Kind::Proof | Kind::Words { .. } => None,
            };
            if let Some(value) = value
                && progress.slots.get(name) != Some(&value)
            {
                progress.slots.insert(name.clone(), value);
                new = true;
            }
        }
        new
    }

    fn label<'a>(&self, label: &'a (String, String)) -> &'a str {
        if self.lang == Lang::En { &label.1 } else { &label.0 }
    }
}

fn part(progress: &mut Progress, text: &str) -> Learned {
    progress.pieces.push(text.to_owned());
    Learned::Part
}

/// The time of `list` (local dates and times) that is meant: by its day, its time of day, or its place in the list.
pub(super) fn time(text: &str, list: &[Value], today: jiff::civil::Date) -> Option<Value> {
    let day = slots::date(text, today);
    let clock = slots::clock(text);
    if day.is_none() && clock.is_none() {
        let words: Vec<&str> = list.iter().filter_map(Value::as_str).collect();
        return slots::choice(text, &words).map(|at| list[at].clone());
    }
    let fits = |value: &&Value| {
        let Some(at) = value.as_str().and_then(|at| at.parse::<jiff::civil::DateTime>().ok()) else {
            return false;
        };
        day.is_none_or(|day| at.date() == day)
            && match clock {
                None => true,
                Some(Clock::At(time)) => at.time() == time,
                Some(Clock::Between(from, to)) => (from..to).contains(&at.time()),
            }
    };
    // 下午 begins at noon, but nobody means the lunch hour.
    let lunch = |value: &&Value| value.as_str().is_some_and(|at| at.contains("T12:"));
    let vague = matches!(clock, Some(Clock::Between(from, _)) if from.hour() == 12);
    let mut fitting = list.iter().filter(fits);
    fitting.clone().find(|time| !(vague && lunch(time))).or_else(|| fitting.next()).cloned()
}

/// The object of `list` that is meant.
fn pick(text: &str, list: &[Value], label: &str) -> Option<Value> {
    let labels: Vec<&str> = list.iter().map(|item| item[label].as_str().unwrap_or_default()).collect();
    let only = || (list.len() == 1 && slots::yes_no(text) == Some(true)).then_some(0);
    slots::choice(text, &labels).or_else(only).map(|at| list[at].clone())
}

/// The object of `list` that is called by its name, or by a good part of it.
fn named(text: &str, list: &[Value], label: &str) -> Option<Value> {
    let text = normalize(text);
    let mut found = list.iter().filter(|item| {
        item[label].as_str().is_some_and(|name| {
            let name = normalize(name);
            !name.is_empty() && text.contains(&name)
        })
    });
    match (found.next(), found.next()) {
        (Some(one), None) => Some(one.clone()),
        _ => None,
    }
}

/// The fixed value whose longest word is said, or sounds as what is said.
fn chosen(text: &str, options: &[super::Choice]) -> Option<Value> {
    let text = normalize(slots::meant(text));
    let padded = format!(" {text} ");
    let sounds = Sounds::of(&text);
    let mut best: Option<(usize, &super::Choice)> = None;
    for option in options {
        for word in &option.words {
            let length = word.chars().count();
            let said = if word.is_ascii() {
                padded.contains(&format!(" {} ", word.to_lowercase()))
            } else {
                text.contains(word.as_str())
                    || length == 2 && sounds.find(&syllables(word), SOUNDS_SAME).is_some()
                    || length > 2 && sounds.find(&syllables(word), SOUNDS_LIKE).is_some()
            };
            if said && best.is_none_or(|(longest, _)| length > longest) {
                best = Some((length, option));
            }
        }
    }
    best.map(|(_, option)| option.value.clone())
}

/// `slots` that become facts.
pub(crate) fn kept(flow: &Flow, slots: &Map<String, Value>, known: &Value) -> Map<String, Value> {
    let value =
        |name: &String| slots.get(name).or_else(|| known.get(name)).filter(|value| !value.is_null()).cloned();
    flow.keep.iter().filter_map(|name| Some((name.clone(), value(name)?))).collect()
}
