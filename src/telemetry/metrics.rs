//! Counts and times of all calls since the start, in the text format that Prometheus reads (OpenMetrics 1.0).
//!
//! They are built from events by a [`Tap`] for each call. Labels only take values of closed sets: nothing that a caller says,
//! and no number, can become one.

mod tap;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use self::tap::CallTap;
use crate::api::Health;
use crate::call::event::Timings;
use crate::record::{CallInfo, MediaRecord, Tap};

/// The figures of this process. A clone counts into the same.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Arc<Registry>,
    running: Gauge,
    most: Gauge,
    lost: Counter,
    calls: Count<2>,
    durations: Histogram,
    stages: Stages,
    turns: Count<3>,
    ends_of_turn: Count<1>,
    dropped: Counter,
    barge_ins: Count<1>,
    verdicts: Times,
    handoffs: Count<2>,
    seat_failures: Count<1>,
    seat_waits: Histogram,
    callbacks: Counter,
    messages: Counter,
    ratings: Count<1>,
    tools: Count<2>,
    tool_times: Times,
    faults: Count<1>,
    hooks: Count<2>,
    hooks_waiting: Gauge,
    hooks_lost: Counter,
    packets: Count<2>,
    jitter: Times,
}

/// From the caller's last speech to each stage of the answer.
#[derive(Clone, Debug)]
struct Stages {
    end_of_turn: Histogram,
    transcript: Histogram,
    clause: Histogram,
    audio: Histogram,
    line: Histogram,
}

type Labels<const N: usize> = [(&'static str, String); N];
type Count<const N: usize> = Family<Labels<N>, Counter>;
type Times = Family<Labels<1>, Histogram, fn() -> Histogram>;

/// Close together where the budget is: 0.4 s to the answer in the median and 0.7 s at the 95th percentile, half of that to
/// the verdict on an interruption.
const LATENCY: [f64; 18] =
    [0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7, 0.85, 1.0, 1.5, 2.0, 3.0, 6.0];
/// From a wrong number to an hour.
const LENGTH: [f64; 11] = [5.0, 10.0, 20.0, 40.0, 60.0, 120.0, 180.0, 300.0, 600.0, 1800.0, 3600.0];
/// From a quiet network to one that the jitter buffer cannot follow.
const JITTER: [f64; 9] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.04, 0.06, 0.1, 0.2];

/// Parts whose failures are counted by name; all others are `other`.
const PARTS: [&str; 10] =
    ["asr", "tts", "llm", "mind", "queue", "seat", "store", "style", "turn", "recording"];
/// Doors that are counted by name; all others are `other`.
const DOORS: [&str; 4] = ["sip", "fixture", "desk", "local"];

impl Metrics {
    /// All at zero.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("nightline");
        let r = &mut registry;
        let metrics = Self {
            running: register(r, "calls_running", "Calls that run now", Gauge::default()),
            most: register(r, "calls_max", "Calls that may run at one time", Gauge::default()),
            lost: register(r, "store_lost", "Events that the database did not take", Counter::default()),
            calls: register(r, "calls", "Calls that ended, by how", Count::default()),
            durations: seconds(
                r,
                "call_duration",
                "From the answer to the end of a call",
                Histogram::new(LENGTH),
            ),
            stages: Stages::new(r),
            turns: register(r, "turns", "Turns that were heard", Count::default()),
            ends_of_turn: register(
                r,
                "end_of_turn",
                "Ends of the caller's utterances, by the sign in the words",
                Count::default(),
            ),
            dropped: register(
                r,
                "answers_dropped",
                "Answers prepared and thrown away before a sound of them left",
                Counter::default(),
            ),
            barge_ins: register(
                r,
                "barge_ins",
                "Times that the caller spoke over the bot, by the verdict",
                Count::default(),
            ),
            verdicts: seconds(
                r,
                "barge_in_verdict",
                "From the pause of the bot to the verdict",
                Times::new_with_constructor(latency),
            ),
            handoffs: register(r, "handoffs", "Handoffs to a seat, by cause and end", Count::default()),
            seat_failures: register(
                r,
                "seat_failures",
                "Seats that were called and did not come to be joined",
                Count::default(),
            ),
            seat_waits: seconds(
                r,
                "seat_wait",
                "From the wish for a person to caller and seat being joined",
                Histogram::new([2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0]),
            ),
            callbacks: register(r, "callbacks", "Call-backs that were promised", Counter::default()),
            messages: register(r, "messages", "Messages that callers left for people", Counter::default()),
            ratings: register(r, "ratings", "How content callers were, 1 to 5", Count::default()),
            tools: register(r, "tools", "Uses of tools, by tool and what came of them", Count::default()),
            tool_times: seconds(
                r,
                "tool",
                "From the use of a tool to its answer",
                Times::new_with_constructor(latency),
            ),
            faults: register(r, "faults", "Failures that a call survived, by part", Count::default()),
            hooks: register(
                r,
                "webhooks",
                "Attempts to tell a webhook, by what came of them",
                Count::default(),
            ),
            hooks_waiting: register(
                r,
                "webhooks_waiting",
                "Webhooks that are still to be told",
                Gauge::default(),
            ),
            hooks_lost: register(
                r,
                "webhooks_lost",
                "Webhooks that were not taken because too many wait",
                Counter::default(),
            ),
            packets: register(
                r,
                "rtp_packets",
                "RTP packets that came, never came, or came too late to be played; added when a call ends",
                Count::default(),
            ),
            jitter: seconds(
                r,
                "rtp_jitter",
                "Interarrival jitter (RFC 3550) of a leg when its call ended",
                Times::new_with_constructor(|| Histogram::new(JITTER)),
            ),
            registry: Arc::default(),
        };
        // What may never happen still has a series: a rate from nothing to one is otherwise not seen.
        for outcome in ["confirmed", "rejected"] {
            drop(metrics.barge_ins.get_or_create(&[("outcome", outcome.into())]));
        }
        for part in PARTS.into_iter().chain(["other"]) {
            drop(metrics.faults.get_or_create(&[("part", part.into())]));
        }
        Self { registry: Arc::new(registry), ..metrics }
    }

    /// Counts what happens in one call.
    pub fn tap(&self, info: &CallInfo) -> Box<dyn Tap> {
        Box::new(CallTap {
            metrics: self.clone(),
            door: known(&info.door, &DOORS),
            decided: BTreeMap::new(),
            paused: None,
            reason: None,
            requested: None,
        })
    }

    /// Adds what RTP and RTCP said of the legs of a call that is over.
    pub fn media(&self, legs: &[MediaRecord]) {
        for leg in legs {
            let name = known(&leg.leg, &["caller", "seat"]);
            for (fate, packets) in [("received", leg.received), ("lost", leg.lost), ("late", leg.late)] {
                self.packets.get_or_create(&[("leg", name.into()), ("fate", fate.into())]).inc_by(packets);
            }
            self.jitter.get_or_create(&[("leg", name.into())]).observe(f64::from(leg.jitter_ms) / 1000.0);
        }
    }

    /// Counts an attempt to tell a webhook of `event`; `outcome` is `sent`, `failed` or `given_up`.
    pub fn hook(&self, event: &str, outcome: &'static str) {
        let event = known(event, &crate::hook::EVENTS);
        self.hooks.get_or_create(&[("event", event.into()), ("outcome", outcome.into())]).inc();
    }

    /// How many webhooks are still to be told.
    pub fn hooks_waiting(&self, waiting: u64) {
        self.hooks_waiting.set(waiting as i64);
    }

    /// How many webhooks were not taken since the start.
    pub fn hooks_lost(&self, lost: u64) {
        self.hooks_lost.inner().store(lost, Ordering::Relaxed);
    }

    /// All figures as text, with those of `health`.
    pub fn text(&self, health: &Health) -> Result<String, std::fmt::Error> {
        self.running.set(health.calls as i64);
        self.most.set(health.max_calls as i64);
        self.lost.inner().store(health.lost, Ordering::Relaxed);
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Stages {
    fn new(r: &mut Registry) -> Self {
        let mut stage = |name, what: &str| {
            seconds(r, name, &format!("From the caller's last speech to {what}"), latency())
        };
        Self {
            end_of_turn: stage("eou_delay", "the decision that its turn is over"),
            transcript: stage("transcription_delay", "the final transcript"),
            clause: stage("llm_ttft", "the first clause of the answer"),
            audio: stage("tts_ttfb", "the first audio of the answer"),
            line: stage("turn_latency", "the first frame of the answer on the line"),
        }
    }

    fn observe(&self, timings: &Timings) {
        let stages = [
            (&self.end_of_turn, timings.eou_delay),
            (&self.transcript, timings.transcription_delay),
            (&self.clause, timings.llm_ttft),
            (&self.audio, timings.tts_ttfb),
            (&self.line, timings.turn_latency),
        ];
        for (histogram, after) in stages {
            if let Some(after) = after {
                histogram.observe(after.as_secs_f64());
            }
        }
    }
}

fn register<M: prometheus_client::registry::Metric + Clone>(
    registry: &mut Registry,
    name: &str,
    help: &str,
    metric: M,
) -> M {
    registry.register(name, help, metric.clone());
    metric
}

fn seconds<M: prometheus_client::registry::Metric + Clone>(
    registry: &mut Registry,
    name: &str,
    help: &str,
    metric: M,
) -> M {
    registry.register_with_unit(name, help, Unit::Seconds, metric.clone());
    metric
}

fn latency() -> Histogram {
    Histogram::new(LATENCY)
}

/// `value` if it is one of `all`.
fn known(value: &str, all: &[&'static str]) -> &'static str {
    all.iter().find(|one| **one == value).copied().unwrap_or("other")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asr::Engine;
    use crate::call::endpointing::{Because, EndOfTurn};
    use crate::call::event::{Disposition, Event, EventKind, HandoffOutcome, TurnId};
    use crate::clock::Time;
    use crate::dialogue::{Act, Reason, Tier};
    use std::time::Duration;

    /// The samples of a scrape by name and labels, after a check that every family says what it is.
    fn scrape(metrics: &Metrics) -> BTreeMap<String, f64> {
        let health = Health { calls: 1, max_calls: 20, lost: 3, open: true };
        let text = metrics.text(&health).unwrap();
        assert!(text.ends_with("# EOF\n"), "{text}");
        let mut kinds = BTreeMap::new();
        let mut helped = Vec::new();
        let mut samples = BTreeMap::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (family, kind) = rest.split_once(' ').unwrap();
                assert!(kinds.insert(family, kind).is_none(), "{family} is there twice");
            } else if let Some(rest) = line.strip_prefix("# HELP ") {
                let (family, help) = rest.split_once(' ').unwrap();
                assert!(help.len() > 10, "{line}");
                helped.push(family);
            } else if !line.starts_with('#') {
                let (name, value) = line.rsplit_once(' ').unwrap();
                let bare = name.split('{').next().unwrap();
                let family = kinds.keys().find(|family| {
                    let suffix = bare.strip_prefix(**family);
                    suffix.is_some_and(|s| ["", "_total", "_sum", "_count", "_bucket"].contains(&s))
                });
                let family = *family.unwrap_or_else(|| panic!("{line} has no type"));
                assert!(helped.contains(&family), "{family} has no help");
                assert_eq!(bare.ends_with("_total"), kinds[family] == "counter", "{line}");
                assert!(samples.insert(name.to_owned(), value.parse().unwrap()).is_none(), "{line} twice");
            }
        }
        samples
    }

    fn tell(tap: &mut dyn Tap, events: impl IntoIterator<Item = (u64, EventKind)>) {
        for (ms, kind) in events {
            tap.event(&Event { at: Time::from_start(Duration::from_millis(ms)), kind });
        }
    }

    fn decided(turn: u32, act: Act) -> EventKind {
        EventKind::Decided {
            turn: TurnId(turn),
            act,
            confidence: 0.9,
            sources: vec!["battery-01".into()],
            tier: Tier::Light,
            topic: "battery".into(),
            why: Box::default(),
        }
    }

    fn said(turn: u32) -> EventKind {
        EventKind::BotSaid {
            turn: TurnId(turn), text: "您好".into(), interrupted: false, began: Time::ZERO
        }
    }

    /// A caller asks, goes on, speaks over the answer twice, and is given to a seat that does not answer.
    fn story() -> Vec<(u64, EventKind)> {
        let timings = Timings {
            eou_delay: Some(Duration::from_millis(240)),
            turn_latency: Some(Duration::from_millis(390)),
            ..Timings::default()
        };
        let because = Because::Complete;
        let logits = BTreeMap::new();
        vec![
            (0, EventKind::Answered),
            (900, said(1)),
            (2000, decided(2, Act::Clarify)),
            (2100, EventKind::AnswerDropped { turn: TurnId(2) }),
            (3000, EventKind::SpeechEnded(EndOfTurn { silence_ms: 240, probability: 0.9, because, logits })),
            (
                3000,
                EventKind::CallerSaid {
                    turn: TurnId(3),
                    text: "续航下降".into(),
                    confidence: 0.8,
                    engine: Engine::Whisper,
                    began: Time::ZERO,
                    ended: Time::ZERO,
                },
            ),
            (3010, decided(3, Act::Answer)),
            (3150, EventKind::BotStarted { turn: TurnId(3), timings: Some(timings) }),
            (4000, EventKind::BargeInStarted { turn: TurnId(3) }),
            (
                4180,
                EventKind::BargeInRejected {
                    turn: TurnId(3),
                    text: "嗯".into(),
                    why: crate::call::barge_in::Why::default(),
                },
            ),
            (5000, EventKind::BargeInStarted { turn: TurnId(3) }),
            (
                5450,
                EventKind::BargeInConfirmed { turn: TurnId(3), why: crate::call::barge_in::Why::default() },
            ),
            (5450, said(3)),
            (6000, EventKind::HandoffRequested { reason: Reason::Requested }),
            (9000, EventKind::HandoffEnded { outcome: HandoffOutcome::NoAnswer }),
            (9100, EventKind::Fault { part: "tts".into(), error: "slow".into() }),
            (9900, EventKind::CallbackBooked { number: "13812345678".into(), when: "明天".into() }),
            (12_000, EventKind::Ended { disposition: Disposition::Callback }),
        ]
    }

    fn sip() -> CallInfo {
        CallInfo { door: "sip".into(), from: "13812345678".into(), ..CallInfo::default() }
    }

    #[test]
    fn a_call_is_counted_stage_by_stage() {
        let metrics = Metrics::new();
        tell(&mut *metrics.tap(&sip()), story());
        let caller = MediaRecord {
            leg: "caller".into(),
            received: 600,
            lost: 7,
            late: 2,
            jitter_ms: 12.0,
            ..MediaRecord::default()
        };
        metrics.media(&[caller]);
        let samples = scrape(&metrics);
        for (name, value) in [
            (r#"calls_total{door="sip",disposition="callback"}"#, 1.0),
            ("calls_running", 1.0),
            ("calls_max", 20.0),
            ("store_lost_total", 3.0),
            (r#"turns_total{who="bot",tier="none",act="none"}"#, 1.0),
            (r#"turns_total{who="bot",tier="light",act="answer"}"#, 1.0),
            (r#"turns_total{who="caller",tier="none",act="none"}"#, 1.0),
            (r#"end_of_turn_total{because="complete"}"#, 1.0),
            ("answers_dropped_total", 1.0),
            (r#"barge_ins_total{outcome="rejected"}"#, 1.0),
            (r#"barge_ins_total{outcome="confirmed"}"#, 1.0),
            (r#"barge_in_verdict_seconds_sum{outcome="rejected"}"#, 0.18),
            (r#"barge_in_verdict_seconds_sum{outcome="confirmed"}"#, 0.45),
            (r#"handoffs_total{reason="requested",outcome="no_answer"}"#, 1.0),
            ("callbacks_total", 1.0),
            (r#"faults_total{part="tts"}"#, 1.0),
            (r#"faults_total{part="asr"}"#, 0.0),
            ("call_duration_seconds_sum", 12.0),
            ("eou_delay_seconds_sum", 0.24),
            ("turn_latency_seconds_count", 1.0),
            (r#"turn_latency_seconds_bucket{le="0.35"}"#, 0.0),
            (r#"turn_latency_seconds_bucket{le="0.4"}"#, 1.0),
            (r#"turn_latency_seconds_bucket{le="+Inf"}"#, 1.0),
            ("tts_ttfb_seconds_count", 0.0),
            (r#"rtp_packets_total{leg="caller",fate="lost"}"#, 7.0),
            (r#"rtp_packets_total{leg="caller",fate="late"}"#, 2.0),
            (r#"rtp_jitter_seconds_sum{leg="caller"}"#, 0.012),
        ] {
            let found = samples.get(&format!("nightline_{name}"));
            let close = found.is_some_and(|found| (found - value).abs() < 1e-6);
            assert!(close, "{name} is {found:?}, not {value}, of {:#?}", samples.keys());
        }
    }

    #[test]
    fn calls_add_up() {
        let metrics = Metrics::new();
        let mut taps = [metrics.tap(&sip()), metrics.tap(&sip())];
        for event in story() {
            for tap in &mut taps {
                tell(&mut **tap, [event.clone()]);
            }
        }
        let samples = scrape(&metrics);
        assert_eq!(samples[r#"nightline_calls_total{door="sip",disposition="callback"}"#] as u64, 2);
        assert_eq!(samples[r#"nightline_barge_in_verdict_seconds_count{outcome="confirmed"}"#] as u64, 2);
    }

    #[test]
    fn no_word_or_number_becomes_a_label() {
        let metrics = Metrics::new();
        let info = CallInfo { door: "13812345678".into(), ..sip() };
        let mut tap = metrics.tap(&info);
        tell(&mut *tap, story());
        let acts = [
            Act::Phone("13812345678".into()),
            Act::PhonePart("13812345678".into()),
            Act::When("13812345678".into()),
            Act::Handoff(Reason::Safety),
        ];
        for (turn, act) in (10..).zip(acts) {
            tell(&mut *tap, [(1, decided(turn, act)), (2, said(turn))]);
        }
        tell(&mut *tap, [(1, EventKind::Fault { part: "13812345678".into(), error: "13812345678".into() })]);
        metrics.media(&[MediaRecord { leg: "13812345678".into(), ..MediaRecord::default() }]);
        let text = metrics.text(&Health::default()).unwrap();
        assert!(!text.contains("138"), "{text}");
        assert!(text.is_ascii(), "{text}");
        for label in
            [r#"door="other""#, r#"act="phone""#, r#"act="phone_part""#, r#"act="when""#, r#"leg="other""#]
        {
            assert!(text.contains(label), "no {label} in\n{text}");
        }
    }

    #[test]
    fn a_verdict_that_no_pause_came_before_is_counted_but_not_timed() {
        let metrics = Metrics::new();
        tell(
            &mut *metrics.tap(&sip()),
            [(
                700,
                EventKind::BargeInConfirmed { turn: TurnId(1), why: crate::call::barge_in::Why::default() },
            )],
        );
        let samples = scrape(&metrics);
        assert_eq!(samples[r#"nightline_barge_ins_total{outcome="confirmed"}"#] as u64, 1);
        assert!(!samples.contains_key(r#"nightline_barge_in_verdict_seconds_count{outcome="confirmed"}"#));
    }
}
