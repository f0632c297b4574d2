//! Recorded callers: their scripts, the caller that plays them, and the judge of what came of it.
//!
//! A [`Fixture`] is loaded from `fixtures/`; a [`ScriptedCaller`] plays it against whatever answers, over real RTP or in
//! simulation, 20 ms at a time; [`judge()`] compares the call's record and the caller's own measurements with what the
//! fixture expects; [`report`] prints the verdicts.

mod caller;
pub mod confidence;
mod fixture;
mod judge;
mod reader;
pub mod report;
pub mod scenario;
pub(crate) mod text;
pub mod turns;
mod voice;

pub use caller::{CallerReport, CallerStep, CallerTurn, Note, Overlap, ScriptedCaller};
pub use fixture::{Action, Cue, Error, Expect, ExpectedTurn, Fixture, Network, Seat, Step, Utterance};
pub use judge::{Line, Summary, Verdict, judge};
pub use reader::Mistake;
pub use text::{character_error_rate, cut, pad, width};

#[cfg(test)]
mod tests;
