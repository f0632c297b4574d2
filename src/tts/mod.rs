//! Mouth: from text to 16 kHz samples.
//!
//! A [`Synthesizer`] is a bounded pool shared by all calls. It takes one clause at a time and streams audio with the
//! span of text that each piece speaks: the span is what makes "heard" exact.

mod cache;
pub mod clause;
pub mod espeak;
pub mod hold;
mod http;
mod mouth;
pub mod normalize;
pub mod pinyin;
mod rate;
mod shape;
pub mod voices;

pub use cache::CacheStats;
pub use mouth::{Mouth, Options};

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// One clause to be spoken.
pub struct Request {
    /// Written form; the engine normalises it to spoken form.
    pub text: String,
    /// A voice by the name of its folder in `voices/`.
    pub voice: String,
    /// Set by the asker to stop early.
    pub cancelled: Arc<AtomicBool>,
    /// Called from a worker thread for every piece, then once with [`Piece::Done`] or [`Piece::Failed`]. Must not block.
    pub sink: Box<dyn FnMut(Piece) + Send>,
}

/// A step of synthesis.
#[derive(Clone, Debug, PartialEq)]
pub enum Piece {
    /// Audio that speaks `span` of the request's text.
    Audio {
        /// 16 kHz mono; leading silence of the clause is already trimmed.
        samples: Vec<i16>,
        /// Characters (not bytes) of the request's text that are spoken by the end of `samples`; pieces follow one another.
        span: Range<usize>,
    },
    /// The clause is complete (or was cancelled).
    Done,
    /// The engine failed; nothing more follows.
    Failed(String),
}

/// A pool of synthesis workers, shared by all calls.
pub trait Synthesizer: Send + Sync {
    /// Queues a clause; never blocks.
    fn speak(&self, request: Request);
}
