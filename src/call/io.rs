//! The contract of the core: what it is told and what it asks for.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::event::{Event, HandoffOutcome, LegId, TurnId};
use crate::asr::{self, Purpose, Transcript};
use crate::clock::Time;
use crate::dialogue::{Ask, Thought};
use crate::media::Frame;
use crate::seat::{About, News, Target, Wish};
use crate::tools::{self, Use};
use crate::tts::Piece;

/// Something that happened outside.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "a tick comes fifty times a second and must not allocate")]
pub enum Input {
    /// 20 ms have passed: what each leg said in them. Drives playout and timers.
    Tick {
        /// From the caller.
        caller: Frame,
        /// From the seat, while there is a seat leg.
        seat: Option<Frame>,
    },
    /// A key was pressed.
    Dtmf {
        /// By whom.
        leg: LegId,
        /// `0`–`9`, `*`, `#`, `A`–`D`.
        digit: char,
    },
    /// A leg was put on hold or taken off it.
    Hold {
        /// Which.
        leg: LegId,
        /// True while held.
        held: bool,
    },
    /// The answer to [`Output::Transcribe`].
    Transcript {
        /// Which request.
        id: HearingId,
        /// Final or partial.
        purpose: Purpose,
        /// The words.
        result: Result<Transcript, asr::Error>,
    },
    /// A step of the answer to [`Output::Think`].
    Thought {
        /// Which turn.
        turn: TurnId,
        /// The step.
        thought: Thought,
    },
    /// A step of the answer to [`Output::Synthesize`].
    Speech {
        /// Which clause.
        id: ClauseId,
        /// The step.
        piece: Piece,
    },
    /// The answer to [`Output::UseTool`].
    ToolDone {
        /// Which turn asked for it.
        turn: TurnId,
        /// What was to be used.
        what: Use,
        /// What came of it.
        outcome: tools::Outcome,
    },
    /// The answer to [`Output::Queue`].
    Queue(News),
    /// News of the seats that were dialled.
    Seat {
        /// Which attempt.
        attempt: u32,
        /// The news.
        news: SeatNews,
    },
    /// The answer to [`Command::Refer`] or [`Command::JoinDirectly`].
    Referred {
        /// Which offer.
        attempt: u32,
        /// What it means for the handoff if the exchange did not do it, with the SIP status behind it.
        result: Result<(), (HandoffOutcome, Option<u16>)>,
    },
    /// The answer to [`Output::BookCallback`].
    CallbackStored {
        /// What went wrong, if anything.
        result: Result<(), String>,
    },
    /// The caller hung up, or the line is dead.
    CallerGone {
        /// True if no packet came for the RTP timeout.
        dead_line: bool,
    },
    /// Something around the call failed and was survived.
    Fault {
        /// Which part.
        part: String,
        /// What is wrong.
        error: String,
    },
    /// Nightline is stopping: say nothing more, end the call.
    Shutdown,
}

/// News of a seat that was dialled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SeatNews {
    /// This seat answered, and the others were cancelled; audio flows.
    Answered {
        /// Its name.
        seat: String,
    },
    /// This seat did not answer, or a machine answered for it.
    Failed {
        /// Its name.
        seat: String,
        /// Why not.
        outcome: HandoffOutcome,
        /// The SIP status behind it, if there was one.
        code: Option<u16>,
    },
    /// It hung up after answering.
    Gone,
}

/// One state of one utterance: a revision is raised when the caller speaks on after a likely end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HearingId {
    /// Number of the utterance within the call.
    pub utterance: u32,
    /// How often it was taken up again.
    pub revision: u32,
}

/// One clause of one turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClauseId {
    /// The turn.
    pub turn: TurnId,
    /// Its number within the turn, from 0.
    pub index: usize,
}

/// Something that shall happen outside.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "a frame leaves fifty times a second and must not allocate")]
pub enum Output {
    /// Send 20 ms to a leg. One for each leg and tick.
    Play {
        /// To whom.
        leg: LegId,
        /// The audio.
        frame: Frame,
    },
    /// Recognise this.
    Transcribe {
        /// Comes back with the answer.
        id: HearingId,
        /// Final or partial.
        purpose: Purpose,
        /// 16 kHz mono.
        audio: Arc<[i16]>,
        /// When the answer is wanted.
        deadline: Time,
        /// Words of the last partial of the same stretch; for finals.
        earlier: Option<String>,
    },
    /// Answer this.
    Think {
        /// Comes back with the answer.
        turn: TurnId,
        /// The turn to answer.
        ask: Box<Ask>,
    },
    /// Use a tool.
    UseTool {
        /// Comes back with the answer.
        turn: TurnId,
        /// What to use.
        what: Use,
    },
    /// Speak this.
    Synthesize {
        /// Comes back with the answer.
        id: ClauseId,
        /// Written form.
        text: String,
        /// Set when it is no longer wanted.
        cancelled: Arc<AtomicBool>,
    },
    /// Tell the queue.
    Queue(Wish),
    /// Store a promised call-back.
    BookCallback {
        /// Digits.
        number: String,
        /// In the caller's words.
        when: String,
    },
    /// Do this with the legs.
    Legs(Command),
    /// A fact for the taps.
    Event(Event),
}

/// What only the owner of the legs can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Dial these seats; the first that answers stays, the others are cancelled.
    DialSeat {
        /// Comes back with the news.
        attempt: u32,
        /// Addresses from the configuration.
        targets: Vec<Target>,
        /// What they are told before they answer.
        about: About,
    },
    /// Ask the caller's exchange to call this seat instead of us (blind transfer, RFC 5589 §6).
    Refer {
        /// Comes back with the news.
        attempt: u32,
        /// Whom.
        target: Target,
        /// What goes with it.
        about: About,
    },
    /// Ask the caller's exchange to take our place in the call with the seat (attended transfer, RFC 5589 §7).
    JoinDirectly {
        /// Comes back with the news.
        attempt: u32,
    },
    /// Cancel or hang up the seats that were dialled.
    HangUpSeat,
    /// Press a key towards this leg.
    Press {
        /// Whose telephone gets it.
        leg: LegId,
        /// The key.
        digit: char,
    },
    /// Hang up the caller: the call is over and nothing more follows.
    HangUp,
}
