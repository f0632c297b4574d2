//! A conversation by text: the same mind and tools as a call, without a voice.
//!
//! What the call core keeps of a call (history, memory, uses of tools, the one clarification), a [`Conversation`] keeps here.

pub mod door;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::asr::Transcript;
use crate::clock::Clock;
use crate::dialogue::clause;
use crate::dialogue::{Act, Ask, Decision, Expect, Facts, Memory, Mind, Reason, Said, Thought, Who};
use crate::tools::{Tools, Use, Used};

/// Rounds of tools in one turn, as in a call.
const MOST_ROUNDS: u32 = 8;
/// The mind has this long for a round.
const PATIENCE: Duration = Duration::from_secs(30);

/// A conversation by text.
pub struct Conversation {
    mind: Arc<dyn Mind>,
    tools: Arc<dyn Tools>,
    id: String,
    caller: Option<String>,
    history: Vec<Said>,
    memory: Memory,
    used: Vec<Used>,
    expect: Expect,
    clarified: bool,
}

/// What is kept of a conversation for the next one with the same customer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Kept {
    /// What was said.
    pub history: Vec<Said>,
    /// The mind's memory.
    pub memory: Memory,
    /// Uses of tools.
    pub used: Vec<Used>,
}

/// The bot's turn.
#[derive(Clone, Debug)]
pub struct Turn {
    /// What it says, clause by clause.
    pub clauses: Vec<String>,
    /// What it came to.
    pub decision: Decision,
    /// Tools that were used for it, and what came of them.
    pub used: Vec<Used>,
    /// From the words to the first clause.
    pub first_clause: Option<Duration>,
}

impl Turn {
    /// All clauses.
    pub fn text(&self) -> String {
        clause::joined(&self.clauses)
    }
}

/// Why there was no turn.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The mind went silent.
    #[error("the mind did not decide within {PATIENCE:?}; see the log")]
    Silent,
    /// It asked for tools without end.
    #[error("the mind used tools {MOST_ROUNDS} times in one turn without an answer; see the log")]
    Circles,
}

impl Conversation {
    /// A conversation that begins. `id` goes with uses of tools; `caller` is the customer's number, if it is known.
    pub fn new(mind: Arc<dyn Mind>, tools: Arc<dyn Tools>, id: String, caller: Option<String>) -> Self {
        Self {
            mind,
            tools,
            id,
            caller,
            history: Vec::new(),
            memory: Memory::default(),
            used: Vec::new(),
            expect: Expect::Open,
            clarified: false,
        }
    }

    /// Goes on where an earlier conversation with the same customer was left.
    pub fn recall(&mut self, kept: Kept) {
        (self.history, self.memory, self.used) = (kept.history, kept.memory, kept.used);
    }

    /// What the next conversation with the same customer goes on from.
    pub fn kept(&self) -> Kept {
        Kept { history: self.history.clone(), memory: self.memory.clone(), used: self.used.clone() }
    }

    /// What was said so far.
    pub fn history(&self) -> &[Said] {
        &self.history
    }

    /// The summary that a human agent would get now.
    pub fn summary(&self, reason: Reason) -> String {
        self.mind.summarize(&Facts {
            history: &self.history,
            used: &self.used,
            reason: Some(reason),
            caller: self.caller.as_deref(),
        })
    }

    /// The bot's turn to what the customer says.
    pub async fn say(&mut self, text: &str) -> Result<Turn, Error> {
        self.hear(Transcript { text: text.to_owned(), confidence: 1.0, ..Transcript::default() }).await
    }

    /// The same for words that a recogniser heard.
    pub async fn hear(&mut self, transcript: Transcript) -> Result<Turn, Error> {
        let clock = Clock::start();
        let text = transcript.text.clone();
        let mut ask = Ask {
            transcript,
            history: self.history.clone(),
            expect: self.expect,
            clarified: self.clarified,
            caller: self.caller.clone(),
            memory: self.memory.clone(),
            used: self.used.clone(),
            ..Ask::default()
        };
        let (mut clauses, mut first_clause) = (Vec::new(), None);
        let before = self.used.len();
        let decision = loop {
            let (sender, mut thoughts) = mpsc::unbounded_channel();
            self.mind.think(ask.clone(), Box::new(move |thought| drop(sender.send(thought))));
            let decision = loop {
                match tokio::time::timeout(PATIENCE, thoughts.recv()).await {
                    Ok(Some(Thought::Clause(clause))) => {
                        first_clause.get_or_insert_with(|| clock.now().since_start());
                        clauses.push(clause);
                    }
                    Ok(Some(Thought::Decided(decision))) => break decision,
                    Ok(None) | Err(_) => return Err(Error::Silent),
                }
            };
            if let Some(memory) = &decision.memory {
                self.memory = (**memory).clone();
            }
            self.expect = decision.expect;
            let Act::Use { tools, .. } = &decision.act else { break decision };
            if ask.round >= MOST_ROUNDS {
                return Err(Error::Circles);
            }
            let uses = tools.iter().map(|what| self.using(what));
            for used in futures_util::future::join_all(uses).await {
                self.used.push(used);
            }
            ask.round += 1;
            ask.memory = self.memory.clone();
            ask.used = self.used.clone();
        };
        self.history.push(Said { who: Who::Caller, text, interrupted: false });
        if !clauses.is_empty() {
            self.history.push(Said { who: Who::Bot, text: clause::joined(&clauses), interrupted: false });
        }
        match decision.act {
            Act::Clarify => self.clarified = true,
            Act::Ignore | Act::Continue => {}
            _ => self.clarified = false,
        }
        Ok(Turn { clauses, decision, used: self.used[before..].to_vec(), first_clause })
    }

    async fn using(&self, what: &Use) -> Used {
        let (sender, outcome) = oneshot::channel();
        self.tools.call(&self.id, what.clone(), Box::new(move |outcome| drop(sender.send(outcome))));
        let outcome =
            outcome.await.unwrap_or_else(|_| crate::tools::Outcome::Failed("the tool vanished".to_owned()));
        Used { what: what.clone(), outcome }
    }
}
