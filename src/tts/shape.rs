//! The shape of a clause's audio: silence trimmed at its ends, level, pieces.

use crate::media::RATE;

/// Quieter than this is silence: −44 dB below full scale, well under the breath of an unvoiced consonant.
const SILENCE: f32 = 0.006;
/// A sound begins where the mean amplitude of [`WINDOW`] passes this (−48 dB): a synthesiser lets f, h, s and x rise out of nothing for up to
/// 80 ms, which no telephone carries and every answer would wait for.
const AUDIBLE: f32 = 0.004;
const WINDOW: usize = ms(5);
/// Kept before that window.
const ONSET: usize = ms(5);
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
    match beginning(samples) {
        Some(begin) => begin..ending(samples).max(begin),
        None => 0..0,
    }
}

/// Where the first sound begins, if there is one.
fn beginning(samples: &[f32]) -> Option<usize> {
    let audible = |window: &[f32]| window.iter().map(|x| x.abs()).sum::<f32>() > AUDIBLE * WINDOW as f32;
    let first = samples.chunks_exact(WINDOW).position(audible)?;
    Some((first * WINDOW).saturating_sub(ONSET))
}

/// Where the last sound ends; 0 if there is none.
fn ending(samples: &[f32]) -> usize {
    let last = samples.iter().rposition(|x| x.abs() > SILENCE);
    last.map_or(0, |last| (last + 1 + RELEASE).min(samples.len()))
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
        if !self.begun {
            let Some(begin) = beginning(&self.held) else {
                // Whole windows, so that the next ones lie as these did.
                let spare = self.held.len().saturating_sub(ONSET + WINDOW) / WINDOW * WINDOW;
                self.held.drain(..spare);
                return Vec::new();
            };
            self.held.drain(..begin);
            self.begun = true;
        }
        self.held.drain(..ending(&self.held)).collect()
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
        let range = sounding(&x);
        assert!((3000 - ONSET - WINDOW..=3000 - ONSET).contains(&range.start), "{range:?}");
        assert_eq!(range.end, 7000 + RELEASE);
        for piece in [100, 777, 10_000] {
            let mut trimmer = Trimmer::default();
            let out: Vec<f32> = x.chunks(piece).flat_map(|p| trimmer.push(p)).collect();
            let loud = out.iter().filter(|x| **x > 0.1).count();
            assert_eq!(loud, 2000, "pieces of {piece}");
            assert!(
                (4000..=4000 + ONSET + WINDOW + RELEASE).contains(&out.len()),
                "pieces of {piece}: {}",
                out.len()
            );
        }
    }

    #[test]
    fn a_breath_that_no_telephone_carries_is_not_waited_for() {
        // A fricative that rises over 120 ms, as the synthesiser makes it, and a vowel.
        let noise = |i: usize| if (i / 3).is_multiple_of(2) { 1.0 } else { -1.0 };
        let rising = (0..ms(120)).map(|i| noise(i) * 0.01 * i as f32 / ms(120) as f32);
        let speech: Vec<f32> = rising.chain(std::iter::repeat_n(0.3, ms(200))).collect();
        let begin = sounding(&speech).start;
        assert!((ms(40)..ms(60)).contains(&begin), "it begins at sample {begin}");
    }

    #[test]
    fn silence_alone_gives_nothing() {
        assert!(sounding(&[0.001; 500]).is_empty());
        assert!(Trimmer::default().push(&vec![0.001; 5000]).is_empty());
    }
}
