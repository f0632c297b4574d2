//! What the caller is saying: from frames to utterances, their revisions and their words.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::endpointing::{Contour, Follower};
use super::io::HearingId;
use super::level::{Level, Noise};
use crate::asr::stream::{self, Agreement, Hypothesis};
use crate::asr::{Times, Transcript};
use crate::clock::Time;
use crate::media::periodicity::{PERIODIC, Periodicity};
use crate::media::{FRAME, FRAME_TIME, Frame, RATE};

/// Tells speech from the rest, frame by frame.
pub trait VoiceActivity: Send {
    /// Probability in 0..=1 that the frame is speech.
    fn probability(&mut self, frame: &Frame) -> f32;
}

/// When speech begins and ends.
#[derive(Clone, Copy, Debug)]
pub struct Hearing {
    /// A frame at or above this probability counts toward the onset.
    pub onset: f32,
    /// A frame at or above this probability keeps speech going.
    pub sustain: f32,
    /// Audio kept from before the onset.
    pub pre_roll: Duration,
    /// New audio between two partials; up to four times as much while the recogniser is overloaded.
    pub partial_interval: Duration,
    /// Speech shorter than this is a click or a cough and is not transcribed.
    pub shortest: Duration,
    /// An utterance is cut at this length.
    pub longest: Duration,
}

impl Default for Hearing {
    fn default() -> Self {
        Self {
            onset: 0.5,
            sustain: 0.35,
            pre_roll: Duration::from_millis(300),
            partial_interval: Duration::from_millis(240),
            shortest: Duration::from_millis(100),
            longest: Duration::from_secs(15),
        }
    }
}

/// Voiced frames among the last [`ONSET_WINDOW`] that make an onset.
const ONSET_FRAMES: u32 = 3;
const ONSET_WINDOW: u32 = 4;
/// Pauses that make a habit.
const HABIT: u32 = 2;
/// Frames whose probability is kept.
const PROBABILITIES: usize = 5;
/// How far the interval of partials is widened at most.
const WIDEST: u32 = 4;
/// Silence that a recogniser is given at the end of an utterance; more of it makes models invent words.
const TAIL: Duration = Duration::from_millis(300);
/// Below this probability a frame is the noise of the line.
const QUIET: f32 = 0.1;
/// Voiced frames in a row that show that the caller speaks on after a likely end.
const RESUME_FRAMES: u32 = 2;

/// A change in what the caller is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Speech has begun.
    Started,
    /// Speech goes on after a final was asked for: what was speculated is stale.
    Resumed,
    /// It was too short to be a word and is dropped.
    Dropped,
}

/// What came of a partial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartialWords<'a> {
    /// These words, from the beginning of the stretch.
    Heard(&'a str),
    /// No words, or none that can be trusted.
    Nothing,
    /// The recogniser is overloaded and did not do it.
    Busy,
}

/// The caller's utterance in progress.
#[derive(Debug)]
pub struct Utterance {
    /// Number and revision.
    pub id: HearingId,
    /// When speech began.
    pub began: Time,
    /// The last frame of speech.
    pub last_speech: Time,
    /// The final transcript of the present revision.
    pub transcript: Option<Transcript>,
    /// When that came.
    pub transcribed: Option<Time>,
    /// The same without what was settled before.
    latest: Transcript,
    /// True if the final of this revision was asked for.
    pub final_asked: bool,
    audio: Vec<i16>,
    /// Words of earlier stretches, between which there were real pauses.
    settled: Vec<Transcript>,
    voiced: u32,
    voiced_in_a_row: u32,
    pitched: u32,
    /// Samples before `audio`: those that were settled.
    offset: usize,
    agreement: Agreement,
    /// Words of the newest partial of the present stretch.
    partial: Option<String>,
    partial_at: usize,
    /// In which stretch the partial under way was asked for.
    partial_asked: Option<usize>,
    /// Partials that found no words.
    wordless: u32,
    /// How the voice goes in the present stretch.
    follower: Follower,
    level: Level,
}

impl Utterance {
    /// Speech in it, pauses not counted.
    pub fn spoken(&self) -> Duration {
        FRAME_TIME * self.voiced
    }

    /// As much of it as has a pitch.
    pub fn pitched(&self) -> Duration {
        FRAME_TIME * self.pitched
    }

    /// The present stretch with its pre-roll, and at most 300 ms of silence at its end.
    pub fn audio(&self, now: Time) -> Arc<[i16]> {
        let silence = now.saturating_since(self.last_speech).saturating_sub(TAIL);
        let excess = (silence.as_millis() / FRAME_TIME.as_millis()) as usize * FRAME;
        Arc::from(&self.audio[..self.audio.len().saturating_sub(excess)])
    }

    /// Length of the stretch that is still to be recognised.
    pub fn length(&self) -> Duration {
        FRAME_TIME * (self.audio.len() / FRAME) as u32
    }

    /// Takes the final transcript of the present revision, and joins it to what was settled before.
    pub fn transcribed(&mut self, now: Time, transcript: Transcript) {
        self.transcribed = Some(now);
        let transcript = shifted(transcript, self.offset);
        let latest = transcript.clone();
        let joined = self.settled.iter().cloned().chain([transcript]).reduce(join);
        self.transcript = joined;
        self.latest = latest;
    }

    /// The caller goes on after a pause that was long enough to be transcribed: what came before is settled, and only what
    /// follows is still to be recognised. A recogniser is at its best with one stretch of speech at a time.
    fn settle(&mut self, pre_roll: Duration) {
        if self.transcript.take().is_none_or(|t| t.text.is_empty()) {
            return;
        }
        self.settled.push(std::mem::take(&mut self.latest));
        let keep = (pre_roll.as_millis() / FRAME_TIME.as_millis()) as usize * FRAME;
        let excess = self.audio.len().saturating_sub(keep);
        self.audio.drain(..excess);
        self.offset += excess;
        self.agreement = Agreement::default();
        self.partial = None;
        self.partial_at = 0;
        self.follower = Follower::default();
    }

    /// The words so far: what was settled before pauses is committed, and what successive partials agree on.
    pub fn hypothesis(&self) -> Hypothesis {
        let Hypothesis { committed, tentative } = self.agreement.hypothesis();
        let settled = self.settled.iter().map(|t| t.text.as_str());
        let committed = settled.chain([committed.as_str()]).fold(String::new(), |mut text, more| {
            stream::push(&mut text, more);
            text
        });
        Hypothesis { committed, tentative }
    }

    /// The best words so far.
    pub fn words(&self) -> String {
        self.transcript.as_ref().map_or_else(|| self.hypothesis().text(), |t| t.text.clone())
    }

    /// The words that will not change any more, but for the final.
    pub fn sure_words(&self) -> String {
        self.transcript.as_ref().map_or_else(|| self.hypothesis().committed, |t| t.text.clone())
    }

    /// Level of its speech, dB relative to full scale: a fifth of the voiced frames are louder. Noise is taken off.
    pub fn loudness(&self) -> f32 {
        self.level.loud()
    }

    /// Level of the last tenth of a second of speech, dB relative to full scale.
    pub fn recent_loudness(&self) -> f32 {
        self.level.recent()
    }

    /// How the voice ended, if it has.
    pub fn contour(&self) -> Contour {
        self.follower.contour()
    }

    /// Partials that found no words, or none to be trusted.
    pub fn wordless_partials(&self) -> u32 {
        self.wordless
    }

    /// Words of the newest partial of the present stretch.
    pub fn partial(&self) -> Option<&str> {
        self.partial.as_deref()
    }
}

/// Hears one leg.
pub struct Listening {
    vad: Box<dyn VoiceActivity>,
    hearing: Hearing,
    pre_roll: Vec<i16>,
    recent: u32,
    count: u32,
    /// How far the interval of partials is widened.
    widened: u32,
    /// Probabilities of speech in the last 100 ms.
    probabilities: VecDeque<f32>,
    habit: Habit,
    utterance: Option<Utterance>,
    noise: Noise,
    periodicity: Periodicity,
}

/// How long this caller pauses within a turn.
#[derive(Clone, Copy, Debug, Default)]
struct Habit {
    /// Logarithms of the pauses in seconds.
    sum: f32,
    count: u32,
}

impl Habit {
    fn push(&mut self, pause: Duration) {
        self.sum += pause.as_secs_f32().max(0.02).ln();
        self.count += 1;
    }

    /// The geometric mean.
    fn usual(self) -> Option<Duration> {
        (self.count >= HABIT).then(|| Duration::from_secs_f32((self.sum / self.count as f32).exp()))
    }
}

impl Listening {
    /// Ears with this voice activity detector.
    pub fn new(vad: Box<dyn VoiceActivity>, hearing: Hearing) -> Self {
        Self {
            vad,
            hearing,
            pre_roll: Vec::new(),
            recent: 0,
            count: 0,
            widened: 1,
            probabilities: VecDeque::from([0.0; PROBABILITIES]),
            habit: Habit::default(),
            utterance: None,
            noise: Noise::default(),
            periodicity: Periodicity::default(),
        }
    }

    /// Takes the next 20 ms. What is `echo` is no speech.
    pub fn push(&mut self, now: Time, frame: &Frame, echo: bool) -> Option<Change> {
        let probability = self.vad.probability(frame);
        let probability = if echo { 0.0 } else { probability };
        self.probabilities.rotate_left(1);
        self.probabilities[PROBABILITIES - 1] = probability;
        if probability < QUIET && !echo {
            self.noise.push(frame);
        }
        self.periodicity.push(frame);
        match &mut self.utterance {
            None => self.wait_for_onset(now, frame, probability),
            Some(utterance) => {
                utterance.audio.extend_from_slice(&frame.0);
                let before = utterance.last_speech;
                utterance.follower.push(frame, probability >= self.hearing.sustain);
                if probability >= self.hearing.sustain {
                    utterance.level.push(frame);
                    utterance.voiced += 1;
                    utterance.pitched += u32::from(self.periodicity.now() >= PERIODIC);
                    utterance.voiced_in_a_row += 1;
                    let resumed = utterance.final_asked && utterance.voiced_in_a_row >= RESUME_FRAMES;
                    if !utterance.final_asked || resumed {
                        utterance.last_speech = now;
                    }
                    if resumed {
                        self.habit.push(now.saturating_since(before));
                        utterance.settle(self.hearing.pre_roll);
                        utterance.id.revision += 1;
                        utterance.final_asked = false;
                        utterance.transcript = None;
                        utterance.transcribed = None;
                        return Some(Change::Resumed);
                    }
                } else {
                    utterance.voiced_in_a_row = 0;
                    let silence = now.saturating_since(utterance.last_speech);
                    if utterance.spoken() < self.hearing.shortest && silence >= Duration::from_millis(200) {
                        self.take();
                        return Some(Change::Dropped);
                    }
                }
                None
            }
        }
    }

    /// Mean probability of speech in the last 100 ms, in 0..=1.
    pub fn voice(&self) -> f32 {
        self.probabilities.iter().sum::<f32>() / PROBABILITIES as f32
    }

    /// How long this caller usually pauses within a turn, once two were heard.
    pub fn usual_pause(&self) -> Option<Duration> {
        self.habit.usual()
    }

    /// The caller went on after `pause`, after which the turn had been taken for over.
    pub fn went_on_after(&mut self, pause: Duration) {
        self.habit.push(pause);
    }

    /// The utterance in progress.
    pub fn utterance(&self) -> Option<&Utterance> {
        self.utterance.as_ref()
    }

    /// The utterance in progress.
    pub fn utterance_mut(&mut self) -> Option<&mut Utterance> {
        self.utterance.as_mut()
    }

    /// Forgets the utterance in progress, which nobody spoke; what follows at once keeps its beginning.
    pub fn discard(&mut self) {
        if let Some(utterance) = self.take() {
            self.pre_roll = utterance.audio;
            self.trim_pre_roll();
        }
    }

    /// Ends the utterance in progress.
    pub fn take(&mut self) -> Option<Utterance> {
        self.recent = 0;
        self.utterance.take()
    }

    /// True if the utterance has reached its greatest length.
    pub fn is_overlong(&self) -> bool {
        self.utterance.as_ref().is_some_and(|u| u.length() >= self.hearing.longest)
    }

    /// True (once) when a final should be asked for: `speculate` of silence has passed in this revision.
    pub fn wants_final(&mut self, now: Time, speculate: Duration) -> bool {
        let overlong = self.is_overlong();
        let Some(utterance) = &mut self.utterance else { return false };
        let due = !utterance.final_asked
            && (overlong || now.saturating_since(utterance.last_speech) >= speculate)
            && utterance.spoken() >= self.hearing.shortest;
        utterance.final_asked |= due;
        due
    }

    /// True (once) when a partial should be asked for: enough new speech, and none under way.
    pub fn wants_partial(&mut self) -> bool {
        let Some(utterance) = &mut self.utterance else { return false };
        let fresh = utterance.audio.len() - utterance.partial_at;
        let interval = self.hearing.partial_interval * self.widened;
        let interval = (interval.as_millis() / FRAME_TIME.as_millis()) as usize * FRAME;
        let due = utterance.partial_asked.is_none() && !utterance.final_asked && fresh >= interval;
        if due {
            utterance.partial_asked = Some(utterance.settled.len());
            utterance.partial_at = utterance.audio.len();
        }
        due
    }

    /// The answer to a partial came. True if it tells something new of the utterance in progress.
    pub fn partial_done(&mut self, id: HearingId, words: PartialWords) -> bool {
        self.widened = match words {
            PartialWords::Busy => (self.widened * 2).min(WIDEST),
            _ => (self.widened / 2).max(1),
        };
        let Some(utterance) = self.utterance.as_mut().filter(|u| u.id.utterance == id.utterance) else {
            return false;
        };
        let stretch = utterance.partial_asked.take();
        utterance.wordless += u32::from(words == PartialWords::Nothing);
        match words {
            // Words of a stretch that has been settled meanwhile are known already.
            PartialWords::Heard(words) if stretch == Some(utterance.settled.len()) => {
                utterance.agreement.push(words);
                utterance.partial = Some(words.into());
                true
            }
            _ => false,
        }
    }

    fn trim_pre_roll(&mut self) {
        let keep = (self.hearing.pre_roll.as_millis() / FRAME_TIME.as_millis()) as usize * FRAME;
        let excess = self.pre_roll.len().saturating_sub(keep);
        self.pre_roll.drain(..excess);
    }

    fn wait_for_onset(&mut self, now: Time, frame: &Frame, probability: f32) -> Option<Change> {
        self.pre_roll.extend_from_slice(&frame.0);
        self.trim_pre_roll();
        self.recent =
            (self.recent << 1 | u32::from(probability >= self.hearing.onset)) & ((1 << ONSET_WINDOW) - 1);
        if self.recent.count_ones() < ONSET_FRAMES {
            return None;
        }
        self.count += 1;
        self.utterance = Some(Utterance {
            id: HearingId { utterance: self.count, revision: 0 },
            began: now - FRAME_TIME * (ONSET_FRAMES - 1),
            last_speech: now,
            transcript: None,
            transcribed: None,
            latest: Transcript::default(),
            final_asked: false,
            audio: std::mem::take(&mut self.pre_roll),
            settled: Vec::new(),
            voiced: ONSET_FRAMES,
            voiced_in_a_row: ONSET_FRAMES,
            pitched: 0,
            offset: 0,
            agreement: Agreement::default(),
            partial: None,
            partial_at: 0,
            partial_asked: None,
            wordless: 0,
            follower: Follower::default(),
            level: self.noise.speech(),
        });
        Some(Change::Started)
    }
}

/// The same with times from the beginning of the utterance instead of its present stretch.
fn shifted(mut transcript: Transcript, samples: usize) -> Transcript {
    let shift = (samples / (RATE as usize / 1000)) as u32;
    if transcript.times != Times::None {
        for token in &mut transcript.tokens {
            token.start_ms += shift;
            token.end_ms += shift;
        }
    }
    transcript
}

/// Two stretches of one utterance: as sure as the less sure of them.
fn join(before: Transcript, after: Transcript) -> Transcript {
    let mut text = before.text;
    stream::push(&mut text, &after.text);
    Transcript {
        engine: after.engine,
        text,
        confidence: before.confidence.min(after.confidence),
        tokens: before.tokens.into_iter().chain(after.tokens).collect(),
        no_speech: before.no_speech.max(after.no_speech),
        times: if before.times == after.times { before.times } else { Times::None },
        // That of one decoding says nothing of another.
        evidence: None,
    }
}

#[cfg(test)]
mod tests;
