//! The network of the voice detector: a gated recurrent unit over log bands, trained by `models/nano` (`nightline_nano.vad` is
//! the same in Python, and what the test compares with). Its file is embedded in the program.

use std::sync::{Arc, LazyLock};

use realfft::num_complex::Complex32;
use realfft::{RealFftPlanner, RealToComplex};

use crate::media::{FRAME, Frame, RATE};

/// Weights and tables; shared by all calls.
pub struct Network {
    /// 3 × [`HIDDEN`] gates (reset, update, new) for each input, input by input.
    input: Vec<[f32; GATES]>,
    /// The same for each unit of the state before.
    hidden: Vec<[f32; GATES]>,
    input_bias: [f32; GATES],
    hidden_bias: [f32; GATES],
    output: [f32; HIDDEN],
    output_bias: f32,
    window: [f32; WINDOW],
    bank: Vec<Band>,
    fft: Arc<dyn RealToComplex<f32>>,
}

/// What the network remembers of one stream of frames, and room to compute in: about 7 KiB.
pub struct Memory {
    frames: u32,
    /// The last [`WINDOW`] samples, full scale = 1.
    samples: [f32; WINDOW],
    /// Natural logarithm of the power of each band in the last frame.
    last: [f32; BANDS],
    /// Its mean over a second and a half.
    mean: [f32; BANDS],
    /// How loud the loudest was lately, in the same unit; never below [`USUAL`].
    loudest: f32,
    state: [f32; HIDDEN],
    windowed: [f32; WINDOW],
    spectrum: Vec<Complex32>,
    scratch: Vec<Complex32>,
}

/// Why a file holds no network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadNetwork {
    /// Another kind of file.
    #[error(
        "this is no voice detector (it does not begin with \"NLVA\"): export one with models/nano/make vad"
    )]
    Magic,
    /// A version or shape that this program does not compute.
    #[error(
        "the voice detector has version, frame, window, bands, units {found:?}, not {wanted:?}: export it anew"
    )]
    Shape {
        /// As in the file.
        found: [u32; 5],
        /// As here.
        wanted: [u32; 5],
    },
    /// Cut short, or followed by something.
    #[error(
        "the voice detector has {found} bytes instead of {wanted}: it is damaged, fetch or export it anew"
    )]
    Length {
        /// Bytes of the file.
        found: usize,
        /// Bytes of a whole one.
        wanted: usize,
    },
    /// A weight that is no number.
    #[error("weight {index} of the voice detector is not finite: it is damaged, fetch or export it anew")]
    NotFinite {
        /// From 0, in the order of the file.
        index: usize,
    },
}

const WINDOW: usize = 512;
const BANDS: usize = 24;
const HIDDEN: usize = 48;
const INPUTS: usize = 3 * BANDS + 2;
const GATES: usize = 3 * HIDDEN;
const SHAPE: [u32; 5] = [1, FRAME as u32, WINDOW as u32, BANDS as u32, HIDDEN as u32];
const HEADER: usize = 24;
const WEIGHTS: usize = GATES * (INPUTS + HIDDEN + 2) + HIDDEN + 1;
/// Frames over which the means of the bands are taken.
const MEAN: f32 = 75.0;
/// A voice is near when it is about as loud as the loudest lately, which is held to be at least so loud (about −33 dB below full
/// scale): somebody far away is not.
const USUAL: f32 = -2.5;
/// From so much above the usual loudness makes no difference.
const LOUD: f32 = 2.5;
/// Share of the way that [`Memory::loudest`] rises to a louder frame.
const RISE: f32 = 0.1;
/// What it falls in any other frame: 0.65 dB a second.
const FALL: f32 = 0.003;

/// Weights of the bins from `first` on; their sum is 1.
struct Band {
    first: usize,
    weights: Vec<f32>,
}

impl Network {
    /// The one that is built in.
    pub fn embedded() -> &'static Self {
        static EMBEDDED: LazyLock<Network> = LazyLock::new(|| {
            Network::parse(include_bytes!("../../../models/nightline-vad.bin"))
                .expect("a test has read the embedded file")
        });
        &EMBEDDED
    }

    /// Reads a file: `NLVA`; version, frame, window, bands, units as u32; then f16 weights (all little-endian) of input and
    /// state to the gates, both biases, and of the output with its bias.
    pub fn parse(file: &[u8]) -> Result<Self, BadNetwork> {
        if !file.starts_with(b"NLVA") {
            return Err(BadNetwork::Magic);
        }
        let wanted = HEADER + 2 * WEIGHTS;
        let length = BadNetwork::Length { found: file.len(), wanted };
        let (header, weights) = file.split_at_checked(HEADER).ok_or(length.clone())?;
        let mut found = [0; 5];
        for (number, bytes) in found.iter_mut().zip(header[4..].chunks_exact(4)) {
            *number = bytes.iter().rev().fold(0, |number, &byte| number << 8 | u32::from(byte));
        }
        if found != SHAPE {
            return Err(BadNetwork::Shape { found, wanted: SHAPE });
        }
        if file.len() != wanted {
            return Err(length);
        }
        let weights: Vec<f32> =
            weights.chunks_exact(2).map(|pair| half(u16::from_le_bytes([pair[0], pair[1]]))).collect();
        if let Some(index) = weights.iter().position(|weight| !weight.is_finite()) {
            return Err(BadNetwork::NotFinite { index });
        }
        let mut rest = weights.as_slice();
        let mut take = |count: usize| {
            let (taken, left) = rest.split_at(count);
            rest = left;
            taken
        };
        let input = columns(take(GATES * INPUTS), INPUTS);
        let hidden = columns(take(GATES * HIDDEN), HIDDEN);
        let mut gates = || std::array::from_fn(|_| take(1)[0]);
        let (input_bias, hidden_bias) = (gates(), gates());
        Ok(Self {
            input,
            hidden,
            input_bias,
            hidden_bias,
            output: std::array::from_fn(|_| take(1)[0]),
            output_bias: take(1)[0],
            window: std::array::from_fn(|i| {
                (0.5 - 0.5 * (std::f64::consts::TAU * i as f64 / WINDOW as f64).cos()) as f32
            }),
            bank: bank(),
            fft: RealFftPlanner::new().plan_fft_forward(WINDOW),
        })
    }

    /// A memory that has heard nothing yet.
    pub fn memory(&self) -> Memory {
        Memory {
            frames: 0,
            samples: [0.0; WINDOW],
            last: [0.0; BANDS],
            mean: [0.0; BANDS],
            loudest: USUAL,
            state: [0.0; HIDDEN],
            windowed: [0.0; WINDOW],
            spectrum: self.fft.make_output_vec(),
            scratch: self.fft.make_scratch_vec(),
        }
    }

    /// Probability in 0..=1 that the next frame is speech. Looks at nothing behind it; allocates nothing.
    pub fn probability(&self, memory: &mut Memory, frame: &Frame) -> f32 {
        let power = self.power(memory, frame);
        let inputs = memory.inputs(&power);
        let mut from_input = self.input_bias;
        accumulate(&mut from_input, &self.input, &inputs);
        let mut from_state = self.hidden_bias;
        accumulate(&mut from_state, &self.hidden, &memory.state);
        let mut sum = self.output_bias;
        for (i, state) in memory.state.iter_mut().enumerate() {
            let reset = sigmoid(from_input[i] + from_state[i]);
            let update = sigmoid(from_input[HIDDEN + i] + from_state[HIDDEN + i]);
            let new = (from_input[2 * HIDDEN + i] + reset * from_state[2 * HIDDEN + i]).tanh();
            *state = (1.0 - update) * new + update * *state;
            sum += self.output[i] * *state;
        }
        sigmoid(sum)
    }

    /// Power in each band of the last [`WINDOW`] samples.
    fn power(&self, memory: &mut Memory, frame: &Frame) -> [f32; BANDS] {
        memory.samples.copy_within(FRAME.., 0);
        for (sample, &new) in memory.samples[WINDOW - FRAME..].iter_mut().zip(&frame.0) {
            *sample = f32::from(new) / 32_768.0;
        }
        for ((windowed, sample), weight) in memory.windowed.iter_mut().zip(&memory.samples).zip(&self.window)
        {
            *windowed = sample * weight;
        }
        self.fft
            .process_with_scratch(&mut memory.windowed, &mut memory.spectrum, &mut memory.scratch)
            .expect("the buffers have the lengths that the transform gave");
        std::array::from_fn(|i| {
            let band = &self.bank[i];
            let bins = &memory.spectrum[band.first..];
            band.weights.iter().zip(bins).map(|(weight, bin)| weight * bin.norm_sqr()).sum()
        })
    }
}

impl Memory {
    /// The logarithm of each band against the level of the line, against its own mean, and against the frame before; then the
    /// loudness against the loudest lately, and that against what is usual.
    fn inputs(&mut self, power: &[f32; BANDS]) -> [f32; INPUTS] {
        let bands = power.map(log);
        if self.frames == 0 {
            (self.mean, self.last) = (bands, bands);
        }
        self.frames = self.frames.saturating_add(1);
        let share = 1.0 / (self.frames as f32).min(MEAN);
        for (mean, band) in self.mean.iter_mut().zip(bands) {
            *mean += (band - *mean) * share;
        }
        let loudness = log(power.iter().sum::<f32>() / BANDS as f32);
        let louder = loudness - self.loudest;
        self.loudest = (self.loudest + if louder > 0.0 { louder * RISE } else { -FALL }).max(USUAL);
        let level = self.mean.iter().sum::<f32>() / BANDS as f32;
        let inputs = std::array::from_fn(|i| {
            let band = i % BANDS;
            let difference = match i / BANDS {
                0 => bands[band] - level,
                1 => bands[band] - self.mean[band],
                2 => bands[band] - self.last[band],
                _ if band == 0 => loudness - self.loudest,
                _ => (self.loudest - USUAL).min(LOUD),
            };
            difference / 3.0
        });
        self.last = bands;
        inputs
    }
}

fn log(power: f32) -> f32 {
    (power + 1e-5).ln()
}

fn accumulate(gates: &mut [f32; GATES], weights: &[[f32; GATES]], inputs: &[f32]) {
    for (column, &input) in weights.iter().zip(inputs) {
        for (gate, weight) in gates.iter_mut().zip(column) {
            *gate += weight * input;
        }
    }
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

/// A matrix of [`GATES`] rows, row by row, as its columns.
fn columns(rows: &[f32], count: usize) -> Vec<[f32; GATES]> {
    (0..count).map(|column| std::array::from_fn(|row| rows[row * count + column])).collect()
}

/// Triangles, even in mel from 100 to 3,800 Hz.
fn bank() -> Vec<Band> {
    let mel = |hertz: f64| 1127.0 * (hertz / 700.0).ln_1p();
    let (low, high) = (mel(100.0), mel(3_800.0));
    let edge = |i: usize| {
        let mel = low + (high - low) * i as f64 / (BANDS + 1) as f64;
        700.0 * (mel / 1127.0).exp_m1() / (f64::from(RATE) / WINDOW as f64)
    };
    let triangle = |band: usize| {
        let (low, middle, high) = (edge(band), edge(band + 1), edge(band + 2));
        let first = low.ceil() as usize;
        let weight = |bin: f64| ((bin - low) / (middle - low)).min((high - bin) / (high - middle)).max(0.0);
        let weights: Vec<f64> = (first..=high.floor() as usize).map(|bin| weight(bin as f64)).collect();
        let sum: f64 = weights.iter().sum();
        Band { first, weights: weights.iter().map(|weight| (weight / sum) as f32).collect() }
    };
    (0..BANDS).map(triangle).collect()
}

/// IEEE 754 half precision.
fn half(bits: u16) -> f32 {
    let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f32::from(bits & 1023));
    sign * match exponent {
        0 => fraction * 2_f32.powi(-24),
        31 if fraction == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        _ => (1.0 + fraction / 1024.0) * 2_f32.powi(exponent - 15),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMBEDDED: &[u8] = include_bytes!("../../../models/nightline-vad.bin");

    fn error(file: &[u8]) -> BadNetwork {
        Network::parse(file).err().expect("a damaged file was taken for a network")
    }

    #[test]
    fn the_embedded_file_is_whole() {
        Network::parse(EMBEDDED).map(drop).expect("the embedded file is a network");
    }

    #[test]
    fn half_precision_reads_as_it_is_defined() {
        let numbers = [(0x3c00, 1.0), (0xc000, -2.0), (0x3555, 0.333_251_95), (0x0001, 5.960_464_5e-8)];
        for (bits, number) in numbers {
            assert!((half(bits) - number).abs() < 1e-12, "{bits:x} is {}", half(bits));
        }
        assert!(half(0x7c01).is_nan() && half(0xfc00).is_infinite());
    }

    #[test]
    fn a_damaged_file_is_refused_and_says_what_is_wrong() {
        let wanted = EMBEDDED.len();
        assert_eq!(error(b"RIFF and so on"), BadNetwork::Magic);
        assert_eq!(error(b""), BadNetwork::Magic);
        for found in [4, 23, 24, wanted - 1] {
            assert_eq!(error(&EMBEDDED[..found]), BadNetwork::Length { found, wanted });
        }
        let longer = [EMBEDDED, b"!"].concat();
        assert_eq!(error(&longer), BadNetwork::Length { found: wanted + 1, wanted });

        let mut other = EMBEDDED.to_vec();
        other[20] = 64;
        assert_eq!(error(&other), BadNetwork::Shape { found: [1, 320, 512, 24, 64], wanted: SHAPE });

        let mut broken = EMBEDDED.to_vec();
        broken[HEADER + 200..HEADER + 202].copy_from_slice(&[0xff, 0x7f]);
        assert_eq!(error(&broken), BadNetwork::NotFinite { index: 100 });
        assert!(error(&broken).to_string().contains("weight 100"), "{}", error(&broken));
    }

    /// The trainer wrote the line and what its own arithmetic makes of it.
    #[test]
    fn it_answers_what_the_trainer_computed() {
        let reader = hound::WavReader::new(include_bytes!("testdata/line.wav").as_slice()).unwrap();
        let samples: Vec<i16> = reader.into_samples::<i16>().map(Result::unwrap).collect();
        let wanted: Vec<f32> =
            include_str!("testdata/line.txt").lines().map(|line| line.parse().unwrap()).collect();
        assert_eq!(wanted.len(), samples.len() / FRAME);
        let network = Network::embedded();
        let mut memory = network.memory();
        for (i, (chunk, wanted)) in samples.chunks_exact(FRAME).zip(&wanted).enumerate() {
            let found = network.probability(&mut memory, &Frame(chunk.try_into().unwrap()));
            assert!((found - wanted).abs() < 1e-3, "frame {i}: {found} instead of {wanted}");
        }
        assert!(wanted.iter().any(|&p| p > 0.9) && wanted.iter().any(|&p| p < 0.1), "it shows nothing");
    }

    #[test]
    fn no_sound_upsets_it() {
        let network = Network::embedded();
        let mut memory = network.memory();
        let square = Frame(std::array::from_fn(|i| if i / 20 % 2 == 0 { i16::MIN } else { i16::MAX }));
        let click = Frame(std::array::from_fn(|i| if i == 100 { i16::MIN } else { 0 }));
        let sounds =
            [Frame::SILENCE, square, Frame([i16::MIN; FRAME]), click, Frame::SILENCE, Frame([1; FRAME])];
        for (i, frame) in sounds.iter().cycle().take(600).enumerate() {
            let p = network.probability(&mut memory, frame);
            assert!((0.0..=1.0).contains(&p), "frame {i}: {p}");
        }
    }
}
