//! Audio of prompts that were spoken before, in memory, bounded by bytes; the least recently used goes first.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;

/// What audio is found by: the voice with all its settings, and the text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    /// [`super::voices::Voice::digest`].
    pub voice: [u8; 32],
    /// As written.
    pub text: Arc<str>,
}

/// A clause's pieces.
pub(super) type Clip = Arc<[(Vec<i16>, Range<usize>)]>;

/// What the cache did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// Clauses that were there.
    pub hits: u64,
    /// Clauses that were not.
    pub misses: u64,
    /// Clauses held.
    pub clips: usize,
    /// Bytes of audio and text held.
    pub bytes: usize,
}

#[derive(Debug)]
pub(super) struct Cache {
    capacity: usize,
    bytes: usize,
    clips: HashMap<Key, (Clip, u64)>,
    /// By last use, oldest first.
    uses: BTreeMap<u64, Key>,
    clock: u64,
    hits: u64,
    misses: u64,
}

impl Cache {
    /// Holds at most `capacity` bytes.
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity,
            bytes: 0,
            clips: HashMap::new(),
            uses: BTreeMap::new(),
            clock: 0,
            hits: 0,
            misses: 0,
        }
    }

    /// The clip, if it is there.
    pub fn get(&mut self, key: &Key) -> Option<Clip> {
        self.clock += 1;
        let Some((clip, used)) = self.clips.get_mut(key) else {
            self.misses += 1;
            return None;
        };
        self.hits += 1;
        self.uses.remove(used);
        *used = self.clock;
        let clip = clip.clone();
        self.uses.insert(self.clock, key.clone());
        Some(clip)
    }

    /// Keeps a clip. One that is larger than an eighth of the capacity would drive out the rest and is not kept.
    pub fn put(&mut self, key: Key, clip: Clip) {
        let size = size(&key, &clip);
        if size > self.capacity / 8 {
            return;
        }
        self.remove(&key);
        self.clock += 1;
        self.bytes += size;
        self.uses.insert(self.clock, key.clone());
        self.clips.insert(key, (clip, self.clock));
        while self.bytes > self.capacity
            && let Some((_, oldest)) = self.uses.pop_first()
        {
            self.remove(&oldest);
        }
    }

    pub fn stats(&self) -> CacheStats {
        CacheStats { hits: self.hits, misses: self.misses, clips: self.clips.len(), bytes: self.bytes }
    }

    fn remove(&mut self, key: &Key) {
        if let Some((clip, used)) = self.clips.remove(key) {
            self.bytes -= size(key, &clip);
            self.uses.remove(&used);
        }
    }
}

fn size(key: &Key, clip: &Clip) -> usize {
    2 * key.text.len() + clip.iter().map(|(samples, _)| 2 * samples.len() + 64).sum::<usize>() + 256
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Key {
        Key { voice: [0; 32], text: text.into() }
    }

    fn clip(samples: usize) -> Clip {
        vec![(vec![1; samples], 0..1)].into()
    }

    #[test]
    fn the_least_recently_used_goes_first_and_the_bytes_stay_bounded() {
        let mut cache = Cache::new(10_000);
        for name in ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"] {
            cache.put(key(name), clip(400));
            cache.get(&key("a"));
            assert!(cache.stats().bytes <= 10_000);
        }
        assert!(cache.get(&key("a")).is_some(), "used all the time");
        assert!(cache.get(&key("b")).is_none(), "not used since the start");
        assert!(cache.get(&key("j")).is_some(), "just put");
        let stats = cache.stats();
        assert_eq!((stats.hits, stats.misses), (12, 1));
    }

    #[test]
    fn another_voice_is_another_clip() {
        let mut cache = Cache::new(100_000);
        cache.put(key("a"), clip(10));
        assert!(cache.get(&Key { voice: [1; 32], text: "a".into() }).is_none());
    }

    #[test]
    fn a_clip_that_would_drive_out_the_rest_is_not_kept() {
        let mut cache = Cache::new(10_000);
        cache.put(key("small"), clip(100));
        cache.put(key("large"), clip(4000));
        assert!(cache.get(&key("large")).is_none());
        assert!(cache.get(&key("small")).is_some());
    }

    #[test]
    fn putting_twice_counts_once() {
        let mut cache = Cache::new(100_000);
        cache.put(key("a"), clip(100));
        let bytes = cache.stats().bytes;
        cache.put(key("a"), clip(100));
        assert_eq!(cache.stats().bytes, bytes);
        assert_eq!(cache.stats().clips, 1);
    }
}
