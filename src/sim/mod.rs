//! Two parties over a bad network on virtual time: a recorded caller and a call, with real RTP between them.
//!
//! The engines take as long as they take on the machine, but their answers arrive after [`Delays`] of virtual time: the same
//! fixture, seed and engines give the same call.

pub mod bench;
mod line;
pub mod network;
pub mod promises;
pub mod talks;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;

use self::line::Line;
use self::network::Weather;
use crate::asr::Purpose;
use crate::call::event::{HandoffOutcome, LegId};
use crate::call::{Call, Command, Input, SeatNews};
use crate::clock::{Clock, Time};
use crate::driver::{Services, Session};
use crate::media::{FRAME_TIME, Frame};
use crate::qa::{CallerStep, Fixture, Network, ScriptedCaller, Seat, Verdict, judge};
use crate::record::MediaRecord;
use crate::seat::floor::Floor;
use crate::services::{Pools, telephone_number, voice_activity};
use crate::ua::SummaryEar;

/// Virtual time that an engine takes.
#[derive(Clone, Copy, Debug)]
pub struct Delays {
    /// From the request for a final transcript to its answer.
    pub final_transcript: Duration,
    /// Likewise for a partial.
    pub partial_transcript: Duration,
}

impl Default for Delays {
    /// About what the embedded recogniser takes on one idle core.
    fn default() -> Self {
        Self { final_transcript: Duration::from_millis(100), partial_transcript: Duration::from_millis(100) }
    }
}

impl Delays {
    /// That of a transcript.
    pub fn of(self, purpose: Purpose) -> Duration {
        match purpose {
            Purpose::Final => self.final_transcript,
            Purpose::Partial => self.partial_transcript,
        }
    }
}

/// Somebody who phones.
pub trait Party {
    /// One frame's time: what is heard, and what is done at the same time.
    fn step(&mut self, now: Time, heard: &Frame) -> CallerStep;
}

impl Party for ScriptedCaller {
    fn step(&mut self, now: Time, heard: &Frame) -> CallerStep {
        Self::step(self, now, heard)
    }
}

/// What came of a simulated call beside its record.
#[derive(Debug)]
pub struct Outcome {
    /// What the network did to the caller's voice.
    pub media: MediaRecord,
    /// What the caller said and heard, 16 kHz, frame by frame.
    pub audio: Vec<(Frame, Frame)>,
}

/// No simulated call lasts longer.
const LONGEST: Duration = Duration::from_secs(300);
/// A seat answers after so long, and stays in the bridge for so long.
const SEAT_RINGS: Duration = Duration::from_millis(1500);
const SEAT_STAYS: Duration = Duration::from_secs(5);

/// Runs one recorded caller against the pools on virtual time and judges the call; also gives what the caller said and
/// heard. The number that calls is not known, and there is one seat, which does what the fixture says.
pub fn rehearse(pools: &Pools, fixture: Fixture) -> (Verdict, Vec<(Frame, Frame)>) {
    let info = pools.info("fixture", "sip:anonymous@fixture", "sip:hotline@fixture");
    let services = Services { seats: Arc::new(Floor::single("sip:seat@fixture")), ..pools.services.clone() };
    let call = Call::new(pools.settings.clone(), voice_activity(), telephone_number(&info.from), Time::ZERO);
    let (mut session, mut inbox) = Session::new(call, services, &info, Vec::new());
    let mut caller = ScriptedCaller::new(fixture.clone());
    let around = (fixture.network, fixture.seat);
    let outcome = run(&mut session, &mut inbox, &mut caller, around, Delays::default());
    let record = session.finish(vec![outcome.media], None);
    (judge(&fixture, &record, &caller.report()), outcome.audio)
}

/// Runs a call to its end on virtual time, over `network`, with a seat that does what its script says. Blocks while engines work.
pub fn run(
    session: &mut Session,
    inbox: &mut UnboundedReceiver<Input>,
    caller: &mut dyn Party,
    (network, script): (Network, Seat),
    delays: Delays,
) -> Outcome {
    let base = Clock::start();
    let weather =
        Weather { loss: network.loss, delay: network.delay, jitter: network.jitter, ..Weather::default() };
    let mut up = Line::new(base, weather, network.seed);
    let mut down = Line::new(base, weather, network.seed.wrapping_add(1));
    let mut seat = SimSeat { script, ..SimSeat::default() };
    let mut later: Vec<(Time, Input)> = Vec::new();
    let mut audio = Vec::new();
    let mut now = Time::ZERO;
    let mut commands = session.drain();
    while !session.is_over() && now.since_start() < LONGEST {
        seat.obey(now, &commands);
        commands.clear();
        // What waits in `later` still counts as outstanding; the rest is being computed.
        while session.outstanding() > later.len() || !inbox.is_empty() {
            let Some(input) = inbox.blocking_recv() else { break };
            match delay(&input, delays) {
                Duration::ZERO => commands.extend(session.handle(now, input)),
                delay => later.push((now + delay, input)),
            }
        }
        seat.obey(now, &commands);
        commands.clear();
        now = now + FRAME_TIME;
        later.sort_by_key(|(at, _)| *at);
        while later.first().is_some_and(|(at, _)| *at <= now) {
            commands.extend(session.handle(now, later.remove(0).1));
        }
        for input in seat.news(now) {
            commands.extend(session.handle(now, input));
        }
        let heard = down.receive(now).frame;
        let step = caller.step(now, &heard);
        if let Some(digit) = step.press {
            up.press(digit);
        }
        up.send(now, &step.frame);
        audio.push((step.frame, heard));
        if step.hang_up {
            commands.extend(session.handle(now, Input::CallerGone { dead_line: false }));
            break;
        }
        let frame = up.receive(now).frame;
        while let Some(digit) = up.pressed() {
            commands.extend(session.handle(now, Input::Dtmf { leg: LegId::Caller, digit }));
        }
        let from_seat = seat.is_up().then_some(Frame::SILENCE);
        commands.extend(session.handle(now, Input::Tick { caller: frame, seat: from_seat }));
        let (to_caller, to_seat) = session.frames();
        down.send(now, &to_caller);
        if let Some(frame) = to_seat {
            seat.hear(now, &frame);
        }
    }
    if !session.is_over() {
        session.handle(now, Input::Shutdown);
    }
    Outcome { media: up.media(), audio }
}

fn delay(input: &Input, delays: Delays) -> Duration {
    match input {
        Input::Transcript { purpose, .. } => delays.of(*purpose),
        _ => Duration::ZERO,
    }
}

/// A seat that does what the fixture says.
#[derive(Default)]
struct SimSeat {
    script: Seat,
    attempt: u32,
    name: String,
    state: SeatState,
    ear: SummaryEar,
}

#[derive(Default, PartialEq)]
enum SeatState {
    #[default]
    Idle,
    Ringing(Time),
    Listening(Time),
    Bridged(Time),
}

impl SimSeat {
    fn obey(&mut self, now: Time, commands: &[Command]) {
        for command in commands {
            match command {
                Command::DialSeat { attempt, targets, .. } => {
                    self.attempt = *attempt;
                    self.name = targets.first().map(|target| target.seat.clone()).unwrap_or_default();
                    self.ear = SummaryEar::default();
                    self.state = SeatState::Ringing(now);
                }
                Command::Press { .. } | Command::Refer { .. } | Command::JoinDirectly { .. } => {}
                Command::HangUpSeat | Command::HangUp => self.state = SeatState::Idle,
            }
        }
    }

    fn is_up(&self) -> bool {
        matches!(self.state, SeatState::Listening(_) | SeatState::Bridged(_))
    }

    fn hear(&mut self, now: Time, frame: &Frame) {
        if let SeatState::Listening(_) = self.state
            && self.ear.summary_is_over(frame)
        {
            self.state = SeatState::Bridged(now);
        }
    }

    /// What it does at `now`.
    fn news(&mut self, now: Time) -> Vec<Input> {
        let (attempt, name) = (self.attempt, self.name.clone());
        let seat = |news| vec![Input::Seat { attempt, news }];
        match (&self.state, self.script) {
            (SeatState::Ringing(_), Seat::Busy) => {
                self.state = SeatState::Idle;
                seat(SeatNews::Failed { seat: name, outcome: HandoffOutcome::Busy, code: Some(486) })
            }
            (SeatState::Ringing(since), script)
                if script != Seat::NoAnswer && now.saturating_since(*since) >= SEAT_RINGS =>
            {
                self.state = SeatState::Listening(now);
                seat(SeatNews::Answered { seat: name })
            }
            (SeatState::Listening(since), Seat::HangsUp) if now.saturating_since(*since) > SEAT_RINGS => {
                self.state = SeatState::Idle;
                seat(SeatNews::Gone)
            }
            (SeatState::Bridged(since), script) if *since == now - FRAME_TIME => {
                let digit = if script == Seat::Declines { '2' } else { '1' };
                vec![Input::Dtmf { leg: LegId::Seat, digit }]
            }
            (SeatState::Bridged(since), _) if now.saturating_since(*since) >= SEAT_STAYS => {
                self.state = SeatState::Idle;
                seat(SeatNews::Gone)
            }
            _ => Vec::new(),
        }
    }
}
