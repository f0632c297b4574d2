//! A browser's offer (RFC 8866, RFC 9429): read, checked, and written again with only what we speak.
//!
//! The engine never sees what the browser wrote. It refuses two fingerprints of one certificate, forgets sections that
//! name no direction, takes a data channel whenever one is offered, and loses the media of a peer whose SSRC is not the
//! one announced. So it gets [`Offer::to_engine`]: one audio section, one codec.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::candidate::{self, is_ice_char};
use crate::{Agreed, Codec, Error};

/// Octets of an offer that are read. Those of browsers with sound and picture have about 8,000.
pub(crate) const MOST_OCTETS: usize = 64 * 1024;
/// Candidates of one peer that are used, in the offer and later.
pub(crate) const MOST_CANDIDATES: usize = 32;
/// Formats of a section that are looked at.
const MOST_FORMATS: usize = 64;
/// Digests of certificates that are good enough.
const DIGESTS: [&str; 3] = ["sha-256", "sha-384", "sha-512"];

/// Who sends, as they see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Both,
    TheySend,
    WeSend,
    Nobody,
}

/// One `m=` section with its lines.
#[derive(Debug)]
pub(crate) struct Section<'a> {
    pub(crate) media: &'a str,
    pub(crate) protocol: &'a str,
    pub(crate) formats: Vec<&'a str>,
    port: &'a str,
    lines: Vec<&'a str>,
}

/// What a browser offers, as far as we use it.
#[derive(Debug)]
pub(crate) struct Offer<'a> {
    pub(crate) sections: Vec<Section<'a>>,
    /// The section that we accept.
    pub(crate) audio: usize,
    pub(crate) agreed: Agreed,
    pub(crate) direction: Direction,
    /// Whether they wait for us to begin with DTLS, as the answer then says.
    pub(crate) we_begin: bool,
    /// Whether the audio section is one of a bundle.
    pub(crate) bundled: bool,
    /// Where they can be reached, plainly.
    pub(crate) candidates: Vec<String>,
    /// User name, password, fingerprint.
    security: [&'a str; 3],
}

impl<'a> Offer<'a> {
    /// Reads an offer.
    ///
    /// # Errors
    /// [`Error`] if it is too long, no SDP, or has no audio that we could answer.
    pub(crate) fn parse(text: &'a str) -> Result<Self, Error> {
        if text.len() > MOST_OCTETS {
            return Err(Error::TooLong { length: text.len(), most: MOST_OCTETS });
        }
        let (session, sections) = split(text)?;
        let audio = choose(&sections)?;
        let section = &sections[audio];
        let everywhere = || {
            [section.lines.as_slice(), &session]
                .into_iter()
                .chain(sections.iter().map(|section| &section.lines[..]))
        };
        let find = |name, fits: &dyn Fn(&str) -> bool| {
            everywhere().flat_map(|lines| attributes(lines, name)).find(|value| fits(value))
        };
        let security = [
            find("ice-ufrag", &|value| is_secret(value, 4)).ok_or(Error::NoIce)?,
            find("ice-pwd", &|value| is_secret(value, 22)).ok_or(Error::NoIce)?,
            find("fingerprint", &is_fingerprint).ok_or(Error::NoFingerprint)?,
        ];
        let direction = direction(&section.lines).or_else(|| direction(&session)).unwrap_or(Direction::Both);
        let mid = section.mid();
        let bundled = attributes(&session, "group").any(|group| {
            group.strip_prefix("BUNDLE ").is_some_and(|mids| mids.split(' ').any(|one| Some(one) == mid))
        });
        // Candidates of other sections would be for other ports, unless all share one; those we learn from their checks.
        let mut candidates: Vec<String> = attributes(&section.lines, "candidate")
            .filter_map(|line| candidate::parse(line).ok().flatten())
            .collect();
        candidates.truncate(MOST_CANDIDATES);
        Ok(Self {
            agreed: section.agree().ok_or_else(|| section.no_codec())?,
            audio,
            direction,
            we_begin: find("setup", &|_| true) != Some("active"),
            bundled,
            candidates,
            security,
            sections,
        })
    }

    /// The name of the audio section.
    pub(crate) fn mid(&self) -> Option<&'a str> {
        self.sections[self.audio].mid()
    }

    /// The offer as the engine gets it.
    pub(crate) fn to_engine(&self) -> String {
        let [user, password, fingerprint] = self.security;
        let mut sdp = format!(
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n\
             m=audio 9 UDP/TLS/RTP/SAVPF {formats}\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\n\
             a=ice-ufrag:{user}\r\na=ice-pwd:{password}\r\na=fingerprint:{fingerprint}\r\na=setup:{setup}\r\n\
             a=ice-options:trickle\r\na=rtcp-mux\r\na=sendrecv\r\na=msid:theirs audio\r\n{maps}",
            formats = self.agreed.formats(),
            setup = if self.we_begin { "passive" } else { "active" },
            maps = self.agreed.maps(),
        );
        for candidate in &self.candidates {
            let _ = write!(sdp, "a=candidate:{candidate}\r\n");
        }
        sdp
    }
}

impl<'a> Section<'a> {
    /// Its name.
    pub(crate) fn mid(&self) -> Option<&'a str> {
        attributes(&self.lines, "mid").find(|mid| !mid.is_empty() && !mid.contains(' '))
    }

    fn is_refused(&self) -> bool {
        self.port == "0" && attributes(&self.lines, "bundle-only").next().is_none()
    }

    /// Payload type, name in small letters, and clock of every format.
    fn codecs(&self) -> Vec<(u8, String, u32)> {
        let mut maps = BTreeMap::from([(0, "PCMU/8000"), (8, "PCMA/8000")]);
        for (number, map) in attributes(&self.lines, "rtpmap").filter_map(|map| map.split_once(' ')) {
            if let Ok(number) = number.parse::<u8>() {
                maps.insert(number, map.trim());
            }
        }
        let codec = |format: &&str| {
            let payload_type: u8 = format.parse().ok().filter(|number| *number < 128)?;
            let mut parts = maps.get(&payload_type)?.split('/');
            let name = parts.next()?.to_ascii_lowercase();
            Some((payload_type, name, parts.next()?.parse().ok()?))
        };
        self.formats.iter().filter_map(codec).collect()
    }

    /// The best codec that both speak.
    fn agree(&self) -> Option<Agreed> {
        let codecs = self.codecs();
        let find = |wanted: &str, clock: u32| {
            let found = codecs.iter().find(|(_, name, rate)| name == wanted && *rate == clock);
            found.map(|(payload_type, ..)| *payload_type)
        };
        let (codec, payload_type) = Codec::PREFERRED
            .into_iter()
            .find_map(|codec| Some((codec, find(&codec.name().to_ascii_lowercase(), codec.rate())?)))?;
        Some(Agreed { codec, payload_type, dtmf_payload_type: find("telephone-event", codec.rate()) })
    }

    fn no_codec(&self) -> Error {
        let mut names: Vec<String> = self.codecs().into_iter().map(|(_, name, _)| name).collect();
        names.dedup();
        names.truncate(12);
        Error::NoCodec { offered: if names.is_empty() { "none".to_owned() } else { names.join(", ") } }
    }
}

/// The lines of the session and those of every section.
fn split(text: &str) -> Result<(Vec<&str>, Vec<Section<'_>>), Error> {
    let mut session = Vec::new();
    let mut sections: Vec<Section<'_>> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let broken = Error::NotSdp { line: index + 1 };
        let line = line.trim_end();
        let value = match line.as_bytes() {
            [] if index > 0 => continue,
            [key, b'=', ..] if key.is_ascii_lowercase() && !line.contains(char::is_control) => &line[2..],
            _ => return Err(broken),
        };
        if index == 0 && line != "v=0" {
            return Err(broken);
        }
        if line.starts_with("m=") {
            let mut fields = value.split_ascii_whitespace();
            let (Some(media), Some(port), Some(protocol)) = (fields.next(), fields.next(), fields.next())
            else {
                return Err(broken);
            };
            let formats = fields.take(MOST_FORMATS).collect();
            sections.push(Section { media, protocol, formats, port, lines: Vec::new() });
        } else {
            sections.last_mut().map_or(&mut session, |section| &mut section.lines).push(line);
        }
    }
    if session.is_empty() { Err(Error::NotSdp { line: 1 }) } else { Ok((session, sections)) }
}

/// The first audio section with a codec of ours.
fn choose(sections: &[Section<'_>]) -> Result<usize, Error> {
    let offered = |section: &&Section<'_>| section.media == "audio" && !section.is_refused();
    match sections.iter().position(|section| offered(&section) && section.agree().is_some()) {
        Some(index) => Ok(index),
        None => Err(sections.iter().find(offered).map_or(Error::NoAudio, Section::no_codec)),
    }
}

/// The values of all attributes of a name; of those without a value, nothing.
fn attributes<'s, 'a: 's>(lines: &'s [&'a str], name: &'s str) -> impl Iterator<Item = &'a str> + 's {
    lines.iter().filter_map(move |line| {
        let rest = line.strip_prefix("a=")?.strip_prefix(name)?;
        if rest.is_empty() { Some(rest) } else { rest.strip_prefix(':').map(str::trim) }
    })
}

fn direction(lines: &[&str]) -> Option<Direction> {
    lines.iter().find_map(|line| match *line {
        "a=sendrecv" => Some(Direction::Both),
        "a=sendonly" => Some(Direction::TheySend),
        "a=recvonly" => Some(Direction::WeSend),
        "a=inactive" => Some(Direction::Nobody),
        _ => None,
    })
}

fn is_secret(value: &str, least: usize) -> bool {
    (least..=256).contains(&value.len())
        && value.bytes().all(|byte| is_ice_char(byte) || byte == b'-' || byte == b'_')
}

fn is_fingerprint(value: &str) -> bool {
    value.split_once(' ').is_some_and(|(digest, value)| {
        DIGESTS.iter().any(|known| digest.eq_ignore_ascii_case(known))
            && value
                .split(':')
                .all(|octet| octet.len() == 2 && octet.bytes().all(|byte| byte.is_ascii_hexdigit()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FINGERPRINT: &str = "sha-256 4A:AD:B9:B1:3F:82:18:3B:54:02:12:DF:3E:5D:49:6B:19:E5:7C:AB:4A:AD:B9:B1:3F:82:18:3B:54:02:12:DF";

    fn offer(session: &str, audio: &str) -> String {
        format!("v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n{session}{audio}")
    }

    fn firefox() -> String {
        offer(
            &format!("a=fingerprint:{FINGERPRINT}\r\na=group:BUNDLE 0 1\r\n"),
            "m=video 9 UDP/TLS/RTP/SAVPF 120\r\na=mid:0\r\na=rtpmap:120 VP8/90000\r\n\
             m=audio 9 UDP/TLS/RTP/SAVPF 109 9 0 8 101\r\na=mid:1\r\na=recvonly\r\na=setup:actpass\r\n\
             a=ice-ufrag:6f1e2d3c\r\na=ice-pwd:0123456789abcdef0123456789abcdef\r\n\
             a=rtpmap:109 opus/48000/2\r\na=rtpmap:9 G722/8000/1\r\na=rtpmap:101 telephone-event/8000\r\n\
             a=candidate:0 1 UDP 2122252543 name.local 5000 typ host\r\n\
             a=candidate:1 1 UDP 2122252542 192.0.2.9 5001 typ host\r\n",
        )
    }

    #[test]
    fn the_audio_section_is_found_wherever_it_is() {
        let text = firefox();
        let offer = Offer::parse(&text).expect("an offer");
        assert_eq!((offer.audio, offer.mid(), offer.bundled, offer.we_begin), (1, Some("1"), true, true));
        assert_eq!(offer.direction, Direction::WeSend);
        let agreed =
            // Its events have another clock than Opus.
            Agreed { codec: Codec::Opus, payload_type: 109, dtmf_payload_type: None };
        assert_eq!(offer.agreed, agreed);
        assert_eq!(offer.candidates, ["1 1 udp 2122252542 192.0.2.9 5001 typ host"]);
    }

    #[test]
    fn opus_is_preferred_and_then_pcma_even_without_a_map() {
        let plain = firefox().replace("opus", "speex");
        assert_eq!(Offer::parse(&plain).expect("an offer").agreed.codec, Codec::Pcma);
        let less = plain.replace(" 8 101", " 101");
        assert_eq!(Offer::parse(&less).expect("an offer").agreed.codec, Codec::Pcmu);
    }

    #[test]
    fn of_many_fingerprints_the_first_good_one_is_taken() {
        let text = firefox().replace("a=fingerprint:", "a=fingerprint:sha-1 00:11\r\na=fingerprint:");
        assert!(Offer::parse(&text).expect("an offer").to_engine().contains(FINGERPRINT));
    }

    #[test]
    fn a_peer_that_begins_is_let_begin() {
        let text = firefox().replace("actpass", "active");
        let offer = Offer::parse(&text).expect("an offer");
        assert!(!offer.we_begin && offer.to_engine().contains("a=setup:active\r\n"));
    }

    #[test]
    fn every_lack_has_its_own_error() {
        let good = firefox();
        let lack = |text: String| Offer::parse(&text).expect_err("not good").to_string();
        assert!(lack(String::new()).contains("no SDP (line 1)"));
        assert!(lack("{\"type\":\"offer\"}".to_owned()).contains("no SDP (line 1)"));
        assert!(lack("\u{0}\u{1}garbage".to_owned()).contains("no SDP"));
        assert!(lack(good.replace("a=mid:1", "what is this")).contains("no SDP (line 11)"));
        assert!(lack(good.replace("m=audio", "m=text")).contains("no audio section"));
        assert!(lack(good.replace("m=audio 9", "m=audio 0")).contains("no audio section"));
        assert!(lack(good.replace(" 109 9 0 8 101", " 9 101")).contains("it has g722, telephone-event"));
        assert!(lack(good.replace("a=fingerprint", "a=x")).contains("fingerprint"));
        assert!(lack(good.replace(FINGERPRINT, "md5 00")).contains("fingerprint"));
        assert!(lack(good.replace("a=ice-ufrag", "a=x")).contains("ice-ufrag"));
        assert!(
            lack(good.replace("a=ice-pwd:0123456789abcdef", "a=ice-pwd:")).contains("ice-pwd"),
            "too short"
        );
        assert!(lack(good.clone() + &"a=x\r\n".repeat(20_000)).contains("65536"));
    }
}
