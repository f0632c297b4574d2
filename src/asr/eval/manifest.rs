//! The recordings of an evaluation: `manifest.jsonl`, one JSON object a line, beside 8 kHz WAVs.

use std::path::{Path, PathBuf};

use super::Error;
use crate::media::resample::Stream;
use crate::media::{FRAME, RATE};

/// Name of the list in its folder.
pub const NAME: &str = "manifest.jsonl";
const WAV_RATE: u32 = 8_000;

/// One recording and what is said in it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Item {
    /// Path of the WAV (8 kHz, mono, 16 bits), relative to the folder.
    pub wav: PathBuf,
    /// What is said, as spoken (幺三八, not 138); empty if nobody speaks.
    pub text: String,
    /// Which language.
    pub lang: Language,
    /// Which set it belongs to, freely named (`unseen_sentence`).
    pub set: String,
    /// What the line did to it, freely named (`clean`, `20dB`, `loss5`).
    pub condition: String,
    /// Who speaks, freely named (`espeak:f3`).
    pub voice: String,
    /// What kind of thing is said, freely named; `digits` and `none` mean something, see the methods.
    pub kind: String,
}

/// Language of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Language {
    /// Mandarin, perhaps with English words.
    Zh,
    /// English.
    En,
}

impl Language {
    /// ISO 639-1 code.
    pub fn code(self) -> &'static str {
        match self {
            Self::Zh => "zh",
            Self::En => "en",
        }
    }
}

impl Item {
    /// `kind` is `digits`: a telephone number, plate or other string of digits, perhaps within a sentence, that is only of use
    /// if it is wholly right.
    pub fn is_digits(&self) -> bool {
        self.kind == "digits"
    }

    /// `kind` is `none`: nobody speaks.
    pub fn is_none(&self) -> bool {
        self.kind == "none"
    }
}

/// Reads the list in `folder`. All lines are checked, and all recordings must be there.
pub fn read(folder: &Path) -> Result<Vec<Item>, Error> {
    let path = folder.join(NAME);
    let text =
        std::fs::read_to_string(&path).map_err(|source| Error::Manifest { path: path.clone(), source })?;
    let mut items = Vec::new();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let wrong = |reason: String| Error::Line { path: path.clone(), line: index + 1, reason };
        let item: Item = serde_json::from_str(line).map_err(|e| wrong(e.to_string()))?;
        let spoken = item.text.chars().any(char::is_alphanumeric);
        match (item.is_none(), spoken) {
            (true, true) => return Err(wrong("`kind` is none, but `text` says something".into())),
            (false, false) => {
                return Err(wrong("`text` says nothing; then `kind` is none".into()));
            }
            _ => items.push(item),
        }
    }
    if items.is_empty() {
        return Err(Error::Empty(path));
    }
    let missing: Vec<_> = items.iter().map(|item| folder.join(&item.wav)).filter(|p| !p.is_file()).collect();
    match missing.first() {
        Some(first) => Err(Error::Missing { first: first.clone(), missing: missing.len(), of: items.len() }),
        None => Ok(items),
    }
}

/// The recording at 16 kHz, through the resampler that calls go through.
pub fn audio(path: &Path) -> Result<Vec<i16>, Error> {
    let wrong = |reason: String| Error::Wav { path: path.into(), reason };
    let mut wav = hound::WavReader::open(path).map_err(|e| wrong(e.to_string()))?;
    let spec = wav.spec();
    if (spec.sample_rate, spec.channels, spec.bits_per_sample, spec.sample_format)
        != (WAV_RATE, 1, 16, hound::SampleFormat::Int)
    {
        return Err(wrong(format!(
            "it has {} Hz, {} channels and {} {} bits instead of {WAV_RATE} Hz, 1 channel and 16 integer bits",
            spec.sample_rate,
            spec.channels,
            spec.bits_per_sample,
            if spec.sample_format == hound::SampleFormat::Int { "integer" } else { "floating-point" }
        )));
    }
    let samples: Vec<i16> = wav.samples().collect::<Result<_, _>>().map_err(|e| wrong(e.to_string()))?;
    upsample(&samples).map_err(wrong)
}

/// 8 kHz to 16 kHz.
pub(super) fn upsample(samples: &[i16]) -> Result<Vec<i16>, String> {
    let mut out = Vec::with_capacity(samples.len() * 2 + FRAME);
    let mut stream = Stream::new(WAV_RATE, RATE).map_err(|e| e.to_string())?;
    stream.push(samples, &mut out).and_then(|()| stream.finish(&mut out)).map_err(|e| e.to_string())?;
    Ok(out)
}
