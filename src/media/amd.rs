//! Is it a person who has answered, or a machine?
//!
//! A person says a word or two (喂, 您好哪位) and waits; an announcement goes on and on, and a voicemail ends it with a tone. The rule
//! is that of the answering-machine detectors that telephone systems have: how long the first speech is, and how long the
//! silence after it. It is decided within [`LIMIT`]; who says nothing by then is taken for a person.

use super::{FRAME, FRAME_TIME, Frame, RATE};
use std::time::Duration;

/// Who has answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A person, who waits for us to speak.
    Person,
    /// An announcement.
    Machine,
    /// A machine that records now: its tone has been heard.
    Tone,
}

/// A greeting that is longer is an announcement.
const LONGEST_GREETING: Duration = Duration::from_millis(2600);
/// A person who has spoken waits for so long.
const PERSON_WAITS: Duration = Duration::from_millis(800);
/// After so long without a decision it is a person.
pub const LIMIT: Duration = Duration::from_secs(5);
/// A pause within an announcement is shorter.
const PAUSE: Duration = Duration::from_millis(400);
/// A tone of this length is that of a voicemail.
const TONE: Duration = Duration::from_millis(180);
/// Share of a frame's energy in one frequency, from which it is a tone.
const PURE: f32 = 0.85;
/// Least level of sound, as the root of the mean square of 16-bit samples without their mean: −42 dB.
const QUIET: f32 = 260.0;

/// Listens to who has answered.
#[derive(Clone, Debug)]
pub struct Detector {
    longest: Duration,
    heard: Duration,
    /// Speech of the present greeting, its short pauses included.
    spoken: Duration,
    silence: Duration,
    tone: Duration,
    crossings: usize,
    decided: Option<Answer>,
}

impl Default for Detector {
    fn default() -> Self {
        Self::new(LONGEST_GREETING)
    }
}

impl Detector {
    /// Takes a first speech that is longer than `longest` for an announcement; shorter than [`LIMIT`].
    pub fn new(longest: Duration) -> Self {
        Self {
            longest: longest.min(LIMIT),
            heard: Duration::ZERO,
            spoken: Duration::ZERO,
            silence: Duration::ZERO,
            tone: Duration::ZERO,
            crossings: 0,
            decided: None,
        }
    }

    /// Takes 20 ms of the far end; gives the decision once, and [`Answer::Tone`] whenever a machine's tone is heard after it.
    pub fn push(&mut self, frame: &Frame) -> Option<Answer> {
        self.heard += FRAME_TIME;
        let loud = level(frame) > QUIET;
        if self.is_tone(frame, loud) {
            return self.decide(Answer::Tone);
        }
        if loud && self.tone.is_zero() {
            self.spoken += FRAME_TIME;
            if self.silence <= PAUSE {
                self.spoken += self.silence;
            }
            self.silence = Duration::ZERO;
        } else if !loud {
            self.silence += FRAME_TIME;
        }
        if self.decided.is_some() {
            return None;
        }
        if self.spoken >= self.longest {
            return self.decide(Answer::Machine);
        }
        let waits = self.spoken > Duration::ZERO && self.silence >= PERSON_WAITS;
        if waits || self.heard >= LIMIT {
            return self.decide(Answer::Person);
        }
        None
    }

    fn decide(&mut self, answer: Answer) -> Option<Answer> {
        let news = self.decided != Some(answer) && (answer == Answer::Tone || self.decided.is_none());
        self.decided = Some(answer);
        news.then_some(answer)
    }

    /// One steady frequency for long enough.
    fn is_tone(&mut self, frame: &Frame, loud: bool) -> bool {
        let signs = frame.0.windows(2).filter(|pair| (pair[0] < 0) != (pair[1] < 0)).count();
        let steady = signs.abs_diff(self.crossings) <= 1;
        self.crossings = signs;
        // 400 Hz to 2 kHz: lower is a voice's pitch, higher does not pass a telephone well.
        let pure = loud && (16..=80).contains(&signs) && purity(frame, signs) >= PURE;
        self.tone =
            if pure && (steady || self.tone.is_zero()) { self.tone + FRAME_TIME } else { Duration::ZERO };
        self.tone >= TONE
    }
}

fn level(frame: &Frame) -> f32 {
    let mean = frame.0.iter().map(|&s| f32::from(s)).sum::<f32>() / FRAME as f32;
    let square: f32 = frame.0.iter().map(|&s| (f32::from(s) - mean).powi(2)).sum();
    (square / FRAME as f32).sqrt()
}

/// Share of the frame's energy near the frequency that crosses zero so often; Goertzel's algorithm.
fn purity(frame: &Frame, crossings: usize) -> f32 {
    let energy: f32 = frame.0.iter().map(|&s| f32::from(s) * f32::from(s)).sum::<f32>().max(1.0);
    let power = |frequency: f32| {
        let turn = 2.0 * (2.0 * std::f32::consts::PI * frequency / RATE as f32).cos();
        let (mut before, mut last) = (0.0_f32, 0.0_f32);
        for &sample in &frame.0 {
            (before, last) = (last, f32::from(sample) + turn * last - before);
        }
        (last * last + before * before - turn * last * before) * 2.0 / FRAME as f32
    };
    let middle = crossings as f32 * RATE as f32 / (2.0 * FRAME as f32);
    [-18.0, -9.0, 0.0, 9.0, 18.0].map(|off| power(middle + off)).into_iter().fold(0.0, f32::max) / energy
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A voice: a pitch with overtones that wanders.
    fn voice(at: usize) -> Frame {
        Frame(std::array::from_fn(|i| {
            let t = (at * FRAME + i) as f32 / RATE as f32;
            let pitch = 140.0 + 25.0 * (3.0 * t).sin();
            let sum: f32 =
                (1..8).map(|k| (2.0 * std::f32::consts::PI * pitch * k as f32 * t).sin() / k as f32).sum();
            (2500.0 * sum) as i16
        }))
    }

    fn tone(at: usize, frequency: f32) -> Frame {
        Frame(std::array::from_fn(|i| {
            let t = (at * FRAME + i) as f32 / RATE as f32;
            (6000.0 * (2.0 * std::f32::consts::PI * frequency * t).sin()) as i16
        }))
    }

    /// Speech and silence in turn, in milliseconds; the decision and when it came.
    fn decide(parts: &[u64]) -> Option<(Answer, u64)> {
        let mut detector = Detector::default();
        let mut at = 0;
        for (i, part) in parts.iter().enumerate() {
            for _ in 0..part / 20 {
                let frame = if i % 2 == 0 { voice(at) } else { Frame::SILENCE };
                at += 1;
                if let Some(answer) = detector.push(&frame) {
                    return Some((answer, at as u64 * 20));
                }
            }
        }
        None
    }

    #[test]
    fn who_says_a_word_and_waits_is_a_person() {
        assert_eq!(decide(&[400, 2000]), Some((Answer::Person, 1200)));
        assert_eq!(decide(&[300, 300, 900, 2000]), Some((Answer::Person, 2300)), "喂……您好哪位");
    }

    #[test]
    fn an_announcement_is_a_machine_also_with_its_pauses() {
        let machine = decide(&[1200, 300, 1500, 300, 900]).map(|(answer, _)| answer);
        assert_eq!(machine, Some(Answer::Machine));
    }

    #[test]
    fn who_says_nothing_is_a_person_at_last() {
        assert_eq!(decide(&[0, 8000]), Some((Answer::Person, 5000)));
    }

    #[test]
    fn the_tone_of_a_voicemail_is_known_and_a_voice_is_none() {
        for frequency in [425.0, 850.0, 1000.0, 1400.0] {
            let mut detector = Detector::default();
            let heard = (0..20).find_map(|i| detector.push(&tone(i, frequency)));
            assert_eq!(heard, Some(Answer::Tone), "{frequency} Hz");
        }
        let mut detector = Detector::default();
        let answers: Vec<_> = (0..300).filter_map(|i| detector.push(&voice(i))).collect();
        assert_eq!(answers, [Answer::Machine], "an announcement without a tone");
        let after = (0..20).find_map(|i| detector.push(&tone(i, 1000.0)));
        assert_eq!(after, Some(Answer::Tone), "the tone after it");
    }
}
