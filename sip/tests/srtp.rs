//! Encrypted media between endpoints and media sessions on loopback, with a relay on the way that listens, repeats and
//! forges.

mod secure;

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use nightline_sip::rtp::{FRAME, Kind, MediaConfig, MediaPort, MediaSession};
use nightline_sip::{
    Codec, Direction, Endpoint, EndpointConfig, Error, MediaParams, SessionEvent, SrtpPolicy, SrtpSuite,
    Transport,
};
use secure::{Authority, LOOPBACK, call, dial, endpoint, media, port, refused, soon};
use tokio::net::UdpSocket;

const TICK: Duration = Duration::from_millis(20);

#[expect(clippy::disallowed_methods, reason = "any moment does as the origin of virtual time")]
fn origin() -> Instant {
    Instant::now()
}

fn free_port() -> MediaPort {
    MediaPort::bind(LOOPBACK, 20_000..=59_999).expect("a free pair")
}

fn config(params: &MediaParams, remote: SocketAddr) -> MediaConfig {
    let mut config = MediaConfig::new(remote, Codec::Pcma);
    (config.send, config.receive) = (params.direction.sends(), params.direction.receives());
    config
}

fn started(now: Instant, port: MediaPort, params: &MediaParams, remote: SocketAddr) -> MediaSession {
    let mut session = MediaSession::new(now, port, config(params, remote));
    session.secure(now, params.srtp.as_deref());
    session
}

/// Between two media sessions: what it is sent by one goes to the other, as the test wants it.
struct Relay {
    socket: UdpSocket,
    ends: [SocketAddr; 2],
}

impl Relay {
    async fn bind() -> Self {
        let socket = UdpSocket::bind((LOOPBACK, 0)).await.expect("a free port");
        Self { socket, ends: [SocketAddr::new(LOOPBACK, 0); 2] }
    }

    fn address(&self) -> SocketAddr {
        self.socket.local_addr().expect("bound")
    }

    /// The next packet, and where it has to go.
    async fn take(&self) -> (Vec<u8>, SocketAddr) {
        let mut packet = [0; 2_000];
        let (length, from) = soon("a packet", self.socket.recv_from(&mut packet)).await.expect("received");
        let to = if from == self.ends[0] { self.ends[1] } else { self.ends[0] };
        (packet[..length].to_vec(), to)
    }

    async fn give(&self, packet: &[u8], to: SocketAddr) {
        self.socket.send_to(packet, to).await.expect("sent");
    }
}

/// Sends a frame from `one` over the relay, unharmed, and waits for its arrival.
async fn pass(relay: &Relay, one: &mut MediaSession, two: &mut MediaSession, now: Instant) -> Vec<u8> {
    one.push(now, &[3_000; FRAME]);
    let (packet, to) = relay.take().await;
    relay.give(&packet, to).await;
    arrived(two, now).await;
    packet
}

async fn arrived(session: &mut MediaSession, now: Instant) {
    soon("a packet", session.wait(|| now)).await;
}

/// A call over TLS that is up: both media sessions with the relay between them, and what was agreed.
struct Secured {
    relay: Relay,
    one: MediaSession,
    two: MediaSession,
    ours: nightline_sip::Session,
    theirs: nightline_sip::Session,
    now: Instant,
    _ends: (Endpoint, Endpoint, Authority),
}

async fn secured() -> Secured {
    let ca = Authority::new("Test CA");
    let (caller, _calls) = endpoint(ca.tls(), |_| ()).await;
    let (callee, mut calls) = endpoint(ca.tls(), |config| config.srtp = SrtpPolicy::Optional).await;
    let (port_one, port_two) = (free_port(), free_port());
    let mut relay = Relay::bind().await;
    relay.ends = [port_one.local(), port_two.local()];
    let target = format!("sips:400@127.0.0.1:{}", port(&callee));
    let dial = dial(target, port_one.local().port());
    let handle = caller.with_srtp(SrtpPolicy::Required);
    let (ours, theirs, _) = call(&handle, &mut calls, dial, media(port_two.local().port())).await;
    let now = origin();
    let one = started(now, port_one, ours.media(), relay.address());
    let two = started(now, port_two, theirs.media(), relay.address());
    Secured { relay, one, two, ours, theirs, now, _ends: (caller, callee, ca) }
}

#[tokio::test]
async fn a_call_over_tls_has_encrypted_audio_both_ways_through_hold_and_resume() {
    let Secured { relay, mut one, mut two, mut ours, mut theirs, now: start, _ends } = secured().await;
    let agreed = ours.media().srtp.clone().expect("keys");
    assert_eq!(agreed.suite, SrtpSuite::ALL[0]);
    assert_eq!(Some(agreed.local), theirs.media().srtp.as_ref().map(|srtp| srtp.remote));
    assert!(one.is_secured() && two.is_secured());
    let mut played = 0;
    for frame in 0..150u32 {
        let now = start + TICK * frame;
        let packet = pass(&relay, &mut one, &mut two, now).await;
        assert_eq!(packet.len(), 12 + FRAME + 16, "audio and a tag");
        // A constant frame is one octet over and over in the clear.
        assert!(packet[12..172].windows(2).any(|pair| pair[0] != pair[1]), "sent in the clear");
        pass(&relay, &mut two, &mut one, now).await;
        let (at_one, at_two) = (one.pull(now), two.pull(now));
        for pulled in [at_one, at_two].iter().filter(|pulled| pulled.kind == Kind::Played) {
            assert!((2_800..3_200).contains(&pulled.audio[80]), "{}", pulled.audio[80]);
            played += 1;
        }
        if frame == 50 {
            ours.hold();
        } else if frame == 100 {
            ours.resume();
        } else {
            continue;
        }
        // A new description with the same keys: the streams go on where they were.
        for (session, media) in [(&mut ours, &mut one), (&mut theirs, &mut two)] {
            let SessionEvent::Media(params) = soon("new media", session.event()).await else {
                panic!("no new media");
            };
            assert_eq!(params.srtp.as_ref().map(|srtp| srtp.suite), Some(agreed.suite));
            assert_eq!(params.direction == Direction::SendRecv, frame == 100);
            let mut config = config(&params, relay.address());
            (config.send, config.receive) = (true, true);
            media.configure(config);
            media.secure(now, params.srtp.as_deref());
        }
    }
    assert!(played > 250, "{played} frames");
    for stats in [one.stats(), two.stats()] {
        assert_eq!((stats.received, stats.lost, stats.malformed), (150, 0, 0), "{stats:?}");
        assert_eq!((stats.srtp_replayed, stats.srtp_forged), (0, 0), "{stats:?}");
    }
}

#[tokio::test]
async fn repeated_forged_and_plain_packets_are_dropped_and_counted() {
    let Secured { relay, mut one, mut two, now, .. } = secured().await;
    let mut packets = Vec::new();
    for frame in 0..10 {
        packets.push(pass(&relay, &mut one, &mut two, now + TICK * frame).await);
    }
    assert_eq!(two.stats().received, 10);
    let to = relay.ends[1];
    for packet in &packets {
        relay.give(packet, to).await;
        arrived(&mut two, now).await;
    }
    let stats = two.stats();
    assert_eq!((stats.received, stats.srtp_replayed, stats.srtp_forged), (10, 10, 0), "{stats:?}");

    one.push(now + TICK * 10, &[3_000; FRAME]);
    let (genuine, _) = relay.take().await;
    let mut forged = Vec::new();
    for at in [1, 6, 11, 12, 100, genuine.len() - 1] {
        let mut packet = genuine.clone();
        packet[at] ^= 0x04;
        forged.push(packet);
    }
    forged.push(genuine[..genuine.len() - 1].to_vec());
    // As it would be in the clear.
    forged.push(genuine[..172].to_vec());
    for packet in &forged {
        relay.give(packet, to).await;
        arrived(&mut two, now).await;
    }
    let stats = two.stats();
    assert_eq!((stats.received, stats.srtp_forged), (10, forged.len() as u64), "{stats:?}");
    relay.give(&genuine, to).await;
    arrived(&mut two, now).await;
    assert_eq!(two.stats().received, 11, "the genuine one is still good");
}

#[tokio::test]
async fn reports_are_encrypted_and_forged_ones_are_not_believed() {
    let now = origin();
    let ca = Authority::new("Test CA");
    let (caller, _calls) = endpoint(ca.tls(), |config| config.srtp = SrtpPolicy::Required).await;
    let (callee, mut calls) = endpoint(ca.tls(), |config| config.srtp = SrtpPolicy::Required).await;
    let (port_one, port_two) = (free_port(), free_port());
    let (at_one, at_two) = (port_one.local(), port_two.local());
    let target = format!("sips:400@127.0.0.1:{}", port(&callee));
    let dial = dial(target, at_one.port());
    let (ours, theirs, _) = call(&caller, &mut calls, dial, media(at_two.port())).await;
    let mut one = started(now, port_one, ours.media(), at_two);
    let mut two = started(now, port_two, theirs.media(), at_one);
    one.push(now, &[3_000; FRAME]);
    arrived(&mut two, now).await;

    // A goodbye in the clear; with the flag of encryption off, and an index and a tag behind it.
    let goodbye = [&[0x81, 203, 0, 1, 0, 0, 0, 9][..], &[0; 14]].concat();
    let reports = SocketAddr::new(LOOPBACK, at_two.port() + 1);
    let thief = UdpSocket::bind((LOOPBACK, 0)).await.expect("a free port");
    for forged in [&goodbye[..8], &goodbye[..12], &goodbye] {
        thief.send_to(forged, reports).await.expect("sent");
        arrived(&mut two, now).await;
    }
    let stats = two.stats();
    assert_eq!((stats.remote_bye, stats.srtp_forged), (false, 3), "{stats:?}");

    for frame in 1..800u32 {
        let now = now + TICK * frame;
        one.push(now, &[3_000; FRAME]);
        two.push(now, &[3_000; FRAME]);
        arrived(&mut one, now).await;
        arrived(&mut two, now).await;
        one.drain(now);
        two.drain(now);
        one.pull(now);
        two.pull(now);
    }
    one.close(now + TICK * 800);
    while !two.stats().remote_bye {
        arrived(&mut two, now + TICK * 800).await;
    }
    for stats in [one.stats(), two.stats()] {
        assert!(stats.rtt.is_some() && stats.remote_loss == Some(0.0), "{stats:?}");
    }
}

#[tokio::test]
async fn srtp_is_refused_by_who_has_none_and_demanded_by_who_requires_it() {
    let ca = Authority::new("Test CA");
    let (none, _calls) = endpoint(ca.tls(), |_| ()).await;
    let (strict, mut calls) = endpoint(ca.tls(), |config| config.srtp = SrtpPolicy::Required).await;
    for (caller, policy, callee, words) in [
        (&strict, SrtpPolicy::Required, &none, "Not Acceptable Here"),
        (&none, SrtpPolicy::Off, &strict, "Not Acceptable Here"),
    ] {
        let target = format!("sips:400@127.0.0.1:{}", port(callee));
        let (code, reason) = refused(&caller.with_srtp(policy), dial(target, 30_000)).await;
        assert_eq!((code, reason.as_str()), (488, words), "{policy:?}");
    }
    // One call of an endpoint that otherwise has none may have it.
    let target = format!("sips:400@127.0.0.1:{}", port(&strict));
    let handle = none.with_srtp(SrtpPolicy::Required);
    let (ours, ..) = call(&handle, &mut calls, dial(target, 30_000), media(31_000)).await;
    assert!(ours.media().srtp.is_some());
}

#[tokio::test]
async fn keys_over_plain_sip_have_to_be_allowed() {
    let bind = |srtp_over_plain_sip| async move {
        let listen = vec![(Transport::Udp, SocketAddr::new(LOOPBACK, 0))];
        let srtp = SrtpPolicy::Required;
        let config = EndpointConfig { listen, srtp, srtp_over_plain_sip, ..EndpointConfig::default() };
        Endpoint::bind(config).await.expect("a free port")
    };
    let (careful, _calls) = bind(false).await;
    let (lax, mut calls) = bind(true).await;
    let ip: IpAddr = LOOPBACK;
    let to = |endpoint: &Endpoint| {
        let port = endpoint.local_addr(Transport::Udp).expect("a listener").port();
        dial(format!("sip:400@{ip}:{port}"), 30_000)
    };
    let error = careful.dial(to(&lax)).await.expect_err("keys in the clear");
    assert!(matches!(error, Error::SrtpNeedsTls { .. }), "{error}");
    assert_eq!(refused(&lax, to(&careful)).await.0, 488);
    let (other, _calls) = bind(true).await;
    let (ours, ..) = call(&other, &mut calls, to(&lax), media(31_000)).await;
    assert!(ours.media().srtp.is_some());
}
