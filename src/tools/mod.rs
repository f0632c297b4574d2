//! Tools: what the bot can look up and do in the systems behind a hotline.
//!
//! One contract for all of them: a [`Spec`] of the tenant's `tools.toml` says what a tool is called, which arguments it takes
//! (JSON Schema), how long it may take, what to say meanwhile, and whether it changes something. Where it is reached comes
//! from the configuration alone: neither a model nor a caller can name a target.

pub mod http;
pub mod mcp;
mod remote;
mod spec;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use spec::{Error, Method, Spec, Specs};

/// A tool to be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Use {
    /// Name of the tool.
    pub tool: String,
    /// Its arguments, by name.
    pub arguments: Map<String, Value>,
    /// Tells two uses apart that are meant to happen twice in one call (booked, cancelled, booked again); a use that is
    /// repeated because no answer came has the same.
    pub occasion: u32,
}

/// What came of a use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was done; the tool's answer.
    Done(Value),
    /// The tool understood and says no: a slot that is taken, a number that it does not know.
    Refused {
        /// Its word for the reason, in snake case.
        code: String,
        /// The whole answer.
        answer: Value,
    },
    /// It could not be reached, took too long, or broke; nothing is known of what it did. For the log, never spoken.
    Failed(String),
    /// It was not sent: no such tool, or arguments that it does not take. For the log and for a model that asked for it.
    Invalid(String),
}

impl Outcome {
    /// The name that metrics give it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Done(_) => "done",
            Self::Refused { .. } => "refused",
            Self::Failed(_) => "failed",
            Self::Invalid(_) => "invalid",
        }
    }
}

/// One use and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Used {
    /// What was asked for.
    pub what: Use,
    /// What came of it.
    pub outcome: Outcome,
}

/// Carries out uses; shared by all calls.
pub trait Tools: Send + Sync {
    /// The tools that there are.
    fn specs(&self) -> &Specs;

    /// Uses a tool for the call `call`; never blocks. `reply` is called exactly once, within the tool's time limit.
    fn call(&self, call: &str, what: Use, reply: Box<dyn FnOnce(Outcome) + Send>);
}

/// No tools at all: a tenant without any, or a server whose configuration names no back office.
#[derive(Debug, Default)]
pub struct NoTools(Specs);

impl Tools for NoTools {
    fn specs(&self) -> &Specs {
        &self.0
    }

    fn call(&self, _: &str, what: Use, reply: Box<dyn FnOnce(Outcome) + Send>) {
        reply(Outcome::Invalid(format!("there is no tool `{}`: tools.url is not set", what.tool)));
    }
}
