//! A recogniser that knows what was said.
//!
//! It finds the audio that it is given in what came over the network, and so the moments of the caller's clock that are in it;
//! words that lie in them, and were not lost on the way, are the transcript. What the caller said hides what was said beside it. A
//! share of the words is misheard, each the same way every time. Such ears cost nothing, so thousands of conversations can be
//! run; how well speech is recognised they do not tell.

use std::time::Duration;

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use crate::asr::Transcript;
use crate::clock::Time;
use crate::media::{FRAME, FRAME_TIME};
use crate::sim::line::Received;

/// A word on the caller's clock.
#[derive(Clone, Debug)]
pub(super) struct Word {
    pub(super) text: String,
    pub(super) from: Time,
    pub(super) to: Time,
    pub(super) who: Speaker,
    /// How likely it is to be made out, in 0..=1, errors of the recogniser not counted.
    pub(super) clarity: f64,
}

/// Whose word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Speaker {
    Caller,
    /// Somebody near the telephone.
    Beside,
    /// The bot, by way of the caller's loudspeaker.
    Bot,
}

/// So much of a word must arrive for it to be recognised.
const ENOUGH: f64 = 0.55;
/// A word that the caller speaks over for more than this share of it is not heard.
const HIDDEN: f64 = 0.3;
/// Audio is looked for in so many frames before the present: twice the longest utterance.
const LOOK_BACK: usize = 1500;
/// Confidence in words of the caller, of others, and what a lost or misheard word takes off.
const SURE: f32 = 0.92;
const UNSURE: f32 = 0.5;
const LOSS: f32 = 0.5;

/// What came over the network, and what was really said.
#[derive(Debug)]
pub(super) struct Ears {
    received: Vec<Received>,
    words: Vec<(Word, String)>,
    errors: f64,
    rng: SmallRng,
}

impl Ears {
    /// `errors` is the share of misheard words, in 0..=1.
    pub(super) fn new(errors: f64, seed: u64) -> Self {
        let rng = SmallRng::seed_from_u64(seed);
        Self { received: Vec::new(), words: Vec::new(), errors: errors.clamp(0.0, 1.0), rng }
    }

    /// Somebody says something.
    pub(super) fn said(&mut self, word: Word) {
        let heard = if self.rng.random_bool(1.0 - (1.0 - self.errors) * word.clarity.clamp(0.0, 1.0)) {
            let others: Vec<&String> = self.words.iter().map(|(word, _)| &word.text).collect();
            let lost = self.rng.random_ratio(1, 3);
            others.choose(&mut self.rng).filter(|_| !lost).map_or_else(String::new, |text| (*text).clone())
        } else {
            word.text.clone()
        };
        self.words.push((word, heard));
    }

    /// The next 20 ms come over the network.
    pub(super) fn receive(&mut self, received: &Received) {
        self.received.push(*received);
    }

    /// When what was sent at `sent` has come.
    pub(super) fn arrival(&self, sent: Time) -> Time {
        let frames = self.received.iter().take_while(|r| r.sent + FRAME_TIME <= sent).count();
        Time::ZERO + FRAME_TIME * (frames as u32 + 1)
    }

    /// The words in `audio`.
    pub(super) fn recognise(&self, audio: &[i16]) -> Transcript {
        let nothing = Transcript { no_speech: 1.0, ..Transcript::default() };
        let Some(frames) = self.find(audio) else { return nothing };
        let (Some(first), Some(last)) = (frames.first(), frames.last()) else { return nothing };
        let (mut in_it, mut clear, mut caller) = (0_u32, 0_u32, false);
        let mut text = String::new();
        let mut words: Vec<_> =
            self.words.iter().filter(|(w, _)| w.to > first.sent && w.from < last.sent + FRAME_TIME).collect();
        words.sort_by_key(|(word, _)| (word.from, word.who));
        for (word, heard) in words {
            if word.who != Speaker::Caller && self.is_hidden(word) {
                continue;
            }
            in_it += 1;
            let arrived: f64 =
                frames.iter().filter(|f| f.real).map(|f| overlap(word, f.sent, f.sent + FRAME_TIME)).sum();
            if arrived < ENOUGH {
                continue;
            }
            clear += u32::from(*heard == word.text);
            caller |= word.who == Speaker::Caller;
            if text.ends_with(|c: char| c.is_ascii_alphabetic()) && heard.len() > 1 && heard.is_ascii() {
                text.push(' ');
            }
            text.push_str(heard);
        }
        if text.is_empty() {
            return nothing;
        }
        let sure = if caller { SURE } else { UNSURE };
        let confidence = sure - LOSS * (1.0 - clear as f32 / in_it.max(1) as f32);
        Transcript { text, confidence: confidence.max(0.05), ..Transcript::default() }
    }

    fn is_hidden(&self, word: &Word) -> bool {
        let caller = self.words.iter().filter(|(w, _)| w.who == Speaker::Caller);
        caller.map(|(w, _)| overlap(word, w.from, w.to)).sum::<f64>() > HIDDEN
    }

    fn find(&self, audio: &[i16]) -> Option<&[Received]> {
        let wanted = audio.len() / FRAME;
        let from = self.received.len().saturating_sub(LOOK_BACK);
        let recent = &self.received[from..];
        let same = |frames: &&[Received]| {
            frames.iter().zip(audio.chunks_exact(FRAME)).all(|(frame, samples)| frame.frame.0 == samples)
        };
        if wanted == 0 { None } else { recent.windows(wanted).rev().find(same) }
    }
}

/// The share of a word that lies between two moments, in 0..=1.
fn overlap(word: &Word, from: Time, to: Time) -> f64 {
    let shared = word.to.min(to).saturating_since(word.from.max(from));
    let length = word.to.saturating_since(word.from).max(Duration::from_millis(1));
    shared.as_secs_f64() / length.as_secs_f64()
}

/// `text` as words that follow one another evenly: characters, or words of a script with spaces.
pub(super) fn spread(text: &str, from: Time, to: Time, who: Speaker, clarity: f64) -> Vec<Word> {
    let parts: Vec<String> = if text.contains(' ') {
        text.split_whitespace().map(String::from).collect()
    } else {
        text.chars().map(String::from).collect()
    };
    let share = to.saturating_since(from) / (parts.len().max(1) as u32);
    let word = |(i, text): (usize, String)| {
        let from = from + share * i as u32;
        Word { text, from, to: from + share, who, clarity }
    };
    parts.into_iter().enumerate().map(word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::Frame;

    fn at(ms: u64) -> Time {
        Time::from_start(Duration::from_millis(ms))
    }

    /// A second of line, 100 ms late, of which the frames `lost` were concealed.
    fn ears(lost: std::ops::Range<usize>) -> Ears {
        let mut ears = Ears::new(0.0, 1);
        for i in 0..50 {
            let mut frame = Frame::SILENCE;
            frame.0[7] = i as i16;
            ears.receive(&Received { frame, sent: at(20 * i as u64), real: !lost.contains(&i) });
        }
        ears
    }

    fn audio(ears: &Ears, frames: std::ops::Range<usize>) -> Vec<i16> {
        ears.received[frames].iter().flat_map(|r| r.frame.0).collect()
    }

    #[test]
    fn only_what_lies_in_the_audio_is_heard() {
        let mut ears = ears(0..0);
        for word in spread("空调不冷", at(200), at(600), Speaker::Caller, 1.0) {
            ears.said(word);
        }
        assert_eq!(ears.recognise(&audio(&ears, 0..50)).text, "空调不冷");
        assert_eq!(ears.recognise(&audio(&ears, 0..20)).text, "空调");
        assert_eq!(ears.recognise(&audio(&ears, 20..45)).text, "不冷");
        assert_eq!(ears.recognise(&audio(&ears, 35..50)).text, "");
    }

    #[test]
    fn a_lost_word_is_not_heard_and_takes_confidence() {
        let (mut clear, mut lossy) = (ears(0..0), ears(15..20));
        for word in spread("空调不冷", at(200), at(600), Speaker::Caller, 1.0) {
            clear.said(word.clone());
            lossy.said(word);
        }
        let (clear, lossy) = (clear.recognise(&audio(&clear, 0..50)), lossy.recognise(&audio(&lossy, 0..50)));
        assert_eq!(lossy.text, "空不冷");
        assert!(lossy.confidence < clear.confidence, "{} and {}", lossy.confidence, clear.confidence);
    }

    #[test]
    fn the_caller_hides_what_is_said_beside() {
        let mut ears = ears(0..0);
        ears.said(Word {
            text: "吃".into(), from: at(100), to: at(200), who: Speaker::Beside, clarity: 1.0
        });
        ears.said(Word {
            text: "饭".into(), from: at(300), to: at(400), who: Speaker::Beside, clarity: 1.0
        });
        ears.said(Word {
            text: "好".into(), from: at(310), to: at(400), who: Speaker::Caller, clarity: 1.0
        });
        assert_eq!(ears.recognise(&audio(&ears, 0..50)).text, "吃好");
    }

    #[test]
    fn a_misheard_word_is_misheard_the_same_way_each_time() {
        let mut ears = Ears::new(1.0, 3);
        let said = ears_with(&mut ears);
        let first = ears.recognise(&said);
        assert_ne!(first.text, "空调不冷");
        assert_eq!(first, ears.recognise(&said));
    }

    fn ears_with(ears: &mut Ears) -> Vec<i16> {
        for word in spread("空调不冷", at(200), at(600), Speaker::Caller, 1.0) {
            ears.said(word);
        }
        for i in 0..50 {
            let mut frame = Frame::SILENCE;
            frame.0[7] = i;
            ears.receive(&Received { frame, sent: at(20 * i as u64), real: true });
        }
        audio(ears, 0..50)
    }
}
