//! Random walks through transfers: several callers, few seats, one queue, and everybody does what they like. A reference model
//! walks beside: what each seat's telephone does, as the outputs of the calls say. It and the queue may never disagree for
//! longer than a message takes, nobody waits for ever, no seat is left ringing or busy with nobody.
//!
//! A walk is made from a seed, which a failure prints.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use super::event::{EventKind, HandoffOutcome, LegId};
use super::rig::{Loudness, settings, sung};
use super::{Call, Command, Input, Output, SeatNews, Settings, Stage};
use crate::asr::Transcript;
use crate::clock::Time;
use crate::dialogue::{Act, Decision, Reason, Thought};
use crate::media::{FRAME, FRAME_TIME, Frame};
use crate::seat::queue::{Queue, Rules};
use crate::seat::{Profile, Target, Way};
use crate::tts::Piece;

const WALKS: u64 = 84;
const STEPS: usize = 4000;
const CALLERS: usize = 3;
/// News take at most so long to a call.
const MESSAGE: u64 = 300;
/// A caller waits in the queue at most so long.
const MAX_WAIT: Duration = Duration::from_secs(40);
/// From the wish for a person to the end of the handoff: the wait, one seat that rings and thinks to the end of its limits after it, and
/// the messages between.
const LONGEST_HANDOFF: Duration = Duration::from_secs(40 + 4 * (20 + 30) + 5);
/// Before an exchange is asked to take a call, what the bot is saying is said to its end.
const LAST_WORDS: Duration = Duration::from_secs(15);

/// What a seat's telephone does.
#[derive(Clone, Debug, PartialEq)]
enum Phone {
    Idle,
    Ringing {
        call: usize,
        attempt: u32,
    },
    Up {
        call: usize,
        attempt: u32,
    },
    /// The caller's exchange rings it.
    Referred {
        call: usize,
        attempt: u32,
    },
}

impl Phone {
    fn call(&self) -> Option<usize> {
        match self {
            Self::Idle => None,
            Self::Ringing { call, .. } | Self::Up { call, .. } | Self::Referred { call, .. } => Some(*call),
        }
    }
}

struct Party {
    call: Call,
    name: String,
    later: VecDeque<(Time, Input)>,
    gone: bool,
    voiced: bool,
    handoff_since: Option<Time>,
    booked: usize,
    stored: usize,
}

struct Walk {
    rng: SmallRng,
    now: Time,
    queue: Queue,
    parties: Vec<Party>,
    phones: BTreeMap<String, Phone>,
    /// Since when the queue has held a seat for a call whose telephone does nothing.
    idle_since: BTreeMap<String, Time>,
    callers: usize,
    bridged: usize,
    /// Calls that were given to an exchange.
    given: usize,
    /// Bridges are given to the caller's exchange.
    join_directly: bool,
    log: VecDeque<String>,
}

impl Walk {
    fn new(seed: u64) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        let seats: &[&str] = if rng.random() { &["a", "b"] } else { &["a", "b", "c", "d"] };
        let rules = Rules {
            parallel: rng.random_range(1..=2),
            wrap_up: Duration::from_secs(3),
            rest: Duration::from_secs(2),
            max_waiting: rng.random_range(1..=3),
            max_wait: MAX_WAIT,
            any_skill_after: Duration::ZERO,
        };
        // One of many seats is reached by the caller's exchange alone.
        let way = |id: &str| if id == "d" { Way::Refer } else { Way::Called };
        let profile = |id: &&str| Profile { way: way(id), ..Profile::plain(id) };
        let join_directly = rng.random_ratio(1, 3);
        let mut walk = Self {
            rng,
            now: Time::ZERO,
            queue: Queue::new(seats.iter().map(profile).collect(), rules),
            parties: Vec::new(),
            phones: seats.iter().map(|id| ((*id).to_owned(), Phone::Idle)).collect(),
            idle_since: BTreeMap::new(),
            callers: 0,
            bridged: 0,
            given: 0,
            join_directly,
            log: VecDeque::new(),
        };
        for _ in 0..CALLERS {
            let party = walk.caller();
            walk.parties.push(party);
        }
        for i in 0..CALLERS {
            walk.drain(i);
        }
        walk
    }

    fn caller(&mut self) -> Party {
        self.callers += 1;
        let number = self.rng.random::<bool>().then(|| "13800138000".into());
        Party {
            call: Call::new(
                Settings { join_directly: self.join_directly, ..settings() },
                Box::new(Loudness),
                number,
                self.now,
            ),
            name: format!("call{}", self.callers),
            later: VecDeque::new(),
            gone: false,
            voiced: false,
            handoff_since: None,
            booked: 0,
            stored: 0,
        }
    }

    fn soon(&mut self, i: usize, most: u64, input: Input) {
        let at = self.now + Duration::from_millis(self.rng.random_range(0..=most));
        self.parties[i].later.push_back((at, input));
    }

    fn hear_queue(&mut self) {
        while let Some((call, news)) = self.queue.poll() {
            // One that has been hung up hears nothing any more; in order, as a channel gives them.
            let Some(i) = self.parties.iter().position(|p| *p.name == *call) else { continue };
            let newest = |(at, input): &(Time, Input)| matches!(input, Input::Queue(_)).then_some(*at);
            let after = self.parties[i].later.iter().filter_map(newest).max().unwrap_or(self.now);
            let delay = Duration::from_millis(self.rng.random_range(0..=MESSAGE / 3));
            self.parties[i].later.push_back((after.max(self.now) + delay, Input::Queue(news)));
        }
    }

    fn drain(&mut self, i: usize) {
        while let Some(output) = self.parties[i].call.poll() {
            match output {
                Output::Transcribe { id, purpose, .. } => {
                    let words = ["转人工", "嗯", "好", "不用", "空调坏了", "13900139000", "明天"];
                    let text = (*words.choose(&mut self.rng).unwrap_or(&"")).to_owned();
                    let result = Ok(Transcript { text, confidence: 0.9, ..Transcript::default() });
                    self.soon(i, 200, Input::Transcript { id, purpose, result });
                }
                Output::Think { turn, .. } => {
                    let act = match self.rng.random_range(0..12) {
                        0..=3 => {
                            Act::Handoff(*[Reason::Requested, Reason::Safety].choose(&mut self.rng).unwrap())
                        }
                        4 => Act::StopWaiting,
                        5 => Act::Place,
                        6 => Act::Yes,
                        7 => Act::Phone("13900139000".into()),
                        8 => Act::When("明天".into()),
                        9 if self.rng.random_ratio(1, 8) => Act::Goodbye,
                        _ => Act::Answer,
                    };
                    if act == Act::Answer {
                        let thought = Thought::Clause("这是一个回答。".into());
                        self.parties[i].later.push_back((self.now, Input::Thought { turn, thought }));
                    }
                    let thought = Thought::Decided(Decision::new(act, 0.9, "test"));
                    self.parties[i].later.push_back((self.now, Input::Thought { turn, thought }));
                }
                Output::Synthesize { id, text, .. } => {
                    let chars = text.chars().count();
                    let piece = Piece::Audio { samples: vec![900; 3 * FRAME * chars], span: 0..chars };
                    self.parties[i].later.push_back((self.now, Input::Speech { id, piece }));
                    self.parties[i].later.push_back((self.now, Input::Speech { id, piece: Piece::Done }));
                }
                Output::Queue(wish) => {
                    self.queue.wish(self.now, &self.parties[i].name.clone(), wish);
                    self.hear_queue();
                }
                Output::Legs(Command::DialSeat { attempt, targets, .. }) => self.ring(i, attempt, &targets),
                Output::Legs(Command::Refer { attempt, target, .. }) => {
                    let phone = self.phones.get_mut(&target.seat).expect("a seat that there is");
                    assert_eq!(
                        *phone,
                        Phone::Idle,
                        "{} is called while its telephone is in use",
                        target.seat
                    );
                    *phone = Phone::Referred { call: i, attempt };
                }
                Output::Legs(Command::JoinDirectly { attempt, .. }) => {
                    let result = self.exchange_says();
                    self.soon(i, 5000, Input::Referred { attempt, result });
                }
                Output::Legs(Command::HangUpSeat) => {
                    for phone in self.phones.values_mut().filter(|phone| phone.call() == Some(i)) {
                        *phone = Phone::Idle;
                    }
                }
                Output::BookCallback { .. } => {
                    // The database may stall for longer than the call waits for it.
                    let result = if self.rng.random_ratio(3, 4) { Ok(()) } else { Err("disk full".into()) };
                    self.parties[i].stored += usize::from(result.is_ok());
                    self.soon(i, 5000, Input::CallbackStored { result });
                }
                Output::Event(event) => self.happened(i, &event.kind),
                _ => {}
            }
        }
    }

    fn ring(&mut self, i: usize, attempt: u32, targets: &[Target]) {
        for Target { seat, .. } in targets {
            let phone = self.phones.get_mut(seat).expect("a seat that there is");
            assert_eq!(*phone, Phone::Idle, "{seat} is called while its telephone is in use");
            *phone = Phone::Ringing { call: i, attempt };
        }
    }

    /// Whether the exchange does what it is asked to.
    fn exchange_says(&mut self) -> Result<(), (HandoffOutcome, Option<u16>)> {
        if self.rng.random() { Ok(()) } else { Err((HandoffOutcome::Unreachable, Some(503))) }
    }

    /// What the people at the telephones do.
    fn seats_act(&mut self) {
        let seats: Vec<String> = self.phones.keys().cloned().collect();
        for seat in seats {
            match self.phones[&seat] {
                Phone::Ringing { call, attempt } if self.rng.random_ratio(1, 200) => {
                    if self.rng.random_ratio(2, 3) {
                        for phone in self.phones.values_mut() {
                            if *phone == (Phone::Ringing { call, attempt }) {
                                *phone = Phone::Idle;
                            }
                        }
                        self.phones.insert(seat.clone(), Phone::Up { call, attempt });
                        self.seat_input(call, Input::Seat { attempt, news: SeatNews::Answered { seat } });
                    } else {
                        self.phones.insert(seat.clone(), Phone::Idle);
                        let outcomes =
                            [HandoffOutcome::Busy, HandoffOutcome::Declined, HandoffOutcome::Unreachable];
                        let outcome = *outcomes.choose(&mut self.rng).unwrap_or(&HandoffOutcome::Busy);
                        let news = SeatNews::Failed { seat, outcome, code: Some(486) };
                        self.seat_input(call, Input::Seat { attempt, news });
                    }
                }
                Phone::Referred { call, attempt } if self.rng.random_ratio(1, 200) => {
                    self.phones.insert(seat, Phone::Idle);
                    let result = self.exchange_says();
                    self.seat_input(call, Input::Referred { attempt, result });
                }
                Phone::Up { call, attempt } => match self.rng.random_range(0..2000) {
                    0 => {
                        self.phones.insert(seat, Phone::Idle);
                        self.seat_input(call, Input::Seat { attempt, news: SeatNews::Gone });
                    }
                    1..=6 => self.seat_input(call, Input::Dtmf { leg: LegId::Seat, digit: '1' }),
                    7 => self.seat_input(call, Input::Dtmf { leg: LegId::Seat, digit: '2' }),
                    8 => self.seat_input(call, Input::Dtmf { leg: LegId::Seat, digit: '3' }),
                    _ => {}
                },
                _ => {}
            }
        }
    }

    /// The leg's own news come at once: the task that has the leg is the one that runs the call.
    fn seat_input(&mut self, i: usize, input: Input) {
        self.log(format!("{} {input:?}", self.parties[i].name));
        self.parties[i].call.handle(self.now, input);
        self.drain(i);
    }

    fn happened(&mut self, i: usize, kind: &EventKind) {
        let party = &mut self.parties[i];
        match kind {
            EventKind::HandoffRequested { .. } => party.handoff_since = Some(self.now),
            EventKind::HandoffEnded { .. } => party.handoff_since = None,
            EventKind::Bridged => {
                party.handoff_since = None;
                self.bridged += 1;
            }
            EventKind::Referred => self.given += 1,
            EventKind::CallbackBooked { .. } => party.booked += 1,
            EventKind::Ended { .. } => party.gone = true,
            _ => {}
        }
        let line = format!("{:?} {} {kind:?}", self.now, self.parties[i].name);
        self.log(line);
    }

    fn log(&mut self, line: String) {
        self.log.push_back(line);
        if self.log.len() > 40 {
            self.log.pop_front();
        }
    }

    fn step(&mut self) {
        self.now = self.now + FRAME_TIME;
        self.queue.tick(self.now);
        self.hear_queue();
        self.seats_act();
        for i in 0..self.parties.len() {
            while let Some(at) = self.parties[i].later.iter().position(|(at, _)| *at <= self.now) {
                if let Some((_, input)) = self.parties[i].later.remove(at) {
                    self.parties[i].call.handle(self.now, input);
                    self.drain(i);
                }
            }
            self.live(i);
        }
        self.check();
    }

    fn live(&mut self, i: usize) {
        if self.rng.random_ratio(1, if self.parties[i].voiced { 40 } else { 250 }) {
            self.parties[i].voiced = !self.parties[i].voiced;
        }
        let digit = match self.rng.random_range(0..3000) {
            0 => Some('0'),
            1 => Some('1'),
            2 => Some('*'),
            _ => None,
        };
        if let Some(digit) = digit {
            self.soon(i, 0, Input::Dtmf { leg: LegId::Caller, digit });
        }
        if self.rng.random_ratio(1, 5000) {
            self.soon(i, 0, Input::CallerGone { dead_line: false });
        }
        let caller = if self.parties[i].voiced { sung(500) } else { Frame::SILENCE };
        let up = self.phones.values().any(|phone| matches!(phone, Phone::Up { call, .. } if *call == i));
        let seat = up.then_some(Frame([300; FRAME]));
        self.parties[i].call.handle(self.now, Input::Tick { caller, seat });
        self.drain(i);
        if self.parties[i].gone {
            assert!(
                self.phones.values().all(|phone| phone.call() != Some(i)),
                "{} is over and a seat's telephone is still in use for it",
                self.parties[i].name
            );
            let next = self.caller();
            self.parties[i] = next;
            self.drain(i);
        }
    }

    /// The queue and the telephones agree, and nobody waits for ever.
    fn check(&mut self) {
        for seat in self.queue.seats() {
            let id = &seat.profile.id;
            let held = seat.state.call().map(ToString::to_string);
            let used = self.phones[id].call().map(|i| self.parties[i].name.clone());
            if used.is_some() {
                assert_eq!(held, used, "{id}: the queue takes it for {}", seat.state.name());
            }
            if held.is_some() && used.is_none() {
                let since = *self.idle_since.entry(id.clone()).or_insert(self.now);
                let most =
                    if seat.profile.way == Way::Refer { LAST_WORDS } else { Duration::from_millis(MESSAGE) };
                assert!(
                    self.now.saturating_since(since) <= most,
                    "{id} is {} for {held:?}, and its telephone does nothing",
                    seat.state.name()
                );
            } else {
                self.idle_since.remove(id);
            }
        }
        for party in &self.parties {
            if let Some(since) = party.handoff_since {
                assert!(
                    self.now.saturating_since(since) <= LONGEST_HANDOFF,
                    "{} has waited since {since:?}",
                    party.name
                );
            }
            let waits = party.call.handoff.is_some();
            assert!(
                !waits || matches!(party.call.stage, Stage::Talking),
                "{} waits and does not",
                party.name
            );
            assert!(party.booked <= party.stored + 1, "{}: a promise that nobody keeps", party.name);
        }
    }
}

#[test]
fn no_walk_of_callers_and_seats_loses_anybody() {
    let (mut bridged, mut given) = (0, 0);
    for seed in 0..WALKS {
        let mut walk = Walk::new(seed);
        let walked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for _ in 0..STEPS {
                walk.step();
            }
            for i in 0..walk.parties.len() {
                walk.parties[i].call.handle(walk.now, Input::CallerGone { dead_line: false });
                walk.drain(i);
            }
            assert!(walk.phones.values().all(|phone| *phone == Phone::Idle), "a telephone is left in use");
            walk.queue.tick(walk.now + Duration::from_secs(700));
            let free = walk.queue.seats().iter().all(|seat| seat.state.name() == "available");
            assert!(free && walk.queue.waiting() == 0, "a seat is stuck: {:?}", walk.queue.seats());
            (walk.bridged, walk.given)
        }));
        let log = walk.log.make_contiguous().join("\n");
        let Ok((joined, referred)) = walked else {
            panic!("the walk from seed {seed} broke a promise, see above; what came before:\n{log}");
        };
        bridged += joined;
        given += referred;
    }
    assert!(bridged > 100, "only {bridged} callers were joined: the walks go nowhere");
    assert!(given > 20, "only {given} callers were given to an exchange");
}
