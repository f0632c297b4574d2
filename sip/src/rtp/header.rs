//! Reading an RTP header (RFC 3550 §5.1) without copying.
//!
//! Ours rather than the `rtp` crate's: version 0.17 panics on a header extension that claims more than the packet has,
//! does not look at the version, and copies. A test below keeps the two in step where the crate is right.

use super::Reject;

/// The fields of an RTP header that a receiver needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// First packet of a talk spurt, or of an event.
    pub marker: bool,
    /// Payload type, 0 to 127.
    pub payload_type: u8,
    /// Sequence number; wraps.
    pub sequence: u16,
    /// Sampling time of the first sample, in samples; wraps.
    pub timestamp: u32,
    /// Synchronisation source.
    pub ssrc: u32,
}

impl Header {
    /// The header and the payload, without padding, of one datagram.
    ///
    /// # Errors
    /// [`Reject::Malformed`] if the datagram is not RTP version 2 or is shorter than its header says.
    pub fn parse(packet: &[u8]) -> Result<(Self, &[u8]), Reject> {
        let (fixed, mut rest) = split(packet)?;
        if fixed[0] & 0x20 != 0 {
            let padding = usize::from(*rest.last().ok_or(Reject::Malformed)?);
            let kept = rest.len().checked_sub(padding).filter(|_| padding > 0).ok_or(Reject::Malformed)?;
            rest = &rest[..kept];
        }
        let header = Self {
            marker: fixed[1] & 0x80 != 0,
            payload_type: fixed[1] & 0x7f,
            sequence: u16::from_be_bytes([fixed[2], fixed[3]]),
            timestamp: u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]),
            ssrc: u32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]]),
        };
        Ok((header, rest))
    }

    /// Writes the twelve octets of a header without contributing sources or extension.
    pub(super) fn write(&self, out: &mut [u8; 12]) {
        out[0] = 0x80;
        out[1] = u8::from(self.marker) << 7 | self.payload_type & 0x7f;
        out[2..4].copy_from_slice(&self.sequence.to_be_bytes());
        out[4..8].copy_from_slice(&self.timestamp.to_be_bytes());
        out[8..12].copy_from_slice(&self.ssrc.to_be_bytes());
    }
}

/// The twelve octets that every header has, and what comes behind the whole of it.
fn split(packet: &[u8]) -> Result<(&[u8; 12], &[u8]), Reject> {
    let (fixed, mut rest) = packet.split_first_chunk::<12>().ok_or(Reject::Malformed)?;
    let flags = fixed[0];
    if flags >> 6 != 2 {
        return Err(Reject::Malformed);
    }
    rest = rest.get(usize::from(flags & 0x0f) * 4..).ok_or(Reject::Malformed)?;
    if flags & 0x10 != 0 {
        let (extension, after) = rest.split_first_chunk::<4>().ok_or(Reject::Malformed)?;
        let words = usize::from(u16::from_be_bytes([extension[2], extension[3]]));
        rest = after.get(words * 4..).ok_or(Reject::Malformed)?;
    }
    Ok((fixed, rest))
}

/// What can be read of an encrypted packet: SSRC, sequence number, and octets of header, a multiple of four from 12 on.
pub(super) fn outline(packet: &[u8]) -> Result<(u32, u16, usize), Reject> {
    let (fixed, rest) = split(packet)?;
    let ssrc = u32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]]);
    Ok((ssrc, u16::from_be_bytes([fixed[2], fixed[3]]), packet.len() - rest.len()))
}

/// Whether a datagram on the RTP port is RTCP: packet types 192 to 223 (RFC 5761 §4).
pub(super) fn is_rtcp(packet: &[u8]) -> bool {
    packet.get(1).is_some_and(|kind| (192..=223).contains(kind))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rtp::packet::Packet;
    use webrtc_util::marshal::{Marshal, Unmarshal};

    proptest! {
        #[test]
        fn arbitrary_octets_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            if let Ok((_, payload)) = Header::parse(&bytes) {
                prop_assert!(payload.len() + 12 <= bytes.len());
            }
        }

        #[test]
        fn the_crate_reads_what_we_write_and_the_reverse(
            marker: bool, payload_type in 0u8..128, sequence: u16, timestamp: u32, ssrc: u32,
            csrc in prop::collection::vec(any::<u32>(), 0..15),
            payload in prop::collection::vec(any::<u8>(), 1..200),
        ) {
            let want = Header { marker, payload_type, sequence, timestamp, ssrc };
            let mut ours = [0; 12];
            want.write(&mut ours);
            let mut bytes = ours.to_vec();
            bytes.extend(&payload);
            let mut theirs = Packet::unmarshal(&mut bytes.as_slice()).expect("the crate reads our packet");
            prop_assert_eq!(theirs.header.timestamp, timestamp);
            prop_assert_eq!(theirs.header.sequence_number, sequence);
            prop_assert_eq!(theirs.payload.as_ref(), payload.as_slice());
            theirs.header.csrc = csrc;
            let bytes = theirs.marshal().expect("the crate writes a packet");
            prop_assert_eq!(Header::parse(&bytes), Ok((want, payload.as_slice())));
        }
    }

    #[test]
    fn an_extension_longer_than_the_packet_is_malformed() {
        // One-byte extension (0xBEDE), one word, whose element claims sixteen octets: the `rtp` crate panics here.
        let mut packet = vec![0x90, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0xbe, 0xde, 0, 1, 0x1f, 0, 0, 0];
        assert!(Header::parse(&packet).is_ok(), "an odd element inside an extension is none of our business");
        packet[15] = 2;
        assert_eq!(Header::parse(&packet).map(|_| ()), Err(Reject::Malformed));
    }

    #[test]
    fn padding_is_taken_off_and_checked() {
        let packet = |padding: u8| [0xa0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 7, 8, 0, padding];
        assert_eq!(Header::parse(&packet(2)).map(|(_, payload)| payload.to_vec()), Ok(vec![7, 8]));
        for wrong in [0, 5] {
            assert_eq!(Header::parse(&packet(wrong)).map(|_| ()), Err(Reject::Malformed), "padding {wrong}");
        }
    }
}
