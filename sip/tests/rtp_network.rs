//! The receiver behind a seeded bad network, on virtual time.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use nightline_sip::Codec;
use nightline_sip::rtp::{Accepts, FRAME, Kind, Law, MAX_PACKET, Pulled, Receiver, Reject, Reporter, Sender};
use proptest::prelude::*;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

const TICK: Duration = Duration::from_millis(20);

#[expect(clippy::disallowed_methods, reason = "any moment does as the origin of virtual time")]
fn origin() -> Instant {
    Instant::now()
}

fn peer() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 10], 40_000))
}

fn accepts() -> Accepts {
    Accepts { codec: Codec::Pcma, payload_type: 8, dtmf_payload_type: Some(101), cn_payload_type: Some(13) }
}

/// A packet by hand, A-law.
#[derive(Clone, Debug)]
struct Wire {
    at: Duration,
    bytes: Vec<u8>,
}

fn rtp(payload_type: u8, marker: bool, sequence: u16, timestamp: u32, ssrc: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x80, u8::from(marker) << 7 | payload_type];
    bytes.extend(sequence.to_be_bytes());
    bytes.extend(timestamp.to_be_bytes());
    bytes.extend(ssrc.to_be_bytes());
    bytes.extend(payload);
    bytes
}

fn encode(audio: &[i16]) -> Vec<u8> {
    let mut octets = vec![0; audio.len()];
    Law::A.encode(audio, &mut octets).expect("room");
    octets
}

/// What lies between the sender and us.
#[derive(Clone, Copy, Debug)]
struct Network {
    seed: u64,
    loss: f64,
    /// Packets lost together, when some are.
    burst: u32,
    duplicates: f64,
    jitter: Duration,
    delay: Duration,
    /// Parts per million that the sender's clock is fast.
    skew: i32,
    ptime: u32,
}

impl Network {
    const CLEAN: Self = Self {
        seed: 1,
        loss: 0.0,
        burst: 1,
        duplicates: 0.0,
        jitter: Duration::ZERO,
        delay: Duration::from_millis(30),
        skew: 0,
        ptime: 20,
    };

    /// `audio` in packets as they arrive, from timestamp `start` on.
    fn carry(&self, audio: &[i16], start: u32) -> Vec<Wire> {
        let mut rng = SmallRng::seed_from_u64(self.seed);
        let mut wires = Vec::new();
        let mut losing = 0;
        let size = self.ptime as usize * 8;
        for (index, chunk) in audio.chunks_exact(size).enumerate() {
            let sent = (index * size) as f64 / 8_000.0 / (1.0 + f64::from(self.skew) / 1e6);
            let payload = encode(chunk);
            let bytes = rtp(
                8,
                index == 0,
                65_500u16.wrapping_add(index as u16),
                start.wrapping_add((index * size) as u32),
                7,
                &payload,
            );
            if losing == 0 && rng.random_bool(self.loss) {
                losing = self.burst;
            }
            if losing > 0 {
                losing -= 1;
                continue;
            }
            let copies = 1 + u32::from(rng.random_bool(self.duplicates));
            for _ in 0..copies {
                let jitter = self.jitter.mul_f64(rng.random_range(0.0..=1.0));
                wires.push(Wire {
                    at: Duration::from_secs_f64(sent) + self.delay + jitter,
                    bytes: bytes.clone(),
                });
            }
        }
        wires.sort_by_key(|wire| wire.at);
        wires
    }
}

struct Heard {
    samples: Vec<i16>,
    frames: Vec<Pulled>,
    receiver: Receiver,
}

/// Pulls for `length`, 3 ms off the sender's ticks.
fn listen(wires: &[Wire], length: Duration) -> Heard {
    let start = origin();
    let mut receiver = Receiver::new(start, peer(), accepts());
    let mut heard = (Vec::new(), Vec::new());
    let mut wires = wires.iter().peekable();
    let mut now = Duration::from_millis(3);
    while now < length {
        while let Some(wire) = wires.next_if(|wire| wire.at <= now) {
            // Refusals are what several of these tests count.
            let _ = receiver.packet(start + wire.at, peer(), &wire.bytes);
        }
        let pulled = receiver.pull(start + now);
        heard.0.extend_from_slice(&pulled.audio);
        heard.1.push(pulled);
        now += TICK;
    }
    Heard { samples: heard.0, frames: heard.1, receiver }
}

fn tone(hertz: f32, strength: f32, seconds: f32) -> Vec<i16> {
    let turn = hertz * std::f32::consts::TAU / 8_000.0;
    (0..(seconds * 8_000.0) as usize).map(|at| ((at as f32 * turn).sin() * strength) as i16).collect()
}

fn largest_step(samples: &[i16]) -> i32 {
    samples.windows(2).map(|pair| (i32::from(pair[0]) - i32::from(pair[1])).abs()).max().unwrap_or(0)
}

/// Where a burst of 1 kHz starts that stands out of what surrounds it.
fn marker(samples: &[i16]) -> usize {
    samples.iter().position(|sample| sample.unsigned_abs() > 12_000).expect("the marker was heard")
}

#[test]
fn a_clean_network_is_played_exactly_and_within_forty_milliseconds() {
    let audio = tone(300.0, 8_000.0, 6.0);
    let heard = listen(&Network::CLEAN.carry(&audio, 1_000), Duration::from_secs(5));
    let stats = heard.receiver.stats();
    assert_eq!((stats.lost, stats.late, stats.duplicate, stats.concealed_ms), (0, 0, 0, 0), "{stats:?}");
    assert!(heard.frames.iter().all(|frame| matches!(frame.kind, Kind::Starting | Kind::Played)));
    let delay = heard.frames.last().expect("frames").delay;
    assert!(delay <= Duration::from_millis(40), "the buffer holds {delay:?}");
    let mut expected = vec![0; audio.len()];
    Law::A.decode(&encode(&audio), &mut expected).expect("room");
    let first = heard.samples.iter().position(|sample| *sample != 0).expect("audio");
    let begin = expected.iter().position(|sample| *sample != 0).expect("audio");
    // The first sample is 8, not 0, in A-law: what is before it is the wait.
    let played = &heard.samples[first..];
    assert_eq!(played, &expected[begin..begin + played.len()]);
    let through = first / 8 - 30 - begin / 8 + 3;
    assert!(through <= 43, "the first sample took {through} ms");
}

#[test]
fn every_packet_length_and_a_wrapping_timestamp_are_played_exactly() {
    for ptime in [10, 20, 30, 40, 60] {
        let audio = tone(300.0, 8_000.0, 4.0);
        let wires = Network { ptime, ..Network::CLEAN }.carry(&audio, u32::MAX - 8_000);
        let heard = listen(&wires, Duration::from_secs(3));
        let stats = heard.receiver.stats();
        assert_eq!((stats.lost, stats.late, stats.concealed_ms), (0, 0, 0), "{ptime} ms packets: {stats:?}");
        assert!(largest_step(&heard.samples) < 2_100, "{ptime} ms packets click");
    }
}

#[test]
fn a_marker_after_loss_appears_where_it_was_sent() {
    for seed in 0..20 {
        let mut audio = tone(180.0, 3_000.0, 12.0);
        let at = 10 * 8_000;
        audio[at..at + 800].copy_from_slice(&tone(1_000.0, 20_000.0, 0.1));
        let wires = Network { seed, loss: 0.05, ..Network::CLEAN }.carry(&audio, 77);
        if !wires.iter().any(|wire| wire.bytes[4..8] == (77 + at as u32).to_be_bytes()) {
            continue; // the marker itself was lost
        }
        let heard = listen(&wires, Duration::from_secs(12));
        let late = marker(&heard.samples) as i64 - at as i64;
        // 30 ms of network, 3 ms of phase, up to 60 ms of buffer.
        assert!((30 * 8..=93 * 8).contains(&late), "seed {seed}: the marker came {late} samples late");
        let lost = heard.receiver.stats();
        assert!(lost.lost > 10 && lost.concealed_ms > 200, "seed {seed}: {lost:?}");
    }
}

#[test]
fn sixty_milliseconds_of_jitter_lose_less_than_one_percent() {
    for seed in 0..10 {
        let jitter = Duration::from_millis(60);
        let wires = Network { seed, jitter, ..Network::CLEAN }.carry(&tone(300.0, 8_000.0, 31.0), 5);
        let heard = listen(&wires, Duration::from_secs(30));
        let stats = heard.receiver.stats();
        let share = stats.late as f64 / stats.received as f64;
        assert!(share < 0.01, "seed {seed}: {} of {} came too late", stats.late, stats.received);
        assert!(
            stats.buffer <= Duration::from_millis(130),
            "seed {seed}: the buffer holds {:?}",
            stats.buffer
        );
    }
}

#[test]
fn concealment_does_not_click() {
    for (hertz, seed) in [(110.0, 1), (200.0, 2), (317.0, 3), (450.0, 4)] {
        let natural = (hertz * std::f32::consts::TAU / 8_000.0 * 8_000.0) as i32 + 300;
        for burst in [1, 2, 4, 10] {
            let wires =
                Network { seed, loss: 0.05, burst, ..Network::CLEAN }.carry(&tone(hertz, 8_000.0, 10.0), 0);
            let heard = listen(&wires, Duration::from_millis(9_500));
            let step = largest_step(&heard.samples[8_000..]);
            assert!(
                step < natural * 2,
                "{hertz} Hz, bursts of {burst}: a step of {step}, {natural} is natural"
            );
        }
    }
}

#[test]
fn concealment_of_one_packet_keeps_the_voice_and_a_long_gap_ends_in_silence() {
    let audio = tone(200.0, 8_000.0, 4.0);
    let mut wires = Network::CLEAN.carry(&audio, 0);
    wires.remove(50);
    wires.drain(100..120);
    let heard = listen(&wires, Duration::from_millis(3_900));
    let concealed: Vec<_> = heard.frames.iter().filter(|frame| frame.kind == Kind::Concealed).collect();
    assert!(concealed.len() >= 4, "one frame and three: {}", concealed.len());
    let strength =
        |frame: &Pulled| frame.audio.iter().map(|s| u64::from(s.unsigned_abs())).sum::<u64>() / 160;
    assert!(strength(concealed[0]) > 3_500, "a single lost frame is as loud as its neighbours");
    let silent = heard.frames[60..].iter().filter(|frame| strength(frame) == 0).count();
    assert!((14..=18).contains(&silent), "400 ms lost, 60 ms filled: {silent} frames are silent");
    let stats = heard.receiver.stats();
    assert_eq!(stats.lost, 21);
    // Whole frames are counted, and while the buffer waits to see whether a packet is only late.
    assert!((75..=105).contains(&stats.concealed_ms), "20 ms and 60 ms: {}", stats.concealed_ms);
}

#[test]
fn a_pause_of_the_sender_is_silence_and_not_loss() {
    let audio = tone(200.0, 8_000.0, 6.0);
    let mut sequence = 0u16;
    let wires: Vec<_> = Network::CLEAN
        .carry(&audio, 0)
        .into_iter()
        .enumerate()
        .filter(|(index, _)| !(100..175).contains(index))
        .map(|(_, mut wire)| {
            wire.bytes[2..4].copy_from_slice(&sequence.to_be_bytes());
            sequence += 1;
            wire
        })
        .collect();
    let heard = listen(&wires, Duration::from_secs(5));
    let stats = heard.receiver.stats();
    assert_eq!((stats.lost, stats.concealed_ms, stats.late), (0, 0, 0), "{stats:?}");
    let silent = heard.frames.iter().filter(|frame| frame.kind == Kind::Silence).count();
    assert!((70..=75).contains(&silent), "{silent} frames of 75 were silence");
}

#[test]
fn comfort_noise_has_the_level_that_was_asked_for() {
    let mut wires = Network::CLEAN.carry(&tone(200.0, 8_000.0, 1.0), 0);
    let last = wires.last().expect("packets").at;
    wires.push(Wire { at: last + TICK, bytes: rtp(13, false, 65_500u16.wrapping_add(50), 8_000, 7, &[50]) });
    let heard = listen(&wires, Duration::from_secs(3));
    let noise = heard.frames.last().expect("frames");
    assert_eq!(noise.kind, Kind::Comfort);
    let tail = &heard.samples[16_000..];
    let level = (tail.iter().map(|s| f64::from(*s) * f64::from(*s)).sum::<f64>() / tail.len() as f64).sqrt();
    let decibels = 20.0 * (level / 32_768.0).log10();
    assert!((-51.0..-49.0).contains(&decibels), "{decibels:.1} dB instead of -50");
    assert_eq!(heard.receiver.stats().lost, 0);
}

#[test]
fn a_skewed_clock_neither_fills_nor_empties_the_buffer() {
    for skew in [-500, 500] {
        // Speech-like: half a second of voice, half a second of line noise.
        let mut rng = SmallRng::seed_from_u64(9);
        let mut audio = tone(200.0, 8_000.0, 61.0);
        for (at, sample) in audio.iter_mut().enumerate() {
            if at / 4_000 % 2 == 1 {
                *sample = rng.random_range(-20..20);
            }
        }
        let heard = listen(&Network { skew, ..Network::CLEAN }.carry(&audio, 0), Duration::from_secs(60));
        let stats = heard.receiver.stats();
        assert!(stats.concealed_ms <= 60 && stats.late <= 2, "{skew} ppm: {stats:?}");
        let delays: Vec<_> = heard.frames[50..].iter().map(|frame| frame.delay.as_millis()).collect();
        let (least, most) = (delays.iter().min().expect("frames"), delays.iter().max().expect("frames"));
        assert!((5..=70).contains(least) && *most <= 70, "{skew} ppm: the buffer held {least} to {most} ms");
    }
}

#[test]
fn a_path_that_grows_longer_is_heard_again_within_half_a_second() {
    let audio = tone(300.0, 8_000.0, 10.0);
    let mut wires = Network::CLEAN.carry(&audio, 0);
    for wire in &mut wires[200..] {
        wire.at += Duration::from_millis(700);
    }
    let heard = listen(&wires, Duration::from_secs(9));
    let after = heard.frames[35 + 200 + 25..].iter().take(200);
    let played = after.filter(|frame| frame.kind == Kind::Played).count();
    assert!(played >= 190, "only {played} of 200 frames were played after the change");
}

#[test]
fn a_stall_is_heard_late_and_caught_up_with() {
    let audio = tone(300.0, 8_000.0, 30.0);
    let mut wires = Network::CLEAN.carry(&audio, 0);
    for stall in 0..5 {
        let begin = 100 + stall * 10;
        let end = wires[begin + 5].at;
        for wire in &mut wires[begin..begin + 5] {
            wire.at = end;
        }
    }
    let heard = listen(&wires, Duration::from_secs(29));
    let stats = heard.receiver.stats();
    assert!(stats.late <= 10, "stalls of 100 ms cost {} packets after the first", stats.late);
    assert!(stats.buffer <= Duration::from_millis(75), "the delay stayed at {:?}", stats.buffer);
}

#[test]
fn a_new_source_of_the_same_address_restarts_cleanly() {
    let mut wires = Network::CLEAN.carry(&tone(300.0, 8_000.0, 2.0), 500);
    let more = Network::CLEAN.carry(&tone(500.0, 8_000.0, 3.0), 4_000_000_000);
    wires.extend(more.into_iter().map(|mut wire| {
        wire.at += Duration::from_secs(2);
        wire.bytes[8..12].copy_from_slice(&99u32.to_be_bytes());
        wire
    }));
    let heard = listen(&wires, Duration::from_millis(4_900));
    let stats = heard.receiver.stats();
    assert_eq!((stats.lost, stats.late), (0, 0), "{stats:?}");
    assert!(stats.concealed_ms <= 80, "{stats:?}");
    let played = heard.frames.iter().filter(|frame| frame.kind == Kind::Played).count();
    assert!(played > 230, "{played} of 245 frames");
}

#[test]
fn a_timestamp_that_jumps_restarts_the_timeline() {
    let mut wires = Network::CLEAN.carry(&tone(300.0, 8_000.0, 4.0), 500);
    for wire in &mut wires[100..] {
        let timestamp = u32::from_be_bytes([wire.bytes[4], wire.bytes[5], wire.bytes[6], wire.bytes[7]]);
        wire.bytes[4..8].copy_from_slice(&timestamp.wrapping_sub(3_000_000).to_be_bytes());
    }
    let heard = listen(&wires, Duration::from_millis(3_900));
    let stats = heard.receiver.stats();
    assert_eq!((stats.lost, stats.late, stats.malformed), (0, 0, 0), "{stats:?}");
    assert!(stats.concealed_ms <= 60, "{stats:?}");
    let played = heard.frames.iter().filter(|frame| frame.kind == Kind::Played).count();
    assert!(played > 180, "{played} of 195 frames");
}

#[test]
fn digits_come_once_each_when_a_third_of_their_packets_is_lost() {
    for seed in 0..40 {
        let mut rng = SmallRng::seed_from_u64(seed);
        let start = origin();
        let mut sender = Sender::new(Codec::Pcma, 8, Some(101));
        let mut receiver = Receiver::new(start, peer(), accepts());
        for digit in "1122#0".chars() {
            sender.queue_dtmf(digit, Duration::from_millis(160)).expect("a key");
        }
        let mut digits = String::new();
        for frame in 0..100u32 {
            let now = start + TICK * frame;
            let mut packet = [0; MAX_PACKET];
            let length = sender.frame(now, &[500; FRAME], &mut packet);
            let event = packet[1] & 0x7f == 101;
            if !(event && rng.random_bool(0.3)) {
                let _ = receiver.packet(now, peer(), &packet[..length]);
            }
            receiver.pull(now);
            digits.extend(receiver.dtmf());
        }
        // All ten packets of a digit are lost once in 170,000 digits.
        assert_eq!(digits, "1122#0", "seed {seed}");
    }
}

#[test]
fn the_latch_cannot_be_stolen_and_garbage_is_counted() {
    let start = origin();
    let mut receiver = Receiver::new(start, peer(), accepts());
    let thief = SocketAddr::from(([203, 0, 113, 66], 6_666));
    let audio = encode(&[1_000; 160]);
    for frame in 0..500u32 {
        let now = start + TICK * frame;
        let (sequence, timestamp) = (frame as u16, frame * 160);
        receiver.packet(now, peer(), &rtp(8, false, sequence, timestamp, 7, &audio)).expect("the caller");
        let stolen = receiver.packet(now, thief, &rtp(8, true, sequence + 1, timestamp + 160, 7, &audio));
        assert_eq!(stolen, Err(Reject::Source));
        receiver.pull(now);
    }
    assert_eq!(receiver.destination(), peer());
    let now = start + TICK * 500;
    assert_eq!(receiver.packet(now, peer(), b"GET / HTTP/1.1"), Err(Reject::Malformed));
    let unknown = receiver.packet(now, peer(), &rtp(96, false, 500, 80_000, 7, &audio));
    assert_eq!(unknown, Err(Reject::PayloadType(96)));
    assert_eq!(
        receiver.packet(now, peer(), &rtp(101, false, 500, 80_000, 7, &[1, 2])),
        Err(Reject::Payload(2))
    );
    assert_eq!(receiver.packet(now, peer(), &rtp(8, false, 500, 80_000, 7, &[])), Err(Reject::Payload(0)));
    let stats = receiver.stats();
    assert_eq!((stats.rejected_source, stats.malformed, stats.rejected_payload), (500, 1, 3), "{stats:?}");
    assert_eq!((stats.received, stats.lost), (500, 0), "{stats:?}");
    let later = now + Duration::from_secs(6);
    receiver.packet(later, thief, &rtp(8, true, 1, 0, 8, &audio)).expect("the caller has gone: a handover");
    assert_eq!(receiver.destination(), thief);
}

#[test]
fn garbage_does_not_open_or_move_the_lock() {
    let start = origin();
    let mut receiver = Receiver::new(start, peer(), accepts());
    let stranger = SocketAddr::from(([203, 0, 113, 66], 6_666));
    assert!(receiver.packet(start, stranger, &[0x80; 11]).is_err());
    assert!(receiver.packet(start, stranger, &rtp(77, false, 1, 1, 1, &[0; 160])).is_err());
    assert_eq!(receiver.destination(), peer());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_network_gives_an_unbroken_timeline_without_clicks(
        seed: u64, loss in 0.0..0.4f64, burst in 1u32..8, duplicates in 0.0..0.3f64,
        jitter in 0u64..250, skew in -2_000i32..2_000, ptime in prop::sample::select(vec![10u32, 20, 30, 60]),
        start: u32,
    ) {
        let jitter = Duration::from_millis(jitter);
        let network = Network { seed, loss, burst, duplicates, jitter, skew, ptime, ..Network::CLEAN };
        let heard = listen(&network.carry(&tone(200.0, 8_000.0, 6.0), start), Duration::from_secs(6));
        prop_assert_eq!(heard.samples.len(), 300 * FRAME);
        prop_assert!(largest_step(&heard.samples) < 4_000, "a click of {}", largest_step(&heard.samples));
        let stats = heard.receiver.stats();
        prop_assert!(stats.buffer <= Duration::from_millis(500), "{:?}", stats);
        prop_assert!(stats.lost + stats.received <= 6_000 / u64::from(ptime) + 1, "{:?}", stats);
    }

    #[test]
    fn arbitrary_octets_never_panic(
        packets in prop::collection::vec((0u64..60, prop::collection::vec(any::<u8>(), 0..200), any::<bool>()), 0..200),
    ) {
        let start = origin();
        let mut receiver = Receiver::new(start, peer(), accepts());
        let mut now = start;
        for (wait, mut bytes, plausible) in packets {
            if plausible && bytes.len() > 2 {
                bytes[0] = 0x80;
                bytes[1] = [8, 101, 13][usize::from(bytes[1]) % 3];
            }
            now += Duration::from_millis(wait);
            let _ = receiver.packet(now, peer(), &bytes);
            prop_assert_eq!(receiver.pull(now).audio.len(), FRAME);
        }
    }

    #[test]
    fn arbitrary_reports_never_panic(
        mut bytes in prop::collection::vec(any::<u8>(), 4..200), count in 0u8..32, kind in 200u8..=207, whole: bool,
    ) {
        bytes[0] = 0x80 | count;
        bytes[1] = kind;
        if whole {
            bytes.truncate(bytes.len() / 4 * 4);
            let words = (bytes.len() / 4 - 1) as u16;
            bytes[2..4].copy_from_slice(&words.to_be_bytes());
        }
        let now = origin();
        let mut reporter = Reporter::new(now, "test".into());
        let sender = Sender::new(Codec::Pcma, 8, None);
        if reporter.packet(now + TICK, &sender, &bytes).is_ok() {
            prop_assert!(bytes.len().is_multiple_of(4), "a fragment was taken");
        }
    }

    #[test]
    fn plausible_packets_with_wild_numbers_never_panic(
        packets in prop::collection::vec((any::<u16>(), any::<u32>(), 0u32..3, 1usize..500, 0usize..3), 0..200),
    ) {
        let start = origin();
        let mut receiver = Receiver::new(start, peer(), accepts());
        for (count, (sequence, timestamp, ssrc, length, kind)) in packets.into_iter().enumerate() {
            let now = start + TICK * count as u32;
            let bytes = rtp([8, 101, 13][kind], false, sequence, timestamp, ssrc, &vec![0x55; length]);
            let _ = receiver.packet(now, peer(), &bytes);
            receiver.pull(now);
        }
    }
}

/// Sends ten seconds of a voice-like tone as Opus, without the packets of `lost`; the receiver afterwards, and the weakest frame heard.
fn opus_without(lost: impl Fn(u32) -> bool, swapped: Option<u32>) -> (Receiver, f32) {
    let start = origin();
    let opus =
        Accepts { codec: Codec::Opus, payload_type: 107, dtmf_payload_type: None, cn_payload_type: None };
    let (mut sender, mut receiver) =
        (Sender::new(Codec::Opus, 107, None), Receiver::new(start, peer(), opus));
    // As their reports would have it.
    sender.expect_loss(0.1);
    let (mut weakest, mut held) = (f32::MAX, None::<Vec<u8>>);
    for frame in 0..500u32 {
        let now = start + TICK * frame;
        let audio: Vec<i16> = (0..320)
            .map(|at| {
                let t = (frame * 320 + at) as f32 / 16_000.0 * std::f32::consts::TAU;
                ((t * 200.0).sin() * 5_000.0 + (t * 400.0).sin() * 3_000.0) as i16
            })
            .collect();
        let mut packet = [0; MAX_PACKET];
        let length = sender.frame(now, &audio, &mut packet);
        if swapped == Some(frame) {
            held = Some(packet[..length].to_vec());
        } else if !lost(frame) {
            receiver.packet(now, peer(), &packet[..length]).expect("a packet in time");
            if let Some(late) = held.take() {
                assert_eq!(receiver.packet(now, peer(), &late), Err(Reject::Late));
            }
        }
        let pulled = receiver.pull(now);
        if frame > 20 {
            let energy: f32 = pulled.audio.iter().map(|s| f32::from(*s).powi(2)).sum();
            weakest = weakest.min((energy / 320.0).sqrt());
        }
    }
    (receiver, weakest)
}

#[test]
fn opus_repeats_what_was_lost_in_the_packet_after() {
    let (clean, whole) = opus_without(|_| false, None);
    assert_eq!((clean.stats().lost, clean.stats().concealed_ms), (0, 0));
    let (lossy, weakest) = opus_without(|frame| frame > 30 && frame % 10 == 0, None);
    assert_eq!(lossy.stats().lost, 46);
    // 20 ms each would be made up without.
    assert!(lossy.stats().concealed_ms <= 40, "{} ms", lossy.stats().concealed_ms);
    assert!(weakest > whole * 0.4, "a lost frame is heard at {weakest}, others at {whole} and more");
}

#[test]
fn an_overtaken_packet_does_not_spoil_what_follows_it() {
    let (receiver, weakest) = opus_without(|_| false, Some(250));
    let (_, whole) = opus_without(|_| false, None);
    assert_eq!((receiver.stats().lost, receiver.stats().late), (0, 1));
    assert!(weakest > whole * 0.4, "{weakest} of {whole}");
}
