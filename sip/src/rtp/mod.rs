//! The media path of one call: what arrives on RTP becomes an unbroken timeline of 20 ms frames, and frames become RTP.
//!
//! [`Receiver`] and [`Sender`] touch no socket and read no clock; [`MediaSession`] joins them to a [`MediaPort`]. The
//! owner calls [`MediaSession::pull`] and [`MediaSession::push`] once every 20 ms and awaits [`MediaSession::wait`] in
//! between. `pull` always gives 20 ms: what the network lost is concealed, never left out.
//!
//! [`MediaSession::secure`] puts SRTP around it. That costs one allocation a packet each way, the library's; plain RTP
//! allocates nothing.

mod coding;
mod conceal;
mod dtmf;
#[doc(hidden)]
pub mod fuzzing;
mod g711;
mod header;
mod jitter;
mod latch;
mod port;
mod receiver;
mod rtcp;
mod sender;
mod session;
mod srtp;
mod stats;

pub use dtmf::{BadDigit, Digits};
pub use g711::Law;
pub use header::Header;
pub use port::{MediaPort, PortError};
pub use receiver::{Accepts, Audio, Kind, Pulled, Receiver, Reject};
pub use rtcp::Reporter;
pub use sender::Sender;
pub use session::{MediaConfig, MediaSession};
pub use stats::MediaStats;

/// Samples a second of G.711, and what the timestamps of most codecs count.
pub const RATE: u32 = 8_000;
/// Samples in one frame of G.711: 20 ms at [`RATE`], mono, i16.
pub const FRAME: usize = 160;
/// Samples in one frame of G.722 and Opus: 20 ms at 16 kHz, mono, i16.
pub const WIDE_FRAME: usize = 320;
/// The longest RTP packet that a [`Sender`] writes: twelve octets of header, and more than Opus ever needs for a frame.
pub const MAX_PACKET: usize = 12 + 400;

/// How long a frame lasts.
const TICK: std::time::Duration = std::time::Duration::from_millis(20);

/// `from` to `to` in samples, `rate` of them a second; zero if `to` is earlier.
fn samples_between(from: std::time::Instant, to: std::time::Instant, rate: u32) -> i64 {
    let micros = to.saturating_duration_since(from).as_micros();
    i64::try_from(micros.saturating_mul(u128::from(rate)) / 1_000_000).unwrap_or(i64::MAX)
}
