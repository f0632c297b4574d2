//! Hold music of our own: a slow loop of soft chords, computed at start.
//!
//! A folder of voices may hold `hold.wav` (16 kHz or another rate, mono or stereo, 16 bit); it takes the place of ours.

use std::f32::consts::TAU;
use std::path::Path;

use super::rate::RateChange;
use super::shape::to_i16;
use crate::media::RATE;

/// Seconds that one chord sounds.
const CHORD: f32 = 3.0;
/// Level of the whole, as a share of full scale: music under speech level.
const LEVEL: f32 = 0.18;
/// Rates of recordings that are taken, samples a second: what a header claims beyond them would be believed with memory.
const RATES: std::ops::RangeInclusive<u32> = 8_000..=192_000;
/// C major 7, A minor 7, F major 7, G 6: MIDI notes within the telephone band.
const CHORDS: [[u8; 4]; 4] = [[60, 64, 67, 71], [57, 60, 64, 67], [53, 60, 64, 69], [55, 59, 62, 64]];

/// Why a `hold.wav` cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is no WAV that we read.
    #[error("{file} cannot be read: {source}; it must be a 16-bit WAV")]
    Wav {
        /// The file.
        file: String,
        /// Why.
        source: hound::Error,
    },
    /// It is a WAV of another kind.
    #[error("{file} cannot be used: {problem}")]
    Format {
        /// The file.
        file: String,
        /// Why.
        problem: String,
    },
}

/// 16 kHz mono that loops without a seam: `hold.wav` of `dir` if it is there, else our own chords (12 s).
pub fn music(dir: Option<&Path>) -> Result<Vec<i16>, Error> {
    match dir.map(|dir| dir.join("hold.wav")).filter(|path| path.is_file()) {
        Some(path) => read(&path),
        None => Ok(chords()),
    }
}

fn read(path: &Path) -> Result<Vec<i16>, Error> {
    let file = path.display().to_string();
    let wav = |source| Error::Wav { file: file.clone(), source };
    let reader = hound::WavReader::open(path).map_err(wav)?;
    let spec = reader.spec();
    if spec.bits_per_sample != 16 || spec.sample_format != hound::SampleFormat::Int || spec.channels == 0 {
        let problem = format!("it has {} bits a sample, wanted 16-bit integers", spec.bits_per_sample);
        return Err(Error::Format { file, problem });
    }
    if !RATES.contains(&spec.sample_rate) {
        let (least, most) = (RATES.start(), RATES.end());
        let problem = format!("it has {} samples a second, wanted {least} to {most}", spec.sample_rate);
        return Err(Error::Format { file, problem });
    }
    let samples = reader.into_samples::<i16>().collect::<Result<Vec<_>, _>>().map_err(wav)?;
    let channels = usize::from(spec.channels);
    let mono: Vec<f32> = samples
        .chunks_exact(channels)
        .map(|frame| frame.iter().map(|&s| f32::from(s)).sum::<f32>() / channels as f32 / 32_768.0)
        .collect();
    let failed = |problem| Error::Format { file: file.clone(), problem };
    let mut change = RateChange::new(spec.sample_rate).map_err(failed)?;
    let mut out = Vec::new();
    change.push(&mono, &mut out).and_then(|()| change.finish(&mut out)).map_err(failed)?;
    if out.is_empty() {
        return Err(failed("it holds no audio".to_owned()));
    }
    Ok(to_i16(&out))
}

/// Each chord swells and fades over its neighbours; what reaches past the end begins the loop.
fn chords() -> Vec<i16> {
    let length = (CHORD * RATE as f32) as usize;
    let total = length * CHORDS.len();
    let mut out = vec![0.0_f32; total];
    for (i, chord) in CHORDS.iter().enumerate() {
        for (voice, note) in chord.iter().enumerate() {
            let hz = 440.0 * ((f32::from(*note) - 69.0) / 12.0).exp2();
            // The notes of a chord enter one after the other, like a slow arpeggio.
            let start = i * length + voice * length / 10;
            let sounding = length + length / 2;
            for t in 0..sounding {
                let seconds = t as f32 / RATE as f32;
                let swell = (t as f32 / sounding as f32 * TAU / 2.0).sin().powi(2);
                let overtones = (TAU * hz * seconds).sin()
                    + 0.35 * (TAU * 2.0 * hz * seconds).sin()
                    + 0.12 * (TAU * 3.0 * hz * seconds).sin();
                out[(start + t) % total] += overtones * swell;
            }
        }
    }
    let peak = out.iter().fold(0.0_f32, |peak, x| peak.max(x.abs())).max(f32::MIN_POSITIVE);
    to_i16(&out.iter().map(|x| x / peak * LEVEL).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_music_is_soft_never_silent_and_loops_without_a_click() {
        let music = music(None).unwrap();
        assert_eq!(music.len(), 12 * RATE as usize);
        let peak = music.iter().map(|s| s.unsigned_abs()).max().unwrap();
        assert!((5_000..7_000).contains(&peak), "peak {peak}");
        for (i, second) in music.chunks(RATE as usize / 2).enumerate() {
            assert!(second.iter().any(|s| s.unsigned_abs() > 500), "silent in half second {i}");
        }
        let steps = music.windows(2).map(|w| w[0].abs_diff(w[1])).max().unwrap();
        assert!(music[0].abs_diff(music[music.len() - 1]) <= steps, "a click at the seam");
    }

    #[test]
    fn a_file_takes_the_place_of_our_music_and_a_bad_one_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hold.wav");
        let spec = hound::WavSpec {
            channels: 2,
            sample_rate: 8000,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut writer = hound::WavWriter::create(&path, spec).unwrap();
        for _ in 0..16_000 {
            writer.write_sample(1000_i16).unwrap();
        }
        writer.finalize().unwrap();
        let samples = music(Some(dir.path())).unwrap();
        assert_eq!(samples.len(), 16_000, "one second");
        assert!(samples[8_000].abs_diff(1000) < 20);
        std::fs::write(&path, "this is no WAV").unwrap();
        let error = music(Some(dir.path())).unwrap_err().to_string();
        assert!(error.contains("hold.wav") && error.contains("16-bit WAV"), "{error}");
    }

    #[test]
    fn a_rate_that_nobody_records_with_is_not_believed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hold.wav");
        let spec = hound::WavSpec {
            channels: 1,
            sample_rate: 8000,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut writer = hound::WavWriter::create(&path, spec).unwrap();
        (0..100).for_each(|_| writer.write_sample(1000_i16).unwrap());
        writer.finalize().unwrap();
        let good = std::fs::read(&path).unwrap();
        for sample_rate in [0, 1, 7_999, 192_001, 1_000_000_000] {
            let mut octets = good.clone();
            // The rate of samples, and that of octets.
            octets[24..28].copy_from_slice(&u32::to_le_bytes(sample_rate));
            octets[28..32].copy_from_slice(&u32::to_le_bytes(2 * sample_rate));
            std::fs::write(&path, octets).unwrap();
            let error = music(Some(dir.path())).unwrap_err().to_string();
            assert!(error.contains("8000 to 192000"), "{sample_rate}: {error}");
        }
    }
}
