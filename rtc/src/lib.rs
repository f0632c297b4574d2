//! The WebRTC edge of Nightline: answers a browser's offer and carries its encrypted audio.
//!
//! [`Peer::answer`] takes the SDP of an offer and gives a [`Peer`] and the SDP of the answer; how both travel is the
//! caller's affair. The peer then tells what happens by [`Peer::event`], whole RTP packets among it, and sends RTP packets
//! by [`Peer::send`]. ICE (RFC 8445), DTLS and SRTP (RFC 5764) are the library's; there is no picture, no data channel,
//! no retransmission, and nothing that holds packets back.
//!
//! The answer has every candidate of ours in it, host candidates only: whoever stands behind a firewall must let the
//! ports of [`Config`] through, and tell the address outside as [`Config::advertised`].

mod answer;
mod candidate;
mod clock;
mod error;
#[doc(hidden)]
pub mod fuzzing;
mod inbox;
mod offer;
mod peer;
mod port;
mod socket;
mod tap;
mod tasks;

use std::fmt::Write;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

pub use error::Error;
pub use inbox::{Ended, Event, Stats};
pub use peer::Peer;

/// How long a peer may take from the answer to encrypted media, usually.
pub const CONNECT_WITHIN: Duration = Duration::from_secs(15);

/// How peers are reached.
#[derive(Clone, Debug)]
pub struct Config {
    /// The address of this machine to bind. `0.0.0.0` or `::` stands for every address of that family, but for loopback.
    pub bind: IpAddr,
    /// Where each peer has one UDP port of its own.
    pub ports: RangeInclusive<u16>,
    /// The addresses that browsers are told instead of the bound one, for instance those outside a NAT; empty for the
    /// bound one.
    pub advertised: Vec<IpAddr>,
    /// A peer that is not connected so long after the answer is given up.
    pub connect_within: Duration,
}

impl Config {
    /// One address, as it is, and [`CONNECT_WITHIN`].
    pub fn new(bind: IpAddr, ports: RangeInclusive<u16>) -> Self {
        Self { bind, ports, advertised: Vec::new(), connect_within: CONNECT_WITHIN }
    }
}

/// How audio is coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// RFC 7587, 48,000 ticks a second, one voice, with forward error correction.
    Opus,
    /// G.711 A-law, 8,000 samples a second.
    Pcma,
    /// G.711 µ-law, 8,000 samples a second.
    Pcmu,
}

impl Codec {
    /// The best first.
    const PREFERRED: [Self; 3] = [Self::Opus, Self::Pcma, Self::Pcmu];

    /// As SDP calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Opus => "opus",
            Self::Pcma => "PCMA",
            Self::Pcmu => "PCMU",
        }
    }

    /// Ticks a second of the RTP timestamps.
    pub fn rate(self) -> u32 {
        match self {
            Self::Opus => 48_000,
            Self::Pcma | Self::Pcmu => 8_000,
        }
    }

    /// Channels as SDP has to name them, whatever is sent; 0 if it does not.
    fn channels(self) -> u16 {
        if self == Self::Opus { 2 } else { 0 }
    }

    /// How we want to be sent it.
    fn parameters(self) -> &'static str {
        if self == Self::Opus { "minptime=10;useinbandfec=1;stereo=0" } else { "" }
    }
}

/// What was agreed on about audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// How audio is coded, both ways.
    pub codec: Codec,
    /// Its payload type, both ways.
    pub payload_type: u8,
    /// The payload type of telephone events (RFC 4733) with the clock of the codec, if agreed. Events of another clock could not be told
    /// apart from silence, and are not taken.
    pub dtmf_payload_type: Option<u8>,
}

impl Agreed {
    /// The payload types for an `m=` line.
    fn formats(self) -> String {
        self.dtmf_payload_type
            .map_or_else(|| self.payload_type.to_string(), |dtmf| format!("{} {dtmf}", self.payload_type))
    }

    /// The lines of SDP that say what the payload types are.
    fn maps(self) -> String {
        let (codec, payload_type) = (self.codec, self.payload_type);
        let mut lines = format!("a=rtpmap:{payload_type} {}/{}", codec.name(), codec.rate());
        if codec.channels() > 0 {
            let _ = write!(lines, "/{}", codec.channels());
        }
        lines.push_str("\r\n");
        if !codec.parameters().is_empty() {
            let _ = write!(lines, "a=fmtp:{payload_type} {}\r\n", codec.parameters());
        }
        if let Some(dtmf) = self.dtmf_payload_type {
            let _ =
                write!(lines, "a=rtpmap:{dtmf} telephone-event/{}\r\na=fmtp:{dtmf} 0-15\r\n", codec.rate());
        }
        lines
    }
}
