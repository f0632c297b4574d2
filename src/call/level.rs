//! How loud somebody speaks, over the noise of the line.
//!
//! Levels are in dB relative to full scale, energies a sample relative to full scale squared.

use crate::media::{FRAME, Frame};

/// Share that a frame has in the average of the noise: about a second.
const NOISE_SHARE: f32 = 0.03;
/// Share that a frame has in the average of what was just said: about a tenth of a second.
const RECENT_SHARE: f32 = 0.25;
/// Speech that the noise hides is at least this share of what is heard: −10 dB.
const MOSTLY_NOISE: f32 = 0.1;
/// Below any energy of a frame that is not digital silence.
const SILENCE: f32 = 1e-12;

/// The noise of the line.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Noise(f32);

impl Noise {
    /// Takes a frame in which nobody speaks.
    pub(super) fn push(&mut self, frame: &Frame) {
        self.0 += NOISE_SHARE * (energy(frame) - self.0);
    }

    /// The level of somebody who begins to speak.
    pub(super) fn speech(self) -> Level {
        Level { steps: [0; STEPS], recently: 0.0, noise: self.0 }
    }
}

/// The level of one voice.
#[derive(Clone, Copy, Debug)]
pub(super) struct Level {
    /// How many frames lay in each step below full scale.
    steps: [u16; STEPS],
    recently: f32,
    noise: f32,
}

const STEPS: usize = 48;
/// Width of a step.
const DB: f32 = 2.0;

impl Level {
    /// Takes a frame of speech.
    pub(super) fn push(&mut self, frame: &Frame) {
        let energy = energy(frame);
        self.recently += RECENT_SHARE * (energy - self.recently);
        let below = -10.0 * energy.max(SILENCE).log10();
        let count = &mut self.steps[((below / DB).max(0.0) as usize).min(STEPS - 1)];
        *count = count.saturating_add(1);
    }

    /// What a fifth of the frames reach, the noise taken off.
    pub(super) fn loud(&self) -> f32 {
        let all: u32 = self.steps.iter().map(|&n| u32::from(n)).sum();
        let mut louder = 0;
        let step = self.steps.iter().position(|&n| {
            louder += u32::from(n);
            louder > 0 && louder * 5 >= all
        });
        let heard = 10_f32.powf(-DB * (step.unwrap_or(STEPS) as f32 + 0.5) / 10.0);
        10.0 * (heard - self.noise).max(heard * MOSTLY_NOISE).log10()
    }

    /// What the last tenth of a second had.
    pub(super) fn recent(&self) -> f32 {
        10.0 * self.recently.max(SILENCE).log10()
    }
}

fn energy(frame: &Frame) -> f32 {
    let sum: f32 = frame.0.iter().map(|&s| f32::from(s) * f32::from(s)).sum();
    sum / FRAME as f32 / 32_768.0_f32.powi(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A square wave so many dB below full scale.
    fn frame(db: f32) -> Frame {
        let amplitude = (32_767.0 * 10_f32.powf(db / 20.0)) as i16;
        let mut frame = Frame::SILENCE;
        frame
            .0
            .iter_mut()
            .enumerate()
            .for_each(|(i, s)| *s = if i % 2 == 0 { amplitude } else { -amplitude });
        frame
    }

    fn said(noise: Noise, levels: &[f32]) -> Level {
        let mut level = noise.speech();
        for db in levels {
            level.push(&frame(*db));
        }
        level
    }

    #[test]
    fn the_level_of_a_voice_is_that_of_its_louder_frames() {
        let level = said(Noise::default(), &[-50.0, -20.0, -45.0, -60.0, -50.0]);
        assert!((level.loud() + 20.0).abs() <= DB, "{}", level.loud());
    }

    #[test]
    fn noise_as_loud_as_the_voice_is_taken_off_but_never_all_of_it() {
        let mut noise = Noise::default();
        (0..200).for_each(|_| noise.push(&frame(-30.0)));
        let hidden = said(noise, &[-30.0; 10]).loud();
        assert!((-42.0..=-33.0).contains(&hidden), "{hidden}");
        let loud = said(noise, &[-15.0; 10]).loud();
        assert!((loud + 15.0).abs() <= DB, "{loud}");
    }

    #[test]
    fn what_was_just_said_is_told_from_what_was_said_before() {
        let level = said(Noise::default(), &[[-50.0; 20], [-18.0; 20]].concat());
        assert!((level.recent() + 18.0).abs() <= 1.0, "{}", level.recent());
    }

    #[test]
    fn nothing_said_has_a_level_below_all_speech() {
        assert!(Noise::default().speech().loud() < -90.0 && Noise::default().speech().recent() < -90.0);
    }
}
