//! How a voice ends: level, fall and length of what was said last.

use std::collections::VecDeque;
use std::time::Duration;

use crate::media::{FRAME, FRAME_TIME, Frame};

/// The end of a stretch of speech.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Contour {
    /// Level of the last 100 ms of speech against the mean of the stretch, dB.
    pub drop_db: f32,
    /// Slope of the level in the last 300 ms of speech, dB in 100 ms.
    pub slope_db: f32,
    /// The last speech without a gap: long where a syllable is drawn out.
    pub last_run: Duration,
    /// Speech in the stretch, gaps not counted.
    pub spoken: Duration,
}

/// Frames of speech that are remembered: 300 ms.
const RECENT: usize = 15;
/// Those that make the end: 100 ms.
const END: usize = 5;
/// Frames that a gap must have to end a run: the closure of a plosive is shorter.
const GAP: u32 = 3;

/// Follows the level of a stretch of speech.
#[derive(Clone, Debug, Default)]
pub struct Follower {
    recent: VecDeque<f32>,
    sum: f64,
    voiced: u32,
    run: u32,
    gap: u32,
}

impl Follower {
    /// Takes the next 20 ms, speech or not.
    pub fn push(&mut self, frame: &Frame, speech: bool) {
        if !speech {
            self.gap += 1;
            return;
        }
        if self.gap >= GAP {
            self.run = 0;
        }
        self.gap = 0;
        self.run += 1;
        let level = level_db(frame);
        self.sum += f64::from(level);
        self.voiced += 1;
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(level);
    }

    /// The end as it is now.
    pub fn contour(&self) -> Contour {
        if self.voiced == 0 {
            return Contour::default();
        }
        let mean = (self.sum / f64::from(self.voiced)) as f32;
        let end = self.recent.iter().rev().take(END);
        let count = end.len() as f32;
        Contour {
            drop_db: end.sum::<f32>() / count - mean,
            slope_db: self.slope() * 100.0 / FRAME_TIME.as_millis() as f32,
            last_run: FRAME_TIME * self.run,
            spoken: FRAME_TIME * self.voiced,
        }
    }

    /// Slope of the line through the recent levels, dB a frame.
    fn slope(&self) -> f32 {
        let n = self.recent.len() as f32;
        if n < 2.0 {
            return 0.0;
        }
        let middle = (n - 1.0) / 2.0;
        let spread = n * (n * n - 1.0) / 12.0;
        self.recent.iter().enumerate().map(|(i, level)| (i as f32 - middle) * level).sum::<f32>() / spread
    }
}

fn level_db(frame: &Frame) -> f32 {
    let sum: f32 = frame.0.iter().map(|&sample| (f32::from(sample) / 32_768.0).powi(2)).sum();
    (10.0 * (sum / FRAME as f32).log10()).max(-100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_voice_that_fades_falls_and_ends_below_its_mean() {
        let mut follower = Follower::default();
        for n in 0..30 {
            follower.push(&Frame([(8000.0 * 0.9_f32.powi(n)) as i16; FRAME]), true);
        }
        let Contour { drop_db, slope_db, last_run, spoken } = follower.contour();
        assert!((-13.0..-10.0).contains(&drop_db), "{drop_db}");
        // 0.9 a frame is -0.915 dB; five frames make 100 ms.
        assert!((-4.7..-4.4).contains(&slope_db), "{slope_db}");
        assert_eq!((last_run, spoken), (FRAME_TIME * 30, FRAME_TIME * 30));
    }

    #[test]
    fn a_run_goes_on_over_a_plosive_and_not_over_a_gap() {
        let mut follower = Follower::default();
        let mut hear = |speech: bool, frames: u32| {
            for _ in 0..frames {
                follower.push(&Frame([if speech { 900 } else { 0 }; FRAME]), speech);
            }
            follower.contour()
        };
        hear(true, 10);
        hear(false, 2);
        assert_eq!(hear(true, 5).last_run, FRAME_TIME * 15);
        hear(false, 3);
        let contour = hear(true, 4);
        assert_eq!((contour.last_run, contour.spoken), (FRAME_TIME * 4, FRAME_TIME * 19));
        assert!(contour.slope_db.abs() < 0.01 && contour.drop_db.abs() < 0.01, "{contour:?}");
    }
}
