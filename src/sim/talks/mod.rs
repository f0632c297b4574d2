//! Thousands of conversations on virtual time, each from a seed.
//!
//! A caller is made of stretches of labelled recordings and behaves in one of nine ways; its voice goes as RTP over one of five
//! networks to the real jitter buffer, voice activity, endpointing, core and mind, and the bot's goes back to it. The recogniser is a
//! model (one that knows the script and mishears a share of it) and the bot's voice recorded, unless the embedded ones are asked for:
//! those do not repeat to the sample. What comes of a conversation is measured against what was laid on the line, and the core is held to its promises.

mod behaviour;
mod caller;
mod ears;
mod house;
mod material;
pub mod score;
mod timeline;
mod voices;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

pub use self::behaviour::{Behaviour, Network};
use self::caller::{Bot, Caller};
pub use self::caller::{Laid, What};
use self::ears::{Ears, Speaker, spread};
use self::house::{House, Spoken};
pub use self::material::Material;
pub use self::timeline::timeline;
use super::bench::Bench;
use super::line::Line;
use super::promises::{Broken, Promises};
use crate::call::event::{Event, EventKind, TurnId};
use crate::call::{Call, Input, Settings};
use crate::clock::{Clock, Time};
use crate::driver::Services;
use crate::media::FRAME_TIME;
use crate::services::voice_activity;

/// One conversation to be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Talk {
    /// Decides everything that the rest leaves open.
    pub seed: u64,
    /// The caller.
    pub behaviour: Behaviour,
    /// The network, both ways.
    pub network: Network,
}

/// What conversations run in.
pub struct Stage<'a> {
    /// What callers are made of.
    pub material: &'a Material,
    /// Ears, mouth, mind.
    pub services: &'a Services,
    /// What the tenant chose.
    pub settings: &'a Settings,
    /// The real recogniser hears, not the script.
    pub embedded: bool,
    /// Share of words that the script's recogniser mishears, in 0..=1.
    pub errors: f64,
    /// Both sides may be silent for so long.
    pub longest_silence: Duration,
    spoken: Spoken,
}

/// What came of a conversation.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Which.
    pub talk: Talk,
    /// What sounded on the caller's side; when it came to the call's.
    pub laid: Vec<(Laid, Arrival)>,
    /// What happened.
    pub events: Vec<Event>,
    /// Whether the caller heard something, 20 ms by 20 ms.
    pub heard: Vec<bool>,
    /// The caller hung up, not the bot.
    pub hung_up: bool,
    /// It was silent at the end, as it was to be.
    pub fell_silent: bool,
    /// How long it lasted.
    pub length: Duration,
    /// Promises that were not kept.
    pub broken: Vec<Broken>,
}

/// When something that sounded came over the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Its first sound.
    pub from: Time,
    /// Its last.
    pub to: Time,
}

/// No conversation lasts longer.
const LONGEST: Duration = Duration::from_secs(400);
/// Beyond the silence after which the bot asks again, the line may be silent for so long: it hears the end of what was said,
/// thinks, and is not heard yet.
const GRACE: Duration = Duration::from_secs(6);
/// Louder than this, the caller hears the bot.
const LOUD: u16 = 200;

impl Talk {
    /// The conversation of `seed` among these callers and networks, which take turns.
    pub fn new(seed: u64, behaviours: &[Behaviour], networks: &[Network]) -> Self {
        let (b, n) = (behaviours.len().max(1) as u64, networks.len().max(1) as u64);
        Self {
            seed,
            behaviour: behaviours.get((seed % b) as usize).copied().unwrap_or(Behaviour::Fast),
            network: networks.get((seed / b % n) as usize).copied().unwrap_or(Network::Clean),
        }
    }
}

impl<'a> Stage<'a> {
    /// A stage with ears that know the script.
    pub fn new(material: &'a Material, services: &'a Services, settings: &'a Settings) -> Self {
        Self {
            material,
            services,
            settings,
            embedded: false,
            errors: 0.0,
            longest_silence: settings.no_input + GRACE,
            spoken: Spoken::default(),
        }
    }

    /// Has all conversations on `threads` threads; gives what came of them in their order. `done` is called after each.
    pub fn run(&self, talks: &[Talk], threads: usize, done: &(dyn Fn() + Sync)) -> Vec<Outcome> {
        let next = AtomicUsize::new(0);
        let outcomes = Mutex::new(Vec::with_capacity(talks.len()));
        std::thread::scope(|scope| {
            for _ in 0..threads.clamp(1, talks.len().max(1)) {
                scope.spawn(|| {
                    while let Some(talk) = talks.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let outcome = self.talk(*talk);
                        outcomes.lock().unwrap_or_else(PoisonError::into_inner).push(outcome);
                        done();
                    }
                });
            }
        });
        let mut outcomes = outcomes.into_inner().unwrap_or_else(PoisonError::into_inner);
        outcomes.sort_by_key(|outcome| outcome.talk.seed);
        outcomes
    }

    /// Has one conversation.
    pub fn talk(&self, talk: Talk) -> Outcome {
        catch_unwind(AssertUnwindSafe(|| self.converse(talk))).unwrap_or_else(|panic| {
            let words = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
            let words = words.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
            Outcome {
                talk,
                laid: Vec::new(),
                events: Vec::new(),
                heard: Vec::new(),
                hung_up: false,
                fell_silent: false,
                length: Duration::ZERO,
                broken: vec![Broken { at: Time::ZERO, what: format!("a panic: {words}") }],
            }
        })
    }

    fn converse(&self, talk: Talk) -> Outcome {
        let clock = Clock::start();
        let weather = talk.network.weather();
        // Each part draws from its own stream.
        let seed = |part: u64| talk.seed.wrapping_mul(8).wrapping_add(part);
        let (mut up, mut down) = (Line::new(clock, weather, seed(0)), Line::new(clock, weather, seed(1)));
        let mut caller = Caller::new(self.material, talk.behaviour, seed(2));
        let number = talk.seed.is_multiple_of(2).then(|| "13800138000".to_owned());
        let call = Call::new(self.settings.clone(), voice_activity(), number, Time::ZERO);
        let house = House::new(
            (self.material, self.services, &self.spoken),
            (Ears::new(self.errors, seed(3)), self.embedded),
            Promises::new(self.longest_silence),
            self.settings.in_flight,
            seed(4),
        );
        let mut bench = Bench::new(call, house);
        let protected: usize = self.settings.phrases.notice.iter().map(|clause| clause.chars().count()).sum();
        let mut heard = Vec::new();
        let mut hung_up = false;
        while !bench.is_over() && bench.now().since_start() < LONGEST {
            let now = bench.now() + FRAME_TIME;
            bench.world.at(now);
            let from_bot = down.receive(now);
            heard.push(from_bot.frame.0.iter().filter(|s| s.unsigned_abs() > LOUD).count() > 8);
            let voices = &bench.world.voices;
            let speaking = voices.speaking();
            let bot = Bot {
                turn: last_begun(&bench.world.events),
                speaking: speaking.is_some(),
                protected: speaking == Some(TurnId(1)) && voices.spoken() < protected,
                asks: bench.expect(),
            };
            let step = caller.step(&from_bot.frame, &bot);
            for word in step.words {
                bench.world.ears.said(word);
            }
            if step.hang_up {
                hung_up = true;
                bench.tell(Input::CallerGone { dead_line: false });
                break;
            }
            up.send(now, &step.frame);
            let from_caller = up.receive(now);
            bench.world.ears.receive(&from_caller);
            let frame = bench.step(&from_caller.frame);
            let words = bench.world.played(&frame);
            if let Some((room, clarity)) = caller.echoes().filter(|_| !words.is_empty()) {
                // It is heard as late as what is heard now was sent before.
                let from = now + now.saturating_since(from_bot.sent) + room;
                for word in spread(&words, from, from + FRAME_TIME, Speaker::Bot, clarity) {
                    bench.world.ears.said(word);
                }
            }
            let sounds =
                caller.sounds() || bench.world.voices.speaking().is_some() && frame.0.iter().any(|s| *s != 0);
            bench.world.promises.line(now, sounds);
            down.send(now, &frame);
        }
        let (length, fell_silent) = (bench.now().since_start(), caller.is_silent());
        let mut house = bench.world;
        house.promises.over(Time::ZERO + length);
        let arrival =
            |laid: &Laid| Arrival { from: house.ears.arrival(laid.from), to: house.ears.arrival(laid.to) };
        Outcome {
            talk,
            laid: caller.laid().iter().map(|laid| (laid.clone(), arrival(laid))).collect(),
            broken: house.promises.broken().to_vec(),
            events: house.events,
            heard,
            hung_up,
            fell_silent,
            length,
        }
    }
}

fn last_begun(events: &[Event]) -> Option<TurnId> {
    events.iter().rev().find_map(|event| match event.kind {
        EventKind::BotStarted { turn, .. } => Some(turn),
        _ => None,
    })
}

#[cfg(test)]
mod tests;
