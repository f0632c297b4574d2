//! From an engine's sample rate to ours, as a stream.

use rubato::audioadapter_buffers::direct::SequentialSlice;
use rubato::{Fft, FixedSync, Indexing, Resampler};

use crate::media::RATE;

/// Changes the rate of one mono stream to [`RATE`]; the filter's delay is taken out, so that nothing is shifted.
pub(super) struct RateChange {
    fft: Option<Fft<f32>>,
    pending: Vec<f32>,
    out: Vec<f32>,
    /// Output samples of the filter's delay that are still to be dropped.
    skip: usize,
    taken: u64,
    given: u64,
    from: u32,
}

impl RateChange {
    /// A stream of `from` samples a second.
    pub fn new(from: u32) -> Result<Self, String> {
        let fft = if from == RATE {
            None
        } else {
            // About 40 ms at a time: what the filter needs to be steep.
            let chunk = (from / 25) as usize;
            let fft = Fft::new(from as usize, RATE as usize, chunk, 1, FixedSync::Input)
                .map_err(|e| format!("cannot change {from} samples a second to {RATE}: {e}"))?;
            Some(fft)
        };
        let skip = fft.as_ref().map_or(0, Resampler::output_delay);
        let out = vec![0.0; fft.as_ref().map_or(0, Resampler::output_frames_max)];
        Ok(Self { fft, pending: Vec::new(), out, skip, taken: 0, given: 0, from })
    }

    /// Takes samples and appends what is ready to `to`.
    pub fn push(&mut self, samples: &[f32], to: &mut Vec<f32>) -> Result<(), String> {
        self.taken += samples.len() as u64;
        if self.fft.is_none() {
            to.extend_from_slice(samples);
            return Ok(());
        }
        self.pending.extend_from_slice(samples);
        while let Some(need) =
            self.fft.as_ref().map(Resampler::input_frames_next).filter(|&n| n <= self.pending.len())
        {
            self.step(need, to)?;
            self.pending.drain(..need);
        }
        Ok(())
    }

    /// The stream has ended: appends the rest to `to`.
    pub fn finish(&mut self, to: &mut Vec<f32>) -> Result<(), String> {
        let Some(need) = self.fft.as_ref().map(Resampler::input_frames_next) else { return Ok(()) };
        let want = (self.taken * u64::from(RATE)).div_ceil(u64::from(self.from));
        while self.given < want {
            self.pending.resize(need, 0.0);
            let before = to.len();
            self.step(need, to)?;
            self.pending.clear();
            if self.given > want {
                to.truncate(to.len().max(before) - (self.given - want) as usize);
                self.given = want;
            }
        }
        Ok(())
    }

    fn step(&mut self, need: usize, to: &mut Vec<f32>) -> Result<(), String> {
        let Some(fft) = &mut self.fft else { return Ok(()) };
        let ready = fft.output_frames_next();
        let failed = |e: &dyn std::fmt::Display| format!("resampling failed: {e}");
        let input = SequentialSlice::new(&self.pending[..need], 1, need).map_err(|e| failed(&e))?;
        let mut output =
            SequentialSlice::new_mut(&mut self.out[..ready], 1, ready).map_err(|e| failed(&e))?;
        let (_, made) =
            fft.process_into_buffer(&input, &mut output, None::<&Indexing>).map_err(|e| failed(&e))?;
        let skip = self.skip.min(made);
        self.skip -= skip;
        self.given += (made - skip) as u64;
        to.extend_from_slice(&self.out[skip..made]);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(rate: u32, hz: f32, count: usize) -> Vec<f32> {
        (0..count).map(|i| (i as f32 * hz * std::f32::consts::TAU / rate as f32).sin() * 0.5).collect()
    }

    fn change(from: u32, samples: &[f32], piece: usize) -> Vec<f32> {
        let mut change = RateChange::new(from).unwrap();
        let mut out = Vec::new();
        for piece in samples.chunks(piece) {
            change.push(piece, &mut out).unwrap();
        }
        change.finish(&mut out).unwrap();
        out
    }

    #[test]
    fn a_tone_keeps_its_place_and_level() {
        for from in [22_050, 24_000, 16_000, 48_000] {
            let out = change(from, &tone(from, 440.0, from as usize / 2), 333);
            assert_eq!(out.len(), 8000, "half a second from {from}");
            let want = tone(RATE, 440.0, 8000);
            let worst = (800..7200).map(|i| (out[i] - want[i]).abs()).fold(0.0, f32::max);
            // The filter's delay is a whole number of input samples; half of one is 0.03 on this tone.
            assert!(worst < 0.04, "from {from}: off by {worst}");
        }
    }

    #[test]
    fn what_does_not_fit_the_band_is_gone() {
        let out = change(22_050, &tone(22_050, 9_500.0, 22_050), 1000);
        let level = (out[1600..14_400].iter().map(|x| x * x).sum::<f32>() / 12_800.0).sqrt();
        assert!(level < 0.003, "a 9.5 kHz tone leaks into 16 kHz: {level}");
    }

    #[test]
    fn the_size_of_the_pieces_does_not_matter() {
        let x = tone(22_050, 300.0, 5000);
        assert_eq!(change(22_050, &x, 7), change(22_050, &x, 5000));
    }
}
