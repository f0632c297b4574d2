//! Telephone events (RFC 4733): digits out of packets, each once, and packets out of digits.

use std::collections::VecDeque;
use std::time::Duration;

use super::RATE;

/// Events 0 to 15, in their order.
const DIGITS: &[u8; 16] = b"0123456789*#ABCD";
/// An event packet of the same key that starts at most this long after the end of the last one, without a marker, is
/// the same press: senders that move the timestamp along, and segments of a long press.
const SLACK: u32 = 160;
/// A press is at most this long in one event; longer ones are cut.
const LONGEST: Duration = Duration::from_secs(8);
const SHORTEST: Duration = Duration::from_millis(40);
/// Digits that wait, in and out.
const QUEUE: usize = 64;

/// A character that is no telephone key, or too many of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadDigit {
    /// There is no such key.
    #[error("no telephone key `{0}`: use 0-9, *, # and A-D")]
    NoSuchKey(char),
    /// More are waiting than a call can need.
    #[error("more than {QUEUE} digits wait to be sent: wait until they have gone")]
    TooMany,
    /// The other side did not offer telephone-event.
    #[error("the other side takes no telephone events over RTP: send the digit with SIP INFO")]
    NotNegotiated,
}

/// One event payload as received.
#[derive(Clone, Copy, Debug)]
pub(super) struct Event {
    pub(super) code: u8,
    pub(super) end: bool,
    pub(super) duration: u16,
}

impl Event {
    /// `None` if it is shorter than its four octets.
    pub(super) fn parse(payload: &[u8]) -> Option<Self> {
        let (fixed, _) = payload.split_first_chunk::<4>()?;
        let duration = u16::from_be_bytes([fixed[2], fixed[3]]);
        Some(Self { code: fixed[0], end: fixed[1] & 0x80 != 0, duration })
    }
}

/// Received digits, each press once, however many of its packets came.
#[derive(Debug, Default)]
pub struct Digits {
    queue: VecDeque<char>,
    /// Code, start and longest duration of the press heard last.
    last: Option<(u8, u32, u32)>,
}

impl Digits {
    /// The oldest digit not taken yet: `0`-`9`, `*`, `#`, `A`-`D`.
    pub fn take(&mut self) -> Option<char> {
        self.queue.pop_front()
    }

    /// `clock`: what timestamps count in a second.
    pub(super) fn event(&mut self, marker: bool, timestamp: u32, event: Event, clock: u32) {
        let duration = u32::from(event.duration);
        if let Some((code, start, longest)) = &mut self.last {
            let since = timestamp.wrapping_sub(*start).cast_signed();
            if since < 0 {
                // Overtaken by a later press; its own first packet has been heard or all but it are lost.
                if since > -(10 * clock.cast_signed()) {
                    return;
                }
            } else if since == 0 && event.code == *code {
                *longest = duration.max(*longest);
                return;
            } else if event.code == *code
                && !marker
                && since.cast_unsigned() <= *longest + clock / RATE * SLACK
            {
                *start = timestamp;
                *longest = duration;
                return;
            }
        }
        self.last = Some((event.code, timestamp, duration));
        if let Some(digit) = DIGITS.get(usize::from(event.code))
            && self.queue.len() < QUEUE
        {
            self.queue.push_back(char::from(*digit));
        }
    }

    /// A new source: its timestamps have nothing to do with the old ones.
    pub(super) fn restart(&mut self) {
        self.last = None;
    }
}

/// Digits to send, and the one being sent.
#[derive(Debug, Default)]
pub(super) struct Keypad {
    queue: VecDeque<(u8, u32)>,
    press: Option<Press>,
    /// Frames to leave between two presses.
    rest: u8,
}

#[derive(Debug)]
struct Press {
    code: u8,
    start: u32,
    length: u32,
    done: u32,
    ends: u8,
}

/// One event packet to send.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Tone {
    pub(super) marker: bool,
    pub(super) timestamp: u32,
    pub(super) payload: [u8; 4],
}

impl Keypad {
    pub(super) fn queue(&mut self, digit: char, length: Duration) -> Result<(), BadDigit> {
        let code = DIGITS.iter().position(|known| char::from(*known) == digit.to_ascii_uppercase());
        let code = code.ok_or(BadDigit::NoSuchKey(digit))? as u8;
        if self.queue.len() >= QUEUE {
            return Err(BadDigit::TooMany);
        }
        let frames = length.clamp(SHORTEST, LONGEST).as_millis().div_ceil(20) as u32;
        self.queue.push_back((code, frames));
        Ok(())
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The packet that takes the place of the audio frame at `timestamp`, if a key is down or its end is repeated; a frame is `ticks`
    /// long.
    pub(super) fn frame(&mut self, timestamp: u32, ticks: u32) -> Option<Tone> {
        if self.press.is_none() {
            if self.rest > 0 {
                self.rest -= 1;
                return None;
            }
            let (code, length) = self.queue.pop_front()?;
            self.press = Some(Press { code, start: timestamp, length, done: 0, ends: 0 });
        }
        let press = self.press.as_mut()?;
        let marker = press.done == 0;
        press.done = (press.done + 1).min(press.length);
        let end = press.done == press.length;
        press.ends += u8::from(end);
        let [high, low] = u16::try_from(press.done * ticks).unwrap_or(u16::MAX).to_be_bytes();
        // Volume -10 dBm0.
        let payload = [press.code, if end { 0x8a } else { 0x0a }, high, low];
        let tone = Tone { marker, timestamp: press.start, payload };
        if press.ends == 3 {
            self.press = None;
            self.rest = 2;
        }
        Some(tone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(digits: &mut Digits, code: u8, start: u32, frames: u16, kept: impl Fn(u16) -> bool) {
        for packet in 1..=frames + 2 {
            let event = Event { code, end: packet >= frames, duration: packet.min(frames) * 160 };
            if kept(packet) {
                digits.event(packet == 1, start, event, RATE);
            }
        }
    }

    fn heard(digits: &mut Digits) -> String {
        std::iter::from_fn(|| digits.take()).collect()
    }

    #[test]
    fn three_end_packets_are_one_digit_and_so_is_none() {
        let mut digits = Digits::default();
        press(&mut digits, 5, 1_000, 5, |_| true);
        press(&mut digits, 5, 3_000, 5, |packet| packet < 5);
        press(&mut digits, 5, 5_000, 5, |packet| packet >= 5);
        press(&mut digits, 11, 7_000, 5, |packet| packet == 3);
        assert_eq!(heard(&mut digits), "555#");
    }

    #[test]
    fn a_long_press_in_segments_is_one_digit() {
        let mut digits = Digits::default();
        press(&mut digits, 1, 0, 400, |packet| packet < 400);
        digits.event(false, 65_535, Event { code: 1, end: false, duration: 160 }, RATE);
        // The first segment was cut at 400 frames here: its last duration is 63,840.
        digits.event(false, 65_535, Event { code: 1, end: true, duration: 320 }, RATE);
        assert_eq!(heard(&mut digits), "11", "a gap of 1,500 samples is two presses");
        let mut digits = Digits::default();
        digits.event(true, 10, Event { code: 1, end: false, duration: 65_535 }, RATE);
        digits.event(false, 65_545, Event { code: 1, end: false, duration: 160 }, RATE);
        assert_eq!(heard(&mut digits), "1");
    }

    #[test]
    fn a_sender_that_moves_the_timestamp_along_presses_once() {
        let mut digits = Digits::default();
        for packet in 0..8 {
            let event = Event { code: 9, end: packet > 5, duration: 160 };
            digits.event(packet == 0, packet * 160, event, RATE);
        }
        assert_eq!(heard(&mut digits), "9");
    }

    #[test]
    fn a_flash_is_no_digit_and_a_short_payload_no_event() {
        let mut digits = Digits::default();
        digits.event(true, 0, Event { code: 16, end: false, duration: 160 }, RATE);
        assert_eq!(heard(&mut digits), "");
        assert!(Event::parse(&[1, 2, 3]).is_none());
    }

    #[test]
    fn a_key_is_sent_with_its_start_its_updates_and_three_ends() {
        let mut keypad = Keypad::default();
        keypad.queue('#', Duration::from_millis(60)).expect("a key");
        keypad.queue('5', Duration::from_millis(60)).expect("a key");
        assert_eq!(keypad.queue('x', SHORTEST), Err(BadDigit::NoSuchKey('x')));
        let tones: Vec<_> = (0..12).map(|frame| keypad.frame(frame * 160, 160)).collect();
        let first: Vec<_> = tones.iter().take(5).flatten().collect();
        assert_eq!(first.len(), 5);
        assert!(first[0].marker && first[1..].iter().all(|tone| !tone.marker));
        assert!(first.iter().all(|tone| tone.timestamp == 0 && tone.payload[0] == 11));
        let durations: Vec<_> =
            first.iter().map(|t| u16::from_be_bytes([t.payload[2], t.payload[3]])).collect();
        assert_eq!(durations, [160, 320, 480, 480, 480]);
        assert_eq!(first.iter().filter(|tone| tone.payload[1] & 0x80 != 0).count(), 3);
        assert_eq!(tones[5], None, "keys need a pause between them");
        let second = tones[7].as_ref().expect("the second key");
        assert!(second.marker && second.timestamp == 7 * 160);
    }
}
