//! Does a sound repeat itself, as a voice with a pitch does, or is it a breath, a cough, a knock?
//!
//! The normalised autocorrelation of the last 50 ms at the pitches of people; as Boersma, "Accurate short-term analysis of the
//! fundamental frequency and the harmonics-to-noise ratio of a sampled sound" (1993), without interpolation.

use super::{FRAME, Frame};

/// Samples at 8 kHz that are looked at: 50 ms, three periods of a low voice.
const WINDOW: usize = 400;
/// Periods at 8 kHz, from 400 Hz to 60 Hz.
const PERIODS: std::ops::Range<usize> = 20..134;
/// Samples are scaled to less than this, so that their products add up in 32 bits.
const LARGEST: i32 = 2_047;

/// At and above this a frame repeats itself. Vowels have 0.7 to 1, coughs and breath at most 0.4.
pub const PERIODIC: f32 = 0.7;

/// The last 50 ms of one direction. No allocation.
#[derive(Clone, Debug)]
pub struct Periodicity {
    recent: [i16; WINDOW],
}

impl Default for Periodicity {
    fn default() -> Self {
        Self { recent: [0; WINDOW] }
    }
}

impl Periodicity {
    /// Takes the next 20 ms of 16 kHz.
    pub fn push(&mut self, frame: &Frame) {
        self.recent.copy_within(FRAME / 2.., 0);
        let new = &mut self.recent[WINDOW - FRAME / 2..];
        for (sample, pair) in new.iter_mut().zip(frame.0.chunks_exact(2)) {
            *sample = i16::midpoint(pair[0], pair[1]);
        }
    }

    /// How alike the last 50 ms are to themselves one period before: 0 is noise or silence, 1 repeats itself exactly.
    pub fn now(&self) -> f32 {
        let mean = self.recent.iter().map(|&s| i32::from(s)).sum::<i32>() / WINDOW as i32;
        let peak = self.recent.iter().map(|&s| (i32::from(s) - mean).abs()).max().unwrap_or(0).max(1);
        let mut x = [0_i16; WINDOW];
        for (scaled, &sample) in x.iter_mut().zip(&self.recent) {
            *scaled = ((i32::from(sample) - mean) * LARGEST / peak) as i16;
        }
        let square = |part: &[i16]| part.iter().map(|&s| i32::from(s) * i32::from(s)).sum::<i32>() as f32;
        let (mut head, mut tail) = (square(&x[..WINDOW - PERIODS.start]), square(&x[PERIODS.start..]));
        let (mut best, mut before) = (0.0_f32, f32::INFINITY);
        let mut rising = false;
        for period in PERIODS {
            let likeness = product(&x, period) / (head * tail).sqrt().max(1.0);
            // What is highest at the shortest period is only smooth.
            if likeness < before && rising {
                best = best.max(before);
            }
            rising = likeness > before;
            before = likeness;
            let (first, last) = (f32::from(x[period]), f32::from(x[WINDOW - 1 - period]));
            tail -= first * first;
            head -= last * last;
        }
        best.min(1.0)
    }
}

fn product(x: &[i16; WINDOW], period: usize) -> f32 {
    x.iter().zip(&x[period..]).map(|(&a, &b)| i32::from(a) * i32::from(b)).sum::<i32>() as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::RATE;

    fn after(frames: usize, mut sample: impl FnMut(usize) -> f32) -> f32 {
        let mut periodicity = Periodicity::default();
        for n in 0..frames {
            periodicity.push(&Frame(std::array::from_fn(|i| sample(n * FRAME + i) as i16)));
        }
        periodicity.now()
    }

    #[test]
    fn a_voice_repeats_itself_at_any_pitch_and_level() {
        for (hz, level) in [(70.0, 8_000.0), (120.0, 300.0), (240.0, 20_000.0), (380.0, 1_000.0)] {
            let found = after(5, |i| {
                let t = i as f32 / RATE as f32 * hz * std::f32::consts::TAU;
                level * (t.sin() + 0.6 * (2.0 * t).sin() + 0.3 * (3.0 * t).cos()) / 2.0
            });
            assert!(found > 0.9, "{hz} Hz at {level}: {found}");
        }
    }

    #[test]
    fn noise_and_silence_do_not() {
        let mut seed = 1_u32;
        let noise = after(5, |_| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 16) as f32 - 32_768.0
        });
        assert!(noise < 0.4, "noise: {noise}");
        assert!(after(5, |_| 0.0) < 0.01, "silence");
        assert!(after(5, |i| i as f32).abs() < PERIODIC, "a slope is smooth, not periodic");
    }
}
