//! One queue for all calls of a server, on the machine's clock.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::queue::{Queue, Rules, Seat};
use super::{News, Profile, Seats, Tell, Wish};
use crate::clock::Clock;

/// The queue and whom to tell. Cheap to clone.
#[derive(Clone)]
pub struct Floor {
    inner: Arc<Mutex<Inner>>,
    clock: Clock,
}

struct Inner {
    queue: Queue,
    told: HashMap<Arc<str>, Tell>,
}

impl Floor {
    /// A queue for these seats.
    pub fn new(profiles: Vec<Profile>, rules: Rules) -> Self {
        let queue = Queue::new(profiles, rules);
        Self { inner: Arc::new(Mutex::new(Inner { queue, told: HashMap::new() })), clock: Clock::start() }
    }

    /// One seat for one call, which is never tired: for rehearsals.
    pub fn single(uri: &str) -> Self {
        let rules = Rules { wrap_up: Duration::ZERO, rest: Duration::ZERO, ..Rules::default() };
        Self::new(vec![Profile::plain(uri)], rules)
    }

    /// Lets time pass for the queue.
    pub fn tick(&self) {
        self.with(|_, _| ());
    }

    /// The schedule of a seat says whether it is there.
    pub fn set_duty(&self, seat: &str, on_duty: bool) {
        self.with(|queue, _| queue.set_duty(seat, on_duty));
    }

    /// A seat has registered, or has not any more.
    pub fn set_reachable(&self, seat: &str, reachable: bool) {
        self.with(|queue, _| queue.set_reachable(seat, reachable));
    }

    /// When somebody will be there, in words for the ear.
    pub fn set_opens(&self, opens: Option<String>) {
        self.with(|queue, _| queue.set_opens(opens));
    }

    /// The seats as they are now.
    pub fn seats(&self) -> Vec<Seat> {
        self.with(|queue, _| queue.seats().to_vec())
    }

    /// Callers who wait now.
    pub fn waiting(&self) -> usize {
        self.with(|queue, _| queue.waiting())
    }

    /// A seat wants calls or none. False if there is no such seat.
    pub fn set_away(&self, seat: &str, away: bool) -> bool {
        let now = self.clock.now();
        self.with(|queue, _| queue.set_away(now, seat, away))
    }

    /// Does something with the queue, lets time pass for it, and tells calls what follows.
    fn with<T>(&self, act: impl FnOnce(&mut Queue, &mut HashMap<Arc<str>, Tell>) -> T) -> T {
        // What panicked under the lock was a call's own; the queue is consistent between its steps.
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let inner = &mut *inner;
        let result = act(&mut inner.queue, &mut inner.told);
        inner.queue.tick(self.clock.now());
        while let Some((call, news)) = inner.queue.poll() {
            let over = matches!(news, News::Nobody { .. });
            if let Some(tell) = inner.told.get(&call) {
                tell(news);
            }
            if over {
                inner.told.remove(&call);
            }
        }
        result
    }
}

impl Seats for Floor {
    fn wish(&self, call: &str, wish: Wish, tell: Tell) {
        let now = self.clock.now();
        self.with(|queue, told| {
            match wish {
                Wish::Enter(_) => drop(told.insert(call.into(), tell)),
                Wish::Leave => drop(told.remove(call)),
                _ => {}
            }
            queue.wish(now, call, wish);
        });
    }
}
