//! One turn of the bot: its clauses, their synthesis one after another, and what of them was heard.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::event::{Timings, TurnId};
use super::io::ClauseId;
use super::playout::Playout;
use crate::clock::Time;
use crate::dialogue::clause::joined;
use crate::dialogue::{Ask, Decision};
use crate::segment::word_start;
use crate::tools::Use;
use crate::tts::Piece;

/// What happens when the turn has been spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Then {
    /// Listen.
    #[default]
    Listen,
    /// Hang up.
    HangUp,
}

/// What is left of a turn that was cut.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rest {
    /// From the clause that was cut on.
    pub clauses: Vec<String>,
    /// Characters of the first that were heard, up to the beginning of a word.
    pub heard: usize,
}

impl Rest {
    /// From the word that was cut on.
    pub fn from_the_word(&self) -> Vec<String> {
        let mut clauses = self.clauses.clone();
        if let Some(first) = clauses.first_mut() {
            *first = first.chars().skip(self.heard).collect();
        }
        clauses.retain(|clause| clause.chars().any(char::is_alphanumeric));
        clauses
    }
}

/// A turn of the bot, from its first thought to its last sample.
#[derive(Debug)]
pub struct BotTurn {
    /// Its number.
    pub id: TurnId,
    /// Audio to be played.
    pub playout: Playout,
    /// What happens when it has been spoken.
    pub then: Then,
    /// What it came to, once known.
    pub decision: Option<Decision>,
    /// When its first frame left.
    pub began: Option<Time>,
    /// Set when it is no longer wanted.
    pub cancelled: Arc<AtomicBool>,
    /// How many clauses, from the first, may not be interrupted.
    pub protected: usize,
    /// What it answers.
    pub ask: Option<Box<Ask>>,
    /// Tools that have not answered yet, and since when.
    pub using: Vec<(Use, Time)>,
    /// Said if they take long.
    pub waiting: Option<String>,
    clauses: Vec<String>,
    asked: usize,
    closed: bool,
    /// Nothing follows the clause that was being played.
    ended: bool,
    answers: Option<Answered>,
    first_clause: Option<Time>,
    first_audio: Option<Time>,
}

/// What the turn answers, for its timings.
#[derive(Clone, Copy, Debug)]
pub struct Answered {
    /// The caller's last speech frame.
    pub last_speech: Time,
    /// When the final transcript came.
    pub transcribed: Option<Time>,
    /// When the end of the caller's turn was decided.
    pub decided: Option<Time>,
}

impl BotTurn {
    /// A turn that answers the caller; its clauses come from the mind.
    pub fn answering(id: TurnId, answers: Answered) -> Self {
        Self { answers: Some(answers), ..Self::empty(id) }
    }

    /// A turn of fixed clauses, the first `protected` of which may not be interrupted.
    pub fn saying(id: TurnId, clauses: Vec<String>, protected: usize, then: Then) -> Self {
        Self { clauses, protected, then, closed: true, ..Self::empty(id) }
    }

    fn empty(id: TurnId) -> Self {
        Self {
            id,
            playout: Playout::default(),
            then: Then::Listen,
            decision: None,
            began: None,
            cancelled: Arc::default(),
            protected: 0,
            ask: None,
            using: Vec::new(),
            waiting: None,
            clauses: Vec::new(),
            asked: 0,
            closed: false,
            ended: false,
            answers: None,
            first_clause: None,
            first_audio: None,
        }
    }

    /// Adds a clause.
    pub fn add_clause(&mut self, now: Time, clause: String) {
        self.first_clause.get_or_insert(now);
        self.clauses.push(clause);
    }

    /// No more clauses will come.
    pub fn close(&mut self) {
        self.closed = true;
    }

    /// Nothing is said after the clause that is being played.
    pub fn end_after_clause(&mut self) {
        let clauses = self.playout.current_clause() + 1;
        self.clauses.truncate(clauses);
        self.playout.truncate(clauses);
        self.closed = true;
        self.ended = true;
        self.then = Then::Listen;
    }

    /// True if whatever else comes for it is too late.
    pub fn is_ended(&self) -> bool {
        self.ended
    }

    /// True if it answers the caller (rather than being the bot's own).
    pub fn is_answer(&self) -> bool {
        self.answers.is_some()
    }

    /// When the speech that it answers ended.
    pub fn answers_speech_until(&self) -> Option<Time> {
        self.answers.map(|answers| answers.last_speech)
    }

    /// True if no clause was ever added and none will come.
    pub fn is_silent(&self) -> bool {
        self.closed && self.clauses.is_empty()
    }

    /// True if no clause has come yet.
    pub fn is_wordless(&self) -> bool {
        self.clauses.is_empty()
    }

    /// The next clause to synthesise, if the one before is complete.
    pub fn next_synthesis(&mut self) -> Option<(ClauseId, String)> {
        if self.asked > self.playout.complete_clauses() || self.asked >= self.clauses.len() {
            return None;
        }
        let id = ClauseId { turn: self.id, index: self.asked };
        self.asked += 1;
        Some((id, self.clauses[id.index].clone()))
    }

    /// Takes a step of synthesis; gives the engine's error, if it failed. A failed clause is left out, the turn goes on.
    pub fn speech(&mut self, now: Time, index: usize, piece: Piece) -> Option<String> {
        if index >= self.clauses.len() {
            return None;
        }
        match piece {
            Piece::Audio { samples, span } => {
                self.first_audio.get_or_insert(now);
                self.playout.push(index, &samples, span.end);
                None
            }
            Piece::Done => {
                self.playout.clause_complete();
                None
            }
            Piece::Failed(error) => {
                self.playout.clause_complete();
                Some(error)
            }
        }
    }

    /// Records when the end of the caller's turn was decided.
    pub fn confirmed(&mut self, now: Time) {
        if let Some(answers) = &mut self.answers {
            answers.decided = Some(now);
        }
    }

    /// True if everything has been thought, synthesised and played.
    pub fn is_over(&self) -> bool {
        self.closed && self.playout.complete_clauses() >= self.clauses.len() && self.playout.is_drained()
    }

    /// True if there is nothing to play although more is to come.
    pub fn is_stalled(&self) -> bool {
        self.playout.is_drained() && !self.playout.is_paused() && !self.is_over()
    }

    /// True while it answers a caller whose turn is over, more is to come, and all that has come so far has been played.
    pub fn is_thinking(&self) -> bool {
        let played = self.playout.complete_clauses() >= self.clauses.len() && self.playout.is_drained();
        self.answers.is_some_and(|a| a.decided.is_some()) && !self.closed && played
    }

    /// True while a clause that may not be interrupted is being played.
    pub fn is_protected(&self) -> bool {
        let finished = self.playout.is_drained() && self.playout.complete_clauses() >= self.protected;
        self.protected > 0 && !finished && self.playout.current_clause() < self.protected
    }

    /// The words that have been heard if the last `in_flight` is still on its way.
    pub fn heard(&self, in_flight: Duration) -> String {
        if self.playout.is_empty() {
            return String::new();
        }
        let (clause, chars) = self.playout.heard(in_flight);
        let cut: String = self.clauses.get(clause).into_iter().flat_map(|c| c.chars()).take(chars).collect();
        joined(self.clauses.iter().take(clause).chain([&cut]))
    }

    /// The text being played, with so many characters before and after it.
    pub fn text_around(&self, characters: usize) -> String {
        let (clause, chars) = self.playout.heard(Duration::ZERO);
        let before: usize = self.clauses.iter().take(clause).map(|c| c.chars().count()).sum();
        let at = before + chars;
        let text = self.clauses.iter().flat_map(|c| c.chars());
        text.skip(at.saturating_sub(2 * characters)).take(3 * characters).collect()
    }

    /// Goes on after a pause, at the beginning of the word that was cut.
    pub fn resume(&mut self) {
        let clauses = &self.clauses;
        self.playout
            .resume(|clause, chars| clauses.get(clause).map_or(chars, |text| word_start(text, chars)));
    }

    /// What the caller has not heard if the last `in_flight` is still on its way; none of a turn that is still being thought
    /// of, as its end is not known.
    pub fn rest(&self, in_flight: Duration) -> Rest {
        if !self.closed || self.playout.is_empty() {
            return Rest::default();
        }
        let (clause, chars) = self.playout.heard(in_flight);
        let clauses = self.clauses.get(clause..).unwrap_or_default().to_vec();
        let heard = clauses.first().map_or(0, |text| word_start(text, chars));
        Rest { clauses, heard }
    }

    /// Stops thinking and synthesis.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Where the time went until the first frame, leaving now; none if it answers nothing.
    pub fn timings(&self, now: Time) -> Option<Timings> {
        let answers = self.answers?;
        let since = |at: Option<Time>| at.map(|at| at.saturating_since(answers.last_speech));
        Some(Timings {
            eou_delay: since(answers.decided),
            transcription_delay: since(answers.transcribed),
            llm_ttft: since(self.first_clause),
            tts_ttfb: since(self.first_audio),
            turn_latency: since(Some(now)),
        })
    }
}
