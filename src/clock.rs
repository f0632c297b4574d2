//! The only place that reads time.
//!
//! Everything below the driver takes a [`Time`] from outside, so that a call runs the same live, simulated and replayed.

use std::ops::{Add, Sub};
use std::time::{Duration, Instant, SystemTime};

/// A moment on a call's own clock: the time since the clock's start. Live it follows the machine's monotonic clock; in
/// replay and simulation it is moved by hand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(Duration);

impl Time {
    /// The clock's start.
    pub const ZERO: Self = Self(Duration::ZERO);
    /// Later than every other moment: the deadline of a timer that is not set.
    pub const NEVER: Self = Self(Duration::MAX);

    /// The moment `since` after the clock's start.
    pub const fn from_start(since: Duration) -> Self {
        Self(since)
    }

    /// How long after the clock's start this is.
    pub const fn since_start(self) -> Duration {
        self.0
    }

    /// Time passed since `earlier`; zero if `earlier` is later.
    pub fn saturating_since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Time {
    type Output = Self;
    fn add(self, rhs: Duration) -> Self {
        Self(self.0.saturating_add(rhs))
    }
}

impl Sub<Duration> for Time {
    type Output = Self;
    fn sub(self, rhs: Duration) -> Self {
        Self(self.0.saturating_sub(rhs))
    }
}

/// A clock that follows the machine's.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock whose zero is now.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads time")]
    pub fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// The present moment on this clock.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads time")]
    pub fn now(&self) -> Time {
        Time(Instant::now().saturating_duration_since(self.start))
    }

    /// The machine's instant of `time`, for a timer of the async runtime; a day ahead for [`Time::NEVER`].
    pub fn instant(&self, time: Time) -> Instant {
        self.start + time.0.min(self.now().0 + Duration::from_secs(86_400))
    }
}

/// The zone that the hotline's callers live in: China has one, without summer time.
pub fn zone() -> jiff::tz::TimeZone {
    jiff::tz::TimeZone::fixed(jiff::tz::offset(8))
}

/// The wall clock, for records that people read. Never used to order events within a call.
#[expect(clippy::disallowed_methods, reason = "the one place that reads time")]
pub fn wall() -> SystemTime {
    SystemTime::now()
}
