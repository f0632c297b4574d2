//! Two media sessions on loopback sockets, with virtual time on top.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use nightline_sip::Codec;
use nightline_sip::rtp::{BadDigit, FRAME, Kind, MediaConfig, MediaPort, MediaSession};

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const TICK: Duration = Duration::from_millis(20);

#[expect(clippy::disallowed_methods, reason = "any moment does as the origin of virtual time")]
fn origin() -> Instant {
    Instant::now()
}

fn pair(codec: Codec) -> (MediaSession, MediaSession, Instant) {
    let now = origin();
    let ports = [(); 2].map(|()| MediaPort::bind(LOOPBACK, 20_000..=59_999).expect("a free pair"));
    let [one, two] = ports;
    let (at_one, at_two) = (one.local(), two.local());
    let one = MediaSession::new(now, one, MediaConfig::new(at_two, codec));
    let two = MediaSession::new(now, two, MediaConfig::new(at_one, codec));
    (one, two, now)
}

/// Waits for at most two seconds of real time.
async fn receive(session: &mut MediaSession, now: Instant) {
    let came = tokio::time::timeout(Duration::from_secs(2), session.wait(|| now)).await;
    assert!(came.is_ok(), "nothing came within two seconds over loopback");
}

/// 20 ms of 400 Hz.
fn tone(frame: u32, codec: Codec, peak: f32) -> Vec<i16> {
    let length = codec.frame() as u32;
    let turn = 400.0 * std::f32::consts::TAU / codec.sample_rate() as f32;
    (frame * length..(frame + 1) * length).map(|at| ((at as f32 * turn).sin() * peak) as i16).collect()
}

fn strength(audio: &[i16]) -> f32 {
    (audio.iter().map(|s| f32::from(*s).powi(2)).sum::<f32>() / audio.len() as f32).sqrt()
}

#[tokio::test]
async fn audio_digits_and_reports_go_both_ways() {
    for codec in Codec::ALL {
        let (mut one, mut two, start) = pair(codec);
        one.send_dtmf('5', Duration::from_millis(100)).expect("a key");
        let mut played = 0;
        for frame in 0..800u32 {
            let now = start + TICK * frame;
            one.push(now, &tone(frame, codec, 3_000.0));
            two.push(now, &tone(frame, codec, 9_000.0));
            receive(&mut one, now).await;
            receive(&mut two, now).await;
            one.drain(now);
            two.drain(now);
            let (at_one, at_two) = (one.pull(now), two.pull(now));
            if frame > 50 && at_one.kind == Kind::Played && at_two.kind == Kind::Played {
                assert_eq!(at_one.audio.len(), codec.frame());
                let (heard_by_one, heard_by_two) = (strength(&at_one.audio), strength(&at_two.audio));
                assert!((5_000.0..7_500.0).contains(&heard_by_one), "{codec:?} {heard_by_one}");
                assert!((1_600.0..2_600.0).contains(&heard_by_two), "{codec:?} {heard_by_two}");
                played += 1;
            }
        }
        assert!(played > 700, "{codec:?}: {played} frames");
        assert_eq!((two.dtmf(), two.dtmf(), one.dtmf()), (Some('5'), None, None));
        let now = start + TICK * 800;
        one.close(now);
        receive(&mut two, now).await;
        let (one, two) = (one.stats(), two.stats());
        assert_eq!((one.sent, one.received, one.lost), (800, 800, 0), "{one:?}");
        for stats in [one, two] {
            assert_eq!(stats.remote_loss, Some(0.0), "{stats:?}");
            assert!(stats.rtt.is_some_and(|rtt| rtt <= TICK * 3), "{stats:?}");
        }
        assert!(two.remote_bye && !one.remote_bye);
    }
}

#[tokio::test]
async fn a_call_goes_on_with_another_codec() {
    let (mut one, mut two, start) = pair(Codec::Pcma);
    let mut last = Codec::Pcma;
    for (block, codec) in (0u32..).zip([Codec::Pcma, Codec::Opus, Codec::Pcmu, Codec::G722, Codec::Opus]) {
        one.configure(MediaConfig::new(two.local(), codec));
        two.configure(MediaConfig::new(one.local(), codec));
        let mut heard = 0.0;
        for frame in 0..40 {
            let now = start + TICK * (block * 40 + frame);
            one.push(now, &tone(frame, codec, 6_000.0));
            receive(&mut two, now).await;
            let pulled = two.pull(now);
            assert_eq!(pulled.audio.len(), codec.frame());
            heard = strength(&pulled.audio);
        }
        assert!((3_300.0..5_200.0).contains(&heard), "{codec:?} after {last:?}: {heard}");
        last = codec;
    }
    assert_eq!(two.stats().lost, 0);
}

#[tokio::test]
async fn waiting_may_be_given_up_without_losing_a_packet() {
    let (mut one, mut two, now) = pair(Codec::Pcma);
    for _ in 0..10 {
        tokio::select! {
            biased;
            () = two.wait(|| now) => {}
            () = std::future::ready(()) => {}
        }
        one.push(now, &[1_000; FRAME]);
    }
    while two.stats().received < 10 {
        receive(&mut two, now).await;
    }
}

#[tokio::test]
async fn on_hold_nothing_is_sent_and_nothing_heard() {
    let (mut one, mut two, start) = pair(Codec::Pcma);
    let mut config = MediaConfig::new(two.local(), Codec::Pcma);
    (config.send, config.receive, config.dtmf_payload_type) = (false, false, None);
    one.configure(config);
    one.push(start, &[1_000; FRAME]);
    two.push(start, &[1_000; FRAME]);
    receive(&mut one, start).await;
    assert_eq!(one.pull(start).kind, Kind::Silence);
    assert_eq!((one.stats().sent, one.stats().received), (0, 0));
    assert_eq!(one.send_dtmf('1', TICK * 5), Err(BadDigit::NotNegotiated));
    (config.send, config.receive) = (true, true);
    one.configure(config);
    one.push(start + TICK, &[1_000; FRAME]);
    receive(&mut two, start + TICK).await;
    assert_eq!(two.stats().received, 1);
    assert_eq!(two.last_packet(), Some(start + TICK));
}

#[tokio::test]
async fn garbage_on_both_sockets_is_counted_and_harms_nothing() {
    let (mut one, mut two, now) = pair(Codec::Pcmu);
    let thief = tokio::net::UdpSocket::bind((LOOPBACK, 0)).await.expect("a free port");
    two.push(now, &[1_000; FRAME]);
    receive(&mut one, now).await;
    let media = one.local();
    let reports = std::net::SocketAddr::new(media.ip(), media.port() + 1);
    let mut expected = 0;
    for garbage in [&b"hello"[..], &[0x80; 3], &[0x80, 200, 0, 99], &[0x81, 200, 0, 6], &[0xff; 1_500]] {
        thief.send_to(garbage, media).await.expect("sent");
        thief.send_to(garbage, reports).await.expect("sent");
        expected += 2;
    }
    let mut stats = one.stats();
    for _ in 0..10 {
        stats = one.stats();
        if stats.malformed + stats.rejected_source == expected {
            break;
        }
        receive(&mut one, now).await;
    }
    assert_eq!(stats.malformed + stats.rejected_source, expected, "{stats:?}");
    two.push(now + TICK, &[1_000; FRAME]);
    receive(&mut one, now + TICK).await;
    assert_eq!(one.stats().received, 2);
}
