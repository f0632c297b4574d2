//! The JSON of `/v1/chat/completions`, read leniently: real servers leave fields out, send null, or add empty choices.

use serde::Serialize;
use serde_json::{Value, json};

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
pub struct Message {
    role: &'static str,
    content: String,
}

impl Message {
    /// A message of `role`.
    pub fn new(role: &'static str, content: String) -> Self {
        Self { role, content }
    }
}

/// The tools that the model may call.
pub fn tools() -> Value {
    json!([{
        "type": "function",
        "function": {
            "name": "transfer_to_human",
            "description": "Give the call to a human agent.",
            "parameters": {
                "type": "object",
                "properties": { "reason": { "type": "string", "description": "Why, in a few words." } },
                "required": ["reason"]
            }
        }
    }])
}

/// What one event of the stream adds.
#[derive(Debug, Default, PartialEq)]
pub struct Delta {
    /// Words.
    pub text: String,
    /// Pieces of tool calls: index, and a piece of the name.
    pub calls: Vec<(u64, String)>,
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
            (index, call["function"]["name"].as_str().unwrap_or_default().to_owned())
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
    names: std::collections::BTreeMap<u64, String>,
}

impl Calls {
    /// Adds pieces.
    pub fn add(&mut self, pieces: Vec<(u64, String)>) {
        for (index, name) in pieces {
            let whole = self.names.entry(index).or_default();
            // A server that repeats the whole name in every piece must not double it.
            if *whole != name {
                whole.push_str(&name);
            }
        }
    }

    /// True if `tool` was called.
    pub fn named(&self, tool: &str) -> bool {
        self.names.values().any(|n| n == tool)
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
        for name in ["transfer_", "to_human", ""] {
            calls.add(vec![(0, name.into())]);
        }
        assert!(calls.named("transfer_to_human"), "{calls:?}");
    }
}
