//! The questions that the core itself asks: whether a person is wanted, whether and where and when to call back.

use std::cmp::Ordering;
use std::time::Duration;

use super::Call;
use super::event::EventKind;
use super::io::Output;
use super::timers::Timer;
use super::turn::Then;
use crate::clock::Time;
use crate::dialogue::phrases::grouped;
use crate::dialogue::{Act, Expect, Reason, Who};

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
    /// Whether a message shall be taken.
    OfferMessage {
        misses: u8,
    },
    /// The message, of which this was said.
    Message {
        text: String,
        began: Time,
        /// It is over with the words that are being spoken.
        closing: bool,
    },
    /// How content the caller is.
    Rating,
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
            Self::Person | Self::Offer { .. } | Self::SameNumber { .. } | Self::OfferMessage { .. } => {
                Expect::YesNo
            }
            Self::Phone { .. } => Expect::Phone,
            Self::Message { .. } => Expect::Message,
            Self::Rating => Expect::Rating,
        }
    }
}

/// The store has this long to confirm a call-back.
const STORE_PATIENCE: Duration = Duration::from_secs(3);
/// Digits of a mobile number.
pub(super) const MOBILE_DIGITS: usize = 11;
/// Replies that were not understood before the question is given up.
const MISSES: u8 = 2;
/// Said for "as soon as someone is there".
const SOON: &str = "尽快";

impl Call {
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
            (Asking::Offer { .. }, Act::Yes | Act::When(_)) => self.accept_callback(),
            (Asking::Offer { .. } | Asking::Phone { .. }, Act::No) => self.offer_message(),
            (Asking::OfferMessage { .. }, Act::Yes) => self.begin_message(),
            (Asking::OfferMessage { .. }, Act::No) => self.say(&phrases.callback_declined, Then::Listen),
            (message @ Asking::Message { closing, .. }, act) => {
                self.asking = message;
                if let Act::Message(words) = &act {
                    self.take_message(words);
                }
                if closing || !matches!(act, Act::Message(_)) {
                    self.finish_message();
                }
            }
            (Asking::Rating, Act::Rated(score)) => {
                let said = self.history.iter().rev().find(|said| said.who == Who::Caller);
                let words = said.map(|said| said.text.clone()).unwrap_or_default();
                self.rated(score, words);
            }
            (Asking::Rating, Act::No) => self.say_goodbye(),
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
            // Whoever speaks its message, or was asked for a grade once, is not asked again.
            Asking::Nothing | Asking::Stored { .. } | Asking::Message { .. } | Asking::Rating => return,
            Asking::Person => phrases.offer_person.clone(),
            Asking::Time { .. } => phrases.ask_time.clone(),
            Asking::OfferMessage { .. } => phrases.message_offer.clone(),
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
        match self.asking {
            Asking::Person => return self.ask_again(),
            Asking::Rating => return self.say_goodbye(),
            _ => {}
        }
        if let Asking::Offer { misses }
        | Asking::OfferMessage { misses }
        | Asking::SameNumber { misses, .. }
        | Asking::Phone { misses, .. } = &mut self.asking
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

    /// Nobody will come; `opens` says when somebody will be there.
    pub(super) fn offer_callback(&mut self, opens: Option<&str>) {
        let phrases = self.settings.phrases.clone();
        self.asking = Asking::Offer { misses: 0 };
        match opens {
            Some(opens) => {
                let clauses = phrases.out_of_hours.iter().map(|clause| clause.replace("{opens}", opens));
                self.say(&clauses.collect::<Vec<_>>(), Then::Listen);
            }
            None => self.say(&phrases.callback_offer, Then::Listen),
        }
    }

    /// The caller wants to be called back: at which number?
    pub(super) fn accept_callback(&mut self) {
        let phrases = self.settings.phrases.clone();
        match self.caller_number.clone() {
            Some(number) => {
                self.say(&with_number(&phrases.callback_same_number, &number), Then::Listen);
                self.asking = Asking::SameNumber { number, misses: 0 };
            }
            None => self.ask_phone(),
        }
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
