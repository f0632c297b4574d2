//! Filling what did not arrive: loss concealment in the manner of ITU-T G.711 Appendix I, and comfort noise.
//!
//! A gap is filled by repeating the last pitch period, then two, then three, with overlap-add where they meet; it
//! fades from 10 ms on and is silent at 60 ms. Unlike the Appendix, the last good samples are not held back 3.75 ms to
//! blend the start: the first samples of the gap carry the step between the history and its repetition, ramped down.

use super::RATE;

// All of these are at 8 kHz; at 16 kHz there are twice as many.
/// Three pitch periods of the lowest voice and a quarter of one for the blend.
const HISTORY: usize = 390;
/// Pitch periods looked for: 5 to 15 ms, 66 to 200 Hz.
const PITCH: std::ops::RangeInclusive<usize> = 40..=120;
/// How much of the history is compared with itself to find the pitch: 20 ms.
const TEMPLATE: usize = 160;
/// Full strength for 10 ms, then down in a straight line until silence at 60 ms.
const HOLD: usize = 80;
const FADED: usize = 480;
/// Length of the ramp into silence: 4 ms.
const RAMP: usize = 32;

/// Makes one stream of samples out of good stretches, lost stretches and silent ones, without clicks between them.
pub(super) struct Concealer {
    /// What was played last, oldest first.
    history: Box<[i16]>,
    /// The history when the gap began.
    source: Box<[f32]>,
    /// Samples a second, in 8 kHz.
    scale: usize,
    period: usize,
    /// Pitch periods in the repeated stretch: 1 to 3; zero while no gap is being filled.
    periods: usize,
    /// Where in the repeated stretch the next sample is.
    at: usize,
    /// Samples of the gap filled so far.
    filled: usize,
    /// The step at the start of the gap, ramped down over a quarter period.
    step: f32,
    /// Samples left of the blend from the previous, shorter stretch, and where that one stands.
    widening: usize,
    narrow_at: usize,
    /// Samples left, of how many, of the blend back into good audio.
    merging: usize,
    merge: usize,
    /// Samples left of the ramp into silence, and its height.
    ramp: usize,
    ramp_from: f32,
    quiet: bool,
    noise: u32,
}

impl Concealer {
    /// For `rate` samples a second: 8,000 or 16,000.
    pub(super) fn new(rate: u32) -> Self {
        let scale = (rate / RATE) as usize;
        Self {
            history: vec![0; HISTORY * scale].into(),
            source: vec![0.0; HISTORY * scale].into(),
            scale,
            period: *PITCH.start() * scale,
            periods: 0,
            at: 0,
            filled: 0,
            step: 0.0,
            widening: 0,
            narrow_at: 0,
            merging: 0,
            merge: 0,
            ramp: 0,
            ramp_from: 0.0,
            quiet: true,
            noise: 0x9e37_79b9,
        }
    }

    /// Whether a gap has lasted so long that its filling is silent.
    pub(super) fn faded(&self) -> bool {
        self.quiet || (self.periods > 0 && self.merging == 0 && self.filled >= FADED * self.scale)
    }

    /// Takes good audio; its start is blended with the filling of a gap before it.
    pub(super) fn good(&mut self, audio: &mut [i16]) {
        self.quiet = false;
        if self.periods > 0 {
            if self.merging == 0 {
                // A quarter period, and 4 ms more for each 10 ms that were lost, up to 10 ms (Appendix I, §I.2.7).
                let scale = self.scale;
                self.merge =
                    (self.period / 4 + self.filled / (HOLD * scale) * RAMP * scale).min(HOLD * scale);
                self.merging = self.merge;
            }
            for sample in audio.iter_mut() {
                if self.merging == 0 {
                    break;
                }
                let old = self.merging as f32 / (self.merge + 1) as f32;
                let filling = self.next();
                *sample = (filling * old + f32::from(*sample) * (1.0 - old)).round() as i16;
                self.merging -= 1;
            }
            if self.merging == 0 {
                self.periods = 0;
            }
        }
        self.remember(audio);
    }

    /// Fills `out` for audio that did not arrive.
    pub(super) fn lost(&mut self, out: &mut [i16]) {
        if self.quiet {
            out.fill(0);
            self.remember(out);
            return;
        }
        if self.periods == 0 || self.merging > 0 {
            self.begin();
        }
        for sample in out.iter_mut() {
            *sample = self.next().round() as i16;
        }
        self.remember(out);
    }

    /// The next good audio does not follow what was played: blend into it. Fills nothing.
    pub(super) fn cut(&mut self) {
        if !self.quiet {
            self.begin();
        }
    }

    /// Fills `out` where nothing was sent: noise of `level` (decibels below overload), or silence.
    pub(super) fn pause(&mut self, out: &mut [i16], level: Option<u8>) {
        if !self.quiet {
            self.quiet = true;
            self.periods = 0;
            self.merging = 0;
            self.ramp = RAMP * self.scale;
            self.ramp_from = self.history.last().copied().map_or(0.0, f32::from);
        }
        // Uniform noise between -a and a has an effective value of a over the root of three.
        let amplitude = level.map_or(0.0, |level| 32_767.0 * 1.732 * 10f32.powf(-f32::from(level) / 20.0));
        for sample in out.iter_mut() {
            // xorshift: no listener can tell it from better noise.
            self.noise ^= self.noise << 13;
            self.noise ^= self.noise >> 17;
            self.noise ^= self.noise << 5;
            let noise = amplitude * (self.noise as f32 / u32::MAX as f32 * 2.0 - 1.0);
            let ramp = self.ramp_from * self.ramp as f32 / (RAMP * self.scale + 1) as f32;
            self.ramp = self.ramp.saturating_sub(1);
            *sample = (noise + ramp).clamp(-32_768.0, 32_767.0) as i16;
        }
        self.remember(out);
    }

    fn begin(&mut self) {
        for (to, from) in self.source.iter_mut().zip(self.history.iter()) {
            *to = f32::from(*from);
        }
        self.period = pitch(&self.source, self.scale);
        let last = self.source.len() - 1;
        self.step = self.source[last] - self.source[last - self.period];
        self.periods = 1;
        self.at = 0;
        self.filled = 0;
        self.widening = 0;
        self.merging = 0;
    }

    /// The next sample of the filling.
    fn next(&mut self) -> f32 {
        let quarter = self.period / 4;
        if self.periods < 3 && self.filled == HOLD * self.scale * self.periods {
            self.narrow_at = self.at;
            self.periods += 1;
            self.widening = quarter;
        }
        let mut value = self.repeated(self.periods, self.at);
        if self.widening > 0 {
            let old = self.widening as f32 / (quarter + 1) as f32;
            value = value * (1.0 - old) + self.repeated(self.periods - 1, self.narrow_at) * old;
            self.narrow_at = (self.narrow_at + 1) % ((self.periods - 1) * self.period);
            self.widening -= 1;
        }
        if self.filled < quarter {
            value += self.step * (1.0 - self.filled as f32 / quarter as f32);
        }
        let (hold, faded) = (HOLD * self.scale, FADED * self.scale);
        let gain = 1.0 - self.filled.saturating_sub(hold) as f32 / (faded - hold) as f32;
        self.at = (self.at + 1) % (self.periods * self.period);
        self.filled += 1;
        (value * gain.max(0.0)).clamp(-32_768.0, 32_767.0)
    }

    /// Sample `at` of the last `periods` periods of the history; its last quarter period leads over into its first.
    fn repeated(&self, periods: usize, at: usize) -> f32 {
        let length = periods * self.period;
        let quarter = self.period / 4;
        let end = self.source.len();
        let here = self.source[end - length + at];
        let left = length - at;
        if left > quarter {
            return here;
        }
        let lead = self.source[end - length - left];
        let new = (quarter - left + 1) as f32 / (quarter + 1) as f32;
        here * (1.0 - new) + lead * new
    }

    fn remember(&mut self, played: &[i16]) {
        let length = self.history.len();
        let keep = length.saturating_sub(played.len());
        self.history.copy_within(length - keep.., 0);
        self.history[keep..].copy_from_slice(&played[played.len().saturating_sub(length)..]);
    }
}

/// The lag at which the end of `audio` is most like itself, by normalised cross-correlation.
fn pitch(audio: &[f32], scale: usize) -> usize {
    let (end, template_length) = (audio.len(), TEMPLATE * scale);
    let template = &audio[end - template_length..];
    let mut best = (*PITCH.end() * scale, 0.0f32);
    for lag in *PITCH.start() * scale..=*PITCH.end() * scale {
        let earlier = &audio[end - template_length - lag..end - lag];
        let (mut product, mut energy) = (0.0f32, 1.0f32);
        for (a, b) in template.iter().zip(earlier) {
            product += a * b;
            energy += b * b;
        }
        let likeness = product / energy.sqrt();
        if likeness > best.1 {
            best = (lag, likeness);
        }
    }
    best.0
}
