//! The JSON of `/v1/chat/completions`, read leniently: real servers leave fields out, send null, or add empty choices.

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::tools::{Spec, Use};

/// The request's body.
#[derive(Serialize)]
pub struct Request<'a> {
    pub model: &'a str,
    pub temperature: f32,
    pub messages: Vec<Message>,
    pub stream: bool,
    pub tools: Value,
}

/// One message.
#[derive(Serialize)]
pub struct Message(Value);

impl Message {
    /// A message of `role`.
    pub fn new(role: &'static str, content: String) -> Self {
        Self(json!({ "role": role, "content": content }))
    }

    /// The model's own request for `uses`, as it must stand before their results.
    pub fn asking(uses: &[Use]) -> Self {
        let calls: Vec<Value> = uses
            .iter()
            .enumerate()
            .map(|(at, what)| {
                let arguments = Value::Object(what.arguments.clone()).to_string();
                let function = json!({ "name": what.tool, "arguments": arguments });
                json!({ "id": call_id(at), "type": "function", "function": function })
            })
            .collect();
        Self(json!({ "role": "assistant", "content": "", "tool_calls": calls }))
    }

    /// What came of the use at `at`.
    pub fn result(at: usize, content: String) -> Self {
        Self(json!({ "role": "tool", "tool_call_id": call_id(at), "content": content }))
    }
}

fn call_id(at: usize) -> String {
    format!("call_{at}")
}

/// Gives the call to a person.
pub const TRANSFER: &str = "transfer_to_human";
/// Begins a flow.
pub const START: &str = "start_flow";

/// What the model may call: a person, the flows by id and title, and the tools that only look up.
pub fn tools<'a>(flows: &[(&str, &str)], specs: impl Iterator<Item = &'a Spec>) -> Value {
    let mut tools = vec![function(
        TRANSFER,
        "Give the call to a human agent.",
        json!({
            "type": "object",
            "properties": { "reason": { "type": "string", "description": "Why, in a few words." } },
            "required": ["reason"]
        }),
    )];
    if !flows.is_empty() {
        let ids: Vec<&str> = flows.iter().map(|(id, _)| *id).collect();
        let titles: Vec<String> = flows.iter().map(|(id, title)| format!("{id}: {title}")).collect();
        let about = format!("Begin a guided flow; it does the rest of the talking. {}.", titles.join("; "));
        let parameters = json!({
            "type": "object",
            "properties": { "flow": { "type": "string", "enum": ids } },
            "required": ["flow"]
        });
        tools.push(function(START, &about, parameters));
    }
    tools.extend(specs.map(|spec| function(&spec.name, &spec.description, spec.parameters.clone())));
    Value::Array(tools)
}

fn function(name: &str, description: &str, parameters: Value) -> Value {
    json!({ "type": "function", "function": { "name": name, "description": description, "parameters": parameters } })
}

/// What one event of the stream adds.
#[derive(Debug, Default, PartialEq)]
pub struct Delta {
    /// Words.
    pub text: String,
    /// Pieces of tool calls: index, a piece of the name, a piece of the arguments.
    pub calls: Vec<(u64, String, String)>,
    /// True at the end of the answer.
    pub finished: bool,
}

impl Delta {
    /// Reads the data of one event. Whatever is not understood adds nothing; an error that the server reports is returned.
    pub fn parse(data: &str) -> Result<Self, String> {
        let data = data.trim();
        if data == "[DONE]" {
            return Ok(Self { finished: true, ..Self::default() });
        }
        let Ok(event) = serde_json::from_str::<Value>(data) else {
            return Ok(Self::default());
        };
        if let Some(error) = event.get("error").filter(|e| !e.is_null()) {
            let message =
                error.get("message").and_then(Value::as_str).unwrap_or("an error without a message");
            return Err(message.chars().take(200).collect());
        }
        let choice = &event["choices"][0];
        // Some servers send a whole message in place of a delta.
        let delta = if choice["delta"].is_object() { &choice["delta"] } else { &choice["message"] };
        let calls = delta["tool_calls"].as_array().into_iter().flatten().enumerate().map(|(at, call)| {
            let index = call["index"].as_u64().unwrap_or(at as u64);
            let piece = |field: &Value| match field {
                // Some servers send the arguments as an object.
                Value::Object(whole) => Value::Object(whole.clone()).to_string(),
                piece => piece.as_str().unwrap_or_default().to_owned(),
            };
            (index, piece(&call["function"]["name"]), piece(&call["function"]["arguments"]))
        });
        Ok(Self {
            text: delta["content"].as_str().unwrap_or_default().to_owned(),
            calls: calls.collect(),
            finished: choice["finish_reason"].as_str().is_some_and(|r| !r.is_empty()),
        })
    }
}

/// Tool calls, gathered by index from their pieces.
#[derive(Debug, Default)]
pub struct Calls {
    calls: std::collections::BTreeMap<u64, (String, String)>,
}

impl Calls {
    /// Adds pieces.
    pub fn add(&mut self, pieces: Vec<(u64, String, String)>) {
        for (index, name, arguments) in pieces {
            let (whole, text) = self.calls.entry(index).or_default();
            // A server that repeats the whole name in every piece must not double it.
            if *whole != name {
                whole.push_str(&name);
            }
            text.push_str(&arguments);
        }
    }

    /// The calls in order: name and arguments. Arguments that are no object count as none: the schema says what is missing.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Map<String, Value>)> {
        self.calls
            .values()
            .map(|(name, text)| (name.as_str(), serde_json::from_str(text).unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_events_add_nothing_and_do_no_harm() {
        for data in [
            "",
            "{}",
            "null",
            "not json",
            r#"{"choices":[]}"#,
            r#"{"choices":[],"usage":{}}"#,
            r#"{"choices":[{"delta":{"content":null}}]}"#,
        ] {
            assert_eq!(Delta::parse(data), Ok(Delta::default()), "{data}");
        }
        assert_eq!(Delta::parse(r#"{"error":{"message":"overloaded"}}"#), Err("overloaded".into()));
    }

    #[test]
    fn a_tool_call_is_gathered_from_its_pieces() {
        let mut calls = Calls::default();
        for (name, arguments) in [("transfer_", ""), ("to_human", "{\"rea"), ("", "son\": \"x\"}")] {
            calls.add(vec![(0, name.into(), arguments.into())]);
        }
        let whole: Vec<_> = calls.iter().collect();
        assert_eq!(whole.len(), 1);
        assert_eq!((whole[0].0, &whole[0].1["reason"]), (TRANSFER, &json!("x")));
    }
}
