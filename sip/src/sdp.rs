//! Session descriptions: what we offer, what we answer, and what the two sides agreed on (RFC 3264, RFC 8866).
//!
//! One audio stream, in plain RTP or in SRTP with keys by `a=crypto` (RFC 4568). Other streams of an offer are kept in
//! the answer with port 0.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rand::RngCore;
use sipx_sdp as model;
use sipx_sdp::{Attribute, MediaDescription, SessionDescription};

use crate::sdes::{Crypto, MasterKey, SrtpParams, SrtpPolicy, Terms};

/// A speech codec that can be negotiated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Codec {
    /// G.711 A-law, 8 kHz (China, Europe).
    Pcma,
    /// G.711 µ-law, 8 kHz (North America, Japan).
    Pcmu,
    /// G.722, 16 kHz at 64 kbit/s.
    G722,
    /// Opus, here one channel at 16 kHz, with forward error correction.
    Opus,
}

impl Codec {
    /// All that this version can negotiate, best known first.
    pub const ALL: [Self; 4] = [Self::Pcma, Self::Pcmu, Self::G722, Self::Opus];

    /// The encoding name in SDP.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pcma => "PCMA",
            Self::Pcmu => "PCMU",
            Self::G722 => "G722",
            Self::Opus => "opus",
        }
    }

    /// RTP clock rate in Hz: for G.722 by an old mistake half of its sample rate (RFC 3551 §4.5.2), for Opus always the same
    /// (RFC 7587 §4.1).
    pub fn clock_rate(self) -> u32 {
        match self {
            Self::Pcma | Self::Pcmu | Self::G722 => 8_000,
            Self::Opus => 48_000,
        }
    }

    /// The payload type that RFC 3551 gives it, or with which we offer it.
    pub fn payload_type(self) -> u8 {
        match self {
            Self::Pcma => 8,
            Self::Pcmu => 0,
            Self::G722 => 9,
            Self::Opus => 107,
        }
    }

    /// As it stands in `a=rtpmap`.
    fn rtpmap(self) -> String {
        let channels = if self == Self::Opus { "/2" } else { "" };
        format!("{}/{}{channels}", self.name(), self.clock_rate())
    }

    /// As it stands in `a=fmtp`, if anything is to be said.
    fn fmtp(self) -> Option<&'static str> {
        (self == Self::Opus).then_some("useinbandfec=1;maxplaybackrate=16000;sprop-maxcapturerate=16000")
    }

    fn named(encoding: &str, clock_rate: u32) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|codec| codec.name().eq_ignore_ascii_case(encoding) && codec.clock_rate() == clock_rate)
    }
}

/// There is no codec of that name here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no codec \"{}\": known are PCMA, PCMU, G722 and opus", .0.escape_debug())]
pub struct UnknownCodec(pub String);

impl std::str::FromStr for Codec {
    type Err = UnknownCodec;

    /// By its encoding name, in any case.
    fn from_str(name: &str) -> Result<Self, UnknownCodec> {
        let found = Self::ALL.into_iter().find(|codec| codec.name().eq_ignore_ascii_case(name));
        found.ok_or_else(|| UnknownCodec(name.into()))
    }
}

/// Which way audio flows, seen from our side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Direction {
    /// Both ways.
    #[default]
    SendRecv,
    /// We talk, the peer does not.
    SendOnly,
    /// The peer talks, we must not (we are on hold).
    RecvOnly,
    /// Nobody talks.
    Inactive,
}

impl Direction {
    fn new(sends: bool, receives: bool) -> Self {
        match (sends, receives) {
            (true, true) => Self::SendRecv,
            (true, false) => Self::SendOnly,
            (false, true) => Self::RecvOnly,
            (false, false) => Self::Inactive,
        }
    }

    /// Whether we may send audio.
    pub fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    /// Whether audio may come.
    pub fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }

    fn wire(self) -> model::Direction {
        match self {
            Self::SendRecv => model::Direction::SendRecv,
            Self::SendOnly => model::Direction::SendOnly,
            Self::RecvOnly => model::Direction::RecvOnly,
            Self::Inactive => model::Direction::Inactive,
        }
    }
}

/// Our end of the media: where RTP is received and what is spoken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalMedia {
    /// The address for the session description. Unspecified (`0.0.0.0`, `::`) stands for the endpoint's own.
    pub ip: IpAddr,
    /// The RTP port; RTCP is on the next one.
    pub port: u16,
    /// What we can speak, best first. Must not be empty.
    pub codecs: Vec<Codec>,
}

/// What both sides agreed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaParams {
    /// Where the peer wants RTP.
    pub remote: SocketAddr,
    /// Where the peer wants RTCP, if it can be told.
    pub remote_rtcp: Option<SocketAddr>,
    /// The codec to send.
    pub codec: Codec,
    /// The payload type to send it with, and to expect.
    pub payload_type: u8,
    /// The payload type of RFC 4733 telephone events, if agreed.
    pub dtmf_payload_type: Option<u8>,
    /// The payload type of RFC 3389 comfort noise, if the peer has it.
    pub comfort_noise_payload_type: Option<u8>,
    /// Which way audio flows, seen from our side.
    pub direction: Direction,
    /// How much audio the peer wants in a packet.
    pub ptime: Duration,
    /// Keys, if RTP and RTCP are encrypted: for [`crate::rtp::MediaSession::secure`], without which a session would
    /// send in the clear.
    pub srtp: Option<Box<SrtpParams>>,
}

/// Why a description cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SdpError {
    /// It is not SDP.
    #[error("the session description cannot be read: {0}")]
    Unreadable(String),
    /// There is no audio stream in RTP with an address.
    #[error("the session description has no usable audio stream; offer m=audio with RTP/AVP or RTP/SAVP")]
    NoAudio,
    /// There is nothing but SRTP, and ours is off.
    #[error(
        "the peer offers nothing but SRTP, which is off here; set the policy to `Optional`, or offer RTP/AVP"
    )]
    SrtpOff,
    /// There is nothing but SRTP, with its keys where others can read them.
    #[error(
        "the peer offers SRTP with its keys over plain SIP; use SIP over TLS, or set `srtp_over_plain_sip`"
    )]
    SrtpOverPlainSip,
    /// SRTP is required, and the peer has plain RTP.
    #[error(
        "SRTP is required, and the peer has plain RTP; switch SRTP on there, or set the policy to `Optional`"
    )]
    SrtpRequired,
    /// There is SRTP with suites or parameters that we do not have.
    #[error("no a=crypto in common; offer AES_CM_128_HMAC_SHA1_80 with one key, without MKI")]
    NoCommonSuite,
    /// None of the codecs fits.
    #[error("no codec in common; offer PCMA, PCMU, G722 or opus")]
    NoCommonCodec,
}

impl SdpError {
    /// The warn-code and warn-text of RFC 3261 §20.43.
    pub(crate) fn warning(&self) -> (u16, &'static str) {
        match self {
            Self::Unreadable(_) => (399, "Session description cannot be read"),
            Self::NoAudio => (304, "Media type not available: audio over RTP/AVP or RTP/SAVP is needed"),
            Self::SrtpOff => (302, "Incompatible transport protocol: no SRTP here, offer RTP/AVP"),
            Self::SrtpOverPlainSip => {
                (302, "Incompatible transport protocol: SRTP keys are taken over TLS only")
            }
            Self::SrtpRequired => (302, "Incompatible transport protocol: SRTP is required, offer RTP/SAVP"),
            Self::NoCommonSuite => (399, "No a=crypto in common: offer AES_CM_128_HMAC_SHA1_80 without MKI"),
            Self::NoCommonCodec => (305, "Incompatible media format: offer PCMA, PCMU, G722 or opus"),
        }
    }
}

/// A description from the peer, read and found usable.
#[derive(Debug, Clone)]
pub(crate) struct Remote {
    session: SessionDescription,
    /// The audio streams in RTP that have an address, as they come; never empty.
    streams: Vec<Stream>,
}

/// One audio stream of the peer.
#[derive(Debug, Clone)]
struct Stream {
    /// Which `m=` it is.
    index: usize,
    /// `RTP/SAVP`: it is encrypted or nothing.
    savp: bool,
    /// What of its `a=crypto` we can do, best first. Some peers have it on `RTP/AVP` too, to say that they would.
    crypto: Vec<Crypto>,
    addr: SocketAddr,
    rtcp: Option<SocketAddr>,
    codecs: Vec<(Codec, u8)>,
    /// Payload types of telephone events and the clocks of their timestamps, in Hz.
    dtmf: Vec<(u8, u32)>,
    comfort_noise: Option<u8>,
    sends: bool,
    receives: bool,
    ptime: Duration,
}

/// The names of the codecs in a description, in its order; none if there is none.
pub(crate) fn offered_codecs(body: &[u8]) -> Vec<String> {
    let Ok(session) = model::parse(&String::from_utf8_lossy(body)) else { return Vec::new() };
    let audio = session.media.iter().filter(|media| media.media == "audio");
    let maps = audio.take(1).flat_map(|media| {
        media.formats.iter().take(MOST_FORMATS).map(|format| (media.rtpmap(format), format.as_str()))
    });
    let mut names: Vec<String> = maps
        .filter_map(|(map, format)| match (map, format) {
            (Some(map), _) => Some(model::rtpmap::Rtpmap::parse(map).ok()?.encoding().to_owned()),
            (None, "0") => Some("PCMU".into()),
            (None, "8") => Some("PCMA".into()),
            (None, "9") => Some("G722".into()),
            (None, "18") => Some("G729".into()),
            (None, _) => None,
        })
        .collect();
    names.dedup();
    names
}

/// What names our description in `o=`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin {
    pub(crate) id: u64,
    pub(crate) version: u64,
}

/// Payload types for telephone events in our offers, by the clock of the codecs that they go with.
const DTMF_PAYLOAD_TYPES: [(u8, u32); 2] = [(101, 8_000), (110, 48_000)];
const COMFORT_NOISE_PAYLOAD_TYPE: u8 = 13;
/// Formats of a stream that are looked at: nobody has more, and each is looked for among all lines.
const MOST_FORMATS: usize = 64;

impl Remote {
    /// Reads an offer or an answer.
    pub(crate) fn read(body: &[u8]) -> Result<Self, SdpError> {
        let text = String::from_utf8_lossy(body);
        let session = model::parse(&text).map_err(|error| SdpError::Unreadable(error.to_string()))?;
        let streams: Vec<Stream> = session
            .media
            .iter()
            .enumerate()
            .filter(|(_, m)| m.media == "audio" && !m.is_rejected())
            .filter_map(|(i, m)| Stream::read(&session, i, m))
            .collect();
        if streams.is_empty() { Err(SdpError::NoAudio) } else { Ok(Self { session, streams }) }
    }

    /// Whether there is a stream for these terms in it with any of these codecs.
    pub(crate) fn suits(&self, ours: &[Codec], terms: Terms) -> Result<(), SdpError> {
        self.pick(ours, terms).map(|_| ())
    }

    /// The stream to take, how to encrypt it, and the codec.
    #[expect(clippy::type_complexity, reason = "three parts of one choice, used twice")]
    fn pick(
        &self,
        ours: &[Codec],
        terms: Terms,
    ) -> Result<(&Stream, Option<&Crypto>, (Codec, u8)), SdpError> {
        let secured = self.streams.iter().filter_map(|s| Some((s, Some(s.crypto.first()?))));
        let plain = self.streams.iter().filter(|s| !s.savp).map(|s| (s, None));
        let secured = secured.filter(|_| terms.allows());
        let plain = plain.filter(|_| terms.policy != SrtpPolicy::Required);
        let mut found = false;
        for (stream, crypto) in secured.chain(plain) {
            found = true;
            if let Some(codec) = stream.choose(ours) {
                return Ok((stream, crypto, codec));
            }
        }
        Err(match terms.policy {
            _ if found => SdpError::NoCommonCodec,
            SrtpPolicy::Off => SdpError::SrtpOff,
            _ if !terms.permitted => SdpError::SrtpOverPlainSip,
            _ if self.streams.iter().any(|stream| stream.savp) => SdpError::NoCommonSuite,
            _ => SdpError::SrtpRequired,
        })
    }

    /// What this answer makes of the session. `offered` are the keys that we offered; none for plain RTP.
    pub(crate) fn as_answer(
        &self,
        local: &LocalMedia,
        wish: Direction,
        offered: &[Crypto],
    ) -> Result<MediaParams, SdpError> {
        let stream = match offered {
            [] => self.streams.iter().find(|stream| !stream.savp).ok_or(SdpError::SrtpOff)?,
            _ => self.streams.iter().find(|stream| stream.savp).ok_or(SdpError::SrtpRequired)?,
        };
        // RFC 4568 §5.1.3: an answer has the tag and the suite of one of ours, or it is none.
        let ours = |theirs: &Crypto| {
            offered.iter().find(|ours| (ours.tag, ours.suite) == (theirs.tag, theirs.suite)).copied()
        };
        let srtp = match offered {
            [] => None,
            _ => {
                let agreed = stream.crypto.iter().find_map(|theirs| Some((ours(theirs)?, theirs)));
                let (ours, theirs) = agreed.ok_or(SdpError::NoCommonSuite)?;
                Some(SrtpParams { suite: ours.suite, local: ours.key, remote: theirs.key })
            }
        };
        // The answerer's order counts (RFC 3264 §6.1), as far as we know the codecs.
        let codec =
            stream.codecs.iter().find(|(c, _)| local.codecs.contains(c)).ok_or(SdpError::NoCommonCodec)?;
        Ok(stream.params(*codec, wish, srtp))
    }

    /// Our answer to this offer, and what it makes of the session. Our key stays as it is in `agreed` for as long as
    /// theirs does; otherwise it is a fresh one.
    pub(crate) fn answer(
        &self,
        local: &LocalMedia,
        origin: Origin,
        wish: Direction,
        terms: Terms,
        agreed: Option<SrtpParams>,
        rng: &mut impl RngCore,
    ) -> Result<(String, MediaParams), SdpError> {
        let (stream, crypto, codec) = self.pick(&local.codecs, terms)?;
        let srtp = crypto.map(|theirs| {
            let kept = agreed.filter(|agreed| (agreed.suite, agreed.remote) == (theirs.suite, theirs.key));
            let key = kept.map_or_else(|| MasterKey::random(theirs.suite, rng), |agreed| agreed.local);
            SrtpParams { suite: theirs.suite, local: key, remote: theirs.key }
        });
        let params = stream.params(codec, wish, srtp);
        let mut session = SessionDescription::new(local.ip, origin.id, origin.version);
        for (i, offered) in self.session.media.iter().enumerate() {
            if i == stream.index {
                let dtmf = stream.dtmf_with(codec.0).map(|payload_type| (payload_type, codec.0.clock_rate()));
                let mut media =
                    audio(local, &[codec], dtmf.as_slice(), stream.comfort_noise, params.direction);
                media.protocol.clone_from(&offered.protocol);
                if let (Some(theirs), Some(srtp)) = (crypto, srtp) {
                    let ours = Crypto { key: srtp.local, ..*theirs };
                    media.attributes.push(Attribute::valued("crypto", ours.to_value()));
                }
                session.media.push(media);
            } else {
                let mut refused = MediaDescription::audio(0, offered.formats.clone());
                refused.media.clone_from(&offered.media);
                refused.protocol.clone_from(&offered.protocol);
                session.media.push(refused);
            }
        }
        Ok((session.to_string_sdp(), params))
    }
}

impl Stream {
    fn read(session: &SessionDescription, index: usize, media: &MediaDescription) -> Option<Self> {
        let savp = match media.protocol.as_str() {
            "RTP/AVP" | "RTP/AVPF" => false,
            "RTP/SAVP" | "RTP/SAVPF" => true,
            _ => return None,
        };
        let ip = session.address_for(media)?;
        let mut codecs: Vec<(Codec, u8)> = Vec::new();
        let (mut dtmf, mut comfort_noise) = (Vec::new(), None);
        for format in media.formats.iter().take(MOST_FORMATS) {
            let Ok(payload_type) = format.parse::<u8>() else { continue };
            if payload_type > 127 {
                continue;
            }
            let map = media.rtpmap(format).and_then(|value| model::rtpmap::Rtpmap::parse(value).ok());
            let (encoding, clock_rate) = match (&map, payload_type) {
                (Some(map), _) => (map.encoding(), map.clock_rate()),
                (None, 0) => ("PCMU", 8000),
                (None, 8) => ("PCMA", 8000),
                (None, 9) => ("G722", 8000),
                (None, 13) => ("CN", 8000),
                (None, _) => continue,
            };
            if let Some(codec) = Codec::named(encoding, clock_rate) {
                if !codecs.iter().any(|(known, _)| *known == codec) {
                    codecs.push((codec, payload_type));
                }
            } else if encoding.eq_ignore_ascii_case("telephone-event") {
                dtmf.push((payload_type, clock_rate));
            } else if encoding.eq_ignore_ascii_case("CN") && clock_rate == 8000 {
                comfort_noise = comfort_noise.or(Some(payload_type));
            }
        }

        // A session-level direction holds for streams without one (RFC 8866 §6.7); `c=0.0.0.0` is the old way to hold.
        let direction = media.declared_direction().unwrap_or_else(|| session.direction());
        let addr = SocketAddr::new(ip, media.port);
        let ptime = media
            .attribute("ptime")
            .and_then(|a| a.value.as_deref())
            .and_then(|v| v.trim().parse::<u64>().ok())
            .filter(|ms| (10..=60).contains(ms) && ms % 10 == 0)
            .unwrap_or(20);
        let crypto = media.attributes.iter().filter(|a| a.name == "crypto");
        Some(Self {
            index,
            savp,
            crypto: crypto.filter_map(|a| Crypto::parse(a.value.as_deref()?)).collect(),
            addr,
            rtcp: rtcp_addr(media, addr),
            codecs,
            dtmf,
            comfort_noise,
            sends: direction.sends(),
            receives: direction.receives() && !ip.is_unspecified(),
            ptime: Duration::from_millis(ptime),
        })
    }

    fn choose(&self, ours: &[Codec]) -> Option<(Codec, u8)> {
        ours.iter().find_map(|codec| self.codecs.iter().find(|(theirs, _)| theirs == codec)).copied()
    }

    /// The payload type of telephone events whose timestamps are those of `codec`: others could not be told apart from its silence.
    fn dtmf_with(&self, codec: Codec) -> Option<u8> {
        self.dtmf
            .iter()
            .find(|(_, clock)| *clock == codec.clock_rate())
            .map(|(payload_type, _)| *payload_type)
    }

    fn params(&self, codec: (Codec, u8), wish: Direction, srtp: Option<SrtpParams>) -> MediaParams {
        MediaParams {
            remote: self.addr,
            remote_rtcp: self.rtcp,
            codec: codec.0,
            payload_type: codec.1,
            dtmf_payload_type: self.dtmf_with(codec.0),
            comfort_noise_payload_type: self.comfort_noise,
            direction: Direction::new(wish.sends() && self.receives, wish.receives() && self.sends),
            ptime: self.ptime,
            srtp: srtp.map(Box::new),
        }
    }
}

/// Our offer: the agreed payload types first if there is an agreement, then all else that we can. In SRTP if there are
/// keys for it.
pub(crate) fn offer(
    local: &LocalMedia,
    origin: Origin,
    wish: Direction,
    agreed: Option<&MediaParams>,
    keys: &[Crypto],
) -> String {
    let mut codecs: Vec<(Codec, u8)> = agreed.iter().map(|a| (a.codec, a.payload_type)).collect();
    for &codec in &local.codecs {
        if !codecs.iter().any(|(known, _)| *known == codec) {
            let taken = |payload_type| codecs.iter().any(|(_, known)| *known == payload_type);
            codecs.push((codec, free(codec.payload_type(), taken)));
        }
    }
    let mut dtmf: Vec<(u8, u32)> =
        agreed.and_then(|a| Some((a.dtmf_payload_type?, a.codec.clock_rate()))).into_iter().collect();
    for (payload_type, clock) in DTMF_PAYLOAD_TYPES {
        let wanted = codecs.iter().any(|(codec, _)| codec.clock_rate() == clock);
        if wanted && !dtmf.iter().any(|(_, known)| *known == clock) {
            let taken = |payload_type| {
                codecs.iter().any(|(_, known)| *known == payload_type)
                    || dtmf.iter().any(|(known, _)| *known == payload_type)
            };
            dtmf.push((free(payload_type, taken), clock));
        }
    }
    let noise = agreed.and_then(|a| a.comfort_noise_payload_type).unwrap_or(COMFORT_NOISE_PAYLOAD_TYPE);
    let mut session = SessionDescription::new(local.ip, origin.id, origin.version);
    let mut media = audio(local, &codecs, &dtmf, Some(noise), wish);
    if !keys.is_empty() {
        "RTP/SAVP".clone_into(&mut media.protocol);
        media.attributes.extend(keys.iter().map(|key| Attribute::valued("crypto", key.to_value())));
    }
    session.media.push(media);
    session.to_string_sdp()
}

/// `wanted`, or the first dynamic payload type that is not `taken`.
fn free(wanted: u8, taken: impl Fn(u8) -> bool) -> u8 {
    if taken(wanted) {
        (96..128).find(|payload_type| !taken(*payload_type)).unwrap_or(wanted)
    } else {
        wanted
    }
}

fn audio(
    local: &LocalMedia,
    codecs: &[(Codec, u8)],
    dtmf: &[(u8, u32)],
    comfort_noise: Option<u8>,
    direction: Direction,
) -> MediaDescription {
    let mut formats: Vec<String> = Vec::new();
    let mut attributes: Vec<Attribute> = Vec::new();
    let mut add = |payload_type: u8, map: &str, parameters: Option<&str>| {
        formats.push(payload_type.to_string());
        attributes.push(Attribute::valued("rtpmap", format!("{payload_type} {map}")));
        if let Some(parameters) = parameters {
            attributes.push(Attribute::valued("fmtp", format!("{payload_type} {parameters}")));
        }
    };
    for (codec, payload_type) in codecs {
        add(*payload_type, &codec.rtpmap(), codec.fmtp());
    }
    if let Some(payload_type) = comfort_noise {
        add(payload_type, "CN/8000", None);
    }
    for (payload_type, clock) in dtmf {
        add(*payload_type, &format!("telephone-event/{clock}"), Some("0-16"));
    }
    let mut media = MediaDescription::audio(local.port, formats);
    media.attributes = attributes;
    media.attributes.push(Attribute::valued("ptime", "20"));
    media.set_direction(direction.wire());
    media
}

/// RFC 3605, or the next port.
fn rtcp_addr(media: &MediaDescription, rtp: SocketAddr) -> Option<SocketAddr> {
    let Some(value) = media.attribute("rtcp").and_then(|a| a.value.as_deref()) else {
        return rtp.port().checked_add(1).map(|port| SocketAddr::new(rtp.ip(), port));
    };
    let mut words = value.split_ascii_whitespace();
    let port = words.next()?.parse().ok()?;
    let ip = words.nth(2).and_then(|ip| ip.parse().ok()).unwrap_or(rtp.ip());
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests;
