//! Plays a fixture: hears the bot, speaks on cue, presses keys, hangs up, and measures from the caller's side.
//!
//! Sans-IO. The n-th call of [`ScriptedCaller::step`] takes the bot's n-th frame and gives the caller's n-th, so both run
//! on one sample clock, and what is measured is exact to the sample as far as the two were heard and sent together.
//!
//! A frame holds bot speech when at least [`LOUD_SAMPLES`] of its samples exceed [`LOUD`]; its first and last such
//! sample are where the speech begins and ends. The bot is silent when none came for [`PAUSE`]; its turn is over (for
//! `bot_speaking`) after [`TURN_GAP`]. Comfort audio and a seat's voice count as the bot's.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::call::event::millis;
use crate::clock::Time;
use crate::media::{FRAME, Frame, RATE};

use super::fixture::{Action, Cue, Fixture, Utterance};

/// Louder than this is sound: −44 dB below full scale, above comfort noise and G.711's rounding.
const LOUD: u16 = 200;
/// So many loud samples in 20 ms are speech; fewer are a click.
const LOUD_SAMPLES: usize = 8;
/// A silence of the bot that counts as its having stopped.
const PAUSE: u64 = samples(400);
/// A silence that separates two turns of the bot.
const TURN_GAP: u64 = samples(700);
/// Sound of the bot that must be heard before `bot_done` can come true: less is the tail of an interrupted turn.
const HEARD_ENOUGH: u64 = samples(200);
/// How long after the end of an utterance over the bot a stop still belongs to it.
const STOP_WITHIN: u64 = samples(1500);
/// Between two keys.
const KEY_GAP: u64 = samples(250);

/// A caller that follows a script.
#[derive(Debug)]
pub struct ScriptedCaller {
    fixture: Fixture,
    ear: Ear,
    /// Samples played so far: the present moment.
    now: u64,
    /// Step that is waited for or done; past the end: staying on the line.
    step: usize,
    doing: Doing,
    room: usize,
    turns: Vec<CallerTurn>,
    keys: String,
    trouble: Vec<String>,
    hung_up: bool,
}

/// What the caller does in one frame.
#[derive(Clone, Debug, Default)]
pub struct CallerStep {
    /// Its voice.
    pub frame: Frame,
    /// A key pressed now.
    pub press: Option<char>,
    /// It hangs up now (and stays so).
    pub hang_up: bool,
    /// For a person who watches.
    pub note: Option<Note>,
}

/// What the caller has just begun to do, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// When.
    pub at: Time,
    /// What: `says 等一下`, `presses 0`, `hangs up`.
    pub text: String,
}

/// What a caller did and measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CallerReport {
    /// Its utterances, in order.
    pub turns: Vec<CallerTurn>,
    /// Keys that it pressed.
    pub keys: String,
    /// Steps that were done.
    pub steps_done: usize,
    /// Steps of the script.
    pub steps: usize,
    /// Cues that did not come.
    pub trouble: Vec<String>,
    /// True if the caller hung up, false if the other side did (or the call still runs).
    pub hung_up: bool,
    /// How long the bot was heard.
    pub bot_heard_ms: u64,
    /// How long the caller was on the line.
    pub duration_ms: u64,
}

/// One utterance of the caller, with what the bot did around it. Times are milliseconds since the caller's first frame.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CallerTurn {
    /// The words.
    pub text: String,
    /// First sound.
    pub began_ms: u64,
    /// Last sound.
    pub ended_ms: u64,
    /// From the last sound to the bot's first: the turn latency on the caller's side. None if no answer was expected, or
    /// none came before the caller's next utterance.
    #[serde(rename = "answered_after_ms", with = "millis")]
    pub answered_after: Option<Duration>,
    /// If it began while the bot was speaking: what the bot did.
    pub overlap: Option<Overlap>,
}

/// What the bot did when the caller spoke over it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overlap {
    /// From the caller's first sound to the bot's last before a silence of 400 ms; none if it spoke on.
    #[serde(rename = "stopped_after_ms", with = "millis")]
    pub stopped_after: Option<Duration>,
}

#[derive(Debug)]
enum Doing {
    /// Waiting for the step's cue since that sample.
    Waiting { since: u64 },
    /// Saying: the next sample of the voice.
    Saying { at: usize },
    /// Pressing: the next key's index, when the last was pressed.
    Pressing { next: usize, last: u64 },
    /// Idle until that sample.
    Idle { until: u64 },
    /// The script is done since that sample.
    Staying { since: u64 },
}

impl ScriptedCaller {
    /// A caller that has just been connected.
    pub fn new(fixture: Fixture) -> Self {
        Self {
            fixture,
            ear: Ear::default(),
            now: 0,
            step: 0,
            doing: Doing::Waiting { since: 0 },
            room: 0,
            turns: Vec::new(),
            keys: String::new(),
            trouble: Vec::new(),
            hung_up: false,
        }
    }

    /// One frame's time: what is heard, and what is done at the same time. Call it every 20 ms of the line's time;
    /// `now` only stamps the notes.
    pub fn step(&mut self, now: Time, heard: &Frame) -> CallerStep {
        let mut out = CallerStep { hang_up: self.hung_up, ..CallerStep::default() };
        if self.hung_up {
            return out;
        }
        self.ear.hear(self.now, heard);
        self.measure();
        let note = self.follow(&mut out).map(|text| Note { at: now, text });
        out.note = note;
        out.hang_up = self.hung_up;
        self.speak(&mut out.frame);
        self.now += FRAME as u64;
        out
    }

    /// True when every step is done (the caller may still be on the line).
    pub fn finished(&self) -> bool {
        self.step >= self.fixture.steps.len() || self.hung_up
    }

    /// What it plays.
    pub fn fixture(&self) -> &Fixture {
        &self.fixture
    }

    /// What it did and measured until now.
    pub fn report(&self) -> CallerReport {
        let mut trouble = self.trouble.clone();
        if !self.finished()
            && let Doing::Waiting { since } = self.doing
        {
            let waited = to_millis(self.now - since);
            trouble.push(format!("the call ended while step {} waited ({waited} ms)", self.describe()));
        }
        CallerReport {
            turns: self.turns.clone(),
            keys: self.keys.clone(),
            steps_done: self.step.min(self.fixture.steps.len()),
            steps: self.fixture.steps.len(),
            trouble,
            hung_up: self.hung_up,
            bot_heard_ms: to_millis(self.ear.loud_total),
            duration_ms: to_millis(self.now),
        }
    }

    /// Starts, continues or ends the present step; gives words for a beginning.
    fn follow(&mut self, out: &mut CallerStep) -> Option<String> {
        match self.doing {
            Doing::Waiting { since } => {
                let step = self.fixture.steps.get(self.step)?;
                if self.cue_came(step.cue, since) {
                    return self.begin(out);
                }
                if self.now - since >= to_samples(step.timeout) {
                    let waited = step.timeout.as_millis();
                    self.trouble
                        .push(format!("step {}: its cue did not come in {waited} ms", self.describe()));
                    self.hung_up = true;
                    return Some(format!("gives up at step {} and hangs up", self.describe()));
                }
                None
            }
            Doing::Pressing { next, last } => {
                let Action::Press(keys) = &self.fixture.steps[self.step].action else { return None };
                match keys.chars().nth(next) {
                    None => self.done(self.now),
                    Some(key) if self.now - last >= KEY_GAP => {
                        out.press = Some(key);
                        self.keys.push(key);
                        self.doing = Doing::Pressing { next: next + 1, last: self.now };
                    }
                    Some(_) => {}
                }
                None
            }
            Doing::Idle { until } => {
                if self.now >= until {
                    self.done(self.now);
                }
                None
            }
            Doing::Staying { since } => {
                if self.now - since < to_samples(self.fixture.stay) {
                    return None;
                }
                self.hung_up = true;
                Some("hangs up".into())
            }
            Doing::Saying { .. } => None,
        }
    }

    fn begin(&mut self, out: &mut CallerStep) -> Option<String> {
        match &self.fixture.steps[self.step].action {
            Action::Say(utterance) => {
                let note = format!("says {}", utterance.text);
                let overlap = self.ear.speaks(self.now).then(Overlap::default);
                let (text, began_ms) = (utterance.text.clone(), to_millis(self.now));
                self.doing = Doing::Saying { at: utterance.span.start };
                self.turns.push(CallerTurn {
                    text,
                    began_ms,
                    ended_ms: began_ms,
                    answered_after: None,
                    overlap,
                });
                self.ear.watch(self.now, overlap.is_some());
                Some(note)
            }
            Action::Press(keys) => {
                let key = keys.chars().next()?;
                out.press = Some(key);
                self.keys.push(key);
                let note = format!("presses {keys}");
                self.doing = Doing::Pressing { next: 1, last: self.now };
                Some(note)
            }
            Action::Wait(wait) => {
                self.doing = Doing::Idle { until: self.now + to_samples(*wait) };
                None
            }
            Action::HangUp => {
                self.step += 1;
                self.hung_up = true;
                Some("hangs up".into())
            }
        }
    }

    /// The step is done; the next one's cue is waited for from `since` on.
    fn done(&mut self, since: u64) {
        self.step += 1;
        self.ear.listen_anew();
        self.doing = if self.step < self.fixture.steps.len() {
            Doing::Waiting { since }
        } else {
            Doing::Staying { since }
        };
    }

    fn cue_came(&self, cue: Cue, since: u64) -> bool {
        match cue {
            Cue::AfterPrevious { after } => self.now - since >= to_samples(after),
            Cue::BotSpeaking { after } => self
                .ear
                .turn_began
                .filter(|_| self.ear.speaks(self.now))
                .is_some_and(|began| self.now.saturating_sub(began.max(since)) >= to_samples(after)),
            Cue::BotDone { silence, after } => {
                self.ear.loud_since_step >= HEARD_ENOUGH
                    && self
                        .ear
                        .last
                        .is_some_and(|last| self.now.saturating_sub(last) >= to_samples(silence + after))
            }
        }
    }

    /// Fills the frame with the utterance, or with the line's noise.
    fn speak(&mut self, frame: &mut Frame) {
        let mut filled = 0;
        if let Doing::Saying { at } = self.doing
            && let Action::Say(Utterance { span, expects_answer, .. }) = &self.fixture.steps[self.step].action
        {
            let n = FRAME.min(span.end - at);
            frame.0[..n].copy_from_slice(&self.fixture.voice[at..at + n]);
            filled = n;
            self.doing = Doing::Saying { at: at + n };
            if at + n == span.end {
                let ended = self.now + n as u64;
                if let Some(turn) = self.turns.last_mut() {
                    turn.ended_ms = to_millis(ended);
                }
                self.ear.spoken(ended, *expects_answer);
                self.done(ended);
            }
        }
        let room = &self.fixture.room;
        if !room.is_empty() {
            for sample in &mut frame.0[filled..] {
                *sample = self.fixture.voice[room.start + self.room];
                self.room = (self.room + 1) % room.len();
            }
        }
    }

    /// Puts what the ear found into the last utterance.
    fn measure(&mut self) {
        let Some(turn) = self.turns.last_mut() else { return };
        let Some(watch) = self.ear.observe(self.now + FRAME as u64) else { return };
        turn.answered_after = watch.answered_after().map(to_duration);
        if let Some(overlap) = &mut turn.overlap {
            overlap.stopped_after = watch.stopped.map(|at| to_duration(at.saturating_sub(watch.began)));
        }
    }

    fn describe(&self) -> String {
        let what = self.fixture.steps.get(self.step).map(|step| match &step.action {
            Action::Say(utterance) => format!("say {}", utterance.text),
            Action::Press(keys) => format!("press {keys}"),
            Action::Wait(wait) => format!("wait {} ms", wait.as_millis()),
            Action::HangUp => "hang up".into(),
        });
        format!("{} ({})", self.step + 1, what.unwrap_or_default())
    }
}

/// Hears the bot.
#[derive(Debug, Default)]
struct Ear {
    /// The last loud sample.
    last: Option<u64>,
    /// First loud sample of the present turn.
    turn_began: Option<u64>,
    /// Loud frames since the present step began to wait, in samples.
    loud_since_step: u64,
    /// Loud frames of the whole call, in samples.
    loud_total: u64,
    watch: Option<Watch>,
}

/// What the bot does around the caller's last utterance.
#[derive(Clone, Copy, Debug)]
struct Watch {
    /// The caller's first sample.
    began: u64,
    /// The caller's last, once spoken.
    ended: Option<u64>,
    expects_answer: bool,
    /// The bot was speaking at `began`.
    over_bot: bool,
    /// The bot's last loud sample before it was silent.
    stopped: Option<u64>,
    /// The bot's first loud sample after `ended`, when it was silent before.
    answered: Option<u64>,
}

impl Watch {
    fn answered_after(&self) -> Option<u64> {
        Some(self.answered?.saturating_sub(self.ended?)).filter(|_| self.expects_answer)
    }
}

impl Ear {
    fn hear(&mut self, now: u64, heard: &Frame) {
        let loud = |sample: &i16| sample.unsigned_abs() > LOUD;
        if heard.0.iter().filter(|sample| loud(sample)).count() < LOUD_SAMPLES {
            return;
        }
        let first = heard.0.iter().position(loud).unwrap_or(0) as u64 + now;
        let last = heard.0.iter().rposition(loud).unwrap_or(0) as u64 + now + 1;
        if self.last.is_none_or(|before| first.saturating_sub(before) >= TURN_GAP) {
            self.turn_began = Some(first);
        }
        if let Some(watch) = &mut self.watch {
            // An answer is a beginning: sound right after an utterance that the bot talked through is none.
            let ready = !watch.over_bot || watch.stopped.is_some();
            if ready && watch.answered.is_none() && watch.ended.is_some_and(|ended| first >= ended) {
                watch.answered = Some(first);
            }
        }
        self.last = Some(last);
        self.loud_since_step += FRAME as u64;
        self.loud_total += FRAME as u64;
    }

    fn speaks(&self, now: u64) -> bool {
        self.last.is_some_and(|last| now.saturating_sub(last) < PAUSE)
    }

    fn listen_anew(&mut self) {
        self.loud_since_step = 0;
    }

    fn watch(&mut self, began: u64, over_bot: bool) {
        self.watch =
            Some(Watch { began, ended: None, expects_answer: true, over_bot, stopped: None, answered: None });
    }

    fn spoken(&mut self, ended: u64, expects_answer: bool) {
        if let Some(watch) = &mut self.watch {
            (watch.ended, watch.expects_answer) = (Some(ended), expects_answer);
        }
    }

    /// The state of the watch at `now`, with a stop noticed if there is one.
    fn observe(&mut self, now: u64) -> Option<Watch> {
        let watch = self.watch.as_mut()?;
        let last = self.last.unwrap_or(0);
        let in_time = watch.ended.is_none_or(|ended| last < ended + STOP_WITHIN);
        if watch.over_bot && watch.stopped.is_none() && in_time && now.saturating_sub(last) >= PAUSE {
            watch.stopped = Some(last.max(watch.began));
        }
        Some(*watch)
    }
}

const fn samples(millis: u64) -> u64 {
    millis * RATE as u64 / 1000
}

fn to_samples(time: Duration) -> u64 {
    time.as_micros() as u64 * u64::from(RATE) / 1_000_000
}

fn to_millis(samples: u64) -> u64 {
    samples * 1000 / u64::from(RATE)
}

fn to_duration(samples: u64) -> Duration {
    Duration::from_nanos(samples * 1_000_000_000 / u64::from(RATE))
}
