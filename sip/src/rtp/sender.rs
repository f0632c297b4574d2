//! RTP out: frames become packets, one every 20 ms, with telephone events in their place. No socket, no clock.

use std::time::{Duration, Instant};

use super::coding::Encoder;
use super::dtmf::{BadDigit, Keypad};
use super::{Header, MAX_PACKET, TICK};
use crate::Codec;

/// Frames that come this much later than the timeline are the start of a new talk spurt.
const GAP: Duration = Duration::from_millis(100);

/// Sends one RTP stream.
pub struct Sender {
    codec: Codec,
    encoder: Encoder,
    payload_type: u8,
    dtmf_payload_type: Option<u8>,
    ssrc: u32,
    sequence: u16,
    /// RTP timestamp of the next frame, and when that frame is due.
    timestamp: u32,
    due: Option<Instant>,
    keypad: Keypad,
    packets: u64,
    octets: u64,
    /// The share that the other side loses.
    loss: f32,
}

impl Sender {
    /// A stream with a random SSRC and random starts (RFC 3550 §5.1).
    pub fn new(codec: Codec, payload_type: u8, dtmf_payload_type: Option<u8>) -> Self {
        Self {
            codec,
            encoder: Encoder::new(codec),
            payload_type,
            dtmf_payload_type,
            ssrc: rand::random(),
            // In the lower half, so that a receiver that misses the first packets of SRTP does not also miss the first
            // time that the number wraps (RFC 3711 §3.3.1).
            sequence: rand::random::<u16>() >> 1,
            timestamp: rand::random(),
            due: None,
            keypad: Keypad::default(),
            packets: 0,
            octets: 0,
            loss: 0.0,
        }
    }

    /// A new session description; SSRC, sequence and timeline go on.
    pub fn configure(&mut self, codec: Codec, payload_type: u8, dtmf_payload_type: Option<u8>) {
        if codec != self.codec {
            self.encoder = Encoder::new(codec);
            self.loss = 0.0;
            self.codec = codec;
        }
        self.payload_type = payload_type;
        self.dtmf_payload_type = dtmf_payload_type;
        if dtmf_payload_type.is_none() {
            self.keypad.clear();
        }
    }

    /// Writes the packet of one frame of audio ([`Codec::frame`] samples), or of the event that takes its place; its length in octets.
    ///
    /// One call a tick. Ticks that were missed are a gap, after which the marker is set: do not make up for them with
    /// several calls at once.
    pub fn frame(&mut self, now: Instant, audio: &[i16], out: &mut [u8; MAX_PACKET]) -> usize {
        let late = self.due.filter(|due| now.saturating_duration_since(*due) >= GAP);
        let mut marker = self.due.is_none();
        if let Some(due) = late {
            let frames = now.saturating_duration_since(due).as_micros() / TICK.as_micros();
            self.timestamp = self.timestamp.wrapping_add((frames as u32).wrapping_mul(self.codec.ticks()));
            marker = true;
        }
        self.due = match self.due {
            Some(due) if late.is_none() => Some(due + TICK),
            _ => Some(now + TICK),
        };
        let timestamp = self.timestamp;
        let ticks = self.codec.ticks();
        self.timestamp = timestamp.wrapping_add(ticks);
        let tone = self.dtmf_payload_type.and_then(|kind| Some((kind, self.keypad.frame(timestamp, ticks)?)));
        let (head, body) = out.split_at_mut(12);
        let (header, length) = if let Some((payload_type, tone)) = tone {
            body[..4].copy_from_slice(&tone.payload);
            (self.header(tone.marker, payload_type, tone.timestamp), 4)
        } else {
            let length = self.encoder.encode(audio, body).unwrap_or(0);
            (self.header(marker, self.payload_type, timestamp), length)
        };
        if let Ok(head) = head.try_into() {
            header.write(head);
        }
        self.sequence = self.sequence.wrapping_add(1);
        self.packets += 1;
        self.octets += length as u64;
        12 + length
    }

    fn header(&self, marker: bool, payload_type: u8, timestamp: u32) -> Header {
        Header { marker, payload_type, sequence: self.sequence, timestamp, ssrc: self.ssrc }
    }

    /// Sends `digit` as soon as those before it have gone, `length` long: 40 ms to 8 s.
    ///
    /// # Errors
    /// [`BadDigit`] if there is no such key, too many wait, or the other side takes no events.
    pub fn queue_dtmf(&mut self, digit: char, length: Duration) -> Result<(), BadDigit> {
        self.dtmf_payload_type.ok_or(BadDigit::NotNegotiated)?;
        self.keypad.queue(digit, length)
    }

    /// The other side has reported that it lost `share` (0 to 1) of the packets of late: a codec that can repeats more.
    pub fn expect_loss(&mut self, share: f32) {
        if (share - self.loss).abs() > 0.005 {
            self.loss = share;
            self.encoder.expect_loss(share);
        }
    }

    /// Our synchronisation source.
    pub fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// What its timestamps count in a second.
    pub(super) fn clock_rate(&self) -> u32 {
        self.codec.clock_rate()
    }

    /// Packets and payload octets written.
    pub fn sent(&self) -> (u64, u64) {
        (self.packets, self.octets)
    }

    /// The RTP timestamp of `now` on this stream's timeline, for a sender report.
    pub(super) fn timestamp_at(&self, now: Instant) -> u32 {
        let Some(due) = self.due else { return self.timestamp };
        let clock = self.codec.clock_rate();
        let ahead = super::samples_between(now, due, clock) as u32;
        let behind = super::samples_between(due, now, clock) as u32;
        self.timestamp.wrapping_add(behind).wrapping_sub(ahead)
    }
}

#[cfg(test)]
mod tests {
    use super::super::FRAME;
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "any moment does as the origin of a test's time")]
    fn start() -> Instant {
        Instant::now()
    }

    fn next(sender: &mut Sender, now: Instant) -> Header {
        let mut out = [0; MAX_PACKET];
        let length = sender.frame(now, &[1_000; FRAME], &mut out);
        Header::parse(&out[..length]).expect("our own packet").0
    }

    #[test]
    fn ticks_that_tremble_leave_the_timestamps_even() {
        let (mut sender, now) = (Sender::new(Codec::Pcma, 8, None), start());
        let first = next(&mut sender, now);
        assert!(first.marker);
        for frame in 1..50u32 {
            let tremble = Duration::from_millis(u64::from(frame * 7 % 30));
            let header = next(&mut sender, now + super::super::TICK * frame + tremble);
            assert_eq!(header.timestamp, first.timestamp.wrapping_add(160 * frame));
            assert_eq!(header.sequence, first.sequence.wrapping_add(frame as u16));
            assert!(!header.marker);
        }
    }

    #[test]
    fn a_pause_moves_the_timestamp_on_and_sets_the_marker() {
        let (mut sender, now) = (Sender::new(Codec::Pcmu, 0, None), start());
        let first = next(&mut sender, now);
        let later = next(&mut sender, now + Duration::from_secs(1));
        assert!(later.marker);
        assert_eq!(later.timestamp, first.timestamp.wrapping_add(8_000));
        assert_eq!(later.sequence, first.sequence.wrapping_add(1), "nothing was lost");
        assert_eq!(sender.sent(), (2, 320));
    }

    #[test]
    fn a_digit_takes_the_place_of_audio_and_the_timeline_goes_on() {
        let (mut sender, now) = (Sender::new(Codec::Pcma, 8, Some(101)), start());
        let first = next(&mut sender, now);
        sender.queue_dtmf('7', Duration::from_millis(100)).expect("a key");
        let headers: Vec<_> =
            (1..9u32).map(|frame| next(&mut sender, now + super::super::TICK * frame)).collect();
        let events = headers.iter().filter(|header| header.payload_type == 101).count();
        assert_eq!(events, 7, "five of the press and two more ends");
        assert_eq!(headers[7].payload_type, 8);
        assert_eq!(headers[7].timestamp, first.timestamp.wrapping_add(8 * 160));
    }

    #[test]
    fn a_digit_is_refused_when_events_were_not_agreed() {
        let mut sender = Sender::new(Codec::Pcma, 8, None);
        assert_eq!(sender.queue_dtmf('1', Duration::from_millis(100)), Err(BadDigit::NotNegotiated));
    }
}
