//! Between the house's 16 kHz and the 8 kHz of G.711, a frame at a time.

use super::resample::Resampler;
use super::{FRAME, Frame, RATE};

/// Samples of one frame at 8 kHz.
pub const WIRE_FRAME: usize = 160;
const WIRE_RATE: u32 = 8_000;

/// 16 kHz frames to 8 kHz frames; trails by less than 3 ms.
pub struct ToWire(Resampler);

/// 8 kHz frames to 16 kHz frames; trails by less than 3 ms.
pub struct FromWire(Resampler);

impl Default for ToWire {
    fn default() -> Self {
        Self(resampler(RATE, WIRE_RATE, FRAME))
    }
}

impl ToWire {
    /// 20 ms in, 20 ms out.
    pub fn convert(&mut self, frame: &Frame) -> [i16; WIRE_FRAME] {
        let mut out = [0; WIRE_FRAME];
        if let Err(error) = self.0.block(&frame.0, &mut out) {
            tracing::error!(%error, "a frame was not resampled");
        }
        out
    }
}

impl Default for FromWire {
    fn default() -> Self {
        Self(resampler(WIRE_RATE, RATE, WIRE_FRAME))
    }
}

impl FromWire {
    /// 20 ms in, 20 ms out; another length than [`WIRE_FRAME`] is logged and gives silence.
    pub fn convert(&mut self, samples: &[i16]) -> Frame {
        let mut frame = Frame::SILENCE;
        if let Err(error) = self.0.block(samples, &mut frame.0) {
            tracing::error!(%error, "a frame was not resampled");
        }
        frame
    }
}

fn resampler(from: u32, to: u32, block: usize) -> Resampler {
    Resampler::new(from, to, block).expect("8 and 16 kHz and 20 ms are among what the resampler does")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tone_survives_the_way_to_the_wire_and_back() {
        let (mut to, mut from) = (ToWire::default(), FromWire::default());
        let mut back = Vec::new();
        for n in 0..50 {
            let mut frame = Frame::SILENCE;
            for (i, sample) in frame.0.iter_mut().enumerate() {
                let t = (n * FRAME + i) as f32 / RATE as f32;
                *sample = ((t * 1000.0 * std::f32::consts::TAU).sin() * 10_000.0) as i16;
            }
            back.extend_from_slice(&from.convert(&to.convert(&frame)).0);
        }
        let peak = back[8000..].iter().map(|s| s.unsigned_abs()).max().unwrap_or(0);
        assert!((9_500..10_500).contains(&peak), "the tone came back with peak {peak}");
    }
}
