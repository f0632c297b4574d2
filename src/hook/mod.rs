//! Webhooks: other systems are told what happens in calls, signed, until they have it.
//!
//! What is to be told is written to the database in the transaction of what it tells of (`store::hooks`), so neither is there
//! without the other, also after `kill -9`. A [`Worker`] posts it, again and again with growing pauses, until the receiver
//! says 2xx or the time to give up has come. A receiver may be told twice; the id of the event is then the same.

mod sign;
#[cfg(test)]
mod tests;
mod worker;

use std::collections::BTreeSet;
use std::time::Duration;

use secrecy::SecretString;
use serde_json::{Value, json};

use crate::call::event::{Event, EventKind};
use crate::digest::sha256;
use crate::record::{CallInfo, CallRecord};

pub use self::sign::{SIGNATURE, sign};
pub use self::worker::{Pace, Worker, client, post};

/// The header with the id of the event: the same however often it is told.
pub const ID: &str = "X-Nightline-Id";
/// The header with its name.
pub const EVENT: &str = "X-Nightline-Event";
/// The header with the number of the attempt, from 1.
pub const ATTEMPT: &str = "X-Nightline-Attempt";

/// All that can be told, in the order in which it happens in a call.
pub const EVENTS: [&str; 8] = [
    "call_answered",
    "handoff_requested",
    "bridged",
    "handoff_ended",
    "callback_booked",
    "message_left",
    "rated",
    "call_ended",
];
/// The event of `nightline hooks test`; never told by a call.
pub const TEST: &str = "test";

/// Somebody to be told.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// Where, `http` or `https`.
    pub url: String,
    /// What, of [`EVENTS`].
    pub events: BTreeSet<&'static str>,
    /// What the signature is made with.
    pub secret: SecretString,
    /// An answer that takes longer is a failure.
    pub timeout: Duration,
    /// It is not tried any more so long after it happened.
    pub give_up: Duration,
}

impl Webhook {
    /// The host of its URL, for logs: the rest may hold a key.
    pub fn host(&self) -> String {
        let url = reqwest::Url::parse(&self.url).ok();
        url.and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default()
    }
}

/// What is to be told.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// The same for the same fact.
    pub id: String,
    /// One of [`EVENTS`].
    pub event: &'static str,
    /// The call, the moment and what is particular to the event.
    pub body: Value,
}

impl Told {
    /// The name by which `kind` is told, if it is.
    pub fn name(kind: &EventKind) -> Option<&'static str> {
        match kind {
            EventKind::Answered => Some("call_answered"),
            EventKind::HandoffRequested { .. } => Some("handoff_requested"),
            EventKind::Bridged => Some("bridged"),
            EventKind::HandoffEnded { .. } => Some("handoff_ended"),
            EventKind::MessageLeft { .. } => Some("message_left"),
            EventKind::Rated { .. } => Some("rated"),
            // A call-back is told with the row that promises it, the end of a call with its record.
            _ => None,
        }
    }

    /// The event that is the `seq`th of the call `info`; [`None`] if it is none that is told.
    pub fn event(info: &CallInfo, seq: i64, event: &Event) -> Option<Self> {
        let name = Self::name(&event.kind)?;
        let mut data = serde_json::to_value(&event.kind).unwrap_or_default();
        if let Some(fields) = data.as_object_mut() {
            fields.remove("event");
        }
        Some(Self::new(format!("{}:{seq}", info.id), name, info, Some(event.at.since_start()), data))
    }

    /// A call-back that was promised at `created` (RFC 3339).
    pub fn callback(info: &CallInfo, number: &str, when: &str, created: &str) -> Self {
        let data = json!({ "number": number, "when": when, "created": created });
        // The last word of a caller who changes it is told as well.
        let words = sha256(format!("{number} {when}").as_bytes());
        Self::new(format!("{}:callback:{}", info.id, &words[..8]), "callback_booked", info, None, data)
    }

    /// A call that is over: what it came to, not what was said.
    pub fn ended(record: &CallRecord) -> Self {
        let handoff = record.handoff.as_ref().map(|handoff| {
            json!({
                "reason": handoff.reason,
                "seats": handoff.seats,
                "summary": handoff.summary,
                "outcome": handoff.outcome,
                "bridged_ms": handoff.bridged_ms,
            })
        });
        let topics: BTreeSet<&str> = record.turns.iter().filter_map(|turn| turn.topic.as_deref()).collect();
        let tools: Vec<Value> = record
            .tools
            .iter()
            .map(|used| json!({ "tool": used.what.tool, "outcome": used.outcome.name() }))
            .collect();
        let data = json!({
            "duration_ms": record.duration_ms,
            "disposition": record.disposition,
            "topics": topics,
            "handoff": handoff,
            "callback": record.callback,
            "messages": record.messages.len(),
            "rating": record.rating,
            "topic": record.wrap_up.as_ref().and_then(|wrap_up| wrap_up.topic.as_deref()),
            "work_order": record.wrap_up.as_ref().and_then(|wrap_up| wrap_up.order.as_ref()).map(|order| &order.tool),
            "tools": tools,
            "turns": record.turns.len(),
            "barge_ins": record.barge_ins,
            "recording": record.recording,
        });
        let at = Some(Duration::from_millis(record.duration_ms));
        Self::new(format!("{}:ended", record.info.id), "call_ended", &record.info, at, data)
    }

    /// Something to try a receiver with.
    pub fn test(id: &str, now: jiff::Timestamp) -> Self {
        let body = json!({ "id": id, "event": TEST, "at": format!("{now:.3}"), "call": null, "data": {} });
        Self { id: id.to_owned(), event: TEST, body }
    }

    fn new(id: String, event: &'static str, info: &CallInfo, after: Option<Duration>, data: Value) -> Self {
        let started = info.started.parse::<jiff::Timestamp>().ok();
        let at =
            after.and_then(|after| started?.checked_add(jiff::SignedDuration::try_from(after).ok()?).ok());
        let body = json!({
            "id": id,
            "event": event,
            "at": at.map(|at| format!("{at:.3}")),
            // What headers told is in the record.
            "call": CallInfo { variables: std::collections::BTreeMap::new(), ..info.clone() },
            "data": data,
        });
        Self { id, event, body }
    }
}
