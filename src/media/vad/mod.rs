//! Voice activity: is someone speaking in these 20 ms?
//!
//! [`Vad`] is a small recurrent [`Network`] of our own, trained on synthetic telephone lines whose truth is known
//! (`models/nano/make vad`, models/README.md). It looks at nothing behind the frame.
//!
//! Measured on 15 lines of 12 s each: A-law; voices, noises and music that nothing was trained on (the music by the maker of the
//! trained one). Area under the curve and true/false positive rate of frames at 0.5; then, as a call hears it, the delay of an
//! onset (ms from the first frame within 30 dB of the loudest to the end of the third of four frames at 0.5, so at least 60;
//! median / p95), and onsets where nobody speaks. Before, the crate earshot was used with a noise floor of our own.
//!
//! | line | earshot | earshot + floor | this | onset, earshot + floor | onset, this | false starts a minute: earshot, + floor, this |
//! |---|---|---|---|---|---|---|
//! | clean | .982 .99/.08 | .985 .96/.01 | .997 .99/.03 | 80 / 140 | 60 / 80 | 0, 0, 0 |
//! | 20 dB | .963 .96/.12 | .948 .90/.03 | .996 .98/.04 | 120 / 220 | 60 / 120 | 1.5, 0.8, 0.0 |
//! | 10 dB | .952 .96/.19 | .886 .78/.04 | .989 .96/.06 | 120 / 240 | 80 / 145 | 2.1, 0.0, 0.0 |
//! | 5 dB | .923 .97/.42 | .784 .69/.20 | .979 .94/.06 | 130 / 551 | 120 / 260 | 5.9, 5.2, 0.0 |
//! | 0 dB | .870 .99/.83 | .692 .45/.16 | .949 .89/.11 | 200 / 960, 5 of 43 missed | 140 / 402 | 10.6, 4.6, 1.5 |
//! | street 10 dB | .952 .96/.22 | .885 .80/.06 | .988 .97/.06 | 120 / 228 | 80 / 160 | 4.2, 3.5, 1.4 |
//! | music 5 dB | .924 .99/.49 | .875 .89/.35 | .980 .92/.06 | 100 / 256 | 80 / 360 | 10.6, 21.2, 0.7 |
//! | talker -15 dB | .946 .99/.49 | .944 .96/.35 | .948 .99/.30 | 80 / 140 | 60 / 101 | 13.3, 15.6, 17.2 |
//! | music alone | –/.76 | –/.54 | –/.00 | – | – | 6.7, 18.7, 0.7 |
//! | ring-back | –/.22 | –/.20 | –/.01 | – | – | 12.7, 12.3, 2.3 |
//! | DTMF | –/.50 | –/.30 | –/.00 | – | – | 29.0, 56.0, 0.0 |
//! | noise alone | –/.64 | –/.16 | –/.00 | – | – | 4.7, 2.0, 0.0 |
//! | swinging noise | –/.41 | –/.29 | –/.00 | – | – | 7.3, 19.3, 0.0 |
//! | coughs and clicks | –/.02 | –/.02 | –/.01 | – | – | 5.0, 4.7, 1.3 |
//! | talkers far away | –/.19 | –/.15 | –/.20 | – | – | 2.3, 3.7, 9.3 |
//!
//! The noise floor was dropped because it hides quiet syllables: with it this network has an area of .898 at 10 dB. The end of speech is
//! noticed after 40 / 80 ms on a clean line and 100 / 180 ms at 10 dB. Weak: people near a caller's telephone are still taken for the
//! caller, and of one who is 20 dB too quiet (−51 dB below full scale) only 81 % of the frames are heard, of one 12 dB too quiet 97 %. A frame
//! costs 4.8 µs (earshot with the floor: 7.1).

mod network;

pub use self::network::{BadNetwork, Network};

use self::network::Memory;
use super::Frame;

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

    /// Probability in 0..=1 that the next 20 ms are speech.
    pub fn push(&mut self, frame: &Frame) -> f32 {
        self.network.probability(&mut self.memory, frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::FRAME;

    /// Frames of 16 kHz speech out of a recorded 8 kHz telephone utterance, every sample twice: the band above is noise that
    /// the network does not mind.
    fn speech() -> Vec<Frame> {
        let wav = include_bytes!("../../asr/testdata/range.wav").as_slice();
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
            let probability = vad.push(&Frame::SILENCE);
            assert!(probability < 0.1, "{probability}");
        }
    }

    #[test]
    fn a_caller_is_noticed_and_so_is_the_end() {
        let mut vad = Vad::new();
        let frames: Vec<Frame> = [noise(40, 30), speech(), noise(40, 30)].concat();
        let speech_end = 40 + speech().len();
        let heard: Vec<bool> = frames.iter().map(|frame| vad.push(frame) >= 0.5).collect();
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
            let heard: Vec<bool> = noise(500, amplitude).iter().map(|f| vad.push(f) >= 0.5).collect();
            let heard = heard[100..].iter().filter(|&&h| h).count();
            assert!(heard <= 8, "{heard} of 400 frames of noise of amplitude {amplitude} were speech");
        }
    }
}
