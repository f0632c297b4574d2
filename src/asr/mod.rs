//! Ears: from 16 kHz samples to words.
//!
//! A [`Recognizer`] is a bounded pool shared by all calls. It takes a [`Job`] and answers it exactly once.

pub mod confidence;
pub mod eval;
pub mod ggml;
pub mod models;
pub mod remote;
pub mod stream;
pub mod whisper;
pub mod written;

mod decode;
mod pool;
mod search;
mod text;
mod times;

use std::sync::Arc;

use crate::clock::Time;
use confidence::Evidence;

/// What a job is for; also its priority: finals go before partials, and only partials are dropped under load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    /// The whole utterance, after (or speculated at) its end.
    Final,
    /// The utterance so far, while the caller speaks.
    Partial,
}

/// One decoding of one utterance.
pub struct Job {
    /// 16 kHz mono, the utterance with its pre-roll.
    pub audio: Arc<[i16]>,
    /// Final or partial.
    pub purpose: Purpose,
    /// Older deadlines are served first within a purpose.
    pub deadline: Time,
    /// Language by ISO 639-1 code (`zh`, `en`).
    pub language: &'static str,
    /// Another language that the caller may speak: a final that is doubtful in the first is heard in this one, too, and the one that
    /// is believed more counts.
    pub also: Option<&'static str>,
    /// Words of the last partial of the same stretch, if there was one: a final that contradicts it deserves less trust.
    pub earlier: Option<String>,
    /// Called once with the outcome, from a worker thread, or from within [`Recognizer::submit`] when the job is not taken.
    /// Must not block.
    pub reply: Box<dyn FnOnce(Result<Transcript, Error>) + Send>,
}

/// What was recognised.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Transcript {
    /// Who recognised it.
    #[serde(default)]
    pub engine: Engine,
    /// The words, without surrounding space.
    pub text: String,
    /// Utterance confidence in 0..=1.
    pub confidence: f32,
    /// Text tokens with their probabilities in 0..=1.
    pub tokens: Vec<Token>,
    /// Probability that there was no speech, in 0..=1.
    pub no_speech: f32,
    /// Where the times of the tokens come from.
    #[serde(default)]
    pub times: Times,
    /// What the confidence was judged by; [`None`] from a recogniser that does not tell.
    #[serde(default)]
    pub evidence: Option<Evidence>,
}

impl Transcript {
    /// The words with numbers in digits, for people to read.
    pub fn written(&self) -> String {
        written::written(&self.text)
    }
}

/// Where the times of tokens come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Times {
    /// There are none: all are zero.
    #[default]
    None,
    /// The recogniser told them.
    Aligned,
    /// Spread evenly over the voiced stretches of the audio: good to a syllable or two, not to a frame.
    Estimated,
}

/// What recognises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// whisper.cpp in this process.
    #[default]
    Whisper,
    /// A server with OpenAI's transcription interface.
    OpenAi,
    /// A FunASR server.
    FunAsr,
}

impl std::fmt::Display for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Whisper => "whisper",
            Self::OpenAi => "openai",
            Self::FunAsr => "funasr",
        })
    }
}

/// One text token of a transcript.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Token {
    /// Its text (a Chinese character that spans several byte tokens is one entry).
    pub text: String,
    /// The lowest probability among its byte tokens, in 0..=1.
    pub probability: f32,
    /// Where it begins, in milliseconds from the beginning of the audio; see [`Transcript::times`].
    #[serde(default)]
    pub start_ms: u32,
    /// Where it ends, in milliseconds from the beginning of the audio.
    #[serde(default)]
    pub end_ms: u32,
}

/// Why a job gave no transcript.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// A newer partial took its place, or the pool is overloaded (partials only).
    #[error("dropped: a newer partial took its place or the recogniser is busy")]
    Dropped,
    /// The audio is too short to hold a word.
    #[error("audio of {0} samples is too short to recognise (at least 1600)")]
    TooShort(usize),
    /// The engine failed.
    #[error("the recogniser failed: {0}")]
    Engine(String),
}

/// A pool of recogniser workers, shared by all calls.
pub trait Recognizer: Send + Sync {
    /// Queues a job; never blocks. The job's `reply` is called exactly once, also when the job is dropped.
    fn submit(&self, job: Job);
}
