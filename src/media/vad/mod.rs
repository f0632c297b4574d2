//! Voice activity: is someone speaking in these 20 ms?
//!
//! [`Vad`] is a small recurrent [`Network`] of our own, trained on synthetic telephone lines whose truth is known
//! (`models/nano/make vad`, models/nano/README.md). It looks at nothing behind the frame.
//!

pub mod network;

pub use self::network::{BadNetwork, Network};

use self::network::Memory;
use super::{FRAME, Frame};

/// Speech in one frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Voice {
    /// Probability of speech in 0..=1.
    pub probability: f32,
    /// Energy of the frame in dB below full scale: 0 for a full-scale square wave, −100 for silence.
    pub energy_db: f32,
}

/// Voice activity of one stream of frames. About 10 KiB of state; no allocation per frame.
pub struct Vad {
    network: &'static Network,
    memory: Memory,
}

impl Default for Vad {
    fn default() -> Self {
        Self::new()
    }
}

impl Vad {
    /// A detector that has heard nothing yet.
    pub fn new() -> Self {
        let network = Network::embedded();
        Self { network, memory: network.memory() }
    }

    /// Judges the next 20 ms.
    pub fn push(&mut self, frame: &Frame) -> Voice {
        let energy_db = energy_db(frame);
        let probability = self.network.probability(&mut self.memory, frame);
        Voice { probability: if energy_db < INAUDIBLE_DB { 0.0 } else { probability }, energy_db }
    }
}

/// Nothing below this is speech that a caller means us to hear.
const INAUDIBLE_DB: f32 = -62.0;

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
}
