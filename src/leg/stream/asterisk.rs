//! Asterisk's `chan_websocket`: audio as binary messages, control as text, either its plain text (`MEDIA_START key:value …`) or its
//! JSON (`{"event": "MEDIA_START", …}`); the first event tells which.
//!
//! Asterisk times what it plays by itself and keeps what is too early, so it is told to `FLUSH_MEDIA` when the bot is interrupted.
//! Who calls is told by the address (`?from=…&to=…`, the dial string's `v(…)`) or, in JSON, by channel variables.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::pcm::Decoder;
use super::{Dialect, Encoding, Message, Say, Started, Told, Wrong, key, object, variables};
use crate::call::event::EventKind;

/// The translator.
pub struct Asterisk {
    query: BTreeMap<String, String>,
    /// Its control messages are JSON.
    json: bool,
    started: bool,
    decoder: Decoder,
    encoding: Encoding,
    marks: u32,
}

/// A control message, from either form.
struct Control {
    event: String,
    fields: BTreeMap<String, String>,
}

impl Asterisk {
    /// `query` are the parameters of the socket's address.
    pub fn new(query: &BTreeMap<String, String>) -> Self {
        let encoding = Encoding::Pcmu;
        Self {
            query: query.clone(),
            json: false,
            started: false,
            decoder: Decoder::new(encoding),
            encoding,
            marks: 0,
        }
    }

    fn read(&mut self, text: &str) -> Result<Control, Wrong> {
        if text.trim_start().starts_with('{') {
            self.json = true;
            let mut map = object(text)?;
            let event = map.get("event").and_then(Value::as_str).unwrap_or_default().to_owned();
            let nested = match map.remove("channel_variables") {
                Some(Value::Object(nested)) => nested,
                _ => Map::new(),
            };
            let mut fields = variables(&nested);
            fields.extend(variables(&map));
            return Ok(Control { event, fields });
        }
        let mut words = text.split_whitespace();
        let event = words.next().ok_or_else(|| Wrong::new("an empty text message"))?.to_owned();
        let pairs = words.filter_map(|word| word.split_once(':'));
        Ok(Control {
            event,
            fields: pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        })
    }

    fn start(&mut self, mut fields: BTreeMap<String, String>) -> Result<Told, Wrong> {
        if std::mem::replace(&mut self.started, true) {
            return Err(Wrong::new("a second MEDIA_START"));
        }
        let format = fields.get("format").map_or("ulaw", String::as_str);
        self.encoding = Encoding::named(format)?;
        self.decoder = Decoder::new(self.encoding);
        let rate = match format {
            "slin16" => 16_000,
            "slin24" => 24_000,
            "slin48" => 48_000,
            _ => 8_000,
        };
        let id = fields.get("channel_id").or_else(|| fields.get("channel")).cloned().unwrap_or_default();
        fields.extend(self.query.clone());
        let named = |name: &str| fields.get(name).cloned().unwrap_or_default();
        let (from, to) = (named("from"), named("to"));
        Ok(Told::Started(Started { id, from, to, rate, variables: fields }))
    }

    fn command(&self, command: &str, parameter: Option<(&str, &str)>) -> Message {
        Message::Text(if self.json {
            let mut message = json!({ "command": command });
            if let Some((name, value)) = parameter {
                message[name] = json!(value);
            }
            message.to_string()
        } else {
            parameter.map_or_else(|| command.to_owned(), |(_, value)| format!("{command} {value}"))
        })
    }
}

impl Dialect for Asterisk {
    fn name(&self) -> &'static str {
        "asterisk"
    }

    fn hear(&mut self, message: Message) -> Result<Vec<Told>, Wrong> {
        let text = match message {
            Message::Binary(audio) => return Ok(vec![Told::Audio(self.decoder.decode(&audio))]),
            Message::Text(text) => text,
        };
        let Control { event, fields } = self.read(&text)?;
        let named = |name: &str| fields.get(name).map(String::as_str).unwrap_or_default();
        let told = match event.as_str() {
            "MEDIA_START" => Some(self.start(fields)?),
            "DTMF_END" => key(named("digit")).map(Told::Key),
            "MEDIA_MARK_PROCESSED" => Some(Told::Played(named("correlation_id").to_owned())),
            "MEDIA_XOFF" => Some(Told::Takes(false)),
            "MEDIA_XON" => Some(Told::Takes(true)),
            // STATUS, QUEUE_DRAINED, MEDIA_BUFFERING_COMPLETED, ERROR and what later versions have.
            _ => None,
        };
        Ok(told.into_iter().collect())
    }

    fn say(&mut self, what: &Say) -> Vec<Message> {
        match what {
            Say::Audio(samples) => vec![Message::Binary(self.encoding.encode(samples))],
            Say::Event(event) => match &event.kind {
                EventKind::BargeInConfirmed { .. } => vec![self.command("FLUSH_MEDIA", None)],
                EventKind::BotSaid { .. } => {
                    self.marks += 1;
                    let name = format!("turn-{}", self.marks);
                    vec![self.command("MARK_MEDIA", Some(("correlation_id", &name)))]
                }
                _ => Vec::new(),
            },
            Say::HangUp => vec![self.command("HANGUP", None)],
            Say::Key(_) | Say::Named(_) => Vec::new(),
        }
    }
}
