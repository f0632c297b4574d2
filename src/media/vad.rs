//! Voice activity: is someone speaking in these 20 ms, and when did they begin and stop?
//!
//! [`Vad`] wraps the small network of the `earshot` crate. Alone it takes noise for speech too often (at 10 dB three frames
//! in ten), so its probability is weighed by how far the frame stands out of the noise floor, which is tracked by the minima
//! of the energy (after Martin, "Noise power spectral density estimation based on optimal smoothing and minimum statistics",
//! 2001, reduced to one band).
//!
//! Measured on 40 synthetic telephone utterances (A-law; coloured noise, some of it humming or pulsing; voices that nothing
//! was trained on), area under the curve and true/false positive rate of frames at 0.5; then the onset (three of four frames at 0.5) after the first frame within 30 dB of the loudest, and false starts in 122 s of pauses:
//!
//! | noise | earshot alone | with the noise floor | onset, median / p95 | false starts |
//! |---|---|---|---|---|
//! | none | .984 .96/.04 | .988 .96/.03 | 130 / 300 ms | 0 |
//! | 20 dB | .969 .94/.05 | .983 .93/.03 | 140 / 322 ms | 1 |
//! | 10 dB | .934 .90/.08 | .958 .85/.04 | 180 / 595 ms | 2 |
//! | 5 dB | .865 .80/.22 | .907 .68/.06 | 160 / 1320 ms, 2 of 40 missed | 18 |
//!
//! Steady noise alone is rejected once its floor is known. Noise that swings by 10 dB is not: of ten half-minutes of
//! noise alone, three were taken for speech most of the time (earshot alone: six).

use super::{FRAME, Frame};

/// Speech in one frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Voice {
    /// Probability of speech in 0..=1, weighed by the distance to the noise floor.
    pub probability: f32,
    /// Energy of the frame in dB below full scale: 0 for a full-scale square wave, −100 for silence.
    pub energy_db: f32,
}

/// Voice activity of one stream of frames. About 10 KiB of state; no allocation per frame.
pub struct Vad {
    network: Box<earshot::Detector>,
    pending: [i16; NETWORK_FRAME],
    filled: usize,
    probability: f32,
    floor: NoiseFloor,
    recent: [f32; HOLD],
}

impl Default for Vad {
    fn default() -> Self {
        Self::new()
    }
}

impl Vad {
    /// A detector that has heard nothing yet. Its first 200 ms are judged by the network alone.
    pub fn new() -> Self {
        Self {
            network: Box::default(),
            pending: [0; NETWORK_FRAME],
            filled: 0,
            probability: 0.0,
            floor: NoiseFloor::default(),
            recent: [-100.0; HOLD],
        }
    }

    /// Judges the next 20 ms. The network works in steps of 16 ms, so its answer covers audio up to 16 ms before the frame's
    /// end.
    pub fn push(&mut self, frame: &Frame) -> Voice {
        let energy_db = energy_db(frame);
        let (mut sum, mut answers) = (0.0, 0_u8);
        let mut rest = frame.0.as_slice();
        while !rest.is_empty() {
            let take = rest.len().min(NETWORK_FRAME - self.filled);
            self.pending[self.filled..self.filled + take].copy_from_slice(&rest[..take]);
            self.filled += take;
            rest = &rest[take..];
            if self.filled == NETWORK_FRAME {
                sum += self.network.predict_i16(&self.pending).clamp(0.0, 1.0);
                answers += 1;
                self.filled = 0;
            }
        }
        if answers > 0 {
            self.probability = sum / f32::from(answers);
        }
        let floor = self.floor.push(energy_db);
        self.recent.rotate_left(1);
        self.recent[HOLD - 1] = energy_db;
        let loudest = self.recent.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let open = ((loudest - floor - CLOSED_DB) / (OPEN_DB - CLOSED_DB)).clamp(0.0, 1.0);
        let gate = if loudest < INAUDIBLE_DB { 0.0 } else { open };
        Voice { probability: self.probability * gate, energy_db }
    }

    /// The present noise floor in dB below full scale.
    pub fn noise_floor_db(&self) -> f32 {
        self.floor.level_db
    }
}

/// Samples that the network takes at a time.
const NETWORK_FRAME: usize = 256;
/// The loudest of so many last frames is compared with the noise floor: a consonant is as quiet as the noise, the vowel beside
/// it is not.
const HOLD: usize = 5;
/// A frame this far above the noise floor, or less, is noise.
const CLOSED_DB: f32 = 3.0;
/// A frame this far above the noise floor, or more, is judged by the network alone.
const OPEN_DB: f32 = 8.0;
/// Nothing below this is speech that a caller means us to hear.
const INAUDIBLE_DB: f32 = -62.0;

/// The level of the noise: the lowest smoothed energy of the last two seconds, which contain a pause in any speech.
struct NoiseFloor {
    level_db: f32,
    smooth_db: f32,
    /// Lowest value of each finished stretch of [`STRETCH`] frames, oldest first.
    minima: [f32; STRETCHES],
    current: f32,
    frames: usize,
}

const STRETCH: usize = 10;
const STRETCHES: usize = 10;

impl Default for NoiseFloor {
    fn default() -> Self {
        let unknown = f32::INFINITY;
        Self {
            level_db: -100.0,
            smooth_db: -100.0,
            minima: [unknown; STRETCHES],
            current: unknown,
            frames: 0,
        }
    }
}

impl NoiseFloor {
    /// Takes in a frame's energy; returns the floor in dB, far below everything while it is not known yet.
    fn push(&mut self, energy_db: f32) -> f32 {
        self.smooth_db =
            if self.frames == 0 { energy_db } else { self.smooth_db + 0.4 * (energy_db - self.smooth_db) };
        self.frames += 1;
        self.current = self.current.min(self.smooth_db);
        if self.frames.is_multiple_of(STRETCH) {
            self.minima.rotate_left(1);
            self.minima[STRETCHES - 1] = self.current;
            self.current = f32::INFINITY;
        }
        let lowest = self.minima.iter().copied().fold(self.current, f32::min);
        self.level_db = lowest.max(-80.0);
        if self.frames < STRETCH { f32::NEG_INFINITY } else { self.level_db }
    }
}

fn energy_db(frame: &Frame) -> f32 {
    let sum: f32 = frame.0.iter().map(|&sample| (f32::from(sample) / 32_768.0).powi(2)).sum();
    (10.0 * (sum / FRAME as f32).log10()).max(-100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frames of 16 kHz speech out of a recorded 8 kHz telephone utterance, every sample twice: the band above is noise that
    /// the network does not mind.
    fn speech() -> Vec<Frame> {
        let wav = include_bytes!("../asr/testdata/range.wav").as_slice();
        let reader = hound::WavReader::new(wav).unwrap();
        let samples: Vec<i16> =
            reader.into_samples::<i16>().map(Result::unwrap).flat_map(|s| [s, s]).collect();
        samples.chunks_exact(FRAME).map(|chunk| Frame(chunk.try_into().unwrap())).collect()
    }

    fn noise(frames: usize, amplitude: i16) -> Vec<Frame> {
        let mut state = 7_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (i32::from(amplitude) * ((state >> 16) as i32 - 32_768) / 32_768) as i16
        };
        (0..frames).map(|_| Frame(std::array::from_fn(|_| next()))).collect()
    }

    #[test]
    fn digital_silence_is_never_speech() {
        let mut vad = Vad::new();
        for _ in 0..100 {
            let voice = vad.push(&Frame::SILENCE);
            assert!(
                voice.probability.abs() < f32::EPSILON && (voice.energy_db + 100.0).abs() < 0.01,
                "{voice:?}"
            );
        }
    }

    #[test]
    fn a_caller_is_noticed_and_so_is_the_end() {
        let mut vad = Vad::new();
        let frames: Vec<Frame> = [noise(40, 30), speech(), noise(40, 30)].concat();
        let speech_end = 40 + speech().len();
        let heard: Vec<bool> = frames.iter().map(|frame| vad.push(frame).probability >= 0.5).collect();
        let (first, last) = (heard.iter().position(|&h| h), heard.iter().rposition(|&h| h));
        let (Some(first), Some(last)) = (first, last) else { panic!("no speech was noticed") };
        assert!((35..60).contains(&first), "noticed at frame {first}, speech is from about 48 on");
        assert!(
            (speech_end - 20..speech_end + 10).contains(&last),
            "last heard at {last}, speech ends near {speech_end}"
        );
    }

    #[test]
    fn steady_noise_of_any_level_is_not_speech_once_it_is_known() {
        for amplitude in [30, 300, 3_000, 30_000] {
            let mut vad = Vad::new();
            let heard: Vec<bool> =
                noise(500, amplitude).iter().map(|f| vad.push(f).probability >= 0.5).collect();
            let heard = heard[100..].iter().filter(|&&h| h).count();
            assert!(heard <= 8, "{heard} of 400 frames of noise of amplitude {amplitude} were speech");
        }
    }

    #[test]
    fn the_noise_floor_follows_the_line() {
        let mut vad = Vad::new();
        for frame in noise(150, 1_000) {
            vad.push(&frame);
        }
        let loud = vad.noise_floor_db();
        for frame in noise(150, 50) {
            vad.push(&frame);
        }
        let quiet = vad.noise_floor_db();
        assert!((-36.5..-33.0).contains(&loud) && (-62.5..-58.0).contains(&quiet), "{loud} then {quiet}");
    }
}
