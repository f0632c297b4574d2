//! jambonz `listen` with `bidirectionalAudio.streaming`: a text message with what is known of the call, then binary messages of 16-bit
//! linear audio both ways, in the rate that the first message tells.

use serde_json::{Value, json};

use super::pcm::Decoder;
use super::{Dialect, Encoding, Message, Say, Started, Told, Wrong, key, object, variables};
use crate::call::event::EventKind;

/// The translator.
pub struct Jambonz {
    decoder: Decoder,
    started: bool,
    marks: u32,
}

impl Default for Jambonz {
    fn default() -> Self {
        Self { decoder: Decoder::new(Encoding::L16), started: false, marks: 0 }
    }
}

impl Dialect for Jambonz {
    fn name(&self) -> &'static str {
        "jambonz"
    }

    fn hear(&mut self, message: Message) -> Result<Vec<Told>, Wrong> {
        let text = match message {
            Message::Binary(audio) => return Ok(vec![Told::Audio(self.decoder.decode(&audio))]),
            Message::Text(text) => text,
        };
        let map = object(&text)?;
        if !std::mem::replace(&mut self.started, true) {
            let named = |name: &str| map.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
            if let Some(mix @ ("stereo" | "mixed")) = map.get("mixType").and_then(Value::as_str) {
                return Err(Wrong(format!("`mixType` is {mix}: only `mono` is what the caller alone says")));
            }
            let rate = super::known_rate(map.get("sampleRate").and_then(Value::as_u64).unwrap_or(8_000))?;
            let (id, from, to) = (named("callSid"), named("from"), named("to"));
            return Ok(vec![Told::Started(Started { id, from, to, rate, variables: variables(&map) })]);
        }
        let named = |name: &str| map.get(name).and_then(Value::as_str);
        let told = match (named("event"), named("type")) {
            (Some("dtmf"), _) => named("dtmf").and_then(key).map(Told::Key),
            (_, Some("mark")) if named("event") == Some("playout") || named("event").is_none() => {
                let name = map.get("data").and_then(|data| data.get("name")).and_then(Value::as_str);
                name.map(|name| Told::Played(name.to_owned()))
            }
            _ => None,
        };
        Ok(told.into_iter().collect())
    }

    fn say(&mut self, what: &Say) -> Vec<Message> {
        let text = |value: Value| vec![Message::Text(value.to_string())];
        match what {
            Say::Audio(samples) => vec![Message::Binary(Encoding::L16.encode(samples))],
            Say::Event(event) => match &event.kind {
                EventKind::BargeInConfirmed { .. } => text(json!({ "type": "killAudio" })),
                EventKind::BotSaid { .. } => {
                    self.marks += 1;
                    text(json!({ "type": "mark", "data": { "name": format!("turn-{}", self.marks) } }))
                }
                _ => Vec::new(),
            },
            Say::HangUp => text(json!({ "type": "disconnect" })),
            Say::Key(_) | Say::Named(_) => Vec::new(),
        }
    }
}
