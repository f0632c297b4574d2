//! Samples as bytes.

use bytes::Bytes;
use nightline_sip::rtp::Law;

use super::{Wrong, cut};

/// How samples are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// 16-bit linear, little endian.
    L16,
    /// G.711 A-law.
    Pcma,
    /// G.711 µ-law.
    Pcmu,
}

impl Encoding {
    /// By any of the names that platforms give it.
    pub fn named(name: &str) -> Result<Self, Wrong> {
        match name.to_ascii_lowercase().as_str() {
            "pcm_s16le" | "slin" | "slin16" | "slin24" | "slin48" | "l16" | "linear16" | "audio/l16" => {
                Ok(Self::L16)
            }
            "pcma" | "alaw" | "audio/pcma" | "audio/x-alaw" => Ok(Self::Pcma),
            "pcmu" | "ulaw" | "mulaw" | "audio/pcmu" | "audio/x-mulaw" => Ok(Self::Pcmu),
            _ => Err(Wrong(format!("audio as `{}` is not taken: send pcm_s16le, pcma or pcmu", cut(name)))),
        }
    }

    /// The name that our own protocol gives it.
    pub fn name(self) -> &'static str {
        match self {
            Self::L16 => "pcm_s16le",
            Self::Pcma => "pcma",
            Self::Pcmu => "pcmu",
        }
    }

    /// The bytes of `samples`.
    pub fn encode(self, samples: &[i16]) -> Bytes {
        let law = match self {
            Self::L16 => return samples.iter().flat_map(|sample| sample.to_le_bytes()).collect(),
            Self::Pcma => Law::A,
            Self::Pcmu => Law::Mu,
        };
        let mut bytes = vec![0; samples.len()];
        law.encode(samples, &mut bytes);
        bytes.into()
    }
}

/// Bytes back to samples. A message may end in the middle of a sample.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decoder {
    encoding: Encoding,
    rest: Option<u8>,
}

impl Decoder {
    pub(super) fn new(encoding: Encoding) -> Self {
        Self { encoding, rest: None }
    }

    pub(super) fn decode(&mut self, bytes: &[u8]) -> Vec<i16> {
        let law = match self.encoding {
            Encoding::L16 => {
                let mut whole: Vec<u8> = self.rest.take().into_iter().chain(bytes.iter().copied()).collect();
                if whole.len() % 2 == 1 {
                    self.rest = whole.pop();
                }
                return whole.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
            }
            Encoding::Pcma => Law::A,
            Encoding::Pcmu => Law::Mu,
        };
        let mut samples = vec![0; bytes.len()];
        law.decode(bytes, &mut samples);
        samples
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_survive_wherever_a_message_is_cut() {
        let samples: Vec<i16> = (-300..300).map(|n| n * 100).collect();
        let bytes = Encoding::L16.encode(&samples);
        for cut in [1, 3, 160, 319, 1200] {
            let mut decoder = Decoder::new(Encoding::L16);
            let heard: Vec<i16> = bytes.chunks(cut).flat_map(|piece| decoder.decode(piece)).collect();
            assert_eq!(heard, samples, "cut every {cut} bytes");
        }
    }

    #[test]
    fn companded_samples_come_back_within_a_step() {
        for encoding in [Encoding::Pcma, Encoding::Pcmu] {
            let samples: Vec<i16> = (-32..32).map(|n| n * 1000).collect();
            let heard = Decoder::new(encoding).decode(&encoding.encode(&samples));
            for (said, heard) in samples.iter().zip(heard) {
                assert!(
                    said.abs_diff(heard) <= 16 + said.unsigned_abs() / 16,
                    "{encoding:?}: {said} became {heard}"
                );
            }
        }
    }
}
