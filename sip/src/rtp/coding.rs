//! How audio is coded on the wire: one decoder and one encoder a stream, whatever the codec.
//!
//! G.711 by [`Law`], G.722 by the `audio-codec` crate, Opus by libopus. G.722 and Opus give 16 kHz.

use audio_codec::g722::{G722Decoder, G722Encoder};
use audio_codec::{Decoder as _, Encoder as _};
use opus::{Application, Bitrate, Channels, Signal};

use super::{FRAME, Law, WIDE_FRAME};
use crate::Codec;

/// The longest payload that is taken, in octets: 120 ms of G.711, more than Opus ever has.
pub(super) const LONGEST: usize = 960;
/// The most samples in one packet: 120 ms at 16 kHz.
pub(super) const MOST_SAMPLES: usize = 6 * WIDE_FRAME;
/// What Opus may take, in bits a second: wideband speech is clear with it, and there is room for what repeats a lost packet.
const OPUS_BITRATE: i32 = 28_000;
/// Loss that Opus expects before anybody has reported any, in percent: it then repeats what matters of each packet in the next.
const OPUS_LOSS: i32 = 5;
/// Of 10; speech gains nothing from more.
const OPUS_COMPLEXITY: i32 = 5;

impl Codec {
    /// Samples a second of the audio that it gives and takes, which for G.722 and Opus is not the clock of its timestamps.
    pub fn sample_rate(self) -> u32 {
        match self {
            Self::Pcma | Self::Pcmu => 8_000,
            Self::G722 | Self::Opus => 16_000,
        }
    }

    /// Samples in one frame of 20 ms.
    pub fn frame(self) -> usize {
        match self {
            Self::Pcma | Self::Pcmu => FRAME,
            Self::G722 | Self::Opus => WIDE_FRAME,
        }
    }

    /// What its timestamps count in 20 ms.
    pub(super) fn ticks(self) -> u32 {
        self.clock_rate() / 50
    }
}

/// Reads the payloads of one stream, in the order in which they were sent.
pub(super) enum Decoder {
    G711(Law),
    G722(Box<G722Decoder>),
    Opus(Option<opus::Decoder>),
}

impl Decoder {
    pub(super) fn new(codec: Codec) -> Self {
        match codec {
            Codec::Pcma => Self::G711(Law::A),
            Codec::Pcmu => Self::G711(Law::Mu),
            Codec::G722 => Self::G722(Box::default()),
            Codec::Opus => Self::Opus(
                opus::Decoder::new(Codec::Opus.sample_rate(), Channels::Mono)
                    .inspect_err(|error| tracing::error!(%error, "no Opus decoder"))
                    .ok(),
            ),
        }
    }

    /// Whether a payload can only be read after the one that was sent before it.
    pub(super) fn has_memory(&self) -> bool {
        !matches!(self, Self::G711(_))
    }

    /// Decodes `payload` into the front of `out`; the number of samples, or `None` when it does not fit or is none of the codec's:
    /// such a packet counts as lost.
    pub(super) fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> Option<usize> {
        match self {
            Self::G711(law) => law.decode(payload, out),
            Self::G722(decoder) => decoder.decode_into(payload, out).ok(),
            Self::Opus(decoder) => decoder.as_mut()?.decode(payload, out, false).ok(),
        }
    }

    /// What `next` tells of the frame before it, which was lost: one frame of 20 ms in `out`. Only Opus repeats itself.
    pub(super) fn recover(&mut self, next: &[u8], out: &mut [i16]) -> Option<usize> {
        match self {
            Self::Opus(Some(decoder)) => decoder.decode(next, out.get_mut(..WIDE_FRAME)?, true).ok(),
            _ => None,
        }
    }
}

/// Writes the payloads of one stream.
pub(super) enum Encoder {
    G711(Law),
    G722(Box<G722Encoder>),
    Opus(Option<opus::Encoder>),
}

impl Encoder {
    pub(super) fn new(codec: Codec) -> Self {
        match codec {
            Codec::Pcma => Self::G711(Law::A),
            Codec::Pcmu => Self::G711(Law::Mu),
            Codec::G722 => Self::G722(Box::default()),
            Codec::Opus => Self::Opus(
                speech_encoder().inspect_err(|error| tracing::error!(%error, "no Opus encoder")).ok(),
            ),
        }
    }

    /// Encodes one frame into the front of `out`; the number of octets, or `None` when it does not fit.
    pub(super) fn encode(&mut self, frame: &[i16], out: &mut [u8]) -> Option<usize> {
        match self {
            Self::G711(law) => law.encode(frame, out),
            Self::G722(encoder) => encoder.encode_into(frame, out).ok(),
            Self::Opus(encoder) => encoder.as_mut()?.encode(frame, out).ok(),
        }
    }

    /// The other side has lost `share` of the packets of late.
    pub(super) fn expect_loss(&mut self, share: f32) {
        if let Self::Opus(Some(encoder)) = self {
            let percent = ((share * 100.0).round() as i32).clamp(OPUS_LOSS, 40);
            if let Err(error) = encoder.set_packet_loss_perc(percent) {
                tracing::debug!(%error, percent, "Opus cannot be told of loss");
            }
        }
    }
}

fn speech_encoder() -> opus::Result<opus::Encoder> {
    let mut encoder = opus::Encoder::new(Codec::Opus.sample_rate(), Channels::Mono, Application::Voip)?;
    encoder.set_bitrate(Bitrate::Bits(OPUS_BITRATE))?;
    encoder.set_signal(Signal::Voice)?;
    encoder.set_complexity(OPUS_COMPLEXITY)?;
    encoder.set_inband_fec(true)?;
    encoder.set_packet_loss_perc(OPUS_LOSS)?;
    Ok(encoder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(at: usize) -> [i16; WIDE_FRAME] {
        std::array::from_fn(|i| {
            let t = (at * WIDE_FRAME + i) as f32 / 16_000.0;
            ((t * 440.0 * std::f32::consts::TAU).sin() * 8_000.0) as i16
        })
    }

    fn strength(audio: &[i16]) -> f32 {
        (audio.iter().map(|s| f32::from(*s).powi(2)).sum::<f32>() / audio.len() as f32).sqrt()
    }

    #[test]
    fn a_tone_survives_the_wideband_codecs() {
        for codec in [Codec::G722, Codec::Opus] {
            let (mut encoder, mut decoder) = (Encoder::new(codec), Decoder::new(codec));
            let mut heard = Vec::new();
            for at in 0..50 {
                let (mut payload, mut audio) = ([0; 400], [0; MOST_SAMPLES]);
                let length = encoder.encode(&tone(at), &mut payload).expect("it fits");
                let count = decoder.decode(&payload[..length], &mut audio).expect("our own payload");
                assert_eq!(count, WIDE_FRAME, "{codec:?}");
                heard.extend_from_slice(&audio[..count]);
            }
            let strength = strength(&heard[20 * WIDE_FRAME..]);
            assert!((4_500.0..7_000.0).contains(&strength), "{codec:?}: {strength}");
        }
    }

    #[test]
    fn what_the_next_packet_repeats_of_a_lost_one_is_heard() {
        let (mut encoder, mut decoder) = (Encoder::new(Codec::Opus), Decoder::new(Codec::Opus));
        encoder.expect_loss(0.2);
        let payloads: Vec<Vec<u8>> = (0..40)
            .map(|at| {
                let mut payload = [0; 400];
                let length = encoder.encode(&tone(at), &mut payload).expect("it fits");
                payload[..length].to_vec()
            })
            .collect();
        let mut audio = [0; MOST_SAMPLES];
        for payload in &payloads[..30] {
            decoder.decode(payload, &mut audio).expect("our own payload");
        }
        let count = decoder.recover(&payloads[31], &mut audio).expect("it is repeated");
        assert_eq!(count, WIDE_FRAME);
        assert!(strength(&audio[..count]) > 3_000.0, "{}", strength(&audio[..count]));
    }

    #[test]
    fn what_is_no_opus_is_refused() {
        let mut decoder = Decoder::new(Codec::Opus);
        assert_eq!(decoder.decode(&[0xff; 3], &mut [0; MOST_SAMPLES]), None);
    }
}
