//! A party whose audio comes by a socket of its own: WebSocket media streams of several platforms, AudioSocket, our own protocol.
//!
//! Each protocol is a [`Dialect`]: a translator without any socket. [`serve`] runs one between a socket and a [`StreamLeg`], which a
//! call pulls from and pushes to like any other leg. Memory is bounded both ways: a far end that sends faster than real time is
//! read no further until the call has heard what it sent, one that reads too slowly loses audio, and one that does not read at all
//! is gone.

pub mod asterisk;
pub mod audiosocket;
pub mod freeswitch;
pub mod jambonz;
mod leg;
pub mod own;
mod pcm;
mod run;
pub mod socket;
#[cfg(test)]
mod tests;
pub mod twilio;

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::call::event::Event;

pub use leg::{StreamLeg, StreamTap};
pub use pcm::Encoding;
pub use run::{Ended, Limits, Opened, serve};
pub use socket::Socket;

/// A message of a socket, either way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A text message.
    Text(String),
    /// A binary message.
    Binary(Bytes),
}

/// What a far end has told.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// The call begins. Comes once and first.
    Started(Started),
    /// Audio, in the rate that the start has told.
    Audio(Vec<i16>),
    /// A key.
    Key(char),
    /// What was sent before this mark has been played.
    Played(String),
    /// It takes no more audio for now (`false`), or takes some again.
    Takes(bool),
    /// The call is over.
    Ended,
}

/// What is known of a call when it begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Started {
    /// Its name at the far end; empty if it has none.
    pub id: String,
    /// Who calls; empty if it is not told.
    pub from: String,
    /// Who is called; empty if it is not told.
    pub to: String,
    /// Samples a second, both ways.
    pub rate: u32,
    /// What else it tells, by name.
    pub variables: BTreeMap<String, String>,
}

/// What a call has for the far end.
#[derive(Clone, Debug, PartialEq)]
pub enum Say {
    /// 20 ms of audio, in the rate that the start has told.
    Audio(Vec<i16>),
    /// Something has happened in the call. Dialects without a word for it say nothing.
    Event(Box<Event>),
    /// A key.
    Key(char),
    /// The call has this name here.
    Named(String),
    /// The call is over.
    HangUp,
}

/// A message that is none of the protocol's. It is told to the far end where the protocol has words for it, and ends the call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Wrong(pub String);

impl Wrong {
    fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

/// A protocol: translates, and remembers what it must. No sockets, no clock, no tasks.
pub trait Dialect: Send {
    /// Its name in records and metrics.
    fn name(&self) -> &'static str;

    /// What a message tells; nothing if it does not concern us.
    fn hear(&mut self, message: Message) -> Result<Vec<Told>, Wrong>;

    /// The messages that say it; none if there is no word for it.
    fn say(&mut self, what: &Say) -> Vec<Message>;

    /// The messages that tell of a mistake of the far end.
    fn complain(&mut self, _wrong: &Wrong) -> Vec<Message> {
        Vec::new()
    }
}

/// The protocols, by the last part of the address on which they are spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// Our own.
    Nightline,
    /// Twilio Media Streams (`<Connect><Stream>`).
    Twilio,
    /// Asterisk's `chan_websocket`.
    Asterisk,
    /// jambonz `listen`.
    Jambonz,
    /// FreeSWITCH `mod_audio_stream`.
    Freeswitch,
}

impl Protocol {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Nightline, Self::Twilio, Self::Asterisk, Self::Jambonz, Self::Freeswitch];

    /// Its part of the address.
    pub fn path(self) -> &'static str {
        match self {
            Self::Nightline => "nightline",
            Self::Twilio => "twilio",
            Self::Asterisk => "asterisk",
            Self::Jambonz => "jambonz",
            Self::Freeswitch => "freeswitch",
        }
    }

    /// The subprotocol that its WebSockets name, if they do.
    pub fn subprotocol(self) -> Option<&'static str> {
        match self {
            Self::Nightline => Some("nightline.media.v1"),
            Self::Jambonz => Some("audio.jambonz.org"),
            Self::Asterisk => Some("media"),
            Self::Twilio | Self::Freeswitch => None,
        }
    }

    /// A translator. `query` are the parameters of the socket's address: what some platforms tell of a call.
    pub fn dialect(self, query: &BTreeMap<String, String>) -> Box<dyn Dialect> {
        match self {
            Self::Nightline => Box::new(own::Own::default()),
            Self::Twilio => Box::new(twilio::Twilio::default()),
            Self::Asterisk => Box::new(asterisk::Asterisk::new(query)),
            Self::Jambonz => Box::new(jambonz::Jambonz::default()),
            Self::Freeswitch => Box::new(freeswitch::Freeswitch::new(query)),
        }
    }
}

impl std::str::FromStr for Protocol {
    type Err = ();

    fn from_str(path: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|protocol| protocol.path() == path).ok_or(())
    }
}

/// Samples a second that a far end may ask for.
fn known_rate(rate: u64) -> Result<u32, Wrong> {
    match rate {
        8_000 | 16_000 | 24_000 | 48_000 => Ok(rate as u32),
        other => Err(Wrong(format!("audio at {other} Hz is not taken: send 8000, 16000, 24000 or 48000"))),
    }
}

/// `text` as a JSON object.
fn object(text: &str) -> Result<serde_json::Map<String, serde_json::Value>, Wrong> {
    match serde_json::from_str(text) {
        Ok(serde_json::Value::Object(map)) => Ok(map),
        Ok(_) => Err(Wrong::new("a text message must be a JSON object")),
        Err(error) => Err(Wrong(format!("a text message is no JSON: {error}"))),
    }
}

/// What the far end wrote, for a complaint: it goes back there and into the log, and may be as long as a message and
/// have lines in it.
fn cut(text: &str) -> String {
    let mut chars = text.chars();
    let mut begin: String = chars.by_ref().take(40).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if chars.next().is_some() {
        begin.push('…');
    }
    begin
}

/// A key, if it is one.
pub(crate) fn key(text: &str) -> Option<char> {
    let mut chars = text.chars();
    let key = chars.next().filter(|c| c.is_ascii_digit() || "*#ABCDabcd".contains(*c))?;
    chars.next().is_none().then(|| key.to_ascii_uppercase())
}

/// What a JSON object says of a call beside what is asked for by name: numbers, words and truth values.
fn variables(map: &serde_json::Map<String, serde_json::Value>) -> BTreeMap<String, String> {
    use serde_json::Value;
    map.iter()
        .filter_map(|(name, value)| match value {
            Value::String(text) => Some((name.clone(), text.clone())),
            Value::Number(number) => Some((name.clone(), number.to_string())),
            Value::Bool(yes) => Some((name.clone(), yes.to_string())),
            _ => None,
        })
        .collect()
}
