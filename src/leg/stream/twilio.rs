//! Twilio Media Streams, both ways (`<Connect><Stream>`): JSON messages with µ-law at 8 kHz in base64.
//!
//! Twilio plays what it has been sent in its own time and keeps what is too early, so it is told to `clear` when the bot is
//! interrupted, and a `mark` after each of the bot's turns comes back once that has been heard.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value, json};

use super::pcm::Decoder;
use super::{Dialect, Encoding, Message, Say, Started, Told, Wrong, key, object, variables};
use crate::call::event::EventKind;

const RATE: u32 = 8_000;

/// The translator.
pub struct Twilio {
    stream: String,
    decoder: Decoder,
    /// The bot's turns so far.
    marks: u32,
}

impl Default for Twilio {
    fn default() -> Self {
        Self { stream: String::new(), decoder: Decoder::new(Encoding::Pcmu), marks: 0 }
    }
}

impl Twilio {
    fn message(&self, mut value: Value) -> Message {
        value["streamSid"] = json!(self.stream);
        Message::Text(value.to_string())
    }

    fn start(&mut self, message: &Map<String, Value>) -> Result<Told, Wrong> {
        if !self.stream.is_empty() {
            return Err(Wrong::new("a second `start`"));
        }
        let start = message.get("start").and_then(Value::as_object);
        let start = start.ok_or_else(|| Wrong::new("`start` without its object"))?;
        let text = |name: &str| start.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let format = start.get("mediaFormat").and_then(Value::as_object);
        let encoding =
            format.and_then(|f| f.get("encoding")).and_then(Value::as_str).unwrap_or("audio/x-mulaw");
        let rate = format.and_then(|f| f.get("sampleRate")).and_then(Value::as_u64).unwrap_or(8_000);
        if Encoding::named(encoding)? != Encoding::Pcmu || rate != u64::from(RATE) {
            return Err(Wrong(format!(
                "{encoding} at {rate} Hz is no format of Twilio's: audio/x-mulaw at 8000 Hz is"
            )));
        }
        self.stream =
            message.get("streamSid").and_then(Value::as_str).map_or_else(|| text("streamSid"), str::to_owned);
        if self.stream.is_empty() {
            return Err(Wrong::new("`start` without `streamSid`"));
        }
        let own = start.get("customParameters").and_then(Value::as_object).map(variables).unwrap_or_default();
        // TwiML has no other way to tell them: `<Parameter name="from" value="{{From}}"/>`.
        let (from, to) = (own.get("from").cloned(), own.get("to").cloned());
        Ok(Told::Started(Started {
            id: text("callSid"),
            from: from.unwrap_or_default(),
            to: to.unwrap_or_default(),
            rate: RATE,
            variables: own,
        }))
    }
}

impl Dialect for Twilio {
    fn name(&self) -> &'static str {
        "twilio"
    }

    fn hear(&mut self, message: Message) -> Result<Vec<Told>, Wrong> {
        let Message::Text(text) = message else {
            return Err(Wrong::new("Twilio sends text messages only"));
        };
        let message = object(&text)?;
        let inner = |name: &str, field: &str| {
            message.get(name).and_then(|inner| inner.get(field)).and_then(Value::as_str).unwrap_or_default()
        };
        let told = match message.get("event").and_then(Value::as_str) {
            Some("start") => Some(self.start(&message)?),
            // `outbound` is what was said to the caller, where both are streamed.
            Some("media") if inner("media", "track") == "outbound" => None,
            Some("media") => {
                let bytes = BASE64.decode(inner("media", "payload"));
                let bytes = bytes.map_err(|error| Wrong(format!("`media.payload` is no base64: {error}")))?;
                Some(Told::Audio(self.decoder.decode(&bytes)))
            }
            Some("dtmf") => key(inner("dtmf", "digit")).map(Told::Key),
            Some("mark") => Some(Told::Played(inner("mark", "name").to_owned())),
            Some("stop") => Some(Told::Ended),
            Some(_) => None,
            None => return Err(Wrong::new("a message without `event`")),
        };
        Ok(told.into_iter().collect())
    }

    fn say(&mut self, what: &Say) -> Vec<Message> {
        match what {
            Say::Audio(samples) => {
                let payload = BASE64.encode(Encoding::Pcmu.encode(samples));
                vec![self.message(json!({ "event": "media", "media": { "payload": payload } }))]
            }
            Say::Event(event) => match &event.kind {
                EventKind::BargeInConfirmed { .. } => vec![self.message(json!({ "event": "clear" }))],
                EventKind::BotSaid { .. } => {
                    self.marks += 1;
                    let name = format!("turn-{}", self.marks);
                    vec![self.message(json!({ "event": "mark", "mark": { "name": name } }))]
                }
                _ => Vec::new(),
            },
            // The stream's end lets TwiML go on with what follows `<Connect>`.
            Say::Key(_) | Say::Named(_) | Say::HangUp => Vec::new(),
        }
    }
}
