//! The sans-IO core of one call.
//!
//! [`Call`] takes [`Input`]s with their time and gives [`Output`]s: no sockets, no clock, no tasks, no locks. The driver
//! calls [`Call::handle`] and drains [`Call::poll`]; the same core runs live, in simulation and in replay.
//!
//! Every turn of the bot has a number. What arrives for a turn that is no longer wanted is dropped on arrival, so nothing
//! ever waits for a cancellation.

mod asking;
pub mod barge_in;
pub mod endpointing;
pub mod errand;
pub mod event;
mod farewell;
#[cfg(test)]
mod farewell_tests;
mod filler;
mod handoff;
mod hear;
#[cfg(test)]
mod interruption_tests;
pub mod io;
mod keys;
mod level;
pub mod listening;
#[cfg(test)]
mod manners_tests;
mod overhear;
pub mod playout;
#[cfg(test)]
mod rig;
mod seat_talk;
#[cfg(test)]
mod seat_talk_tests;
pub mod settings;
mod speak;
#[cfg(test)]
mod tests;
pub mod timers;
mod tools;
#[cfg(test)]
mod tools_tests;
#[cfg(test)]
mod transfer_walk_tests;
pub mod turn;
mod voice;
mod waiting;
#[cfg(test)]
mod walk_tests;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use self::asking::Asking;
use self::errand::{Errand, Waiting};
use self::event::{Disposition, Event, EventKind, HandoffOutcome, LegId, TurnId};
use self::filler::Fillers;
use self::handoff::Handoff;
use self::hear::Pending;
pub use self::io::{ClauseId, Command, HearingId, Input, Output, SeatNews};
use self::listening::Listening;
pub use self::listening::VoiceActivity;
use self::overhear::Overheard;
pub use self::settings::{Lexicon, Phrases, Settings};
use self::timers::{Timer, Timers};
use self::turn::{BotTurn, Rest, Then};
use self::waiting::Comfort;
use crate::chat::Kept;
use crate::clock::Time;
use crate::dialogue::{Expect, Memory, Said};
use crate::media::Frame;
use crate::media::echo::Echo;
use crate::tools::Used;

/// Whoever leaves a message and is silent for so long is done with it.
const MESSAGE_PAUSE: Duration = Duration::from_secs(4);

/// One call: everything it knows and decides.
pub struct Call {
    settings: Settings,
    caller_number: Option<String>,
    outputs: VecDeque<Output>,
    now: Time,
    timers: Timers,
    stage: Stage,
    listening: Listening,
    /// The turn being spoken (or about to be).
    speaking: Option<BotTurn>,
    /// What the caller has not heard of the turn that was cut last.
    rest: Rest,
    /// True until something came of the interruption that cut it.
    rest_is_fresh: bool,
    /// The turn that is speculated while the caller may still go on.
    pending: Option<Box<Pending>>,
    /// What is said while the turn being spoken is thought of.
    fillers: Fillers,
    /// When a typed number was whole.
    number_typed: Option<Time>,
    /// True while the turn being spoken is paused for the caller.
    barging_in: bool,
    /// How loud the caller speaks, dB relative to full scale, once known.
    caller_level: Option<f32>,
    /// The utterance of somebody far from the telephone.
    far: Option<u32>,
    /// What was played, looked for in what is heard.
    echo: Box<Echo>,
    /// True once the bot's own words came back over the line.
    echoes: bool,
    asking: Asking,
    /// Keys of the caller that wait for their turn.
    keys: VecDeque<char>,
    /// What the bot's last question expects, if the core itself asks nothing.
    expects: Expect,
    clarified: bool,
    history: Vec<Said>,
    /// What the mind keeps of the conversation.
    memory: Memory,
    /// Tools that were used, and what came of it.
    used: Vec<Used>,
    /// Words of the caller whose answer was withdrawn before a sound of it had left.
    carried: String,
    last_turn: u32,
    prompts: usize,
    held: bool,
    /// A seat is being brought in; the caller waits, and may go on talking with the bot.
    handoff: Option<Box<Handoff>>,
    comfort: Comfort,
    /// Topic of the last decision.
    topic: String,
    /// What a call that we placed is for, until whoever answered is known to be a person.
    errand: Option<Box<Waiting>>,
    overheard: Box<Overheard>,
    /// Turns in a row that came to nothing because the mind or the voice failed.
    stalled: u8,
    ending: Ending,
}

/// Where the call stands.
enum Stage {
    /// Caller and bot talk.
    Talking,
    /// Caller and seat talk.
    Bridged {
        /// The offer by which the seat came.
        attempt: u32,
    },
    /// Nothing more follows.
    Over,
}

/// What the disposition is made of.
#[derive(Default)]
struct Ending {
    answered: bool,
    transferred: bool,
    booked: bool,
    spoke: bool,
    /// The words were left with a machine.
    message: bool,
    /// Answers that were more than small talk.
    answers: u32,
    asked_rating: bool,
}

impl Call {
    fn begin(
        settings: Settings,
        vad: Box<dyn VoiceActivity>,
        caller_number: Option<String>,
        now: Time,
    ) -> Self {
        let mut call = Self {
            listening: Listening::new(vad, settings.hearing),
            expects: settings.greeting_expects,
            settings,
            caller_number,
            outputs: VecDeque::new(),
            now,
            timers: Timers::default(),
            stage: Stage::Talking,
            speaking: None,
            rest: Rest::default(),
            rest_is_fresh: false,
            pending: None,
            fillers: Fillers::default(),
            number_typed: None,
            barging_in: false,
            caller_level: None,
            far: None,
            echo: Box::default(),
            echoes: false,
            asking: Asking::Nothing,
            keys: VecDeque::new(),
            clarified: false,
            history: Vec::new(),
            memory: Memory::default(),
            used: Vec::new(),
            carried: String::new(),
            last_turn: 0,
            prompts: 0,
            held: false,
            handoff: None,
            comfort: Comfort::default(),
            topic: String::new(),
            errand: None,
            overheard: Box::default(),
            stalled: 0,
            ending: Ending::default(),
        };
        call.event(EventKind::Answered);
        call
    }

    /// A call that is answered now: it begins with the notice and the greeting.
    ///
    /// `caller_number` is what the network gave, if it is a telephone number.
    pub fn new(
        settings: Settings,
        vad: Box<dyn VoiceActivity>,
        caller_number: Option<String>,
        now: Time,
    ) -> Self {
        let mut call = Self::begin(settings, vad, caller_number, now);
        call.greet();
        call
    }

    /// A call that we placed and somebody answers now: once it is known to be a person, it begins with the notice and what it is
    /// for.
    pub fn placed(
        settings: Settings,
        vad: Box<dyn VoiceActivity>,
        number: String,
        errand: Errand,
        now: Time,
    ) -> Self {
        let mut call = Self::begin(settings, vad, Some(number), now);
        call.errand = Some(Box::new(Waiting::new(errand)));
        call
    }

    /// Lets the mind go on where an earlier conversation with the same customer was left.
    pub fn recall(&mut self, kept: Kept) {
        (self.history, self.memory, self.used) = (kept.history, kept.memory, kept.used);
        let known = self.memory.known();
        if !known.is_empty() {
            self.event(EventKind::Learned { known });
        }
    }

    /// Takes what happened at `now`. Times never go back.
    pub fn handle(&mut self, now: Time, input: Input) {
        if matches!(self.stage, Stage::Over) {
            return;
        }
        self.now = now;
        match input {
            Input::Tick { caller, seat } => self.tick(&caller, seat.as_ref()),
            Input::Dtmf { leg, digit } => self.key(leg, digit),
            Input::Hold { leg, held } => self.hold(leg, held),
            Input::Transcript { id, result, .. } if id.utterance >= overhear::FIRST => {
                self.overheard_words(id, result);
            }
            Input::Transcript { id, purpose, result } => self.transcript(id, purpose, result),
            Input::Thought { turn, thought } => self.thought(turn, thought),
            Input::Speech { id, piece } => self.speech(id, piece),
            Input::ToolDone { turn, what, outcome } => self.tool_done(turn, what, outcome),
            Input::Queue(news) => self.queue(news),
            Input::Seat { attempt, news } => self.seat(attempt, news),
            Input::Referred { attempt, result } => self.referred(attempt, result),
            Input::CallbackStored { result } => self.callback_stored(result),
            Input::CallerGone { dead_line } => self.caller_gone(dead_line),
            Input::Fault { part, error } => self.fault(&part, error),
            Input::Shutdown => self.end(Some(Disposition::Failed)),
        }
    }

    /// What shall happen next, until there is nothing left.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// True once the call has ended.
    pub fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Over)
    }

    fn tick(&mut self, caller: &Frame, seat: Option<&Frame>) {
        if self.errand.is_some() {
            self.find_out_who_answers(caller);
        } else if matches!(self.stage, Stage::Talking) && !self.held && !self.is_being_joined() {
            self.listen(caller);
        }
        if let Some(seat) = seat {
            self.listen_to_seat(seat);
        }
        self.overhear(caller, seat);
        self.expire_timers();
        self.finish_turn();
        self.take_keys();
        self.advance_handoff();
        self.watch_silence();
        self.watch_thinking();
        if matches!(self.stage, Stage::Over) {
            return;
        }
        let to_caller = match (&self.stage, seat) {
            (Stage::Bridged { .. }, Some(seat)) => *seat,
            _ => self.frame_for_caller(),
        };
        if !self.is_bridged() {
            self.echo.play(&to_caller);
        }
        self.outputs.push_back(Output::Play { leg: LegId::Caller, frame: to_caller });
        if seat.is_some() {
            let frame = self.frame_for_seat(caller);
            self.outputs.push_back(Output::Play { leg: LegId::Seat, frame });
        }
    }

    fn expire_timers(&mut self) {
        for timer in Timer::ALL {
            if self.timers.take_expired(timer, self.now) {
                match timer {
                    Timer::NoInput => self.prompt_silent_caller(),
                    Timer::Stalled => self.stalled(),
                    Timer::Filler => self.prepare_filler(),
                    Timer::Keys => self.keys_ended(),
                    Timer::Queue => self.queue_timed_out(),
                    Timer::SeatRing | Timer::SeatAccept => self.seat_timed_out(),
                    Timer::SeatRepeat => self.repeat_seat_keys(),
                    Timer::CallbackStore => {
                        self.callback_stored(Err("the store did not answer in time".into()));
                    }
                }
            }
        }
    }

    /// Keeps the timers running that guard against silence: exactly while both sides are silent, and exactly while the bot
    /// has a turn but nothing to play.
    fn watch_silence(&mut self) {
        let stalled = !self.held && self.speaking.as_ref().is_some_and(BotTurn::is_stalled);
        self.run_timer_while(stalled, Timer::Stalled, self.settings.thinking);
        if !self.is_typing() {
            self.timers.stop(Timer::Keys);
        }
        let quiet = matches!(self.stage, Stage::Talking)
            && self.handoff.is_none()
            && self.errand.is_none()
            && !self.held
            && self.speaking.is_none()
            && self.pending.is_none()
            && self.listening.utterance().is_none()
            && !self.timers.is_set(Timer::Keys)
            && !self.timers.is_set(Timer::CallbackStore);
        let message = matches!(self.asking, Asking::Message { .. });
        let patience = if message { MESSAGE_PAUSE } else { self.settings.no_input };
        self.run_timer_while(quiet, Timer::NoInput, patience);
    }

    fn is_bridged(&self) -> bool {
        matches!(self.stage, Stage::Bridged { .. })
    }

    /// Caller and seat talk, and nothing is made of it: what each says may go straight to the other, and [`Input::Tick`] may bring
    /// silence.
    pub fn is_passed_through(&self) -> bool {
        self.is_bridged() && !self.settings.notes
    }

    /// A seat has accepted: what the bot is saying is played out, and nobody listens.
    fn is_being_joined(&self) -> bool {
        self.handoff.as_ref().is_some_and(|handoff| handoff.is_accepted())
    }

    fn run_timer_while(&mut self, condition: bool, timer: Timer, length: Duration) {
        if !condition {
            self.timers.stop(timer);
        } else if !self.timers.is_set(timer) {
            self.timers.set(timer, self.now + length);
        }
    }

    fn key(&mut self, leg: LegId, digit: char) {
        self.event(EventKind::Dtmf { leg, digit });
        match (leg, &self.stage) {
            (LegId::Caller, Stage::Talking) => self.caller_key(digit),
            (LegId::Seat, Stage::Talking) => self.seat_key(digit),
            (LegId::Caller, Stage::Bridged { .. }) => {
                self.command(Command::Press { leg: LegId::Seat, digit });
            }
            (LegId::Seat, Stage::Bridged { .. }) => {
                self.command(Command::Press { leg: LegId::Caller, digit });
            }
            (_, Stage::Over) => {}
        }
    }

    fn hold(&mut self, leg: LegId, held: bool) {
        self.event(EventKind::Hold { leg, held });
        if leg == LegId::Caller {
            self.held = held;
            if let Some(turn) = &mut self.speaking {
                if held { turn.playout.pause() } else { turn.resume() }
            }
            self.barging_in = false;
            self.drop_pending();
            self.listening.take();
        }
    }

    fn caller_gone(&mut self, dead_line: bool) {
        self.keep_message();
        self.book_for_gone_caller();
        let silent = dead_line && !self.ending.spoke;
        self.end(silent.then_some(Disposition::Silent));
    }

    /// Ends the call; the disposition follows from what happened unless given.
    fn end(&mut self, disposition: Option<Disposition>) {
        if matches!(self.stage, Stage::Over) {
            return;
        }
        self.drop_pending();
        self.cut_turn();
        self.release_seat(HandoffOutcome::CallerGone);
        let happened = match &self.ending {
            e if e.transferred => Disposition::Transferred,
            e if e.booked => Disposition::Callback,
            e if e.message => Disposition::Machine,
            e if e.answered => Disposition::Contained,
            _ => Disposition::Abandoned,
        };
        let disposition = match disposition {
            Some(Disposition::Silent) if happened != Disposition::Abandoned => happened,
            other => other.unwrap_or(happened),
        };
        self.event(EventKind::Ended { disposition });
        self.command(Command::HangUp);
        self.stage = Stage::Over;
    }

    /// What the caller's side has told of the call beside its number: flows and minds find it as the fact `call`.
    pub fn set_variables(&mut self, variables: &BTreeMap<String, String>) {
        if !variables.is_empty() {
            self.memory.facts.insert("call".into(), serde_json::json!(variables));
        }
    }

    /// The calling number, if there is one; of a call that we placed, the number that was called.
    pub fn caller_number(&self) -> Option<&str> {
        self.caller_number.as_deref()
    }

    /// What the last question expects.
    pub fn expect(&self) -> Expect {
        match self.asking.expect() {
            Expect::Open => self.expects,
            asked => asked,
        }
    }

    fn next_turn(&mut self) -> TurnId {
        self.last_turn += 1;
        TurnId(self.last_turn)
    }

    fn event(&mut self, kind: EventKind) {
        self.outputs.push_back(Output::Event(Event { at: self.now, kind }));
    }

    fn command(&mut self, command: Command) {
        self.outputs.push_back(Output::Legs(command));
    }

    fn fault(&mut self, part: &str, error: impl ToString) {
        self.event(EventKind::Fault { part: part.into(), error: error.to_string() });
    }

    fn greet(&mut self) {
        let phrases = self.settings.phrases.clone();
        let mut clauses = phrases.notice.clone();
        let protected = clauses.len();
        clauses.extend_from_slice(&phrases.greeting);
        let id = self.next_turn();
        self.start_turn(BotTurn::saying(id, clauses, protected, Then::Listen));
    }
}
