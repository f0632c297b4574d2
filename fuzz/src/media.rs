//! RTP, RTCP, telephone events and what they carry, in the clear and encrypted.

use std::net::SocketAddr;
use std::time::Duration;

use nightline_sip::Codec;
use nightline_sip::rtp::fuzzing::Pair;
use nightline_sip::rtp::{Accepts, MAX_PACKET, Receiver, Reporter, Sender};

use crate::reader::{Reader, origin};

const TICK: Duration = Duration::from_millis(20);
/// Steps of one input that are taken.
const STEPS: usize = 400;
/// The longest datagram of a media socket.
const DATAGRAM: usize = 1600;

fn accepts(codec: u8) -> Accepts {
    let codec = Codec::ALL[usize::from(codec) % Codec::ALL.len()];
    Accepts { codec, payload_type: codec.payload_type(), dtmf_payload_type: Some(101), cn_payload_type: None }
}

/// A well-formed header with what the input wants of it.
fn rtp(input: &mut Reader<'_>, payload_type: u8, at: &mut (u16, u32), step: u32, ssrc: u8) -> Vec<u8> {
    let change = input.byte();
    at.0 = at.0.wrapping_add(if change & 1 == 0 { 1 } else { u16::from(input.byte()).wrapping_sub(64) });
    at.1 =
        at.1.wrapping_add(if change & 2 == 0 { step } else { u32::from(input.word()).wrapping_sub(0x4000) });
    let marker = change << 1 & 0x80;
    let mut packet = vec![0x80 | change & 0x30, marker | payload_type & 0x7f];
    packet.extend(at.0.to_be_bytes());
    packet.extend(at.1.to_be_bytes());
    packet.extend([0, 0, 0, ssrc & 3]);
    packet
}

/// Packets of all kinds to one receiver, which is heard meanwhile. The first octet is the codec.
pub fn media(data: &[u8]) {
    let mut input = Reader(data);
    let mut now = origin();
    let remote = SocketAddr::from(([192, 0, 2, 77], 4000));
    let mut wants = accepts(input.byte());
    let mut receiver = Receiver::new(now, remote, wants);
    let mut sender = Sender::new(wants.codec, wants.payload_type, wants.dtmf_payload_type);
    let mut reporter = Reporter::new(now, "fuzz".to_owned());
    let mut at = (0, 0);
    let mut packets = 0;
    for _ in 0..STEPS {
        if input.is_empty() {
            break;
        }
        let step = input.byte();
        let from = if step & 0x80 == 0 { remote } else { SocketAddr::from(([192, 0, 2, 78], 4000)) };
        let ticks = wants.codec.clock_rate() / 50;
        match step & 7 {
            0 | 1 => {
                let length = usize::from(input.byte()) << (step >> 3 & 3);
                let mut packet = rtp(&mut input, wants.payload_type, &mut at, ticks, step >> 5);
                packet.extend_from_slice(input.octets(length));
                packets += u64::from(receiver.packet(now, from, &packet).is_ok());
            }
            2 => {
                let kind = if step & 8 == 0 { 101 } else { 13 };
                let mut packet = rtp(&mut input, kind, &mut at, ticks, step >> 5);
                packet.extend_from_slice(input.octets(usize::from(step >> 4 & 7)));
                packets += u64::from(receiver.packet(now, from, &packet).is_ok());
            }
            3 => {
                let length = usize::from(input.word()) % DATAGRAM;
                packets += u64::from(receiver.packet(now, from, input.octets(length)).is_ok());
            }
            4 => report(&mut input, wants.codec, &mut reporter, &mut sender, &mut receiver, &mut now),
            5 if step & 0x18 == 0x18 => {
                wants = accepts(input.byte());
                receiver.configure(remote, wants);
                sender.configure(wants.codec, wants.payload_type, wants.dtmf_payload_type);
            }
            5 => now += input.time(),
            _ => {
                for _ in 0..=step >> 3 & 7 {
                    now += TICK;
                    let pulled = receiver.pull(now);
                    assert_eq!(pulled.audio.len(), wants.codec.frame(), "20 ms are 20 ms");
                }
            }
        }
        assert!(receiver.aim() <= Duration::from_millis(250), "{:?}", receiver.aim());
    }
    let stats = receiver.stats();
    assert!(stats.received >= packets, "{packets} packets were used, {stats:?}");
    let digits = std::iter::from_fn(|| receiver.dtmf()).count();
    assert!(digits <= 64, "{digits} digits wait");
}

/// A compound packet of theirs, about our stream if the input wants that, and our own reports.
fn report(
    input: &mut Reader<'_>,
    codec: Codec,
    reporter: &mut Reporter,
    sender: &mut Sender,
    receiver: &mut Receiver,
    now: &mut std::time::Instant,
) {
    let (how, length) = (input.byte(), usize::from(input.byte()) << 2);
    let mut packet = input.octets(length).to_vec();
    let ours = if packet.get(1) == Some(&200) { 28 } else { 8 };
    if how & 1 == 0
        && let Some(place) = packet.get_mut(ours..ours + 4)
    {
        place.copy_from_slice(&sender.ssrc().to_be_bytes());
    }
    if how & 2 == 0 {
        let mut out = [0; MAX_PACKET];
        let frame = vec![0; 320];
        let length = sender.frame(*now, &frame[..codec.frame()], &mut out);
        assert!(length <= MAX_PACKET);
    }
    let _ = reporter.packet(*now, sender, &packet);
    if how & 4 == 0 {
        *now += Duration::from_secs(8);
        let ours = reporter.poll(*now, sender, receiver).unwrap_or_default();
        assert!(!ours.is_empty() && ours.len() < 256, "a report of {} octets", ours.len());
        let again = reporter.packet(*now, sender, &ours);
        assert!(again.is_ok(), "our own report: {again:?}");
    }
}

/// Packets of a peer with the right keys, changed on the way, again, late, or of somebody without keys. The first octet is the
/// suite. Only what the peer has encrypted is ever opened, and only once.
pub fn srtp(data: &[u8]) {
    let mut input = Reader(data);
    let suite = input.byte();
    let mut now = origin();
    let mut pair = Pair::new(suite);
    // A tag of 32 bits may be hit by chance.
    let short = suite % 5 == 4;
    let mut sent: Vec<(Vec<u8>, Vec<u8>, bool, bool)> = Vec::new();
    let mut at = (0, 0);
    let mut keys = 1;
    for _ in 0..STEPS {
        if input.is_empty() {
            break;
        }
        let step = input.byte();
        let rtcp = step & 8 != 0;
        match step & 7 {
            0 | 1 => {
                let length = usize::from(input.byte());
                let mut plain = if rtcp {
                    vec![0x80, 201, 0, 1, 0, 0, 0, step >> 4]
                } else {
                    rtp(&mut input, 8, &mut at, 160, step >> 4)
                };
                plain.extend_from_slice(input.octets(length));
                let Some(packet) = pair.theirs(&plain, rtcp) else { continue };
                assert!(packet.len() <= plain.len() + 32, "{} octets of {}", packet.len(), plain.len());
                sent.push((packet, plain, rtcp, false));
            }
            2 | 3 if !sent.is_empty() => {
                let index = sent.len() - 1 - usize::from(input.byte()) % sent.len();
                let several = keys > 1 || sent.len() > 1;
                let (packet, plain, kind, opened) = &mut sent[index];
                match pair.open(now, packet, *kind) {
                    Ok(read) => {
                        assert_eq!(&read, plain, "what was encrypted comes out");
                        assert!(!std::mem::replace(opened, true), "the same packet was taken twice");
                    }
                    Err(replayed) => assert!(!replayed || *opened || several, "the first is no replay"),
                }
            }
            4 if !sent.is_empty() => {
                let index = sent.len() - 1 - usize::from(input.byte()) % sent.len();
                let (packet, _, kind, _) = &sent[index];
                let (mut changed, kind) = (packet.clone(), *kind);
                let place = usize::from(input.word()) % changed.len();
                changed[place] ^= input.byte().max(1);
                changed.truncate(changed.len() - usize::from(step >> 4).min(changed.len()));
                assert!(short || pair.open(now, &changed, kind).is_err(), "a changed packet was taken");
            }
            5 => {
                let length = usize::from(input.word()) % DATAGRAM;
                let octets = input.octets(length);
                let known = sent.iter().any(|(packet, ..)| packet == octets);
                assert!(short || known || pair.open(now, octets, rtcp).is_err(), "a forged packet was taken");
            }
            6 if step >> 4 == 15 => {
                keys += 1;
                pair.renew(now, keys);
            }
            6 => now += input.time(),
            _ => {
                let length = usize::from(input.byte());
                let octets = input.octets(length);
                if let Some(packet) = pair.ours(octets, rtcp) {
                    assert!(packet.len() <= octets.len() + 32, "{} octets of {}", packet.len(), octets.len());
                }
            }
        }
    }
    assert!(pair.streams() <= 32, "{} states are kept", pair.streams());
}
