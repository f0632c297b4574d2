//! Who calls and how: the vehicle behind the calling number, and whether the caller talks like a mechanic.

use serde_json::{Map, Value, json};

use super::{LightMind, Reply, language, reply};
use crate::dialogue::slots::{self, Number};
use crate::dialogue::tenant::Tenant;
use crate::dialogue::text::normalize;
use crate::dialogue::{Act, Ask, Who};
use crate::tools::{Outcome, Use};

/// Technical words in a whole call that make an expert; one in the present turn is enough.
const EXPERT: usize = 2;

impl LightMind {
    /// Notes the vehicle that was found by the calling number, if it has just one: the answers are for that one from then on.
    pub(super) fn recognise(&self, ask: &mut Ask) {
        let Some(what) = self.by_number(ask) else { return };
        let Some(profile) = &self.tenant.config.profile else { return };
        let found = ask
            .used
            .iter()
            .rev()
            .find(|used| used.what.tool == what.tool && used.what.arguments == what.arguments);
        let Some(Outcome::Done(answer)) = found.map(|used| &used.outcome) else { return };
        if let Some([only]) = answer.pointer(&profile.vehicles).and_then(Value::as_array).map(Vec::as_slice)
            && !ask.memory.facts.contains_key("vehicle")
        {
            ask.memory.facts.insert("vehicle".into(), only.clone());
        }
    }

    /// Looks up whose number is calling, once in a call and only if the answer depends on it.
    pub(super) fn look_up_caller(&self, ask: &Ask, entry: usize, confidence: f32) -> Option<Reply> {
        let what = self.by_number(ask)?;
        let known = ask.memory.facts.contains_key("vehicle") || !self.index.varies(entry);
        let tried = |what: &Use| {
            ask.used.iter().any(|used| used.what.tool == what.tool && used.what.arguments == what.arguments)
        };
        if known || tried(&what) || !self.tools.contains(&what.tool) {
            return None;
        }
        let spec = self.tenant.tools.find(&what.tool)?;
        let waiting = spec.waiting(language(ask)).map(str::to_owned);
        Some(reply(Act::Use { tools: vec![what], waiting }, confidence, "profile", ""))
    }

    fn by_number(&self, ask: &Ask) -> Option<Use> {
        let profile = self.tenant.config.profile.as_ref()?;
        let caller = ask.caller.as_deref()?;
        let Number::Complete(number) = slots::phone(&[caller]) else { return None };
        let arguments = Map::from_iter([(profile.phone.clone(), json!(number))]);
        Some(Use { tool: profile.tool.clone(), arguments, occasion: 0 })
    }
}

/// True if the caller uses technical words: now, or several in the call.
pub(in crate::dialogue) fn is_expert(tenant: &Tenant, ask: &Ask) -> bool {
    let words = |text: &str| {
        let text = normalize(text);
        tenant.config.style.technical.iter().filter(|word| text.contains(&normalize(word))).count()
    };
    let before = ask.history.iter().filter(|said| said.who == Who::Caller).map(|said| words(&said.text));
    words(&ask.transcript.text) > 0 || before.sum::<usize>() >= EXPERT
}
