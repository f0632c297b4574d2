//! One small table of timers a call: each has a reason, and "not set" is a value.

use crate::clock::Time;

/// Why a timer runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// The caller has said nothing since the bot fell silent.
    NoInput,
    /// The queue has not said anything.
    Queue,
    /// A dialled seat has not answered.
    SeatRing,
    /// A seat that answered has pressed no key.
    SeatAccept,
    /// The summary is repeated to a seat that has pressed no key.
    SeatRepeat,
    /// The store has not confirmed a call-back.
    CallbackStore,
    /// The turn being spoken has nothing to play: the mind or the voice has brought nothing.
    Stalled,
    /// Digits of a number were typed, and more may follow.
    Keys,
    /// The caller waits for a thought and hears nothing.
    Filler,
}

impl Timer {
    /// Every reason.
    pub const ALL: [Self; COUNT] = [
        Self::NoInput,
        Self::Queue,
        Self::SeatRing,
        Self::SeatAccept,
        Self::SeatRepeat,
        Self::CallbackStore,
        Self::Stalled,
        Self::Keys,
        Self::Filler,
    ];
}

const COUNT: usize = 9;

/// Deadlines by reason.
#[derive(Debug)]
pub struct Timers([Time; COUNT]);

impl Default for Timers {
    fn default() -> Self {
        Self([Time::NEVER; COUNT])
    }
}

impl Timers {
    /// Sets or moves a timer.
    pub fn set(&mut self, timer: Timer, at: Time) {
        self.0[timer as usize] = at;
    }

    /// Stops a timer.
    pub fn stop(&mut self, timer: Timer) {
        self.set(timer, Time::NEVER);
    }

    /// True while it runs.
    pub fn is_set(&self, timer: Timer) -> bool {
        self.0[timer as usize] != Time::NEVER
    }

    /// True once when its time has come; it is then stopped.
    pub fn take_expired(&mut self, timer: Timer, now: Time) -> bool {
        let due = self.0[timer as usize] <= now;
        if due {
            self.stop(timer);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_timer_fires_once_at_its_time() {
        let mut timers = Timers::default();
        let at = Time::from_start(Duration::from_secs(1));
        timers.set(Timer::NoInput, at);
        assert!(!timers.take_expired(Timer::NoInput, at - Duration::from_millis(1)));
        assert!(timers.take_expired(Timer::NoInput, at));
        assert!(!timers.take_expired(Timer::NoInput, at + Duration::from_secs(9)), "it fired twice");
    }

    #[test]
    fn a_timer_that_is_not_set_never_fires() {
        let mut timers = Timers::default();
        assert!(!timers.take_expired(Timer::SeatRing, Time::from_start(Duration::from_secs(1 << 40))));
    }
}
