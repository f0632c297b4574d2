//! Figures of simulated conversations, by caller and by network.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::{Arrival, Behaviour, Laid, Network, Outcome, What};
use crate::call::Phrases;
use crate::call::event::{EventKind, TurnId};
use crate::clock::Time;
use crate::media::FRAME_TIME;
use crate::qa::turns::score::percentiles;

/// What came of some conversations.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Tally {
    /// How many.
    pub talks: usize,
    /// Turns of callers, not said over the bot.
    pub turns: usize,
    /// Taken for over while the caller still had something to say.
    pub cut_off: usize,
    /// Of those, where the bot's voice really left before the caller had finished.
    pub spoken_over: usize,
    /// Not taken for over within [`BOUND`].
    pub missed: usize,
    /// From the end of a turn to the decision that it is over, at the call's end of the network, milliseconds.
    pub delay_ms: Spread,
    /// From the end of a turn to the bot's first sound, at the caller's end, milliseconds.
    pub latency_ms: Spread,
    /// Interruptions of what may be interrupted.
    pub interruptions: Count,
    /// From the beginning of an interruption to the bot's last sound, at the caller's end, milliseconds.
    pub stop_ms: Spread,
    /// Backchannels over the bot.
    pub backchannels: Count,
    /// Coughs over the bot.
    pub coughs: Count,
    /// Others' words over the bot.
    pub side_talk: Count,
    /// Turns of the bot that came back from a loudspeaker while the caller was silent.
    pub echoes: Count,
    /// Turns that were answered and that nobody had said.
    pub phantoms: usize,
    /// Callers who fell silent and were led down the ladder: asked, asked again, offered a person, and bidden goodbye.
    pub ladders: Count,
    /// Conversations in which a promise was broken.
    pub broken: usize,
}

/// Things that happened, and how often the bot did as it should.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Count {
    /// How many.
    pub all: usize,
    /// How many came out right: the bot yielded to an interruption, spoke on after anything else.
    pub right: usize,
}

/// Durations in milliseconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Spread(Vec<u64>);

/// A turn that is not taken for over within this time is missed.
pub const BOUND: Duration = Duration::from_secs(3);
/// What a sound leads to comes within this time after it.
const CONSEQUENCE: Duration = Duration::from_secs(2);
/// An interruption so shortly before the bot's last word interrupts nothing.
const LAST_WORD: Duration = Duration::from_millis(700);
/// What is heard was said at most this much earlier or later.
const SLACK: Duration = Duration::from_millis(400);
/// What has left is heard by the caller at most so much later.
const ON_ITS_WAY: Duration = Duration::from_millis(400);
/// And at least so much.
const SOONEST: Duration = Duration::from_millis(40);

impl Serialize for Spread {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        self.percentiles().serialize(s)
    }
}

impl Spread {
    /// Median and 95th percentile.
    pub fn percentiles(&self) -> Option<(u64, u64)> {
        percentiles(&mut self.0.clone())
    }

    fn push(&mut self, duration: Duration) {
        self.0.push(duration.as_millis() as u64);
    }
}

impl Count {
    /// Share that came out right, in 0..=1; none if there were none.
    pub fn share(self) -> Option<f64> {
        (self.all > 0).then(|| self.right as f64 / self.all as f64)
    }

    fn push(&mut self, right: bool) {
        self.all += 1;
        self.right += usize::from(right);
    }

    fn add(&mut self, other: Self) {
        self.all += other.all;
        self.right += other.right;
    }
}

/// Adds up conversations by what `key` gives.
pub fn tally<K: Ord>(
    outcomes: &[Outcome],
    phrases: &Phrases,
    key: impl Fn(Behaviour, Network) -> K,
) -> BTreeMap<K, Tally> {
    let mut tallies: BTreeMap<K, Tally> = BTreeMap::new();
    for outcome in outcomes {
        let tally = tallies.entry(key(outcome.talk.behaviour, outcome.talk.network)).or_default();
        tally.add(&Tally::of(outcome, phrases));
    }
    tallies
}

impl Tally {
    /// Of one conversation with a bot that has these phrases.
    pub fn of(outcome: &Outcome, phrases: &Phrases) -> Self {
        let mut tally = Self { talks: 1, broken: usize::from(!outcome.broken.is_empty()), ..Self::default() };
        for (index, (laid, arrival)) in outcome.laid.iter().enumerate() {
            match laid.what {
                What::Turn if laid.over.is_none() => tally.turn(outcome, index),
                What::Turn => {}
                What::Interruption => tally.interruption(outcome, laid, *arrival),
                What::Backchannel | What::Cough | What::SideTalk => {
                    let Some(cut) = outcome.cut_by(laid, *arrival) else { continue };
                    match laid.what {
                        What::Backchannel => tally.backchannels.push(!cut),
                        What::Cough => tally.coughs.push(!cut),
                        _ => tally.side_talk.push(!cut),
                    }
                }
            }
        }
        if outcome.talk.behaviour == Behaviour::Speakerphone {
            tally.echoes(outcome);
        }
        tally.phantoms = outcome.phantoms();
        if outcome.fell_silent {
            tally.ladders.push(outcome.went_down_the_ladder(phrases));
        }
        tally
    }

    fn add(&mut self, other: &Self) {
        self.talks += other.talks;
        self.turns += other.turns;
        self.cut_off += other.cut_off;
        self.spoken_over += other.spoken_over;
        self.missed += other.missed;
        self.delay_ms.0.extend(&other.delay_ms.0);
        self.latency_ms.0.extend(&other.latency_ms.0);
        self.interruptions.add(other.interruptions);
        self.stop_ms.0.extend(&other.stop_ms.0);
        self.backchannels.add(other.backchannels);
        self.coughs.add(other.coughs);
        self.side_talk.add(other.side_talk);
        self.echoes.add(other.echoes);
        self.phantoms += other.phantoms;
        self.ladders.add(other.ladders);
        self.broken += other.broken;
    }

    fn turn(&mut self, outcome: &Outcome, index: usize) {
        let (laid, arrival) = &outcome.laid[index];
        let taken = |from: Time, to: Time| {
            outcome.events.iter().find(|event| {
                matches!(event.kind, EventKind::CallerSaid { .. }) && from <= event.at && event.at < to
            })
        };
        let cut_off = taken(arrival.from, arrival.to).is_some();
        let next = outcome.laid[index + 1..].iter().find(|(laid, _)| laid.what.is_turn());
        let until = next.map_or(arrival.to + BOUND, |(_, next)| next.from.min(arrival.to + BOUND));
        let decided = taken(arrival.to, until).map(|event| event.at);
        if decided.is_none() && Time::from_start(outcome.length) < until {
            return;
        }
        self.turns += 1;
        self.cut_off += usize::from(cut_off);
        self.missed += usize::from(!cut_off && decided.is_none());
        if cut_off {
            let spoken = |event: &&crate::call::event::Event| {
                matches!(event.kind, EventKind::BotStarted { .. })
                    && arrival.from < event.at
                    && event.at < arrival.to
            };
            self.spoken_over += usize::from(outcome.events.iter().any(|event| spoken(&event)));
        } else if let Some(decided) = decided {
            self.delay_ms.push(decided.saturating_since(arrival.to));
            if let Some(heard) = outcome.heard_after(laid.to).filter(|at| *at < laid.to + 2 * BOUND) {
                self.latency_ms.push(heard.saturating_since(laid.to));
            }
        }
    }

    fn interruption(&mut self, outcome: &Outcome, laid: &Laid, arrival: Arrival) {
        let Some(over) = laid.over.filter(|_| !laid.protected) else { return };
        let Some((ended, cut)) = outcome.end_of(over) else { return };
        if !cut && ended < arrival.from + LAST_WORD {
            return;
        }
        let yielded = cut && ended <= arrival.to + CONSEQUENCE;
        self.interruptions.push(yielded);
        if yielded {
            // What is heard of the next turn is no part of this one.
            let next = outcome.begun_after(ended).map_or(Time::NEVER, |at| at + SOONEST);
            let last = outcome.heard_before(next.min(ended + ON_ITS_WAY));
            self.stop_ms.push(last.saturating_since(laid.from));
        }
    }

    fn echoes(&mut self, outcome: &Outcome) {
        for event in &outcome.events {
            let EventKind::BotSaid { interrupted, began, .. } = event.kind else { continue };
            let alone = outcome.laid.iter().all(|(_, a)| a.to + CONSEQUENCE < began || a.from > event.at);
            if alone {
                self.echoes.push(!interrupted);
            }
        }
    }
}

impl What {
    fn is_turn(self) -> bool {
        matches!(self, Self::Turn | Self::Interruption)
    }
}

impl Outcome {
    /// When a turn of the bot was over, and whether it was cut.
    fn end_of(&self, wanted: TurnId) -> Option<(Time, bool)> {
        self.events.iter().find_map(|event| match event.kind {
            EventKind::BotSaid { turn, interrupted, .. } if turn == wanted => Some((event.at, interrupted)),
            _ => None,
        })
    }

    /// Whether the bot was cut by what was no interruption; none if it could not have been, or something else was said.
    fn cut_by(&self, laid: &Laid, arrival: Arrival) -> Option<bool> {
        let over = laid.over.filter(|_| !laid.protected)?;
        let (ended, cut) = self.end_of(over)?;
        let until = arrival.to + CONSEQUENCE;
        let others =
            |(other, at): &(Laid, Arrival)| other.what.is_turn() && at.from < until && at.to > arrival.from;
        if self.laid.iter().any(others) {
            return None;
        }
        Some(cut && arrival.from <= ended && ended <= until)
    }

    /// Turns that were taken, and of which nothing was said by the caller.
    fn phantoms(&self) -> usize {
        let real = |began: Time, ended: Time| {
            self.laid.iter().any(|(laid, at)| {
                !matches!(laid.what, What::Cough | What::SideTalk)
                    && at.from < ended + SLACK
                    && at.to + SLACK > began
            })
        };
        let phantom = |kind: &EventKind| match kind {
            EventKind::CallerSaid { began, ended, .. } => !real(*began, *ended),
            _ => false,
        };
        self.events.iter().filter(|event| phantom(&event.kind)).count()
    }

    /// A silent caller was asked, asked again, offered a person if nothing was open, and the call was ended.
    fn went_down_the_ladder(&self, phrases: &Phrases) -> bool {
        let said: Vec<&str> = self
            .events
            .iter()
            .filter_map(|event| match &event.kind {
                EventKind::BotSaid { text, interrupted: false, .. } => Some(text.as_str()),
                _ => None,
            })
            .collect();
        let goodbye = phrases.goodbye.concat();
        let asked = phrases.no_input.iter();
        let last_rungs = said
            .iter()
            .rposition(|text| phrases.no_input.first().is_some_and(|p| text.starts_with(p.as_str())));
        let Some(first) = last_rungs else { return phrases.no_input.is_empty() };
        let in_order = asked.zip(&said[first..]).all(|(prompt, text)| text.starts_with(prompt.as_str()));
        in_order && said.last().is_some_and(|text| text.ends_with(&goodbye)) && !self.hung_up
    }

    fn begun_after(&self, at: Time) -> Option<Time> {
        let begun = |kind: &EventKind| matches!(kind, EventKind::BotStarted { .. });
        self.events.iter().find(|event| event.at >= at && begun(&event.kind)).map(|event| event.at)
    }

    fn moment(index: usize) -> Time {
        Time::ZERO + FRAME_TIME * (index as u32 + 1)
    }

    fn heard_after(&self, from: Time) -> Option<Time> {
        let mut heard = self.heard.iter().enumerate().map(|(i, heard)| (Self::moment(i), *heard));
        heard.find(|(at, heard)| *heard && *at >= from).map(|(at, _)| at)
    }

    /// The last moment before `until` when something was heard.
    fn heard_before(&self, until: Time) -> Time {
        let mut heard = self.heard.iter().enumerate().map(|(i, heard)| (Self::moment(i), *heard));
        heard.rfind(|(at, heard)| *heard && *at < until).map_or(Time::ZERO, |(at, _)| at)
    }
}
