//! One direction of a call's RTP: packets over a bad network into the jitter buffer of the other side.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use nightline_sip::Codec;
use nightline_sip::rtp::{Accepts, Kind, MAX_PACKET, Receiver, Sender};

use super::network::{Network, Weather};
use crate::clock::{Clock, Time};
use crate::media::Frame;
use crate::media::wire::{FromWire, ToWire};
use crate::record::MediaRecord;

const PAYLOAD_TYPE: u8 = 8;
const DTMF_PAYLOAD_TYPE: u8 = 101;

/// One direction of the caller's RTP.
pub(super) struct Line {
    clock: Clock,
    down: ToWire,
    up: FromWire,
    delay: Duration,
    sender: Sender,
    network: Network,
    receiver: Receiver,
    from: SocketAddr,
}

impl Line {
    pub(super) fn new(clock: Clock, weather: Weather, seed: u64) -> Self {
        let from = SocketAddr::from((Ipv4Addr::LOCALHOST, 4000));
        let accepts = Accepts {
            codec: Codec::Pcma,
            payload_type: PAYLOAD_TYPE,
            dtmf_payload_type: Some(DTMF_PAYLOAD_TYPE),
            cn_payload_type: None,
        };
        Self {
            clock,
            down: ToWire::default(),
            up: FromWire::default(),
            delay: weather.delay,
            sender: Sender::new(Codec::Pcma, PAYLOAD_TYPE, Some(DTMF_PAYLOAD_TYPE)),
            network: Network::new(weather, seed),
            receiver: Receiver::new(clock.instant(Time::ZERO), from, accepts),
            from,
        }
    }

    pub(super) fn press(&mut self, digit: char) {
        if let Err(error) = self.sender.queue_dtmf(digit, Duration::from_millis(120)) {
            tracing::warn!(%error, "a key of the script cannot be sent");
        }
    }

    pub(super) fn send(&mut self, now: Time, frame: &Frame) {
        let mut packet = [0; MAX_PACKET];
        let wire = self.down.convert(frame);
        let length = self.sender.frame(self.clock.instant(now), &wire, &mut packet);
        self.network.send(now, &packet[..length]);
    }

    /// The next 20 ms that are heard at the other end.
    pub(super) fn receive(&mut self, now: Time) -> Received {
        while let Some((at, packet)) = self.network.arrived(now) {
            // What is rejected is counted by the receiver.
            let _ = self.receiver.packet(self.clock.instant(at), self.from, &packet);
        }
        let pulled = self.receiver.pull(self.clock.instant(now));
        Received {
            frame: self.up.convert(&pulled.audio),
            sent: now - self.delay - pulled.delay,
            real: pulled.kind == Kind::Played,
        }
    }

    /// The oldest digit that has been heard and not taken.
    pub(super) fn pressed(&mut self) -> Option<char> {
        self.receiver.dtmf()
    }

    pub(super) fn media(&self) -> MediaRecord {
        crate::leg::sip::media_record("caller", "PCMA", &self.receiver.stats())
    }
}

/// 20 ms as they are heard.
#[derive(Clone, Copy, Debug)]
pub(super) struct Received {
    pub(super) frame: Frame,
    /// When its first sample was sent, but for the few milliseconds by which the fastest packet was slower than the network's
    /// least delay.
    pub(super) sent: Time,
    /// Nothing of it was made up.
    pub(super) real: bool,
}
