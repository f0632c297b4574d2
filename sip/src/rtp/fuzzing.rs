//! What the fuzz targets of this workspace need of SRTP. No part of the interface: it changes as they do.

use std::time::Instant;

use rand::SeedableRng;
use rand::rngs::StdRng;

use super::srtp::{Srtp, Unprotected};
use crate::sdes::{MasterKey, SrtpParams, SrtpSuite};

/// Two ends of an encrypted session.
pub struct Pair {
    suite: SrtpSuite,
    us: Srtp,
    them: Srtp,
    params: SrtpParams,
}

impl Pair {
    /// `suite`: any number stands for one.
    pub fn new(suite: u8) -> Self {
        let suite = SrtpSuite::ALL[usize::from(suite) % SrtpSuite::ALL.len()];
        let params = params(suite, 1);
        Self { suite, us: Srtp::new(params), them: Srtp::new(turned(params)), params }
    }

    /// New keys are agreed on.
    pub fn renew(&mut self, now: Instant, seed: u64) {
        self.params = params(self.suite, seed);
        self.us.configure(now, self.params);
        self.them.configure(now, turned(self.params));
    }

    /// A packet of the peer's, encrypted.
    pub fn theirs(&mut self, packet: &[u8], rtcp: bool) -> Option<Vec<u8>> {
        let sent = if rtcp { self.them.protect_rtcp(packet) } else { self.them.protect(packet) };
        sent.map(|sent| sent.to_vec())
    }

    /// A packet of ours, encrypted.
    pub fn ours(&mut self, packet: &[u8], rtcp: bool) -> Option<Vec<u8>> {
        let sent = if rtcp { self.us.protect_rtcp(packet) } else { self.us.protect(packet) };
        sent.map(|sent| sent.to_vec())
    }

    /// What we make of an encrypted packet; without one, whether it was a replay.
    ///
    /// # Errors
    /// True if it has been there before.
    pub fn open(&mut self, now: Instant, packet: &[u8], rtcp: bool) -> Result<Vec<u8>, bool> {
        let opened = if rtcp { self.us.open_rtcp(now, packet) } else { self.us.open(now, packet) };
        opened.map(|plain| plain.to_vec()).map_err(|refused| refused == Unprotected::Replayed)
    }

    /// The peers that we keep a state for.
    pub fn streams(&self) -> usize {
        self.us.streams()
    }
}

fn params(suite: SrtpSuite, seed: u64) -> SrtpParams {
    let mut rng = StdRng::seed_from_u64(seed);
    let (local, remote) = (MasterKey::random(suite, &mut rng), MasterKey::random(suite, &mut rng));
    SrtpParams { suite, local, remote }
}

fn turned(params: SrtpParams) -> SrtpParams {
    SrtpParams { local: params.remote, remote: params.local, ..params }
}
