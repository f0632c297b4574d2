//! What a seat and the bot say to each other before the seat takes the call.

use std::time::Duration;

use super::Call;
use super::timers::Timer;
use crate::dialogue::{Brief, Facts};

/// What sounds this much like what the seat is being told is the echo of it.
const OWN_VOICE: f32 = 0.72;
/// A seat that asks gets so long to decide.
const GRACE: Duration = Duration::from_secs(20);

impl Call {
    /// A seat that hears the summary has said this.
    pub(super) fn seat_said(&mut self, words: &str) {
        let told = self.told_to_seat();
        if self.settings.lexicon.likeness(words, &told) >= OWN_VOICE {
            return;
        }
        let Some(brief) = self.facts().map(|facts| self.settings.mind.brief(&facts, words)) else { return };
        match brief {
            Brief::Nothing => {}
            Brief::Accept => self.seat_key('1'),
            Brief::Decline => self.seat_key('2'),
            Brief::Repeat => self.seat_key('3'),
            Brief::Say(clauses) => {
                self.timers.stop(Timer::SeatRepeat);
                self.timers.set(Timer::SeatAccept, self.now + GRACE);
                self.speak_to_seat(clauses);
            }
        }
    }

    /// What is known of the call, while a person is brought in.
    pub(super) fn facts(&self) -> Option<Facts<'_>> {
        let handoff = self.handoff.as_ref()?;
        Some(Facts {
            history: &self.history,
            used: &self.used,
            reason: Some(handoff.reason()),
            caller: self.caller_number.as_deref(),
        })
    }
}
