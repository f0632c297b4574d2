//! The tap on the engine's packets, after decryption: audio leaves here for the [`Inbox`], reports are read on their way.
//!
//! It sits last in the engine's chain of interceptors, so that the reports the engine makes count what came. Packets that
//! are taken here never reach the engine's own tracks and their queues.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rtc::interceptor::{Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::rtcp::receiver_report::ReceiverReport;
use rtc::rtcp::reception_report::ReceptionReport;
use rtc::rtcp::sender_report::SenderReport;
use rtc::sansio::Protocol;
use rtc::shared::marshal::Marshal;
use webrtc::error::Error;

use crate::Agreed;
use crate::inbox::Inbox;

/// Behind every place that the engine's own interceptors take.
pub(crate) const SLOT: usize = 14_000;

/// An interceptor for one connection.
pub(crate) struct Tap {
    inbox: Arc<Inbox>,
    agreed: Agreed,
    /// Of what we send.
    ssrc: u32,
    reads: VecDeque<TaggedPacket>,
    writes: VecDeque<TaggedPacket>,
}

impl Tap {
    pub(crate) fn new(inbox: Arc<Inbox>, agreed: Agreed, ssrc: u32) -> Self {
        Self { inbox, agreed, ssrc, reads: VecDeque::new(), writes: VecDeque::new() }
    }

    pub(crate) fn take(&self, packet: &mut rtc::rtp::Packet) {
        let kind = Some(packet.header.payload_type);
        // Packets of nothing but padding probe the network.
        if packet.payload.is_empty()
            || (kind != Some(self.agreed.payload_type) && kind != self.agreed.dtmf_payload_type)
        {
            return;
        }
        packet.header.padding = false;
        match packet.marshal() {
            Ok(whole) => self.inbox.rtp(whole.freeze()),
            Err(error) => tracing::trace!(%error, "RTP packet of a browser not used"),
        }
    }

    fn read(&self, reports: &[ReceptionReport]) {
        let Some(report) = reports.iter().find(|report| report.ssrc == self.ssrc) else {
            return;
        };
        // RFC 3550 section 6.4.1: 24 bits with a sign, and 1/256.
        let lost = ((report.total_lost << 8) as i32) >> 8;
        let jitter = Duration::from_secs_f64(f64::from(report.jitter) / f64::from(self.agreed.codec.rate()));
        self.inbox.count(|stats| {
            stats.remote_lost = Some(lost);
            stats.remote_loss = Some(f64::from(report.fraction_lost) / 256.0);
            stats.remote_jitter = Some(jitter);
        });
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for Tap {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, mut message: TaggedPacket) -> Result<(), Error> {
        match &mut message.message.packet {
            Packet::Rtp(packet) => {
                self.take(packet);
                return Ok(());
            }
            Packet::Rtcp(packets) => {
                for packet in packets.iter().map(|packet| packet.as_any()) {
                    if let Some(report) = packet.downcast_ref::<SenderReport>() {
                        self.read(&report.reports);
                    } else if let Some(report) = packet.downcast_ref::<ReceiverReport>() {
                        self.read(&report.reports);
                    }
                }
            }
            _ => {}
        }
        self.reads.push_back(message);
        Ok(())
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.reads.pop_front()
    }

    fn handle_write(&mut self, message: TaggedPacket) -> Result<(), Error> {
        self.writes.push_back(message);
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.writes.pop_front()
    }
}

impl Interceptor for Tap {
    fn bind_local_stream(&mut self, _: &StreamInfo) {}
    fn unbind_local_stream(&mut self, _: &StreamInfo) {}
    fn bind_remote_stream(&mut self, _: &StreamInfo) {}
    fn unbind_remote_stream(&mut self, _: &StreamInfo) {}
}
