//! What the mind keeps of one conversation between its turns. The core holds it and gives it back with the next turn; what a
//! withdrawn answer would have changed is never kept.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::tools::Use;

/// The fact that holds the plates and numbers which the caller has proven to be the own ones.
pub const PROVEN: &str = "proven";

/// The mind's memory of a call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// Flows that are under way, the present one last; those before it wait.
    pub flows: Vec<Progress>,
    /// What flows have learned that others may use: the vehicle, the customer.
    pub facts: Map<String, Value>,
    /// Tools that the large model has asked for in this turn, in order.
    pub asked: Vec<Use>,
    /// How upset the caller was in the last turn, in percent; see [`Mood`](super::Mood).
    #[serde(default)]
    pub mood: u8,
    /// How fast the caller usually speaks, syllables in ten seconds, once known.
    #[serde(default)]
    pub pace: Option<u16>,
    /// How many flows have begun: tells the same wish from the same wish once more.
    pub begun: u32,
}

/// Longest value that is told to people, characters.
const READABLE: usize = 200;
/// What tells people which vehicle, centre or customer a fact is.
const NAMES: [&str; 5] = ["name", "address", "model", "model_year", "plate"];

impl Memory {
    /// What is known, for people: facts, and the slots of the flow under way. Of an answer of a tool only its names, and
    /// nothing of what has none.
    pub fn known(&self) -> Map<String, Value> {
        let slots = self.flows.last().map(|flow| &flow.slots);
        let all = self.facts.iter().chain(slots.into_iter().flatten());
        let mut known: Map<_, _> =
            all.filter_map(|(name, value)| Some((name.clone(), readable(value)?))).collect();
        // Whom the caller is proven to be is what a person would ask first.
        let proven = self.facts.get(PROVEN).and_then(Value::as_array).into_iter().flatten();
        let proven: Vec<&str> = proven.filter_map(Value::as_str).collect();
        if !proven.is_empty() {
            known.insert(PROVEN.into(), proven.join("、").into());
        }
        known
    }
}

/// `value` as people can read it, or what it is called by; [`None`] for what has no name.
pub(crate) fn readable(value: &Value) -> Option<Value> {
    match value {
        Value::Bool(_) | Value::Number(_) => Some(value.clone()),
        Value::String(text) if text.is_empty() => None,
        Value::String(text) => Some(text.chars().take(READABLE).collect::<String>().into()),
        Value::Object(fields) => {
            let named = NAMES.into_iter().filter_map(|name| {
                let field = fields.get(name).filter(|field| !field.is_object() && !field.is_array())?;
                Some((name.to_owned(), readable(field)?))
            });
            Some(named.collect::<Map<_, _>>()).filter(|named| !named.is_empty()).map(Value::Object)
        }
        Value::Null | Value::Array(_) => None,
    }
}

/// How far a flow has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Its id.
    pub flow: String,
    /// Which of the call's flows it is; goes with every use of a tool.
    pub occasion: u32,
    /// What the caller has said, by slot.
    pub slots: Map<String, Value>,
    /// What the caller was told, as it was said: nothing is told twice.
    pub told: Vec<String>,
    /// What the caller has said yes to, as it was read out.
    pub agreed: Option<String>,
    /// What the last question asks for.
    pub asked: Option<Asked>,
    /// The caller's pieces of the slot being asked for, oldest first: a number said in three breaths.
    pub pieces: Vec<String>,
    /// Words that named a time of day before the free times were known.
    pub wish: Option<String>,
    /// Replies in a row from which nothing was learned.
    pub misses: u8,
    /// How often, by slot, the caller's answer was not understood or had to be forgotten.
    #[serde(default)]
    pub failed: BTreeMap<String, u8>,
}

/// What a flow has asked the caller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Asked {
    /// A slot.
    Slot(String),
    /// A yes to what was read out.
    Yes(String),
    /// What shall be changed of what was read out.
    Change,
}

impl Progress {
    /// A flow that begins.
    pub fn new(flow: &str, occasion: u32, slots: Map<String, Value>) -> Self {
        Self {
            flow: flow.to_owned(),
            occasion,
            slots,
            told: Vec::new(),
            agreed: None,
            asked: None,
            pieces: Vec::new(),
            wish: None,
            misses: 0,
            failed: BTreeMap::new(),
        }
    }

    /// Notes that the caller's answer for `slot` was of no use.
    pub fn fail(&mut self, slot: &str) {
        let failed = self.failed.entry(slot.to_owned()).or_default();
        *failed = failed.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn people_are_told_values_and_names_but_no_answers_of_tools() {
        let map = |value: Value| value.as_object().cloned().unwrap_or_default();
        let facts = json!({
            "vehicle": {"model": "青屿 S7", "model_year": 2024, "vin": "L", "recalls": [1]},
            "proven": ["沪A12345"],
            "phone": "13800001234",
        });
        let slots = json!({
            "mine": {"vehicles": [{"model": "青屿 S7"}], "owner": {"address": "陈先生"}},
            "service": "保养",
            "city": "",
            "address": "长".repeat(300),
        });
        let memory = Memory {
            facts: map(facts),
            flows: vec![Progress::new("book", 1, map(slots))],
            ..Memory::default()
        };
        let known = Value::Object(memory.known());
        assert_eq!(
            known,
            json!({
                "vehicle": {"model": "青屿 S7", "model_year": 2024},
                "phone": "13800001234",
                "proven": "沪A12345",
                "service": "保养",
                "address": "长".repeat(200),
            })
        );
    }
}
