//! Echo: what was played to a line comes back from it, softer and later.
//!
//! [`Echo`] looks for the spectrogram of what was played in what is heard: energies of 14 bands between 300 and 3,400 Hz, every
//! 10 ms, as logarithms above the noise of the line, each band without its mean. The delay at which the two are most alike is
//! that of the echo if they are alike enough; from then on every frame that is no louder than its echo would be is known for
//! what it is. Phases do not count, so neither a room nor a codec nor a jittering packet hides an echo; nothing has to
//! converge, and a line without an echo is never touched. It takes nothing out: a caller who is louder than the echo is heard
//! together with it (benches/RESULTS.md says what cancellers did instead).

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use realfft::num_complex::Complex32;
use realfft::{RealFftPlanner, RealToComplex};

use super::{FRAME, FRAME_TIME, Frame, RATE};

/// Lower edges of the bands in Hz, and the upper edge of the last: about as the ear divides them.
const EDGES: [u16; BANDS + 1] =
    [300, 400, 500, 630, 770, 920, 1080, 1270, 1480, 1720, 2000, 2320, 2700, 3150, 3400];
const BANDS: usize = 14;
/// Samples between two spectra, each of which covers [`FRAME`] samples.
const HOP: usize = FRAME / 2;
const HOP_MS: u64 = 10;
/// Spectra that are compared: 400 ms.
const WINDOW: usize = 40;
/// Greatest delay that is looked for, in hops: packetisation, two jitter buffers and the far end's own path.
const LAGS: usize = 90;
/// Likeness at and above which it is an echo. Echoes of the fitting set have 0.78 to 0.95, everything else at most 0.69.
const ALIKE: f32 = 0.78;
/// Evaluations in a row that must agree on the delay.
const AGREEING: u32 = 3;
/// Spectra of the window in which there must be something to hear: one step up is like any other.
const LOUD: usize = 10;
/// A path that gives back so much less than it did is gone: 8 dB.
const GONE: f32 = 0.16;
/// Echo is looked for at this loss, 20 dB; a line that gives back less than the noise of the line is none.
const TYPICAL_LOSS: f32 = 0.01;
/// It is looked for every so many frames, and once it is known again every so many.
const SEARCH: u32 = 2;
const REVIEW: u32 = 10;
/// A frame of no more than so many times the energy of the echo that is to be expected is the echo: 5 dB.
const MARGIN: f32 = 3.2;
/// What is left of a sound in a room 10 ms later.
const DECAY: f32 = 0.75;
/// Energy of a band that counts as silence.
const FLOOR: f32 = 3e4;

type Bands = [f32; BANDS];

/// The path of an echo.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Path {
    /// From the newest frame that was handed out to what is heard now, to 10 ms.
    pub delay: Duration,
    /// Level of what was played over that of the echo.
    pub loss_db: f32,
    hops: usize,
    /// Energy of the echo over that of what was played.
    gain: f32,
}

/// Looks for the echo of one call. About 20 KiB; no allocation per frame.
pub struct Echo {
    played: Analysis,
    heard: Analysis,
    /// Noise of the line in each band.
    noise: Bands,
    path: Option<Path>,
    candidate: Option<(usize, u32)>,
    since_review: u32,
    /// Expected energy, with what the room still holds.
    expected: f32,
}

impl Default for Echo {
    fn default() -> Self {
        let spectrum = Spectrum::new();
        Self {
            played: Analysis::new(spectrum.clone(), WINDOW + LAGS + 4),
            heard: Analysis::new(spectrum, WINDOW),
            noise: [f32::MAX; BANDS],
            path: None,
            candidate: None,
            since_review: 0,
            expected: 0.0,
        }
    }
}

impl Echo {
    /// Takes the frame that leaves now. One for each [`Echo::hear`], after it.
    pub fn play(&mut self, frame: &Frame) {
        self.played.push(frame);
    }

    /// Takes the next frame from the line: true if there is nothing in it but the echo of what was played.
    pub fn hear(&mut self, frame: &Frame) -> bool {
        self.heard.push(frame);
        self.follow_noise();
        self.look_for_path();
        self.explains()
    }

    /// The path, once an echo was heard.
    pub fn path(&self) -> Option<Path> {
        self.path
    }

    /// The lowest energy of each band rises slowly and falls at once.
    fn follow_noise(&mut self) {
        for hop in self.heard.newest(2) {
            for (noise, &energy) in self.noise.iter_mut().zip(hop) {
                *noise = (*noise * 1.01).min(energy.max(FLOOR)).max(FLOOR);
            }
        }
    }

    fn look_for_path(&mut self) {
        self.since_review += 1;
        if self.since_review < if self.path.is_some() { REVIEW } else { SEARCH } {
            return;
        }
        self.since_review = 0;
        if self.path.is_some_and(|path| self.gives_less(&path)) {
            self.path = None;
            self.candidate = None;
            return;
        }
        let Some((hops, likeness)) = self.best_lag() else { return };
        if likeness < ALIKE {
            self.candidate = None;
            return;
        }
        let count = match self.candidate {
            Some((at, count)) if at.abs_diff(hops) <= 1 => count + 1,
            _ => 1,
        };
        self.candidate = Some((hops, count));
        if count >= AGREEING
            && let Some(gain) = self.gain_at(hops)
        {
            let delay = Duration::from_millis(HOP_MS * hops as u64);
            self.path = Some(Path { delay, loss_db: -10.0 * gain.log10(), hops, gain });
        }
    }

    /// The delay at which what was played is most like what is heard, and how much, if there is anything to compare.
    fn best_lag(&self) -> Option<(usize, f32)> {
        /// Variance of the logarithms, summed over bands and spectra, below which nothing happened.
        const EVENTFUL: f32 = 0.25 * (WINDOW * BANDS) as f32;
        let floors = self.noise.map(|noise| noise * 2.0);
        let threshold: f32 = floors.iter().sum();
        if self.heard.window(0)?.filter(|e| e.iter().sum::<f32>() > threshold).count() < LOUD {
            return None;
        }
        let audible = |e: &Bands| e.iter().sum::<f32>() * TYPICAL_LOSS > threshold * 0.1;
        if !self.played.all(WINDOW + LAGS)?.any(audible) {
            return None;
        }
        let heard = centred(self.heard.window(0), |energy, band| (energy + floors[band]).ln())?;
        let heard_variance: f32 = heard.iter().flatten().map(|x| x * x).sum();
        if heard_variance < EVENTFUL {
            return None;
        }
        // One logarithm for each spectrum, not one for each delay.
        let mut logs = [[0.0; BANDS]; WINDOW + LAGS];
        for (log, energies) in logs.iter_mut().zip(self.played.all(WINDOW + LAGS)?) {
            for (band, (log, energy)) in log.iter_mut().zip(energies).enumerate() {
                *log = (energy * TYPICAL_LOSS + floors[band]).ln();
            }
        }
        let likeness = |lag: usize| {
            let window = &logs[LAGS - lag..][..WINDOW];
            let mut mean = [0.0; BANDS];
            for log in window {
                mean.iter_mut().zip(log).for_each(|(mean, x)| *mean += x / WINDOW as f32);
            }
            let (mut product, mut variance) = (0.0, 0.0);
            for (log, heard) in window.iter().zip(&heard) {
                for ((x, mean), h) in log.iter().zip(&mean).zip(heard) {
                    product += (x - mean) * h;
                    variance += (x - mean) * (x - mean);
                }
            }
            (lag, product / (variance.max(EVENTFUL) * heard_variance).sqrt())
        };
        let better = |a: &(usize, f32), b: &(usize, f32)| a.1.total_cmp(&b.1);
        let (near, _) = (0..LAGS).step_by(2).map(likeness).max_by(better)?;
        (near.saturating_sub(1)..=near + 1).filter(|lag| *lag < LAGS).map(likeness).max_by(better)
    }

    /// Energy of what is heard, without the noise, over that of what was played.
    fn gain_at(&self, hops: usize) -> Option<f32> {
        let played: f32 = self.played.window(hops)?.flatten().sum();
        let noise: f32 = self.noise.iter().sum();
        let heard: f32 = self.heard.window(0)?.map(|e| (e.iter().sum::<f32>() - noise).max(0.0)).sum();
        let gain = heard / played;
        (gain.is_finite() && gain > 0.0).then_some(gain.min(1.0))
    }

    /// What should come back loud comes back soft or not at all.
    fn gives_less(&self, path: &Path) -> bool {
        let Some(played) = self.played.window(path.hops) else { return false };
        let expected = played.flatten().sum::<f32>() * path.gain;
        let noise = self.noise.iter().sum::<f32>() * WINDOW as f32;
        expected > noise * 10.0 && self.gain_at(path.hops).is_none_or(|gain| gain < path.gain * GONE)
    }

    /// True if the newest frame is no louder than the echo that is to be expected.
    fn explains(&mut self) -> bool {
        let Some(Path { hops, gain, .. }) = self.path else { return false };
        let noise: f32 = self.noise.iter().sum::<f32>() * 2.0;
        let mut explained = true;
        let mut audible = false;
        for age in [1, 0] {
            let heard: f32 = self.heard.hop(age).map_or(0.0, |e| e.iter().sum());
            // A frame is not always handed out just when the one before it was: a hop of jitter on each side.
            let around = (hops + age).saturating_sub(2)..=hops + age + 2;
            let expected = around.filter_map(|lag| self.played.hop(lag)).map(|e| e.iter().sum::<f32>());
            let expected = expected.fold(0.0, f32::max) * gain;
            self.expected = expected.max(self.expected * DECAY);
            explained &= heard <= self.expected * MARGIN + noise;
            audible |= self.expected > noise;
        }
        explained && audible
    }
}

/// Differences from the mean of each band.
fn centred<'a>(
    window: Option<impl Iterator<Item = &'a Bands>>,
    log: impl Fn(f32, usize) -> f32,
) -> Option<[Bands; WINDOW]> {
    let mut all = [[0.0; BANDS]; WINDOW];
    let mut mean = [0.0; BANDS];
    for (out, energies) in all.iter_mut().zip(window?) {
        for (band, energy) in energies.iter().enumerate() {
            out[band] = log(*energy, band);
            mean[band] += out[band] / WINDOW as f32;
        }
    }
    for out in &mut all {
        out.iter_mut().zip(&mean).for_each(|(x, mean)| *x -= mean);
    }
    Some(all)
}

/// Spectra of one direction, the newest last.
struct Analysis {
    spectrum: Spectrum,
    before: [i16; HOP],
    hops: VecDeque<Bands>,
}

impl Analysis {
    fn new(spectrum: Spectrum, length: usize) -> Self {
        Self { spectrum, before: [0; HOP], hops: VecDeque::from(vec![[0.0; BANDS]; length]) }
    }

    fn push(&mut self, frame: &Frame) {
        let mut samples = [0; HOP + FRAME];
        samples[..HOP].copy_from_slice(&self.before);
        samples[HOP..].copy_from_slice(&frame.0);
        self.before.copy_from_slice(&frame.0[FRAME - HOP..]);
        for at in [0, HOP] {
            self.hops.rotate_left(1);
            if let Some(newest) = self.hops.back_mut() {
                *newest = self.spectrum.bands(&samples[at..at + FRAME]);
            }
        }
    }

    /// The spectrum of `age` hops ago.
    fn hop(&self, age: usize) -> Option<&Bands> {
        self.hops.len().checked_sub(age + 1).and_then(|at| self.hops.get(at))
    }

    fn newest(&self, count: usize) -> impl Iterator<Item = &Bands> {
        self.hops.range(self.hops.len() - count..)
    }

    fn all(&self, count: usize) -> Option<impl Iterator<Item = &Bands>> {
        Some(self.hops.range(self.hops.len().checked_sub(count)?..))
    }

    /// The spectra that end `lag` hops ago.
    fn window(&self, lag: usize) -> Option<impl Iterator<Item = &Bands>> {
        let end = self.hops.len().checked_sub(lag)?;
        Some(self.hops.range(end.checked_sub(WINDOW)?..end))
    }
}

/// Energies of bands of 20 ms.
#[derive(Clone)]
struct Spectrum {
    fft: Arc<dyn RealToComplex<f32>>,
    window: [f32; FRAME],
    /// First bin of each band, and the bin after the last.
    bins: [usize; BANDS + 1],
    input: Vec<f32>,
    output: Vec<Complex32>,
    scratch: Vec<Complex32>,
}

impl Spectrum {
    fn new() -> Self {
        let fft = RealFftPlanner::new().plan_fft_forward(FRAME);
        let turn = |i: usize| (i as f32 + 0.5) / FRAME as f32 * std::f32::consts::TAU;
        Self {
            window: std::array::from_fn(|i| 0.5 - 0.5 * turn(i).cos()),
            bins: EDGES.map(|hz| usize::from(hz) * FRAME / RATE as usize),
            input: fft.make_input_vec(),
            output: fft.make_output_vec(),
            scratch: fft.make_scratch_vec(),
            fft,
        }
    }

    fn bands(&mut self, samples: &[i16]) -> Bands {
        for ((x, &sample), weight) in self.input.iter_mut().zip(samples).zip(&self.window) {
            *x = f32::from(sample) * weight;
        }
        // The lengths fit by construction.
        let _ = self.fft.process_with_scratch(&mut self.input, &mut self.output, &mut self.scratch);
        std::array::from_fn(|band| {
            let bins = self.bins[band]..self.bins[band + 1].max(self.bins[band] + 1);
            self.output[bins].iter().map(Complex32::norm_sqr).sum()
        })
    }
}

/// Time that [`Echo`] looks back at most.
pub const LONGEST_DELAY: Duration = FRAME_TIME.saturating_mul(LAGS as u32 / 2);

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    /// 16 kHz speech out of a recorded 8 kHz telephone utterance, every sample twice, from `skip` frames on, again and again.
    fn speech(skip: usize) -> impl Iterator<Item = Frame> {
        let wav = include_bytes!("../asr/testdata/range.wav").as_slice();
        let reader =
            hound::WavReader::new(wav).expect("the recording of the recogniser's tests is a WAV file");
        let samples: Vec<i16> = reader.into_samples::<i16>().flat_map(|s| [s.unwrap_or(0); 2]).collect();
        let frames: Vec<Frame> =
            samples.chunks_exact(FRAME).map(|c| Frame(std::array::from_fn(|i| c[i]))).collect();
        frames.into_iter().cycle().skip(skip)
    }

    /// The same backwards: it has the sound of speech and is like no part of it.
    fn backwards() -> impl Iterator<Item = Frame> {
        let mut frames: Vec<Frame> = speech(0).take(400).collect();
        frames.reverse();
        frames.into_iter().map(|mut frame| {
            frame.0.reverse();
            frame
        })
    }

    fn louder(frame: &Frame, db: f32) -> Frame {
        let gain = 10_f32.powf(db / 20.0);
        Frame(frame.0.map(|s| (f32::from(s) * gain) as i16))
    }

    fn sum(a: &Frame, b: &Frame) -> Frame {
        Frame(std::array::from_fn(|i| a.0[i].saturating_add(b.0[i])))
    }

    /// Plays speech for so many frames over a line that gives it back; which frames were taken for nothing but echo.
    fn on_a_line(echo: &mut Echo, frames: usize, delay: usize, caller: impl Fn(usize) -> Frame) -> Vec<bool> {
        let mut flying: VecDeque<Frame> = vec![Frame::SILENCE; delay].into();
        speech(0)
            .take(frames)
            .enumerate()
            .map(|(at, bot)| {
                let back = flying.pop_front().unwrap_or_default();
                let known = echo.hear(&sum(&louder(&back, -20.0), &caller(at)));
                echo.play(&bot);
                flying.push_back(bot);
                known
            })
            .collect()
    }

    #[test]
    fn an_echo_is_known_by_its_delay_and_its_loss() {
        let mut echo = Echo::default();
        let known = on_a_line(&mut echo, 150, 7, |_| Frame::SILENCE);
        let path = echo.path().expect("the echo was not found");
        // Seven frames later, before the seventh is handed out.
        assert!((110..=130).contains(&path.delay.as_millis()), "{path:?}, but it was 120 ms");
        assert!((16.0..24.0).contains(&path.loss_db), "{path:?}, but it was 20 dB");
        let speaking: Vec<bool> = speech(0).take(143).map(|f| f.0.iter().any(|s| s.abs() > 800)).collect();
        let after = |known: &[bool]| known[107..].iter().zip(&speaking[100..]).filter(|(_, s)| **s).count();
        let taken = known[107..].iter().zip(&speaking[100..]).filter(|(k, s)| **k && **s).count();
        assert!(
            taken * 10 >= after(&known) * 9,
            "{taken} of {} loud frames of echo were known",
            after(&known)
        );
    }

    #[test]
    fn a_caller_on_a_line_without_an_echo_is_never_taken_for_one() {
        let mut echo = Echo::default();
        let callers: Vec<Frame> = backwards().take(150).collect();
        let mut bot = speech(0);
        for caller in &callers {
            assert!(!echo.hear(caller), "the caller was taken for an echo: {:?}", echo.path());
            echo.play(&bot.next().unwrap_or_default());
        }
    }

    #[test]
    fn a_caller_over_an_echo_is_heard() {
        let mut echo = Echo::default();
        on_a_line(&mut echo, 150, 7, |_| Frame::SILENCE);
        assert!(echo.path().is_some());
        let callers: Vec<Frame> = backwards().take(100).map(|f| louder(&f, -6.0)).collect();
        let known = on_a_line(&mut echo, 100, 7, |at| callers[at]);
        let loud = |at: &usize| callers[*at].0.iter().any(|s| s.abs() > 1_500);
        let (all, lost) = (20..100).filter(loud).fold((0, 0), |(n, l), at| (n + 1, l + u32::from(known[at])));
        assert!(all > 10 && lost * 5 <= all, "{lost} of {all} loud frames of the caller were lost");
    }

    #[test]
    fn nothing_is_echo_when_nothing_was_played() {
        let mut echo = Echo::default();
        on_a_line(&mut echo, 150, 7, |_| Frame::SILENCE);
        for _ in 0..60 {
            echo.hear(&Frame::SILENCE);
            echo.play(&Frame::SILENCE);
        }
        assert!(speech(30).take(60).all(|frame| {
            echo.play(&Frame::SILENCE);
            !echo.hear(&frame)
        }));
    }
}
