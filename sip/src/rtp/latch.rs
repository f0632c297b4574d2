//! Symmetric RTP: whom we listen to and send to.
//!
//! The first source with a valid packet is locked in, since behind a NAT the address in the SDP is not the one that
//! sends. Others are turned away until it has been silent for five seconds or a new address is negotiated. Only the
//! address in the SDP itself may take over from a guess, in the first two seconds.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// A locked source that is silent for this long may be replaced.
const RELEASE: Duration = Duration::from_secs(5);
/// How long the negotiated address outranks a source locked in before it.
const CORRECT: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct Latch {
    negotiated: SocketAddr,
    locked: Option<Locked>,
}

#[derive(Debug)]
struct Locked {
    source: SocketAddr,
    since: Instant,
    heard: Instant,
}

impl Latch {
    pub(super) fn new(negotiated: SocketAddr) -> Self {
        Self { negotiated, locked: None }
    }

    /// A session description came; the lock stays if it names the address as before.
    pub(super) fn negotiate(&mut self, address: SocketAddr) {
        if address != self.negotiated {
            *self = Self::new(address);
        }
    }

    /// Whether a packet from `from` would be taken; changes nothing.
    pub(super) fn admits(&self, now: Instant, from: SocketAddr) -> bool {
        self.locked.as_ref().is_none_or(|locked| {
            from == locked.source
                || now.saturating_duration_since(locked.heard) >= RELEASE
                || (from == self.negotiated && now.saturating_duration_since(locked.since) < CORRECT)
        })
    }

    /// Locks in `from`, whose packet was valid; true if that is a new source.
    pub(super) fn heard(&mut self, now: Instant, from: SocketAddr) -> bool {
        match &mut self.locked {
            Some(locked) if locked.source == from => {
                locked.heard = now;
                false
            }
            locked => {
                *locked = Some(Locked { source: from, since: now, heard: now });
                true
            }
        }
    }

    /// Where to send: the locked source, before there is one the negotiated address.
    pub(super) fn destination(&self) -> SocketAddr {
        self.locked.as_ref().map_or(self.negotiated, |locked| locked.source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "any moment does as the origin of a test's time")]
    fn start() -> Instant {
        Instant::now()
    }

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    #[test]
    fn a_lock_is_kept_against_others_until_its_source_is_silent() {
        let now = start();
        let mut latch = Latch::new(address(1));
        assert_eq!(latch.destination(), address(1), "before anything came");
        assert!(latch.heard(now, address(7)));
        assert_eq!(latch.destination(), address(7), "behind a NAT");
        let later = now + Duration::from_secs(4);
        latch.heard(later, address(7));
        assert!(!latch.admits(later + Duration::from_millis(4_999), address(8)), "stolen");
        assert!(latch.admits(later + RELEASE, address(8)), "the source has gone");
    }

    #[test]
    fn the_negotiated_address_takes_over_only_at_the_start() {
        let now = start();
        let mut latch = Latch::new(address(1));
        latch.heard(now, address(7));
        assert!(latch.admits(now + Duration::from_millis(1_999), address(1)));
        latch.heard(now + CORRECT, address(7));
        assert!(!latch.admits(now + CORRECT, address(1)));
    }

    #[test]
    fn a_new_description_opens_the_lock_and_a_repeated_one_does_not() {
        let now = start();
        let mut latch = Latch::new(address(1));
        latch.heard(now, address(7));
        latch.negotiate(address(1));
        assert!(!latch.admits(now, address(8)));
        latch.negotiate(address(2));
        assert!(latch.admits(now, address(8)));
        assert_eq!(latch.destination(), address(2));
    }
}
