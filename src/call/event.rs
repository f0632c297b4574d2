//! What happened in a call: the facts that taps (recorder, record, metrics, console) are built from.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::time::Duration;

use super::barge_in::Why;
use super::endpointing::EndOfTurn;
use crate::asr::Engine;
use crate::asr::stream::Hypothesis;
use crate::clock::Time;
use crate::dialogue::{self, Act, Reason, Tier};
use crate::tools::{self, Use};

/// A turn's number within its call, from 1. Raised at every turn of the bot and at every committed barge-in; a reply that
/// carries an older one is dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TurnId(pub u32);

/// A leg of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LegId {
    /// The person who phoned.
    Caller,
    /// The human agent.
    Seat,
}

/// A fact with its moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Milliseconds since the call was answered.
    #[serde(rename = "at_ms", with = "millis_time")]
    pub at: Time,
    /// The fact.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// A fact. Durations are serialised as milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum EventKind {
    /// The call is up; audio flows.
    Answered,
    /// A machine has answered a call that we placed.
    MachineAnswered,
    /// The caller began to speak.
    SpeechStarted,
    /// The end of the caller's utterance was decided, for these reasons.
    SpeechEnded(EndOfTurn),
    /// Words so far, not final.
    Partial(Hypothesis),
    /// The caller's turn is over and these were the words.
    CallerSaid {
        /// The turn that answers it.
        turn: TurnId,
        /// The words.
        text: String,
        /// Recogniser's confidence in 0..=1.
        confidence: f32,
        /// Which recogniser.
        #[serde(default)]
        engine: Engine,
        /// When the caller's speech began.
        #[serde(rename = "began_ms", with = "millis_time")]
        began: Time,
        /// When the caller's last speech frame was.
        #[serde(rename = "ended_ms", with = "millis_time")]
        ended: Time,
    },
    /// The mind decided.
    Decided {
        /// The turn.
        turn: TurnId,
        /// What to do.
        act: Act,
        /// Fused confidence in 0..=1.
        confidence: f32,
        /// Knowledge entries.
        sources: Vec<String>,
        /// Which tier.
        tier: Tier,
        /// Topic.
        topic: String,
        /// How it came to the confidence.
        #[serde(default, skip_serializing_if = "dialogue::Why::is_empty")]
        why: Box<dialogue::Why>,
    },
    /// Something else is known of the caller and the matter than before: all facts and slots that people can read, by name.
    Learned {
        /// See [`Memory::known`](dialogue::Memory::known).
        known: Map<String, Value>,
    },
    /// A tool was used.
    ToolUsed {
        /// The turn that asked for it.
        turn: TurnId,
        /// What was used.
        what: Use,
        /// What came of it.
        outcome: tools::Outcome,
        /// From the request to the answer; [`None`] if none came in time.
        #[serde(rename = "took_ms", with = "millis")]
        took: Option<Duration>,
    },
    /// An answer that was being prepared was thrown away before a sound of it had left: the caller went on, or it came to
    /// nothing.
    AnswerDropped {
        /// The turn that it would have been.
        turn: TurnId,
    },
    /// The bot began to speak a turn: the first frame has left.
    BotStarted {
        /// The turn.
        turn: TurnId,
        /// Where the time since the caller's last speech went; none for turns that answer nothing (greeting, prompts).
        timings: Option<Timings>,
    },
    /// The bot began to say that it is thinking, while it thinks of a turn. Not a part of the turn.
    Filled {
        /// The turn.
        turn: TurnId,
        /// The words.
        text: String,
    },
    /// The bot's turn is over.
    BotSaid {
        /// The turn.
        turn: TurnId,
        /// The words that the caller has heard.
        text: String,
        /// True if the caller cut it short.
        interrupted: bool,
        /// When its first frame left.
        #[serde(rename = "began_ms", with = "millis_time")]
        began: Time,
    },
    /// The caller spoke over the bot; playout is paused.
    BargeInStarted {
        /// The turn being spoken.
        turn: TurnId,
    },
    /// The barge-in was none (backchannel, cough, noise); playout goes on.
    BargeInRejected {
        /// The turn being spoken.
        turn: TurnId,
        /// What was recognised, if anything.
        text: String,
        /// The reason.
        #[serde(default)]
        why: Why,
    },
    /// The barge-in was real; the rest of the turn is dropped.
    BargeInConfirmed {
        /// The turn that was cut.
        turn: TurnId,
        /// The reason.
        #[serde(default)]
        why: Why,
    },
    /// A key was pressed.
    Dtmf {
        /// By whom.
        leg: LegId,
        /// `0`–`9`, `*`, `#`, `A`–`D`.
        digit: char,
    },
    /// A leg was put on hold or taken off it by its far end.
    Hold {
        /// Which.
        leg: LegId,
        /// True while held.
        held: bool,
    },
    /// The call is to be given to a seat.
    HandoffRequested {
        /// Why.
        reason: Reason,
    },
    /// Nobody is free: the caller waits.
    Queued {
        /// Callers who come before.
        ahead: u32,
        /// How long it will take, if there is something to go by.
        #[serde(rename = "expected_ms", with = "millis")]
        expected: Option<Duration>,
    },
    /// A seat is being dialled.
    SeatDialled {
        /// Its name.
        seat: String,
    },
    /// A seat that was dialled did not come to be joined.
    SeatFailed {
        /// Its name.
        seat: String,
        /// Why not.
        outcome: HandoffOutcome,
        /// The SIP status behind it, if there was one.
        code: Option<u16>,
    },
    /// The seat answered and hears this summary.
    Consulting {
        /// The summary.
        summary: String,
    },
    /// What a seat asked before it took the call, or what was said in a bridge in which notes are taken.
    Overheard {
        /// By whom.
        leg: LegId,
        /// The words.
        text: String,
        /// Recogniser's confidence in 0..=1.
        confidence: f32,
        /// When the speech began.
        #[serde(rename = "began_ms", with = "millis_time")]
        began: Time,
        /// When the last speech frame was.
        #[serde(rename = "ended_ms", with = "millis_time")]
        ended: Time,
    },
    /// Caller and seat are joined.
    Bridged,
    /// The caller's exchange reaches the seat by itself now: we are out of the call.
    Referred,
    /// The handoff ended.
    HandoffEnded {
        /// How.
        outcome: HandoffOutcome,
    },
    /// A call-back was promised (and stored).
    CallbackBooked {
        /// Where to call.
        number: String,
        /// When, in the caller's own words.
        when: String,
    },
    /// A caller who wants no call-back has left a message: what was said since `began`.
    MessageLeft {
        /// The words.
        text: String,
        /// Where it begins in the recording.
        #[serde(rename = "began_ms", with = "millis_time")]
        began: Time,
    },
    /// The caller said or pressed how content it is.
    Rated {
        /// 1 (not at all) to 5 (very).
        score: u8,
        /// The words; empty if it was a key.
        words: String,
    },
    /// Something failed and was survived.
    Fault {
        /// Which part (`asr`, `tts`, `llm`, `seat`, `store` …).
        part: String,
        /// What is wrong.
        error: String,
    },
    /// The call is over.
    Ended {
        /// How.
        disposition: Disposition,
    },
}

/// Where the time between the caller's last speech and the bot's first went. Each is measured from the caller's last speech
/// frame; [`None`] if that stage was not passed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timings {
    /// Until the end of the turn was decided.
    #[serde(rename = "eou_delay_ms", with = "millis")]
    pub eou_delay: Option<Duration>,
    /// Until the final transcript was there.
    #[serde(rename = "transcription_delay_ms", with = "millis")]
    pub transcription_delay: Option<Duration>,
    /// Until the first clause of the answer was there.
    #[serde(rename = "llm_ttft_ms", with = "millis")]
    pub llm_ttft: Option<Duration>,
    /// Until the first audio of the answer was there.
    #[serde(rename = "tts_ttfb_ms", with = "millis")]
    pub tts_ttfb: Option<Duration>,
    /// Until the first audio left.
    #[serde(rename = "turn_latency_ms", with = "millis")]
    pub turn_latency: Option<Duration>,
}

/// How a handoff ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HandoffOutcome {
    /// The seat took the call; the bridge ran until one side hung up.
    Accepted,
    /// 486 or 600.
    Busy,
    /// It rang until the limit.
    NoAnswer,
    /// The seat pressed 2, or 603.
    Declined,
    /// It could not be reached (no route, error, timeout).
    Unreachable,
    /// The seat hung up before accepting.
    SeatGone,
    /// The caller hung up meanwhile.
    CallerGone,
    /// A machine answered for it.
    Voicemail,
    /// No seat can take such a call, or none wants calls.
    NoSeat,
    /// Nobody is on duty.
    OutOfHours,
    /// Too many callers wait already.
    QueueFull,
    /// Nobody came free in time.
    TooLong,
    /// The caller did not want to wait any longer.
    Withdrawn,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Disposition {
    /// The bot did all there was to do.
    Contained,
    /// A seat took it.
    Transferred,
    /// A call-back was booked.
    Callback,
    /// The caller hung up before any of these.
    Abandoned,
    /// The caller said nothing through all prompts, or the line went dead.
    Silent,
    /// A machine answered a call that we placed.
    Machine,
    /// Nightline is shutting down or the call broke.
    Failed,
}

/// `Time` as whole milliseconds since the start.
pub mod millis_time {
    use crate::clock::Time;
    use serde::{Deserialize, Deserializer, Serializer};
    use std::time::Duration;

    /// Serialises.
    pub fn serialize<S: Serializer>(time: &Time, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_u64(time.since_start().as_millis() as u64)
    }

    /// Deserialises.
    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Time, D::Error> {
        Ok(Time::from_start(Duration::from_millis(u64::deserialize(d)?)))
    }
}

/// `Option<Duration>` as whole milliseconds.
pub mod millis {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use std::time::Duration;

    /// Serialises.
    pub fn serialize<S: Serializer>(value: &Option<Duration>, s: S) -> Result<S::Ok, S::Error> {
        value.map(|d| d.as_millis() as u64).serialize(s)
    }

    /// Deserialises.
    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<u64>::deserialize(d)?.map(Duration::from_millis))
    }
}
