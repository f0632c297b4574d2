//! What a simulated conversation runs in: ears that know the script (or the real ones), the tenant's mind, a real voice; and the
//! watch over the call's promises.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::ears::Ears;
use super::material::Material;
use super::voices::{Voices, Whose};
use crate::asr::{self, Purpose, Transcript};
use crate::call::ClauseId;
use crate::call::event::{Event, EventKind, TurnId};
use crate::clock::Time;
use crate::dialogue::{Ask, Thought};
use crate::driver::Services;
use crate::media::{FRAME, Frame, RATE};
use crate::qa::turns::bench::recognize;
use crate::sim::bench::{Request, World};
use crate::sim::promises::Promises;
use crate::tts::{self, Piece};

/// Pieces of audio, each with the characters spoken by its end.
type Clip = Arc<[(Vec<i16>, usize)]>;

/// Speaks each text once.
#[derive(Default)]
pub(super) struct Spoken(Mutex<HashMap<String, Clip>>);

impl Spoken {
    fn say(&self, services: &Services, text: &str) -> Result<Clip, String> {
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(clip) = lock().get(text) {
            return Ok(clip.clone());
        }
        let (pieces, all) = mpsc::channel();
        services.tts.speak(tts::Request {
            text: text.into(),
            voice: services.voices.for_text(text).to_owned(),
            cancelled: Arc::default(),
            sink: Box::new(move |piece| drop(pieces.send(piece))),
        });
        let mut clip = Vec::new();
        for piece in all {
            match piece {
                Piece::Audio { samples, span } => clip.push((samples, span.end)),
                Piece::Done => break,
                Piece::Failed(error) => return Err(error),
            }
        }
        let clip = Clip::from(clip);
        lock().insert(text.into(), clip.clone());
        Ok(clip)
    }
}

/// How long a character of a script without spaces is spoken, and one of a script with.
const HAN: usize = RATE as usize / 5;
const LATIN: usize = RATE as usize / 15;

/// `text` in the bot's recorded voice, with other words: the embedded voice never speaks a text twice in the same way, and then
/// no conversation would repeat from its seed.
fn recorded(material: &Material, text: &str) -> Clip {
    let chars = text.chars().count();
    let length: usize = text.chars().map(|c| if c.is_ascii() { LATIN } else { HAN }).sum();
    let samples = material.bot(text, length);
    let mut said = 0;
    let pieces = samples.chunks(5 * FRAME).map(|piece| {
        said += piece.len();
        (piece.to_vec(), chars * said / length.max(1))
    });
    pieces.collect()
}

/// A delay in milliseconds: at least, at most, and one in so many takes up to the last.
struct Delay(u64, u64, u32, u64);

const FINAL: Delay = Delay(60, 160, 50, 900);
const PARTIAL: Delay = Delay(60, 200, 50, 900);
/// A slow thought is announced by a filler.
const THOUGHT: Delay = Delay(1, 8, 25, 3500);
const SPEECH: Delay = Delay(15, 50, 200, 400);
const STORE: Delay = Delay(5, 40, 20, 1000);

impl Delay {
    fn draw(&self, rng: &mut SmallRng) -> Duration {
        let slow = rng.random_ratio(1, self.2);
        Duration::from_millis(if slow {
            rng.random_range(self.1..=self.3)
        } else {
            rng.random_range(self.0..=self.1)
        })
    }
}

pub(super) struct House<'a> {
    pub(super) ears: Ears,
    pub(super) voices: Voices,
    pub(super) promises: Promises,
    pub(super) events: Vec<Event>,
    material: &'a Material,
    services: &'a Services,
    spoken: &'a Spoken,
    /// The real recogniser hears, not the script.
    embedded: bool,
    in_flight: Duration,
    rng: SmallRng,
    now: Time,
}

impl<'a> House<'a> {
    pub(super) fn new(
        (material, services, spoken): (&'a Material, &'a Services, &'a Spoken),
        (ears, embedded): (Ears, bool),
        promises: Promises,
        in_flight: Duration,
        seed: u64,
    ) -> Self {
        let rng = SmallRng::seed_from_u64(seed);
        let (voices, events, now) = (Voices::default(), Vec::new(), Time::ZERO);
        Self { ears, voices, promises, events, material, services, spoken, embedded, in_flight, rng, now }
    }

    /// It is `now`.
    pub(super) fn at(&mut self, now: Time) {
        self.now = now;
    }

    /// A frame leaves for the caller. What of the bot's words is spoken in it.
    pub(super) fn played(&mut self, frame: &Frame) -> String {
        let (whose, words) = self.voices.whose(frame);
        match whose {
            Whose::Turn(turn) => self.promises.spoke(self.now, turn),
            Whose::Unknown => self.promises.breaks(self.now, "a sound that is no part of any turn".into()),
            Whose::Filler | Whose::Nobody => {}
        }
        words
    }
}

impl World for House<'_> {
    fn transcribe(&mut self, request: Request) -> (Duration, Result<Transcript, asr::Error>) {
        let delay = match request.purpose {
            Purpose::Final => FINAL,
            Purpose::Partial => PARTIAL,
        };
        let delay = delay.draw(&mut self.rng);
        if self.embedded {
            (delay, recognize(self.services.asr.as_ref(), self.services.language, request))
        } else {
            (delay, Ok(self.ears.recognise(&request.audio)))
        }
    }

    fn think(&mut self, _: TurnId, ask: Ask) -> Vec<(Duration, Thought)> {
        self.promises.history(self.now, &ask.history);
        let (steps, thoughts) = mpsc::channel();
        self.services.mind.think(ask, Box::new(move |thought| drop(steps.send(thought))));
        let mut delay = THOUGHT.draw(&mut self.rng);
        let mut answer = Vec::new();
        for thought in thoughts {
            let last = matches!(thought, Thought::Decided(_));
            answer.push((delay, thought));
            delay += Duration::from_millis(1);
            if last {
                break;
            }
        }
        answer
    }

    fn speak(&mut self, id: ClauseId, text: &str) -> Vec<(Duration, Piece)> {
        let delay = SPEECH.draw(&mut self.rng);
        let clip = if self.embedded {
            self.spoken.say(self.services, text)
        } else {
            Ok(recorded(self.material, text))
        };
        match clip {
            Ok(clip) => {
                self.voices.add(id, text, &clip);
                let mut start = 0;
                let mut steps: Vec<_> = clip
                    .iter()
                    .map(|(samples, end)| {
                        let span = std::mem::replace(&mut start, *end)..*end;
                        (delay, Piece::Audio { samples: samples.clone(), span })
                    })
                    .collect();
                steps.push((delay, Piece::Done));
                steps
            }
            Err(error) => vec![(delay, Piece::Failed(error))],
        }
    }

    fn book(&mut self) -> Option<(Duration, Result<(), String>)> {
        Some((STORE.draw(&mut self.rng), Ok(())))
    }

    fn event(&mut self, event: Event) {
        self.now = event.at;
        self.promises.event(&event);
        match &event.kind {
            EventKind::BotStarted { turn, .. } => self.voices.started(*turn),
            EventKind::Filled { turn, .. } => self.voices.filled(*turn),
            EventKind::BotSaid { turn, text, interrupted, .. } => {
                if let Some(wrong) = self.voices.ended(*turn, text, *interrupted, self.in_flight) {
                    self.promises.breaks(event.at, wrong);
                }
            }
            _ => {}
        }
        self.events.push(event);
    }
}
