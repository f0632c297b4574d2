//! RTCP (RFC 3550 §6): our reports every five seconds or so, theirs for loss, jitter and round-trip time.

use std::time::{Duration, Instant};

use rtcp::goodbye::Goodbye;
use rtcp::packet::{Packet, marshal, unmarshal};
use rtcp::receiver_report::ReceiverReport;
use rtcp::reception_report::ReceptionReport;
use rtcp::sender_report::SenderReport;
use rtcp::source_description::{SdesType, SourceDescription, SourceDescriptionChunk, SourceDescriptionItem};

use super::{MediaStats, Receiver, Reject, Sender};

/// Between two reports, on average; each interval is half to one and a half of it.
const INTERVAL: Duration = Duration::from_secs(5);
const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const GOODBYE: u8 = 203;

/// Writes our reports and reads theirs.
#[derive(Debug)]
pub struct Reporter {
    /// Our NTP time is the time since this moment (RFC 3550 §4 allows it): the wall clock is nobody's business here.
    epoch: Instant,
    name: String,
    next: Instant,
    sent_before: u64,
    /// The middle of the NTP time in their last sender report, and when it came.
    their_report: Option<(u32, Instant)>,
    remote_loss: Option<f32>,
    remote_jitter: Option<Duration>,
    rtt: Option<Duration>,
    bye: bool,
}

impl Reporter {
    /// `name`: our CNAME, which must not name a person or a host.
    pub fn new(now: Instant, name: String) -> Self {
        let next = now + INTERVAL.mul_f32(rand::random_range(0.25..0.75));
        let (sent_before, their_report, bye) = (0, None, false);
        Self {
            epoch: now,
            name,
            next,
            sent_before,
            their_report,
            remote_loss: None,
            remote_jitter: None,
            rtt: None,
            bye,
        }
    }

    /// The compound packet to send now, if one is due.
    pub fn poll(&mut self, now: Instant, sender: &Sender, receiver: &mut Receiver) -> Option<Vec<u8>> {
        if now < self.next {
            return None;
        }
        self.next = now + INTERVAL.mul_f32(rand::random_range(0.5..1.5));
        self.compound(now, sender, receiver, false)
    }

    /// The goodbye to send when the session ends.
    pub fn goodbye(&mut self, now: Instant, sender: &Sender, receiver: &mut Receiver) -> Option<Vec<u8>> {
        self.compound(now, sender, receiver, true)
    }

    fn compound(
        &mut self,
        now: Instant,
        sender: &Sender,
        receiver: &mut Receiver,
        bye: bool,
    ) -> Option<Vec<u8>> {
        let ssrc = sender.ssrc();
        let (last_sender_report, delay) = self.their_report.map_or((0, 0), |(middle, came)| {
            let delay = now.saturating_duration_since(came).as_secs_f64() * 65_536.0;
            (middle, delay as u32)
        });
        let report = receiver.report().map(|heard| ReceptionReport {
            ssrc: heard.ssrc,
            fraction_lost: heard.fraction_lost,
            total_lost: heard.lost,
            last_sequence_number: heard.highest,
            jitter: heard.jitter,
            last_sender_report,
            delay,
        });
        let reports: Vec<_> = report.into_iter().collect();
        let (packets, octets) = sender.sent();
        let first: Box<dyn Packet + Send + Sync> = if packets > self.sent_before {
            Box::new(SenderReport {
                ssrc,
                ntp_time: self.ntp(now),
                rtp_time: sender.timestamp_at(now),
                packet_count: packets as u32,
                octet_count: octets as u32,
                reports,
                ..Default::default()
            })
        } else {
            Box::new(ReceiverReport { ssrc, reports, ..Default::default() })
        };
        self.sent_before = packets;
        let name = SourceDescriptionItem { sdes_type: SdesType::SdesCname, text: self.name.clone().into() };
        let chunk = SourceDescriptionChunk { source: ssrc, items: vec![name] };
        let mut all = vec![first, Box::new(SourceDescription { chunks: vec![chunk] }) as _];
        if bye {
            all.push(Box::new(Goodbye { sources: vec![ssrc], ..Default::default() }));
        }
        match marshal(&all) {
            Ok(bytes) => Some(bytes.to_vec()),
            Err(error) => {
                tracing::warn!(%error, "an RTCP report could not be written");
                None
            }
        }
    }

    /// Takes one RTCP datagram. `sender`: what its reports may be about.
    ///
    /// # Errors
    /// [`Reject::Malformed`] if it is no compound packet; what came before the fault has been used.
    pub fn packet(&mut self, now: Instant, sender: &Sender, mut bytes: &[u8]) -> Result<(), Reject> {
        if bytes.is_empty() {
            return Err(Reject::Malformed);
        }
        while let Some((head, _)) = bytes.split_first_chunk::<4>() {
            if head[0] >> 6 != 2 {
                return Err(Reject::Malformed);
            }
            let length = (usize::from(u16::from_be_bytes([head[2], head[3]])) + 1) * 4;
            let (mut one, rest) = bytes.split_at_checked(length).ok_or(Reject::Malformed)?;
            bytes = rest;
            // Only the kinds that are used are given to the crate's reader: the fewer of its paths a stranger can
            // reach, the better.
            match head[1] {
                SENDER_REPORT | RECEIVER_REPORT => {
                    for packet in unmarshal(&mut one).map_err(|_| Reject::Malformed)? {
                        self.reports(now, sender, packet.as_ref());
                    }
                }
                GOODBYE => self.bye = true,
                _ => {}
            }
        }
        if bytes.is_empty() { Ok(()) } else { Err(Reject::Malformed) }
    }

    fn reports(&mut self, now: Instant, sender: &Sender, packet: &(dyn Packet + Send + Sync)) {
        let reports = if let Some(report) = packet.as_any().downcast_ref::<SenderReport>() {
            self.their_report = Some(((report.ntp_time >> 16) as u32, now));
            &report.reports
        } else if let Some(report) = packet.as_any().downcast_ref::<ReceiverReport>() {
            &report.reports
        } else {
            return;
        };
        let clock = sender.clock_rate();
        for report in reports.iter().filter(|report| report.ssrc == sender.ssrc()) {
            self.remote_loss = Some(f32::from(report.fraction_lost) / 256.0);
            let micros = u64::from(report.jitter) * 1_000_000 / u64::from(clock);
            self.remote_jitter = Some(Duration::from_micros(micros));
            if report.last_sender_report != 0 {
                let arrived = (self.ntp(now) >> 16) as u32;
                let round = arrived.wrapping_sub(report.last_sender_report).wrapping_sub(report.delay);
                // A peer that rounds its delay up may come out below nothing; a lying one above a minute.
                if round.cast_signed() >= 0 && round < 60 << 16 {
                    self.rtt = Some(Duration::from_secs_f64(f64::from(round) / 65_536.0));
                }
            }
        }
    }

    /// The share of our packets that they lost between their last two reports.
    pub(super) fn remote_loss(&self) -> Option<f32> {
        self.remote_loss
    }

    /// Adds what their reports said.
    pub(super) fn add_to(&self, stats: &mut MediaStats) {
        stats.remote_loss = self.remote_loss;
        stats.remote_jitter = self.remote_jitter;
        stats.rtt = self.rtt;
        stats.remote_bye = self.bye;
    }

    fn ntp(&self, now: Instant) -> u64 {
        // One second on from zero, since an LSR of zero means none.
        let since = now.saturating_duration_since(self.epoch) + Duration::from_secs(1);
        (since.as_secs() << 32) | ((u64::from(since.subsec_nanos()) << 32) / 1_000_000_000)
    }
}
