//! What can be wrong with an offer, a candidate, or this machine's ports.

use std::io;
use std::net::IpAddr;

/// Why there is no peer, or why a candidate is not taken.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Longer than any browser writes.
    #[error(
        "the offer has {length} octets, and {most} is the most that is read: send the SDP of one connection"
    )]
    TooLong {
        /// Octets that came.
        length: usize,
        /// Octets that are read.
        most: usize,
    },
    /// No session description.
    #[error("the offer is no SDP (line {line}): send the `sdp` of what `createOffer` gave, as it is")]
    NotSdp {
        /// The first line that does not fit, from 1.
        line: usize,
    },
    /// Nothing to talk over.
    #[error(
        "the offer has no audio section: add a microphone track or an audio transceiver before `createOffer`"
    )]
    NoAudio,
    /// Audio, but not as we speak it.
    #[error("the offer has none of the codecs opus, PCMA and PCMU: it has {offered}; offer one of them")]
    NoCodec {
        /// The names that were offered, or "none".
        offered: String,
    },
    /// Nobody to check the encryption against.
    #[error(
        "the offer has no certificate fingerprint of sha-256, sha-384 or sha-512: \
         this side speaks DTLS-SRTP only, so offer it"
    )]
    NoFingerprint,
    /// No way to find each other.
    #[error(
        "the offer has no valid ice-ufrag and ice-pwd: offer ICE, with the attributes as the browser wrote them"
    )]
    NoIce,
    /// A line that is no candidate.
    #[error(
        "{line:?} is no ICE candidate: send the `candidate` of the browser's `icecandidate` event as it is"
    )]
    BadCandidate {
        /// The beginning of what came.
        line: String,
    },
    /// Nobody has so many addresses.
    #[error("more than {most} ICE candidates for one peer: the rest is not used")]
    TooManyCandidates {
        /// How many are used.
        most: usize,
    },
    /// Every port is taken.
    #[error(
        "no free UDP port on {ip} between {first} and {last}: widen the port range, or find what holds them"
    )]
    Exhausted {
        /// The address to bind.
        ip: IpAddr,
        /// First port of the range.
        first: u16,
        /// Last port of the range.
        last: u16,
    },
    /// The system refuses for another reason than a port in use.
    #[error("cannot open UDP port {port} on {ip}: {source}; is this an address of this machine?")]
    Refused {
        /// The address to bind.
        ip: IpAddr,
        /// The port that was tried.
        port: u16,
        /// What the system said.
        source: io::Error,
    },
    /// Bound to every address, of which there is none that could be told.
    #[error(
        "{ip} stands for no address that a browser could reach: bind one address, or set what to advertise"
    )]
    NoAddress {
        /// The address that was bound.
        ip: IpAddr,
    },
    /// Something that was not foreseen.
    #[error("the WebRTC library cannot go on: {0}; if the browser is a common one, report its offer")]
    Engine(#[from] webrtc::error::Error),
}
