//! FreeSWITCH `mod_audio_stream`: binary messages of 16-bit linear audio from the caller, and what is to be played as raw binary messages,
//! too. The address tells the rate and who calls (`?rate=8000&from=…&to=…`); metadata may come as text, and keys are not told.

use std::collections::BTreeMap;

use serde_json::Value;

use super::pcm::Decoder;
use super::{Dialect, Encoding, Message, Say, Started, Told, Wrong, cut, object, variables};

/// The translator.
pub struct Freeswitch {
    query: BTreeMap<String, String>,
    decoder: Decoder,
    started: bool,
}

impl Freeswitch {
    /// `query` are the parameters of the socket's address.
    pub fn new(query: &BTreeMap<String, String>) -> Self {
        Self { query: query.clone(), decoder: Decoder::new(Encoding::L16), started: false }
    }

    /// The module tells of no beginning: the first message is one.
    fn start(&mut self, metadata: BTreeMap<String, String>) -> Result<Option<Told>, Wrong> {
        if std::mem::replace(&mut self.started, true) {
            return Ok(None);
        }
        let mut variables = metadata;
        variables.extend(self.query.clone());
        let named = |name: &str| variables.get(name).cloned().unwrap_or_default();
        let rate = match variables.get("rate") {
            Some(rate) => super::known_rate(
                rate.parse().map_err(|_| Wrong(format!("`rate={}` is no number", cut(rate))))?,
            )?,
            None => 8_000,
        };
        let (id, from, to) = (named("uuid"), named("from"), named("to"));
        Ok(Some(Told::Started(Started { id, from, to, rate, variables })))
    }
}

impl Dialect for Freeswitch {
    fn name(&self) -> &'static str {
        "freeswitch"
    }

    fn hear(&mut self, message: Message) -> Result<Vec<Told>, Wrong> {
        Ok(match message {
            Message::Binary(audio) => {
                let started = self.start(BTreeMap::new())?;
                started.into_iter().chain([Told::Audio(self.decoder.decode(&audio))]).collect()
            }
            // What the dialplan gives as metadata need not be JSON.
            Message::Text(text) => {
                let metadata = object(&text).unwrap_or_default();
                if metadata.get("event").and_then(Value::as_str) == Some("stop") {
                    return Ok(vec![Told::Ended]);
                }
                self.start(variables(&metadata))?.into_iter().collect()
            }
        })
    }

    fn say(&mut self, what: &Say) -> Vec<Message> {
        match what {
            Say::Audio(samples) => vec![Message::Binary(Encoding::L16.encode(samples))],
            // It plays what it gets and has no words for the rest; the end of the socket is the end of the stream.
            Say::Event(_) | Say::Key(_) | Say::Named(_) | Say::HangUp => Vec::new(),
        }
    }
}
