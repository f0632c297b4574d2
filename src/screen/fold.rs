//! From events to what a page shows of a call, one event at a time.

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::asr::stream::Hypothesis;
use crate::call::event::{Event, EventKind, TurnId};
use crate::dialogue::memory::readable;
use crate::dialogue::tenant::Profile;
use crate::dialogue::{Act, Mood, Tier};
use crate::record::{CallInfo, CallRecord, Folder};
use crate::services::telephone_number;
use crate::tools::{Outcome, Use};

/// Clauses of one turn that are kept although they were not spoken.
const WITHHELD: usize = 8;

/// A call as a page shows it. A clone costs next to nothing.
#[derive(Clone, Debug)]
pub(super) struct Picture {
    /// What changes from turn to turn.
    pub kept: Arc<Kept>,
    /// What changes within a turn.
    pub moment: Moment,
}

/// What changes from turn to turn.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    /// The record so far.
    pub record: CallRecord,
    /// Where the call is.
    pub phase: Phase,
    /// Callers before this one and the expected wait, milliseconds; while it waits for a seat.
    pub queue: Option<(u32, Option<u64>)>,
    /// Who calls.
    pub caller: Caller,
    /// Facts and slots.
    pub facts: Map<String, Value>,
    /// The caller's mood in the last turn; nothing if it was calm.
    pub mood: Option<Mood>,
    /// What the machine came to after the caller's last words.
    pub decided: Option<Decided>,
}

/// What changes within a turn.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Moment {
    /// The caller's words so far, of a turn that is not over.
    pub words: Hypothesis,
    /// The caller is speaking.
    pub caller_speaks: bool,
    /// The bot is speaking.
    pub bot_speaks: bool,
}

/// Where a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Phase {
    /// With the machine.
    Talking,
    /// A person is sought.
    Waiting,
    /// A seat rings.
    Ringing,
    /// A seat hears what it is about.
    Consulting,
    /// With a seat.
    Bridged,
    /// Over.
    Ended,
}

/// Who calls.
#[derive(Clone, Debug, Default)]
pub(super) struct Caller {
    /// The number, if the network gave one.
    pub number: Option<String>,
    /// Whether the number is on file; [`None`] if nobody has asked.
    pub on_file: Option<bool>,
    /// How the customer is addressed.
    pub address: Option<String>,
    /// The customer's vehicles, each by its names.
    pub vehicles: Vec<Value>,
}

/// What the machine came to.
#[derive(Clone, Debug)]
pub(super) struct Decided {
    turn: TurnId,
    pub act: Act,
    pub confidence: f32,
    pub sources: Vec<String>,
    pub tier: Tier,
    pub topic: String,
    /// Clauses that were made and not spoken.
    pub withheld: Vec<String>,
    /// It is being spoken, or was.
    pub spoken: bool,
}

/// Folds the events of one call.
#[derive(Debug)]
pub(super) struct Fold {
    folder: Folder,
    profile: Option<Arc<Profile>>,
    picture: Picture,
    /// Seats that ring.
    ringing: Vec<String>,
    /// Clauses that were not spoken in the turn that is being decided.
    withheld: Vec<String>,
}

impl Fold {
    /// A call of which nothing has happened yet. `profile` says which tool knows callers by their number.
    pub fn new(info: &CallInfo, profile: Option<Arc<Profile>>) -> Self {
        let folder = Folder::new(info.clone());
        let kept = Kept {
            record: folder.record(),
            phase: Phase::Talking,
            queue: None,
            caller: Caller { number: telephone_number(&info.from), ..Caller::default() },
            facts: Map::new(),
            mood: None,
            decided: None,
        };
        let picture = Picture { kept: Arc::new(kept), moment: Moment::default() };
        Self { folder, profile, picture, ringing: Vec::new(), withheld: Vec::new() }
    }

    /// A call that is over, from all that is stored of it.
    pub fn stored(record: CallRecord, events: &[Event], profile: Option<Arc<Profile>>) -> Picture {
        let mut fold = Self::new(&record.info, profile);
        for event in events {
            fold.event(event);
        }
        let kept = Arc::make_mut(&mut fold.picture.kept);
        kept.phase = Phase::Ended;
        kept.queue = None;
        // A record is kept longer than its events.
        kept.mood =
            kept.mood.take().or_else(|| record.turns.iter().rev().find_map(|turn| turn.why.mood.clone()));
        kept.record = record;
        fold.picture.moment = Moment::default();
        fold.picture
    }

    /// The call as it is now.
    pub fn picture(&self) -> &Picture {
        &self.picture
    }

    /// Takes in one event. True if a page shows something else then.
    pub fn event(&mut self, event: &Event) -> bool {
        self.folder.event(event);
        if let Some(moment) = self.within_a_turn(&event.kind) {
            let changed = moment != self.picture.moment;
            self.picture.moment = moment;
            return changed;
        }
        // A page that is just being told of the last picture keeps that one.
        let mut kept = Kept::clone(&self.picture.kept);
        kept.record = self.folder.record();
        self.between_turns(&mut kept, &event.kind);
        self.picture.kept = Arc::new(kept);
        true
    }

    /// The moment that `kind` makes, if that is all it changes.
    fn within_a_turn(&self, kind: &EventKind) -> Option<Moment> {
        let now = self.picture.moment.clone();
        let decided = self.picture.kept.decided.as_ref();
        Some(match kind {
            EventKind::BotStarted { turn, .. }
                if decided.is_some_and(|decided| decided.turn == *turn && !decided.spoken) =>
            {
                return None;
            }
            EventKind::SpeechStarted => Moment { caller_speaks: true, words: Hypothesis::default(), ..now },
            EventKind::SpeechEnded(_) => Moment { caller_speaks: false, ..now },
            EventKind::Partial(words) => Moment { words: words.clone(), ..now },
            EventKind::BargeInRejected { .. } => {
                Moment { caller_speaks: false, words: Hypothesis::default(), ..now }
            }
            EventKind::BotStarted { .. } if now.caller_speaks => Moment { bot_speaks: true, ..now },
            EventKind::BotStarted { .. } => {
                Moment { bot_speaks: true, caller_speaks: false, words: Hypothesis::default() }
            }
            EventKind::BargeInStarted { .. }
            | EventKind::BargeInConfirmed { .. }
            | EventKind::AnswerDropped { .. }
            | EventKind::Filled { .. } => now,
            _ => return None,
        })
    }

    fn between_turns(&mut self, kept: &mut Kept, kind: &EventKind) {
        let moment = &mut self.picture.moment;
        match kind {
            EventKind::CallerSaid { turn, .. } => {
                moment.words = Hypothesis::default();
                moment.caller_speaks = false;
                kept.decided.take_if(|decided| decided.turn != *turn);
            }
            EventKind::Decided { turn, act, confidence, sources, tier, topic, why } => {
                kept.mood.clone_from(&why.mood);
                kept.decided = Some(Decided {
                    turn: *turn,
                    act: act.clone(),
                    confidence: *confidence,
                    sources: sources.clone(),
                    tier: *tier,
                    topic: topic.clone(),
                    withheld: std::mem::take(&mut self.withheld),
                    spoken: false,
                });
            }
            EventKind::BotStarted { turn, .. } => {
                moment.bot_speaks = true;
                if !moment.caller_speaks {
                    moment.words = Hypothesis::default();
                }
                if let Some(decided) = kept.decided.as_mut().filter(|decided| decided.turn == *turn) {
                    decided.spoken = true;
                }
            }
            EventKind::BotSaid { .. } => moment.bot_speaks = false,
            // The house style or the sources did not allow a clause; what it came to is told next.
            EventKind::Fault { part, error } if part == "style" && self.withheld.len() < WITHHELD => {
                self.withheld.push(error.clone());
            }
            EventKind::Learned { known } => kept.facts.clone_from(known),
            EventKind::ToolUsed { what, outcome, .. } => self.recognise(&mut kept.caller, what, outcome),
            EventKind::HandoffRequested { .. } if kept.phase == Phase::Talking => kept.phase = Phase::Waiting,
            EventKind::Queued { ahead, expected } => {
                kept.phase = Phase::Waiting;
                kept.queue = Some((*ahead, expected.map(|wait| wait.as_millis() as u64)));
            }
            EventKind::SeatDialled { seat } => {
                self.ringing.push(seat.clone());
                (kept.phase, kept.queue) = (Phase::Ringing, None);
            }
            EventKind::SeatFailed { seat, .. } => {
                self.ringing.retain(|ringing| ringing != seat);
                if self.ringing.is_empty() && matches!(kept.phase, Phase::Ringing | Phase::Consulting) {
                    kept.phase = Phase::Waiting;
                }
            }
            EventKind::Consulting { .. } => kept.phase = Phase::Consulting,
            EventKind::Bridged => {
                kept.phase = Phase::Bridged;
                *moment = Moment::default();
            }
            EventKind::HandoffEnded { .. } if kept.phase != Phase::Ended => {
                self.ringing.clear();
                (kept.phase, kept.queue) = (Phase::Talking, None);
            }
            EventKind::Ended { .. } => {
                (kept.phase, kept.queue) = (Phase::Ended, None);
                *moment = Moment::default();
            }
            _ => {}
        }
    }

    /// Notes what the tool that knows callers said of the calling number.
    fn recognise(&self, caller: &mut Caller, what: &Use, outcome: &Outcome) {
        let Some(profile) = self.profile.as_deref().filter(|profile| profile.tool == what.tool) else {
            return;
        };
        let asked = what.arguments.get(&profile.phone).and_then(Value::as_str).unwrap_or_default();
        // With and without the country's code it is the same number.
        let same = |number: &String| number.ends_with(asked) || asked.ends_with(number.as_str());
        if asked.len() < 7 || !caller.number.as_ref().is_some_and(same) {
            return;
        }
        match outcome {
            Outcome::Done(answer) => {
                let vehicles = answer.pointer(&profile.vehicles).and_then(Value::as_array);
                caller.vehicles = vehicles.into_iter().flatten().filter_map(readable).collect();
                let address = profile.address.as_ref().and_then(|pointer| answer.pointer(pointer)?.as_str());
                caller.address = address.map(str::to_owned);
                caller.on_file = Some(caller.address.is_some() || !caller.vehicles.is_empty());
            }
            Outcome::Refused { .. } => caller.on_file = Some(false),
            Outcome::Failed(_) | Outcome::Invalid(_) => {}
        }
    }
}
