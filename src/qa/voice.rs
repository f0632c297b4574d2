//! Reads a fixture's recording: 8 kHz mono 16-bit WAV, converted once to the house rate.

use std::path::Path;
use std::sync::Arc;

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Resampler};

use crate::media::RATE;

const WAV_RATE: u32 = 8_000;

/// The recording at 16 kHz; the error says what is wrong and what to do.
pub(super) fn load(path: &Path) -> Result<Arc<[i16]>, String> {
    let mut wav = hound::WavReader::open(path).map_err(|error| format!("is not a readable WAV: {error}"))?;
    let spec = wav.spec();
    if (spec.sample_rate, spec.channels, spec.bits_per_sample) != (WAV_RATE, 1, 16) {
        return Err(format!(
            "is {} Hz, {} channels, {} bits; a fixture is {WAV_RATE} Hz, 1 channel, 16 bits",
            spec.sample_rate, spec.channels, spec.bits_per_sample
        ));
    }
    let samples: Vec<i16> =
        wav.samples().collect::<Result<_, _>>().map_err(|error| format!("ends early: {error}"))?;
    upsample(&samples)
}

/// 8 kHz to 16 kHz: twice as many samples, without delay.
fn upsample(samples: &[i16]) -> Result<Arc<[i16]>, String> {
    let input: Vec<f32> = samples.iter().map(|sample| f32::from(*sample) / 32_768.0).collect();
    let convert = || -> Result<Vec<f32>, Box<dyn std::error::Error>> {
        let mut resampler = Fft::<f32>::new(WAV_RATE as usize, RATE as usize, 1024, 1, FixedSync::Both)?;
        let output =
            resampler.process_all(&InterleavedSlice::new(&input, 1, input.len())?, input.len(), None)?;
        Ok(output.take_data())
    };
    let output = convert().map_err(|error| format!("cannot be resampled: {error}"))?;
    let length = (2 * samples.len()).min(output.len());
    Ok(output[..length].iter().map(|sample| (sample * 32_767.0).round() as i16).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upsampling_keeps_length_place_and_loudness() {
        let tone: Vec<i16> = (0..8000u16)
            .map(|n| ((f32::from(n) * 440.0 * std::f32::consts::TAU / 8000.0).sin() * 10_000.0) as i16)
            .collect();
        let up = upsample(&tone).unwrap();
        assert_eq!(up.len(), 16_000);
        for n in 1000..15_000usize {
            let want = (n as f32 * 440.0 * std::f32::consts::TAU / 16_000.0).sin() * 10_000.0;
            assert!((f32::from(up[n]) - want).abs() < 60.0, "sample {n} is {}, not {want}", up[n]);
        }
    }
}
