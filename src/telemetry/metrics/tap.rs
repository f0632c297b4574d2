//! Counts what happens in one call.

use std::collections::BTreeMap;

use super::{Metrics, PARTS, known};
use crate::call::event::{Event, EventKind, TurnId};
use crate::clock::Time;
use crate::dialogue::{Reason, Tier};
use crate::record::{Tap, name_of};

/// Counts what happens in one call.
pub(super) struct CallTap {
    pub(super) metrics: Metrics,
    pub(super) door: &'static str,
    /// What turns came to that the bot has not finished speaking.
    pub(super) decided: BTreeMap<TurnId, (Tier, &'static str)>,
    /// Since when the bot is silent for a caller who speaks over it.
    pub(super) paused: Option<Time>,
    pub(super) reason: Option<Reason>,
    /// When a person was asked for.
    pub(super) requested: Option<Time>,
}

impl Tap for CallTap {
    fn event(&mut self, event: &Event) {
        let metrics = &self.metrics;
        match &event.kind {
            EventKind::SpeechEnded(why) => {
                metrics.ends_of_turn.get_or_create(&[("because", name_of(&why.because))]).inc();
            }
            EventKind::CallerSaid { .. } => count_turn(metrics, "caller", None),
            EventKind::Decided { turn, act, tier, .. } => {
                // The last decision of a turn counts, as in the record.
                self.decided.insert(*turn, (*tier, act.name()));
            }
            EventKind::AnswerDropped { .. } => {
                metrics.dropped.inc();
            }
            EventKind::ToolUsed { what, outcome, took, .. } => {
                let labels = [("tool", what.tool.clone()), ("outcome", outcome.name().to_owned())];
                metrics.tools.get_or_create(&labels).inc();
                if let Some(took) = took {
                    metrics
                        .tool_times
                        .get_or_create(&[("tool", what.tool.clone())])
                        .observe(took.as_secs_f64());
                }
            }
            EventKind::BotStarted { timings: Some(timings), .. } => metrics.stages.observe(timings),
            EventKind::BotSaid { turn, .. } => {
                count_turn(metrics, "bot", self.decided.remove(turn));
                // Ids only rise: what is older was never spoken.
                self.decided = self.decided.split_off(turn);
            }
            EventKind::BargeInStarted { .. } => self.paused = Some(event.at),
            EventKind::BargeInRejected { .. } => self.verdict("rejected", event.at),
            EventKind::BargeInConfirmed { .. } => self.verdict("confirmed", event.at),
            EventKind::HandoffRequested { reason } => {
                self.reason = Some(*reason);
                self.requested = Some(event.at);
            }
            EventKind::SeatFailed { outcome, .. } => {
                metrics.seat_failures.get_or_create(&[("outcome", name_of(outcome))]).inc();
            }
            EventKind::Bridged => {
                if let Some(requested) = self.requested.take() {
                    metrics.seat_waits.observe(event.at.saturating_since(requested).as_secs_f64());
                }
            }
            EventKind::HandoffEnded { outcome } => {
                let reason = self.reason.map_or_else(|| "none".into(), |reason| name_of(&reason));
                metrics.handoffs.get_or_create(&[("reason", reason), ("outcome", name_of(outcome))]).inc();
            }
            EventKind::CallbackBooked { .. } => {
                metrics.callbacks.inc();
            }
            EventKind::MessageLeft { .. } => {
                metrics.messages.inc();
            }
            EventKind::Rated { score, .. } => {
                metrics.ratings.get_or_create(&[("score", score.to_string())]).inc();
            }
            EventKind::Fault { part, .. } => {
                metrics.faults.get_or_create(&[("part", known(part, &PARTS).into())]).inc();
            }
            EventKind::Ended { disposition } => {
                metrics
                    .calls
                    .get_or_create(&[("door", self.door.into()), ("disposition", name_of(disposition))])
                    .inc();
                metrics.durations.observe(event.at.since_start().as_secs_f64());
            }
            EventKind::Answered
            | EventKind::SpeechStarted
            | EventKind::Partial(_)
            | EventKind::BotStarted { timings: None, .. }
            | EventKind::Dtmf { .. }
            | EventKind::Hold { .. }
            | EventKind::MachineAnswered
            | EventKind::Queued { .. }
            | EventKind::SeatDialled { .. }
            | EventKind::Consulting { .. }
            | EventKind::Referred
            | EventKind::Overheard { .. }
            | EventKind::Learned { .. }
            | EventKind::Filled { .. } => {}
        }
    }
}

impl CallTap {
    fn verdict(&mut self, outcome: &str, at: Time) {
        let labels = [("outcome", outcome.to_owned())];
        self.metrics.barge_ins.get_or_create(&labels).inc();
        if let Some(paused) = self.paused.take() {
            let since = at.saturating_since(paused).as_secs_f64();
            self.metrics.verdicts.get_or_create(&labels).observe(since);
        }
    }
}

fn count_turn(metrics: &Metrics, who: &str, decided: Option<(Tier, &str)>) {
    let (tier, act) = decided.map_or(("none".into(), "none"), |(tier, act)| (name_of(&tier), act));
    metrics.turns.get_or_create(&[("who", who.into()), ("tier", tier), ("act", act.into())]).inc();
}
