//! From events to the record of a call, one event at a time.

use std::collections::BTreeMap;

use super::{
    CallInfo, CallRecord, CallbackRecord, HandoffRecord, MediaRecord, MessageRecord, NoteRecord,
    RatingRecord, SeatRecord, Tap, ToolRecord, TurnRecord,
};
use crate::asr::written::written;
use crate::call::endpointing::EndOfTurn;
use crate::call::event::{Event, EventKind, LegId, Timings, TurnId};
use crate::clock::Time;
use crate::dialogue::{Act, Reason, Tier, Who, Why};

/// Failures kept by name in a record; the rest are counted in its last line.
const FAULTS_KEPT: usize = 100;

/// The record of a call from all its events.
pub fn fold(info: &CallInfo, events: &[Event]) -> CallRecord {
    let mut folder = Folder::new(info.clone());
    for event in events {
        folder.event(event);
    }
    folder.record()
}

/// Builds the record of one call as its events come. [`Folder::record`] may be asked at any time.
#[derive(Clone, Debug)]
pub struct Folder {
    record: CallRecord,
    /// Decisions and timings of turns that the bot has not finished speaking.
    open: BTreeMap<TurnId, Open>,
    /// Why the caller's turn was over whose words come next.
    end_of_turn: Option<EndOfTurn>,
    /// Legs on hold and since when.
    held_since: [Option<u64>; 2],
    faults: usize,
}

/// What is known of a bot's turn before it is over.
#[derive(Clone, Debug, Default)]
struct Open {
    decided: Option<(Act, Tier, String, Vec<String>, f32, Why)>,
    timings: Option<Timings>,
}

impl Folder {
    /// A call of which nothing has happened yet.
    pub fn new(info: CallInfo) -> Self {
        let record = CallRecord {
            info,
            duration_ms: 0,
            disposition: None,
            turns: Vec::new(),
            barge_ins: 0,
            false_barge_ins: 0,
            handoff: None,
            callback: None,
            notes: Vec::new(),
            messages: Vec::new(),
            rating: None,
            wrap_up: None,
            tools: Vec::new(),
            dtmf: String::new(),
            held_ms: 0,
            faults: Vec::new(),
            media: Vec::new(),
            recording: None,
        };
        Self { record, open: BTreeMap::new(), end_of_turn: None, held_since: [None; 2], faults: 0 }
    }

    /// Takes in one event.
    pub fn event(&mut self, event: &Event) {
        let at = millis(event.at);
        if self.record.disposition.is_none() {
            self.record.duration_ms = self.record.duration_ms.max(at);
        }
        match &event.kind {
            // These mark moments for live taps; what they lead to comes as an event of its own. A seat's keys answer its own
            // prompts.
            EventKind::Answered
            | EventKind::MachineAnswered
            | EventKind::Queued { .. }
            | EventKind::SpeechStarted
            | EventKind::Partial(_)
            | EventKind::AnswerDropped { .. }
            | EventKind::BargeInStarted { .. }
            | EventKind::Filled { .. }
            | EventKind::Learned { .. }
            | EventKind::Dtmf { leg: LegId::Seat, .. } => {}
            EventKind::SpeechEnded(why) => self.end_of_turn = Some(why.clone()),
            EventKind::CallerSaid { turn: _, text, confidence, engine, began, ended } => {
                let mut turn = turn(Who::Caller, text, millis(*began), millis(*ended));
                turn.confidence = Some(*confidence);
                turn.written = Some(written(text)).filter(|written| written != text);
                turn.engine = Some(*engine);
                turn.end_of_turn = self.end_of_turn.take();
                self.insert(turn);
            }
            EventKind::Decided { turn, act, confidence, sources, tier, topic, why } => {
                // The last decision of a turn counts: earlier ones were speculation.
                self.open.entry(*turn).or_default().decided =
                    Some((act.clone(), *tier, topic.clone(), sources.clone(), *confidence, (**why).clone()));
            }
            EventKind::ToolUsed { turn: _, what, outcome, took } => self.record.tools.push(ToolRecord {
                at_ms: at,
                what: what.clone(),
                outcome: outcome.clone(),
                took_ms: took.map(|took| took.as_millis() as u64),
            }),
            EventKind::BotStarted { turn, timings } => {
                self.open.entry(*turn).or_default().timings = *timings;
            }
            EventKind::BotSaid { turn: id, text, interrupted, began } => {
                let mut turn = turn(Who::Bot, text, millis(*began), at);
                turn.interrupted = *interrupted;
                let open = self.open.remove(id).unwrap_or_default();
                turn.timings = open.timings;
                if let Some((act, tier, topic, sources, confidence, why)) = open.decided {
                    turn.why = why;
                    turn.act = Some(act);
                    turn.tier = Some(tier);
                    turn.topic = Some(topic);
                    turn.sources = sources;
                    turn.confidence = Some(confidence);
                }
                // Ids only rise: what is older was never spoken.
                self.open = self.open.split_off(id);
                self.insert(turn);
            }
            EventKind::BargeInRejected { .. } => self.record.false_barge_ins += 1,
            EventKind::BargeInConfirmed { .. } => self.record.barge_ins += 1,
            EventKind::Dtmf { leg: LegId::Caller, digit } => self.record.dtmf.push(*digit),
            EventKind::Hold { leg, held } => self.hold(*leg, *held, at),
            EventKind::HandoffRequested { reason } => self.handoff(Some(*reason)).outcome = None,
            EventKind::SeatFailed { seat, outcome, code } => {
                let failed = SeatRecord { seat: seat.clone(), outcome: *outcome, code: *code, at_ms: at };
                self.handoff(None).failed.push(failed);
            }
            EventKind::SeatDialled { seat } => self.handoff(None).seats.push(seat.clone()),
            EventKind::Consulting { summary } => self.handoff(None).summary = Some(summary.clone()),
            EventKind::Bridged => self.handoff(None).bridged_ms = Some(at),
            EventKind::Overheard { leg, text, confidence, began, ended } => {
                self.record.notes.push(NoteRecord {
                    leg: *leg,
                    text: text.clone(),
                    confidence: *confidence,
                    began_ms: millis(*began),
                    ended_ms: millis(*ended),
                });
            }
            EventKind::Referred => self.handoff(None).referred = true,
            EventKind::HandoffEnded { outcome } => self.handoff(None).outcome = Some(*outcome),
            EventKind::CallbackBooked { number, when } => {
                self.record.callback = Some(CallbackRecord { number: number.clone(), when: when.clone() });
            }
            EventKind::MessageLeft { text, began } => self.record.messages.push(MessageRecord {
                text: text.clone(),
                began_ms: millis(*began),
                ended_ms: at,
            }),
            EventKind::Rated { score, words } => {
                self.record.rating = Some(RatingRecord { score: *score, words: words.clone() });
            }
            EventKind::Fault { part, error } => self.fault(format!("{part}: {error}")),
            EventKind::Ended { disposition } => {
                self.hold(LegId::Caller, false, at);
                self.hold(LegId::Seat, false, at);
                self.record.disposition = Some(*disposition);
            }
        }
    }

    /// Adds what RTP and RTCP said of one leg.
    pub fn media(&mut self, media: MediaRecord) {
        self.record.media.push(media);
    }

    /// Notes where the stereo recording is.
    pub fn recording(&mut self, path: impl Into<String>) {
        self.record.recording = Some(path.into());
    }

    /// The record so far.
    pub fn record(&self) -> CallRecord {
        self.record.clone()
    }

    /// Turns stand in the order in which they began: what the caller said into the bot's turn comes after it.
    fn insert(&mut self, turn: TurnRecord) {
        let at = self.record.turns.partition_point(|t| t.began_ms <= turn.began_ms);
        self.record.turns.insert(at, turn);
    }

    /// The handoff; a later request in the same call continues it under the newer reason.
    fn handoff(&mut self, reason: Option<Reason>) -> &mut HandoffRecord {
        let handoff = self.record.handoff.get_or_insert_with(|| HandoffRecord {
            reason: Reason::Requested,
            seats: Vec::new(),
            failed: Vec::new(),
            summary: None,
            outcome: None,
            bridged_ms: None,
            referred: false,
        });
        if let Some(reason) = reason {
            handoff.reason = reason;
        }
        handoff
    }

    fn hold(&mut self, leg: LegId, held: bool, at: u64) {
        let since = &mut self.held_since[usize::from(leg == LegId::Seat)];
        match (held, *since) {
            (true, None) => *since = Some(at),
            (false, Some(began)) => {
                self.record.held_ms += at.saturating_sub(began);
                *since = None;
            }
            _ => {}
        }
    }

    fn fault(&mut self, line: String) {
        self.faults += 1;
        if self.faults <= FAULTS_KEPT {
            self.record.faults.push(line);
            return;
        }
        self.record.faults.truncate(FAULTS_KEPT);
        self.record.faults.push(format!("and {} more", self.faults - FAULTS_KEPT));
    }
}

impl Tap for Folder {
    fn event(&mut self, event: &Event) {
        Folder::event(self, event);
    }
}

fn millis(time: Time) -> u64 {
    time.since_start().as_millis() as u64
}

fn turn(who: Who, text: &str, began_ms: u64, ended_ms: u64) -> TurnRecord {
    TurnRecord {
        who,
        text: text.into(),
        written: None,
        began_ms,
        ended_ms,
        interrupted: false,
        confidence: None,
        engine: None,
        end_of_turn: None,
        act: None,
        tier: None,
        topic: None,
        sources: Vec::new(),
        why: Why::default(),
        timings: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asr::Engine;
    use crate::asr::stream::Hypothesis;
    use crate::call::endpointing::Because;

    fn end_of_turn() -> EndOfTurn {
        EndOfTurn { silence_ms: 300, probability: 0.9, because: Because::Complete, logits: BTreeMap::new() }
    }
    use crate::call::event::{Disposition, HandoffOutcome};
    use std::time::Duration;

    fn at(ms: u64) -> Time {
        Time::from_start(Duration::from_millis(ms))
    }

    fn event(ms: u64, kind: EventKind) -> Event {
        Event { at: at(ms), kind }
    }

    /// A caller asks, cuts the answer short, asks for a person, whose line is busy, and gets a call-back.
    fn story() -> Vec<Event> {
        let answer = Some(Timings { turn_latency: Some(Duration::from_millis(420)), ..Timings::default() });
        let decided = |turn, act: Act, topic: &str| EventKind::Decided {
            turn: TurnId(turn),
            act,
            confidence: 0.9,
            sources: vec!["battery-01".into()],
            tier: Tier::Light,
            topic: topic.into(),
            why: Box::new(Why { logits: [("margin".to_owned(), 1.0)].into(), mood: None }),
        };
        vec![
            event(0, EventKind::Answered),
            event(40, EventKind::BotStarted { turn: TurnId(1), timings: None }),
            event(
                2000,
                EventKind::BotSaid {
                    turn: TurnId(1),
                    text: "您好".into(),
                    interrupted: false,
                    began: at(40),
                },
            ),
            event(2500, EventKind::SpeechStarted),
            event(
                3000,
                EventKind::Partial(Hypothesis { committed: String::new(), tentative: "续航".into() }),
            ),
            event(3100, decided(2, Act::Clarify, "speculated")),
            event(3900, EventKind::SpeechEnded(end_of_turn())),
            event(
                4100,
                EventKind::CallerSaid {
                    turn: TurnId(2),
                    text: "续航下降了".into(),
                    confidence: 0.8,
                    engine: Engine::FunAsr,
                    began: at(2500),
                    ended: at(3900),
                },
            ),
            event(4110, decided(2, Act::Answer, "battery")),
            event(4320, EventKind::BotStarted { turn: TurnId(2), timings: answer }),
            event(5000, EventKind::BargeInStarted { turn: TurnId(2) }),
            event(
                5300,
                EventKind::BargeInRejected {
                    turn: TurnId(2),
                    text: "嗯".into(),
                    why: crate::call::barge_in::Why::default(),
                },
            ),
            event(6000, EventKind::BargeInStarted { turn: TurnId(2) }),
            event(
                6400,
                EventKind::BargeInConfirmed { turn: TurnId(2), why: crate::call::barge_in::Why::default() },
            ),
            event(
                6400,
                EventKind::BotSaid {
                    turn: TurnId(2),
                    text: "低温时".into(),
                    interrupted: true,
                    began: at(4320),
                },
            ),
            event(7000, EventKind::Dtmf { leg: LegId::Caller, digit: '0' }),
            event(
                7100,
                EventKind::CallerSaid {
                    turn: TurnId(3),
                    text: "转人工".into(),
                    confidence: 0.95,
                    engine: Engine::Whisper,
                    began: at(6000),
                    ended: at(6900),
                },
            ),
            event(7200, EventKind::HandoffRequested { reason: Reason::Requested }),
            event(7300, EventKind::SeatDialled { seat: "sip:1@h".into() }),
            event(7400, EventKind::Hold { leg: LegId::Caller, held: true }),
            event(8400, EventKind::Hold { leg: LegId::Caller, held: false }),
            event(9000, EventKind::Dtmf { leg: LegId::Seat, digit: '2' }),
            event(9000, EventKind::HandoffEnded { outcome: HandoffOutcome::Busy }),
            event(9100, EventKind::Fault { part: "tts".into(), error: "slow".into() }),
            event(9900, EventKind::CallbackBooked { number: "138".into(), when: "明天".into() }),
            event(12_000, EventKind::Ended { disposition: Disposition::Callback }),
        ]
    }

    #[test]
    fn a_record_tells_the_story_of_its_events() {
        let record = fold(&CallInfo { id: "x".into(), ..CallInfo::default() }, &story());
        let said: Vec<_> = record.turns.iter().map(|t| (t.who, t.text.as_str(), t.interrupted)).collect();
        assert_eq!(
            said,
            [
                (Who::Bot, "您好", false),
                (Who::Caller, "续航下降了", false),
                (Who::Bot, "低温时", true),
                (Who::Caller, "转人工", false)
            ]
        );
        let answer = &record.turns[2];
        assert_eq!((answer.began_ms, answer.ended_ms), (4320, 6400));
        assert!(answer.why.logits.contains_key("margin"), "{:?}", answer.why);
        assert_eq!(answer.act, Some(Act::Answer), "the last decision counts, not the speculated one");
        assert_eq!(answer.topic.as_deref(), Some("battery"));
        assert_eq!(answer.timings.and_then(|t| t.turn_latency), Some(Duration::from_millis(420)));
        assert_eq!(record.turns[1].confidence, Some(0.8));
        assert_eq!(record.turns[1].engine, Some(Engine::FunAsr));
        assert_eq!((record.barge_ins, record.false_barge_ins), (1, 1));
        assert_eq!(record.dtmf, "0", "only the caller's keys");
        assert_eq!(record.held_ms, 1000);
        let handoff = record.handoff.unwrap();
        assert_eq!(handoff.seats, ["sip:1@h"]);
        assert_eq!(handoff.outcome, Some(HandoffOutcome::Busy));
        assert_eq!(handoff.bridged_ms, None);
        assert_eq!(record.callback.unwrap().when, "明天");
        assert_eq!(record.faults, ["tts: slow"]);
        assert_eq!(record.duration_ms, 12_000);
        assert_eq!(record.disposition, Some(Disposition::Callback));
    }

    #[test]
    fn folding_stored_events_gives_the_same_record() {
        let story = story();
        let stored: Vec<Event> =
            story.iter().map(|e| serde_json::from_str(&serde_json::to_string(e).unwrap()).unwrap()).collect();
        assert_eq!(stored, story);
        let info = CallInfo::default();
        let record = fold(&info, &stored);
        assert_eq!(record, fold(&info, &story));
        let read: CallRecord = serde_json::from_str(&serde_json::to_string(&record).unwrap()).unwrap();
        assert_eq!(read, record);
    }

    #[test]
    fn a_call_cut_in_the_middle_keeps_what_is_known() {
        let story = story();
        for n in 0..story.len() {
            let record = fold(&CallInfo::default(), &story[..n]);
            assert_eq!(record.disposition, None, "after {n} events");
            assert_eq!(record.duration_ms, n.checked_sub(1).map_or(0, |i| millis(story[i].at)));
        }
    }

    #[test]
    fn a_thousand_faults_do_not_grow_the_record() {
        let fault = EventKind::Fault { part: "asr".into(), error: "broken".into() };
        let events: Vec<_> = (0..1000).map(|i| event(i, fault.clone())).collect();
        let record = fold(&CallInfo::default(), &events);
        assert_eq!(record.faults.len(), FAULTS_KEPT + 1);
        assert_eq!(record.faults.last().unwrap(), "and 900 more");
    }

    #[test]
    fn a_second_handoff_keeps_the_seats_of_the_first() {
        let mut folder = Folder::new(CallInfo::default());
        let kinds = [
            EventKind::HandoffRequested { reason: Reason::LowConfidence },
            EventKind::SeatDialled { seat: "a".into() },
            EventKind::HandoffEnded { outcome: HandoffOutcome::NoAnswer },
            EventKind::HandoffRequested { reason: Reason::KeyZero },
            EventKind::SeatDialled { seat: "b".into() },
            EventKind::Bridged,
            EventKind::HandoffEnded { outcome: HandoffOutcome::Accepted },
        ];
        for (i, kind) in kinds.into_iter().enumerate() {
            folder.event(&event(i as u64, kind));
        }
        let handoff = folder.record().handoff.unwrap();
        assert_eq!(handoff.seats, ["a", "b"]);
        assert_eq!(handoff.reason, Reason::KeyZero);
        assert_eq!(handoff.outcome, Some(HandoffOutcome::Accepted));
        assert_eq!(handoff.bridged_ms, Some(5));
    }
}
