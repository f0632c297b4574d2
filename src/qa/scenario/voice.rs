//! A scenario by voice, on virtual time: callers synthesised with voices that the recogniser never heard in training, RTP, the real voice
//! activity, recogniser, core, mind, tools and voice.
//!
//! A caller who is asked to say it again does, twice at most, as a person would; so a turn may take several utterances.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use super::office::{Error, Office};
use super::read::{Scenario, Turn};
use super::text::judge;
use super::{Spoken, Verdict};
use crate::call::Call;
use crate::call::event::{Event, EventKind};
use crate::clock::Time;
use crate::dialogue::tenant::Tenant;
use crate::dialogue::text::Lang;
use crate::driver::{Services, Session};
use crate::media::{FRAME, FRAME_TIME, Frame};
use crate::qa::{CallerStep, Network, Seat};
use crate::record::{Tap, name_of};
use crate::seat::floor::Floor;
use crate::services::{Pools, telephone_number, voice_activity};
use crate::sim::{self, Delays, Party};
use crate::tts::{Mouth, Options, Piece, Request, Synthesizer as _};

/// Callers' voices, in turn.
const CHINESE: [&str; 3] = ["caller-zh-1", "caller-zh-2", "caller-zh-3"];
const ENGLISH: &str = "caller-en";
/// The bot is done when it has been silent for so long.
const DONE: Duration = Duration::from_millis(900);
/// The caller speaks again if the bot says nothing for so long.
const PATIENCE: Duration = Duration::from_secs(6);
/// Utterances for one turn.
const TRIES: usize = 3;
/// Louder than this is sound (−44 dB).
const LOUD: u16 = 200;

/// The callers' voices.
pub struct Callers(Mouth);

impl Callers {
    /// Opens the voices in `folder`.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        let names: Vec<&str> = CHINESE.into_iter().chain([ENGLISH]).collect();
        let options = Options { voices: Some(folder.to_owned()), ..Options::default() };
        Mouth::open(&names, &options).map(Self).map_err(|error| Error::Voice(error.to_string()))
    }

    /// 16 kHz mono.
    fn say(&self, text: &str, voice: &str) -> Result<Vec<i16>, Error> {
        let (sender, pieces) = mpsc::channel();
        self.0.speak(Request {
            text: text.to_owned(),
            voice: voice.to_owned(),
            cancelled: Arc::new(AtomicBool::new(false)),
            sink: Box::new(move |piece| drop(sender.send(piece))),
        });
        let mut audio = Vec::new();
        for piece in pieces {
            match piece {
                Piece::Audio { samples, .. } => audio.extend_from_slice(&samples),
                Piece::Done => break,
                Piece::Failed(error) => return Err(Error::Voice(error)),
            }
        }
        Ok(audio)
    }
}

/// Runs the `number`-th scenario by voice with the ears and the mouth of `pools`.
pub async fn telephone(
    scenario: &Scenario,
    number: usize,
    tenant: Arc<Tenant>,
    pools: &Pools,
    callers: &Callers,
) -> Result<Verdict, Error> {
    let office = Office::open(scenario, tenant, None).await?;
    let mut lines = Vec::new();
    for turn in &scenario.turns {
        let english = Lang::of(&turn.say) == Some(Lang::En);
        let voice = if english { ENGLISH } else { CHINESE[number % CHINESE.len()] };
        let again = turn.again.as_deref().unwrap_or(&turn.say);
        lines.push([callers.say(&turn.say, voice)?, callers.say(again, voice)?]);
    }
    let services = Services {
        mind: office.mind.clone(),
        tools: office.tools.clone(),
        seats: Arc::new(Floor::single("sip:seat@scenario")),
        ..pools.services.clone()
    };
    let mut settings = pools.settings.clone();
    settings.mind = office.mind.clone();
    let caller = scenario.caller.as_deref().unwrap_or("anonymous");
    let info = pools.info("scenario", &format!("sip:{caller}@scenario"), "sip:hotline@scenario");
    let events = Events::default();
    let (turns, mut failures) = {
        let (events, scenario) = (events.clone(), scenario.clone());
        let talk = tokio::task::spawn_blocking(move || {
            let call = Call::new(settings, voice_activity(), telephone_number(&info.from), Time::ZERO);
            let (mut session, mut inbox) =
                Session::new(call, services, &info, vec![Box::new(events.clone())]);
            let mut person = Person::new(&scenario, lines, events);
            let around = (Network::default(), Seat::NoAnswer);
            sim::run(&mut session, &mut inbox, &mut person, around, Delays::default());
            person.verdict()
        });
        talk.await.map_err(|error| Error::Voice(error.to_string()))?
    };
    failures.extend(office.close(scenario).await);
    Ok(Verdict::new(scenario, turns, failures))
}

/// What has happened in the call.
#[derive(Clone, Default)]
struct Events(Arc<Mutex<Vec<EventKind>>>);

impl Events {
    fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn since(&self, from: usize) -> Vec<EventKind> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)[from..].to_vec()
    }
}

impl Tap for Events {
    fn event(&mut self, event: &Event) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(event.kind.clone());
    }
}

/// Somebody who says the lines of a scenario.
struct Person {
    turns: Vec<Turn>,
    /// Each turn's words, and those when it is asked again.
    lines: Vec<[Vec<i16>; 2]>,
    events: Events,
    /// The turn being said, once it has begun.
    turn: Option<usize>,
    tries: usize,
    /// Events before the turn.
    before: usize,
    /// Samples still to be said.
    saying: VecDeque<i16>,
    /// How long nobody has said anything, and whether the bot has since the caller did.
    quiet: Duration,
    answered: bool,
    spoken: Vec<Spoken>,
    failures: Vec<String>,
}

impl Person {
    fn new(scenario: &Scenario, lines: Vec<[Vec<i16>; 2]>, events: Events) -> Self {
        Self {
            turns: scenario.turns.clone(),
            lines,
            events,
            turn: None,
            tries: 0,
            before: 0,
            saying: VecDeque::new(),
            quiet: Duration::ZERO,
            answered: false,
            spoken: Vec::new(),
            failures: Vec::new(),
        }
    }

    fn verdict(mut self) -> (Vec<Spoken>, Vec<String>) {
        // The bot hung up, or gave the call away, in the middle.
        if let Some(turn) = self.turn.filter(|turn| *turn < self.turns.len()) {
            self.judge(turn);
            if turn + 1 < self.turns.len() {
                self.failures.push(format!("the call was over after turn {}", turn + 1));
            }
        }
        (self.spoken, self.failures)
    }

    /// The next thing to be said; false if there is nothing more.
    fn go_on(&mut self) -> bool {
        let next = match self.turn {
            Some(turn) if self.must_repeat(turn) => {
                self.tries += 1;
                turn
            }
            Some(turn) => {
                self.judge(turn);
                self.tries = 1;
                turn + 1
            }
            None => {
                self.tries = 1;
                0
            }
        };
        if self.turn != Some(next) {
            self.before = self.events.len();
        }
        self.turn = Some(next);
        let Some(line) = self.lines.get(next) else { return false };
        self.saying = line[usize::from(self.tries > 1)].iter().copied().collect();
        self.answered = false;
        true
    }

    /// Whether a person would say it again: the bot did not understand, or did not hear, and was not meant to.
    fn must_repeat(&self, turn: usize) -> bool {
        let events = self.events.since(self.before);
        let act = events.iter().rev().find_map(|event| match event {
            EventKind::Decided { act, .. } => Some(act.name()),
            _ => None,
        });
        let wanted = self.turns[turn].act.as_deref();
        let lost = matches!(act, None | Some("clarify" | "ignore")) && act != wanted;
        lost && self.tries < TRIES
    }

    /// Judges what the bot has said and done since the turn began.
    fn judge(&mut self, number: usize) {
        let turn = &self.turns[number];
        let events = self.events.since(self.before);
        let mut spoken = Spoken { said: String::new(), ..Spoken::default() };
        let mut handoff = None;
        for event in &events {
            match event {
                EventKind::CallerSaid { text, .. } => {
                    spoken.said = if spoken.said.is_empty() {
                        text.clone()
                    } else {
                        format!("{} / {text}", spoken.said)
                    };
                }
                EventKind::BotSaid { text, .. } => spoken.answer.push_str(text),
                EventKind::ToolUsed { what, .. } => spoken.tools.push(what.tool.clone()),
                EventKind::HandoffRequested { reason } => handoff = Some(name_of(reason)),
                EventKind::Decided { act, confidence, sources, topic, .. } => {
                    act.name().clone_into(&mut spoken.act);
                    spoken.confidence = *confidence;
                    spoken.sources.extend(sources.iter().cloned());
                    spoken.topic.clone_from(topic);
                }
                _ => {}
            }
        }
        // By voice it is told in other words and with more detours: what counts is what was done and told.
        let turn = Turn {
            within_ms: None,
            confidence_over: None,
            confidence_under: None,
            tool_called: None,
            ..turn.clone()
        };
        let wrong = judge(&turn, &spoken, handoff.as_deref());
        self.failures.extend(wrong.into_iter().map(|what| format!("turn {}: {what}", number + 1)));
        for tool in self.turns[number].tool_called.iter().flatten() {
            let used = |kinds: &[EventKind]| {
                kinds.iter().any(|e| matches!(e, EventKind::ToolUsed { what, .. } if what.tool == *tool))
            };
            if !used(&self.events.since(0)) {
                self.failures.push(format!("turn {}: {tool} was not used", number + 1));
            }
        }
        self.spoken.push(spoken);
    }
}

impl Party for Person {
    fn step(&mut self, _: Time, heard: &Frame) -> CallerStep {
        let mut step = CallerStep::default();
        let sound = heard.0.iter().filter(|sample| sample.unsigned_abs() > LOUD).count() >= 8;
        if !self.saying.is_empty() {
            for sample in &mut step.frame.0[..FRAME] {
                *sample = self.saying.pop_front().unwrap_or_default();
            }
            self.quiet = Duration::ZERO;
            return step;
        }
        self.answered |= sound;
        self.quiet = if sound { Duration::ZERO } else { self.quiet + FRAME_TIME };
        let waited = if self.answered { DONE } else { PATIENCE };
        // Who is given to a person hears what is said before it, and then music.
        let mut given_away = false;
        let told = self.events.since(self.before).iter().any(|event| {
            given_away |= matches!(event, EventKind::HandoffRequested { .. });
            given_away && matches!(event, EventKind::BotSaid { .. })
        });
        let last = self.turn.is_some_and(|turn| turn + 1 >= self.turns.len());
        if self.quiet >= waited || told && last {
            self.quiet = Duration::ZERO;
            step.hang_up = !self.go_on();
        }
        step
    }
}
