//! The keys of the caller.
//!
//! A key acts at once and cuts the bot short, but for two things that it waits for: the end of what may not be interrupted, and
//! the store's word on a call-back. While a number is asked for, digits gather: a whole number needs no more, `#` ends one of
//! fewer digits, `*` clears it, and after [`PATIENCE`] without a key the rest is asked for. Otherwise `0` asks for a person,
//! `1` and `2` answer a yes/no question, and `*` asks for a call-back while a person is waited for.

use std::time::Duration;

use super::asking::{Asking, MOBILE_DIGITS};
use super::barge_in::Because;
use super::event::EventKind;
use super::timers::Timer;
use super::turn::BotTurn;
use super::{Call, Stage};
use crate::dialogue::{Act, Reason};
use crate::media::FRAME_TIME;

/// A number without `#` is waited for this long after a digit.
const PATIENCE: Duration = Duration::from_secs(5);
/// A key within this time after the last of a number belongs to it.
const STRAY: Duration = Duration::from_millis(1500);
/// Digits of the shortest number that a caller may end with `#`.
const SHORTEST_NUMBER: usize = 7;
/// Digits of the longest number: a land line with its area code.
const LONGEST_NUMBER: usize = 12;

impl Call {
    pub(super) fn caller_key(&mut self, digit: char) {
        self.ending.spoke = true;
        self.prompts = 0;
        self.timers.stop(Timer::NoInput);
        self.keys.push_back(digit);
        self.take_keys();
    }

    /// Does what the keys say, as far as they need not wait.
    pub(super) fn take_keys(&mut self) {
        while !self.keys_wait()
            && let Some(key) = self.keys.pop_front()
        {
            self.take_key(key);
        }
    }

    fn keys_wait(&self) -> bool {
        !matches!(self.stage, Stage::Talking)
            || self.is_being_joined()
            || matches!(self.asking, Asking::Stored { .. })
            || self.speaking.as_ref().is_some_and(BotTurn::is_protected)
    }

    fn take_key(&mut self, key: char) {
        if self.barging_in {
            self.yield_to_key();
        }
        match (&mut self.asking, key) {
            (Asking::Phone { typed, .. }, '*') => {
                typed.clear();
                self.timers.stop(Timer::Keys);
                self.yield_to_key();
            }
            (Asking::Phone { digits, typed, .. }, '#') => {
                let number = if typed.is_empty() { digits.clone() } else { std::mem::take(typed) };
                if !number.is_empty() {
                    self.yield_to_key();
                    if number.len() >= SHORTEST_NUMBER {
                        self.ask_time(number);
                    } else {
                        self.misunderstood_reply();
                    }
                }
            }
            (Asking::Phone { digits, typed, .. }, '0'..='9') => {
                digits.clear();
                typed.push(key);
                let whole =
                    typed.len() == MOBILE_DIGITS && typed.starts_with('1') || typed.len() >= LONGEST_NUMBER;
                let number = whole.then(|| typed.clone());
                self.yield_to_key();
                match number {
                    Some(number) => {
                        self.number_typed = Some(self.now);
                        self.ask_time(number);
                    }
                    None => self.timers.set(Timer::Keys, self.now + PATIENCE),
                }
            }
            (Asking::Rating, '1'..='5') => {
                self.yield_to_key();
                self.rated(key as u8 - b'0', String::new());
            }
            (Asking::Message { .. }, '#') => self.close_message(),
            (
                Asking::Person
                | Asking::Offer { .. }
                | Asking::OfferMessage { .. }
                | Asking::SameNumber { .. },
                '1' | '2',
            ) => {
                self.yield_to_key();
                self.reply(if key == '1' { Act::Yes } else { Act::No });
            }
            (Asking::Phone { .. }, _) => {}
            // More keys of the number that is whole already.
            (_, '0'..='9') if self.number_typed.is_some_and(|at| self.now.saturating_since(at) < STRAY) => {}
            (_, '*') if self.handoff.is_some() => {
                self.yield_to_key();
                self.stop_waiting();
            }
            (_, '0') => {
                self.yield_to_key();
                self.start_handoff(Reason::KeyZero);
            }
            _ => {}
        }
    }

    /// No key for a while: a land line is whole without `#`, for anything else the rest is asked for.
    pub(super) fn keys_ended(&mut self) {
        if self.listening.utterance().is_some() {
            // The caller speaks instead: nothing is asked over that.
            self.timers.set(Timer::Keys, self.now + FRAME_TIME);
            return;
        }
        let Asking::Phone { typed, .. } = &self.asking else { return };
        if typed.starts_with('0') && typed.len() >= MOBILE_DIGITS - 1 {
            let number = typed.clone();
            self.ask_time(number);
        } else if !typed.is_empty() {
            self.ask_again();
        }
    }

    /// Digits gather: true while there are some.
    pub(super) fn is_typing(&self) -> bool {
        matches!(&self.asking, Asking::Phone { typed, .. } if !typed.is_empty())
    }

    /// A key was pressed on purpose: whatever the bot says is cut short, and what the caller was saying is not taken.
    pub(super) fn yield_to_key(&mut self) {
        if std::mem::take(&mut self.barging_in)
            && let Some(turn) = self.speaking.as_ref().map(|turn| turn.id)
        {
            self.event(EventKind::BargeInConfirmed { turn, why: Because::Key.into() });
        }
        self.cut_turn();
        self.drop_pending();
        self.listening.take();
    }
}
