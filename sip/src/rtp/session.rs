//! The media of one call: a receiver, a sender, reports, and the sockets.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::header::is_rtcp;
use super::srtp::{Srtp, Unprotected};
use super::{
    Accepts, Audio, BadDigit, Kind, MAX_PACKET, MediaPort, MediaStats, Pulled, Receiver, Reject, Reporter,
    Sender,
};
use crate::Codec;
use crate::sdes::SrtpParams;

/// Longer datagrams than an Ethernet frame holds are no media.
const DATAGRAM: usize = 1_600;
/// Datagrams taken in one turn, so that a flood on one call leaves the others their time.
const TURN: usize = 64;

/// What offer and answer agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MediaConfig {
    /// Their address for RTP, from the SDP; RTCP goes to the next port.
    pub remote: SocketAddr,
    /// How audio is coded, both ways.
    pub codec: Codec,
    /// Its payload type, both ways.
    pub payload_type: u8,
    /// The payload type of telephone events, if agreed.
    pub dtmf_payload_type: Option<u8>,
    /// The payload type of comfort noise, if another than 13.
    pub cn_payload_type: Option<u8>,
    /// We send: false on hold.
    pub send: bool,
    /// We listen: false on hold.
    pub receive: bool,
}

impl MediaConfig {
    /// A codec with the payload type that it has in our offers, telephone events as 101, both directions.
    pub fn new(remote: SocketAddr, codec: Codec) -> Self {
        Self {
            remote,
            codec,
            payload_type: codec.payload_type(),
            dtmf_payload_type: Some(101),
            cn_payload_type: None,
            send: true,
            receive: true,
        }
    }

    fn accepts(&self) -> Accepts {
        Accepts {
            codec: self.codec,
            payload_type: self.payload_type,
            dtmf_payload_type: self.dtmf_payload_type,
            cn_payload_type: self.cn_payload_type,
        }
    }
}

/// The media of one call. Its owner awaits [`wait`](Self::wait), and every 20 ms calls [`pull`](Self::pull) and
/// [`push`](Self::push), which do not wait for anything.
pub struct MediaSession {
    port: MediaPort,
    config: MediaConfig,
    receiver: Receiver,
    sender: Sender,
    reporter: Reporter,
    /// Where their RTCP comes from, once it does.
    rtcp_remote: Option<SocketAddr>,
    srtp: Option<Srtp>,
    srtp_replayed: u64,
    srtp_forged: u64,
    send_dropped: u64,
}

impl MediaSession {
    /// Media over `port` as `config` says, from `now` on.
    pub fn new(now: Instant, port: MediaPort, config: MediaConfig) -> Self {
        let name = format!("{:016x}", rand::random::<u64>());
        Self {
            receiver: Receiver::new(now, config.remote, config.accepts()),
            sender: Sender::new(config.codec, config.payload_type, config.dtmf_payload_type),
            reporter: Reporter::new(now, name),
            port,
            config,
            rtcp_remote: None,
            srtp: None,
            srtp_replayed: 0,
            srtp_forged: 0,
            send_dropped: 0,
        }
    }

    /// A new session description: re-INVITE or UPDATE.
    pub fn configure(&mut self, config: MediaConfig) {
        if config.remote != self.config.remote {
            self.rtcp_remote = None;
        }
        self.receiver.configure(config.remote, config.accepts());
        self.sender.configure(config.codec, config.payload_type, config.dtmf_payload_type);
        self.config = config;
    }

    /// Encrypts from now on as was agreed on ([`crate::MediaParams::srtp`]), or no longer. Call it beside
    /// [`new`](Self::new) and whenever [`configure`](Self::configure) is called; keys that stay the same go on. Packets
    /// that are not encrypted are then dropped and counted.
    pub fn secure(&mut self, now: Instant, srtp: Option<&SrtpParams>) {
        match (&mut self.srtp, srtp) {
            (Some(running), Some(params)) => running.configure(now, *params),
            (running, params) => *running = params.map(|params| Srtp::new(*params)),
        }
    }

    /// Whether it is encrypted.
    pub fn is_secured(&self) -> bool {
        self.srtp.is_some()
    }

    /// How audio is coded, both ways.
    pub fn codec(&self) -> Codec {
        self.config.codec
    }

    /// Our address for RTP, for the SDP.
    pub fn local(&self) -> SocketAddr {
        self.port.local()
    }

    /// Waits until something comes, and takes all that has come; `now` gives the time of arrival. May be dropped at
    /// any moment without losing a packet.
    pub async fn wait(&mut self, now: impl Fn() -> Instant) {
        tokio::select! {
            _ = self.port.rtp.readable() => {}
            _ = self.port.rtcp.readable() => {}
        }
        self.drain(now());
    }

    /// Takes what has come since the runtime last looked, without waiting; at most 64 datagrams of a kind.
    pub fn drain(&mut self, now: Instant) {
        let mut datagram = [0; DATAGRAM];
        for _ in 0..TURN {
            match self.port.rtp.try_recv_from(&mut datagram) {
                Ok((length, from)) => self.take(now, from, &datagram[..length]),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                // An ICMP message for something we sent; the next packet may be fine.
                Err(error) => tracing::trace!(%error, "media socket"),
            }
        }
        for _ in 0..TURN {
            match self.port.rtcp.try_recv_from(&mut datagram) {
                Ok((length, from)) => self.take_rtcp(now, from, &datagram[..length]),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(error) => tracing::trace!(%error, "RTCP socket"),
            }
        }
    }

    fn take(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) {
        if is_rtcp(datagram) {
            return self.take_rtcp(now, from, datagram);
        }
        let opened;
        let packet = match &mut self.srtp {
            None => datagram,
            Some(_) if !self.receiver.admits(now, from) => return self.receiver.count_source(),
            // On hold too: what counts how often the sequence number has wrapped must not miss it.
            Some(srtp) => match srtp.open(now, datagram) {
                Ok(packet) => {
                    opened = packet;
                    &opened[..]
                }
                Err(refused) => return self.count_unprotected(refused),
            },
        };
        if self.config.receive
            && let Err(reject) = self.receiver.packet(now, from, packet)
        {
            tracing::trace!(%reject, "media packet not used");
        }
    }

    fn count_unprotected(&mut self, refused: Unprotected) {
        match refused {
            Unprotected::Replayed => self.srtp_replayed += 1,
            Unprotected::Forged => self.srtp_forged += 1,
            Unprotected::Malformed => self.receiver.count_malformed(),
        }
        tracing::trace!(?refused, "encrypted packet not used");
    }

    fn take_rtcp(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) {
        // Reports steer nothing but statistics and how much Opus repeats, so the address is enough of a check.
        if from.ip() != self.receiver.destination().ip() {
            return self.receiver.count_source();
        }
        let opened;
        let packet = match self.srtp.as_mut().map(|srtp| srtp.open_rtcp(now, datagram)) {
            None => datagram,
            Some(Ok(packet)) => {
                opened = packet;
                &opened[..]
            }
            Some(Err(refused)) => return self.count_unprotected(refused),
        };
        match self.reporter.packet(now, &self.sender, packet) {
            Ok(()) => {
                self.rtcp_remote = Some(from);
                if let Some(loss) = self.reporter.remote_loss() {
                    self.sender.expect_loss(loss);
                }
            }
            Err(Reject::Malformed) => self.receiver.count_malformed(),
            Err(reject) => tracing::trace!(%reject, "RTCP packet not used"),
        }
    }

    /// The next 20 ms of what they say, and our report if one is due. Call it every 20 ms.
    pub fn pull(&mut self, now: Instant) -> Pulled {
        if let Some(report) = self.reporter.poll(now, &self.sender, &mut self.receiver) {
            self.send_rtcp(&report);
        }
        if self.config.receive {
            self.receiver.pull(now)
        } else {
            Pulled { audio: Audio::silence(self.config.codec), kind: Kind::Silence, delay: Duration::ZERO }
        }
    }

    /// Sends 20 ms ([`Codec::frame`] samples) at once; on hold, nothing. Call it every 20 ms.
    pub fn push(&mut self, now: Instant, audio: &[i16]) {
        if !self.config.send {
            return;
        }
        let mut packet = [0; MAX_PACKET];
        let length = self.sender.frame(now, audio, &mut packet);
        let to = self.receiver.destination();
        let sent = match &mut self.srtp {
            None => MediaPort::send(&self.port.rtp, &packet[..length], to),
            Some(srtp) => match srtp.protect(&packet[..length]) {
                Some(packet) => MediaPort::send(&self.port.rtp, &packet, to),
                // Never in the clear instead.
                None => Err(std::io::Error::other("it could not be encrypted")),
            },
        };
        if let Err(error) = sent {
            self.send_dropped += 1;
            tracing::trace!(%error, "media packet not sent");
        }
    }

    /// Sends a digit in place of audio, `length` long: 40 ms to 8 s.
    ///
    /// # Errors
    /// [`BadDigit`] if there is no such key, too many wait, or the other side takes no events.
    pub fn send_dtmf(&mut self, digit: char, length: Duration) -> Result<(), BadDigit> {
        self.sender.queue_dtmf(digit, length)
    }

    /// The oldest received digit not taken yet.
    pub fn dtmf(&mut self) -> Option<char> {
        self.receiver.dtmf()
    }

    /// When the last packet came that was used, for the RTP timeout.
    pub fn last_packet(&self) -> Option<Instant> {
        self.receiver.last_packet()
    }

    /// What was counted so far.
    pub fn stats(&self) -> MediaStats {
        let mut stats = self.receiver.stats();
        (stats.sent, stats.octets) = self.sender.sent();
        stats.sent -= self.send_dropped;
        stats.send_dropped = self.send_dropped;
        (stats.srtp_replayed, stats.srtp_forged) = (self.srtp_replayed, self.srtp_forged);
        self.reporter.add_to(&mut stats);
        stats
    }

    /// Says goodbye over RTCP; call it once, when the call ends.
    pub fn close(&mut self, now: Instant) {
        if let Some(goodbye) = self.reporter.goodbye(now, &self.sender, &mut self.receiver) {
            self.send_rtcp(&goodbye);
        }
    }

    fn send_rtcp(&mut self, packet: &[u8]) {
        let encrypted;
        let packet = match self.srtp.as_mut().map(|srtp| srtp.protect_rtcp(packet)) {
            None => packet,
            Some(Some(done)) => {
                encrypted = done;
                &encrypted[..]
            }
            Some(None) => return,
        };
        let rtp = self.receiver.destination();
        let remote = self.rtcp_remote.or_else(|| Some(SocketAddr::new(rtp.ip(), rtp.port().checked_add(1)?)));
        if let Some(Err(error)) = remote.map(|remote| MediaPort::send(&self.port.rtcp, packet, remote)) {
            tracing::trace!(%error, "RTCP packet not sent");
        }
    }
}
