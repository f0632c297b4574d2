//! What the media path counted, for the call record and the metrics.

use std::time::Duration;

/// One call's media in both directions, since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct MediaStats {
    /// RTP packets accepted: audio, comfort noise and events.
    pub received: u64,
    /// Packets that should have come by sequence number and did not (RFC 3550 A.3).
    pub lost: u64,
    /// Packets whose audio came after its time.
    pub late: u64,
    /// Packets received again.
    pub duplicate: u64,
    /// Milliseconds of audio made up for what did not come in time.
    pub concealed_ms: u64,
    /// Interarrival jitter (RFC 3550 §6.4.1).
    pub jitter: Duration,
    /// How long audio waits in the jitter buffer at present.
    pub buffer: Duration,
    /// RTP packets sent.
    pub sent: u64,
    /// Payload octets sent.
    pub octets: u64,
    /// Packets that were not sent because the socket's buffer was full or the system refused.
    pub send_dropped: u64,
    /// Share of our packets that the other side lost in its last report, 0 to 1.
    pub remote_loss: Option<f32>,
    /// Jitter that the other side measured in its last report.
    pub remote_jitter: Option<Duration>,
    /// Round-trip time from the other side's last report.
    pub rtt: Option<Duration>,
    /// The other side said goodbye over RTCP.
    pub remote_bye: bool,
    /// Packets from someone else than the source that is locked in.
    pub rejected_source: u64,
    /// Packets with a payload type that was not agreed, or a payload that cannot be one.
    pub rejected_payload: u64,
    /// Datagrams that are not RTP or RTCP, or belong to no known timeline.
    pub malformed: u64,
    /// Encrypted packets that had come before, or were too old to tell (RFC 3711 §3.3.2).
    pub srtp_replayed: u64,
    /// Packets that did not come from who has the key: forged, damaged, or not encrypted though SRTP was agreed on.
    pub srtp_forged: u64,
}
