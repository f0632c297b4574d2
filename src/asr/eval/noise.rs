//! Sounds of a telephone line on which nobody speaks, from a seed: what a recogniser must not find words in.

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::media::RATE;

/// A kind of sound without words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sound {
    /// Digital silence, with a click now and then.
    Silence,
    /// White noise of the telephone band.
    White,
    /// Noise that falls toward high frequencies: wind, traffic.
    Brown,
    /// Mains hum and its harmonics.
    Hum,
    /// Chords of plucked tones with a beat: hold music.
    Music,
    /// 450 Hz, one second on and four off: the ring-back of China.
    RingBack,
    /// 450 Hz, 350 ms on and off: busy.
    Busy,
    /// DTMF keys.
    Keys,
    /// Noise that swells and ebbs: a street, a fan.
    Swell,
}

impl Sound {
    /// All kinds.
    pub const ALL: [Self; 9] = [
        Self::Silence,
        Self::White,
        Self::Brown,
        Self::Hum,
        Self::Music,
        Self::RingBack,
        Self::Busy,
        Self::Keys,
        Self::Swell,
    ];

    /// `seconds` of it at 8 kHz, at a level between −50 and −15 dBFS that follows from `seed` (as the rest of it does).
    pub fn make(self, seconds: u32, seed: u64) -> Vec<i16> {
        let mut rng = SmallRng::seed_from_u64(seed.wrapping_mul(31).wrapping_add(self as u64));
        let level = 10.0_f32.powf(rng.random_range(-50.0..-15.0) / 20.0);
        let mut voice = Voice::new(self, &mut rng);
        let raw: Vec<f32> = (0..seconds * LINE_RATE).map(|n| voice.sample(n, &mut rng)).collect();
        let power = (raw.iter().map(|x| x * x).sum::<f32>() / raw.len().max(1) as f32).sqrt().max(1e-6);
        let gain = if self == Self::Silence { 1.0 } else { level / power };
        raw.iter().map(|x| (x * gain * 32_767.0) as i16).collect()
    }
}

const LINE_RATE: u32 = RATE / 2;

/// The state of one sound.
struct Voice {
    sound: Sound,
    low: f32,
    before: f32,
    swell: f32,
    hum: f32,
    notes: [f32; 3],
    keys: (f32, f32),
}

impl Voice {
    fn new(sound: Sound, rng: &mut SmallRng) -> Self {
        let swell = rng.random_range(0.2..2.0);
        let hum = if rng.random_bool(0.5) { 50.0 } else { 60.0 };
        Self { sound, low: 0.0, before: 0.0, swell, hum, notes: [262.0, 330.0, 392.0], keys: (697.0, 1209.0) }
    }

    /// Sample `n` at 8 kHz, somewhere in −1..=1.
    fn sample(&mut self, n: u32, rng: &mut SmallRng) -> f32 {
        let t = n as f32 / LINE_RATE as f32;
        let tone = |hertz: f32| (std::f32::consts::TAU * (hertz * t).fract()).sin();
        let on = |on: f32, period: f32| t % period < on;
        match self.sound {
            Sound::Silence => {
                if rng.random_ratio(1, 2 * LINE_RATE) {
                    rng.random_range(-0.05..0.05)
                } else {
                    0.0
                }
            }
            Sound::White => self.band(rng),
            Sound::Brown => self.brown(rng),
            Sound::Hum => {
                (1..=8).map(|k| tone(self.hum * k as f32) / k as f32).sum::<f32>() * 0.4
                    + 0.02 * self.band(rng)
            }
            Sound::Music => {
                if n.is_multiple_of(LINE_RATE / 2) {
                    const SCALE: [f32; 8] = [196.0, 220.0, 262.0, 294.0, 330.0, 392.0, 440.0, 523.0];
                    self.notes = std::array::from_fn(|_| SCALE[rng.random_range(0..SCALE.len())]);
                }
                let age = t % 0.5;
                let beat = if on(0.03, 0.25) { 0.2 * self.band(rng) } else { 0.0 };
                let chord: f32 = self.notes.iter().map(|hertz| tone(*hertz) + 0.3 * tone(hertz * 2.0)).sum();
                chord * (-4.0 * age).exp() / 3.0 + beat
            }
            Sound::RingBack if on(1.0, 5.0) => tone(450.0),
            Sound::Busy if on(0.35, 0.7) => tone(450.0),
            Sound::RingBack | Sound::Busy => 0.002 * self.band(rng),
            Sound::Keys => {
                if n.is_multiple_of(LINE_RATE / 4) {
                    let row = [697.0, 770.0, 852.0, 941.0];
                    let column = [1209.0, 1336.0, 1477.0];
                    self.keys = (row[rng.random_range(0..4)], column[rng.random_range(0..3)]);
                }
                let quiet = 0.002 * self.band(rng);
                if on(0.1, 0.25) { 0.5 * (tone(self.keys.0) + tone(self.keys.1)) } else { quiet }
            }
            Sound::Swell => {
                let slow = (std::f32::consts::TAU * self.swell * t / 4.0).sin();
                self.brown(rng) * 10.0_f32.powf(slow * 0.75)
            }
        }
    }

    /// White noise without what is below 300 Hz or so.
    fn band(&mut self, rng: &mut SmallRng) -> f32 {
        let x: f32 = rng.random_range(-1.0..1.0);
        let out = x - self.before + 0.8 * self.low;
        (self.before, self.low) = (x, out.clamp(-4.0, 4.0));
        out * 0.5
    }

    fn brown(&mut self, rng: &mut SmallRng) -> f32 {
        self.low = 0.98 * self.low + 0.1 * rng.random_range(-1.0..1.0_f32);
        self.low
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_sound_and_another_one_another() {
        for sound in Sound::ALL {
            let once = sound.make(2, 7);
            assert_eq!(once.len(), 16_000);
            assert_eq!(once, sound.make(2, 7), "{sound:?} of one seed");
            assert_ne!(once, sound.make(2, 8), "{sound:?} of two seeds");
        }
    }

    #[test]
    fn all_but_silence_can_be_heard() {
        for sound in Sound::ALL.into_iter().filter(|s| *s != Sound::Silence) {
            let loud = sound.make(3, 1).iter().any(|s| s.unsigned_abs() > 60);
            assert!(loud, "{sound:?} is inaudible");
        }
    }
}
