//! Plays one recording to the core of a call on virtual time, with the real ears, recogniser and rules.

use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;

use super::{Group, Item, Set, Truth};
use crate::asr::{self, Job, Purpose, Recognizer, Transcript};
use crate::call::endpointing::{EndOfTurn, Endpointing, Signs, Watcher};
use crate::call::event::{Event, EventKind};
use crate::call::{Call, ClauseId, Phrases, Settings};
use crate::clock::Time;
use crate::media::{FRAME, Frame};
use crate::services::voice_activity;
use crate::sim::Delays;
use crate::sim::bench::{Bench, Request, World};
use crate::tts::Piece;

/// What came of one recording.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// Its name.
    pub id: String,
    /// What kind it is.
    pub kind: String,
    /// What it really is.
    pub truth: Truth,
    /// When the caller's speech ends, milliseconds.
    pub end_ms: u64,
    /// Turns that were taken for over, in order.
    pub turns: Vec<Ended>,
    /// When playout was paused for the first time, milliseconds after the sound began.
    pub paused_ms: Option<i64>,
    /// Whether the bot was cut.
    pub cut: bool,
    /// Whether the bot spoke on after a pause.
    pub resumed: bool,
    /// What the recogniser answered, in order.
    pub heard: Vec<Heard>,
    /// What happened in the call.
    pub events: Vec<Event>,
}

/// An answer of the recogniser.
#[derive(Clone, Debug, Serialize)]
pub struct Heard {
    /// When it came, in milliseconds.
    pub at_ms: u64,
    /// Partial or final.
    pub last: bool,
    /// The words.
    pub text: String,
    /// In 0..=1.
    pub confidence: f32,
}

/// A turn that was taken for over.
#[derive(Clone, Debug, Serialize)]
pub struct Ended {
    /// When, in milliseconds.
    pub at_ms: u64,
    /// The words.
    pub text: String,
    /// Why.
    pub why: Option<EndOfTurn>,
}

/// One moment of silence that was judged.
#[derive(Clone, Debug)]
pub struct Moment {
    /// When, in milliseconds.
    pub at_ms: u64,
    /// What was known.
    pub signs: Signs,
}

impl Outcome {
    /// A turn was taken for over while the caller still had something to say.
    pub fn is_cut_off(&self) -> bool {
        self.turns.iter().any(|turn| turn.at_ms < self.end_ms)
    }

    /// From the end of the caller's speech to the decision, milliseconds.
    pub fn delay_ms(&self) -> Option<u64> {
        self.turns.iter().find_map(|turn| turn.at_ms.checked_sub(self.end_ms))
    }

    /// An interruption was heard, or anything else was not taken for one.
    pub fn is_right(&self) -> bool {
        match self.truth {
            Truth::Turn => !self.is_cut_off() && self.delay_ms().is_some(),
            Truth::Interrupt => self.cut,
            _ => !self.cut,
        }
    }
}

/// Plays `item` under `settings`, whose phrases are replaced by what the bot says in the recording.
pub fn run(set: &Set, item: &Item, recognizer: &dyn Recognizer, settings: &Settings) -> Outcome {
    play(set, item, recognizer, settings.clone())
}

/// Plays `item` and never takes its turn for over: every moment of silence that would have been judged.
pub fn watch(set: &Set, item: &Item, recognizer: &dyn Recognizer, settings: &Settings) -> Vec<Moment> {
    /// Longer than any pause in the recordings.
    const NEVER: Duration = Duration::from_secs(60);
    let seen: Arc<Mutex<Vec<Signs>>> = Arc::default();
    let watcher = {
        let seen = seen.clone();
        Watcher(Arc::new(move |signs: &Signs| {
            seen.lock().unwrap_or_else(PoisonError::into_inner).push(signs.clone());
        }))
    };
    let endpointing =
        Endpointing { least: NEVER, most: NEVER, watcher: Some(watcher), ..settings.endpointing.clone() };
    let settings = Settings { endpointing, ..settings.clone() };
    let mut call = bench(set, item, recognizer, settings);
    let mut moments = Vec::new();
    for frame in set.frames(item) {
        call.step(&frame);
        let at_ms = call.now().since_start().as_millis() as u64;
        let signs = std::mem::take(&mut *seen.lock().unwrap_or_else(PoisonError::into_inner));
        moments.extend(signs.into_iter().map(|signs| Moment { at_ms, signs }));
    }
    moments
}

fn play(set: &Set, item: &Item, recognizer: &dyn Recognizer, settings: Settings) -> Outcome {
    let mut bench = bench(set, item, recognizer, settings);
    let mut line = set.line(item);
    while let Some(heard) = line.hear() {
        let played = bench.step(&heard);
        line.play(&played);
    }
    let begin = item.begin_ms().unwrap_or(0) as i64;
    let mut outcome = Outcome {
        id: item.id.clone(),
        kind: item.kind.clone(),
        truth: item.truth,
        end_ms: item.end_ms(),
        turns: Vec::new(),
        paused_ms: None,
        cut: false,
        resumed: false,
        heard: Vec::new(),
        events: Vec::new(),
    };
    let mut why = None;
    for event in &bench.world.events {
        let at = event.at.since_start().as_millis() as u64;
        match &event.kind {
            EventKind::SpeechEnded(reasons) => why = Some(reasons.clone()),
            EventKind::CallerSaid { text, .. } => {
                outcome.turns.push(Ended { at_ms: at, text: text.clone(), why: why.take() });
            }
            EventKind::BargeInStarted { .. } => {
                outcome.paused_ms.get_or_insert(at as i64 - begin);
            }
            EventKind::BargeInRejected { .. } => outcome.resumed = true,
            EventKind::BargeInConfirmed { .. } | EventKind::BotSaid { interrupted: true, .. } => {
                outcome.cut = true;
            }
            _ => {}
        }
    }
    // Words that came after the bot had finished answer nothing and cut nothing.
    outcome.cut |= item.group == Group::BargeIn
        && item.truth == Truth::Interrupt
        && outcome.turns.iter().any(|turn| !turn.text.is_empty());
    outcome.heard = bench.world.heard;
    outcome.events = bench.world.events;
    outcome
}

fn bench<'a>(
    set: &Set,
    item: &Item,
    recognizer: &'a dyn Recognizer,
    settings: Settings,
) -> Bench<Listener<'a>> {
    let prompts = set.prompts(item);
    let phrases = Phrases {
        greeting: prompts.iter().map(|(text, _)| (*text).to_owned()).collect(),
        ..Phrases::default()
    };
    let settings = Settings {
        phrases: Arc::new(phrases),
        greeting_expects: item.expect,
        no_input: Duration::from_secs(60),
        thinking: Duration::from_secs(60),
        ..settings
    };
    let listener = Listener {
        recognizer,
        language: if item.language == "en" { "en" } else { "zh" },
        voices: prompts.into_iter().map(|(_, voice)| voice).collect(),
        delays: Delays::default(),
        events: Vec::new(),
        heard: Vec::new(),
    };
    Bench::new(Call::new(settings, voice_activity(), None, Time::ZERO), listener)
}

/// Recognises, and speaks with the voices of the recording. Nobody answers: what is measured is when the caller's turn is over,
/// not what follows.
struct Listener<'a> {
    recognizer: &'a dyn Recognizer,
    language: &'static str,
    voices: Vec<Vec<Frame>>,
    delays: Delays,
    events: Vec<Event>,
    heard: Vec<Heard>,
}

impl World for Listener<'_> {
    fn transcribe(&mut self, request: Request) -> (Duration, Result<Transcript, asr::Error>) {
        let delay = self.delays.of(request.purpose);
        let (at, last) = (request.at + delay, request.purpose == Purpose::Final);
        let result = recognize(self.recognizer, self.language, request);
        if let Ok(transcript) = &result {
            self.heard.push(Heard {
                at_ms: at.since_start().as_millis() as u64,
                last,
                text: transcript.text.clone(),
                confidence: transcript.confidence,
            });
        }
        (delay, result)
    }

    fn speak(&mut self, id: ClauseId, text: &str) -> Vec<(Duration, Piece)> {
        let voice = self.voices.get(id.index).cloned().unwrap_or_default();
        let chars = text.chars().count();
        let total = voice.len() * FRAME;
        let mut said = 0;
        let pieces = voice.chunks(5).map(|frames| {
            let samples: Vec<i16> = frames.iter().flat_map(|f| f.0).collect();
            let start = chars * said / total.max(1);
            said += samples.len();
            Piece::Audio { samples, span: start..chars * said / total.max(1) }
        });
        let mut pieces: Vec<_> = pieces.map(|piece| (Duration::ZERO, piece)).collect();
        pieces.push((Duration::ZERO, Piece::Done));
        pieces
    }

    fn event(&mut self, event: Event) {
        self.events.push(event);
    }
}

/// Has a recogniser do `request`, and waits for it.
pub(crate) fn recognize(
    recognizer: &dyn Recognizer,
    language: &'static str,
    request: Request,
) -> Result<Transcript, asr::Error> {
    let (reply, answer) = mpsc::channel();
    recognizer.submit(Job {
        audio: request.audio,
        purpose: request.purpose,
        deadline: request.deadline,
        language,
        also: None,
        earlier: request.earlier,
        reply: Box::new(move |result| drop(reply.send(result))),
    });
    answer.recv().unwrap_or(Err(asr::Error::Dropped))
}
