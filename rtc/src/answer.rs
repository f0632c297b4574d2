//! Our answer: what the engine decided, at the addresses that the browser shall know.

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};

use crate::candidate;
use crate::offer::{Direction, Offer};

/// What an answer is made of, beside the offer.
pub(crate) struct Answer<'a> {
    /// The engine's own answer.
    pub(crate) engine: &'a str,
    /// Where we can be reached.
    pub(crate) addresses: &'a [SocketAddr],
    /// Of what we send.
    pub(crate) ssrc: u32,
}

impl Answer<'_> {
    /// Writes it: one section for each that was offered, all but one refused.
    pub(crate) fn write(&self, offer: &Offer<'_>) -> String {
        let mut sdp =
            format!("v=0\r\no={}\r\ns=-\r\nt=0 0\r\n", self.find("o=").unwrap_or("- 1 1 IN IP4 0.0.0.0"));
        if let Some(mid) = offer.mid().filter(|_| offer.bundled) {
            let _ = write!(sdp, "a=group:BUNDLE {mid}\r\n");
        }
        for (index, section) in offer.sections.iter().enumerate() {
            let (media, protocol) = (section.media, section.protocol);
            if index == offer.audio {
                self.audio(&mut sdp, offer, protocol);
            } else {
                // Of a refused stream the format means nothing; but what no line maps may be taken for a fault, 0 excepted.
                let formats =
                    if protocol.contains("RTP") { "0".to_owned() } else { section.formats.join(" ") };
                let _ = write!(sdp, "m={media} 0 {protocol} {formats}\r\nc=IN IP4 0.0.0.0\r\na=inactive\r\n");
                mid(&mut sdp, section.mid());
            }
        }
        sdp
    }

    fn audio(&self, sdp: &mut String, offer: &Offer<'_>, protocol: &str) {
        let (ip, port) = self
            .addresses
            .first()
            .map_or((IpAddr::from([0, 0, 0, 0]), 9), |first| (first.ip(), first.port()));
        let version = if ip.is_ipv4() { 4 } else { 6 };
        let _ = write!(
            sdp,
            "m=audio {port} {protocol} {formats}\r\nc=IN IP{version} {ip}\r\n{maps}a=ptime:20\r\na=rtcp-mux\r\n",
            formats = offer.agreed.formats(),
            maps = offer.agreed.maps(),
        );
        mid(sdp, offer.mid());
        for name in ["a=setup:", "a=ice-ufrag:", "a=ice-pwd:", "a=fingerprint:"] {
            if let Some(value) = self.find(name) {
                let _ = write!(sdp, "{name}{value}\r\n");
            }
        }
        let direction = match offer.direction {
            Direction::Both => "sendrecv",
            Direction::TheySend => "recvonly",
            Direction::WeSend => "sendonly",
            Direction::Nobody => "inactive",
        };
        let _ = write!(sdp, "a={direction}\r\n");
        if matches!(offer.direction, Direction::Both | Direction::WeSend) {
            let _ = write!(sdp, "a=msid:nightline audio\r\na=ssrc:{} cname:nightline\r\n", self.ssrc);
        }
        for (index, address) in self.addresses.iter().enumerate() {
            let _ = write!(sdp, "a={}\r\n", candidate::host(index as u16, address.ip(), address.port()));
        }
        sdp.push_str("a=end-of-candidates\r\n");
    }

    /// What the engine wrote after `prefix`, at its first place.
    fn find(&self, prefix: &str) -> Option<&str> {
        self.engine.lines().find_map(|line| line.strip_prefix(prefix)).map(str::trim_end)
    }
}

/// The addresses that the engine is bound to and that mean something to somebody else.
pub(crate) fn bound(engine: &str) -> Vec<SocketAddr> {
    let mut all: Vec<SocketAddr> = Vec::new();
    for line in engine.lines() {
        let mut fields = line.strip_prefix("a=candidate:").unwrap_or_default().split(' ').skip(4);
        let (Some(Ok(ip)), Some(Ok(port))) = (fields.next().map(str::parse), fields.next().map(str::parse))
        else {
            continue;
        };
        let address = SocketAddr::new(ip, port);
        if !ip.is_unspecified() && !all.contains(&address) {
            all.push(address);
        }
    }
    all
}

fn mid(sdp: &mut String, mid: Option<&str>) {
    if let Some(mid) = mid {
        let _ = write!(sdp, "a=mid:{mid}\r\n");
    }
}
