//! After a call: what it was about, in a sentence or two, and what people still have to do.
//!
//! Rules of the tenant say what is to be done (`[work_orders]` in `tenant.toml`). They see the record of the call and what is
//! made of it here, so what they say is of facts alone, and the same call gives the same order.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::flow::words::Words;
use super::intent::Heard;
use super::light::LightMind;
use super::slots::{self, Number};
use super::summary;
use super::tenant::Tenant;
use super::{Act, Facts, Reason, Who};
use crate::tools::{Outcome, Specs, Use};

/// What stays to be known of a call that is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrapUp {
    /// What it was about: a category of the knowledge or the topic of a flow; [`None`] if nothing was said of a matter.
    pub topic: Option<String>,
    /// Who, which vehicle, what is wrong, what was done, mood.
    pub summary: String,
    /// What people still have to do: the use of the tenant's tool that tells them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Use>,
}

/// A call that is over.
#[derive(Clone, Debug)]
pub struct Past<'a> {
    /// What was said and done.
    pub facts: Facts<'a>,
    /// What the bot's turns decided and were about, in order.
    pub turns: Vec<(&'a Act, &'a str)>,
    /// The record, as its JSON file has it.
    pub record: Map<String, Value>,
}

/// `[work_orders]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkOrders {
    /// The tool that takes them.
    pub tool: String,
    /// Its arguments, as expressions.
    #[serde(default)]
    pub with: BTreeMap<String, String>,
    /// What is to be done; the first that holds counts.
    pub rule: Vec<Rule>,
}

/// `[[work_orders.rule]]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// An expression.
    pub when: String,
    /// More arguments, or others.
    #[serde(default)]
    pub with: BTreeMap<String, String>,
}

impl WorkOrders {
    /// What is wrong with it, if anything is.
    pub(super) fn check(&self, tools: &Specs) -> Result<(), String> {
        let Some(tool) = tools.find(&self.tool) else {
            return Err(format!("there is no tool `{}`; name one of tools.toml", self.tool));
        };
        let words = Words::default();
        let known = tool.parameters.pointer("/properties").and_then(Value::as_object);
        for (name, source) in self.rule.iter().flat_map(|rule| self.with.iter().chain(&rule.with)) {
            if known.is_some_and(|known| !known.contains_key(name)) {
                return Err(format!("`{}` takes no `{name}`; see tools.toml", self.tool));
            }
            words.check_expression(source).map_err(|error| format!("`{source}`: {error}"))?;
        }
        let required = tool.parameters.pointer("/required").and_then(Value::as_array);
        let required: Vec<&str> = required.into_iter().flatten().filter_map(Value::as_str).collect();
        for rule in &self.rule {
            let given = |name: &str| self.with.contains_key(name) || rule.with.contains_key(name);
            if let Some(missing) = required.iter().find(|name| !given(name)) {
                return Err(format!(
                    "`{}` needs `{missing}`, which the rule `{}` does not give",
                    self.tool, rule.when
                ));
            }
            words.check_expression(&rule.when).map_err(|error| format!("`{}`: {error}", rule.when))?;
        }
        Ok(())
    }

    /// The use that follows from `context`, if a rule holds. What cannot be computed is left out, and the log says so.
    fn order(&self, context: &Value) -> Option<Use> {
        let words = Words::default();
        let holds = |rule: &&Rule| {
            words.holds(&rule.when, context).unwrap_or_else(|error| {
                tracing::warn!(rule = rule.when, %error, "a rule of [work_orders] cannot be read");
                false
            })
        };
        let rule = self.rule.iter().find(holds)?;
        let mut arguments = Map::new();
        for (name, source) in self.with.iter().chain(&rule.with) {
            match words.value(source, context) {
                Ok(Value::Null) => drop(arguments.remove(name)),
                Ok(value) => drop(arguments.insert(name.clone(), value)),
                Err(error) => tracing::warn!(name, source, %error, "an argument of a work order is left out"),
            }
        }
        Some(Use { tool: self.tool.clone(), arguments, occasion: 0 })
    }
}

impl LightMind {
    pub(super) fn wrapped_up(&self, past: &Past<'_>) -> WrapUp {
        let tenant = self.tenant();
        let facts = &past.facts;
        let topic = self.topic_of(past);
        let summary = summary::summarize(tenant, facts, self.today());
        let orders = tenant.config.work_orders.as_ref().filter(|orders| self.can_use(&orders.tool));
        let order = orders.and_then(|orders| {
            let mut context = past.record.clone();
            context.extend(made_of(tenant, past));
            context.insert("today".into(), json!(self.today().to_string()));
            context.insert("topic".into(), json!(topic));
            context.insert("summary".into(), json!(summary));
            orders.order(&Value::Object(context))
        });
        WrapUp { topic, summary, order }
    }

    /// What the last turn was about that was about a matter; else what the caller's words are nearest to.
    fn topic_of(&self, past: &Past<'_>) -> Option<String> {
        let tenant = self.tenant();
        let entries = tenant.knowledge.entries();
        let is_matter = |topic: &str| {
            entries.iter().any(|entry| entry.category == topic)
                || tenant.flows.iter().any(|flow| flow.topic == topic)
        };
        if let Some((_, topic)) = past.turns.iter().rev().find(|(_, topic)| is_matter(topic)) {
            return Some((*topic).to_owned());
        }
        past.facts.history.iter().rev().filter(|said| said.who == Who::Caller).find_map(|said| {
            let found = self.search(&summary::problem(tenant, &said.text, true)?);
            let first = found.hits.first()?;
            (found.confidence >= tenant.config.thresholds.near).then(|| entries[first.entry].category.clone())
        })
    }
}

/// What rules can ask for beside the record itself.
fn made_of(tenant: &Tenant, past: &Past<'_>) -> Map<String, Value> {
    let Facts { history, used, caller, .. } = past.facts;
    let said: Vec<Heard> =
        history.iter().filter(|said| said.who == Who::Caller).map(|said| Heard::new(&said.text)).collect();
    let problem = |angry| {
        let mut callers = history.iter().rev().filter(|said| said.who == Who::Caller);
        callers.find_map(|said| summary::problem(tenant, &said.text, angry))
    };
    let done: Vec<&str> = used
        .iter()
        .filter(|used| matches!(used.outcome, Outcome::Done(_)))
        .map(|used| used.what.tool.as_str())
        .collect();
    // Decisions that say nothing of the matter (a greeting, a goodbye) leave the question as it was.
    let last = past.turns.iter().rev().find_map(|(act, _)| match act {
        Act::Clarify | Act::Handoff(Reason::LowConfidence | Reason::Broken) => Some(true),
        Act::Answer => Some(false),
        _ => None,
    });
    let vehicle = tenant.config.profile.as_ref().and_then(|profile| {
        let looked_up = used.iter().rev().filter(|used| used.what.tool == profile.tool);
        looked_up
            .filter_map(|used| match &used.outcome {
                Outcome::Done(answer) => answer.pointer(&profile.vehicles)?.as_array(),
                _ => None,
            })
            .find_map(|vehicles| <&[Value; 1]>::try_from(vehicles.as_slice()).ok())
            .map(|[only]| only.clone())
    });
    let caller = caller.and_then(|caller| match slots::phone(&[caller]) {
        Number::Complete(number) => Some(number),
        _ => None,
    });
    let value = json!({
        "lang": "zh",
        "caller": caller,
        "problem": problem(false).or_else(|| problem(true)),
        "danger": said.iter().any(|heard| heard.danger(tenant).is_some()),
        "upset": said.iter().any(|heard| heard.upset(tenant).is_some()),
        "complained": said.iter().any(|heard| heard.complains(tenant).is_some()),
        "unanswered": last.unwrap_or(false),
        "done": done,
        "vehicle": vehicle,
    });
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
