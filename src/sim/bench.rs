//! The core of a call on virtual time, with everything around it answered at once.
//!
//! A [`Bench`] moves the clock and carries requests and answers; a [`World`] is what the call runs in: it answers each request
//! with the virtual time that the answer takes. Where the answers come from real pools, see [`crate::sim::run`].

use std::time::Duration;

use crate::asr::{self, Purpose, Transcript};
use crate::call::event::{Event, LegId, TurnId};
use crate::call::{Call, ClauseId, HearingId, Input, Output};
use crate::clock::Time;
use crate::dialogue::{Ask, Expect, Thought};
use crate::media::{FRAME_TIME, Frame};
use crate::tools::Outcome;
use crate::tts::Piece;

/// What a call runs in. Answers that take no time are given to the call at once.
pub trait World {
    /// The words of an utterance.
    fn transcribe(&mut self, request: Request) -> (Duration, Result<Transcript, asr::Error>);

    /// The answer to a turn, step by step; none if nobody answers.
    fn think(&mut self, _turn: TurnId, _ask: Ask) -> Vec<(Duration, Thought)> {
        Vec::new()
    }

    /// The voice of a clause, step by step.
    fn speak(&mut self, id: ClauseId, text: &str) -> Vec<(Duration, Piece)>;

    /// Whether a call-back could be stored; none if nobody stores it.
    fn book(&mut self) -> Option<(Duration, Result<(), String>)> {
        None
    }

    /// Sees what happens.
    fn event(&mut self, event: Event);
}

/// An utterance to be recognised.
#[derive(Clone, Debug)]
pub struct Request {
    /// Which.
    pub id: HearingId,
    /// When it is asked for.
    pub at: Time,
    /// Final or partial.
    pub purpose: Purpose,
    /// 16 kHz mono.
    pub audio: std::sync::Arc<[i16]>,
    /// When it is wanted.
    pub deadline: Time,
    /// Words of the last partial of the same stretch; for finals.
    pub earlier: Option<String>,
}

/// A call in the making: the core, and the answers on their way.
pub struct Bench<W> {
    /// What it runs in.
    pub world: W,
    call: Call,
    later: Vec<(Time, Input)>,
    now: Time,
    to_caller: Frame,
}

impl<W: World> Bench<W> {
    /// A call that has just been answered.
    pub fn new(call: Call, world: W) -> Self {
        let mut bench = Self { world, call, later: Vec::new(), now: Time::ZERO, to_caller: Frame::SILENCE };
        bench.drain();
        bench
    }

    /// The present moment.
    pub fn now(&self) -> Time {
        self.now
    }

    /// True once the call has ended.
    pub fn is_over(&self) -> bool {
        self.call.is_over()
    }

    /// What the bot's last question expects.
    pub fn expect(&self) -> Expect {
        self.call.expect()
    }

    /// 20 ms pass, in which this was heard from the caller; gives what the caller is sent.
    pub fn step(&mut self, caller: &Frame) -> Frame {
        self.now = self.now + FRAME_TIME;
        self.later.sort_by_key(|(at, _)| *at);
        while self.later.first().is_some_and(|(at, _)| *at <= self.now) {
            let (_, input) = self.later.remove(0);
            self.tell(input);
        }
        self.tell(Input::Tick { caller: *caller, seat: None });
        std::mem::take(&mut self.to_caller)
    }

    /// Tells the call something now.
    pub fn tell(&mut self, input: Input) {
        self.call.handle(self.now, input);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.call.poll() {
            match output {
                Output::Event(event) => self.world.event(event),
                Output::Play { leg: LegId::Caller, frame } => self.to_caller = frame,
                Output::Transcribe { id, purpose, audio, deadline, earlier } => {
                    let request = Request { id, at: self.now, purpose, audio, deadline, earlier };
                    let (delay, result) = self.world.transcribe(request);
                    self.answer(delay, Input::Transcript { id, purpose, result });
                }
                Output::Think { turn, ask } => {
                    for (delay, thought) in self.world.think(turn, *ask) {
                        self.answer(delay, Input::Thought { turn, thought });
                    }
                }
                Output::Synthesize { id, text, .. } => {
                    for (delay, piece) in self.world.speak(id, &text) {
                        self.answer(delay, Input::Speech { id, piece });
                    }
                }
                Output::BookCallback { .. } => {
                    if let Some((delay, result)) = self.world.book() {
                        self.answer(delay, Input::CallbackStored { result });
                    }
                }
                // There are no tools either: none is configured, so no mind asks for one.
                Output::UseTool { turn, what } => {
                    let outcome = Outcome::Invalid("there are no tools here".into());
                    self.answer(Duration::ZERO, Input::ToolDone { turn, what, outcome });
                }
                // There are no seats here; who hangs up is asked for with `is_over`.
                Output::Play { leg: LegId::Seat, .. } | Output::Queue(_) | Output::Legs(_) => {}
            }
        }
    }

    fn answer(&mut self, delay: Duration, input: Input) {
        if delay.is_zero() {
            self.call.handle(self.now, input);
        } else {
            self.later.push((self.now + delay, input));
        }
    }
}
