//! A party in a browser, over WebRTC: a peer for the connection, the media path of RTP behind it.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use nightline_rtc::{Agreed, Event, Peer};
use nightline_sip::Codec;
use nightline_sip::rtp::{Accepts, Audio, MAX_PACKET, Receiver, Sender};
use tokio::sync::mpsc;

use super::coded::{self, Coded, Converters};
use super::seat::SeatLeg;
use super::sip::media_record;
use super::{Leg, LegEvent};
use crate::clock::{Clock, Time};
use crate::media::Frame;
use crate::record::MediaRecord;

/// How long a key that we press sounds.
const KEY_LENGTH: Duration = Duration::from_millis(120);
/// The receiver wants to know where packets come from; here the peer has made sure.
const FAR: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// What the signalling of a browser asks for while its call is up.
#[derive(Debug)]
pub enum Ask {
    /// A candidate of theirs came.
    Candidate(String),
    /// A key was pressed.
    Key(char),
    /// It wants to end the call.
    Stop,
}

/// A party in a browser. Dropping it ends the connection.
pub struct RtcLeg {
    peer: Peer,
    asks: mpsc::Receiver<Ask>,
    /// Of theirs, not taken yet.
    candidate: Option<String>,
    codec: Codec,
    receiver: Receiver,
    sender: Sender,
    converters: Converters,
    clock: Clock,
}

impl RtcLeg {
    /// The call's end of `peer`, which is connected.
    pub fn new(peer: Peer, asks: mpsc::Receiver<Ask>, clock: Clock) -> Self {
        let Agreed { codec, payload_type, dtmf_payload_type } = *peer.agreed();
        let codec = match codec {
            nightline_rtc::Codec::Opus => Codec::Opus,
            nightline_rtc::Codec::Pcma => Codec::Pcma,
            nightline_rtc::Codec::Pcmu => Codec::Pcmu,
        };
        let accepts = Accepts { codec, payload_type, dtmf_payload_type, cn_payload_type: None };
        Self {
            receiver: Receiver::new(clock.instant(clock.now()), FAR, accepts),
            sender: Sender::new(codec, payload_type, dtmf_payload_type),
            converters: Converters::default(),
            peer,
            asks,
            candidate: None,
            codec,
            clock,
        }
    }

    fn arrived(&mut self, now: Time, packet: &Bytes) {
        if let Err(reject) = self.receiver.packet(self.clock.instant(now), FAR, packet) {
            tracing::trace!(%reject, "media packet not used");
        }
    }

    fn send(&mut self, now: Time, audio: &Audio) {
        if let Some(loss) = self.peer.stats().remote_loss {
            self.sender.expect_loss(loss as f32);
        }
        let mut packet = [0; MAX_PACKET];
        let length = self.sender.frame(self.clock.instant(now), audio, &mut packet);
        self.peer.send(&packet[..length]);
    }
}

impl Coded for RtcLeg {
    fn take(&mut self, now: Time) -> Audio {
        while let Some(packet) = self.peer.try_rtp() {
            self.arrived(now, &packet);
        }
        self.receiver.pull(self.clock.instant(now)).audio
    }

    fn give(&mut self, now: Time, audio: &Audio) {
        let audio = self.converters.pass(audio, self.codec);
        self.send(now, &audio);
    }

    fn hear(&mut self, audio: &Audio) -> Frame {
        self.converters.hear(audio)
    }
}

impl Leg for RtcLeg {
    fn pull(&mut self, now: Time) -> Frame {
        let audio = self.take(now);
        self.hear(&audio)
    }

    fn push(&mut self, now: Time, frame: &Frame) {
        let audio = self.converters.say(frame, self.codec);
        self.send(now, &audio);
    }

    fn pass(&mut self, now: Time, seat: &mut SeatLeg, kept: bool) -> Option<(Frame, Frame)> {
        Some(coded::join(now, self, seat, kept))
    }

    async fn event(&mut self) -> LegEvent {
        loop {
            if let Some(digit) = self.receiver.dtmf() {
                return LegEvent::Dtmf(digit);
            }
            // Kept until it is taken: this future may be dropped on the way.
            if let Some(candidate) = &self.candidate {
                if let Err(error) = self.peer.add_candidate(candidate).await {
                    tracing::debug!(%error, "a candidate of a browser is not used");
                }
                self.candidate = None;
            }
            let ask = tokio::select! {
                event = self.peer.event() => {
                    match event {
                        Event::Rtp(packet) => self.arrived(self.clock.now(), &packet),
                        Event::Ended(why) => {
                            tracing::info!(%why, "a browser is gone");
                            return LegEvent::Gone;
                        }
                        Event::Connected | Event::Disconnected => {}
                    }
                    continue;
                }
                ask = self.asks.recv() => ask,
            };
            match ask {
                Some(Ask::Candidate(candidate)) => self.candidate = Some(candidate),
                Some(Ask::Key(digit)) => return LegEvent::Dtmf(digit),
                Some(Ask::Stop) | None => return LegEvent::Gone,
            }
        }
    }

    fn press(&mut self, digit: char) {
        if let Err(error) = self.sender.queue_dtmf(digit, KEY_LENGTH) {
            tracing::debug!(%error, "a key is not passed on to a browser");
        }
    }

    fn hang_up(&mut self) {
        // The peer says goodbye when it is dropped.
    }

    fn last_heard(&self) -> Option<Time> {
        let since = |at: std::time::Instant| at.saturating_duration_since(self.clock.instant(Time::ZERO));
        self.receiver.last_packet().map(|at| Time::ZERO + since(at))
    }

    fn media(&self) -> MediaRecord {
        let (mut stats, peer) = (self.receiver.stats(), self.peer.stats());
        stats.sent = peer.sent;
        stats.remote_loss = peer.remote_loss.map(|loss| loss as f32);
        stats.rtt = peer.round_trip;
        media_record("caller", self.codec.name(), &stats)
    }
}
