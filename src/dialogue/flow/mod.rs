//! Flows: what must not be improvised (a booking, a rescue, a complaint), as data of the tenant.
//!
//! A flow is a list of steps in `flows/*.toml`. It has no position: at every turn the steps are walked from the first
//! ([`run`]) over what is known by then, and the first that needs something from outside (a slot, a yes, a tool) is where
//! it stands. So answers may come out of order, be corrected, or come all at once; a tool is used again exactly if its
//! arguments have changed; and a flow that was left for a digression goes on where it was. Steps that several flows need are
//! a part (`part = true`), which stands in each of them where it says `include`.

mod fill;
mod read;
pub mod run;
#[cfg(test)]
mod tests;
pub(super) mod words;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

pub use fill::Learned;
pub(crate) use fill::kept;
pub use read::Error;
pub use run::{Scene, Stand, Walk};

use self::words::Words;
use super::memory::{Asked, Progress};
use super::text::{Lang, normalize, strip_fillers};
use super::{Expect, Reason};

/// A flow, checked.
#[derive(Debug)]
pub struct Flow {
    /// Unique id.
    pub id: String,
    /// Its name, as it can be spoken: 我们接着说…. What callers ask that begins it are knowledge entries with `flow = "…"`.
    pub title: String,
    /// The same in English.
    pub title_en: String,
    /// Group of topics, for reports.
    pub topic: String,
    /// What it may learn from the caller.
    pub slots: BTreeMap<String, Slot>,
    /// What it does, in order.
    pub steps: Vec<Step>,
    /// Slots that become facts for other flows.
    pub keep: Vec<String>,
    /// Said when the caller gives it up.
    pub given_up: Text,
}

/// Something that the caller may say.
#[derive(Clone, Debug)]
pub struct Slot {
    /// Of which kind.
    pub kind: Kind,
}

/// Kinds of slots.
#[derive(Clone, Debug)]
pub enum Kind {
    /// A telephone number, digits.
    Phone,
    /// A number plate.
    Plate,
    /// A day, `2026-11-25`.
    Date,
    /// One of the local times in a list, `2026-11-25T14:00`, named by its date or time of day.
    Time {
        /// Gives the list.
        from: Expression,
    },
    /// One of a list of objects.
    Pick {
        /// Gives the list.
        from: Expression,
        /// Field by which each is called, in Chinese and in English.
        label: (String, String),
    },
    /// One of a few fixed values.
    Choice(Vec<Choice>),
    /// A quantity.
    Amount,
    /// Yes or no.
    YesNo,
    /// What shows who calls: `{"tail": "1234"}` or `{"surname": "陈"}`.
    Proof,
    /// Whatever the caller says.
    Words {
        /// The words that begin the flow are taken if they have at least so many characters.
        first: Option<usize>,
    },
}

/// A fixed value and the words for it.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    /// The value.
    pub value: Value,
    /// Words that mean it.
    pub words: Vec<String>,
}

/// An expression (minijinja), compiled when it is used.
pub type Expression = Arc<str>;

/// A text in both languages, with `{{ … }}` in it.
#[derive(Clone, Debug, Default)]
pub struct Text {
    /// Chinese.
    pub zh: String,
    /// English.
    pub en: String,
}

/// One step.
#[derive(Debug)]
pub struct Step {
    /// Skipped unless this is true.
    pub when: Option<Expression>,
    /// What it does.
    pub action: Action,
}

/// What a step does.
#[derive(Debug)]
pub enum Action {
    /// Asks for a slot until it is known.
    Ask {
        /// The slot.
        slot: String,
        /// The question.
        say: Text,
        /// Asked when the first reply was not understood.
        again: Text,
    },
    /// Reads out, and goes on after a yes.
    Confirm {
        /// What is read out, a question.
        say: Text,
    },
    /// Uses a tool.
    Call {
        /// Its name.
        tool: String,
        /// Its arguments.
        with: BTreeMap<String, Expression>,
        /// The answer's name from here on. A refusal is `{error = "code", …}`.
        save: String,
        /// True if the flow can do without: a failure is `{error = "failed"}`. Else it ends with a person.
        optional: bool,
    },
    /// Gives a value a name from here on.
    Set(BTreeMap<String, Expression>),
    /// Tells something, once.
    Say(Text),
    /// Says something, forgets slots, and begins again.
    Forget {
        /// The slots.
        slots: Vec<String>,
        /// Why.
        say: Text,
    },
    /// Goes on as another flow.
    Start {
        /// Its id.
        flow: String,
        /// Slots that are known.
        with: BTreeMap<String, Expression>,
    },
    /// Gives the call to a person.
    Handoff {
        /// Why.
        reason: Reason,
        /// Said before.
        say: Text,
    },
    /// The end.
    End(Text),
}

impl Kind {
    /// What the end of the caller's turn is judged by.
    pub fn expect(&self) -> Expect {
        match self {
            Self::Phone => Expect::Phone,
            Self::Plate => Expect::Plate,
            Self::Amount | Self::Proof => Expect::Number,
            Self::YesNo => Expect::YesNo,
            Self::Date | Self::Time { .. } => Expect::Time,
            Self::Pick { .. } | Self::Choice(_) | Self::Words { .. } => Expect::Open,
        }
    }
}

/// All flows of a tenant.
#[derive(Debug, Default)]
pub struct Flows {
    flows: Vec<Flow>,
    words: Words,
}

impl Flows {
    /// The flow of that id.
    pub fn find(&self, id: &str) -> Option<&Flow> {
        self.flows.iter().find(|flow| flow.id == id)
    }

    /// All flows, in order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = &Flow> {
        self.flows.iter()
    }
}

impl Flow {
    /// Its name in that language.
    pub fn title(&self, lang: Lang) -> &str {
        match lang {
            Lang::Zh => &self.title,
            Lang::En => &self.title_en,
        }
    }

    /// True if what it has asked is answered as a whole; free words may always go on.
    pub fn is_answered(&self, asked: &Asked, progress: &Progress) -> bool {
        match asked {
            Asked::Slot(slot) => {
                let free = self.slots.get(slot).is_none_or(|slot| matches!(slot.kind, Kind::Words { .. }));
                !free && progress.slots.contains_key(slot)
            }
            Asked::Yes(read) => progress.agreed.as_ref() == Some(read),
            Asked::Change => false,
        }
    }

    /// The slots that the words which begin it fill: what a caller tells at once is not asked for.
    pub fn takes_first_words(&self, text: &str) -> Option<(String, Value)> {
        let words = strip_fillers(&normalize(text));
        let long = words.chars().filter(|c| c.is_alphanumeric()).count();
        let takes = |slot: &Slot| matches!(slot.kind, Kind::Words { first: Some(least) } if long >= least);
        let (name, _) = self.slots.iter().find(|(_, slot)| takes(slot))?;
        Some((name.clone(), Value::String(words)))
    }

    /// Names of the tools that it uses.
    pub fn tools(&self) -> impl Iterator<Item = &str> {
        self.steps.iter().filter_map(|step| match &step.action {
            Action::Call { tool, .. } => Some(tool.as_str()),
            _ => None,
        })
    }
}
