//! A circuit breaker: after so many failures in a row the server is left alone for a while, then one job probes it.
//!
//! Sans-IO: time comes from the caller.

use std::time::Duration;

use crate::clock::Time;

/// What may be done with a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// The server gets it.
    Granted,
    /// The server gets a copy of it, to see whether it answers again; nobody should wait for that.
    Probe,
    /// The server is left alone.
    Refused,
}

/// A change that an operator should know of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// The server is left alone from now on.
    Opened,
    /// The server is used again.
    Closed,
}

/// The breaker. Closed at first.
#[derive(Debug)]
pub(super) struct Breaker {
    limit: u32,
    cool_down: Duration,
    patience: Duration,
    state: State,
}

#[derive(Debug)]
enum State {
    Closed {
        failures: u32,
    },
    Open {
        until: Time,
    },
    /// One probe is under way. Should it get lost, another may go at `until`.
    Probing {
        until: Time,
    },
}

impl Breaker {
    /// Opens after `limit` failures in a row, for `cool_down`. A probe that says nothing for `patience` is given up.
    pub fn new(limit: u32, cool_down: Duration, patience: Duration) -> Self {
        Self { limit, cool_down, patience, state: State::Closed { failures: 0 } }
    }

    /// Whether a job may go to the server. Only those that `may_probe` are taken for a probe.
    pub fn admit(&mut self, now: Time, may_probe: bool) -> Admission {
        match self.state {
            State::Closed { .. } => Admission::Granted,
            State::Open { until } | State::Probing { until } if may_probe && now >= until => {
                self.state = State::Probing { until: now + self.patience };
                Admission::Probe
            }
            State::Open { .. } | State::Probing { .. } => Admission::Refused,
        }
    }

    /// A job that was admitted as `admission` succeeded. What was granted before the breaker opened does not close it.
    pub fn succeeded(&mut self, admission: Admission) -> Option<Change> {
        match (&mut self.state, admission) {
            (State::Closed { failures }, _) => {
                *failures = 0;
                None
            }
            (State::Probing { .. }, Admission::Probe) => {
                self.state = State::Closed { failures: 0 };
                Some(Change::Closed)
            }
            _ => None,
        }
    }

    /// A job that was admitted as `admission` failed.
    pub fn failed(&mut self, admission: Admission, now: Time) -> Option<Change> {
        match (&mut self.state, admission) {
            (State::Closed { failures }, Admission::Granted) => {
                *failures += 1;
                if *failures < self.limit {
                    return None;
                }
                self.state = State::Open { until: now + self.cool_down };
                Some(Change::Opened)
            }
            (State::Probing { .. }, Admission::Probe) => {
                self.state = State::Open { until: now + self.cool_down };
                None
            }
            _ => None,
        }
    }

    /// Whether the server is used.
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::Admission::{Granted, Probe, Refused};
    use super::*;

    fn at(seconds: u64) -> Time {
        Time::from_start(Duration::from_secs(seconds))
    }

    fn breaker() -> Breaker {
        Breaker::new(3, Duration::from_secs(30), Duration::from_secs(5))
    }

    fn opened() -> Breaker {
        let mut breaker = breaker();
        assert_eq!(breaker.failed(Granted, at(0)), None);
        assert_eq!(breaker.failed(Granted, at(0)), None);
        assert_eq!(breaker.failed(Granted, at(0)), Some(Change::Opened));
        breaker
    }

    #[test]
    fn failures_that_are_not_in_a_row_do_not_open_it() {
        let mut breaker = breaker();
        for second in 0..20 {
            assert_eq!(breaker.failed(Granted, at(second)), None);
            assert_eq!(breaker.failed(Granted, at(second)), None);
            assert_eq!(breaker.succeeded(Granted), None);
            assert_eq!(breaker.admit(at(second), true), Granted);
        }
    }

    #[test]
    fn an_open_one_refuses_until_the_cool_down_is_over_and_then_sends_one_probe() {
        let mut breaker = opened();
        assert_eq!(breaker.admit(at(29), true), Refused);
        assert_eq!(breaker.admit(at(30), false), Refused, "a partial is no probe");
        assert_eq!(breaker.admit(at(30), true), Probe);
        assert_eq!(breaker.admit(at(30), true), Refused, "one probe at a time");
        assert_eq!(breaker.succeeded(Probe), Some(Change::Closed));
        assert_eq!(breaker.admit(at(31), true), Granted);
    }

    #[test]
    fn a_failed_probe_keeps_it_open_without_news() {
        let mut breaker = opened();
        assert_eq!(breaker.admit(at(40), true), Probe);
        assert_eq!(breaker.failed(Probe, at(42)), None, "the operator knows already");
        assert_eq!(breaker.admit(at(71), true), Refused);
        assert_eq!(breaker.admit(at(72), true), Probe);
    }

    #[test]
    fn a_probe_that_got_lost_does_not_keep_it_open_for_ever() {
        let mut breaker = opened();
        assert_eq!(breaker.admit(at(30), true), Probe);
        assert_eq!(breaker.admit(at(34), true), Refused);
        assert_eq!(breaker.admit(at(35), true), Probe);
    }

    #[test]
    fn what_was_sent_before_it_opened_neither_closes_it_nor_opens_it_again() {
        let mut breaker = opened();
        assert_eq!(breaker.succeeded(Granted), None);
        assert_eq!(breaker.failed(Granted, at(20)), None);
        assert!(!breaker.is_closed());
        assert_eq!(breaker.admit(at(30), true), Probe, "a late failure does not prolong the cool-down");
    }
}
