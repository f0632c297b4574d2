//! Who gets which seat, sans-IO: callers by urgency, worth and patience; seats by skill, language and idleness.
//!
//! A seat is always in one [`State`]; a caller always waits, is offered seats, or talks to one. Every caller who waits hears of a
//! seat, or that nobody will come, within [`Rules::max_wait`]. A seat that did not take a call rests for a moment, longer each
//! time, so that one that is dead does not cost every caller its ringing time.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Need, News, Place, Profile, Target, Way, Wish};
use crate::call::event::HandoffOutcome;
use crate::clock::Time;

/// How the queue is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// How many seats ring at a time for one caller.
    pub parallel: usize,
    /// After a conversation a seat has this long to itself.
    pub wrap_up: Duration,
    /// So long a seat is left alone after it did not take a call; twice as long each time it does so again.
    pub rest: Duration,
    /// Callers who may wait.
    pub max_waiting: usize,
    /// So long a caller waits at most.
    pub max_wait: Duration,
    /// After this time any skill will do.
    pub any_skill_after: Duration,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            parallel: 1,
            wrap_up: Duration::from_secs(10),
            rest: Duration::from_secs(30),
            max_waiting: 20,
            max_wait: Duration::from_secs(300),
            any_skill_after: Duration::from_secs(30),
        }
    }
}

/// What a seat is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// Free.
    Available,
    /// It rings for a call.
    Ringing {
        /// The call.
        call: Arc<str>,
    },
    /// It hears the summary of a call or talks with the caller.
    Busy {
        /// The call.
        call: Arc<str>,
    },
    /// It writes up the conversation that it had.
    WrapUp,
    /// It did not take a call, and is left alone for a moment.
    Resting,
    /// It does not want calls.
    Away,
}

impl State {
    /// The name that metrics and commands give it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Available => "available",
            Self::Ringing { .. } => "ringing",
            Self::Busy { .. } => "busy",
            Self::WrapUp => "wrap_up",
            Self::Resting => "resting",
            Self::Away => "away",
        }
    }

    /// The call that it has to do with.
    pub fn call(&self) -> Option<&Arc<str>> {
        match self {
            Self::Ringing { call } | Self::Busy { call } => Some(call),
            _ => None,
        }
    }
}

/// A seat and what it is doing.
#[derive(Clone, Debug)]
pub struct Seat {
    /// Who it is.
    pub profile: Profile,
    /// What it is doing.
    pub state: State,
    /// Since when.
    pub since: Time,
    /// Until when, for [`State::WrapUp`] and [`State::Resting`].
    until: Time,
    /// Whether its schedule says that it is there.
    pub on_duty: bool,
    /// Whether its telephone is known to be there: a seat that registers is, as long as it has.
    pub reachable: bool,
    /// It goes away after the call that it has.
    leaving: bool,
    /// Calls in a row that it did not take.
    missed: u32,
}

impl Seat {
    /// True if it takes calls now or after the one that it has.
    fn is_there(&self) -> bool {
        self.on_duty && self.reachable && self.state != State::Away
    }

    fn enter(&mut self, now: Time, state: State) {
        self.until = Time::NEVER;
        self.state = state;
        self.since = now;
    }

    /// Free again, or gone if it asked for that.
    fn free(&mut self, now: Time) {
        let state = if std::mem::take(&mut self.leaving) { State::Away } else { State::Available };
        self.enter(now, state);
    }

    fn pause(&mut self, now: Time, state: State, length: Duration) {
        if self.leaving || length.is_zero() {
            return self.free(now);
        }
        self.enter(now, state);
        self.until = now + length;
    }
}

#[derive(Debug)]
struct Caller {
    need: Need,
    entered: Time,
    /// In which order it came.
    number: u64,
    phase: Phase,
    attempt: u32,
    /// What came of each seat that was tried.
    tried: BTreeMap<String, HandoffOutcome>,
    last: Option<HandoffOutcome>,
    told: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Waiting,
    Offered,
    Served(Time),
}

/// The queue of one tenant. See the module.
#[derive(Debug)]
pub struct Queue {
    rules: Rules,
    seats: Vec<Seat>,
    callers: BTreeMap<Arc<str>, Caller>,
    news: VecDeque<(Arc<str>, News)>,
    /// What conversations last, as a running mean.
    talk: Option<Duration>,
    entered: u64,
    offers: u32,
    /// When somebody will be there, in words for the ear.
    opens: Option<String>,
}

/// The longest rest of a seat that never takes a call.
const LONGEST_REST: Duration = Duration::from_secs(600);
/// Weight of the newest conversation in the mean.
const NEWEST: u32 = 5;

impl Queue {
    /// A queue for these seats, all of which are free and on duty; who has to come to us has not done so yet.
    pub fn new(profiles: Vec<Profile>, rules: Rules) -> Self {
        let seat = |profile: Profile| Seat {
            reachable: !profile.way.comes(),
            profile,
            state: State::Available,
            since: Time::ZERO,
            until: Time::NEVER,
            on_duty: true,
            leaving: false,
            missed: 0,
        };
        Self {
            rules: Rules { parallel: rules.parallel.max(1), ..rules },
            seats: profiles.into_iter().map(seat).collect(),
            callers: BTreeMap::new(),
            news: VecDeque::new(),
            talk: None,
            entered: 0,
            offers: 0,
            opens: None,
        }
    }

    /// Takes what a call wants.
    pub fn wish(&mut self, now: Time, call: &str, wish: Wish) {
        match wish {
            Wish::Enter(need) => self.enter(now, call, need),
            Wish::Change(need) => self.change(call, need),
            Wish::Leave => self.leave(now, call),
            Wish::Answered { attempt, seat } => self.answered(now, call, attempt, &seat),
            Wish::Failed { attempt, seat, outcome } => self.failed(now, call, attempt, &seat, outcome),
        }
        self.tick(now);
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Time) {
        for seat in self.seats.iter_mut().filter(|seat| seat.until <= now) {
            seat.free(now);
        }
        self.give_up(now);
        self.assign(now);
        self.tell_places();
    }

    /// What calls are to be told, in order.
    pub fn poll(&mut self) -> Option<(Arc<str>, News)> {
        self.news.pop_front()
    }

    /// The schedule of a seat says whether it is there. A seat that talks goes on.
    pub fn set_duty(&mut self, seat: &str, on_duty: bool) {
        if let Some(seat) = self.seats.iter_mut().find(|s| s.profile.id == seat) {
            seat.on_duty = on_duty;
        }
    }

    /// A seat has registered, or has not any more. A seat that talks goes on.
    pub fn set_reachable(&mut self, seat: &str, reachable: bool) {
        let Some(seat) = self.seats.iter_mut().find(|s| s.profile.id == seat) else { return };
        if reachable && !seat.reachable {
            // It comes anew: what it missed before is forgotten.
            seat.missed = 0;
            if seat.state == State::Resting {
                seat.until = Time::ZERO;
            }
        }
        seat.reachable = reachable;
    }

    /// When somebody will be there, in words for the ear; told to callers out of hours.
    pub fn set_opens(&mut self, opens: Option<String>) {
        self.opens = opens;
    }

    /// A seat wants calls, or none after the one that it has. False if there is no such seat.
    pub fn set_away(&mut self, now: Time, seat: &str, away: bool) -> bool {
        let Some(seat) = self.seats.iter_mut().find(|s| s.profile.id == seat) else { return false };
        if seat.state.call().is_some() {
            seat.leaving = away;
        } else if away != (seat.state == State::Away) {
            seat.missed = 0;
            seat.enter(now, if away { State::Away } else { State::Available });
        }
        true
    }

    /// The seats in the order of their configuration.
    pub fn seats(&self) -> &[Seat] {
        &self.seats
    }

    /// Callers who wait or whose seats ring.
    pub fn waiting(&self) -> usize {
        self.callers.values().filter(|caller| !matches!(caller.phase, Phase::Served(_))).count()
    }

    fn enter(&mut self, now: Time, call: &str, need: Need) {
        self.leave(now, call);
        let call: Arc<str> = call.into();
        if self.seats.is_empty() {
            return self.nobody(call, HandoffOutcome::NoSeat);
        }
        if self.waiting() >= self.rules.max_waiting {
            return self.nobody(call, HandoffOutcome::QueueFull);
        }
        self.entered += 1;
        let caller = Caller {
            need,
            entered: now,
            number: self.entered,
            phase: Phase::Waiting,
            attempt: 0,
            tried: BTreeMap::new(),
            last: None,
            told: None,
        };
        self.callers.insert(call, caller);
    }

    /// Whoever has been given a seat already goes on with that one.
    fn change(&mut self, call: &str, need: Need) {
        if let Some(caller) = self.callers.get_mut(call).filter(|c| matches!(c.phase, Phase::Waiting)) {
            caller.need = need;
        }
    }

    fn leave(&mut self, now: Time, call: &str) {
        let Some(caller) = self.callers.remove(call) else { return };
        let talked = match caller.phase {
            Phase::Served(since) => Some(now.saturating_since(since)),
            _ => None,
        };
        if let Some(talked) = talked {
            let mean = |talk: Duration| (talk * (NEWEST - 1) + talked) / NEWEST;
            self.talk = Some(self.talk.map_or(talked, mean));
        }
        let wrap_up = self.rules.wrap_up;
        for seat in self.seats.iter_mut().filter(|seat| seat.state.call().is_some_and(|c| **c == *call)) {
            match seat.state {
                State::Busy { .. } if talked.is_some() => seat.pause(now, State::WrapUp, wrap_up),
                _ => seat.free(now),
            }
        }
    }

    fn answered(&mut self, now: Time, call: &str, attempt: u32, seat: &str) {
        let Some(caller) = self.callers.get_mut(call).filter(|c| c.attempt == attempt) else { return };
        caller.phase = Phase::Served(now);
        for other in self.seats.iter_mut().filter(|s| s.state.call().is_some_and(|c| **c == *call)) {
            if other.profile.id == seat {
                other.missed = 0;
                other.enter(now, State::Busy { call: call.into() });
            } else {
                other.free(now);
            }
        }
    }

    fn failed(&mut self, now: Time, call: &str, attempt: u32, seat: &str, outcome: HandoffOutcome) {
        let Some(caller) = self.callers.get_mut(call).filter(|c| c.attempt == attempt) else { return };
        caller.tried.insert(seat.to_owned(), outcome);
        caller.last = Some(outcome);
        let rest = self.rules.rest;
        let theirs = |s: &&mut Seat| s.state.call().is_some_and(|c| **c == *call);
        if let Some(seat) = self.seats.iter_mut().filter(theirs).find(|s| s.profile.id == seat) {
            let length = (rest * 2_u32.saturating_pow(seat.missed.min(10))).min(LONGEST_REST);
            seat.missed += 1;
            seat.pause(now, State::Resting, length);
        }
        let still = self.seats.iter().any(|s| s.state.call().is_some_and(|c| **c == *call));
        if !still && let Some(caller) = self.callers.get_mut(call) {
            caller.phase = Phase::Waiting;
            caller.told = None;
        }
    }

    /// Callers by who is served first.
    fn order(&self) -> Vec<Arc<str>> {
        let mut waiting: Vec<_> = self.callers.iter().filter(|(_, c)| c.phase == Phase::Waiting).collect();
        waiting.sort_by_key(|(_, c)| {
            (std::cmp::Reverse(c.need.urgency), std::cmp::Reverse(c.need.value), c.number)
        });
        waiting.into_iter().map(|(call, _)| call.clone()).collect()
    }

    fn assign(&mut self, now: Time) {
        for call in self.order() {
            let Some(caller) = self.callers.get_mut(&call) else { continue };
            let any = now.saturating_since(caller.entered) >= self.rules.any_skill_after;
            let mut free: Vec<&mut Seat> = self
                .seats
                .iter_mut()
                .filter(|s| s.is_there() && s.state == State::Available)
                .filter(|s| s.profile.suits(&caller.need, any) && !caller.tried.contains_key(&s.profile.id))
                .collect();
            free.sort_by_key(|seat| seat.since);
            // Who is given the whole call cannot ring beside others.
            let alone = free.first().is_some_and(|seat| seat.profile.way == Way::Refer);
            free.truncate(if alone { 1 } else { self.rules.parallel });
            free.retain(|seat| (seat.profile.way == Way::Refer) == alone);
            if free.is_empty() {
                continue;
            }
            self.offers += 1;
            caller.attempt = self.offers;
            caller.phase = Phase::Offered;
            let target = |seat: &mut Seat| {
                seat.enter(now, State::Ringing { call: call.clone() });
                let Profile { id, uri, way, .. } = &seat.profile;
                Target { seat: id.clone(), uri: uri.clone(), way: *way }
            };
            let seats = free.into_iter().map(target).collect();
            self.news.push_back((call, News::Offer { attempt: caller.attempt, seats }));
        }
    }

    /// Tells those for whom nobody can come, or came in time.
    fn give_up(&mut self, now: Time) {
        for call in self.order() {
            let Some(caller) = self.callers.get(&call) else { continue };
            let waited = now.saturating_since(caller.entered);
            let late = waited >= self.rules.max_wait;
            let suited = || self.seats.iter().filter(|s| s.profile.suits(&caller.need, true));
            let hopeful = suited().any(|s| s.is_there() && !caller.tried.contains_key(&s.profile.id));
            let why = match (late, hopeful, caller.last) {
                (true, ..) => HandoffOutcome::TooLong,
                (_, true, _) => continue,
                (.., Some(last)) => last,
                _ if suited().all(|s| !s.on_duty) => HandoffOutcome::OutOfHours,
                _ if suited().all(|s| !s.on_duty || !s.reachable) => HandoffOutcome::Unreachable,
                _ => HandoffOutcome::NoSeat,
            };
            self.callers.remove(&call);
            self.nobody(call, why);
        }
    }

    fn nobody(&mut self, call: Arc<str>, why: HandoffOutcome) {
        let opens = self.opens.clone().filter(|_| why == HandoffOutcome::OutOfHours);
        self.news.push_back((call, News::Nobody { why, opens }));
    }

    fn tell_places(&mut self) {
        for (ahead, call) in self.order().into_iter().enumerate() {
            let ahead = ahead as u32;
            let Some(caller) = self.callers.get(&call) else { continue };
            let there = |s: &&Seat| s.is_there() && s.profile.suits(&caller.need, true);
            let seats = self.seats.iter().filter(there).count().max(1) as u32;
            // Each seat has its present caller to finish with, then every so-manieth of the queue.
            let expected = self.talk.map(|talk| talk * (ahead + 1) / seats);
            let told = self.callers.get_mut(&call).and_then(|caller| caller.told.replace(ahead));
            if told != Some(ahead) {
                self.news.push_back((call, News::Waiting(Place { ahead, expected })));
            }
        }
    }
}
