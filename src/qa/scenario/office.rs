//! What a scenario runs in: a back office of its own on the scenario's clock, the tools that reach it, and the mind.

use std::sync::Arc;

use serde_json::Value;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::read::{Scenario, State};
use crate::backoffice::{self, BackOffice};
use crate::dialogue::light::Acting;
use crate::dialogue::llm::LlmConfig;
use crate::dialogue::tenant::Tenant;
use crate::dialogue::{Mind, engine};
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
    /// The caller's voice.
    #[error("the caller has no voice: {0}")]
    Voice(String),
}

/// A running back office, and what reaches it.
pub(super) struct Office {
    pub(super) mind: Arc<dyn Mind>,
    pub(super) tools: Arc<HttpTools>,
    url: String,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<std::io::Result<()>>,
}

impl Office {
    /// Opens one for `scenario`, and a mind with a large model if one is given.
    pub(super) async fn open(
        scenario: &Scenario,
        tenant: Arc<Tenant>,
        llm: Option<LlmConfig>,
    ) -> Result<Self, Error> {
        let now = scenario.now.to_zoned(crate::clock::zone()).map_err(Error::Now)?.timestamp();
        let options = backoffice::Options { now: Some(now), seed: true, ..backoffice::Options::default() };
        let office = BackOffice::open(options).await?;
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = tokio::spawn(office.serve(listener, async { drop(stopped.await) }));
        let tools = HttpTools::new(tenant.tools.clone(), &url, None, tokio::runtime::Handle::current())?;
        let local = scenario.now;
        let acting = Acting::fully(&tenant, Arc::new(move || local));
        let mind = engine::open(tenant, llm, Some(acting))?;
        Ok(Self { mind, tools: Arc::new(tools), url, stop, serving })
    }

    /// What does not stand in the books as the scenario says; then closes.
    pub(super) async fn close(self, scenario: &Scenario) -> Vec<String> {
        let mut failures = Vec::new();
        for state in &scenario.state {
            failures.extend(stands(&self.url, state).await);
        }
        drop(self.stop);
        let _ = self.serving.await;
        failures
    }
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
