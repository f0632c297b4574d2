//! RTP in: datagrams become one unbroken timeline of frames, and digits. No socket, no clock.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::coding::{Decoder, LONGEST, MOST_SAMPLES};
use super::conceal::Concealer;
use super::dtmf::Event;
use super::jitter::{Buffer, Put};
use super::latch::Latch;
use super::stats::MediaStats;
use super::{Digits, FRAME, Header, WIDE_FRAME, samples_between};
use crate::Codec;

/// An SSRC that has been silent this long is replaced by another one's first packet.
const SSRC_SILENCE: Duration = Duration::from_millis(200);

/// What a frame is made of; of a mixture, the first that applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Some of it was made up, because it did not come in time.
    Concealed,
    /// All audio in it is what was sent.
    Played,
    /// Noise at the level that the sender asked for.
    Comfort,
    /// The sender sends nothing, or has not been heard for longer than concealment lasts.
    Silence,
    /// Nothing has been played yet.
    Starting,
}

/// 20 ms of mono audio at the sample rate of its codec: 160 samples or 320.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Audio {
    samples: [i16; WIDE_FRAME],
    length: usize,
}

impl Audio {
    /// Silence, as long as a frame of `codec`.
    pub fn silence(codec: Codec) -> Self {
        Self { samples: [0; WIDE_FRAME], length: codec.frame() }
    }
}

impl From<[i16; FRAME]> for Audio {
    fn from(narrow: [i16; FRAME]) -> Self {
        let mut samples = [0; WIDE_FRAME];
        samples[..FRAME].copy_from_slice(&narrow);
        Self { samples, length: FRAME }
    }
}

impl From<[i16; WIDE_FRAME]> for Audio {
    fn from(samples: [i16; WIDE_FRAME]) -> Self {
        Self { samples, length: WIDE_FRAME }
    }
}

impl std::ops::Deref for Audio {
    type Target = [i16];

    fn deref(&self) -> &[i16] {
        &self.samples[..self.length]
    }
}

impl std::ops::DerefMut for Audio {
    fn deref_mut(&mut self) -> &mut [i16] {
        &mut self.samples[..self.length]
    }
}

/// 20 ms of what was received.
#[derive(Clone, Copy, Debug)]
pub struct Pulled {
    /// As it is to be heard.
    pub audio: Audio,
    /// What it is made of.
    pub kind: Kind,
    /// How long they waited in the jitter buffer.
    pub delay: Duration,
}

/// Why a datagram was not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reject {
    /// Not RTP version 2, or cut short.
    #[error("the datagram is not an RTP packet: is something else sending to this port?")]
    Malformed,
    /// Not from the source that is locked in.
    #[error("a packet from another source than the one locked in")]
    Source,
    /// A payload type that was not agreed.
    #[error("payload type {0} was not agreed in the SDP")]
    PayloadType(u8),
    /// Empty, too long, or too short for an event.
    #[error("a payload of {0} octets cannot be what its payload type says")]
    Payload(usize),
    /// A new SSRC or timestamp that one more packet has to confirm.
    #[error("a packet that does not continue its stream: waiting for a second one like it")]
    Unconfirmed,
    /// Its time had passed.
    #[error("a packet came after its time")]
    Late,
    /// Received before.
    #[error("a packet came twice")]
    Duplicate,
}

/// What a [`Receiver`] takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepts {
    /// How audio is coded.
    pub codec: Codec,
    /// The payload type of audio.
    pub payload_type: u8,
    /// The payload type of telephone events, if agreed.
    pub dtmf_payload_type: Option<u8>,
    /// The payload type of comfort noise (RFC 3389); 13 is static and may come without being agreed.
    pub cn_payload_type: Option<u8>,
}

/// Receives one RTP stream.
pub struct Receiver {
    accepts: Accepts,
    decoder: Decoder,
    latch: Latch,
    buffer: Buffer,
    conceal: Concealer,
    digits: Digits,
    epoch: Instant,
    source: Option<Source>,
    /// An SSRC seen once while another was speaking, and its sequence number.
    candidate: Option<(u32, u16)>,
    last: Option<Instant>,
    stats: MediaStats,
    /// Lost packets of sources that were replaced.
    lost_before: u64,
    /// What was concealed at another sample rate.
    concealed_before: Duration,
}

/// The stream of one SSRC.
struct Source {
    ssrc: u32,
    first: i64,
    highest: i64,
    /// Which of the 64 sequence numbers up to the highest have been seen.
    seen: u64,
    received: u64,
    newest_timestamp: u32,
    /// `newest_timestamp` without wrapping.
    newest: i64,
    transit: Option<i64>,
    jitter: f32,
    reported: (i64, u64),
}

/// What a reception report says of the source.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reception {
    pub(super) ssrc: u32,
    pub(super) fraction_lost: u8,
    pub(super) lost: u32,
    pub(super) highest: u32,
    pub(super) jitter: u32,
}

impl Receiver {
    /// A receiver for what `remote`, the address in the SDP, will send. `now` is the start of its time.
    pub fn new(now: Instant, remote: SocketAddr, accepts: Accepts) -> Self {
        Self {
            accepts,
            decoder: Decoder::new(accepts.codec),
            latch: Latch::new(remote),
            buffer: Buffer::new(accepts.codec.sample_rate()),
            conceal: Concealer::new(accepts.codec.sample_rate()),
            digits: Digits::default(),
            epoch: now,
            source: None,
            candidate: None,
            last: None,
            stats: MediaStats::default(),
            lost_before: 0,
            concealed_before: Duration::ZERO,
        }
    }

    /// A new session description. The timeline goes on; the lock opens if the address has changed.
    pub fn configure(&mut self, remote: SocketAddr, accepts: Accepts) {
        self.latch.negotiate(remote);
        let (before, codec) = (self.accepts.codec, accepts.codec);
        self.accepts = accepts;
        if codec == before {
            return;
        }
        self.decoder = Decoder::new(codec);
        if (codec.sample_rate(), codec.clock_rate()) != (before.sample_rate(), before.clock_rate()) {
            let concealed = self.buffer.concealed_time();
            self.concealed_before += concealed;
            self.buffer = Buffer::new(codec.sample_rate());
            self.conceal = Concealer::new(codec.sample_rate());
            self.lost_before += self.source.take().map_or(0, |source| source.lost());
        }
    }

    /// Takes one datagram from the RTP socket.
    ///
    /// # Errors
    /// Why it was not used; it has been counted.
    pub fn packet(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) -> Result<(), Reject> {
        let taken = self.take(now, from, bytes);
        match taken {
            Ok(()) => {}
            Err(Reject::Malformed | Reject::Unconfirmed) => self.stats.malformed += 1,
            Err(Reject::Source) => self.stats.rejected_source += 1,
            Err(Reject::PayloadType(_) | Reject::Payload(_)) => self.stats.rejected_payload += 1,
            Err(Reject::Late) => self.stats.late += 1,
            Err(Reject::Duplicate) => self.stats.duplicate += 1,
        }
        taken
    }

    fn take(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) -> Result<(), Reject> {
        let (header, payload) = Header::parse(bytes)?;
        if !self.latch.admits(now, from) {
            return Err(Reject::Source);
        }
        let part = self.part(&header, payload)?;
        let new_source = self.source.as_ref().is_none_or(|source| source.ssrc != header.ssrc);
        if new_source {
            self.consider(now, &header)?;
        }
        let codec = self.accepts.codec;
        let time = samples_between(self.epoch, now, codec.sample_rate());
        let Some(source) = &mut self.source else { return Err(Reject::Unconfirmed) };
        let before = source.highest;
        let next = source.number(header.sequence)?;
        let step = source.highest - before;
        let ticks = source.unwrap(header.timestamp, codec.clock_rate());
        let ts = ticks * i64::from(codec.sample_rate()) / i64::from(codec.clock_rate());
        let moved = self.latch.heard(now, from);
        if moved {
            tracing::debug!(packets = self.stats.received, "media source locked in");
        }
        self.last = Some(now);
        self.stats.received += 1;
        match part {
            Part::Audio => {
                source.measure(time, ts, codec.sample_rate());
                if self.decoder.has_memory() && step <= 0 {
                    // Its place in the stream has been passed: read now, it would spoil what follows.
                    return Err(Reject::Late);
                }
                let mut audio = [0; MOST_SAMPLES];
                if step > 1
                    && step < 10
                    && let Some(count) = self.decoder.recover(payload, &mut audio)
                {
                    self.buffer.repair(ts, &audio[..count]);
                    audio.fill(0);
                }
                let Some(count) = self.decoder.decode(payload, &mut audio) else {
                    return Err(Reject::Payload(payload.len()));
                };
                match self.buffer.audio(time, ts, &audio[..count], next) {
                    Put::Stored => Ok(()),
                    Put::Late => Err(Reject::Late),
                    Put::Stray => Err(Reject::Unconfirmed),
                }
            }
            Part::Event(event) => {
                self.digits.event(header.marker, header.timestamp, event, codec.clock_rate());
                let length = i64::from(event.duration) * i64::from(codec.sample_rate())
                    / i64::from(codec.clock_rate());
                self.buffer.pause(ts, length, None);
                tracing::trace!(end = event.end, "telephone event");
                Ok(())
            }
            Part::Comfort(level) => {
                self.buffer.pause(ts, 0, Some(level));
                Ok(())
            }
        }
    }

    /// What the payload is, if it can be what its type says.
    fn part(&self, header: &Header, payload: &[u8]) -> Result<Part, Reject> {
        let kind = header.payload_type;
        if kind == self.accepts.payload_type {
            if payload.is_empty() || payload.len() > LONGEST {
                return Err(Reject::Payload(payload.len()));
            }
            Ok(Part::Audio)
        } else if Some(kind) == self.accepts.dtmf_payload_type {
            Event::parse(payload).map(Part::Event).ok_or(Reject::Payload(payload.len()))
        } else if kind == self.accepts.cn_payload_type.unwrap_or(13) {
            // The first octet is the level in -dBov; what follows describes a spectrum.
            payload.first().map(|level| Part::Comfort(level & 0x7f)).ok_or(Reject::Payload(0))
        } else {
            Err(Reject::PayloadType(kind))
        }
    }

    /// A packet of an SSRC that is not the current one: the first, a successor, or a stray.
    fn consider(&mut self, now: Instant, header: &Header) -> Result<(), Reject> {
        let quiet = self.last.is_none_or(|last| now.saturating_duration_since(last) >= SSRC_SILENCE);
        let again = self.candidate == Some((header.ssrc, header.sequence.wrapping_sub(1)));
        if self.source.is_some() && !quiet && !again {
            self.candidate = Some((header.ssrc, header.sequence));
            return Err(Reject::Unconfirmed);
        }
        self.candidate = None;
        self.lost_before += self.source.as_ref().map_or(0, Source::lost);
        self.source = Some(Source::new(header));
        if self.decoder.has_memory() {
            self.decoder = Decoder::new(self.accepts.codec);
        }
        self.buffer.restart();
        self.digits.restart();
        Ok(())
    }

    /// The next 20 ms. Call it every 20 ms.
    pub fn pull(&mut self, now: Instant) -> Pulled {
        let rate = self.accepts.codec.sample_rate();
        let time = samples_between(self.epoch, now, rate);
        let delay = samples_time(self.buffer.delay(time), rate);
        let mut audio = Audio::silence(self.accepts.codec);
        let kind = self.buffer.pull(time, &mut self.conceal, &mut audio);
        self.stats.buffer = delay;
        Pulled { audio, kind, delay }
    }

    /// The oldest received digit not taken yet.
    pub fn dtmf(&mut self) -> Option<char> {
        self.digits.take()
    }

    /// When the last packet came that was used.
    pub fn last_packet(&self) -> Option<Instant> {
        self.last
    }

    /// Where to send: the source that is locked in, before there is one the address in the SDP.
    pub fn destination(&self) -> SocketAddr {
        self.latch.destination()
    }

    /// What the jitter buffer is steered to.
    pub fn aim(&self) -> Duration {
        samples_time(self.buffer.aim(), self.accepts.codec.sample_rate())
    }

    /// The receiving half of the statistics.
    pub fn stats(&self) -> MediaStats {
        MediaStats {
            lost: self.lost_before + self.source.as_ref().map_or(0, Source::lost),
            concealed_ms: (self.concealed_before + self.buffer.concealed_time()).as_millis() as u64,
            jitter: samples_time(
                self.source.as_ref().map_or(0, |source| source.jitter as i64),
                self.accepts.codec.sample_rate(),
            ),
            ..self.stats
        }
    }

    /// Whether a packet from there is taken at all, before anything is done with it.
    pub(super) fn admits(&self, now: Instant, from: SocketAddr) -> bool {
        self.latch.admits(now, from)
    }

    pub(super) fn count_malformed(&mut self) {
        self.stats.malformed += 1;
    }

    pub(super) fn count_source(&mut self) {
        self.stats.rejected_source += 1;
    }

    pub(super) fn report(&mut self) -> Option<Reception> {
        let (clock, rate) = (self.accepts.codec.clock_rate(), self.accepts.codec.sample_rate());
        self.source.as_mut().map(|source| source.report(clock as f32 / rate as f32))
    }
}

enum Part {
    Audio,
    Event(Event),
    Comfort(u8),
}

impl Source {
    fn new(header: &Header) -> Self {
        let sequence = i64::from(header.sequence);
        Self {
            ssrc: header.ssrc,
            first: sequence,
            highest: sequence - 1,
            seen: 0,
            received: 0,
            newest_timestamp: header.timestamp,
            newest: 0,
            transit: None,
            jitter: 0.0,
            reported: (0, 0),
        }
    }

    /// Counts a sequence number; true if it follows the highest so far directly.
    fn number(&mut self, sequence: u16) -> Result<bool, Reject> {
        let step = i64::from(sequence.wrapping_sub(self.highest as u16).cast_signed());
        if step > 0 {
            self.seen = if step < 64 { self.seen << step | 1 } else { 1 };
            if step > 3_000 {
                // The sender began to count anew: nothing was lost.
                self.first += step - 1;
            }
            self.highest += step;
        } else {
            let bit = u32::try_from(-step).ok().and_then(|back| 1u64.checked_shl(back));
            match bit {
                Some(bit) if self.seen & bit != 0 => return Err(Reject::Duplicate),
                Some(bit) => self.seen |= bit,
                None if step < -3_000 => {
                    self.first += step - 1;
                    self.highest += step;
                    self.seen = 1;
                    self.received += 1;
                    return Ok(true);
                }
                None => {}
            }
            self.first = self.first.min(self.highest + step);
        }
        self.received += 1;
        Ok(step == 1)
    }

    fn unwrap(&mut self, timestamp: u32, clock: u32) -> i64 {
        let step = i64::from(timestamp.wrapping_sub(self.newest_timestamp).cast_signed());
        if step > 0 {
            self.newest_timestamp = timestamp;
            self.newest += step;
            return self.newest;
        }
        let ts = self.newest + step;
        if step < -i64::from(clock) {
            // The sender's clock was set back: what follows is to be seen from there.
            self.newest_timestamp = timestamp;
            self.newest = ts;
        }
        ts
    }

    /// Interarrival jitter, RFC 3550 §6.4.1.
    fn measure(&mut self, time: i64, ts: i64, rate: u32) {
        let transit = time - ts;
        if let Some(before) = self.transit.replace(transit) {
            let step = (transit - before).abs();
            if step < i64::from(rate) {
                self.jitter += (step as f32 - self.jitter) / 16.0;
            }
        }
    }

    fn expected(&self) -> i64 {
        self.highest - self.first + 1
    }

    fn lost(&self) -> u64 {
        u64::try_from(self.expected()).unwrap_or(0).saturating_sub(self.received)
    }

    /// `scale`: what timestamps count in one sample.
    fn report(&mut self, scale: f32) -> Reception {
        let (expected_before, received_before) = self.reported;
        self.reported = (self.expected(), self.received);
        let expected = self.expected() - expected_before;
        let lost = expected - (self.received - received_before) as i64;
        let fraction_lost = if expected > 0 { (lost.max(0) * 256 / expected).min(255) as u8 } else { 0 };
        Reception {
            ssrc: self.ssrc,
            fraction_lost,
            lost: self.lost().min(0x7f_ffff) as u32,
            highest: self.highest as u32,
            jitter: (self.jitter * scale) as u32,
        }
    }
}

fn samples_time(samples: i64, rate: u32) -> Duration {
    Duration::from_micros(u64::try_from(samples).unwrap_or(0) * 1_000_000 / u64::from(rate))
}
