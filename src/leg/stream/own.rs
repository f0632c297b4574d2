//! Our own protocol, version 1: JSON as text, audio as binary messages. `docs/media/media.schema.json` has the shape of every message.
//!
//! The far end begins with `start`; then audio flows both ways in the encoding and rate that it has asked for. It is told what is heard and
//! said, how a transfer goes, when to throw away audio that it has not played (`clear`), and the end. A `mark` after each of the bot's
//! turns may be given back as `played`.

use serde_json::{Value, json};

use super::pcm::Decoder;
use super::{Dialect, Encoding, Message, Say, Started, Told, Wrong, cut, key, object, variables};
use crate::call::event::EventKind;
use crate::record::name_of;

/// The shape of every text message.
pub const SCHEMA: &str = include_str!("../../../docs/media/media.schema.json");
/// The same as AsyncAPI, which names the schema.
pub const ASYNCAPI: &str = include_str!("../../../docs/media/asyncapi.yaml");

/// The only version there is.
const VERSION: u64 = 1;

/// The translator.
pub struct Own {
    encoding: Encoding,
    rate: u32,
    decoder: Decoder,
    started: bool,
    words: Words,
}

impl Default for Own {
    fn default() -> Self {
        let encoding = Encoding::L16;
        Self {
            encoding,
            rate: 16_000,
            decoder: Decoder::new(encoding),
            started: false,
            words: Words::default(),
        }
    }
}

impl Own {
    fn start(&mut self, message: &serde_json::Map<String, Value>) -> Result<Told, Wrong> {
        let text = |name: &str| message.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        match message.get("version") {
            Some(version) if version.as_u64() == Some(VERSION) => {}
            other => {
                let other = cut(&other.cloned().unwrap_or_default().to_string());
                return Err(Wrong(format!("`version` is {other}: this server speaks version {VERSION}")));
            }
        }
        let format = message.get("format").and_then(Value::as_object);
        let format = format.ok_or_else(|| Wrong::new("`start` without `format`"))?;
        let encoding = format.get("encoding").and_then(Value::as_str).unwrap_or_default();
        self.encoding = Encoding::named(encoding)?;
        self.rate = super::known_rate(format.get("rate").and_then(Value::as_u64).unwrap_or_default())?;
        if self.encoding != Encoding::L16 && self.rate != 8_000 {
            return Err(Wrong(format!("{encoding} is for 8000 Hz, not {} Hz", self.rate)));
        }
        self.decoder = Decoder::new(self.encoding);
        self.started = true;
        let own = message.get("variables").and_then(Value::as_object).map(variables).unwrap_or_default();
        let (id, from, to) = (text("id"), text("from"), text("to"));
        Ok(Told::Started(Started { id, from, to, rate: self.rate, variables: own }))
    }
}

/// What happens in a call, in the words of this protocol. Web pages are told in the same.
#[derive(Debug, Default)]
pub struct Words {
    marks: u32,
}

impl Words {
    /// The message for it; none if it concerns nobody outside.
    pub fn of(&mut self, kind: &EventKind) -> Option<Value> {
        Some(match kind {
            EventKind::Partial(hypothesis) => {
                json!({ "type": "transcript", "who": "caller", "text": hypothesis.text(), "final": false })
            }
            EventKind::CallerSaid { text, confidence, .. } => json!({
                "type": "transcript", "who": "caller", "text": text, "final": true, "confidence": confidence,
            }),
            EventKind::BargeInConfirmed { .. } => json!({ "type": "clear" }),
            EventKind::BotSaid { text, interrupted, .. } => {
                self.marks += 1;
                let mark = format!("turn-{}", self.marks);
                json!({ "type": "said", "text": text, "interrupted": interrupted, "mark": mark })
            }
            EventKind::HandoffRequested { reason } => {
                json!({ "type": "transfer", "state": "requested", "reason": name_of(reason) })
            }
            EventKind::SeatDialled { .. } => json!({ "type": "transfer", "state": "ringing" }),
            EventKind::Bridged => json!({ "type": "transfer", "state": "joined" }),
            EventKind::HandoffEnded { outcome, .. } => {
                json!({ "type": "transfer", "state": "ended", "outcome": name_of(outcome) })
            }
            EventKind::Ended { disposition } => {
                json!({ "type": "ended", "disposition": name_of(disposition) })
            }
            _ => return None,
        })
    }
}

impl Dialect for Own {
    fn name(&self) -> &'static str {
        "websocket"
    }

    fn hear(&mut self, message: Message) -> Result<Vec<Told>, Wrong> {
        let text = match message {
            Message::Binary(_) if !self.started => return Err(Wrong::new("audio before `start`")),
            Message::Binary(audio) => return Ok(vec![Told::Audio(self.decoder.decode(&audio))]),
            Message::Text(text) => text,
        };
        let message = object(&text)?;
        let field = |name: &str| message.get(name).and_then(Value::as_str).unwrap_or_default();
        Ok(vec![match (field("type"), self.started) {
            ("start", false) => self.start(&message)?,
            ("start", true) => return Err(Wrong::new("a second `start`")),
            ("stop", _) => Told::Ended,
            (_, false) => return Err(Wrong::new("the first message must be `start`")),
            ("dtmf", _) => {
                let digit = field("digit");
                Told::Key(
                    key(digit).ok_or_else(|| {
                        Wrong(format!("`{}` is no key: send one of 0-9 * # A-D", cut(digit)))
                    })?,
                )
            }
            ("played", _) => Told::Played(field("mark").to_owned()),
            (other, _) => return Err(Wrong(format!("there is no message of type `{}`", cut(other)))),
        }])
    }

    fn say(&mut self, what: &Say) -> Vec<Message> {
        let value = match what {
            Say::Audio(samples) => return vec![Message::Binary(self.encoding.encode(samples))],
            Say::Named(call) => json!({
                "type": "started", "version": VERSION, "call": call,
                "format": { "encoding": self.encoding.name(), "rate": self.rate },
            }),
            Say::Key(digit) => json!({ "type": "dtmf", "digit": digit.to_string() }),
            Say::Event(event) => match self.words.of(&event.kind) {
                Some(value) => value,
                None => return Vec::new(),
            },
            // `ended` has been said.
            Say::HangUp => return Vec::new(),
        };
        vec![Message::Text(value.to_string())]
    }

    fn complain(&mut self, wrong: &Wrong) -> Vec<Message> {
        vec![Message::Text(json!({ "type": "error", "message": wrong.to_string() }).to_string())]
    }
}
