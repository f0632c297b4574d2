//! SRTP and SRTCP (RFC 3711, RFC 7714) around the plain packets of a session. The transforms are those of `rtc-srtp`.
//!
//! That crate (0.21) makes its state for an SSRC before it knows that a packet is genuine, and takes SRTCP whose
//! encryption flag is off without looking at its tag. So here each SSRC of the peer has a context of its own, which is
//! kept only once a packet has proved genuine, and SRTCP in the clear is not shown to it: a stranger's packet leaves
//! nothing behind.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use rtc_rtp::Header;
use rtc_shared::error::Error;
use rtc_srtp::context::Context;
use rtc_srtp::crypto::{RTCCryptoProvider, default_provider};
use rtc_srtp::option::{srtcp_replay_protection, srtp_replay_protection};
use rtc_srtp::protection_profile::ProtectionProfile;

use super::header::outline;
use crate::sdes::{MasterKey, SrtpParams, SrtpSuite};

/// How far behind the newest a packet may come, in packets; RFC 3711 §3.3.2 wants 64 at least.
const WINDOW: usize = 256;
/// SSRCs of the peer under one key. Only the peer can add one, and none is forgotten: its packets could be replayed.
const STREAMS: usize = 32;
/// How long packets under the peer's old key are taken after a new one was agreed on: they may be on the way.
const OVERLAP: Duration = Duration::from_secs(2);

static CRYPTO: LazyLock<Option<Arc<dyn RTCCryptoProvider>>> = LazyLock::new(|| default_provider().ok());

/// Why a packet was not decrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unprotected {
    /// It has been there before, or is too old to tell.
    Replayed,
    /// It is not from who has the key: forged, damaged, or not encrypted at all.
    Forged,
    /// It is not even RTP or RTCP: STUN, for one.
    Malformed,
}

/// One session's keys and what goes with them.
pub(super) struct Srtp {
    params: SrtpParams,
    /// None if the library refuses the key; then nothing is sent.
    ours: Option<Context>,
    theirs: Inbound,
    /// What they used before, and until when it is taken.
    before: Option<(Inbound, Instant)>,
}

struct Inbound {
    suite: SrtpSuite,
    key: MasterKey,
    streams: Vec<(u32, Context)>,
}

impl Srtp {
    pub(super) fn new(params: SrtpParams) -> Self {
        let ours = context(params.suite, &params.local);
        if ours.is_none() {
            tracing::error!(suite = params.suite.name(), "SRTP cannot be set up: no audio will be sent");
        }
        Self { params, ours, theirs: Inbound::new(params.suite, params.remote), before: None }
    }

    /// Takes what a new description says. A key that stays keeps its state: begun anew, it would encrypt other packets
    /// alike (RFC 3711 §9.1).
    pub(super) fn configure(&mut self, now: Instant, params: SrtpParams) {
        let suite = params.suite;
        if (self.params.suite, self.params.local) != (suite, params.local) {
            self.ours = context(suite, &params.local);
        }
        if (self.theirs.suite, self.theirs.key) != (suite, params.remote) {
            let old = std::mem::replace(&mut self.theirs, Inbound::new(suite, params.remote));
            self.before = Some((old, now + OVERLAP));
        }
        self.params = params;
    }

    /// Encrypts an RTP packet of ours.
    pub(super) fn protect(&mut self, packet: &[u8]) -> Option<BytesMut> {
        let header = header(packet)?;
        self.ours.as_mut()?.encrypt_rtp_with_header(packet, &header).ok()
    }

    /// Encrypts a compound RTCP packet of ours.
    pub(super) fn protect_rtcp(&mut self, packet: &[u8]) -> Option<BytesMut> {
        self.ours.as_mut()?.encrypt_rtcp(packet).ok()
    }

    /// Checks and decrypts an RTP packet of theirs.
    pub(super) fn open(&mut self, now: Instant, packet: &[u8]) -> Result<BytesMut, Unprotected> {
        let header = header(packet).ok_or(Unprotected::Malformed)?;
        self.with(now, header.ssrc, |context| context.decrypt_rtp_with_header(packet, &header))
    }

    /// Checks and decrypts a compound RTCP packet of theirs.
    pub(super) fn open_rtcp(&mut self, now: Instant, packet: &[u8]) -> Result<BytesMut, Unprotected> {
        if packet.first().is_none_or(|flags| flags >> 6 != 2) {
            return Err(Unprotected::Malformed);
        }
        // The flag and the index are the last four octets, before the tag where that is not inside the ciphertext.
        let behind = if self.theirs.suite.lengths().1 == 12 { 4 } else { 14 };
        let flag = packet.len().checked_sub(behind).and_then(|at| packet.get(at));
        let ssrc = packet.get(4..8).and_then(|octets| octets.try_into().ok()).map(u32::from_be_bytes);
        let (Some(flag), Some(ssrc)) = (flag, ssrc) else { return Err(Unprotected::Forged) };
        if flag & 0x80 == 0 {
            return Err(Unprotected::Forged);
        }
        self.with(now, ssrc, |context| context.decrypt_rtcp(packet))
    }

    /// The SSRCs of the peer that a state is kept for.
    pub(super) fn streams(&self) -> usize {
        self.theirs.streams.len()
    }

    /// Tries the key in use, then the one before it.
    fn with(
        &mut self,
        now: Instant,
        ssrc: u32,
        decrypt: impl Fn(&mut Context) -> Result<BytesMut, Error>,
    ) -> Result<BytesMut, Unprotected> {
        let opened = self.theirs.with(ssrc, true, &decrypt);
        if self.before.as_ref().is_some_and(|(_, until)| now >= *until) {
            self.before = None;
        }
        match (&opened, &mut self.before) {
            (Err(Unprotected::Forged), Some((before, _))) => before.with(ssrc, false, &decrypt),
            _ => opened,
        }
    }
}

impl Inbound {
    fn new(suite: SrtpSuite, key: MasterKey) -> Self {
        Self { suite, key, streams: Vec::new() }
    }

    /// Decrypts with the context of this SSRC; `admit`: of a new one too, if the packet is genuine.
    fn with(
        &mut self,
        ssrc: u32,
        admit: bool,
        decrypt: impl Fn(&mut Context) -> Result<BytesMut, Error>,
    ) -> Result<BytesMut, Unprotected> {
        if let Some((_, context)) = self.streams.iter_mut().find(|(known, _)| *known == ssrc) {
            return decrypt(context).map_err(|error| refusal(&error));
        }
        if !admit || self.streams.len() >= STREAMS {
            return Err(Unprotected::Forged);
        }
        let mut context = context(self.suite, &self.key).ok_or(Unprotected::Forged)?;
        let opened = decrypt(&mut context).map_err(|error| refusal(&error))?;
        self.streams.push((ssrc, context));
        Ok(opened)
    }
}

fn refusal(error: &Error) -> Unprotected {
    match error {
        Error::SrtpSsrcDuplicated(..) | Error::SrtcpSsrcDuplicated(..) => Unprotected::Replayed,
        _ => Unprotected::Forged,
    }
}

/// What the library wants to know of a header; of all behind the twelve octets, only how long it is.
fn header(packet: &[u8]) -> Option<Header> {
    let (ssrc, sequence_number, length) = outline(packet).ok()?;
    let csrc = vec![0; (length - 12) / 4];
    Some(Header { version: 2, ssrc, sequence_number, csrc, ..Header::default() })
}

fn context(suite: SrtpSuite, key: &MasterKey) -> Option<Context> {
    let profile = match suite {
        SrtpSuite::AeadAes256Gcm => ProtectionProfile::AeadAes256Gcm,
        SrtpSuite::AeadAes128Gcm => ProtectionProfile::AeadAes128Gcm,
        SrtpSuite::Aes256CmHmacSha1_80 => ProtectionProfile::Aes256CmHmacSha1_80,
        SrtpSuite::Aes128CmHmacSha1_80 => ProtectionProfile::Aes128CmHmacSha1_80,
        SrtpSuite::Aes128CmHmacSha1_32 => ProtectionProfile::Aes128CmHmacSha1_32,
    };
    let (key, salt) = key.parts(suite);
    let (rtp, rtcp) = (srtp_replay_protection(WINDOW), srtcp_replay_protection(WINDOW));
    let crypto = CRYPTO.as_ref()?.crypto();
    Context::new(key, salt, profile, Some(rtp), Some(rtcp), crypto).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    #[expect(clippy::disallowed_methods, reason = "any moment does as the origin of a test's time")]
    fn start() -> Instant {
        Instant::now()
    }

    fn params(suite: SrtpSuite, seed: u64) -> SrtpParams {
        let mut rng = StdRng::seed_from_u64(seed);
        let (local, remote) = (MasterKey::random(suite, &mut rng), MasterKey::random(suite, &mut rng));
        SrtpParams { suite, local, remote }
    }

    fn turned(params: SrtpParams) -> SrtpParams {
        SrtpParams { suite: params.suite, local: params.remote, remote: params.local }
    }

    fn pair(suite: SrtpSuite) -> (Srtp, Srtp) {
        (Srtp::new(params(suite, 1)), Srtp::new(turned(params(suite, 1))))
    }

    fn packet(ssrc: u32, sequence: u16) -> Vec<u8> {
        let mut packet = vec![0x80, 8];
        packet.extend(sequence.to_be_bytes());
        packet.extend(7u32.to_be_bytes());
        packet.extend(ssrc.to_be_bytes());
        packet.extend([0x55; 160]);
        packet
    }

    /// A receiver report about nobody.
    fn report(ssrc: u32) -> Vec<u8> {
        [&[0x80, 201, 0, 1][..], &ssrc.to_be_bytes()].concat()
    }

    #[test]
    fn both_ends_understand_each_other_with_every_suite_and_nobody_else_does() {
        let now = start();
        for suite in SrtpSuite::ALL {
            let (mut one, mut two) = pair(suite);
            let mut stranger = Srtp::new(turned(params(suite, 2)));
            let plain = packet(1, 1);
            let sent = one.protect(&plain).expect("encrypted");
            assert!(sent.len() > plain.len() && sent[12..172] != plain[12..], "{suite:?}");
            assert_eq!(stranger.open(now, &sent), Err(Unprotected::Forged), "{suite:?}");
            assert_eq!(two.open(now, &sent).as_deref(), Ok(&plain[..]), "{suite:?}");
            assert_eq!(two.open(now, &sent), Err(Unprotected::Replayed), "{suite:?}");
            let sent = one.protect_rtcp(&report(1)).expect("encrypted");
            assert_eq!(two.open_rtcp(now, &sent).as_deref(), Ok(&report(1)[..]), "{suite:?}");
            assert_eq!(two.open_rtcp(now, &sent), Err(Unprotected::Replayed), "{suite:?}");
            assert!(
                two.open(now, &plain).is_err() && two.open_rtcp(now, &report(1)).is_err(),
                "in the clear"
            );
        }
    }

    #[test]
    fn one_changed_bit_anywhere_is_a_forgery() {
        let now = start();
        for suite in SrtpSuite::ALL {
            let (mut one, mut two) = pair(suite);
            let sent = one.protect(&packet(1, 1)).expect("encrypted");
            let control = one.protect_rtcp(&report(1)).expect("encrypted");
            for bit in 0..sent.len() * 8 {
                let mut forged = sent.to_vec();
                forged[bit / 8] ^= 1 << (bit % 8);
                let opened = two.open(now, &forged).expect_err("forged");
                // The version, or an extension that is not there.
                assert!(opened == Unprotected::Forged || [4, 6, 7].contains(&bit), "{suite:?} bit {bit}");
            }
            for bit in 0..control.len() * 8 {
                let mut forged = control.to_vec();
                forged[bit / 8] ^= 1 << (bit % 8);
                let opened = two.open_rtcp(now, &forged).expect_err("forged");
                assert!(opened == Unprotected::Forged || [6, 7].contains(&bit), "{suite:?} bit {bit}");
            }
            assert!(two.open(now, &sent).is_ok() && two.open_rtcp(now, &control).is_ok(), "{suite:?}");
        }
    }

    #[test]
    fn forgeries_under_any_number_of_sources_leave_nothing_behind() {
        let now = start();
        let (mut one, mut two) = pair(SrtpSuite::Aes128CmHmacSha1_80);
        for ssrc in 0..500 {
            assert_eq!(two.open(now, &packet(ssrc, 20_000)), Err(Unprotected::Forged));
            assert_eq!(two.open_rtcp(now, &report(ssrc)), Err(Unprotected::Forged));
        }
        assert!(two.theirs.streams.is_empty());
        // Nor has the window been moved on for the genuine one.
        let sent = one.protect(&packet(3, 100)).expect("encrypted");
        assert!(two.open(now, &sent).is_ok());
        for ssrc in 100..200 {
            let sent = one.protect(&packet(ssrc, 1)).expect("encrypted");
            let _ = two.open(now, &sent);
        }
        assert_eq!(two.theirs.streams.len(), STREAMS);
    }

    #[test]
    fn sequence_numbers_wrap_with_loss_and_disorder_and_old_rounds_stay_replays() {
        let now = start();
        for suite in [SrtpSuite::Aes128CmHmacSha1_80, SrtpSuite::AeadAes128Gcm] {
            let (mut one, mut two) = pair(suite);
            let mut sent = Vec::new();
            for n in 0..200_000u32 {
                sent.push(one.protect(&packet(9, n.wrapping_add(30_000) as u16)).expect("encrypted"));
                if sent.len() < 7 {
                    continue;
                }
                // Each block of seven in another order, one of them lost.
                for at in [3, 0, 5, 1, 6, 4] {
                    assert!(two.open(now, &sent[at]).is_ok(), "{suite:?} {n}");
                    assert_eq!(two.open(now, &sent[at]), Err(Unprotected::Replayed), "{suite:?} {n}");
                }
                sent.clear();
            }
        }
    }

    #[test]
    fn a_packet_of_an_earlier_round_is_refused() {
        let now = start();
        let (mut one, mut two) = pair(SrtpSuite::Aes128CmHmacSha1_80);
        let first = one.protect(&packet(9, 5)).expect("encrypted");
        assert!(two.open(now, &first).is_ok());
        for n in 6..=65_536u32 + 5 {
            let sent = one.protect(&packet(9, n as u16)).expect("encrypted");
            if n < 65_536 + 5 {
                assert!(two.open(now, &sent).is_ok(), "{n}");
            }
        }
        // The same sequence number again, of which this one is the old: its place is free.
        assert_eq!(two.open(now, &first), Err(Unprotected::Forged));
    }

    #[test]
    fn another_ssrc_is_another_stream_of_the_same_key() {
        let now = start();
        let (mut one, mut two) = pair(SrtpSuite::AeadAes256Gcm);
        for ssrc in [1, 2, 1, 3] {
            let sent = one.protect(&packet(ssrc, 10 + ssrc as u16)).expect("encrypted");
            let _ = two.open(now, &sent);
        }
        let streams: Vec<_> = two.theirs.streams.iter().map(|(ssrc, _)| *ssrc).collect();
        assert_eq!(streams, [1, 2, 3]);
    }

    #[test]
    fn a_new_key_is_taken_and_the_old_one_for_a_while_but_only_what_was_on_the_way() {
        let now = start();
        let suite = SrtpSuite::Aes128CmHmacSha1_80;
        let (mut one, mut two) = pair(suite);
        let first = one.protect(&packet(1, 1)).expect("encrypted");
        assert!(two.open(now, &first).is_ok());
        let late = one.protect(&packet(1, 2)).expect("encrypted");
        let later = one.protect(&packet(1, 3)).expect("encrypted");
        let new = params(suite, 5);
        one.configure(now, new);
        two.configure(now, turned(new));
        let fresh = one.protect(&packet(1, 4)).expect("encrypted");
        assert!(two.open(now, &fresh).is_ok());
        assert!(two.open(now, &late).is_ok(), "on the way when the key changed");
        assert_eq!(two.open(now, &first), Err(Unprotected::Replayed), "a replay under the old key");
        assert_eq!(two.open(now + OVERLAP, &later), Err(Unprotected::Forged), "too late");
    }

    #[test]
    fn the_same_keys_once_more_go_on_where_they_were() {
        let now = start();
        let (mut one, mut two) = pair(SrtpSuite::AeadAes128Gcm);
        let first = one.protect(&packet(1, 1)).expect("encrypted");
        assert!(two.open(now, &first).is_ok());
        two.configure(now, two.params);
        assert_eq!(two.open(now, &first), Err(Unprotected::Replayed), "forgotten by a hold");
    }

    #[test]
    fn a_header_with_sources_and_an_extension_is_encrypted_behind_it() {
        let now = start();
        for suite in SrtpSuite::ALL {
            let (mut one, mut two) = pair(suite);
            let mut plain = packet(1, 1);
            plain[0] |= 0x12;
            plain.splice(12..12, [0, 0, 0, 5, 0, 0, 0, 6, 0xbe, 0xde, 0, 1, 0x1f, 9, 9, 9]);
            let sent = one.protect(&plain).expect("encrypted");
            assert_eq!(sent[..28], plain[..28], "{suite:?}");
            assert_ne!(sent[28..60], plain[28..60], "{suite:?}");
            assert_eq!(two.open(now, &sent).as_deref(), Ok(&plain[..]), "{suite:?}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_octets_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), head in 0x80u8..0xc0) {
            let now = start();
            let mut bytes = bytes;
            if let Some(first) = bytes.first_mut() {
                *first = head;
            }
            for suite in SrtpSuite::ALL {
                let mut two = pair(suite).1;
                prop_assert!(two.open(now, &bytes).is_err() && two.open_rtcp(now, &bytes).is_err());
                let _ = (two.protect(&bytes), two.protect_rtcp(&bytes));
            }
        }
    }
}
