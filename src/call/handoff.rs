//! Giving the call to a seat: queue, dial, consult, bridge. No path ends in silence.
//!
//! Until a seat accepts, the caller talks with the bot as before, or hears comfort audio: a place in the queue takes nothing away.
//! The queue says which seats are to be called; what comes of each is told to it, and it knows who is next.

use std::time::Duration;

use super::barge_in::Because;
use super::event::{EventKind, HandoffOutcome, TurnId};
use super::io::{Command, Output, SeatNews};
use super::timers::Timer;
use super::turn::{BotTurn, Then};
use super::{Call, Stage};
use crate::call::asking::Asking;
use crate::clock::Time;
use crate::dialogue::text::Lang;
use crate::dialogue::{Reason, Who};
use crate::media::Frame;
use crate::media::amd::{Answer, Detector};
use crate::seat::{About, Need, News, Place, Target, Urgency, Way, Wish};

/// A seat being brought in.
pub(super) struct Handoff {
    reason: Reason,
    phase: Phase,
    pub(super) place: Place,
    /// The caller was told that somebody is sought.
    pub(super) announced: bool,
    /// The place that was told last, and when.
    pub(super) told: Option<(Place, Time)>,
}

#[expect(clippy::large_enum_variant, reason = "one a handoff, boxed with it")]
enum Phase {
    /// Nobody is free.
    Queued,
    /// These seats ring.
    Ringing { attempt: u32, seats: Vec<String> },
    /// The caller's exchange is to call this seat instead of us: it is asked once what the bot is saying has been played out.
    Referring { attempt: u32, target: Target, asked: bool },
    /// The seat hears the summary, then is asked for a key now and then.
    Consulting { attempt: u32, seat: String, turn: BotTurn, answered: Detector },
    /// It pressed 1; the caller's last words are being played out.
    Accepted { attempt: u32, seat: String },
}

impl Handoff {
    pub(super) fn turn_mut(&mut self) -> Option<&mut BotTurn> {
        match &mut self.phase {
            Phase::Consulting { turn, .. } => Some(turn),
            _ => None,
        }
    }

    pub(super) fn reason(&self) -> Reason {
        self.reason
    }

    /// From now on nothing new is said to the caller.
    pub(super) fn is_accepted(&self) -> bool {
        matches!(self.phase, Phase::Accepted { .. } | Phase::Referring { .. })
    }

    /// The offer being tried.
    pub(super) fn attempt(&self) -> Option<u32> {
        match &self.phase {
            Phase::Queued => None,
            Phase::Ringing { attempt, .. }
            | Phase::Referring { attempt, .. }
            | Phase::Consulting { attempt, .. }
            | Phase::Accepted { attempt, .. } => Some(*attempt),
        }
    }

    /// The seats of it that may still come.
    fn seats(&self) -> Vec<String> {
        match &self.phase {
            Phase::Queued => Vec::new(),
            Phase::Ringing { seats, .. } => seats.clone(),
            Phase::Referring { target, .. } => vec![target.seat.clone()],
            Phase::Consulting { seat, .. } | Phase::Accepted { seat, .. } => vec![seat.clone()],
        }
    }
}

/// Pause before the seat is asked for a key again.
const KEYS_AGAIN: Duration = Duration::from_secs(4);
/// The queue has this long to say something.
const QUEUE_PATIENCE: Duration = Duration::from_secs(1);
/// Who answers for a seat and speaks for longer without a pause is a machine: a person hears that it is being spoken to.
const SEAT_GREETING: Duration = Duration::from_millis(4500);
/// Characters of what a seat is told, around what is being played, in which its echo is looked for.
const ECHO_AROUND: usize = 16;

impl Call {
    /// Begins to bring in a seat; the announcement follows the clauses of the present turn.
    pub(super) fn start_handoff(&mut self, reason: Reason) {
        if let Some(handoff) = &mut self.handoff {
            if urgency(reason) > urgency(handoff.reason) && handoff.attempt().is_none() {
                handoff.reason = reason;
                let need = self.need(reason);
                self.outputs.push_back(Output::Queue(Wish::Change(need)));
            }
            return self.tell_place();
        }
        self.event(EventKind::HandoffRequested { reason });
        // What is paused goes on and ends: it is about to be followed by the announcement.
        self.reject_barge_in("", Because::NoWords.into());
        self.drop_pending();
        self.keys.clear();
        self.keep_message();
        self.asking = Asking::Nothing;
        self.timers.stop(Timer::CallbackStore);
        let need = self.need(reason);
        let handoff =
            Handoff { reason, phase: Phase::Queued, place: Place::default(), announced: false, told: None };
        self.handoff = Some(Box::new(handoff));
        self.timers.set(Timer::Queue, self.now + QUEUE_PATIENCE);
        self.outputs.push_back(Output::Queue(Wish::Enter(need)));
        // Who it is decides how soon, and belongs to what the seat hears.
        if let Some(what) = self.facts().and_then(|facts| self.settings.mind.look_up(&facts)) {
            self.outputs.push_back(Output::UseTool { turn: TurnId::default(), what });
        }
    }

    /// Something was looked up: the caller may be worth more than was known.
    pub(super) fn revalue(&mut self) {
        let Some(handoff) = self.handoff.as_ref().filter(|handoff| matches!(handoff.phase, Phase::Queued))
        else {
            return;
        };
        let need = self.need(handoff.reason);
        if need.value > 0 {
            self.outputs.push_back(Output::Queue(Wish::Change(need)));
        }
    }

    /// True until the queue has told what comes of the wish for a person.
    pub(super) fn is_to_be_announced(&self) -> bool {
        self.handoff.as_ref().is_some_and(|handoff| !handoff.announced)
    }

    /// News of the queue.
    pub(super) fn queue(&mut self, news: News) {
        self.timers.stop(Timer::Queue);
        let Some(handoff) = &mut self.handoff else {
            if matches!(news, News::Offer { .. }) {
                self.outputs.push_back(Output::Queue(Wish::Leave));
            }
            return;
        };
        match news {
            News::Waiting(place) => {
                handoff.place = place;
                self.event(EventKind::Queued { ahead: place.ahead, expected: place.expected });
                self.announce_handoff();
            }
            News::Offer { attempt, seats } => {
                // An offer takes the place of an older one.
                if handoff.attempt().is_some() {
                    self.command(Command::HangUpSeat);
                }
                self.announce_handoff();
                self.dial(attempt, seats);
            }
            News::Nobody { why, opens } => {
                if handoff.attempt().is_some() {
                    self.command(Command::HangUpSeat);
                }
                self.end_handoff(why);
                self.offer_callback(opens.as_deref());
            }
        }
    }

    /// The queue has said nothing at all.
    pub(super) fn queue_timed_out(&mut self) {
        self.fault("queue", "it did not answer");
        self.queue(News::Nobody { why: HandoffOutcome::Unreachable, opens: None });
    }

    pub(super) fn seat(&mut self, attempt: u32, news: SeatNews) {
        let Some(handoff) = &mut self.handoff else {
            self.bridged_seat(attempt, &news);
            return;
        };
        if handoff.attempt() != Some(attempt) {
            return;
        }
        match (&handoff.phase, news) {
            (Phase::Ringing { seats, .. }, SeatNews::Answered { seat }) if seats.contains(&seat) => {
                let wish = Wish::Answered { attempt, seat: seat.clone() };
                self.outputs.push_back(Output::Queue(wish));
                self.consult(attempt, seat);
            }
            (_, SeatNews::Failed { seat, outcome, code }) => self.seat_failed(&seat, outcome, code),
            (Phase::Consulting { seat, .. } | Phase::Accepted { seat, .. }, SeatNews::Gone) => {
                let seat = seat.clone();
                self.seat_failed(&seat, HandoffOutcome::SeatGone, None);
            }
            _ => {}
        }
    }

    /// The seat of the bridge has left: the caller is the bot's again.
    fn bridged_seat(&mut self, attempt: u32, news: &SeatNews) {
        let over = matches!(news, SeatNews::Gone | SeatNews::Failed { .. });
        if !over || !matches!(self.stage, Stage::Bridged { attempt: bridged } if bridged == attempt) {
            return;
        }
        self.event(EventKind::HandoffEnded { outcome: HandoffOutcome::Accepted });
        self.outputs.push_back(Output::Queue(Wish::Leave));
        self.stage = Stage::Talking;
        let phrases = self.settings.phrases.clone();
        self.say(&phrases.seat_left, Then::Listen);
    }

    /// The caller's exchange has called the seat instead of us, or has taken our place in the bridge; or it has not.
    pub(super) fn referred(&mut self, asked: u32, result: Result<(), (HandoffOutcome, Option<u16>)>) {
        let phase = self.handoff.as_ref().map(|handoff| &handoff.phase);
        let referring = matches!(phase, Some(Phase::Referring { attempt, .. }) if *attempt == asked);
        let bridged = matches!(self.stage, Stage::Bridged { attempt } if attempt == asked);
        match result {
            Ok(()) if referring || bridged => {
                self.event(EventKind::Referred);
                self.ending.transferred = true;
                if referring {
                    self.end_handoff(HandoffOutcome::Accepted);
                    self.outputs.push_back(Output::Queue(Wish::Leave));
                }
                self.end(None);
            }
            Err((outcome, code)) if referring => {
                let seats = self.handoff.as_ref().map(|handoff| handoff.seats()).unwrap_or_default();
                for seat in seats {
                    self.seat_failed(&seat, outcome, code);
                }
            }
            // The bridge goes on.
            Err((outcome, code)) if bridged => self.fault("refer", format!("{outcome:?} {code:?}")),
            _ => {}
        }
    }

    pub(super) fn seat_key(&mut self, digit: char) {
        let Some(handoff) = &mut self.handoff else { return };
        let Phase::Consulting { attempt, seat, turn, .. } = &mut handoff.phase else { return };
        match digit {
            '1' => {
                turn.cancel();
                let (attempt, seat) = (*attempt, std::mem::take(seat));
                handoff.phase = Phase::Accepted { attempt, seat };
                self.stop_seat_timers();
                self.hand_over_after_this_clause();
            }
            '2' => {
                let seat = seat.clone();
                self.command(Command::HangUpSeat);
                self.seat_failed(&seat, HandoffOutcome::Declined, None);
            }
            '3' => self.tell_seat(),
            _ => {}
        }
    }

    /// What the seat says while it is told the summary. A machine that has answered for it would never press a key.
    pub(super) fn listen_to_seat(&mut self, frame: &Frame) {
        let Some(handoff) = &mut self.handoff else { return };
        let Phase::Consulting { seat, answered, .. } = &mut handoff.phase else { return };
        if matches!(answered.push(frame), Some(Answer::Machine | Answer::Tone)) {
            let seat = seat.clone();
            self.command(Command::HangUpSeat);
            self.seat_failed(&seat, HandoffOutcome::Voicemail, None);
        }
    }

    /// The seat has accepted: what the bot is saying ends with its clause, and nobody listens for another turn.
    fn hand_over_after_this_clause(&mut self) {
        self.hand_over_after_this_turn();
        match &mut self.speaking {
            Some(turn) if turn.began.is_some() => turn.end_after_clause(),
            Some(_) => self.cut_turn(),
            None => {}
        }
    }

    /// The caller is about to be given away: what the bot is saying is said to its end, and nobody listens for another turn.
    fn hand_over_after_this_turn(&mut self) {
        self.reject_barge_in("", Because::NoWords.into());
        self.drop_pending();
        self.drop_filler();
        self.listening.take();
        self.keys.clear();
    }

    /// Bridges once the caller's last words have been played out; asks the seat again when it has heard everything; tells the
    /// caller how long it will take.
    pub(super) fn advance_handoff(&mut self) {
        let caller_told = self.speaking.is_none();
        let tell_place = self.is_time_to_tell_place();
        let Some(handoff) = &mut self.handoff else { return };
        match &mut handoff.phase {
            Phase::Accepted { attempt, .. } if caller_told => {
                let attempt = *attempt;
                self.stage = Stage::Bridged { attempt };
                self.handoff = None;
                self.ending.transferred = true;
                self.event(EventKind::Bridged);
                if self.settings.join_directly {
                    self.command(Command::JoinDirectly { attempt });
                }
            }
            Phase::Referring { attempt, target, asked: asked @ false } if caller_told => {
                *asked = true;
                let (attempt, target, reason) = (*attempt, target.clone(), handoff.reason);
                self.timers.set(Timer::SeatRing, self.now + self.settings.seat_ring);
                self.event(EventKind::SeatDialled { seat: target.seat.clone() });
                let about = self.about(reason);
                self.command(Command::Refer { attempt, target, about });
            }
            Phase::Consulting { turn, .. } if turn.is_over() && !self.timers.is_set(Timer::SeatRepeat) => {
                self.timers.set(Timer::SeatRepeat, self.now + KEYS_AGAIN);
            }
            Phase::Queued if tell_place => self.tell_place(),
            _ => {}
        }
    }

    /// It rang too long, or it pressed no key.
    pub(super) fn seat_timed_out(&mut self) {
        let Some(seats) = self.handoff.as_ref().map(|handoff| handoff.seats()) else { return };
        self.command(Command::HangUpSeat);
        for seat in seats {
            self.seat_failed(&seat, HandoffOutcome::NoAnswer, None);
        }
    }

    /// Tells the seat the summary again.
    fn tell_seat(&mut self) {
        self.timers.stop(Timer::SeatRepeat);
        self.timers.set(Timer::SeatAccept, self.now + self.settings.seat_accept);
        let clauses = self.summary();
        self.speak_to_seat(clauses);
    }

    pub(super) fn repeat_seat_keys(&mut self) {
        let clauses = self.settings.phrases.seat_keys.clone();
        self.speak_to_seat(clauses);
    }

    /// The caller has hung up, or wants nobody any more: the seat is free at once.
    pub(super) fn release_seat(&mut self, outcome: HandoffOutcome) {
        if self.handoff.as_ref().is_some_and(|handoff| handoff.attempt().is_some()) {
            self.command(Command::HangUpSeat);
        }
        if self.handoff.is_some() {
            self.end_handoff(outcome);
            self.outputs.push_back(Output::Queue(Wish::Leave));
        } else if matches!(self.stage, Stage::Bridged { .. }) {
            self.event(EventKind::HandoffEnded { outcome: HandoffOutcome::Accepted });
            self.outputs.push_back(Output::Queue(Wish::Leave));
            self.command(Command::HangUpSeat);
        }
    }

    /// The caller would rather be called back than wait.
    pub(super) fn stop_waiting(&mut self) {
        if self.handoff.is_some() {
            self.release_seat(HandoffOutcome::Withdrawn);
            self.accept_callback();
        }
    }

    /// The next frame for the seat: the caller, or the summary.
    pub(super) fn frame_for_seat(&mut self, caller: &Frame) -> Frame {
        match (&self.stage, &mut self.handoff) {
            (Stage::Bridged { .. }, _) => *caller,
            (_, Some(handoff)) => {
                handoff.turn_mut().and_then(|turn| turn.playout.pull()).unwrap_or(Frame::SILENCE)
            }
            _ => Frame::SILENCE,
        }
    }

    /// What the caller needs, by what is known of it.
    fn need(&self, reason: Reason) -> Need {
        let skill = self.settings.skills.get(reason.name()).or_else(|| self.settings.skills.get(&self.topic));
        let language = self.language().code().to_owned();
        let value = self.facts().map_or(0, |facts| self.settings.mind.worth(&facts));
        Need { skill: skill.cloned(), language, urgency: urgency(reason), value }
    }

    /// What seats are told before they answer.
    fn about(&self, reason: Reason) -> About {
        About {
            reason,
            urgency: urgency(reason),
            caller: self.caller_number.clone(),
            language: self.language().code().to_owned(),
            topic: self.topic.clone(),
        }
    }

    /// What the caller spoke last.
    fn language(&self) -> Lang {
        let mut said = self.history.iter().rev().filter(|said| said.who == Who::Caller);
        said.find_map(|said| Lang::of(&said.text)).unwrap_or(Lang::Zh)
    }

    fn dial(&mut self, attempt: u32, targets: Vec<Target>) {
        let Some(handoff) = &mut self.handoff else { return };
        let reason = handoff.reason;
        if let [target] = &targets[..]
            && target.way == Way::Refer
        {
            handoff.phase = Phase::Referring { attempt, target: target.clone(), asked: false };
            return self.hand_over_after_this_turn();
        }
        let seats: Vec<String> = targets.iter().map(|target| target.seat.clone()).collect();
        handoff.phase = Phase::Ringing { attempt, seats: seats.clone() };
        self.timers.set(Timer::SeatRing, self.now + self.settings.seat_ring);
        for seat in seats {
            self.event(EventKind::SeatDialled { seat });
        }
        let about = self.about(reason);
        self.command(Command::DialSeat { attempt, targets, about });
    }

    fn consult(&mut self, attempt: u32, seat: String) {
        self.stop_seat_timers();
        self.timers.set(Timer::SeatAccept, self.now + self.settings.seat_accept);
        let clauses = self.summary();
        let summary = clauses.first().cloned().unwrap_or_default();
        let id = self.next_turn();
        let turn = BotTurn::saying(id, clauses, 0, Then::Listen);
        if let Some(handoff) = &mut self.handoff {
            handoff.phase = Phase::Consulting { attempt, seat, turn, answered: Detector::new(SEAT_GREETING) };
        }
        self.event(EventKind::Consulting { summary });
        self.synthesize();
    }

    /// A seat has answered and has not decided yet.
    pub(super) fn is_consulting(&self) -> bool {
        self.handoff.as_ref().is_some_and(|handoff| matches!(handoff.phase, Phase::Consulting { .. }))
    }

    /// What such a seat is being told.
    pub(super) fn told_to_seat(&self) -> String {
        match self.handoff.as_ref().map(|handoff| &handoff.phase) {
            Some(Phase::Consulting { turn, .. }) => turn.text_around(ECHO_AROUND),
            _ => String::new(),
        }
    }

    pub(super) fn speak_to_seat(&mut self, clauses: Vec<String>) {
        let id = self.next_turn();
        if let Some(turn) = self.handoff.as_mut().and_then(|handoff| handoff.turn_mut()) {
            turn.cancel();
            *turn = BotTurn::saying(id, clauses, 0, Then::Listen);
        }
        self.synthesize();
    }

    /// The summary, then the question for a key.
    fn summary(&self) -> Vec<String> {
        let Some(facts) = self.facts() else { return Vec::new() };
        let mut clauses = vec![self.settings.mind.summarize(&facts)];
        clauses.extend_from_slice(&self.settings.phrases.seat_keys);
        clauses
    }

    /// One seat of the offer will not come. The queue knows who is next.
    fn seat_failed(&mut self, seat: &str, outcome: HandoffOutcome, code: Option<u16>) {
        let Some(handoff) = &mut self.handoff else { return };
        let Some(attempt) = handoff.attempt() else { return };
        match &mut handoff.phase {
            Phase::Ringing { seats, .. } => {
                seats.retain(|other| other != seat);
                if !seats.is_empty() {
                    return self.report_seat(attempt, seat, outcome, code);
                }
            }
            Phase::Consulting { turn, .. } => turn.cancel(),
            _ => {}
        }
        handoff.phase = Phase::Queued;
        self.stop_seat_timers();
        self.report_seat(attempt, seat, outcome, code);
        self.timers.set(Timer::Queue, self.now + QUEUE_PATIENCE);
    }

    fn report_seat(&mut self, attempt: u32, seat: &str, outcome: HandoffOutcome, code: Option<u16>) {
        let seat = seat.to_owned();
        self.event(EventKind::SeatFailed { seat: seat.clone(), outcome, code });
        self.outputs.push_back(Output::Queue(Wish::Failed { attempt, seat, outcome }));
    }

    fn end_handoff(&mut self, outcome: HandoffOutcome) {
        if let Some(mut handoff) = self.handoff.take() {
            if let Some(turn) = handoff.turn_mut() {
                turn.cancel();
            }
            self.stop_seat_timers();
            self.timers.stop(Timer::Queue);
            self.event(EventKind::HandoffEnded { outcome });
        }
    }

    fn stop_seat_timers(&mut self) {
        for timer in [Timer::SeatRing, Timer::SeatAccept, Timer::SeatRepeat] {
            self.timers.stop(timer);
        }
    }
}

fn urgency(reason: Reason) -> Urgency {
    match reason {
        Reason::Safety => Urgency::Safety,
        Reason::Upset => Urgency::Upset,
        _ => Urgency::Normal,
    }
}
