//! Plain DSP on plain samples: frames, resampling, voice activity, levels. No sockets, no clock, no tasks.

pub mod amd;
pub mod echo;
pub mod periodicity;
pub mod resample;
pub mod vad;
pub mod wire;

/// Samples a second everywhere inside Nightline. Legs resample from and to their codec's rate.
pub const RATE: u32 = 16_000;
/// Samples in one frame: 20 ms at [`RATE`], mono.
pub const FRAME: usize = 320;
/// Duration of one frame.
pub const FRAME_TIME: std::time::Duration = std::time::Duration::from_millis(20);

/// 20 ms of 16 kHz mono, i16.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Frame(pub [i16; FRAME]);

impl Frame {
    /// Digital silence.
    pub const SILENCE: Self = Self([0; FRAME]);
}

impl Default for Frame {
    fn default() -> Self {
        Self::SILENCE
    }
}

impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let peak = self.0.iter().map(|s| s.unsigned_abs()).max().unwrap_or(0);
        write!(f, "Frame(peak {peak})")
    }
}
