//! Keys for SRTP in the session description: `a=crypto` (RFC 4568), and when it may be used at all.
//!
//! The keys stand in the SDP in the clear, so whoever reads the signalling can listen. RFC 4568 §7.1 therefore wants SIP
//! over TLS; [`crate::EndpointConfig::srtp_over_plain_sip`] is for exchanges that do it all the same.

use std::fmt;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use rand::RngCore;

/// Base64 with its padding; some peers leave it out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Whether the media of a call is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum SrtpPolicy {
    /// Never: plain RTP is offered, and an offer of nothing but SRTP is refused with 488.
    #[default]
    Off,
    /// Where the peer offers it. Our own offers are plain.
    Optional,
    /// Always: SRTP is offered, and an offer or answer without it is refused with 488.
    Required,
}

/// How packets are encrypted and authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SrtpSuite {
    /// AES-256 in Galois/counter mode (RFC 7714).
    AeadAes256Gcm,
    /// AES-128 in Galois/counter mode (RFC 7714).
    AeadAes128Gcm,
    /// AES-256 in counter mode, HMAC-SHA1 with a tag of 80 bits (RFC 6188).
    Aes256CmHmacSha1_80,
    /// AES-128 in counter mode, HMAC-SHA1 with a tag of 80 bits: what every peer has (RFC 4568 §6.2.1).
    Aes128CmHmacSha1_80,
    /// AES-128 in counter mode, HMAC-SHA1 with a tag of 32 bits, 80 for RTCP (RFC 4568 §6.2.2).
    Aes128CmHmacSha1_32,
}

impl SrtpSuite {
    /// All that can be negotiated, in the order in which they are offered.
    pub const ALL: [Self; 5] = [
        Self::AeadAes256Gcm,
        Self::AeadAes128Gcm,
        Self::Aes256CmHmacSha1_80,
        Self::Aes128CmHmacSha1_80,
        Self::Aes128CmHmacSha1_32,
    ];

    /// Its name in `a=crypto`.
    pub fn name(self) -> &'static str {
        match self {
            Self::AeadAes256Gcm => "AEAD_AES_256_GCM",
            Self::AeadAes128Gcm => "AEAD_AES_128_GCM",
            Self::Aes256CmHmacSha1_80 => "AES_256_CM_HMAC_SHA1_80",
            Self::Aes128CmHmacSha1_80 => "AES_CM_128_HMAC_SHA1_80",
            Self::Aes128CmHmacSha1_32 => "AES_CM_128_HMAC_SHA1_32",
        }
    }

    /// Octets of the master key and of the master salt.
    pub(crate) fn lengths(self) -> (usize, usize) {
        match self {
            Self::AeadAes256Gcm => (32, 12),
            Self::AeadAes128Gcm => (16, 12),
            Self::Aes256CmHmacSha1_80 => (32, 14),
            Self::Aes128CmHmacSha1_80 | Self::Aes128CmHmacSha1_32 => (16, 14),
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|suite| suite.name() == name)
    }
}

/// Master key and master salt of one direction (RFC 3711 §8.1). It is never printed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct MasterKey {
    /// The longest: 32 octets of key and 14 of salt.
    octets: [u8; 46],
    length: usize,
}

impl MasterKey {
    /// A fresh one.
    pub(crate) fn random(suite: SrtpSuite, rng: &mut impl RngCore) -> Self {
        let (key, salt) = suite.lengths();
        let mut new = Self { octets: [0; 46], length: key + salt };
        if let Some(used) = new.octets.get_mut(..new.length) {
            rng.fill_bytes(used);
        }
        new
    }

    fn read(suite: SrtpSuite, text: &str) -> Option<Self> {
        let (key, salt) = suite.lengths();
        let bytes = BASE64.decode(text).ok().filter(|bytes| bytes.len() == key + salt)?;
        let mut octets = [0; 46];
        octets.get_mut(..bytes.len())?.copy_from_slice(&bytes);
        Some(Self { octets, length: bytes.len() })
    }

    fn octets(&self) -> &[u8] {
        self.octets.get(..self.length).unwrap_or_default()
    }

    /// Key and salt, as this suite divides them.
    pub(crate) fn parts(&self, suite: SrtpSuite) -> (&[u8], &[u8]) {
        let octets = self.octets();
        octets.split_at(suite.lengths().0.min(octets.len()))
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(secret)")
    }
}

/// What both sides agreed on for SRTP: for [`crate::rtp::MediaSession::secure`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SrtpParams {
    /// How packets are protected, both ways.
    pub suite: SrtpSuite,
    /// What we encrypt with.
    pub local: MasterKey,
    /// What the peer encrypts with.
    pub remote: MasterKey,
}

/// One `a=crypto`: `<tag> <suite> inline:<key and salt>[|lifetime] [session parameters]` (RFC 4568 §9.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Crypto {
    pub(crate) tag: u32,
    pub(crate) suite: SrtpSuite,
    pub(crate) key: MasterKey,
}

impl Crypto {
    /// Reads the value; `None` for what we cannot do, which RFC 4568 §5.1.2 wants to be passed over: another suite or
    /// keying method, several keys or one with an MKI, and session parameters that change the transform.
    pub(crate) fn parse(value: &str) -> Option<Self> {
        let mut words = value.split_ascii_whitespace();
        let tag = words.next().filter(|tag| tag.len() <= 9 && tag.bytes().all(|b| b.is_ascii_digit()))?;
        let tag = tag.parse().ok()?;
        let suite = SrtpSuite::named(words.next()?)?;
        let (method, info) = words.next()?.split_once(':')?;
        if !method.eq_ignore_ascii_case("inline") || info.contains(';') {
            return None;
        }
        let mut parts = info.split('|');
        let key = MasterKey::read(suite, parts.next()?)?;
        // A lifetime is at most 2^48 packets: 180,000 years. With an MKI, each packet would be longer by it.
        if parts.any(|part| part.contains(':')) {
            return None;
        }
        words.all(harmless).then_some(Self { tag, suite, key })
    }

    /// As it goes into the SDP.
    pub(crate) fn to_value(self) -> String {
        format!("{} {} inline:{}", self.tag, self.suite.name(), BASE64.encode(self.key.octets()))
    }

    /// One of each suite, each with a key of its own.
    pub(crate) fn all(rng: &mut impl RngCore) -> Vec<Self> {
        (1..)
            .zip(SrtpSuite::ALL)
            .map(|(tag, suite)| Self { tag, suite, key: MasterKey::random(suite, rng) })
            .collect()
    }
}

/// A session parameter that may be passed over (RFC 4568 §6.3): the size of the replay window, which is a hint, and
/// what is marked with `-`.
fn harmless(parameter: &str) -> bool {
    parameter.starts_with('-') || parameter.starts_with("WSH=")
}

/// What an exchange of descriptions may do about SRTP.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    pub(crate) policy: SrtpPolicy,
    /// Keys may be in the signalling: it is over TLS, or the configuration allows it.
    pub(crate) permitted: bool,
}

impl Terms {
    /// Whether SRTP may be agreed on at all.
    pub(crate) fn allows(self) -> bool {
        self.permitted && self.policy != SrtpPolicy::Off
    }

    /// Whether our own offers are of SRTP.
    pub(crate) fn offers(self) -> bool {
        self.permitted && self.policy == SrtpPolicy::Required
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn the_published_line_gives_the_published_key() {
        let line = "1 AES_CM_128_HMAC_SHA1_80 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj|2^20";
        let crypto = Crypto::parse(line).expect("the example of RFC 4568 §6.1, without its MKI");
        let (key, salt) = crypto.key.parts(crypto.suite);
        assert_eq!((crypto.tag, key, salt), (1, &b"wDfvg&T+)xG7@fb5"[..], &b"jU,RaA}\\|p0%*#"[..]));
        assert_eq!(crypto.to_value(), line.trim_end_matches("|2^20"));
    }

    #[test]
    fn what_we_cannot_do_is_passed_over() {
        let key = "d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj";
        let read = |rest: &str| Crypto::parse(&format!("1 AES_CM_128_HMAC_SHA1_80 {rest}")).is_some();
        assert!(read(&format!("inline:{key}")));
        assert!(read(&format!("inline:{key}|1048576 WSH=128 -NEW=1")), "hints");
        for (why, rest) in [
            ("an MKI", format!("inline:{key}|2^20|1:4")),
            ("an MKI alone", format!("inline:{key}|1:4")),
            ("two keys", format!("inline:{key};inline:{key}")),
            ("another method", format!("mikey:{key}")),
            ("a short key", "inline:AAAA".to_owned()),
            ("no base64", "inline:????".to_owned()),
            ("no key", String::new()),
            ("plain RTP", format!("inline:{key} UNENCRYPTED_SRTP")),
            ("no authentication", format!("inline:{key} UNAUTHENTICATED_SRTP")),
            ("plain RTCP", format!("inline:{key} UNENCRYPTED_SRTCP")),
            ("new keys on the way", format!("inline:{key} KDR=10")),
            ("unknown", format!("inline:{key} NEW=1")),
        ] {
            assert!(!read(&rest), "{why}: {rest}");
        }
        for tag in ["x", "-1", "1234567890", ""] {
            let line = format!("{tag} AES_CM_128_HMAC_SHA1_80 inline:{key}");
            assert_eq!(Crypto::parse(&line), None, "{line}");
        }
        assert_eq!(Crypto::parse(&format!("1 F8_128_HMAC_SHA1_80 inline:{key}")), None);
    }

    #[test]
    fn each_suite_is_read_back_as_it_was_written_and_no_key_comes_twice() {
        let mut rng = StdRng::seed_from_u64(1);
        let (one, two) = (Crypto::all(&mut rng), Crypto::all(&mut rng));
        for (a, b) in one.iter().zip(&two) {
            assert_eq!(Crypto::parse(&a.to_value()), Some(*a), "{a:?}");
            assert_eq!(Crypto::parse(a.to_value().trim_end_matches('=')), Some(*a), "without padding");
            assert_ne!(a.key, b.key, "{:?}", a.suite);
            let (key, salt) = a.key.parts(a.suite);
            assert_eq!((key.len(), salt.len()), a.suite.lengths());
        }
    }

    #[test]
    fn a_key_is_never_printed() {
        let crypto = Crypto::all(&mut StdRng::seed_from_u64(1)).remove(3);
        let params = SrtpParams { suite: crypto.suite, local: crypto.key, remote: crypto.key };
        let printed = format!("{crypto:?} {params:?}");
        assert!(printed.contains("MasterKey(secret)"), "{printed}");
        let octets = format!("{:?}", crypto.key.octets());
        assert!(!printed.contains(octets.trim_matches(['[', ']'])), "{printed}");
    }

    proptest! {
        #[test]
        fn no_value_makes_the_reader_panic_and_what_is_read_is_written_alike(
            value in "[ -~]{0,120}|[0-9]{1,10} (AES_CM_128_HMAC_SHA1_(80|32)|AEAD_AES_(128|256)_GCM|AES_256_CM_HMAC_SHA1_80) inline:[A-Za-z0-9+/=]{0,66}([|][0-9^:]{0,6}){0,2}( [A-Z-]{0,9}=?[0-9]{0,3}){0,2}",
        ) {
            if let Some(crypto) = Crypto::parse(&value) {
                prop_assert_eq!(Crypto::parse(&crypto.to_value()), Some(crypto));
            }
        }
    }
}
