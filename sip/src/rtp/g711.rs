//! G.711 both ways: decoding by the tables of the `audio-codec` crate, encoding after ITU-T G.191.
//!
//! The crate's A-law encoder (0.4) takes negative samples half a step too near to zero, and -8 for +8: quiet speech
//! would be bent.

use audio_codec::Decoder;
use audio_codec::pcma::PcmaDecoder;
use audio_codec::pcmu::PcmuDecoder;

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
        let out = out.get_mut(..samples.len())?;
        for (octet, sample) in out.iter_mut().zip(samples) {
            *octet = match self {
                Self::A => encode_a(*sample),
                Self::Mu => encode_mu(*sample),
            };
        }
        Some(samples.len())
    }
}

/// One sample in A-law: sign, three bits of segment, four of step; every other bit turned over.
const fn encode_a(sample: i16) -> u8 {
    let size = (if sample < 0 { !sample } else { sample } >> 4) as u16;
    let segment = if size < 16 { 0 } else { size.ilog2() - 3 };
    let step = if segment == 0 { size } else { (size >> (segment - 1)) & 15 };
    let sign = if sample < 0 { 0 } else { 0x80 };
    (sign | (segment << 4) as u8 | step as u8) ^ 0x55
}

/// One sample in µ-law: sign, three bits of segment, four of step; all bits turned over.
const fn encode_mu(sample: i16) -> u8 {
    let size = (if sample < 0 { !sample } else { sample } >> 2) as u16 + 33;
    let size = if size > 0x1fff { 0x1fff } else { size };
    let segment = size.ilog2() - 5;
    let step = (size >> (segment + 1)) & 15;
    let sign = if sample < 0 { 0x80 } else { 0 };
    !(sign | (segment << 4) as u8 | step as u8)
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
    fn a_sample_survives_within_half_the_step_of_its_segment() {
        for law in [Law::A, Law::Mu] {
            for sample in (-32_000..32_000i16).step_by(3) {
                let (mut octet, mut again) = ([0], [0]);
                law.encode(&[sample], &mut octet).expect("one octet");
                law.decode(&octet, &mut again).expect("one sample");
                let error = (i32::from(sample) - i32::from(again[0])).abs();
                assert!(error <= 8 + i32::from(sample).abs() / 32, "{law:?}: {sample} became {}", again[0]);
            }
        }
    }

    #[test]
    fn a_payload_that_does_not_fit_is_refused() {
        assert_eq!(Law::A.decode(&[0; 3], &mut [0; 2]), None);
        assert_eq!(Law::Mu.encode(&[0; 3], &mut [0; 2]), None);
    }
}
