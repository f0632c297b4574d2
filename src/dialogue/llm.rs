//! The large model: a streaming client for any server that speaks `/v1/chat/completions`.
//!
//! The rules of the light tier run first; then the model answers from the retrieved entries alone, clause by clause. Whatever
//! goes wrong before the first clause, the light tier answers the same turn.

mod wire;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use eventsource_stream::Eventsource;
use futures_util::{Stream, StreamExt};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use self::wire::Delta;
use super::clause::Cutter;
use super::light::{self, LightMind, Reply};
use super::retrieval::Ranking;
use super::sound::syllables;
use super::tenant::Tenant;
use super::text::Lang;
use super::{Act, Ask, Decision, Mind, Reason, Said, Thought, Tier};

/// How to reach the model. Durations are in seconds in a file (`first_token = 1.5`).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LlmConfig {
    /// Base URL up to and with `/v1`, or the full URL of `chat/completions`.
    pub url: String,
    /// Model name as the server knows it.
    pub model: String,
    /// Sent as bearer token.
    pub api_key: Option<SecretString>,
    /// Longest wait for the first words; then the light tier answers.
    #[serde(deserialize_with = "seconds")]
    pub first_token: Duration,
    /// Longest time for a whole answer; then it ends with what has been said.
    #[serde(deserialize_with = "seconds")]
    pub total: Duration,
    /// Sampling temperature, 0 to 2.
    pub temperature: f32,
}

impl Default for LlmConfig {
    fn default() -> Self {
        Self {
            url: String::new(),
            model: "default".into(),
            api_key: None,
            first_token: Duration::from_millis(1500),
            total: Duration::from_secs(12),
            temperature: 0.2,
        }
    }
}

/// Why the model cannot be used at all.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The URL is wrong.
    #[error(
        "llm.url `{0}` is not an http or https address; give the base up to /v1, e.g. http://127.0.0.1:8080/v1"
    )]
    Url(String),
    /// The HTTP client cannot start.
    #[error("cannot start the HTTP client for llm.url: {0}; check the TLS settings of this machine")]
    Client(reqwest::Error),
}

/// Why one turn got no (whole) answer. Logged, never spoken.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("the model did not answer: {0}; check llm.url and that the server runs")]
    Request(#[from] reqwest::Error),
    #[error("the model answered with HTTP {0}; check llm.model, llm.api_key and the server's log")]
    Status(u16),
    #[error("the model sent no words within {0:?}; raise llm.first_token or use a faster model")]
    Slow(Duration),
    #[error("the answer took longer than {0:?}; raise llm.total or use a faster model")]
    Long(Duration),
    #[error("the stream broke: {0}")]
    Broken(String),
    #[error("the model reported: {0}")]
    Reported(String),
    #[error("the answer was empty")]
    Empty,
    #[error("the asker no longer wants it")]
    Cancelled,
}

/// A [`Mind`] that asks a large model, with the light tier before and behind it.
pub struct LlmMind {
    shared: Arc<Shared>,
    runtime: tokio::runtime::Handle,
}

struct Shared {
    config: LlmConfig,
    endpoint: reqwest::Url,
    client: reqwest::Client,
    light: LightMind,
}

/// Entries given to the model.
const GIVEN: usize = 4;
/// Turns of the history given to the model.
const TURNS: usize = 12;
/// Ends an assistant's message that the caller cut short: the rest was not heard.
const CUT_HERE: (&str, &str) =
    ("……（客户在这里打断，后面没有听到）", "… (the caller interrupted here and did not hear the rest)");
/// How often a running request looks whether it is still wanted.
const CANCEL_POLL: Duration = Duration::from_millis(20);
/// Share of an entry's sound pairs that an answer must hold for the entry to count as its source.
const OVERLAP: f32 = 0.2;

impl LlmMind {
    /// Prepares the client; connects only when asked.
    pub fn new(config: LlmConfig, light: LightMind, runtime: tokio::runtime::Handle) -> Result<Self, Error> {
        // Several parts of a process may do this; the first wins and all are the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let base = config.url.trim_end_matches('/');
        let full = if base.ends_with("/chat/completions") {
            base.to_owned()
        } else {
            format!("{base}/chat/completions")
        };
        let endpoint = reqwest::Url::parse(&full)
            .ok()
            .filter(|u| matches!(u.scheme(), "http" | "https") && u.has_host())
            .ok_or_else(|| Error::Url(config.url.clone()))?;
        let client =
            reqwest::Client::builder().connect_timeout(config.first_token).build().map_err(Error::Client)?;
        Ok(Self { shared: Arc::new(Shared { config, endpoint, client, light }), runtime })
    }
}

impl Mind for LlmMind {
    fn think(&self, ask: Ask, mut sink: Box<dyn FnMut(Thought) + Send>) {
        let ask = self.shared.light.spelt(&ask);
        if let Some(reply) = self.shared.light.rules(&ask) {
            light::give(reply, &ask, &mut *sink);
            return;
        }
        let shared = Arc::clone(&self.shared);
        self.runtime.spawn(async move { shared.think(&ask, sink).await });
    }

    fn summarize(&self, history: &[Said], reason: Reason, caller: Option<&str>) -> String {
        self.shared.light.summarize(history, reason, caller)
    }
}

/// An answer as it grows.
#[derive(Default)]
struct Answer {
    cutter: Cutter,
    spoken: String,
    handoff: bool,
    /// True once a clause was held back for the house style.
    censored: bool,
}

impl Shared {
    async fn think(&self, ask: &Ask, mut sink: Box<dyn FnMut(Thought) + Send>) {
        let found = self.light.retrieve(ask);
        let mut answer = Answer::default();
        let outcome = tokio::select! {
            outcome = self.converse(ask, &found, &mut answer, &mut *sink) => outcome,
            () = cancelled(ask) => Err(Failure::Cancelled),
        };
        match outcome {
            Err(Failure::Cancelled) => {
                let decision = self.decision(ask, &found, &answer, Act::Ignore);
                sink(Thought::Decided(Decision { confidence: 0.0, ..decision }));
            }
            // Nothing was said yet: the light tier answers this turn.
            Err(failure) if answer.spoken.is_empty() => {
                tracing::warn!(%failure, "large model failed; the light tier answers");
                light::give(self.fallback(ask), ask, &mut *sink);
            }
            // Half an answer was spoken: end it there. The caller can ask on.
            Err(failure) => {
                tracing::warn!(%failure, "large model failed in the middle of an answer");
                let decision = self.decision(ask, &found, &answer, Act::Answer);
                let confidence = decision.confidence * 0.5;
                sink(Thought::Decided(Decision { confidence, ..decision }));
            }
            Ok(()) => {
                let act = if answer.handoff { Act::Handoff(Reason::LowConfidence) } else { Act::Answer };
                sink(Thought::Decided(self.decision(ask, &found, &answer, act)));
            }
        }
    }

    /// Streams one answer; returns when it is complete.
    async fn converse(
        &self,
        ask: &Ask,
        found: &Ranking,
        answer: &mut Answer,
        sink: &mut (dyn FnMut(Thought) + Send),
    ) -> Result<(), Failure> {
        let total = tokio::time::sleep(self.config.total);
        tokio::pin!(total);
        let first = tokio::time::sleep(self.config.first_token);
        tokio::pin!(first);
        let opened = tokio::select! {
            opened = self.request(ask, found) => opened?,
            () = &mut first => return Err(Failure::Slow(self.config.first_token)),
        };
        let mut events = std::pin::pin!(opened);
        let mut waiting = true;
        let mut calls = wire::Calls::default();
        loop {
            let delta = tokio::select! {
                delta = events.next() => delta,
                () = &mut first, if waiting => return Err(Failure::Slow(self.config.first_token)),
                () = &mut total => return Err(Failure::Long(self.config.total)),
            };
            let finished = match delta {
                // A server may close without [DONE]; without a finish reason the stream was cut.
                None => return Err(Failure::Broken("it ended before the answer did".into())),
                Some(Err(failure)) => return Err(failure),
                Some(Ok(delta)) => {
                    calls.add(delta.calls);
                    if !delta.text.is_empty() {
                        waiting = false;
                        for clause in answer.cutter.push(&delta.text) {
                            self.speak(&clause, answer, sink);
                        }
                    }
                    delta.finished
                }
            };
            if finished {
                break;
            }
        }
        if let Some(clause) = answer.cutter.finish() {
            self.speak(&clause, answer, sink);
        }
        answer.handoff = calls.named("transfer_to_human") || answer.censored;
        if answer.spoken.is_empty() && !answer.handoff { Err(Failure::Empty) } else { Ok(()) }
    }

    fn speak(&self, clause: &str, answer: &mut Answer, sink: &mut (dyn FnMut(Thought) + Send)) {
        let clause: String = clause.chars().filter(|c| !matches!(c, '*' | '#' | '`' | '_')).collect();
        if answer.censored || self.light.tenant().forbids(&clause) {
            answer.censored = true;
            return;
        }
        answer.spoken.push_str(&clause);
        sink(Thought::Clause(clause));
    }

    async fn request(
        &self,
        ask: &Ask,
        found: &Ranking,
    ) -> Result<impl Stream<Item = Result<Delta, Failure>> + use<>, Failure> {
        let body = wire::Request {
            model: &self.config.model,
            temperature: self.config.temperature,
            messages: self.messages(ask, found),
            stream: true,
            tools: wire::tools(),
        };
        let mut request = self.client.post(self.endpoint.clone()).json(&body);
        if let Some(key) = &self.config.api_key {
            request = request.bearer_auth(key.expose_secret());
        }
        let response = request.send().await?;
        if !response.status().is_success() {
            return Err(Failure::Status(response.status().as_u16()));
        }
        Ok(response.bytes_stream().eventsource().map(|event| match event {
            Ok(event) => Delta::parse(&event.data).map_err(Failure::Reported),
            Err(error) => Err(Failure::Broken(error.to_string())),
        }))
    }

    fn messages(&self, ask: &Ask, found: &Ranking) -> Vec<wire::Message> {
        let lang = light::language(ask);
        let tenant = self.light.tenant();
        let from = ask.history.len().saturating_sub(TURNS);
        let mut messages = vec![wire::Message::new("system", prompt(tenant, found, lang))];
        for said in &ask.history[from..] {
            let role = if said.who == super::Who::Caller { "user" } else { "assistant" };
            let mut text = said.text.clone();
            if said.interrupted {
                text.push_str(if lang == Lang::Zh { CUT_HERE.0 } else { CUT_HERE.1 });
            }
            messages.push(wire::Message::new(role, text));
        }
        messages.push(wire::Message::new("user", ask.transcript.text.clone()));
        messages
    }

    /// The light tier's answer to the same turn.
    fn fallback(&self, ask: &Ask) -> Reply {
        self.light.answer(ask)
    }

    fn decision(&self, ask: &Ask, found: &Ranking, answer: &Answer, act: Act) -> Decision {
        let entries = self.light.tenant().knowledge.entries();
        let spoken = pairs(&answer.spoken);
        let mut sources = Vec::new();
        let mut topic = None;
        let mut overlap = 0.0_f32;
        for hit in found.hits.iter().take(GIVEN) {
            let entry = &entries[hit.entry];
            let share = shared(&pairs(&entry.answer), &spoken)
                .max(entry.answer_en.as_deref().map_or(0.0, |a| shared(&pairs(a), &spoken)));
            if share >= OVERLAP {
                sources.push(entry.id.clone());
                topic.get_or_insert_with(|| entry.category.clone());
            }
            overlap = overlap.max(share);
        }
        // An answer that rests on no entry is worth little, however sure retrieval was.
        let rests = if sources.is_empty() { 0.3 } else { 0.7 + 0.3 * overlap.min(1.0) };
        let confidence = light::confidence(ask, found).max(0.6 * overlap) * rests;
        let topic = match act {
            Act::Handoff(_) => "handoff".to_owned(),
            _ => topic.unwrap_or_else(|| "other".to_owned()),
        };
        Decision { act, confidence, sources, tier: Tier::Llm, topic }
    }
}

/// Ends when the asker has lost interest.
async fn cancelled(ask: &Ask) {
    while !ask.cancelled.load(Ordering::Relaxed) {
        tokio::time::sleep(CANCEL_POLL).await;
    }
}

fn prompt(tenant: &Tenant, found: &Ranking, lang: Lang) -> String {
    let entries = tenant.knowledge.entries();
    let knowledge: Vec<String> = found
        .hits
        .iter()
        .take(GIVEN)
        .map(|h| &entries[h.entry])
        .map(|e| format!("- {}: {}", e.title(lang), e.answer(lang)))
        .collect();
    let knowledge = knowledge.join("\n");
    let forbidden = tenant.config.style.forbidden.join("、");
    match lang {
        Lang::Zh => format!(
            "你是{}售后热线的电话语音助手。用口语回答，一到三句话，不超过八十个字，不用列表和符号。\
             只能依据下面的已批准资料回答，不编造价格、时间和承诺。资料里没有答案、客户要真人、或涉及人身安全时，\
             调用 transfer_to_human。被打断过的话，需要时可以从“刚才说到”接着讲，不要从头重复。不要说：{forbidden}。\n已批准资料：\n{knowledge}",
            tenant.config.name
        ),
        Lang::En => format!(
            "You are the voice assistant of the {} service line, on the phone. Answer in spoken English, one to three short \
             sentences, no lists or symbols. Use only the approved facts below; invent no prices, times or promises. Pick an \
             interrupted answer up where it was cut if that is wanted; do not repeat it. If they \
             hold no answer, the caller wants a person, or somebody is in danger, call transfer_to_human.\nApproved facts:\n{knowledge}",
            tenant.config.name_en
        ),
    }
}

/// Neighbouring syllables, or words in English, sorted.
fn pairs(text: &str) -> Vec<String> {
    let mut out: Vec<String> = if Lang::of(text) == Some(Lang::En) {
        super::text::normalize(text).split(' ').filter(|w| w.len() > 3).map(str::to_owned).collect()
    } else {
        syllables(text).windows(2).map(|w| format!("{w:?}")).collect()
    };
    out.sort();
    out.dedup();
    out
}

/// Share of the shorter text's pairs that the other holds too.
fn shared(a: &[String], b: &[String]) -> f32 {
    let least = a.len().min(b.len());
    if least == 0 {
        return 0.0;
    }
    a.iter().filter(|p| b.binary_search(p).is_ok()).count() as f32 / least as f32
}

fn seconds<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Duration, D::Error> {
    let value = f64::deserialize(d)?;
    Duration::try_from_secs_f64(value).map_err(|_| serde::de::Error::custom("give seconds, 0 or more"))
}

#[cfg(test)]
mod tests;
