//! What simulated callers are made of: stretches of speech and sounds, cut out of labelled recordings.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;

use crate::dialogue::Expect;
use crate::media::RATE;
use crate::qa::turns::{Group, Item, Set, Truth};

/// Labelled recordings, sorted by what callers need.
#[derive(Debug, Default)]
pub struct Material {
    sets: Vec<Set>,
    /// Turns by what they answer.
    turns: BTreeMap<&'static str, Vec<At>>,
    hesitations: Vec<At>,
    interruptions: Vec<At>,
    backchannels: Vec<At>,
    coughs: Vec<At>,
    side_talk: Vec<At>,
    voices: Vec<String>,
    /// The bot's voice, 16 kHz.
    bot: Vec<i16>,
}

/// A recording: which set, which item.
#[derive(Clone, Copy, Debug)]
struct At(usize, usize);

/// Sound without a pause.
#[derive(Clone, Debug, Default)]
pub(super) struct Piece {
    /// The words; empty if it is none.
    pub(super) text: String,
    /// 16 kHz mono, silent at its edges.
    pub(super) samples: Vec<i16>,
    /// Where in `samples` it sounds.
    pub(super) sounds: Range<usize>,
}

/// A turn: pieces, and the pauses between them.
#[derive(Clone, Debug, Default)]
pub(super) struct Turn {
    pub(super) pieces: Vec<Piece>,
    pub(super) pauses: Vec<Duration>,
}

/// Kept around a stretch: its voice dies away.
const BEFORE: usize = RATE as usize / 100;
const AFTER: usize = RATE as usize / 20;
const FADE: usize = RATE as usize / 200;
/// With fewer recordings of a voice than this, others speak too: a caller does not say the same all the time.
const FEW: usize = 3;
/// A noisier recording is not used: the noise would come and go with the voice.
const LEAST_SNR_DB: f32 = 20.0;

impl Material {
    /// Sorts the recordings of `language` of some sets.
    pub fn new(sets: Vec<Set>, language: &str) -> Self {
        let mut material = Self::default();
        for (s, set) in sets.iter().enumerate() {
            for (i, item) in set.items().iter().enumerate() {
                material.sort(At(s, i), item, language);
            }
        }
        for (text, voice) in sets.iter().flat_map(Set::all_prompts) {
            if text.is_ascii() == (language == "en") {
                material.bot.extend(voice.iter().flat_map(|frame| frame.0));
            }
        }
        material.voices.sort();
        material.voices.dedup();
        material.sets = sets;
        material
    }

    /// What is missing for callers of every kind, if anything is.
    pub fn lacks(&self) -> Option<&'static str> {
        [
            (self.turns(Expect::Open).is_empty(), "turns"),
            (self.hesitations.is_empty(), "hesitations"),
            (self.interruptions.is_empty(), "interruptions"),
            (self.backchannels.is_empty(), "backchannels"),
            (self.coughs.is_empty(), "coughs"),
            (self.side_talk.is_empty(), "side talk"),
            (self.voices.len() < 2, "a second voice"),
            (self.bot.is_empty(), "voice of the bot"),
        ]
        .into_iter()
        .find_map(|(lacks, what)| lacks.then_some(what))
    }

    /// `length` samples of the bot's voice, which are others for another `text`.
    pub(super) fn bot(&self, text: &str, length: usize) -> Vec<i16> {
        // FNV-1a.
        let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let from = (hash % self.bot.len().max(1) as u64) as usize;
        self.bot.iter().cycle().skip(from).take(length).copied().collect()
    }

    /// Any voice.
    pub(super) fn voice(&self, rng: &mut SmallRng) -> String {
        self.voices.choose(rng).cloned().unwrap_or_default()
    }

    /// A turn that answers such a question, in this voice if there is one.
    pub(super) fn turn(&self, expect: Expect, voice: &str, rng: &mut SmallRng) -> Turn {
        self.draw(self.turns(expect), Some(voice), rng)
    }

    /// A hesitation: a 嗯, and the pause after it.
    pub(super) fn hesitation(&self, voice: &str, rng: &mut SmallRng) -> Turn {
        let mut turn = self.draw(&self.hesitations, Some(voice), rng);
        turn.pieces.truncate(1);
        turn.pauses.truncate(1);
        turn
    }

    /// What is said to interrupt.
    pub(super) fn interruption(&self, voice: &str, rng: &mut SmallRng) -> Turn {
        self.draw(&self.interruptions, Some(voice), rng)
    }

    /// What is said to show that one listens.
    pub(super) fn backchannel(&self, voice: &str, rng: &mut SmallRng) -> Turn {
        self.draw(&self.backchannels, Some(voice), rng)
    }

    /// A cough, a sneeze, a laugh.
    pub(super) fn cough(&self, rng: &mut SmallRng) -> Turn {
        self.draw(&self.coughs, None, rng)
    }

    /// Voices of others, already far away, of which no word can be made out.
    pub(super) fn side_talk(&self, rng: &mut SmallRng) -> Turn {
        self.draw(&self.side_talk, None, rng)
    }

    fn turns(&self, expect: Expect) -> &[At] {
        self.turns.get(question(expect)).or_else(|| self.turns.get(question(Expect::Open))).map_or(&[], |t| t)
    }

    fn sort(&mut self, at: At, item: &Item, language: &str) {
        let clear = item.channel.snr_db.is_none_or(|snr| snr >= LEAST_SNR_DB) && item.channel.loss <= 0.0;
        if item.language != language || item.echo.is_some() || !clear {
            return;
        }
        match (item.group, item.truth) {
            (Group::Turn, _) => {
                self.turns.entry(question(item.expect)).or_default().push(at);
                if item.kind == "hesitation" && item.stretches.len() > 1 {
                    self.hesitations.push(at);
                }
                self.voices.extend(item.voice.clone());
            }
            (_, Truth::Interrupt) => self.interruptions.push(at),
            (_, Truth::Backchannel) => self.backchannels.push(at),
            (_, Truth::Cough) => self.coughs.push(at),
            (_, Truth::SideTalk) => self.side_talk.push(at),
            _ => {}
        }
    }

    fn draw(&self, from: &[At], voice: Option<&str>, rng: &mut SmallRng) -> Turn {
        let own: Vec<At> = from
            .iter()
            .filter(|at| voice.is_some() && self.item(**at).voice.as_deref() == voice)
            .copied()
            .collect();
        let from = if own.len() < FEW { from } else { &own };
        from.choose(rng).map(|at| self.cut(*at)).unwrap_or_default()
    }

    fn item(&self, at: At) -> &Item {
        &self.sets[at.0].items()[at.1]
    }

    fn cut(&self, at: At) -> Turn {
        let item = self.item(at);
        let line: Vec<i16> = self.sets[at.0].frames(item).iter().flat_map(|frame| frame.0).collect();
        // Labels count samples of 8 kHz.
        let stretches = item.stretches.iter().map(|s| (s.text.as_str(), 2 * s.start..2 * s.end));
        let sounds = item.sounds.iter().map(|s| ("", 2 * s.start..2 * s.end));
        let parts: Vec<(&str, Range<usize>)> = stretches.chain(sounds).collect();
        let pauses = parts.windows(2).map(|pair| {
            let samples = pair[1].1.start.saturating_sub(pair[0].1.end);
            Duration::from_secs_f64(samples as f64 / f64::from(RATE))
        });
        Turn {
            pauses: pauses.collect(),
            pieces: parts.iter().map(|(text, range)| piece(text, &line, range)).collect(),
        }
    }
}

fn piece(text: &str, line: &[i16], range: &Range<usize>) -> Piece {
    let end = (range.end + AFTER).min(line.len());
    let start = range.start.saturating_sub(BEFORE).min(end);
    let mut samples = line[start..end].to_vec();
    let length = samples.len();
    for i in 0..FADE.min(length) {
        let soft = |sample: i16| (i32::from(sample) * i as i32 / FADE as i32) as i16;
        samples[i] = soft(samples[i]);
        samples[length - 1 - i] = soft(samples[length - 1 - i]);
    }
    Piece { text: text.into(), samples, sounds: range.start - start..range.end.min(end) - start }
}

fn question(expect: Expect) -> &'static str {
    match expect {
        Expect::Open => "open",
        Expect::YesNo => "yes_no",
        Expect::Phone => "phone",
        Expect::Plate => "plate",
        Expect::Number => "number",
        Expect::Time => "time",
        Expect::Rating => "rating",
        Expect::Message => "message",
    }
}
