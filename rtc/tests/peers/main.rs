//! Two ends on this machine: ours, and one that offers as a browser does.

mod browser;

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::time::Duration;

use browser::{Browser, KEYS, Network, SSRC, candidates, within, without_candidates};
use nightline_rtc::{Codec, Config, Ended, Error, Event, Peer};

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const SECRET: &[u8] = b"nobody between us may read this, not one word";

fn config() -> Config {
    Config::new(LOOPBACK, 40_000..=49_999)
}

/// The next thing but for RTP.
async fn news(peer: &mut Peer) -> Event {
    loop {
        match tokio::time::timeout(Duration::from_secs(30), peer.event()).await.expect("an event") {
            Event::Rtp(_) => {}
            event => return event,
        }
    }
}

fn packet(sequence: u16, payload_type: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x80, payload_type];
    packet.extend(sequence.to_be_bytes());
    packet.extend((u32::from(sequence) * 960).to_be_bytes());
    packet.extend([1, 2, 3, 4]);
    packet.extend(payload);
    packet
}

fn port(answer: &str) -> u16 {
    candidates(answer)[0].split(' ').nth(5).expect("a port").parse().expect("a port")
}

async fn is_freed(port: u16) {
    within(async {
        while UdpSocket::bind((LOOPBACK, port)).is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn audio_passes_both_ways_and_nobody_between_can_read_it() {
    let mut browser = Browser::new(true).await;
    let (mut peer, answer) = Peer::answer(&config(), &browser.offer).await.expect("a peer");
    assert_eq!((peer.agreed().codec, peer.agreed().payload_type), (Codec::Opus, 111));
    peer.send(&packet(1, 111, b"too early"));
    assert_eq!(peer.stats().send_dropped, 1, "nothing leaves before it is encrypted");

    let (network, far) = Network::around(&answer).await;
    browser.accept(&far).await;
    assert_eq!(news(&mut peer).await, Event::Connected);
    browser.connected().await;

    for sequence in 10..13 {
        browser.say(sequence, 111, SECRET).await;
        let Event::Rtp(whole) = within(peer.event()).await else { panic!("no packet") };
        assert_eq!(
            (whole[1], &whole[2..4], &whole[8..12]),
            (111, &[0, sequence as u8][..], &SSRC.to_be_bytes()[..])
        );
        assert_eq!(&whole[12..], SECRET, "the payload as it was");
    }
    for sequence in 20..23 {
        // Whatever payload type: it is audio.
        peer.send(&packet(sequence, 96, SECRET));
        let heard = browser.hear().await;
        assert_eq!((heard.header.payload_type, heard.header.sequence_number), (111, sequence));
        assert_eq!(heard.header.timestamp, u32::from(sequence) * 960);
        assert!(answer.contains(&format!("a=ssrc:{} ", heard.header.ssrc)), "the SSRC of the answer");
        assert_eq!(&heard.payload[..], SECRET);
    }
    assert_eq!(peer.agreed().dtmf_payload_type, Some(KEYS));
    browser.say(30, KEYS, b"\x05\x0a\x00\xa0").await;
    let Event::Rtp(key) = within(peer.event()).await else { panic!("no packet") };
    assert_eq!((key[1], &key[12..]), (KEYS, &b"\x05\x0a\x00\xa0"[..]));
    peer.send(&packet(31, KEYS, b"\x07\x0a\x00\xa0"));
    assert_eq!(browser.hear().await.header.payload_type, KEYS);
    assert_eq!(peer.try_rtp(), None);
    assert_eq!((peer.stats().received, peer.stats().sent), (4, 4));

    let passed = network.passed.lock().expect("unbroken");
    let media = passed
        .iter()
        .filter(|datagram| (128..192).contains(&datagram[0]) && datagram.len() > SECRET.len() + 12);
    assert!(media.count() >= 6, "encrypted media passed");
    assert!(passed.iter().any(|datagram| datagram[0] == 22), "a handshake of DTLS passed");
    assert!(
        !passed.iter().any(|datagram| datagram.windows(7).any(|word| word == &SECRET[..7])),
        "nothing in the clear"
    );
}

#[tokio::test]
async fn whatever_is_no_audio_is_refused_in_the_answer() {
    let browser = Browser::new(true).await;
    let (_peer, answer) = Peer::answer(&config(), &browser.offer).await.expect("a peer");
    let media = |sdp: &str| -> Vec<String> {
        sdp.lines()
            .filter(|line| line.starts_with("m="))
            .map(|line| line.split(' ').next().unwrap_or_default().to_owned())
            .collect()
    };
    assert_eq!(media(&answer), media(&browser.offer), "as many sections, in the same order");
    for line in answer.lines().filter(|line| line.starts_with("m=") && !line.starts_with("m=audio")) {
        assert!(line.contains(" 0 "), "{line}");
    }
    assert_eq!(candidates(&answer).len(), 1, "{answer}");
    assert!(answer.contains("useinbandfec=1") && answer.contains("a=setup:active"), "{answer}");
}

#[tokio::test]
async fn advertised_addresses_stand_in_place_of_the_bound_one() {
    let browser = Browser::new(false).await;
    let config = Config {
        advertised: vec![[203, 0, 113, 9].into(), "2001:db8::9".parse().expect("an address")],
        ..config()
    };
    let (_peer, answer) = Peer::answer(&config, &browser.offer).await.expect("a peer");
    let found = candidates(&answer);
    assert!(found[0].contains(" 203.0.113.9 ") && found[1].contains(" 2001:db8::9 "), "{answer}");
    assert!(!answer.contains("127.0.0.1"), "{answer}");
}

#[tokio::test]
async fn a_bad_offer_gets_its_error_and_takes_no_port() {
    let good = Browser::new(false).await.offer;
    let only = free_port();
    let config = Config { ports: only..=only, ..config() };
    let bad = [
        (String::new(), "no SDP"),
        ("v=0\r\n".repeat(30_000), "octets"),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), "no SDP"),
        (good.replace("m=audio", "m=video"), "no audio section"),
        (good.replace("opus", "speex").replace("PCM", "XCM").replace(" 0 8", ""), "none of the codecs"),
        (good.replace("a=fingerprint:", "a=finger:"), "no certificate fingerprint"),
        (good.replace("a=ice-ufrag:", "a=ice:"), "ice-ufrag"),
    ];
    for (offer, expected) in bad {
        let error = Peer::answer(&config, &offer).await.err().expect(expected).to_string();
        assert!(error.contains(expected), "{error}");
        assert!(UdpSocket::bind((LOOPBACK, only)).is_ok(), "{expected}: the port is free");
    }
    let held = UdpSocket::bind((LOOPBACK, only)).expect("the port");
    let error = Peer::answer(&config, &good).await.err().expect("no port");
    assert!(matches!(error, Error::Exhausted { .. }), "{error}");
    drop(held);
    let elsewhere = Config { bind: [192, 0, 2, 77].into(), ..config };
    let error = Peer::answer(&elsewhere, &good).await.err().expect("not ours");
    assert!(matches!(error, Error::Refused { .. }), "{error}");
}

#[tokio::test]
async fn a_peer_that_is_dropped_frees_its_port_and_says_goodbye() {
    let mut browser = Browser::new(false).await;
    let only = free_port();
    let config = Config { ports: only..=only, ..config() };
    // Twice on the one port, once before and once after the connection.
    let (peer, _) = Peer::answer(&config, &browser.offer).await.expect("a peer");
    drop(peer);
    is_freed(only).await;
    let (mut peer, answer) = Peer::answer(&config, &browser.offer).await.expect("a peer");
    assert_eq!(port(&answer), only);
    let (network, far) = Network::around(&answer).await;
    browser.accept(&far).await;
    assert_eq!(news(&mut peer).await, Event::Connected);
    browser.connected().await;
    drop(peer);
    is_freed(only).await;
    let goodbye = |datagram: &Vec<u8>| datagram[0] == 21;
    assert!(network.passed.lock().expect("unbroken").iter().any(goodbye), "an alert of DTLS passed");
    let (peer, _) = Peer::answer(&config, &browser.offer).await.expect("a peer on the same port");
    peer.close().await;
    assert!(UdpSocket::bind((LOOPBACK, only)).is_ok(), "free as soon as it is closed");
}

#[tokio::test]
async fn a_candidate_may_come_later() {
    let mut browser = Browser::new(false).await;
    let (mut peer, answer) =
        Peer::answer(&config(), &without_candidates(&browser.offer)).await.expect("a peer");
    // It does not know where we are: only we can begin.
    browser.accept(&without_candidates(&answer)).await;
    let theirs = candidates(&browser.offer);
    assert!(matches!(peer.add_candidate("candidate:over there").await, Err(Error::BadCandidate { .. })));
    let hidden = "candidate:9 1 udp 2113937151 7a1b1c2d-1111-4222-8333-123456789012.local 51234 typ host";
    peer.add_candidate(hidden).await.expect("passed over");
    peer.add_candidate(&theirs[0]).await.expect("taken");
    peer.add_candidate("").await.expect("the end of candidates");
    assert_eq!(news(&mut peer).await, Event::Connected);
    browser.connected().await;
    let mut last = Ok(());
    for port in 1..100 {
        last = peer.add_candidate(&format!("candidate:1 1 udp 1 127.0.0.1 {port} typ host")).await;
    }
    assert!(matches!(last, Err(Error::TooManyCandidates { .. })));
}

#[tokio::test]
async fn a_browser_that_hides_its_addresses_is_found() {
    let mut browser = Browser::new(false).await;
    let offer = browser.offer.replace(" 127.0.0.1 ", " 7a1b1c2d-1111-4222-8333-123456789012.local ");
    let (mut peer, answer) = Peer::answer(&config(), &offer).await.expect("a peer");
    browser.accept(&without_candidates(&answer)).await;
    browser.add_candidate(&candidates(&answer)[0]).await;
    assert_eq!(news(&mut peer).await, Event::Connected);
    browser.connected().await;
}

#[tokio::test]
async fn a_browser_that_begins_with_the_handshake_is_let_begin() {
    let mut browser = Browser::new(false).await;
    let offer = browser.offer.replace("a=setup:actpass", "a=setup:active");
    let (mut peer, answer) = Peer::answer(&config(), &offer).await.expect("a peer");
    assert!(answer.contains("a=setup:passive"), "{answer}");
    browser.accept(&answer).await;
    assert_eq!(news(&mut peer).await, Event::Connected);
    browser.connected().await;
}

#[tokio::test]
async fn a_browser_that_closes_is_noticed() {
    let mut browser = Browser::new(false).await;
    let (mut peer, answer) = Peer::answer(&config(), &browser.offer).await.expect("a peer");
    browser.accept(&answer).await;
    assert_eq!(news(&mut peer).await, Event::Connected);
    browser.connected().await;
    browser.connection.close().await.expect("closed");
    assert_eq!(within(news(&mut peer)).await, Event::Ended(Ended::ByPeer));
    is_freed(port(&answer)).await;
}

#[tokio::test]
async fn a_browser_that_vanishes_is_noticed() {
    let browser = Browser::new(false).await;
    let (mut peer, answer) = Peer::answer(&config(), &browser.offer).await.expect("a peer");
    let (network, far) = Network::around(&answer).await;
    browser.accept(&far).await;
    assert_eq!(news(&mut peer).await, Event::Connected);
    network.cut(true);
    assert_eq!(within(news(&mut peer)).await, Event::Disconnected, "five seconds of silence");
    network.cut(false);
    assert_eq!(within(news(&mut peer)).await, Event::Connected, "it is back");
    network.cut(true);
    assert_eq!(within(news(&mut peer)).await, Event::Disconnected);
    assert_eq!(news(&mut peer).await, Event::Ended(Ended::Lost), "and fifteen more");
    assert_eq!(news(&mut peer).await, Event::Ended(Ended::Lost), "which stays so");
    peer.send(&packet(1, 111, b"too late"));
    assert_eq!(peer.stats().send_dropped, 1);
    is_freed(port(&answer)).await;
}

#[tokio::test]
async fn a_browser_that_never_comes_is_given_up() {
    let browser = Browser::new(false).await;
    let config = Config { connect_within: Duration::from_secs(1), ..config() };
    let (mut peer, answer) =
        Peer::answer(&config, &without_candidates(&browser.offer)).await.expect("a peer");
    assert_eq!(within(news(&mut peer)).await, Event::Ended(Ended::Unreachable));
    is_freed(port(&answer)).await;
}

#[tokio::test]
async fn a_browser_with_another_certificate_is_given_up() {
    let browser = Browser::new(false).await;
    let config = Config { connect_within: Duration::from_secs(2), ..config() };
    let at = browser.offer.find("a=fingerprint:sha-256 ").expect("a fingerprint") + 22;
    let mut offer = browser.offer.clone();
    offer.replace_range(at..at + 2, if &offer[at..at + 2] == "00" { "01" } else { "00" });
    let (mut peer, answer) = Peer::answer(&config, &offer).await.expect("a peer");
    browser.accept(&answer).await;
    assert_eq!(within(news(&mut peer)).await, Event::Ended(Ended::NotSecured));
}

fn free_port() -> u16 {
    UdpSocket::bind((LOOPBACK, 0)).expect("a port").local_addr().expect("bound").port()
}
