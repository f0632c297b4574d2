//! The audio path allocates nothing per packet: counted by an allocator of this test's own.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use nightline::media::Frame;
use nightline::media::resample::{Resampler, Stream};
use nightline::media::vad::Vad;
use nightline_sip::Codec;
use nightline_sip::rtp::{Accepts, FRAME, MAX_PACKET, Receiver, Sender};

struct Counting;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator as it came; counting touches a plain thread-local cell.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.with(|count| count.set(count.get() + 1));
        // SAFETY: as the caller promised us.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as the caller promised us.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(work: impl FnOnce()) -> u64 {
    let before = COUNT.with(Cell::get);
    work();
    COUNT.with(Cell::get) - before
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| drop(std::hint::black_box(vec![1u8; 100]))), 1);
}

#[test]
fn resampling_a_block_allocates_nothing() {
    let mut up = Resampler::new(8_000, 16_000, 160).expect("made");
    let mut down = Resampler::new(48_000, 16_000, 960).expect("made");
    let (narrow, wide, mut out) = ([700i16; 160], [700i16; 960], [0i16; 320]);
    let count = allocations(|| {
        for _ in 0..200 {
            up.block(&narrow, &mut out).expect("resampled");
            down.block(&wide, &mut out).expect("resampled");
        }
    });
    assert_eq!(count, 0);
}

#[test]
fn resampling_a_stream_allocates_nothing_where_there_is_room() {
    let mut stream = Stream::new(22_050, 16_000).expect("made");
    let mut out = Vec::with_capacity(16_000);
    let count = allocations(|| {
        for _ in 0..40 {
            stream.push(&[300; 511], &mut out).expect("resampled");
        }
        stream.finish(&mut out).expect("resampled");
    });
    assert_eq!(count, 0);
    assert_eq!(out.len(), (40 * 511 * 16_000usize).div_ceil(22_050));
}

#[test]
fn listening_for_a_voice_allocates_nothing() {
    let mut vad = Vad::new();
    let frame = Frame(std::array::from_fn(|i| (i % 90 * 50) as i16));
    let count = allocations(|| {
        for _ in 0..100 {
            std::hint::black_box(vad.push(&frame));
        }
    });
    assert_eq!(count, 0);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "any moment does as the origin of virtual time")]
fn receiving_and_sending_a_packet_allocates_nothing() {
    let start = Instant::now();
    let peer = SocketAddr::from(([192, 0, 2, 1], 4_000));
    let accepts =
        Accepts { codec: Codec::Pcmu, payload_type: 0, dtmf_payload_type: Some(101), cn_payload_type: None };
    let mut receiver = Receiver::new(start, peer, accepts);
    let mut sender = Sender::new(Codec::Pcmu, 0, Some(101));
    let mut packet = [0; MAX_PACKET];
    let count = allocations(|| {
        for frame in 0..500u32 {
            let now = start + Duration::from_millis(20) * frame;
            let length = sender.frame(now, &[(frame % 90 * 50) as i16; FRAME], &mut packet);
            if frame % 9 != 0 {
                receiver.packet(now, peer, &packet[..length]).expect("in time");
            }
            receiver.pull(now);
        }
    });
    assert_eq!(count, 0, "with every ninth packet lost");
}
