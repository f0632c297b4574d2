//! What one call's media costs every 20 ms: a packet taken, a frame pulled, a frame pushed. No sockets.

use std::hint::black_box;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_main};
use nightline_sip::Codec;
use nightline_sip::rtp::{Accepts, MAX_PACKET, Receiver, Sender};

fn tick(c: &mut Criterion) {
    for codec in Codec::ALL {
        for (name, lost) in [("clean", u32::MAX), ("every tenth packet lost", 10)] {
            c.bench_function(&format!("{}, {name}", codec.name()), |b| {
                #[expect(clippy::disallowed_methods, reason = "the origin of the benchmark's own time")]
                let mut now = Instant::now();
                let from = SocketAddr::from(([192, 0, 2, 1], 4_000));
                let payload_type = codec.payload_type();
                let accepts =
                    Accepts { codec, payload_type, dtmf_payload_type: Some(101), cn_payload_type: None };
                let mut receiver = Receiver::new(now, from, accepts);
                let mut sender = Sender::new(codec, payload_type, Some(101));
                let mut packet = [0; MAX_PACKET];
                let mut audio = vec![0i16; codec.frame()];
                let mut count = 0u32;
                b.iter(|| {
                    now += Duration::from_millis(20);
                    count += 1;
                    for (at, sample) in audio.iter_mut().enumerate() {
                        *sample = ((count.wrapping_mul(160) + at as u32) % 73 * 200) as i16;
                    }
                    let length = sender.frame(now, &audio, &mut packet);
                    if !count.is_multiple_of(lost) {
                        receiver.packet(now, from, &packet[..length]).expect("a packet in time");
                    }
                    black_box(receiver.pull(now))
                });
            });
        }
    }
}

mod group {
    criterion::criterion_group!(benches, super::tick);
}

criterion_main!(group::benches);
