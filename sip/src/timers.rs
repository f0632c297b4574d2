//! One timer table for everything that waits: set, clear, next deadline, take what is due.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::time::Instant;

/// Deadlines by key. Setting a key again moves it; a key fires once.
#[derive(Debug)]
pub(crate) struct Timers<K> {
    due: BTreeMap<(Instant, u64), K>,
    set: HashMap<K, (Instant, u64)>,
    serial: u64,
}

impl<K: Clone + Eq + Hash> Timers<K> {
    pub(crate) fn new() -> Self {
        Self { due: BTreeMap::new(), set: HashMap::new(), serial: 0 }
    }

    pub(crate) fn set(&mut self, key: K, at: Instant) {
        self.clear(&key);
        self.serial += 1;
        self.due.insert((at, self.serial), key.clone());
        self.set.insert(key, (at, self.serial));
    }

    pub(crate) fn clear(&mut self, key: &K) {
        if let Some(slot) = self.set.remove(key) {
            self.due.remove(&slot);
        }
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.due.first_key_value().map(|((at, _), _)| *at)
    }

    /// The earliest timer that is due at `now`, removed; timers set for one moment come in the order they were set.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<K> {
        let (&slot, _) = self.due.first_key_value()?;
        if slot.0 > now {
            return None;
        }
        let key = self.due.remove(&slot)?;
        self.set.remove(&key);
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_timer_that_is_set_again_fires_once_at_its_new_time() {
        let start = crate::clock::now();
        let mut timers = Timers::new();
        timers.set("a", start + Duration::from_secs(1));
        timers.set("b", start + Duration::from_secs(2));
        timers.set("a", start + Duration::from_secs(3));
        timers.set("c", start);
        timers.clear(&"c");
        assert_eq!(timers.next(), Some(start + Duration::from_secs(2)));
        let late = start + Duration::from_secs(9);
        assert_eq!((timers.pop(late), timers.pop(late), timers.pop(late)), (Some("b"), Some("a"), None));
    }
}
