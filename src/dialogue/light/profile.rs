//! Who calls and how: the vehicle behind the calling number, and whether the caller talks like a mechanic.

use serde_json::{Map, Value, json};

use super::{LightMind, Reply, language, reply};
use crate::dialogue::slots::{self, Number};
use crate::dialogue::tenant::Tenant;
use crate::dialogue::text::normalize;
use crate::dialogue::{Act, Ask, Facts, Who};
use crate::tools::{Outcome, Use};

/// Technical words in a whole call that make an expert; one in the present turn is enough.
const EXPERT: usize = 2;

impl LightMind {
    /// Notes the vehicle that was found by the calling number, if it has just one: the answers are for that one from then on.
    pub(super) fn recognise(&self, ask: &mut Ask) {
        let Some(what) = self.by_number(ask.caller.as_deref()) else { return };
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
        let what = self.by_number(ask.caller.as_deref())?;
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

    /// The use that tells whose number is calling, if it can be had and was not had already.
    pub(super) fn unknown_caller(&self, facts: &Facts<'_>) -> Option<Use> {
        let what = self.by_number(facts.caller)?;
        let tried = facts.used.iter().any(|used| used.what == what);
        (!tried && self.tools.contains(&what.tool)).then_some(what)
    }

    /// The worth of the caller to the house, as far as it is known.
    pub(super) fn worth_of(&self, facts: &Facts<'_>) -> u8 {
        let Some(profile) = &self.tenant.config.profile else { return 0 };
        let Some(what) = self.by_number(facts.caller) else { return 0 };
        let found = facts.used.iter().rev().find(|used| used.what == what).map(|used| &used.outcome);
        let Some(Outcome::Done(answer)) = found else { return 0 };
        let class = profile.value.as_ref().and_then(|at| answer.pointer(at)).and_then(Value::as_str);
        class.and_then(|class| profile.values.get(class)).copied().unwrap_or_default()
    }

    fn by_number(&self, caller: Option<&str>) -> Option<Use> {
        let profile = self.tenant.config.profile.as_ref()?;
        let Number::Complete(number) = slots::phone(&[caller?]) else { return None };
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
