//! The task that empties the outbox.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use rand::Rng as _;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use secrecy::ExposeSecret as _;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::{ATTEMPT, EVENT, ID, SIGNATURE, Webhook, sign};
use crate::store::{Hook, Store, now_ms};
use crate::telemetry::metrics::Metrics;

/// Requests to one receiver at a time.
const AT_ONCE: usize = 4;
/// The outbox is looked into so often though nothing woke the worker: `nightline hooks retry` is another process.
const LOOK: Duration = Duration::from_secs(2);
/// How often what is done is cleared away.
const TIDY: Duration = Duration::from_secs(3600);
const USER_AGENT: &str = concat!("Nightline/", env!("CARGO_PKG_VERSION"));

/// How the pauses between attempts grow.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// The pause after the first failure; each further one is twice as long.
    pub first: Duration,
    /// The longest pause.
    pub longest: Duration,
}

impl Default for Pace {
    /// A second, doubled up to ten minutes.
    fn default() -> Self {
        Self { first: Duration::from_secs(1), longest: Duration::from_secs(600) }
    }
}

impl Pace {
    /// The pause after so many failures, from 1; `luck` in 0..1 takes up to half of it away, so that those who failed together do not
    /// come back together.
    pub fn pause(self, failures: u32, luck: f64) -> Duration {
        let doubled = self.first.saturating_mul(1 << failures.saturating_sub(1).min(30));
        doubled.min(self.longest).mul_f64(1.0 - luck.clamp(0.0, 1.0) / 2.0)
    }
}

/// The running task. It ends when it is dropped.
#[derive(Debug)]
pub struct Worker {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Worker {
    /// Begins to tell `webhooks` what the outbox of `store` holds. Must be called in a tokio runtime.
    pub fn start(
        store: Store,
        webhooks: Vec<Webhook>,
        pace: Pace,
        metrics: Metrics,
    ) -> Result<Self, reqwest::Error> {
        let stop = CancellationToken::new();
        let mut busy = HashMap::new();
        busy.extend(webhooks.iter().map(|hook| (hook.url.clone(), HashSet::new())));
        let webhooks = webhooks.into_iter().map(Arc::new).collect();
        let work = Work { store, webhooks, pace, metrics, client: client()?, busy, told: false };
        let task = tokio::spawn(work.run(stop.clone()));
        Ok(Self { stop, task })
    }

    /// Ends: what is under way is given `patience`, the rest waits in the database for the next start.
    pub async fn stop(mut self, patience: Duration) {
        self.stop.cancel();
        if tokio::time::timeout(patience, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

struct Work {
    store: Store,
    webhooks: Vec<Arc<Webhook>>,
    pace: Pace,
    metrics: Metrics,
    client: reqwest::Client,
    /// What is under way, by URL.
    busy: HashMap<String, HashSet<i64>>,
    /// Whether the log knows that the database does not answer.
    told: bool,
}

/// What came of an attempt.
struct Tried {
    hook: Hook,
    outcome: Result<(), Failure>,
}

/// Why a receiver does not have it yet.
#[derive(Debug, PartialEq, Eq)]
pub struct Failure {
    /// In a few words.
    pub why: String,
    /// The receiver says that it never wants it (410).
    pub gone: bool,
    /// The receiver says how long to wait.
    pub after: Option<Duration>,
}

impl Work {
    async fn run(mut self, stop: CancellationToken) {
        let mut under_way: JoinSet<Tried> = JoinSet::new();
        let mut tidied: Option<i64> = None;
        loop {
            let now = now_ms();
            if tidied.is_none_or(|at| now.saturating_sub(at).unsigned_abs() >= TIDY.as_millis() as u64) {
                tidied = Some(now);
                self.tidy().await;
            }
            let pause = self.begin(&mut under_way).await;
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.store.outbox().fresh() => {}
                Some(tried) = under_way.join_next(), if !under_way.is_empty() => self.note(tried).await,
                () = tokio::time::sleep(pause) => {}
            }
        }
        while let Some(tried) = under_way.join_next().await {
            self.note(tried).await;
        }
    }

    /// Sends what is due, as far as receivers have room. Gives how long nothing further will be due.
    async fn begin(&mut self, under_way: &mut JoinSet<Tried>) -> Duration {
        let now = now_ms();
        for webhook in &self.webhooks {
            let Some(busy) = self.busy.get_mut(&webhook.url) else { continue };
            let room = AT_ONCE.saturating_sub(busy.len());
            if room == 0 {
                continue;
            }
            // Those under way are due as well.
            let due = match self.store.due_hooks(&webhook.url, now, (room + busy.len()) as u32).await {
                Ok(due) => due,
                Err(error) => {
                    if !std::mem::replace(&mut self.told, true) {
                        tracing::error!(%error, "webhooks wait for the database");
                    }
                    return LOOK;
                }
            };
            self.told = false;
            for hook in due {
                if busy.len() < AT_ONCE && busy.insert(hook.id) {
                    let (client, webhook) = (self.client.clone(), webhook.clone());
                    under_way.spawn(async move {
                        let attempt = hook.attempts + 1;
                        let outcome =
                            post(&client, &webhook, &hook.event_id, &hook.event, &hook.body, attempt).await;
                        Tried { hook, outcome }
                    });
                }
            }
        }
        self.metrics.hooks_lost(self.store.outbox().lost());
        let Ok((waiting, first)) = self.store.waiting_hooks().await else { return LOOK };
        self.metrics.hooks_waiting(waiting);
        // What is under way ends by itself; if that is all that is due, there is nothing to hurry for.
        let until = first.map_or(LOOK.as_millis() as i64, |first| first - now);
        if until <= 0 { LOOK } else { Duration::from_millis(until.unsigned_abs()).min(LOOK) }
    }

    async fn note(&mut self, tried: Result<Tried, tokio::task::JoinError>) {
        let Ok(Tried { hook, outcome }) = tried else { return };
        let Some(webhook) = self.webhooks.iter().find(|webhook| webhook.url == hook.url).cloned() else {
            return;
        };
        let now = now_ms();
        let too_late = now.saturating_sub(hook.created_ms) >= webhook.give_up.as_millis() as i64;
        let (noted, came_to) = match outcome {
            Ok(()) => (self.store.hook_sent(hook.id).await, "sent"),
            Err(failure) if failure.gone || too_late => {
                tracing::error!(
                    event = %hook.event, host = %webhook.host(), attempts = hook.attempts + 1, why = %failure.why,
                    "a webhook is given up: `nightline hooks retry {}` tries again", hook.id
                );
                (self.store.hook_given_up(hook.id, &failure.why).await, "given_up")
            }
            Err(failure) => {
                let luck = rand::rng().random_range(0.0..1.0);
                let mut pause = self.pace.pause(hook.attempts + 1, luck);
                if let Some(after) = failure.after {
                    pause = pause.max(after.min(self.pace.longest));
                }
                if hook.attempts == 0 {
                    tracing::warn!(event = %hook.event, host = %webhook.host(), why = %failure.why, "a webhook failed and is tried again");
                }
                let due = now.saturating_add(pause.as_millis() as i64);
                (self.store.hook_failed(hook.id, due, &failure.why).await, "failed")
            }
        };
        self.metrics.hook(&hook.event, came_to);
        if let Err(error) = noted {
            // It is told once more, which the receiver knows by the id; but not at once.
            tracing::error!(%error, "what came of a webhook was not stored");
            tokio::time::sleep(self.pace.first).await;
        }
        if let Some(busy) = self.busy.get_mut(&hook.url) {
            busy.remove(&hook.id);
        }
    }

    async fn tidy(&mut self) {
        match self.store.tidy_hooks().await {
            Ok(0) => {}
            Ok(given_up) => {
                tracing::warn!(given_up, "webhooks wait for a URL that is not configured any more: given up");
            }
            Err(error) => tracing::error!(%error, "the outbox of webhooks could not be tidied"),
        }
    }
}

/// The client for all receivers. It follows no redirect: what is signed for one does not go to another.
pub fn client() -> Result<reqwest::Client, reqwest::Error> {
    // Installed already, if this fails.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().user_agent(USER_AGENT).redirect(reqwest::redirect::Policy::none()).build()
}

/// Tells one receiver once. `Ok` if it said 2xx.
pub async fn post(
    client: &reqwest::Client,
    webhook: &Webhook,
    id: &str,
    event: &str,
    body: &str,
    attempt: u32,
) -> Result<(), Failure> {
    let signature = sign(webhook.secret.expose_secret(), now_ms() / 1000, body);
    let sent = client
        .post(&webhook.url)
        .timeout(webhook.timeout)
        .header(CONTENT_TYPE, "application/json")
        .header(ID, id)
        .header(EVENT, event)
        .header(ATTEMPT, attempt)
        .header(SIGNATURE, signature)
        .body(body.to_owned())
        .send()
        .await;
    let answer = sent.map_err(|error| Failure { why: why(&error), gone: false, after: None })?;
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    let after = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    Err(Failure {
        why: format!("it answered {status}"),
        gone: status == reqwest::StatusCode::GONE,
        after: after.map(Duration::from_secs),
    })
}

/// Without the URL, which may hold a key.
fn why(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "it did not answer in time".into();
    }
    if error.is_connect() {
        return "it cannot be reached".into();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    format!("the connection broke: {cause}")
}
