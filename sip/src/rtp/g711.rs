//! G.711 both ways, by the tables of the `audio-codec` crate.

use audio_codec::pcma::{PcmaDecoder, PcmaEncoder};
use audio_codec::pcmu::{PcmuDecoder, PcmuEncoder};
use audio_codec::{Decoder, Encoder};

/// Which of G.711's two compression laws.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Law {
    /// A-law, PCMA, static payload type 8.
    A,
    /// µ-law, PCMU, static payload type 0.
    Mu,
}

impl Law {
    /// The payload type that RFC 3551 gives it.
    pub const fn payload_type(self) -> u8 {
        match self {
            Self::A => 8,
            Self::Mu => 0,
        }
    }

    /// Decodes `payload` into the front of `out`, one sample an octet; the number of samples, or `None` when it does
    /// not fit or the codec refuses it: such a packet counts as lost.
    pub fn decode(self, payload: &[u8], out: &mut [i16]) -> Option<usize> {
        match self {
            Self::A => PcmaDecoder::new().decode_into(payload, out),
            Self::Mu => PcmuDecoder::new().decode_into(payload, out),
        }
        .ok()
    }

    /// Encodes `samples` into the front of `out`, one octet a sample; the number of octets, or `None` when it does
    /// not fit.
    pub fn encode(self, samples: &[i16], out: &mut [u8]) -> Option<usize> {
        match self {
            Self::A => PcmaEncoder::new().encode_into(samples, out),
            Self::Mu => PcmuEncoder::new().encode_into(samples, out),
        }
        .ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_octet_survives_decoding_and_encoding() {
        for law in [Law::A, Law::Mu] {
            for octet in 0..=255u8 {
                let (mut sample, mut again) = ([0], [0]);
                law.decode(&[octet], &mut sample).expect("one sample");
                law.encode(&sample, &mut again).expect("one octet");
                // µ-law has two zeros; they may be exchanged.
                assert!(again[0] == octet || sample[0] == 0, "{law:?} {octet:#x} became {:#x}", again[0]);
            }
        }
    }

    #[test]
    fn a_sample_survives_within_the_step_of_its_segment() {
        for law in [Law::A, Law::Mu] {
            for sample in (-32_000..32_000i16).step_by(37) {
                let (mut octet, mut again) = ([0], [0]);
                law.encode(&[sample], &mut octet).expect("one octet");
                law.decode(&octet, &mut again).expect("one sample");
                let error = (i32::from(sample) - i32::from(again[0])).abs();
                assert!(error <= 16 + i32::from(sample).abs() / 16, "{law:?}: {sample} became {}", again[0]);
            }
        }
    }

    #[test]
    fn a_payload_that_does_not_fit_is_refused() {
        assert_eq!(Law::A.decode(&[0; 3], &mut [0; 2]), None);
        assert_eq!(Law::Mu.encode(&[0; 3], &mut [0; 2]), None);
    }
}
