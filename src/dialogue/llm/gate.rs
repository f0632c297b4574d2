//! An answer of a large model is spoken once it is sure enough: its clauses wait until then, and stream from there on.

use super::overlap::{OVERLAP, pairs, shared};
use super::{GIVEN, Shared, wire};
use crate::dialogue::clause::Cutter;
use crate::dialogue::confidence::{Model, Signs, Written};
use crate::dialogue::ground::Ground;
use crate::dialogue::light;
use crate::dialogue::retrieval::Ranking;
use crate::dialogue::{Act, Ask, Thought};

/// Clauses that are held before an answer is given up.
const MOST_HELD: usize = 4;

/// An answer as it grows.
#[derive(Default)]
pub(super) struct Answer {
    pub(super) cutter: Cutter,
    pub(super) spoken: String,
    pub(super) calls: wire::Calls,
    pub(super) ground: Ground,
    /// Clauses that were not spoken, and why.
    pub(super) withheld: Vec<String>,
    /// True once a clause was held back for the house style: nothing more is spoken, a person takes over.
    pub(super) censored: bool,
    /// Said before its first clause, to a caller who has just become tense.
    pub(super) lead: Vec<String>,
    /// Clauses that wait until the answer is sure enough; then they and all that follow are spoken at once.
    pub(super) held: Vec<String>,
    /// True once it was sure enough.
    pub(super) sure: bool,
    /// Sum of the tokens' log-probabilities, and their number.
    pub(super) logprobs: (f32, u32),
}

impl Answer {
    /// True if the caller has heard none of it.
    pub(super) fn is_unheard(&self) -> bool {
        self.spoken.is_empty() || !self.sure
    }

    /// True if so much of it was held that it is not waited for any more.
    pub(super) fn is_hopeless(&self) -> bool {
        !self.sure && self.held.len() >= MOST_HELD
    }

    /// Speaks what was held.
    pub(super) fn release(&mut self, sink: &mut (dyn FnMut(Thought) + Send)) {
        self.sure = true;
        let lead = std::mem::take(&mut self.lead);
        if !self.held.first().is_some_and(|first| light::is_sorry(first)) {
            for clause in lead {
                sink(Thought::Clause(clause));
            }
        }
        self.held.drain(..).for_each(|clause| sink(Thought::Clause(clause)));
    }

    /// True if it is nothing but a question back.
    pub(super) fn only_asks(&self) -> bool {
        self.spoken.trim_end().ends_with(['？', '?'])
    }
}

/// What an answer rests on.
pub(super) struct Rests {
    pub(super) sources: Vec<String>,
    pub(super) topic: Option<String>,
    /// The first entry among the sources.
    pub(super) entry: Option<usize>,
    pub(super) signs: Signs,
}

impl Shared {
    /// A whole answer that never was sure enough, and of which nothing was spoken: a question back is asked as the one
    /// clarification; anything else is not said, the light tier clarifies, and the second time a person comes.
    pub(super) fn unsure(
        &self,
        ask: &Ask,
        found: &Ranking,
        mut answer: Answer,
        sink: &mut (dyn FnMut(Thought) + Send),
    ) {
        if answer.only_asks() && answer.withheld.is_empty() && !ask.clarified {
            answer.release(sink);
            return sink(Thought::Decided(self.decision(ask, found, answer, Act::Clarify)));
        }
        let unsaid = answer.held.drain(..).map(|clause| format!("not sure enough: {clause}"));
        let unsaid: Vec<String> = answer.withheld.iter().cloned().chain(unsaid).collect();
        let judged = self.decision(ask, found, answer, Act::Clarify);
        let mut reply = self.unclear(ask);
        if matches!(reply.decision.act, Act::Clarify | Act::Handoff(_)) {
            reply.decision.confidence = judged.confidence;
            reply.decision.why = judged.why;
        }
        self.give(reply, ask, unsaid, sink);
    }

    /// True if the answer so far is sure enough to be spoken. Clauses that were withheld do not count here: what is left rests
    /// on a source, and the record's confidence is lower for them.
    pub(super) fn is_sure(&self, ask: &Ask, found: &Ranking, answer: &Answer) -> bool {
        let rests = self.rests(ask, found, answer);
        let entries = self.light.tenant().knowledge.entries();
        let limit = match rests.entry {
            Some(entry) => self.light.limit(&entries[entry], ask),
            None => self.light.tenant().config.thresholds.answer,
        };
        let written = rests.signs.written.map(|written| Written { withheld: 0, ..written });
        Model::embedded().judge(&Signs { written, ..rests.signs }) >= limit
    }

    /// What the answer rests on, and what that shows.
    pub(super) fn rests(&self, ask: &Ask, found: &Ranking, answer: &Answer) -> Rests {
        let entries = self.light.tenant().knowledge.entries();
        let spoken = pairs(&answer.spoken);
        let mut sources = Vec::new();
        let (mut topic, mut first) = (None, None);
        let mut overlap = 0.0_f32;
        for hit in found.hits.iter().take(GIVEN) {
            let entry = &entries[hit.entry];
            let share = entry.wordings().map(|answer| shared(&pairs(answer), &spoken)).fold(0.0, f32::max);
            if share >= OVERLAP {
                sources.push(entry.id.clone());
                topic.get_or_insert_with(|| entry.category.clone());
                first.get_or_insert(hit.entry);
            }
            overlap = overlap.max(share);
        }
        let overlap = if sources.is_empty() { 0.0 } else { overlap };
        for used in ask.used.iter().filter(|used| ask.memory.asked.contains(&used.what) && ask.round > 0) {
            sources.push(format!("tool:{}", used.what.tool));
        }
        let (sum, tokens) = answer.logprobs;
        let logprob = (tokens > 0).then(|| sum / tokens as f32);
        let written = Written { overlap, withheld: answer.withheld.len(), logprob };
        let signs = Signs { written: Some(written), ..light::signs(self.light.tenant(), ask, found) };
        Rests { sources, topic, entry: first, signs }
    }
}
