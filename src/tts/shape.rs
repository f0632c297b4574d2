//! The shape of a clause's audio: silence trimmed at its ends, level, pieces.

use crate::media::RATE;

/// Quieter than this is silence: −44 dB below full scale, well under the breath of an unvoiced consonant.
const SILENCE: f32 = 0.006;
/// Kept before the first sound, so that soft onsets (s, f, h) stay whole.
const ONSET: usize = ms(10);
/// Kept behind the last sound.
const RELEASE: usize = ms(15);
/// Fades at the cuts, against clicks.
const FADE: usize = ms(3);
/// Longest piece handed on: 100 ms.
pub(super) const PIECE: usize = ms(100);

/// Samples in so many milliseconds.
pub(super) const fn ms(ms: u32) -> usize {
    (RATE / 1000 * ms) as usize
}

/// The part of `samples` that sounds, with a little room at both ends; empty if nothing does.
pub(super) fn sounding(samples: &[f32]) -> std::ops::Range<usize> {
    let loud = |x: &&f32| x.abs() > SILENCE;
    let Some(first) = samples.iter().position(|x| loud(&x)) else { return 0..0 };
    let last = samples.iter().rposition(|x| loud(&x)).unwrap_or(first);
    first.saturating_sub(ONSET)..(last + 1 + RELEASE).min(samples.len())
}

/// Fades both ends of `samples` in place.
pub(super) fn fade(samples: &mut [f32]) {
    let len = FADE.min(samples.len() / 2);
    let end = samples.len();
    for i in 0..len {
        let gain = i as f32 / FADE as f32;
        samples[i] *= gain;
        samples[end - 1 - i] *= gain;
    }
}

/// To 16 bits; what would clip is held at full scale.
pub(super) fn to_i16(samples: &[f32]) -> Vec<i16> {
    samples.iter().map(|x| (x * 32_768.0).round().clamp(-32_768.0, 32_767.0) as i16).collect()
}

/// From 16 bits to −1..1.
pub(super) fn to_f32(samples: &[i16]) -> Vec<f32> {
    samples.iter().map(|&x| f32::from(x) / 32_768.0).collect()
}

/// Trims a stream: drops silence before the first sound and holds silence back until sound follows it.
#[derive(Default)]
pub(super) struct Trimmer {
    begun: bool,
    held: Vec<f32>,
}

impl Trimmer {
    /// Takes samples; gives those that are now known to belong to the speech.
    pub fn push(&mut self, samples: &[f32]) -> Vec<f32> {
        self.held.extend_from_slice(samples);
        let range = sounding(&self.held);
        if range.is_empty() {
            if !self.begun && self.held.len() > ONSET {
                self.held.drain(..self.held.len() - ONSET);
            }
            return Vec::new();
        }
        let mut out: Vec<f32> = self.held.drain(..range.end).collect();
        if !self.begun {
            out.drain(..range.start);
            self.begun = true;
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_trimmed_at_both_ends_and_kept_inside() {
        let mut x = vec![0.0; 3000];
        x.extend(vec![0.5; 1000]);
        x.extend(vec![0.0; 2000]);
        x.extend(vec![0.5; 1000]);
        x.extend(vec![0.0; 3000]);
        assert_eq!(sounding(&x), 3000 - ONSET..7000 + RELEASE);
        for piece in [100, 777, 10_000] {
            let mut trimmer = Trimmer::default();
            let out: Vec<f32> = x.chunks(piece).flat_map(|p| trimmer.push(p)).collect();
            let loud = out.iter().filter(|x| **x > 0.1).count();
            assert_eq!(loud, 2000, "pieces of {piece}");
            assert!((4000..=4000 + ONSET + RELEASE).contains(&out.len()), "pieces of {piece}: {}", out.len());
        }
    }

    #[test]
    fn silence_alone_gives_nothing() {
        assert!(sounding(&[0.001; 500]).is_empty());
        assert!(Trimmer::default().push(&vec![0.001; 5000]).is_empty());
    }
}
