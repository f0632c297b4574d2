//! Fuzz targets: one function for each family of readers that strangers can reach. Each takes any bytes at all, and panics
//! when a reader does or when what it made of them breaks a promise.
//!
//! `fuzz/run` searches with libFuzzer; `tests/seeds.rs` repeats what is known, in every run of the tests.

pub mod memory;

#[cfg(feature = "streams")]
mod files;
mod media;
mod reader;
mod sip;
#[cfg(feature = "streams")]
mod streams;
#[cfg(feature = "webrtc")]
mod webrtc;

/// A name and what it runs.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: &[Target] = &[
    ("descriptions", sip::descriptions),
    #[cfg(feature = "streams")]
    ("files", files::files),
    ("media", media::media),
    ("signalling", sip::signalling),
    ("srtp", media::srtp),
    #[cfg(feature = "streams")]
    ("streams", streams::streams),
    #[cfg(feature = "webrtc")]
    ("webrtc", webrtc::webrtc),
];

/// The most memory that a reader may hold at once for one input, octets.
pub const MOST_MEMORY: usize = 48 << 20;

/// The function of a target.
pub fn target(name: &str) -> Option<fn(&[u8])> {
    TARGETS.iter().find(|(known, _)| *known == name).map(|(_, run)| *run)
}

/// Runs a target over one input, and panics if it holds more than [`MOST_MEMORY`] where [`memory::Counting`] is the
/// allocator.
pub fn run(target: fn(&[u8]), data: &[u8]) {
    let held = memory::most_held(|| target(data));
    assert!(held <= MOST_MEMORY, "{held} octets were held for an input of {}", data.len());
}
