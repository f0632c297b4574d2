//! Turn-taking on labelled recordings: where callers' turns end, and what said over the bot is an interruption.
//!
//! A [`Set`] is one file of recordings with a list (see `fixtures/turns/README.md`). [`bench::run`] plays one recording to the
//! core of a call, with the real ears and recogniser, on virtual time; [`score`] makes figures and the curve of false
//! cut-offs against delay.

pub mod bench;
mod line;
pub mod score;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use nightline_sip::rtp::Law;
use serde::{Deserialize, Serialize};

use crate::dialogue::Expect;
use crate::media::wire::{FromWire, WIRE_FRAME};
use crate::media::{FRAME_TIME, Frame};

/// Samples in a millisecond of a recording.
const PER_MS: usize = 8;

/// Recordings with their labels.
#[derive(Debug)]
pub struct Set {
    items: Vec<Item>,
    prompts: HashMap<String, Prompt>,
    /// Impulse responses of echoes: where each begins, and how long it is.
    paths: HashMap<String, (usize, usize)>,
    audio: Vec<u8>,
}

/// One recording. Positions are samples of 8 kHz from its beginning.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Item {
    /// Its name.
    pub id: String,
    /// Where it begins in the file of the recordings.
    at: usize,
    /// How long it is.
    pub length: usize,
    /// What it shows.
    pub group: Group,
    /// What kind of turn it is, freely named.
    pub kind: String,
    /// What it really is.
    pub truth: Truth,
    /// ISO 639-1 code.
    pub language: String,
    /// What the bot's last question expects.
    pub expect: Expect,
    /// Stretches of the caller's speech, between which there are pauses.
    pub stretches: Vec<Stretch>,
    /// Where the last thing that sounds ends.
    pub end: usize,
    /// What the bot says meanwhile.
    pub bot: Vec<BotSpeech>,
    /// Who speaks; nobody in some.
    #[serde(default)]
    pub voice: Option<String>,
    /// Sounds that are no speech to the bot.
    #[serde(default)]
    pub sounds: Vec<Sound>,
    /// How the bot's voice comes back, if it does.
    #[serde(default)]
    pub echo: Option<EchoPath>,
    /// What the line did.
    #[serde(default)]
    pub channel: Channel,
}

/// A sound that is no speech to the bot.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Sound {
    /// Which.
    pub sound: String,
    /// Its first sample.
    pub start: usize,
    /// The sample after its last.
    pub end: usize,
}

/// How the bot's voice comes back.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct EchoPath {
    /// Samples from what was sent to the beginning of its echo.
    delay: usize,
    /// Id of the impulse response.
    path: String,
    /// What its samples are multiplied by.
    gain: f32,
}

/// What the line did to a recording.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
pub struct Channel {
    /// Speech to noise; [`None`] for digital silence between words.
    pub snr_db: Option<f32>,
    /// Share of lost packets, in 0..=1.
    pub loss: f32,
}

/// What a recording shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Group {
    /// Where a turn ends.
    Turn,
    /// Something over the bot's speech.
    BargeIn,
}

/// What a recording really is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Truth {
    /// A turn of the caller.
    Turn,
    /// The caller wants to speak.
    Interrupt,
    /// The caller listens, and says so.
    Backchannel,
    /// A cough, a sneeze, a laugh.
    Cough,
    /// The bot's own voice.
    Echo,
    /// Clicks, music, the street.
    Noise,
    /// Somebody else speaks, to somebody else.
    SideTalk,
}

/// Speech without a pause.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Stretch {
    /// Its words.
    pub text: String,
    /// Its first sample.
    pub start: usize,
    /// The sample after its last.
    pub end: usize,
}

/// Speech of the bot during a recording.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct BotSpeech {
    /// Id of the prompt.
    pub prompt: String,
    /// Its first sample.
    pub start: usize,
    /// The sample after its last.
    pub end: usize,
}

/// What the bot says: words and voice.
#[derive(Clone, Debug)]
pub struct Prompt {
    /// The words.
    pub text: String,
    at: usize,
    length: usize,
}

/// Why a set cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file is not there.
    #[error("cannot read {}: {source}; a set is NAME.jsonl beside NAME.al.zst, as `fixtures/turns/make` makes it", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A line of the list is wrong.
    #[error("{}:{line}: {reason}; make the set anew with `fixtures/turns/make`", path.display())]
    Line {
        /// The list.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
}

impl Set {
    /// Reads NAME.jsonl and NAME.al.zst.
    pub fn load(list: &Path) -> Result<Self, Error> {
        let file = |path: &Path, source| Error::File { path: path.into(), source };
        let recordings = list.with_extension("al.zst");
        let text = std::fs::read_to_string(list).map_err(|e| file(list, e))?;
        let packed = std::fs::File::open(&recordings).map_err(|e| file(&recordings, e))?;
        let audio = zstd::decode_all(packed).map_err(|e| file(&recordings, e))?;
        let mut set = Self { items: Vec::new(), prompts: HashMap::new(), paths: HashMap::new(), audio };
        for (index, line) in text.lines().enumerate() {
            let wrong = |reason: String| Error::Line { path: list.into(), line: index + 1, reason };
            let line: Line = serde_json::from_str(line).map_err(|e| wrong(e.to_string()))?;
            let (at, length) = match &line {
                Line::Prompt { at, length, .. } | Line::Path { at, length, .. } => (*at, *length),
                Line::Item(item) => (item.at, item.length),
            };
            if at.checked_add(length).is_none_or(|end| end > set.audio.len()) {
                return Err(wrong(format!("it ends after {}", recordings.display())));
            }
            match line {
                Line::Prompt { id, text, .. } => {
                    set.prompts.insert(id, Prompt { text, at, length });
                }
                Line::Path { id, .. } => {
                    set.paths.insert(id, (at, length));
                }
                Line::Item(item) => match set.lacks(&item) {
                    Some(missing) => return Err(wrong(format!("there is no {missing} above it"))),
                    None => set.items.push(item),
                },
            }
        }
        Ok(set)
    }

    /// What `item` needs and is not there.
    fn lacks(&self, item: &Item) -> Option<String> {
        let prompt = item.bot.iter().find(|bot| !self.prompts.contains_key(&bot.prompt));
        let path = item.echo.as_ref().filter(|echo| !self.paths.contains_key(&echo.path));
        let prompt = prompt.map(|bot| format!("prompt `{}`", bot.prompt));
        prompt.or_else(|| path.map(|echo| format!("path `{}`", echo.path)))
    }

    /// The recordings.
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// The line as the server hears it, 20 ms at a time; but for the echo, which follows what is played.
    pub fn frames(&self, item: &Item) -> Vec<Frame> {
        self.decode(item.at, item.length)
    }

    /// What the bot says during a recording: the words of each prompt, and its voice from the first frame to the last.
    pub fn prompts(&self, item: &Item) -> Vec<(&str, Vec<Frame>)> {
        let prompt = |speech: &BotSpeech| {
            let prompt = self.prompts.get(&speech.prompt)?;
            Some((prompt.text.as_str(), self.decode(prompt.at, prompt.length)))
        };
        item.bot.iter().filter_map(prompt).collect()
    }

    /// What the bot says in any recording, in the order of the recordings: the words, and its voice.
    pub fn all_prompts(&self) -> Vec<(&str, Vec<Frame>)> {
        let mut prompts: Vec<&Prompt> = self.prompts.values().collect();
        prompts.sort_by_key(|prompt| prompt.at);
        prompts.iter().map(|prompt| (prompt.text.as_str(), self.decode(prompt.at, prompt.length))).collect()
    }

    fn decode(&self, at: usize, length: usize) -> Vec<Frame> {
        let mut line = FromWire::default();
        let packets = self.audio[at..at + length].chunks(WIRE_FRAME);
        packets
            .map(|packet| {
                let mut samples = [0; WIRE_FRAME];
                // A last, shorter packet ends in silence.
                Law::A.decode(packet, &mut samples);
                line.convert(&samples)
            })
            .collect()
    }
}

impl Item {
    /// Milliseconds of a position.
    pub fn ms(position: usize) -> u64 {
        (position / PER_MS) as u64
    }

    /// Milliseconds of the recording.
    pub fn duration_ms(&self) -> u64 {
        Self::ms(self.length)
    }

    /// When the caller's speech ends, in milliseconds.
    pub fn end_ms(&self) -> u64 {
        Self::ms(self.end)
    }

    /// When the caller's speech (or what sounds like it) begins, in milliseconds.
    pub fn begin_ms(&self) -> Option<u64> {
        self.stretches.first().map(|s| s.start).or(self.sounds.first().map(|s| s.start)).map(Self::ms)
    }

    /// Its frames of 20 ms.
    pub fn frames(&self) -> u64 {
        self.duration_ms() / FRAME_TIME.as_millis() as u64
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Item(Item),
    Prompt { id: String, at: usize, length: usize, text: String },
    Path { id: String, at: usize, length: usize },
}
