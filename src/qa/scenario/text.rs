//! A scenario by text: the real mind, the real tools over HTTP, a real back office.

use std::sync::Arc;

use serde_json::Value;

use super::read::{Scenario, State, Turn};
use super::{Spoken, Verdict};
use crate::asr::Transcript;
use crate::backoffice::{self, BackOffice};
use crate::chat::Conversation;
use crate::dialogue::engine;
use crate::dialogue::llm::LlmConfig;
use crate::dialogue::tenant::Tenant;
use crate::record::name_of;
use crate::tools::http::HttpTools;

/// Why a scenario cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The back office.
    #[error("the back office cannot be opened: {0}")]
    BackOffice(#[from] backoffice::Error),
    /// Its socket.
    #[error("the back office cannot listen: {0}")]
    Listen(#[from] std::io::Error),
    /// The tools.
    #[error(transparent)]
    Tools(#[from] crate::tools::http::Error),
    /// The mind.
    #[error(transparent)]
    Mind(#[from] engine::Error),
    /// The time in the scenario.
    #[error("`now` is no time: {0}")]
    Now(jiff::Error),
}

/// Runs a scenario against `tenant`, and a large model if one is given.
pub async fn converse(
    scenario: &Scenario,
    tenant: Arc<Tenant>,
    llm: Option<LlmConfig>,
) -> Result<Verdict, Error> {
    let zone = jiff::tz::TimeZone::fixed(jiff::tz::offset(8));
    let now = scenario.now.to_zoned(zone).map_err(Error::Now)?.timestamp();
    let options = backoffice::Options { now: Some(now), seed: true, ..backoffice::Options::default() };
    let office = BackOffice::open(options).await?;
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
    let url = format!("http://{}", listener.local_addr()?);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(office.serve(listener, async { drop(stopped.await) }));
    let tools = HttpTools::new(tenant.tools.clone(), &url, None, tokio::runtime::Handle::current())?;
    let local = scenario.now;
    let mind = engine::open(tenant, llm, Some(Arc::new(move || local)))?;
    let mut conversation =
        Conversation::new(mind, Arc::new(tools), scenario.name.clone(), scenario.caller.clone());
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
    for state in &scenario.state {
        failures.extend(stands(&url, state).await);
    }
    drop(stop);
    let _ = serving.await;
    Ok(Verdict {
        name: scenario.name.clone(),
        title: scenario.title.clone(),
        shows: scenario.shows.clone(),
        failures,
        turns,
    })
}

fn judge(turn: &Turn, spoken: &Spoken, handoff: Option<&str>) -> Vec<String> {
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
                wrong.push(format!("the first clause came after {after:?}, not within {limit} ms"))
            }
            None => wrong.push("there was no clause".to_owned()),
        }
    }
    wrong
}

/// What is not as `state` says.
async fn stands(url: &str, state: &State) -> Option<String> {
    let answer = async { reqwest::get(format!("{url}{}", state.get)).await?.json::<Value>().await };
    let answer = match answer.await {
        Ok(answer) => answer,
        Err(error) => return Some(format!("{}: {error}", state.get)),
    };
    let Some(at) = answer.pointer(&state.at) else {
        return Some(format!("{}: there is no {} in {answer}", state.get, state.at));
    };
    if let Some(count) = state.count
        && at.as_array().map(Vec::len) != Some(count)
    {
        return Some(format!("{}: not {count} in {at}", state.get));
    }
    let holds = |value: &Value| {
        state.has.as_object().is_none_or(|fields| {
            fields.iter().all(|(name, wanted)| match (&value[name], wanted) {
                (Value::String(is), Value::String(wanted)) => is.contains(wanted.as_str()),
                (is, wanted) => is == wanted,
            })
        })
    };
    let found = match at {
        Value::Array(list) => state.has.is_null() || list.iter().any(holds),
        one => holds(one),
    };
    (!found).then(|| format!("{}: nothing like {} in {at}", state.get, state.has))
}
