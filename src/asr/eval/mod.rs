//! How well a recogniser hears: recordings with known words through a pool, and what came of them.
//!
//! [`run`] decodes each recording as a call would have it decoded: once as a partial, shortly before its end, and once as a
//! final. [`Report`] adds up; [`Outcome`]s are written one a line for [`fit`](calibrate::fit).

pub mod calibrate;
pub mod manifest;
pub mod noise;
pub mod score;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

pub use manifest::Item;
pub use score::Report;

use self::manifest::Language;
use self::noise::Sound;
use super::confidence::Evidence;
use super::times::voiced;
use super::{Job, Purpose, Recognizer, Transcript};
use crate::clock::{Clock, Time};
use crate::media::RATE;

/// Why an evaluation did not come about.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No list of recordings.
    #[error(
        "cannot read {}: {source}; DIR must hold {NAME}, one line a recording: {EXAMPLE}",
        path.display(),
        NAME = manifest::NAME
    )]
    Manifest {
        /// Where it should be.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A line of it is wrong.
    #[error("{}:{line}: {reason}; a line is {EXAMPLE}", path.display())]
    Line {
        /// The list.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// It lists nothing.
    #[error("{} lists no recording; a line is {EXAMPLE}", .0.display())]
    Empty(PathBuf),
    /// Recordings are not there.
    #[error("{missing} of {of} recordings are not there, {} first; paths in the manifest are relative to its folder", first.display())]
    Missing {
        /// The first one.
        first: PathBuf,
        /// How many.
        missing: usize,
        /// Of how many.
        of: usize,
    },
    /// A recording cannot be used.
    #[error("{}: {reason}; make it again, or convert it: sox FILE -r 8000 -c 1 -b 16 OUT.wav", path.display())]
    Wav {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The recogniser failed on a recording.
    #[error("{}: {source}", wav.display())]
    Recognizer {
        /// Which.
        wav: PathBuf,
        /// How.
        source: super::Error,
    },
}

const EXAMPLE: &str = r#"{"wav": "a.wav", "text": "转人工", "lang": "zh", "set": "unseen_sentence", "condition": "20dB", "voice": "espeak:f3", "kind": "hotline"}"#;

/// Silence that a call leaves around an utterance.
const MARGIN: usize = RATE as usize * 3 / 10;
/// A partial ends so long before the recording's end: where the last one of a call does.
const PARTIAL_BEFORE_END: usize = RATE as usize * 3 / 10;
/// A recording without words is heard in pieces of this length.
const PIECE_SECONDS: u32 = 5;

/// What one recording gave.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Outcome {
    /// The recording.
    #[serde(flatten)]
    pub item: Item,
    /// The words of the final.
    pub heard: String,
    /// The words of the partial.
    pub partial: Option<String>,
    /// Wrong characters.
    pub errors: usize,
    /// Characters that were said.
    pub length: usize,
    /// Of the final.
    pub confidence: f32,
    /// Of the final; [`None`] if nothing was heard.
    pub evidence: Option<Evidence>,
    /// Length of the audio.
    pub seconds: f64,
    /// From submission to reply.
    pub partial_ms: Option<f64>,
    /// From submission to reply.
    pub final_ms: f64,
}

/// How to evaluate.
#[derive(Clone, Debug)]
pub struct Options {
    /// Recordings under way at a time: as many as the recogniser has workers.
    pub workers: usize,
    /// Whether a partial is decoded too.
    pub partials: bool,
    /// Whether silence before and after the voice is cut to 300 ms, as in a call.
    pub trim: bool,
    /// Minutes of made noise, music, tones and silence that are heard beside the recordings.
    pub noise_minutes: u32,
}

/// Decodes `items` of `folder` and the made noise. `progress` is called after each. The outcomes are in the order of the
/// manifest, the noise last.
pub fn run(
    recognizer: &dyn Recognizer,
    folder: &Path,
    items: &[Item],
    options: &Options,
    progress: &(dyn Fn() + Sync),
) -> Result<Vec<Outcome>, Error> {
    let all: Vec<Work> =
        items.iter().map(|item| Work::Recording(folder, item)).chain(noises(options.noise_minutes)).collect();
    let next = AtomicUsize::new(0);
    let (done, outcomes) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..options.workers.max(1) {
            let (done, next, all) = (done.clone(), &next, &all);
            scope.spawn(move || {
                let clock = Clock::start();
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(work) = all.get(index) else { return };
                    let outcome = hear(recognizer, clock, work, options);
                    if outcome.is_err() {
                        // Nobody begins another one.
                        next.store(all.len(), Ordering::Relaxed);
                    }
                    progress();
                    // The receiver outlives this scope.
                    let _ = done.send((index, outcome));
                }
            });
        }
    });
    drop(done);
    let mut outcomes: Vec<(usize, Result<Outcome, Error>)> = outcomes.into_iter().collect();
    outcomes.sort_by_key(|(index, _)| *index);
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}

/// How many recordings and pieces of noise [`run`] will hear.
pub fn count(items: &[Item], options: &Options) -> usize {
    items.len() + noises(options.noise_minutes).count()
}

enum Work<'a> {
    Recording(&'a Path, &'a Item),
    Noise(Sound, u64),
}

/// Pieces of noise, each kind in turn, for so many minutes.
fn noises<'a>(minutes: u32) -> impl Iterator<Item = Work<'a>> {
    let pieces = u64::from(minutes * 60 / PIECE_SECONDS);
    (0..pieces).map(|n| Work::Noise(Sound::ALL[n as usize % Sound::ALL.len()], n))
}

fn hear(recognizer: &dyn Recognizer, clock: Clock, work: &Work, options: &Options) -> Result<Outcome, Error> {
    let (item, audio) = match work {
        Work::Recording(folder, item) => ((*item).clone(), manifest::audio(&folder.join(&item.wav))?),
        Work::Noise(sound, seed) => {
            let item = Item {
                wav: format!("(made) {sound:?} {seed}").into(),
                text: String::new(),
                lang: Language::Zh,
                set: "made_noise".into(),
                condition: format!("{sound:?}").to_lowercase(),
                voice: String::new(),
                kind: "none".into(),
            };
            let audio = manifest::upsample(&sound.make(PIECE_SECONDS, *seed));
            (item, audio.map_err(|reason| Error::Wav { path: "made noise".into(), reason })?)
        }
    };
    let decode = |audio: &[i16], purpose, earlier| {
        let begun = clock.now();
        let transcript = ask(recognizer, audio, purpose, item.lang, earlier)
            .map_err(|source| Error::Recognizer { wav: item.wav.clone(), source })?;
        Ok::<_, Error>((transcript, clock.now().saturating_since(begun).as_micros() as f64 / 1000.0))
    };
    let audio = if options.trim && !item.is_none() { trimmed(&audio) } else { &audio };
    let enough = options.partials && audio.len() > 2 * PARTIAL_BEFORE_END;
    let partial =
        match enough.then(|| decode(&audio[..audio.len() - PARTIAL_BEFORE_END], Purpose::Partial, None)) {
            // A final of another worker's recording goes before it, as it would in calls.
            Some(Err(Error::Recognizer { source: super::Error::Dropped, .. })) => None,
            partial => partial.transpose()?,
        };
    let (partial, partial_ms) = partial.map(|(transcript, ms)| (transcript.text, ms)).unzip();
    let (transcript, final_ms) = decode(audio, Purpose::Final, partial.clone())?;
    let (errors, length) = score::character_errors(&item.text, &transcript.text);
    Ok(Outcome {
        heard: transcript.text,
        partial,
        errors,
        length,
        confidence: transcript.confidence,
        evidence: transcript.evidence,
        seconds: audio.len() as f64 / f64::from(RATE),
        partial_ms,
        final_ms,
        item,
    })
}

/// The voice in `audio` with at most 300 ms before and after it.
fn trimmed(audio: &[i16]) -> &[i16] {
    let voiced = voiced(audio);
    let (Some(first), Some(last)) = (voiced.first(), voiced.last()) else { return audio };
    &audio[first.start.saturating_sub(MARGIN)..(last.end + MARGIN).min(audio.len())]
}

/// Waits for the words.
fn ask(
    recognizer: &dyn Recognizer,
    audio: &[i16],
    purpose: Purpose,
    language: Language,
    earlier: Option<String>,
) -> Result<Transcript, super::Error> {
    let (reply, answer) = mpsc::channel();
    recognizer.submit(Job {
        audio: audio.into(),
        purpose,
        deadline: Time::NEVER,
        language: language.code(),
        also: None,
        earlier,
        reply: Box::new(move |result| drop(reply.send(result))),
    });
    match answer.recv() {
        // A recording too short for a word has none.
        Ok(Err(super::Error::TooShort(_))) => Ok(Transcript::default()),
        Ok(result) => result,
        Err(mpsc::RecvError) => Err(super::Error::Engine("it did not answer".into())),
    }
}

#[cfg(test)]
mod tests;
