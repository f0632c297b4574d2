//! Takes an input apart. At its end there are zeros and nothing.

use std::time::{Duration, Instant};

/// Any moment as the origin of virtual time.
#[expect(clippy::disallowed_methods, reason = "any moment does as the origin of virtual time")]
pub fn origin() -> Instant {
    Instant::now()
}

/// What is left of an input.
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().map_or((0, self.0), |(first, rest)| (*first, rest));
        self.0 = rest;
        first
    }

    pub fn word(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    /// The next octets; fewer if there are not as many.
    pub fn octets(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// Milliseconds: mostly a few, sometimes minutes.
    pub fn time(&mut self) -> Duration {
        Duration::from_millis(match self.byte() {
            few @ 0..=199 => u64::from(few),
            more => 40 << (more - 200).min(14),
        })
    }
}
