//! How a caller is met: with understanding, briefly, and with a person within reach, if the mood asks for it.

use super::{LightMind, Reply, language};
use crate::dialogue::clause::clauses;
use crate::dialogue::knowledge::{Entry, Sensitivity};
use crate::dialogue::mood::Mood;
use crate::dialogue::{Act, Ask};

/// Sentences of an entry that a tense caller is told.
const SHORT: usize = 2;
/// No threshold rises above this.
const STRICTEST: f32 = 0.95;

impl LightMind {
    /// From which confidence on what `entry` says is said to this caller.
    pub(in crate::dialogue) fn limit(&self, entry: &Entry, ask: &Ask) -> f32 {
        let limits = self.tenant.config.thresholds;
        let limit = if entry.sensitivity == Sensitivity::Normal { limits.answer } else { limits.sensitive };
        // A wrong answer costs more with somebody who is upset already: a person comes sooner.
        let stricter = if Mood::of(&self.tenant, ask).is_tense(&self.tenant) {
            self.tenant.config.mood.stricter
        } else {
            0.0
        };
        (limit + stricter).min(STRICTEST.max(limit))
    }

    /// The reply as a tense caller is to get it: understanding first, no more than is needed, a person within reach.
    pub(in crate::dialogue) fn meet(&self, ask: &Ask, mut reply: Reply) -> Reply {
        let mood = Mood::of(&self.tenant, ask);
        let speaks = matches!(reply.decision.act, Act::Answer | Act::Clarify | Act::Use { .. });
        let topic = reply.decision.topic.as_str();
        if !speaks
            || ask.core_asks
            || ask.round > 0
            || matches!(topic, "smalltalk" | "repeat")
            || !mood.is_tense(&self.tenant)
        {
            return reply;
        }
        let phrases = self.tenant.phrases(language(ask));
        // An entry's later sentences are advice that the caller can ask for.
        if reply.decision.act == Act::Answer
            && topic != "flow"
            && !reply.decision.sources.iter().any(|s| s.contains(':'))
        {
            let ends = |clause: &String| clause.ends_with(['。', '！', '？', '.', '!', '?']);
            let mut sentences = 0;
            reply.clauses.retain(|clause| {
                let keep = sentences < SHORT;
                sentences += usize::from(ends(clause));
                keep
            });
        }
        if reply.decision.act == Act::Clarify && !reply.decision.sources.iter().any(|s| s.contains(':')) {
            reply.clauses.extend(clauses(&phrases.or_person));
        }
        if !reply.clauses.iter().any(|clause| is_sorry(clause)) {
            reply.clauses.splice(0..0, self.understanding(ask, &mood));
        }
        reply
    }

    /// The first words to a caller who has just become tense; nothing to others.
    pub(in crate::dialogue) fn understanding(&self, ask: &Ask, mood: &Mood) -> Vec<String> {
        let was_tense = f32::from(ask.memory.mood) / 100.0 >= self.tenant.config.mood.tense;
        if was_tense || ask.round > 0 || !mood.is_tense(&self.tenant) {
            return Vec::new();
        }
        clauses(&self.tenant.phrases(language(ask)).acknowledge)
    }
}

/// True if a clause shows understanding by itself.
pub(in crate::dialogue) fn is_sorry(clause: &str) -> bool {
    ["抱歉", "担心", "着急", "sorry", "Sorry"].iter().any(|word| clause.contains(word))
}
