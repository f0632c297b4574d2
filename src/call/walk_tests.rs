//! Random walks through calls: whatever happens in whatever order, the promises of the core hold.
//!
//! A walk is made from a seed, which a failure prints. Each turn's audio carries its number, so a frame tells whose it is.

use std::collections::VecDeque;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use super::event::{EventKind, HandoffOutcome, LegId, TurnId};
use super::rig::{Loudness, settings, sung};
use super::timers::Timer;
use super::{Asking, Call, Command, Input, Output, SeatNews, Settings, Stage};
use crate::asr::{self, Transcript};
use crate::clock::Time;
use crate::dialogue::{Act, Decision, Reason, Thought};
use crate::media::{FRAME, FRAME_TIME, Frame};
use crate::seat::queue::{Queue, Rules};
use crate::seat::{Profile, Way};
use crate::sim::promises::Promises;
use crate::tts::Piece;

/// No line is silent for longer while both sides could speak: the seven seconds that the caller has to answer, and one for slow
/// ears and voices. A key of the caller is no silence: it begins the seven seconds anew.
const LONGEST_SILENCE: Duration = Duration::from_secs(8);
const WALKS: u64 = 1000;
const STEPS: usize = 3000;

struct Walk {
    call: Call,
    queue: Queue,
    rng: SmallRng,
    now: Time,
    later: VecDeque<(Time, Input)>,
    promises: Promises,
    ended: usize,
    voiced: bool,
    log: Vec<String>,
}

impl Walk {
    fn new(seed: u64) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        let seats: &[&str] = if rng.random() { &["sip:one", "sip:two"] } else { &[] };
        let number = rng.random::<bool>().then(|| "13800138000".into());
        let rating_after = rng.random::<bool>().then_some(1);
        let settings = Settings { join_directly: rng.random(), rating_after, ..settings() };
        let refer = rng.random();
        let way = |uri: &str| if refer && uri == "sip:two" { Way::Refer } else { Way::Called };
        let profile = |uri: &&str| Profile { way: way(uri), ..Profile::plain(uri) };
        Self {
            call: Call::new(settings, Box::new(Loudness), number, Time::ZERO),
            queue: Queue::new(seats.iter().map(profile).collect(), Rules::default()),
            rng,
            now: Time::ZERO,
            later: VecDeque::new(),
            promises: Promises::new(LONGEST_SILENCE),
            ended: 0,
            voiced: false,
            log: Vec::new(),
        }
    }

    fn soon(&mut self, most: u64, input: Input) {
        let at = self.now + Duration::from_millis(self.rng.random_range(0..=most));
        self.later.push_back((at, input));
    }

    fn drain(&mut self) {
        while let Some(output) = self.call.poll() {
            assert!(
                self.ended == 0 || matches!(output, Output::Legs(Command::HangUp)),
                "after the end: {output:?}"
            );
            match output {
                Output::Play { leg: LegId::Caller, frame } => self.played(&frame),
                Output::Transcribe { id, purpose, .. } => {
                    let words = ["", "嗯", "好", "不用", "等一下", "空调坏了", "138", "13900139000", "明天"];
                    let text = (*words.choose(&mut self.rng).unwrap_or(&"")).to_owned();
                    let result = match self.rng.random_range(0..12) {
                        0 => Err(asr::Error::Engine("it broke".into())),
                        1 => Err(asr::Error::Dropped),
                        _ => Ok(Transcript { text, confidence: 0.9, ..Transcript::default() }),
                    };
                    let most = if self.rng.random_ratio(1, 10) { 1500 } else { 200 };
                    self.soon(most, Input::Transcript { id, purpose, result });
                }
                Output::Think { turn, .. } => self.think(turn),
                Output::Synthesize { id, text, .. } => {
                    let mut at = self.now;
                    for i in 0..text.chars().count() {
                        at = at + Duration::from_millis(self.rng.random_range(0..60));
                        let samples = vec![100 + id.turn.0 as i16; 4 * FRAME];
                        let piece = Piece::Audio { samples, span: i..i + 1 };
                        self.later.push_back((at, Input::Speech { id, piece }));
                    }
                    let failed = self.rng.random_ratio(1, 20);
                    let last = if failed { Piece::Failed("it broke".into()) } else { Piece::Done };
                    self.later.push_back((at, Input::Speech { id, piece: last }));
                }
                Output::Queue(wish) => {
                    self.queue.wish(self.now, "call", wish);
                    self.hear_queue();
                }
                Output::Legs(Command::DialSeat { attempt, targets, .. }) => {
                    let seat = targets[0].seat.clone();
                    let news = if self.rng.random() {
                        SeatNews::Answered { seat }
                    } else {
                        SeatNews::Failed { seat, outcome: HandoffOutcome::Busy, code: None }
                    };
                    self.soon(4000, Input::Seat { attempt, news });
                    self.soon(20_000, Input::Seat { attempt, news: SeatNews::Gone });
                    self.soon(9000, Input::Dtmf { leg: LegId::Seat, digit: '1' });
                }
                Output::Legs(Command::Refer { attempt, .. } | Command::JoinDirectly { attempt, .. }) => {
                    let result =
                        if self.rng.random() { Ok(()) } else { Err((HandoffOutcome::Declined, Some(603))) };
                    self.soon(9000, Input::Referred { attempt, result });
                }
                Output::BookCallback { .. } => {
                    let result = if self.rng.random() { Ok(()) } else { Err("disk full".into()) };
                    self.soon(4000, Input::CallbackStored { result });
                }
                Output::Event(event) => {
                    self.log.push(format!("{:?} {:?}", self.now, event.kind));
                    self.promises.event(&event);
                    if matches!(event.kind, EventKind::Dtmf { leg: LegId::Caller, .. }) {
                        self.promises.line(self.now, true);
                    }
                    self.ended += usize::from(matches!(event.kind, EventKind::Ended { .. }));
                }
                _ => {}
            }
        }
    }

    fn hear_queue(&mut self) {
        while let Some((_, news)) = self.queue.poll() {
            self.soon(100, Input::Queue(news));
        }
    }

    fn think(&mut self, turn: TurnId) {
        let act = match self.rng.random_range(0..16) {
            11 => Act::Rated(3),
            12 => Act::Message("车坏了".into()),
            9 => Act::StopWaiting,
            10 => Act::Place,
            0 => Act::Handoff(Reason::Requested),
            1 => Act::Clarify,
            2 => Act::Ignore,
            3 => Act::Yes,
            4 => Act::No,
            5 => Act::PhonePart("138".into()),
            6 => Act::Phone("13900139000".into()),
            7 => Act::When("明天".into()),
            8 if self.rng.random_ratio(1, 4) => Act::Goodbye,
            _ => Act::Answer,
        };
        let mut at = self.now + Duration::from_millis(self.rng.random_range(0..300));
        if self.rng.random_ratio(1, 6) {
            at = at + Duration::from_millis(self.rng.random_range(0..7000));
        }
        if matches!(act, Act::Answer | Act::Clarify) {
            for clause in ["关于这个，", "这是一个回答。"] {
                self.later.push_back((at, Input::Thought { turn, thought: Thought::Clause(clause.into()) }));
            }
        }
        let decision = Decision::new(act, 0.9, "test");
        self.later.push_back((at, Input::Thought { turn, thought: Thought::Decided(decision) }));
    }

    fn played(&mut self, frame: &Frame) {
        // A fade touches the first quarter of a frame; one that fades out is silent behind it.
        let turn = frame.0[FRAME - 1] - 100;
        if turn > 0 {
            assert!(frame.0[FRAME / 4..].iter().all(|s| s - 100 == turn), "two turns in one frame");
            self.promises.spoke(self.now, TurnId(turn as u32));
        }
        let excused = self.call.held
            || self.voiced
            || self.call.listening.utterance().is_some()
            || self.call.handoff.is_some()
            || !matches!(self.call.stage, Stage::Talking)
            || self.call.timers.is_set(Timer::Keys);
        self.promises.line(self.now, *frame != Frame::SILENCE || excused);
    }

    /// Every timer that runs has its reason.
    fn check(&self) {
        let call = &self.call;
        if call.is_over() {
            return;
        }
        let set = |timer| call.timers.is_set(timer);
        let handoff = call.handoff.is_some();
        assert!(!set(Timer::NoInput) || call.speaking.is_none() && !call.held, "nobody is waited for");
        assert!(!set(Timer::Stalled) || call.speaking.is_some(), "nothing can be late");
        assert!(
            !set(Timer::Filler) || call.speaking.is_some() && call.fillers.now.is_none(),
            "nothing to fill"
        );
        assert!(!set(Timer::Keys) || call.is_typing(), "no digits were typed");
        assert!(
            !set(Timer::CallbackStore) || matches!(call.asking, Asking::Stored { .. }),
            "nothing to store"
        );
        for timer in [Timer::Queue, Timer::SeatRing, Timer::SeatAccept, Timer::SeatRepeat] {
            assert!(!set(timer) || handoff, "{timer:?} without a seat");
        }
    }

    fn step(&mut self) {
        self.now = self.now + FRAME_TIME;
        if self.rng.random_ratio(1, if self.voiced { 30 } else { 120 }) {
            self.voiced = !self.voiced;
        }
        if self.rng.random_ratio(1, 400) {
            let digit = *['0', '1', '2', '5', '#', '*'].choose(&mut self.rng).unwrap_or(&'0');
            self.soon(0, Input::Dtmf { leg: LegId::Caller, digit });
        }
        if self.rng.random_ratio(1, 900) {
            self.soon(0, Input::Hold { leg: LegId::Caller, held: true });
            self.soon(3000, Input::Hold { leg: LegId::Caller, held: false });
        }
        if self.rng.random_ratio(1, 6000) {
            self.soon(0, Input::CallerGone { dead_line: false });
        }
        while let Some(i) = self.later.iter().position(|(at, _)| *at <= self.now) {
            if let Some((_, input)) = self.later.remove(i) {
                self.call.handle(self.now, input);
                self.drain();
            }
        }
        self.queue.tick(self.now);
        self.hear_queue();
        let caller = if self.voiced { sung(500) } else { Frame::SILENCE };
        self.call.handle(self.now, Input::Tick { caller, seat: None });
        self.drain();
        self.check();
        if !self.call.is_over() {
            self.promises.history(self.now, &self.call.history);
        }
        assert_eq!(self.promises.broken(), []);
    }
}

#[test]
fn no_walk_breaks_a_promise() {
    for seed in 0..WALKS {
        let mut walk = Walk::new(seed);
        let walked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for _ in 0..STEPS {
                walk.step();
            }
            walk.call.handle(walk.now, Input::CallerGone { dead_line: false });
            walk.drain();
            assert_eq!(walk.ended, 1, "a call ends once");
        }));
        let last = walk.log.iter().rev().take(20).rev().map(String::as_str).collect::<Vec<_>>().join("\n");
        assert!(
            walked.is_ok(),
            "the walk from seed {seed} broke a promise, see above; what came before:\n{last}"
        );
    }
}
