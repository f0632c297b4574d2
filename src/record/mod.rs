//! What stays of a call: its recording and its record.

pub mod excerpt;
mod fold;
pub mod pii;
mod save;
pub mod wav;
mod wrap_up;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::asr::Engine;
use crate::call::endpointing::EndOfTurn;
use crate::call::event::{Disposition, Event, HandoffOutcome, LegId, Timings};
use crate::dialogue::wrap_up::WrapUp;
use crate::dialogue::{Act, Reason, Tier, Who, Why};
use crate::tools::{self, Use};

pub use fold::{Folder, fold};
pub use pii::Pii;
pub use save::{SaveError, json_path, save, wav_path};
pub use wrap_up::wrap_up;

/// The name that records give a value without data (`low_confidence`); `other` for one that has data.
pub fn name_of(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(name)) => name,
        _ => "other".into(),
    }
}

/// Who called whom, known before the first frame.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallInfo {
    /// UUID v7 of the call.
    pub id: String,
    /// Tenant folder.
    pub tenant: String,
    /// Calling number or address.
    pub from: String,
    /// Called number or address.
    pub to: String,
    /// `sip`, `fixture`, `local` …
    pub door: String,
    /// RFC 3339 wall-clock time of the answer.
    pub started: String,
    /// What else the caller's side has told of the call (`x_plate`, `user_to_user`, `diversion` …).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variables: BTreeMap<String, String>,
}

/// The record of one call, folded from its events.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CallRecord {
    /// Who called whom.
    #[serde(flatten)]
    pub info: CallInfo,
    /// From answer to end.
    pub duration_ms: u64,
    /// How it ended; [`None`] while it runs.
    pub disposition: Option<Disposition>,
    /// What was said, in order, only what was really heard.
    pub turns: Vec<TurnRecord>,
    /// Barge-ins that were real.
    pub barge_ins: u32,
    /// Barge-ins that were none.
    pub false_barge_ins: u32,
    /// The handoff, if one was asked for.
    pub handoff: Option<HandoffRecord>,
    /// The call-back, if one was booked.
    pub callback: Option<CallbackRecord>,
    /// What the seat asked before it took the call, and what was said in the bridge if notes are taken.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<NoteRecord>,
    /// Messages that the caller left for people, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub messages: Vec<MessageRecord>,
    /// How content the caller was, if it said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rating: Option<RatingRecord>,
    /// What it was about and what people still have to do; [`None`] while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wrap_up: Option<WrapUp>,
    /// Tools that were used, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<ToolRecord>,
    /// Keys that the caller pressed.
    pub dtmf: String,
    /// How long legs were on hold, milliseconds.
    #[serde(default)]
    pub held_ms: u64,
    /// Survived failures, as `part: error`.
    pub faults: Vec<String>,
    /// Per leg (`caller`, `seat`): what RTP and RTCP said.
    pub media: Vec<MediaRecord>,
    /// Path of the stereo recording, if one was made.
    pub recording: Option<String>,
}

/// One turn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TurnRecord {
    /// Whose.
    pub who: Who,
    /// The words; the caller's as spoken.
    pub text: String,
    /// Caller: the same with numbers in digits, if that is something else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written: Option<String>,
    /// Milliseconds since the answer: first audio.
    pub began_ms: u64,
    /// Milliseconds since the answer: last audio.
    pub ended_ms: u64,
    /// Bot: cut short by the caller.
    pub interrupted: bool,
    /// Caller: recogniser's confidence. Bot: fused confidence of the answer.
    pub confidence: Option<f32>,
    /// Caller: which recogniser.
    pub engine: Option<Engine>,
    /// Caller: why its turn was taken for over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_of_turn: Option<EndOfTurn>,
    /// Bot: what it came to.
    pub act: Option<Act>,
    /// Bot: which tier answered.
    pub tier: Option<Tier>,
    /// Bot: topic.
    pub topic: Option<String>,
    /// Bot: knowledge entries.
    pub sources: Vec<String>,
    /// Bot: how it came to the confidence, and what it made of the caller's mood.
    #[serde(default, skip_serializing_if = "Why::is_empty")]
    pub why: Why,
    /// Bot: where the time went.
    pub timings: Option<Timings>,
}

/// A use of a tool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToolRecord {
    /// Milliseconds since the answer: when it was done.
    pub at_ms: u64,
    /// What was used, with its arguments.
    #[serde(flatten)]
    pub what: Use,
    /// What came of it.
    pub outcome: tools::Outcome,
    /// How long it took; [`None`] if it did not answer in time.
    pub took_ms: Option<u64>,
}

/// A handoff.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HandoffRecord {
    /// Why.
    pub reason: Reason,
    /// Seats dialled, in order.
    pub seats: Vec<String>,
    /// Those that did not come, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<SeatRecord>,
    /// What the seat heard.
    pub summary: Option<String>,
    /// How it ended.
    pub outcome: Option<HandoffOutcome>,
    /// When caller and seat were joined.
    pub bridged_ms: Option<u64>,
    /// True if the caller's exchange reached the seat by itself, without us.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub referred: bool,
}

/// A seat that did not come to be joined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeatRecord {
    /// Its name.
    pub seat: String,
    /// Why not.
    pub outcome: HandoffOutcome,
    /// The SIP status behind it, if there was one.
    pub code: Option<u16>,
    /// When, since the answer.
    pub at_ms: u64,
}

/// A promised call-back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallbackRecord {
    /// Where to call.
    pub number: String,
    /// When, in the caller's words.
    pub when: String,
}

/// Something that was said beside the caller's conversation with the bot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NoteRecord {
    /// By whom.
    pub leg: LegId,
    /// The words, as they were recognised.
    pub text: String,
    /// Recogniser's confidence in 0..=1.
    pub confidence: f32,
    /// Milliseconds since the answer: first audio.
    pub began_ms: u64,
    /// Milliseconds since the answer: last audio.
    pub ended_ms: u64,
}

/// A message that a caller left instead of a call-back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageRecord {
    /// The words, as they were recognised.
    pub text: String,
    /// Where it begins in the recording, milliseconds since the answer.
    pub began_ms: u64,
    /// Where it ends.
    pub ended_ms: u64,
}

/// How content a caller was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RatingRecord {
    /// 1 (not at all) to 5 (very).
    pub score: u8,
    /// The words; empty if it was a key.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub words: String,
}

/// What RTP and RTCP said of one leg.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MediaRecord {
    /// `caller` or `seat`.
    pub leg: String,
    /// Codec name (`PCMA` …).
    pub codec: String,
    /// Packets received.
    pub received: u64,
    /// Packets that never came.
    pub lost: u64,
    /// Packets that came too late to be played.
    pub late: u64,
    /// Frames concealed.
    pub concealed: u64,
    /// Interarrival jitter (RFC 3550), milliseconds.
    pub jitter_ms: f32,
    /// Packets sent.
    pub sent: u64,
    /// Fraction lost as reported by the far end, in 0..=1.
    pub remote_loss: Option<f32>,
    /// Round-trip time from RTCP, milliseconds.
    pub rtt_ms: Option<f32>,
}

/// A tap on a call's events.
pub trait Tap: Send {
    /// Sees one event.
    fn event(&mut self, event: &Event);
}
