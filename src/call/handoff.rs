//! Giving the call to a seat: dial, consult, bridge; and the call-back when no seat can be had. No path ends in silence.
//! Here are also the questions that the core itself asks.

use std::cmp::Ordering;
use std::time::Duration;

use super::barge_in::Because;
use super::event::{EventKind, HandoffOutcome};
use super::io::{Output, SeatNews};
use super::timers::Timer;
use super::turn::{BotTurn, Then};
use super::{Call, Stage};
use crate::dialogue::phrases::grouped;
use crate::dialogue::{Act, Expect, Reason};
use crate::media::Frame;

/// A seat being brought in.
pub(super) struct Handoff {
    reason: Reason,
    /// Index of the seat being tried.
    seat: usize,
    attempt: u32,
    phase: Phase,
}

#[expect(clippy::large_enum_variant, reason = "one a handoff, boxed with it")]
enum Phase {
    Dialling,
    /// The seat hears the summary, then is asked for a key now and then.
    Consulting(BotTurn),
    /// It pressed 1; the caller's last words are being played out.
    Accepted,
}

impl Handoff {
    pub(super) fn turn_mut(&mut self) -> Option<&mut BotTurn> {
        match &mut self.phase {
            Phase::Consulting(turn) => Some(turn),
            _ => None,
        }
    }
}

/// What the core has asked the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asking {
    Nothing,
    /// Whether a silent caller wants a person.
    Person,
    /// Whether a call-back is wanted.
    Offer {
        misses: u8,
    },
    /// Whether the number that is calling shall be called.
    SameNumber {
        number: String,
        misses: u8,
    },
    /// The number, of which these digits were spoken, or else these typed: they never make one number together.
    Phone {
        digits: String,
        typed: String,
        misses: u8,
    },
    /// When to call that number.
    Time {
        number: String,
    },
    /// Nothing: the store is being waited for.
    Stored {
        number: String,
        when: String,
    },
}

impl Asking {
    pub(super) fn expect(&self) -> Expect {
        match self {
            Self::Nothing | Self::Stored { .. } => Expect::Open,
            Self::Time { .. } => Expect::Time,
            Self::Person | Self::Offer { .. } | Self::SameNumber { .. } => Expect::YesNo,
            Self::Phone { .. } => Expect::Phone,
        }
    }
}

/// Pause before the seat is asked for a key again.
const KEYS_AGAIN: Duration = Duration::from_secs(4);
/// The store has this long to confirm a call-back.
const STORE_PATIENCE: Duration = Duration::from_secs(3);
/// Digits of a mobile number.
pub(super) const MOBILE_DIGITS: usize = 11;
/// Replies that were not understood before the question is given up.
const MISSES: u8 = 2;
/// Said for "as soon as someone is there".
const SOON: &str = "尽快";

impl Call {
    /// Begins to bring in a seat; the announcement follows the clauses of the present turn.
    pub(super) fn start_handoff(&mut self, reason: Reason) {
        self.event(EventKind::HandoffRequested { reason });
        // Nobody listens from here on, so nobody would judge an interruption: what is paused goes on, and ends.
        self.reject_barge_in("", Because::NoWords.into());
        self.drop_pending();
        self.listening.take();
        self.keys.clear();
        self.asking = Asking::Nothing;
        self.timers.stop(Timer::CallbackStore);
        let phrases = self.settings.phrases.clone();
        if self.settings.seats.is_empty() {
            self.event(EventKind::HandoffEnded { outcome: HandoffOutcome::NoSeat });
            self.offer_callback();
            return;
        }
        self.say(&phrases.handing_over, Then::Listen);
        self.dial(reason, 0);
    }

    pub(super) fn seat(&mut self, attempt: u32, news: SeatNews) {
        match (&mut self.stage, news) {
            (Stage::Handoff(handoff), _) if handoff.attempt != attempt => {}
            (Stage::Handoff(handoff), SeatNews::Answered) => {
                if matches!(handoff.phase, Phase::Dialling) {
                    let reason = handoff.reason;
                    self.consult(reason);
                }
            }
            (Stage::Handoff(_), SeatNews::Failed(outcome)) => self.next_seat(outcome),
            (Stage::Handoff(_), SeatNews::Gone) => self.next_seat(HandoffOutcome::SeatGone),
            (Stage::Bridged, SeatNews::Gone | SeatNews::Failed(_)) if attempt == self.attempts => {
                self.event(EventKind::HandoffEnded { outcome: HandoffOutcome::Accepted });
                self.stage = Stage::Talking;
                let phrases = self.settings.phrases.clone();
                self.say(&phrases.seat_left, Then::Listen);
            }
            _ => {}
        }
    }

    pub(super) fn seat_key(&mut self, digit: char) {
        let Stage::Handoff(handoff) = &mut self.stage else { return };
        match (digit, &handoff.phase) {
            ('1', Phase::Consulting(turn)) => {
                turn.cancel();
                handoff.phase = Phase::Accepted;
                self.timers.stop(Timer::SeatAccept);
                self.timers.stop(Timer::SeatRepeat);
            }
            ('2', Phase::Consulting(_)) => {
                self.outputs.push_back(Output::HangUpSeat);
                self.next_seat(HandoffOutcome::Declined);
            }
            _ => {}
        }
    }

    /// True while the last question is the core's own.
    pub(super) fn is_asking(&self) -> bool {
        self.asking != Asking::Nothing
    }

    /// Takes the reply to what the core has asked.
    pub(super) fn reply(&mut self, act: Act) {
        let phrases = self.settings.phrases.clone();
        match (std::mem::replace(&mut self.asking, Asking::Nothing), act) {
            (Asking::Nothing, _) => {}
            // Nothing is asked while the store is waited for.
            (stored @ Asking::Stored { .. }, _) => self.asking = stored,
            (Asking::Person, Act::Yes) => self.start_handoff(Reason::Requested),
            (Asking::Person, Act::No) => self.say(&phrases.goodbye, Then::HangUp),
            (_, Act::Phone(number)) | (Asking::SameNumber { number, .. }, Act::Yes) => self.ask_time(number),
            (Asking::Time { number }, Act::When(when)) => self.book(number, when),
            (Asking::Time { number }, _) => self.book(number, SOON.into()),
            (Asking::Offer { .. }, Act::Yes | Act::When(_)) => match self.caller_number.clone() {
                Some(number) => {
                    self.say(&with_number(&phrases.callback_same_number, &number), Then::Listen);
                    self.asking = Asking::SameNumber { number, misses: 0 };
                }
                None => self.ask_phone(),
            },
            (Asking::Offer { .. } | Asking::Phone { .. }, Act::No) => {
                self.say(&phrases.callback_declined, Then::Listen);
            }
            (Asking::SameNumber { .. }, Act::No) => self.ask_phone(),
            (Asking::Phone { digits, typed, misses }, Act::PhonePart(part)) => {
                self.asking = Asking::Phone { digits, typed, misses };
                self.phone_part(&part);
            }
            (Asking::Offer { .. } | Asking::SameNumber { .. }, Act::PhonePart(part)) => {
                self.asking = Asking::Phone { digits: String::new(), typed: String::new(), misses: 0 };
                self.phone_part(&part);
            }
            (asking, _) => {
                self.asking = asking;
                self.misunderstood_reply();
            }
        }
    }

    /// Asks again what is still open.
    pub(super) fn ask_again(&mut self) {
        let phrases = self.settings.phrases.clone();
        let question = match &self.asking {
            Asking::Nothing | Asking::Stored { .. } => return,
            Asking::Person => phrases.offer_person.clone(),
            Asking::Time { .. } => phrases.ask_time.clone(),
            Asking::Offer { .. } => phrases.callback_offer.clone(),
            Asking::SameNumber { number, .. } => with_number(&phrases.callback_same_number, number),
            Asking::Phone { typed, .. } if !typed.is_empty() => phrases.ask_keys_rest.clone(),
            Asking::Phone { digits, .. } if digits.is_empty() => phrases.ask_phone.clone(),
            Asking::Phone { digits, .. } => with_number(&phrases.ask_phone_rest, digits),
        };
        self.say(&question, Then::Listen);
    }

    /// The reply fits no expectation: ask again, and after a while let it be.
    pub(super) fn misunderstood_reply(&mut self) {
        if let Asking::Time { number } = &self.asking {
            let number = number.clone();
            self.book(number, SOON.into());
            return;
        }
        if self.asking == Asking::Person {
            self.ask_again();
            return;
        }
        if let Asking::Offer { misses } | Asking::SameNumber { misses, .. } | Asking::Phone { misses, .. } =
            &mut self.asking
        {
            *misses += 1;
            if *misses > MISSES {
                self.asking = Asking::Nothing;
                let phrases = self.settings.phrases.clone();
                self.say(&phrases.callback_declined, Then::Listen);
            } else {
                self.ask_again();
            }
        }
    }

    pub(super) fn callback_stored(&mut self, result: Result<(), String>) {
        self.timers.stop(Timer::CallbackStore);
        let phrases = self.settings.phrases.clone();
        let Asking::Stored { number, when } = std::mem::replace(&mut self.asking, Asking::Nothing) else {
            return;
        };
        match result {
            Ok(()) => {
                self.ending.booked = true;
                let words = with_number(&phrases.callback_booked, &number);
                let words: Vec<_> = words.iter().map(|clause| clause.replace("{when}", &when)).collect();
                self.event(EventKind::CallbackBooked { number, when });
                self.say(&words, Then::Listen);
            }
            Err(error) => {
                self.fault("store", error);
                self.say(&phrases.callback_failed, Then::Listen);
            }
        }
    }

    /// Bridges once the caller's last words have been played out; asks the seat again when it has heard everything.
    pub(super) fn advance_handoff(&mut self) {
        let caller_told = self.speaking.is_none();
        let Stage::Handoff(handoff) = &self.stage else { return };
        match &handoff.phase {
            Phase::Accepted if caller_told => {
                self.stage = Stage::Bridged;
                self.ending.transferred = true;
                self.event(EventKind::Bridged);
            }
            Phase::Consulting(turn) if turn.is_over() && !self.timers.is_set(Timer::SeatRepeat) => {
                self.timers.set(Timer::SeatRepeat, self.now + KEYS_AGAIN);
            }
            _ => {}
        }
    }

    pub(super) fn repeat_seat_keys(&mut self) {
        let clauses = self.settings.phrases.seat_keys.clone();
        let id = self.next_turn();
        if let Stage::Handoff(handoff) = &mut self.stage
            && let Phase::Consulting(turn) = &mut handoff.phase
        {
            *turn = BotTurn::saying(id, clauses, 0, Then::Listen);
        }
        self.synthesize();
    }

    /// It rang too long, or it pressed no key.
    pub(super) fn seat_timed_out(&mut self) {
        self.outputs.push_back(Output::HangUpSeat);
        self.next_seat(HandoffOutcome::NoAnswer);
    }

    /// The caller has hung up: the seat is free at once.
    pub(super) fn release_seat_for_gone_caller(&mut self) {
        let outcome = match self.stage {
            Stage::Handoff(_) => HandoffOutcome::CallerGone,
            Stage::Bridged => HandoffOutcome::Accepted,
            _ => return,
        };
        self.event(EventKind::HandoffEnded { outcome });
    }

    /// The next frame for the seat: the caller, or the summary.
    pub(super) fn frame_for_seat(&mut self, caller: &Frame) -> Frame {
        match &mut self.stage {
            Stage::Bridged => *caller,
            Stage::Handoff(handoff) => {
                handoff.turn_mut().and_then(|turn| turn.playout.pull()).unwrap_or(Frame::SILENCE)
            }
            _ => Frame::SILENCE,
        }
    }

    fn dial(&mut self, reason: Reason, seat: usize) {
        self.attempts += 1;
        let attempt = self.attempts;
        let target = self.settings.seats[seat].clone();
        self.stage = Stage::Handoff(Box::new(Handoff { reason, seat, attempt, phase: Phase::Dialling }));
        self.timers.set(Timer::SeatRing, self.now + self.settings.seat_ring);
        self.event(EventKind::SeatDialled { seat: target.clone() });
        self.outputs.push_back(Output::DialSeat { attempt, target });
    }

    fn consult(&mut self, reason: Reason) {
        self.timers.stop(Timer::SeatRing);
        self.timers.set(Timer::SeatAccept, self.now + self.settings.seat_accept);
        let summary = self.settings.mind.summarize(&self.history, reason, self.caller_number.as_deref());
        let mut clauses = vec![summary.clone()];
        clauses.extend_from_slice(&self.settings.phrases.seat_keys);
        let id = self.next_turn();
        if let Stage::Handoff(handoff) = &mut self.stage {
            handoff.phase = Phase::Consulting(BotTurn::saying(id, clauses, 0, Then::Listen));
        }
        self.event(EventKind::Consulting { summary });
        self.synthesize();
    }

    fn next_seat(&mut self, outcome: HandoffOutcome) {
        for timer in [Timer::SeatRing, Timer::SeatAccept, Timer::SeatRepeat] {
            self.timers.stop(timer);
        }
        let Stage::Handoff(handoff) = &mut self.stage else { return };
        if let Some(turn) = handoff.turn_mut() {
            turn.cancel();
        }
        let (reason, seat) = (handoff.reason, handoff.seat + 1);
        self.event(EventKind::HandoffEnded { outcome });
        if seat < self.settings.seats.len() {
            self.dial(reason, seat);
        } else {
            self.stage = Stage::Talking;
            self.offer_callback();
        }
    }

    fn offer_callback(&mut self) {
        let phrases = self.settings.phrases.clone();
        self.asking = Asking::Offer { misses: 0 };
        self.say(&phrases.callback_offer, Then::Listen);
    }

    fn ask_phone(&mut self) {
        self.asking = Asking::Phone { digits: String::new(), typed: String::new(), misses: 0 };
        self.ask_again();
    }

    /// The spoken digits of the number so far.
    fn phone_part(&mut self, part: &str) {
        let Asking::Phone { digits, typed, .. } = &mut self.asking else { return };
        typed.clear();
        part.clone_into(digits);
        let number = digits.clone();
        match number.len().cmp(&MOBILE_DIGITS) {
            Ordering::Equal => self.ask_time(number),
            Ordering::Greater => {
                digits.clear();
                self.misunderstood_reply();
            }
            Ordering::Less => self.ask_again(),
        }
    }

    pub(super) fn ask_time(&mut self, number: String) {
        self.asking = Asking::Time { number };
        self.ask_again();
    }

    fn book(&mut self, number: String, when: String) {
        self.timers.set(Timer::CallbackStore, self.now + STORE_PATIENCE);
        self.outputs.push_back(Output::BookCallback { number: number.clone(), when: when.clone() });
        self.asking = Asking::Stored { number, when };
    }

    /// A caller who leaves when only the time was still open is called back all the same.
    pub(super) fn book_for_gone_caller(&mut self) {
        if let Asking::Time { number } = std::mem::replace(&mut self.asking, Asking::Nothing) {
            self.outputs.push_back(Output::BookCallback { number: number.clone(), when: SOON.into() });
            self.event(EventKind::CallbackBooked { number, when: SOON.into() });
            self.ending.booked = true;
        }
    }
}

fn with_number(clauses: &[String], number: &str) -> Vec<String> {
    let number = grouped(number);
    clauses.iter().map(|clause| clause.replace("{number}", &number)).collect()
}
