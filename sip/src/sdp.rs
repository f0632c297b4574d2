//! Session descriptions: what we offer, what we answer, and what the two sides agreed on (RFC 3264, RFC 8866).
//!
//! One audio stream in plain RTP. Other streams of an offer are kept in the answer with port 0.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use sipx_sdp as model;
use sipx_sdp::{Attribute, MediaDescription, SessionDescription};

/// A speech codec that can be negotiated. G.722 and Opus will join it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Codec {
    /// G.711 A-law, 8 kHz (China, Europe).
    Pcma,
    /// G.711 µ-law, 8 kHz (North America, Japan).
    Pcmu,
}

impl Codec {
    /// All that this version can negotiate, best known first.
    pub const ALL: [Self; 2] = [Self::Pcma, Self::Pcmu];

    /// The encoding name in SDP.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pcma => "PCMA",
            Self::Pcmu => "PCMU",
        }
    }

    /// RTP clock rate in Hz.
    pub fn clock_rate(self) -> u32 {
        8000
    }

    /// The payload type that RFC 3551 gives it.
    pub fn payload_type(self) -> u8 {
        match self {
            Self::Pcma => 8,
            Self::Pcmu => 0,
        }
    }

    fn named(encoding: &str, clock_rate: u32) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|codec| codec.name().eq_ignore_ascii_case(encoding) && codec.clock_rate() == clock_rate)
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
}

/// Why a description cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SdpError {
    /// It is not SDP.
    #[error("the session description cannot be read: {0}")]
    Unreadable(String),
    /// There is no audio stream in plain RTP with an address.
    #[error("the session description has no usable audio stream; offer m=audio with RTP/AVP")]
    NoAudio,
    /// None of the codecs fits.
    #[error("no codec in common; offer PCMA or PCMU")]
    NoCommonCodec,
}

impl SdpError {
    /// The warn-code and warn-text of RFC 3261 §20.43.
    pub(crate) fn warning(&self) -> (u16, &'static str) {
        match self {
            Self::Unreadable(_) => (399, "Session description cannot be read"),
            Self::NoAudio => (304, "Media type not available: audio over RTP/AVP is needed"),
            Self::NoCommonCodec => (305, "Incompatible media format: offer PCMA or PCMU"),
        }
    }
}

/// A description from the peer, read and found usable.
#[derive(Debug, Clone)]
pub(crate) struct Remote {
    session: SessionDescription,
    stream: usize,
    addr: SocketAddr,
    rtcp: Option<SocketAddr>,
    codecs: Vec<(Codec, u8)>,
    dtmf: Option<u8>,
    comfort_noise: Option<u8>,
    sends: bool,
    receives: bool,
    ptime: Duration,
}

/// What names our description in `o=`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin {
    pub(crate) id: u64,
    pub(crate) version: u64,
}

/// Default payload type for telephone events in our offers.
const DTMF_PAYLOAD_TYPE: u8 = 101;
const COMFORT_NOISE_PAYLOAD_TYPE: u8 = 13;

impl Remote {
    /// Reads an offer or an answer.
    pub(crate) fn read(body: &[u8]) -> Result<Self, SdpError> {
        let text = String::from_utf8_lossy(body);
        let session = model::parse(&text).map_err(|error| SdpError::Unreadable(error.to_string()))?;
        let (stream, media, ip) = session
            .media
            .iter()
            .enumerate()
            .filter(|(_, m)| m.media == "audio" && !m.is_rejected())
            .filter(|(_, m)| matches!(m.protocol.as_str(), "RTP/AVP" | "RTP/AVPF"))
            .find_map(|(i, m)| session.address_for(m).map(|ip| (i, m, ip)))
            .ok_or(SdpError::NoAudio)?;

        let mut codecs: Vec<(Codec, u8)> = Vec::new();
        let (mut dtmf, mut comfort_noise) = (None, None);
        for format in &media.formats {
            let Ok(payload_type) = format.parse::<u8>() else { continue };
            if payload_type > 127 {
                continue;
            }
            let map = media.rtpmap(format).and_then(|value| model::rtpmap::Rtpmap::parse(value).ok());
            let (encoding, clock_rate) = match (&map, payload_type) {
                (Some(map), _) => (map.encoding(), map.clock_rate()),
                (None, 0) => ("PCMU", 8000),
                (None, 8) => ("PCMA", 8000),
                (None, 13) => ("CN", 8000),
                (None, _) => continue,
            };
            if let Some(codec) = Codec::named(encoding, clock_rate) {
                if !codecs.iter().any(|(known, _)| *known == codec) {
                    codecs.push((codec, payload_type));
                }
            } else if encoding.eq_ignore_ascii_case("telephone-event") && clock_rate == 8000 {
                dtmf = dtmf.or(Some(payload_type));
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
        Ok(Self {
            stream,
            addr,
            rtcp: rtcp_addr(media, addr),
            codecs,
            dtmf,
            comfort_noise,
            sends: direction.sends(),
            receives: direction.receives() && !ip.is_unspecified(),
            ptime: Duration::from_millis(ptime),
            session,
        })
    }

    /// Whether any of these codecs is in it.
    pub(crate) fn has_any(&self, ours: &[Codec]) -> bool {
        self.choose(ours).is_some()
    }

    fn choose(&self, ours: &[Codec]) -> Option<(Codec, u8)> {
        ours.iter().find_map(|codec| self.codecs.iter().find(|(theirs, _)| theirs == codec)).copied()
    }

    fn params(&self, codec: (Codec, u8), wish: Direction) -> MediaParams {
        MediaParams {
            remote: self.addr,
            remote_rtcp: self.rtcp,
            codec: codec.0,
            payload_type: codec.1,
            dtmf_payload_type: self.dtmf,
            comfort_noise_payload_type: self.comfort_noise,
            direction: Direction::new(wish.sends() && self.receives, wish.receives() && self.sends),
            ptime: self.ptime,
        }
    }

    /// What this answer to our offer makes of the session.
    pub(crate) fn as_answer(&self, local: &LocalMedia, wish: Direction) -> Result<MediaParams, SdpError> {
        // The answerer's order counts (RFC 3264 §6.1), as far as we know the codecs.
        let codec =
            self.codecs.iter().find(|(c, _)| local.codecs.contains(c)).ok_or(SdpError::NoCommonCodec)?;
        Ok(self.params(*codec, wish))
    }

    /// Our answer to this offer, and what it makes of the session.
    pub(crate) fn answer(
        &self,
        local: &LocalMedia,
        origin: Origin,
        wish: Direction,
    ) -> Result<(String, MediaParams), SdpError> {
        let codec = self.choose(&local.codecs).ok_or(SdpError::NoCommonCodec)?;
        let params = self.params(codec, wish);
        let mut session = SessionDescription::new(local.ip, origin.id, origin.version);
        for (i, offered) in self.session.media.iter().enumerate() {
            if i == self.stream {
                let mut media = audio(local, &[codec], self.dtmf, self.comfort_noise, params.direction);
                media.protocol.clone_from(&offered.protocol);
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

/// Our offer: the agreed payload types first if there is an agreement, then all else that we can.
pub(crate) fn offer(
    local: &LocalMedia,
    origin: Origin,
    wish: Direction,
    agreed: Option<&MediaParams>,
) -> String {
    let mut codecs: Vec<(Codec, u8)> = agreed.iter().map(|a| (a.codec, a.payload_type)).collect();
    for &codec in &local.codecs {
        if !codecs.iter().any(|(known, _)| *known == codec) {
            codecs.push((codec, codec.payload_type()));
        }
    }
    let dtmf = agreed.and_then(|a| a.dtmf_payload_type).unwrap_or(DTMF_PAYLOAD_TYPE);
    let noise = agreed.and_then(|a| a.comfort_noise_payload_type).unwrap_or(COMFORT_NOISE_PAYLOAD_TYPE);
    let mut session = SessionDescription::new(local.ip, origin.id, origin.version);
    session.media.push(audio(local, &codecs, Some(dtmf), Some(noise), wish));
    session.to_string_sdp()
}

fn audio(
    local: &LocalMedia,
    codecs: &[(Codec, u8)],
    dtmf: Option<u8>,
    comfort_noise: Option<u8>,
    direction: Direction,
) -> MediaDescription {
    let mut formats: Vec<String> = Vec::new();
    let mut attributes: Vec<Attribute> = Vec::new();
    let mut add = |payload_type: u8, name: &str, rate: u32| {
        formats.push(payload_type.to_string());
        attributes.push(Attribute::valued("rtpmap", format!("{payload_type} {name}/{rate}")));
    };
    for (codec, payload_type) in codecs {
        add(*payload_type, codec.name(), codec.clock_rate());
    }
    if let Some(payload_type) = comfort_noise {
        add(payload_type, "CN", 8000);
    }
    if let Some(payload_type) = dtmf {
        add(payload_type, "telephone-event", 8000);
        attributes.push(Attribute::valued("fmtp", format!("{payload_type} 0-16")));
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ORIGIN: Origin = Origin { id: 1, version: 1 };

    fn local() -> LocalMedia {
        LocalMedia { ip: "192.0.2.1".parse().expect("an address"), port: 40000, codecs: Codec::ALL.to_vec() }
    }

    fn sdp(media: &str) -> String {
        format!("v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n{media}")
    }

    fn answer(media: &str) -> (String, MediaParams) {
        let remote = Remote::read(sdp(media).as_bytes()).expect("usable SDP");
        remote.answer(&local(), ORIGIN, Direction::SendRecv).expect("an answer")
    }

    #[test]
    fn the_answer_takes_our_best_codec_and_the_offered_event_type() {
        let (text, params) = answer(
            "m=audio 5000 RTP/AVP 0 8 96\r\na=rtpmap:96 telephone-event/8000\r\na=ptime:30\r\na=rtcp:5009\r\n",
        );
        assert_eq!((params.codec, params.payload_type), (Codec::Pcma, 8));
        assert_eq!((params.dtmf_payload_type, params.ptime.as_millis()), (Some(96), 30));
        assert_eq!(params.remote_rtcp, "192.0.2.9:5009".parse().ok());
        assert!(text.contains("m=audio 40000 RTP/AVP 8 96\r\n"), "{text}");
    }

    #[test]
    fn a_dynamic_payload_type_for_g711_is_used_as_offered() {
        let (text, params) = answer("m=audio 5000 RTP/AVP 97\r\na=rtpmap:97 pcmu/8000\r\n");
        assert_eq!((params.codec, params.payload_type), (Codec::Pcmu, 97));
        assert!(text.contains("a=rtpmap:97 PCMU/8000"), "{text}");
    }

    #[test]
    fn the_direction_of_an_answer_mirrors_the_offer_and_keeps_our_own_hold() {
        for (offered, plain, holding) in [
            ("sendrecv", Direction::SendRecv, Direction::SendOnly),
            ("sendonly", Direction::RecvOnly, Direction::Inactive),
            ("recvonly", Direction::SendOnly, Direction::SendOnly),
            ("inactive", Direction::Inactive, Direction::Inactive),
        ] {
            let remote = Remote::read(sdp(&format!("m=audio 5000 RTP/AVP 0\r\na={offered}\r\n")).as_bytes())
                .expect("usable SDP");
            for (wish, wanted) in [(Direction::SendRecv, plain), (Direction::SendOnly, holding)] {
                let (_, params) = remote.answer(&local(), ORIGIN, wish).expect("an answer");
                assert_eq!(params.direction, wanted, "{offered} with our wish {wish:?}");
            }
        }
    }

    #[test]
    fn an_address_of_zeros_means_hold() {
        let (_, params) = answer("m=audio 5000 RTP/AVP 0\r\nc=IN IP4 0.0.0.0\r\n");
        assert_eq!(params.direction, Direction::RecvOnly);
    }

    #[test]
    fn streams_we_do_not_take_stay_in_their_place_with_port_zero() {
        let (text, _) =
            answer("m=video 6000 RTP/AVP 31\r\nm=audio 5000 RTP/AVP 0\r\nm=audio 5002 RTP/AVP 0\r\n");
        let lines: Vec<_> = text.lines().filter(|l| l.starts_with("m=")).collect();
        assert_eq!(lines, ["m=video 0 RTP/AVP 31", "m=audio 40000 RTP/AVP 0", "m=audio 0 RTP/AVP 0"]);
    }

    #[test]
    fn an_offer_without_audio_or_codec_is_refused_by_name() {
        let read = |media: &str| Remote::read(sdp(media).as_bytes());
        assert_eq!(read("m=video 6000 RTP/AVP 31\r\n").map(|_| ()), Err(SdpError::NoAudio));
        assert_eq!(read("m=audio 0 RTP/AVP 0\r\n").map(|_| ()), Err(SdpError::NoAudio));
        let g729 = read("m=audio 6000 RTP/AVP 18\r\n").expect("usable SDP");
        assert!(!g729.has_any(&Codec::ALL));
        assert!(matches!(Remote::read(b"hello"), Err(SdpError::Unreadable(_))));
    }

    #[test]
    fn a_new_offer_keeps_the_agreed_payload_types() {
        let (_, params) = answer(
            "m=audio 5000 RTP/AVP 97 98\r\na=rtpmap:97 PCMU/8000\r\na=rtpmap:98 telephone-event/8000\r\n",
        );
        let text = offer(&local(), ORIGIN, Direction::SendOnly, Some(&params));
        assert!(text.contains("m=audio 40000 RTP/AVP 97 8 13 98\r\n"), "{text}");
        assert!(text.contains("a=sendonly"), "{text}");
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic_the_reader(body in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Remote::read(&body);
        }

        #[test]
        fn arbitrary_lines_never_panic_the_reader_or_the_answer(
            lines in prop::collection::vec("[votcma]=[ -~]{0,40}|m=audio [0-9]{1,6} RTP/AVP( [0-9]{1,4}){0,4}|a=rtpmap:[0-9]{1,3} [a-zA-Z]{1,5}/[0-9]{1,6}", 0..12),
        ) {
            let text = sdp(&lines.join("\r\n"));
            if let Ok(remote) = Remote::read(text.as_bytes()) {
                let _ = remote.as_answer(&local(), Direction::SendRecv);
                if let Ok((answer, _)) = remote.answer(&local(), ORIGIN, Direction::SendRecv) {
                    prop_assert!(Remote::read(answer.as_bytes()).is_ok(), "our own answer is readable");
                }
            }
        }
    }
}
