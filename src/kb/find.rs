//! Looking entries up: for `nightline kb ask`, and for a seat that talks with a caller.

use std::sync::Arc;

use crate::dialogue::knowledge::Entry;
use crate::dialogue::retrieval::Index;
use crate::dialogue::tenant::Tenant;
use crate::dialogue::vehicle::Vehicle;

/// The approved entries of a tenant, found as the mind finds them.
#[derive(Debug)]
pub struct Finder {
    tenant: Arc<Tenant>,
    index: Index,
}

/// An entry that comes near a question.
#[derive(Clone, Debug)]
pub struct Near<'a> {
    /// The entry.
    pub entry: &'a Entry,
    /// About 0..=1.
    pub score: f32,
    /// Words of the question for which it was found; none if it was found by its sound alone.
    pub matched: Vec<String>,
}

impl Finder {
    /// Indexes the tenant's entries.
    pub fn new(tenant: Arc<Tenant>) -> Self {
        Self { index: Index::new(&tenant.knowledge), tenant }
    }

    /// The `most` best entries for a question in a caller's words, best first, and how sure it is, in 0..=1, that the first is
    /// the right one. Entries that do not hold for `vehicle` are not among them.
    pub fn find(&self, question: &str, vehicle: Option<&Vehicle>, most: usize) -> (Vec<Near<'_>>, f32) {
        let spelt = self.tenant.spelling.spell(question).text;
        let found = self.index.search_for(&spelt, vehicle);
        let near = found.hits.iter().take(most).map(|hit| Near {
            entry: &self.tenant.knowledge.entries()[hit.entry],
            score: hit.score,
            matched: self.index.matched(&spelt, hit.entry),
        });
        (near.collect(), found.confidence)
    }
}
