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
    /// Left out unless it is asked for: some servers refuse what they do not know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logprobs: Option<bool>,
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
/// Asks the caller to say it in other words, once; the second time a person takes over.
pub const CLARIFY: &str = "ask_to_repeat";
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
    tools.push(function(
        CLARIFY,
        "The caller's words make no sense, or the approved facts do not fit them: ask to say it in other words.",
        json!({ "type": "object", "properties": {} }),
    ));
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

/// A piece of a tool call.
#[derive(Debug, Default, PartialEq)]
pub struct Piece {
    /// Which call of the answer, as the server counts.
    pub index: u64,
    /// The server's name for the call; empty in all pieces but the first, or in all.
    pub id: String,
    /// A piece of the tool's name.
    pub name: String,
    /// A piece of the arguments.
    pub arguments: String,
}

/// What one event of the stream adds.
#[derive(Debug, Default, PartialEq)]
pub struct Delta {
    /// Words.
    pub text: String,
    /// Pieces of tool calls.
    pub calls: Vec<Piece>,
    /// Log-probabilities of its tokens, if the server tells.
    pub logprobs: Vec<f32>,
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
            let function = &call["function"];
            let (name, arguments) = (piece(&function["name"]), piece(&function["arguments"]));
            Piece { index, id: piece(&call["id"]), name, arguments }
        });
        Ok(Self {
            text: delta["content"].as_str().unwrap_or_default().to_owned(),
            calls: calls.collect(),
            logprobs: choice["logprobs"]["content"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|token| token["logprob"].as_f64())
                // A server that gives a token no chance at all means that it does not know.
                .filter(|logprob| (-100.0..=0.0).contains(logprob))
                .map(|logprob| logprob as f32)
                .collect(),
            finished: choice["finish_reason"].as_str().is_some_and(|r| !r.is_empty()),
        })
    }
}

/// Tool calls, gathered from their pieces.
#[derive(Debug, Default)]
pub struct Calls {
    calls: Vec<Piece>,
}

impl Calls {
    /// Adds pieces.
    pub fn add(&mut self, pieces: Vec<Piece>) {
        for piece in pieces {
            // Some servers give every call the index 0; then the id tells that another one begins.
            let known = self.calls.iter_mut().rev().find(|call| call.index == piece.index);
            let same = known.filter(|call| piece.id.is_empty() || call.id.is_empty() || call.id == piece.id);
            let Some(call) = same else {
                self.calls.push(piece);
                continue;
            };
            // A server that repeats the whole name in every piece must not double it.
            if call.name != piece.name {
                call.name.push_str(&piece.name);
            }
            if call.id.is_empty() {
                call.id = piece.id;
            }
            call.arguments.push_str(&piece.arguments);
        }
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// The calls in order: name and arguments; [`None`] for arguments that are no object.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<Map<String, Value>>)> {
        self.calls.iter().map(|call| {
            let arguments = call.arguments.trim();
            let read =
                if arguments.is_empty() { Some(Map::new()) } else { serde_json::from_str(arguments).ok() };
            (call.name.as_str(), read)
        })
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
            calls.add(vec![Piece { name: name.into(), arguments: arguments.into(), ..Piece::default() }]);
        }
        let whole: Vec<_> = calls.iter().collect();
        assert_eq!(whole.len(), 1);
        let reason = whole[0].1.as_ref().map(|arguments| &arguments["reason"]);
        assert_eq!((whole[0].0, reason), (TRANSFER, Some(&json!("x"))));
    }

    #[test]
    fn calls_that_share_an_index_are_told_apart_by_their_ids() {
        let mut calls = Calls::default();
        for (id, name, arguments) in
            [("a", "one", "{}"), ("b", "two", "{\"x\":"), ("b", "two", "1}"), ("", "", "")]
        {
            let piece = Piece { index: 0, id: id.into(), name: name.into(), arguments: arguments.into() };
            calls.add(vec![piece]);
        }
        let names: Vec<_> = calls.iter().map(|(name, read)| (name.to_owned(), read.is_some())).collect();
        assert_eq!(names, [("one".to_owned(), true), ("two".to_owned(), true)]);
    }

    #[test]
    fn arguments_that_are_no_object_are_no_arguments() {
        for arguments in ["{\"plate\": \"沪", "[1]", "plate=1", "{}{}"] {
            let mut calls = Calls::default();
            calls.add(vec![Piece { name: "x".into(), arguments: arguments.into(), ..Piece::default() }]);
            assert_eq!(calls.iter().next(), Some(("x", None)), "{arguments}");
        }
    }
}
