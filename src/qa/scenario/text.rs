//! A scenario by text: the real mind, the real tools over HTTP, a real back office.

use std::sync::Arc;

use super::office::{Error, Office};
use super::read::{Scenario, Turn};
use super::{Spoken, Verdict};
use crate::asr::Transcript;
use crate::chat::Conversation;
use crate::dialogue::llm::LlmConfig;
use crate::dialogue::tenant::Tenant;
use crate::record::name_of;

/// Runs a scenario against `tenant`, and a large model if one is given.
pub async fn converse(
    scenario: &Scenario,
    tenant: Arc<Tenant>,
    llm: Option<LlmConfig>,
) -> Result<Verdict, Error> {
    let office = Office::open(scenario, tenant, llm).await?;
    let mut conversation = Conversation::new(
        office.mind.clone(),
        office.tools.clone(),
        scenario.name.clone(),
        scenario.caller.clone(),
    );
    let (mut failures, mut turns) = (Vec::new(), Vec::new());
    for (number, turn) in scenario.turns.iter().enumerate() {
        let transcript =
            Transcript { text: turn.say.clone(), confidence: turn.confidence, ..Transcript::default() };
        match conversation.hear(transcript).await {
            Ok(answer) => {
                let spoken = Spoken {
                    said: turn.say.clone(),
                    answer: answer.text(),
                    act: answer.decision.act.name().to_owned(),
                    topic: answer.decision.topic.clone(),
                    confidence: answer.decision.confidence,
                    sources: answer.decision.sources.clone(),
                    withheld: answer.decision.withheld.clone(),
                    tools: answer.used.iter().map(|used| used.what.tool.clone()).collect(),
                    first_clause: answer.first_clause,
                };
                let handoff = match &answer.decision.act {
                    crate::dialogue::Act::Handoff(reason) => Some(name_of(reason)),
                    _ => None,
                };
                let wrong = judge(turn, &spoken, handoff.as_deref());
                failures.extend(wrong.into_iter().map(|what| format!("turn {}: {what}", number + 1)));
                turns.push(spoken);
            }
            Err(error) => {
                failures.push(format!("turn {}: {error}", number + 1));
                break;
            }
        }
    }
    failures.extend(office.close(scenario).await);
    Ok(Verdict::new(scenario, turns, failures))
}

/// What is not as `turn` says.
pub(super) fn judge(turn: &Turn, spoken: &Spoken, handoff: Option<&str>) -> Vec<String> {
    let mut wrong = Vec::new();
    let answer = &spoken.answer;
    for text in turn.contains.iter().filter(|text| !answer.contains(text.as_str())) {
        wrong.push(format!("`{text}` is missing in `{answer}`"));
    }
    if !turn.contains_any.is_empty() && !turn.contains_any.iter().any(|text| answer.contains(text)) {
        wrong.push(format!("none of {:?} is in `{answer}`", turn.contains_any));
    }
    for text in turn.absent.iter().filter(|text| answer.contains(text.as_str())) {
        wrong.push(format!("`{text}` stands in `{answer}`"));
    }
    let mut same = |what: &str, wanted: Option<&str>, is: &str| {
        if wanted.is_some_and(|wanted| wanted != is) {
            wrong.push(format!("{what} is {is}, not {} (`{answer}`)", wanted.unwrap_or_default()));
        }
    };
    same("act", turn.act.as_deref(), &spoken.act);
    same("handoff", turn.handoff.as_deref(), handoff.unwrap_or("none"));
    let tools = spoken.tools.join(" ");
    same("tools", turn.tool_called.as_ref().map(|tools| tools.join(" ")).as_deref(), &tools);
    if let Some(source) = turn.source.as_ref().filter(|source| !spoken.sources.contains(source)) {
        wrong.push(format!("{source} is not among the sources {:?}", spoken.sources));
    }
    if turn.confidence_over.is_some_and(|over| spoken.confidence < over)
        || turn.confidence_under.is_some_and(|under| spoken.confidence > under)
    {
        wrong.push(format!("confidence is {:.2}", spoken.confidence));
    }
    if let Some(limit) = turn.within_ms {
        match spoken.first_clause {
            Some(after) if after.as_millis() <= u128::from(limit) => {}
            Some(after) => {
                wrong.push(format!("the first clause came after {after:?}, not within {limit} ms"));
            }
            None => wrong.push("there was no clause".to_owned()),
        }
    }
    wrong
}
