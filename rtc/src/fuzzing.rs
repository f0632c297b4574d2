//! What the fuzz targets of this workspace need of the private readers, and of the engine without sockets. No part of the
//! interface: it changes as they do.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use rtc::peer_connection::{RTCPeerConnection, RTCPeerConnectionBuilder};
use rtc::sansio::Protocol;
use rtc::shared::marshal::Unmarshal;
use rtc::shared::{TaggedBytesMut, TransportContext, TransportProtocol};
use webrtc::peer_connection::{
    RTCIceCandidateInit, RTCSessionDescription, Registry, SettingEngine, configure_rtcp_reports,
};

use crate::answer::{self, Answer};
use crate::inbox::{Event, Inbox};
use crate::offer::{Direction, Offer};
use crate::peer::{media, settings, track};
use crate::tap::{SLOT, Tap};
use crate::{Agreed, Codec, Error, candidate};

const ENGINE: &str = "v=0\r\no=- 7 8 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=fingerprint:sha-256 00:11\r\n\
    m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=setup:active\r\na=ice-ufrag:abcd\r\na=ice-pwd:0123456789abcdef012345\r\n\
    a=candidate:1 1 udp 1 192.0.2.1 40000 typ host\r\n";

/// Reads an offer, writes what the engine and the browser get for it, and reads that: octets of the answer.
///
/// # Errors
/// Why it is not answered.
///
/// # Panics
/// When what we write cannot be read.
pub fn offer(text: &str) -> Result<usize, Error> {
    let offer = Offer::parse(text)?;
    let engine = offer.to_engine();
    let again = Offer::parse(&engine).unwrap_or_else(|error| panic!("{error}: {engine}"));
    assert_eq!((again.agreed, again.candidates), (offer.agreed, offer.candidates.clone()), "{engine}");
    if let Err(error) = RTCSessionDescription::offer(engine.clone()) {
        panic!("the engine cannot read {engine}: {error}");
    }
    let addresses = answer::bound(ENGINE);
    let answer = Answer { engine: ENGINE, addresses: &addresses, ssrc: 7 }.write(&offer);
    let sections = answer.lines().filter(|line| line.starts_with("m=")).count();
    assert_eq!(sections, offer.sections.len(), "a section for each that was offered: {answer}");
    let read = Offer::parse(&answer).unwrap_or_else(|error| panic!("{error}: {answer}"));
    assert_eq!(read.agreed, offer.agreed, "{answer}");
    let turned = match offer.direction {
        Direction::Both => Direction::Both,
        Direction::TheySend => Direction::WeSend,
        Direction::WeSend => Direction::TheySend,
        Direction::Nobody => Direction::Nobody,
    };
    assert_eq!(read.direction, turned, "{answer}");
    Ok(answer.len())
}

/// Reads a candidate and what we write of it; whether it is of use.
///
/// # Errors
/// Why it is not taken.
///
/// # Panics
/// When what we write cannot be read.
pub fn candidate(line: &str) -> Result<bool, Error> {
    let Some(plain) = candidate::parse(line)? else { return Ok(false) };
    let again = candidate::parse(&plain).unwrap_or_else(|error| panic!("{error}: {plain}"));
    assert_eq!(again.as_deref(), Some(&*plain), "{line}");
    Ok(true)
}

/// What the engine does with packets after decryption: RTP and RTCP are read, audio is taken and written again.
pub fn decrypted(mut packet: &[u8], rtcp: bool) -> Option<BytesMut> {
    if rtcp {
        let packets = rtc::rtcp::packet::unmarshal(&mut packet).ok()?;
        return Some(BytesMut::zeroed(packets.len()));
    }
    let read = rtc::rtp::Packet::unmarshal(&mut packet).ok()?;
    let agreed = Agreed { codec: Codec::Pcmu, payload_type: 0, dtmf_payload_type: Some(101) };
    let inbox = Arc::new(Inbox::default());
    Tap::new(Arc::clone(&inbox), agreed, 7).take(&mut read.clone());
    inbox.take_rtp().map(|packet| BytesMut::from(&packet[..]))
}

/// Our engine and that of a browser, without sockets, on virtual time. What the browser sends is given out, to be delivered as
/// it is, changed, or not at all.
pub struct Link {
    ours: RTCPeerConnection,
    theirs: RTCPeerConnection,
    inbox: Arc<Inbox>,
    now: Instant,
}

fn address(ours: bool) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, if ours { 1 } else { 77 }], 40_000))
}

fn context(to_us: bool) -> TransportContext {
    TransportContext {
        local_addr: address(to_us),
        peer_addr: address(!to_us),
        transport_protocol: TransportProtocol::UDP,
        ecn: None,
    }
}

fn host(ours: bool) -> RTCIceCandidateInit {
    let place = address(ours);
    RTCIceCandidateInit { candidate: candidate::host(0, place.ip(), place.port()), ..Default::default() }
}

impl Link {
    /// Offer and answer have been exchanged; nothing was sent.
    ///
    /// # Errors
    /// When the engine refuses.
    pub fn new(now: Instant) -> Result<Self, Error> {
        let agreed = Agreed { codec: Codec::Pcmu, payload_type: 0, dtmf_payload_type: None };
        let mut theirs = RTCPeerConnectionBuilder::new()
            .with_media_engine(media(agreed)?)
            .with_setting_engine(SettingEngine::default())
            .build(now)?;
        theirs.add_track(track(agreed, 9))?;
        theirs.add_local_candidate(host(false))?;
        let offered = theirs.create_offer(None)?;
        theirs.set_local_description(now, offered)?;
        let text = theirs.local_description().unwrap_or_default().sdp;

        let offer = Offer::parse(&text)?;
        let inbox = Arc::new(Inbox::default());
        let tap = Tap::new(Arc::clone(&inbox), offer.agreed, 7);
        let mut ours = RTCPeerConnectionBuilder::new()
            .with_media_engine(media(offer.agreed)?)
            .with_setting_engine(settings(&offer))
            .with_interceptor_registry(configure_rtcp_reports(Registry::new()).with(SLOT.into(), tap))
            .build(now)?;
        ours.add_track(track(offer.agreed, 7))?;
        ours.add_local_candidate(host(true))?;
        ours.set_remote_description(now, RTCSessionDescription::offer(offer.to_engine())?)?;
        let answered = ours.create_answer(None)?;
        ours.set_local_description(now, answered)?;
        let engine = ours.local_description().unwrap_or_default().sdp;
        let answer = Answer { engine: &engine, addresses: &[address(true)], ssrc: 7 }.write(&offer);
        theirs.set_remote_description(now, RTCSessionDescription::answer(answer)?)?;
        Ok(Self { ours, theirs, inbox, now })
    }

    /// The next datagram of the browser's.
    pub fn theirs(&mut self) -> Option<Vec<u8>> {
        while self.theirs.poll_event().is_some() || self.theirs.poll_read().is_some() {}
        self.theirs.poll_write().map(|sent| sent.message.to_vec())
    }

    /// A datagram comes to us, from the browser's address or another. What we send goes to the browser. Datagrams that we have sent.
    pub fn deliver(&mut self, datagram: &[u8], stranger: bool) -> usize {
        let mut transport = context(true);
        if stranger {
            transport.peer_addr.set_port(4);
        }
        let message = TaggedBytesMut { now: self.now, transport, message: BytesMut::from(datagram) };
        // What it cannot read it says by an error.
        let _ = self.ours.handle_read(message);
        self.pump()
    }

    /// Time passes.
    pub fn pass(&mut self, time: Duration) -> usize {
        self.now += time;
        let _ = self.ours.handle_timeout(self.now);
        let _ = self.theirs.handle_timeout(self.now);
        self.pump()
    }

    /// Whether encrypted media has ever flown.
    pub fn is_opened(&self) -> bool {
        self.inbox.is_opened()
    }

    fn pump(&mut self) -> usize {
        let mut sent = 0;
        while let Some(event) = self.ours.poll_event() {
            use rtc::peer_connection::event::RTCPeerConnectionEvent::OnConnectionStateChangeEvent;
            use webrtc::peer_connection::RTCPeerConnectionState::Connected;
            if matches!(event, OnConnectionStateChangeEvent(Connected)) {
                self.inbox.connected();
            }
        }
        while self.ours.poll_read().is_some() {}
        while let Some(message) = self.ours.poll_write() {
            sent += 1;
            let message =
                TaggedBytesMut { now: self.now, transport: context(false), message: message.message };
            let _ = self.theirs.handle_read(message);
        }
        sent
    }

    /// What came of it all.
    pub fn heard(&self) -> usize {
        std::iter::from_fn(|| self.inbox.take_rtp()).map(Event::Rtp).count()
    }
}
