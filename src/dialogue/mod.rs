//! Mind: from what the caller said to what to say and do.
//!
//! A [`Mind`] is shared by all calls. It is given the whole [`Ask`] each turn and streams [`Thought`]s; it keeps nothing of a
//! call between turns.

mod briefing;
pub mod clause;
pub mod confidence;
pub mod engine;
pub mod flow;
mod front;
pub mod ground;
pub mod intent;
pub mod knowledge;
pub mod lexicon;
pub mod light;
pub mod llm;
pub mod memory;
pub mod mood;
pub mod phrases;
pub mod retrieval;
pub mod slots;
pub mod sound;
pub mod source;
pub mod spelling;
mod summary;
pub mod tenant;
pub mod text;
pub mod vehicle;
pub mod wrap_up;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

pub use self::memory::Memory;
pub use self::mood::Mood;
pub(crate) use self::summary::problem;
use self::wrap_up::{Past, WrapUp};
use crate::asr::Transcript;
use crate::tools::{Use, Used};

/// A turn to answer.
#[derive(Clone, Debug, Default)]
pub struct Ask {
    /// What the caller just said.
    pub transcript: Transcript,
    /// What the voice showed beside the words; nothing by text.
    pub voice: Voice,
    /// The conversation so far, oldest first, only what was really heard.
    pub history: Vec<Said>,
    /// What the last question expects.
    pub expect: Expect,
    /// True if the bot has just asked the caller to clarify: a second low confidence means handoff.
    pub clarified: bool,
    /// The caller's number as given by the network, if any.
    pub caller: Option<String>,
    /// True if the last question is the core's own (a call-back's number or time), not the mind's.
    pub core_asks: bool,
    /// True while a person is being sought for the caller.
    pub waiting: bool,
    /// What the mind has kept of the conversation: the memory of its last decision that took effect.
    pub memory: Memory,
    /// Every use of a tool in this call and what came of it, oldest first.
    pub used: Vec<Used>,
    /// How often tools were used for this turn: 0 when it is asked for the first time.
    pub round: u32,
    /// Set by the asker when the caller spoke on or barged in; stop as soon as it is seen.
    pub cancelled: Arc<AtomicBool>,
}

/// What a voice shows beside the words.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Voice {
    /// How much louder than the caller usually is in this call, dB; [`None`] in the first turn.
    pub louder_db: Option<f32>,
    /// Syllables per second of speech, pauses not counted; [`None`] for a few words.
    pub syllables_per_second: Option<f32>,
}

/// One turn of the history.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Said {
    /// Whose turn.
    pub who: Who,
    /// The words; for the bot, only those the caller has heard.
    pub text: String,
    /// True if the turn was cut short by the caller.
    pub interrupted: bool,
}

/// A party of the conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Who {
    /// The person who phoned.
    Caller,
    /// Nightline.
    Bot,
    /// The human agent.
    Seat,
}

/// What the last question of the bot expects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expect {
    /// Anything.
    #[default]
    Open,
    /// Yes or no.
    YesNo,
    /// A telephone number.
    Phone,
    /// A number plate.
    Plate,
    /// Any other number, digit by digit: of an order, a code.
    Number,
    /// A time for a call-back.
    Time,
    /// How content the caller is, from 1 to 5.
    Rating,
    /// Anything at all, for somebody else.
    Message,
}

/// A step of the answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Thought {
    /// The next clause to speak, in written form, punctuation included; arrives while later ones are still being made.
    Clause(String),
    /// The end: what it comes to.
    Decided(Decision),
}

/// What a turn came to.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Decision {
    /// What to do beside speaking the clauses.
    pub act: Act,
    /// Fused confidence of the turn in 0..=1.
    pub confidence: f32,
    /// Ids of the knowledge entries that the clauses rest on.
    pub sources: Vec<String>,
    /// Which tier answered.
    pub tier: Tier,
    /// Topic of the turn (the knowledge category, or `handoff`, `smalltalk` …), for reports.
    pub topic: String,
    /// Clauses that were made and not spoken, as the house style or the sources do not allow them, each with the reason.
    #[serde(default)]
    pub withheld: Vec<String>,
    /// True if the caller's words are a whole answer to what the mind had asked: nothing more is to be waited for.
    #[serde(default)]
    pub answered: bool,
    /// What the last clause asks for, if it asks.
    #[serde(default)]
    pub expect: Expect,
    /// What the mind keeps from now on; [`None`] if that is what it kept before.
    #[serde(default)]
    pub memory: Option<Box<Memory>>,
    /// How it came to the confidence, and what it makes of the caller's mood.
    #[serde(default)]
    pub why: Why,
}

/// The reasons of a decision, for the record.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Why {
    /// What each sign added to the log-odds of the confidence, to a hundredth; nothing if a rule decided.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub logits: BTreeMap<String, f32>,
    /// The caller's mood; nothing if it is calm.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mood: Option<Mood>,
}

impl Why {
    /// True if there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        self.logits.is_empty() && self.mood.is_none()
    }
}

impl Decision {
    /// A decision of the light tier that rests on nothing, asks nothing, and leaves the memory as it is.
    pub fn new(act: Act, confidence: f32, topic: &str) -> Self {
        Self {
            act,
            confidence,
            sources: Vec::new(),
            tier: Tier::Light,
            topic: topic.to_owned(),
            withheld: Vec::new(),
            answered: false,
            expect: Expect::Open,
            memory: None,
            why: Why::default(),
        }
    }
}

/// What to do beside speaking.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// The clauses answer the caller.
    Answer,
    /// The clauses ask the caller to clarify; counts as the one clarification.
    Clarify,
    /// Give the call to a seat.
    Handoff(Reason),
    /// Yes to the last question.
    Yes,
    /// No to the last question.
    No,
    /// A complete telephone number, digits only.
    Phone(String),
    /// A part of a telephone number so far, digits only: more is expected.
    PhonePart(String),
    /// A time for the call-back in the caller's own words.
    When(String),
    /// How content the caller is, 1 (not at all) to 5 (very).
    Rated(u8),
    /// A part of a message for somebody else, as it was said.
    Message(String),
    /// The caller is done: say goodbye and hang up.
    Goodbye,
    /// The caller, who waits for a person, would rather be called back.
    StopWaiting,
    /// The caller wants to know how long it has to wait for a person; the core knows.
    Place,
    /// Go on with what was cut short; the core knows the rest.
    Continue,
    /// Nothing was asked (side talk, a backchannel, a cough): say nothing, listen on.
    Ignore,
    /// Use these tools, then ask again for the same turn: what comes of them stands in [`Ask::used`]. Nothing is used before
    /// the end of the caller's turn is certain.
    Use {
        /// In any order, at one time.
        tools: Vec<Use>,
        /// Said if it takes long.
        waiting: Option<String>,
    },
}

impl Act {
    /// The name that records, scripts and metrics give it, without what the caller gave with it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Answer => "answer",
            Self::Clarify => "clarify",
            Self::Handoff(_) => "handoff",
            Self::Yes => "yes",
            Self::No => "no",
            Self::Phone(_) => "phone",
            Self::PhonePart(_) => "phone_part",
            Self::When(_) => "when",
            Self::Rated(_) => "rated",
            Self::Message(_) => "message",
            Self::Goodbye => "goodbye",
            Self::StopWaiting => "stop_waiting",
            Self::Place => "place",
            Self::Continue => "continue",
            Self::Ignore => "ignore",
            Self::Use { .. } => "use",
        }
    }
}

/// Why a call is given to a seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The caller asked for a person, by word.
    Requested,
    /// The caller pressed 0.
    KeyZero,
    /// A safety word (fire, smoke, injured …).
    Safety,
    /// Anger or a complaint.
    Upset,
    /// Confidence stayed below the threshold after one clarification.
    LowConfidence,
    /// A tool or the mind itself failed.
    Broken,
}

impl Reason {
    /// The name that records, metrics and configuration give it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::KeyZero => "key_zero",
            Self::Safety => "safety",
            Self::Upset => "upset",
            Self::LowConfidence => "low_confidence",
            Self::Broken => "broken",
        }
    }
}

/// Which tier answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// Inside the binary: retrieval, rules.
    Light,
    /// A large language model by URL.
    Llm,
}

/// Answers turns; shared by all calls.
pub trait Mind: Send + Sync {
    /// Starts answering; never blocks. `sink` is called for every clause in order, then exactly once with
    /// [`Thought::Decided`] (also on failure and cancellation).
    fn think(&self, ask: Ask, sink: Box<dyn FnMut(Thought) + Send>);

    /// A short spoken summary for the seat (under 15 seconds), from these facts only.
    fn summarize(&self, facts: &Facts<'_>) -> String;

    /// The use that tells who is calling, if that is not known yet: wanted when the caller is to wait for a person.
    fn look_up(&self, _facts: &Facts<'_>) -> Option<Use> {
        None
    }

    /// The caller's worth to the house, the more the sooner a person; 0 if nothing is known of it.
    fn worth(&self, _facts: &Facts<'_>) -> u8 {
        0
    }

    /// What stays to be known of a call that is over; [`None`] from a mind that keeps no such books.
    fn wrap_up(&self, _past: &Past<'_>) -> Option<WrapUp> {
        None
    }

    /// What a seat that has heard the summary means or asks by these words; answered from these facts and approved knowledge.
    fn brief(&self, _facts: &Facts<'_>, _words: &str) -> Brief {
        Brief::Nothing
    }
}

/// What a seat wants that has heard the summary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Brief {
    /// To take the call.
    Accept,
    /// Not to take it.
    Decline,
    /// To hear the summary again.
    Repeat,
    /// To be told this.
    Say(Vec<String>),
    /// Nothing that concerns us.
    Nothing,
}

/// What is known of a call when a person is brought in.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// What was said.
    pub history: &'a [Said],
    /// Tools that were used, and what came of it.
    pub used: &'a [Used],
    /// Why a person is or was wanted, if one is or was.
    pub reason: Option<Reason>,
    /// The calling number or address.
    pub caller: Option<&'a str>,
}
