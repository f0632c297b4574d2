//! Human seats: who they are, who is free, which caller gets which of them, and when.
//!
//! [`queue::Queue`] decides; it is sans-IO, like the core of a call. [`floor::Floor`] runs one queue for all calls of a server on
//! the machine's clock. A call says what it wants by a [`Wish`] and is told what comes of it by [`News`].

pub mod floor;
pub mod queue;
#[cfg(test)]
mod queue_tests;
pub mod shift;

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::call::event::HandoffOutcome;
use crate::dialogue::Reason;

/// A human agent who can be called.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// Its name in records, metrics and on screens; unique.
    pub id: String,
    /// Where it is called: a SIP URI; empty if it answers in a browser.
    pub uri: String,
    /// How it is reached.
    pub way: Way,
    /// What it can take; everything if empty.
    pub skills: BTreeSet<String>,
    /// ISO 639-1 codes of what it speaks; everything if empty.
    pub languages: BTreeSet<String>,
    /// The schedule of the tenant's calendar by which it is on duty; always if none.
    pub schedule: Option<String>,
}

/// How a seat is reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// It is called at its address.
    #[default]
    Called,
    /// It is called where it has registered with us, so only as long as it is.
    Registers,
    /// It answers in a page of ours, so only as long as that is open.
    Browser,
    /// It is not called: the caller's own exchange is asked to call it instead of us (REFER), without a summary and for good.
    Refer,
}

impl Way {
    /// True if it can be called only once it has come to us.
    pub fn comes(self) -> bool {
        matches!(self, Self::Registers | Self::Browser)
    }
}

impl Profile {
    /// A seat for everything, always on duty.
    pub fn plain(uri: &str) -> Self {
        Self { id: uri.to_owned(), uri: uri.to_owned(), ..Self::default() }
    }

    /// True if it speaks the caller's language and, unless `any` skill will do, can take the matter.
    pub fn suits(&self, need: &Need, any: bool) -> bool {
        let speaks = self.languages.is_empty() || self.languages.contains(&need.language);
        let can = |skill: &String| self.skills.is_empty() || self.skills.contains(skill);
        speaks && (any || need.skill.as_ref().is_none_or(can))
    }
}

/// How soon a caller has to be served: the first thing by which callers are ordered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Urgency {
    /// In turn.
    #[default]
    Normal,
    /// Upset: before those who are not.
    Upset,
    /// Somebody is in danger: before all others.
    Safety,
}

/// What a caller needs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Need {
    /// The skill that the matter takes, if a special one.
    pub skill: Option<String>,
    /// ISO 639-1 code.
    pub language: String,
    /// How soon.
    pub urgency: Urgency,
    /// The customer's worth to the house, the higher the sooner; decides between callers of one urgency.
    pub value: u8,
}

/// Where to call a seat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The seat.
    pub seat: String,
    /// SIP URI; empty if it answers in a browser.
    pub uri: String,
    /// How it is reached.
    pub way: Way,
}

/// What a seat is told of a call before it is answered: by headers, which its telephone, the exchange or its desk may show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// Why a person is wanted.
    pub reason: Reason,
    /// How soon.
    pub urgency: Urgency,
    /// The caller's number, digits.
    pub caller: Option<String>,
    /// ISO 639-1 code of what the caller speaks.
    pub language: String,
    /// What the talk was about last; empty if nothing.
    pub topic: String,
}

/// What a call tells the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// A person is wanted.
    Enter(Need),
    /// More is known of what the caller needs: it keeps its place among those who need as much.
    Change(Need),
    /// No longer: the caller has gone or changed its mind, or the bridge is over. Frees what the call holds.
    Leave,
    /// This seat of the offer answered: the others of it are free again.
    Answered {
        /// The offer.
        attempt: u32,
        /// The seat.
        seat: String,
    },
    /// This seat of the offer did not come to be joined; the last one's failure puts the caller back to its place.
    Failed {
        /// The offer.
        attempt: u32,
        /// The seat.
        seat: String,
        /// Why not.
        outcome: HandoffOutcome,
    },
}

/// What the queue tells a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// Nobody is free yet.
    Waiting(Place),
    /// Call these; the first that answers has the caller.
    Offer {
        /// Comes back with what came of it.
        attempt: u32,
        /// At least one.
        seats: Vec<Target>,
    },
    /// Nobody will come. The call is no longer in the queue.
    Nobody {
        /// Why.
        why: HandoffOutcome,
        /// When somebody will be there, in words for the ear, if that is known.
        opens: Option<String>,
    },
}

/// A caller's place in the queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Callers who come before.
    pub ahead: u32,
    /// How long it will take, by what the last conversations took; [`None`] if nothing is known to go by.
    pub expected: Option<Duration>,
}

/// Where calls send their wishes.
pub trait Seats: Send + Sync {
    /// Takes a wish; never blocks. `tell` is called with all news that follow from [`Wish::Enter`] until the call leaves or is
    /// told that nobody will come.
    fn wish(&self, call: &str, wish: Wish, tell: Tell);
}

/// Takes the queue's news to a call.
pub type Tell = Box<dyn Fn(News) + Send>;
