//! Changing the sample rate: 8, 16, 22.05, 24 and 48 kHz, any to any.
//!
//! A windowed sinc (Blackman, 2.5 ms to either side at the lower rate, cut off at 85 % of its band) by `rubato`. Where
//! the two rates are in a ratio of small whole numbers every output falls on a computed phase of the filter and nothing
//! is interpolated; 22.05 kHz interpolates between 128 phases. Everything is allocated when a resampler is made.

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{
    Async, FixedAsync, Resampler as _, SincInterpolationParameters, SincInterpolationType, WindowFunction,
};

/// Half the filter, in samples at the lower of the two rates.
const HALF: u32 = 20;
/// The rates known to work, in Hz.
const RATES: [u32; 5] = [8_000, 16_000, 22_050, 24_000, 48_000];

/// Why a resampler cannot be made or used.
#[derive(Debug, thiserror::Error)]
pub enum ResampleError {
    /// A rate that is not known.
    #[error("cannot resample from {from} Hz to {to} Hz: use {RATES:?}")]
    Rate {
        /// The rate of the input in Hz.
        from: u32,
        /// The rate of the output in Hz.
        to: u32,
    },
    /// A block that does not come out as a whole number of samples, or is empty.
    #[error("a block of {block} samples at {from} Hz is no whole number of samples at {to} Hz: use 20 ms")]
    Block {
        /// Samples in a block of input.
        block: usize,
        /// The rate of the input in Hz.
        from: u32,
        /// The rate of the output in Hz.
        to: u32,
    },
    /// A block of another size than the resampler was made for.
    #[error("the resampler takes {input} samples and gives {output}, not {given_input} and {given_output}")]
    Length {
        /// Samples taken at a time.
        input: usize,
        /// Samples given at a time.
        output: usize,
        /// Samples offered.
        given_input: usize,
        /// Room offered.
        given_output: usize,
    },
    /// `rubato` refused the filter.
    #[error("the resampling filter cannot be made: {0}")]
    Filter(#[from] rubato::ResamplerConstructionError),
    /// `rubato` failed while resampling.
    #[error("resampling failed: {0}")]
    Failed(#[from] rubato::ResampleError),
}

/// Resamples a live stream in blocks of one size, such as 20 ms frames: each block in gives one block out.
///
/// What comes out trails by [`delay`](Self::delay): 44 samples (2.75 ms) from 8 to
/// 16 kHz, 21 samples (2.6 ms) back.
pub struct Resampler {
    core: Option<Core>,
    input: usize,
    output: usize,
    /// Output that a block gave too much; at first the silence that makes up for what the first one gives too little.
    ahead: Vec<i16>,
    delay: usize,
}

impl Resampler {
    /// From `from` Hz to `to` Hz, `block` samples of input at a time.
    ///
    /// # Errors
    /// [`ResampleError::Rate`] or [`ResampleError::Block`] if that is not possible.
    pub fn new(from: u32, to: u32, block: usize) -> Result<Self, ResampleError> {
        check(from, to)?;
        let scaled = block * to as usize;
        if block == 0 || !scaled.is_multiple_of(from as usize) {
            return Err(ResampleError::Block { block, from, to });
        }
        let output = scaled / from as usize;
        if from == to {
            return Ok(Self { core: None, input: block, output, ahead: Vec::new(), delay: 0 });
        }
        let core = Core::new(from, to, block)?;
        let head = core.lag;
        let mut ahead = Vec::with_capacity(head + core.output.len());
        ahead.resize(head, 0);
        let delay = head + core.delay;
        Ok(Self { core: Some(core), input: block, output, ahead, delay })
    }

    /// How far the output trails behind the input, in samples of output.
    pub fn delay(&self) -> usize {
        self.delay
    }

    /// Samples in a block of output.
    pub fn output_len(&self) -> usize {
        self.output
    }

    /// Resamples one block into `output`, which it fills. Allocates nothing.
    ///
    /// # Errors
    /// [`ResampleError::Length`] if the blocks are not of the sizes agreed on.
    pub fn block(&mut self, input: &[i16], output: &mut [i16]) -> Result<(), ResampleError> {
        if input.len() != self.input || output.len() != self.output {
            let (given_input, given_output) = (input.len(), output.len());
            return Err(ResampleError::Length {
                input: self.input,
                output: self.output,
                given_input,
                given_output,
            });
        }
        let Some(core) = &mut self.core else {
            output.copy_from_slice(input);
            return Ok(());
        };
        let ahead = &mut self.ahead;
        core.feed(input, &mut |made| ahead.extend(made.iter().map(|sample| to_i16(*sample))))?;
        let ready = ahead.len().min(output.len());
        let (silence, played) = output.split_at_mut(output.len() - ready);
        silence.fill(0);
        played.copy_from_slice(&ahead[..ready]);
        ahead.drain(..ready);
        Ok(())
    }
}

/// Resamples a clip that comes in pieces of any length, such as synthesised speech. The filter's delay is taken off:
/// the first sample out belongs to the first sample in, and [`finish`](Self::finish) gives the rest.
pub struct Stream {
    core: Option<Core>,
    from: u32,
    to: u32,
    taken: u64,
    given: u64,
    skip: usize,
}

impl Stream {
    /// From `from` Hz to `to` Hz.
    ///
    /// # Errors
    /// [`ResampleError::Rate`] if a rate is not known.
    pub fn new(from: u32, to: u32) -> Result<Self, ResampleError> {
        check(from, to)?;
        // 10 ms at a time.
        let core = (from != to).then(|| Core::new(from, to, from as usize / 100)).transpose()?;
        let skip = core.as_ref().map_or(0, |core| core.delay);
        Ok(Self { core, from, to, taken: 0, given: 0, skip })
    }

    /// Resamples `input` and appends what is ready to `out`, in pieces of about 10 ms. Allocates only if `out` is too
    /// small.
    ///
    /// # Errors
    /// [`ResampleError::Failed`], which no input can cause.
    pub fn push(&mut self, input: &[i16], out: &mut Vec<i16>) -> Result<(), ResampleError> {
        self.taken += input.len() as u64;
        self.feed(input, out)
    }

    fn feed(&mut self, input: &[i16], out: &mut Vec<i16>) -> Result<(), ResampleError> {
        let Some(core) = &mut self.core else {
            out.extend_from_slice(input);
            return Ok(());
        };
        let (skip, given) = (&mut self.skip, &mut self.given);
        core.feed(input, &mut |made| {
            let cut = made.len().min(*skip);
            *skip -= cut;
            *given += (made.len() - cut) as u64;
            out.extend(made[cut..].iter().map(|sample| to_i16(*sample)));
        })
    }

    /// Appends what is left, so that the clip is as long as it was, and makes ready for another one.
    ///
    /// # Errors
    /// [`ResampleError::Failed`], which no input can cause.
    pub fn finish(&mut self, out: &mut Vec<i16>) -> Result<(), ResampleError> {
        let total = (self.taken * u64::from(self.to)).div_ceil(u64::from(self.from));
        while self.core.is_some() && self.given < total {
            self.feed(&[0; 160], out)?;
        }
        out.truncate(out.len() - self.given.saturating_sub(total) as usize);
        if let Some(core) = &mut self.core {
            core.reset();
            self.skip = core.delay;
        }
        (self.taken, self.given) = (0, 0);
        Ok(())
    }
}

/// The filter and its buffers.
struct Core {
    rubato: Async<f32>,
    input: Vec<f32>,
    filled: usize,
    output: Vec<f32>,
    /// The filter's delay in samples of output, to the nearest.
    delay: usize,
    /// What the first block gives too little, in samples of output.
    lag: usize,
}

impl Core {
    fn new(from: u32, to: u32, chunk: usize) -> Result<Self, ResampleError> {
        // Rubato takes multiples of four; of twelve where thirds of a sample would remain of the delay.
        let round = if from == 24_000 { 12 } else { 4 };
        let half = (HALF * from).div_ceil(from.min(to)).next_multiple_of(round);
        let whole = from != 22_050 && to != 22_050;
        let parameters = SincInterpolationParameters::new(half as usize * 2, WindowFunction::Blackman)
            // All other pairs have one, two, three or six phases.
            .oversampling_factor(if whole { 48 } else { 128 })
            .interpolation(if whole { SincInterpolationType::Nearest } else { SincInterpolationType::Cubic });
        let ratio = f64::from(to) / f64::from(from);
        let rubato = Async::new_sinc(ratio, 1.0, &parameters, chunk, 1, FixedAsync::Input)?;
        let output = vec![0.0; rubato.output_frames_max()];
        // Rubato steps before it takes the first sample, which makes the delay one less than half the filter.
        let delay = ((half * to + from / 2) / from - 1) as usize;
        // The filter looks two samples of input beyond its length.
        let lag = (2.0 * ratio).ceil() as usize + 1;
        Ok(Self { rubato, input: vec![0.0; chunk], filled: 0, output, delay, lag })
    }

    fn feed(&mut self, mut input: &[i16], give: &mut dyn FnMut(&[f32])) -> Result<(), ResampleError> {
        while !input.is_empty() {
            let room = &mut self.input[self.filled..];
            let (now, later) = input.split_at(room.len().min(input.len()));
            for (to, from) in room.iter_mut().zip(now) {
                *to = f32::from(*from);
            }
            self.filled += now.len();
            input = later;
            if self.filled == self.input.len() {
                self.filled = 0;
                let (taken, room) = (self.input.len(), self.output.len());
                let from = InterleavedSlice::new(&self.input, 1, taken);
                let made = match (from, InterleavedSlice::new_mut(&mut self.output, 1, room)) {
                    (Ok(from), Ok(mut to)) => self.rubato.process_into_buffer(&from, &mut to, None)?.1,
                    _ => 0,
                };
                give(&self.output[..made]);
            }
        }
        Ok(())
    }

    fn reset(&mut self) {
        self.rubato.reset();
        self.filled = 0;
    }
}

fn check(from: u32, to: u32) -> Result<(), ResampleError> {
    if RATES.contains(&from) && RATES.contains(&to) { Ok(()) } else { Err(ResampleError::Rate { from, to }) }
}

fn to_i16(sample: f32) -> i16 {
    // A cast saturates.
    sample.round() as i16
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::TAU;

    fn tone(rate: u32, hertz: f64, seconds: f64) -> Vec<i16> {
        (0..(f64::from(rate) * seconds) as usize)
            .map(|at| ((at as f64 * hertz * TAU / f64::from(rate)).sin() * 16_000.0).round() as i16)
            .collect()
    }

    fn blocks(from: u32, to: u32, audio: &[i16]) -> (Vec<i16>, usize) {
        let block = from as usize / 50;
        let mut resampler = Resampler::new(from, to, block).expect("rates that are known");
        let mut out = vec![0; resampler.output_len()];
        let mut all = Vec::new();
        for input in audio.chunks_exact(block) {
            resampler.block(input, &mut out).expect("a block of the agreed size");
            all.extend(&out);
        }
        (all, resampler.delay())
    }

    /// Strength of what remains when the best sine of `hertz` is taken out, and of that sine, in decibels of full scale.
    fn residue(audio: &[i16], rate: u32, hertz: f64) -> (f64, f64) {
        let turn = hertz * TAU / f64::from(rate);
        let (mut sine, mut cosine) = (0.0, 0.0);
        for (at, sample) in audio.iter().enumerate() {
            sine += f64::from(*sample) * (at as f64 * turn).sin();
            cosine += f64::from(*sample) * (at as f64 * turn).cos();
        }
        let scale = 2.0 / audio.len() as f64;
        let (sine, cosine) = (sine * scale, cosine * scale);
        let rest: f64 = audio
            .iter()
            .enumerate()
            .map(|(at, s)| {
                let fitted = sine * (at as f64 * turn).sin() + cosine * (at as f64 * turn).cos();
                (f64::from(*s) - fitted).powi(2)
            })
            .sum();
        let decibels = |power: f64| 10.0 * (power / 32_768f64.powi(2)).log10();
        (decibels(rest / audio.len() as f64), decibels(f64::midpoint(sine * sine, cosine * cosine)))
    }

    const PAIRS: [(u32, u32); 8] = [
        (8_000, 16_000),
        (16_000, 8_000),
        (48_000, 16_000),
        (16_000, 48_000),
        (24_000, 16_000),
        (22_050, 16_000),
        (8_000, 48_000),
        (48_000, 8_000),
    ];

    #[test]
    fn a_tone_keeps_its_strength_and_stays_clean() {
        for (from, to) in PAIRS {
            for hertz in [300.0, 1_000.0, 2_600.0] {
                let (out, _) = blocks(from, to, &tone(from, hertz, 1.0));
                let (rest, strength) = residue(&out[to as usize / 5..to as usize * 4 / 5], to, hertz);
                let loss = strength - residue(&tone(to, hertz, 0.6), to, hertz).1;
                assert!(loss.abs() < 0.5, "{from} to {to}: {hertz} Hz changed by {loss:.2} dB");
                assert!(
                    strength - rest > 60.0,
                    "{from} to {to}: {hertz} Hz has {:.1} dB SNR",
                    strength - rest
                );
            }
        }
    }

    #[test]
    fn what_the_lower_rate_cannot_hold_is_taken_out() {
        for (from, to, hertz) in
            [(16_000, 8_000, 4_900.0), (48_000, 16_000, 9_700.0), (22_050, 16_000, 9_800.0)]
        {
            let (out, _) = blocks(from, to, &tone(from, hertz, 1.0));
            let (all, _) = residue(&out[to as usize / 5..], to, 1.0);
            assert!(all < -9.0 - 50.0, "{from} to {to}: {hertz} Hz comes back at {all:.1} dB");
        }
    }

    #[test]
    fn the_image_of_a_tone_is_taken_out() {
        let (out, _) = blocks(8_000, 16_000, &tone(8_000, 3_000.0, 1.0));
        let (_, image) = residue(&out[3_000..15_000], 16_000, 5_000.0);
        assert!(image < -59.0, "the image is at {image:.1} dB");
    }

    #[test]
    fn the_delay_is_as_stated_and_under_three_milliseconds() {
        for (from, to) in PAIRS {
            let mut audio = vec![0; from as usize / 5];
            audio[from as usize / 10] = 16_000;
            let (out, delay) = blocks(from, to, &audio);
            let peak = (0..out.len()).max_by_key(|at| out[*at].unsigned_abs()).expect("samples");
            let expected = to as usize / 10 + delay;
            assert!(
                peak.abs_diff(expected) <= usize::from(from == 22_050),
                "{from} to {to}: {peak} instead of {expected}"
            );
            let milliseconds = delay as f64 * 1_000.0 / f64::from(to);
            assert!(milliseconds < 3.0, "{from} to {to}: {milliseconds:.2} ms");
        }
    }

    #[test]
    fn a_clip_in_odd_pieces_comes_out_whole_and_in_place() {
        for (from, to) in PAIRS {
            let audio = tone(from, 440.0, 0.5);
            let mut stream = Stream::new(from, to).expect("rates that are known");
            for round in 0..2 {
                let mut out = Vec::new();
                let mut rest = audio.as_slice();
                for size in [1, 7, 160, 333, 1_000].iter().cycle() {
                    let (now, later) = rest.split_at((*size).min(rest.len()));
                    stream.push(now, &mut out).expect("resampled");
                    rest = later;
                    if rest.is_empty() {
                        break;
                    }
                }
                stream.finish(&mut out).expect("resampled");
                assert_eq!(out.len(), (audio.len() * to as usize).div_ceil(from as usize), "{from} to {to}");
                let ideal = tone(to, 440.0, 0.5);
                let middle = out.len() / 4..out.len() * 3 / 4;
                let apart = out[middle.clone()].iter().zip(&ideal[middle]).map(|(a, b)| a.abs_diff(*b)).max();
                // The filter's ripple; at 22.05 kHz, also up to half a sample of place.
                let allowed = if from == 22_050 { 1_400 } else { 300 };
                assert!(apart < Some(allowed), "{from} to {to}, clip {round}: off by {apart:?}");
            }
        }
    }

    #[test]
    fn equal_rates_pass_through() {
        let audio = tone(16_000, 500.0, 0.1);
        assert_eq!(blocks(16_000, 16_000, &audio), (audio, 0));
    }

    #[test]
    fn wrong_rates_and_blocks_are_refused() {
        assert!(matches!(Resampler::new(11_025, 16_000, 441), Err(ResampleError::Rate { .. })));
        assert!(matches!(Resampler::new(22_050, 16_000, 160), Err(ResampleError::Block { .. })));
        assert!(matches!(Resampler::new(8_000, 16_000, 0), Err(ResampleError::Block { .. })));
        let mut resampler = Resampler::new(8_000, 16_000, 160).expect("rates that are known");
        let refused = resampler.block(&[0; 160], &mut [0; 160]);
        assert!(matches!(refused, Err(ResampleError::Length { .. })), "{refused:?}");
    }
}
