//! The large model: a streaming client for any server that speaks `/v1/chat/completions`.
//!
//! The rules of the light tier run first; then the model answers from the retrieved entries alone, clause by clause. Whatever
//! goes wrong before the first clause, the light tier answers the same turn.

mod arguments;
mod gate;
mod overlap;
mod prompt;
mod wire;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use eventsource_stream::Eventsource;
use futures_util::{Stream, StreamExt};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use self::gate::{Answer, Rests};
use self::wire::Delta;
use super::confidence::{Model, recorded};
use super::ground::Ground;
use super::light::{self, LightMind};
use super::mood::Mood;
use super::retrieval::Ranking;
use super::wrap_up::{Past, WrapUp};
use super::{Act, Ask, Brief, Decision, Expect, Facts, Memory, Mind, Reason, Thought, Tier, Who, Why};
use crate::clock::Clock;
use crate::tools::{Outcome, Use};

/// How to reach the model. Durations are in seconds in a file (`first_token = 1.5`).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LlmConfig {
    /// Base URL up to and with `/v1`, or the full URL of `chat/completions`.
    pub url: String,
    /// Other servers of the same model, asked in order when one before fails without a word.
    pub fallbacks: Vec<String>,
    /// Model name as the server knows it.
    pub model: String,
    /// Sent as bearer token.
    pub api_key: Option<SecretString>,
    /// Longest wait for the first words, of all servers together; then the light tier answers.
    #[serde(deserialize_with = "seconds")]
    pub first_token: Duration,
    /// Longest time for a whole answer; then it ends with what has been said.
    #[serde(deserialize_with = "seconds")]
    pub total: Duration,
    /// Sampling temperature, 0 to 2.
    pub temperature: f32,
    /// Whether the server is asked how sure it is of each token; not every server can tell.
    pub logprobs: bool,
}

impl Default for LlmConfig {
    fn default() -> Self {
        Self {
            url: String::new(),
            fallbacks: Vec::new(),
            model: "default".into(),
            api_key: None,
            first_token: Duration::from_millis(1500),
            total: Duration::from_secs(12),
            temperature: 0.2,
            logprobs: false,
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
    #[error("every clause was withheld; see the record")]
    Withheld,
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
    endpoints: Vec<reqwest::Url>,
    client: reqwest::Client,
    light: LightMind,
}

/// Entries given to the model.
const GIVEN: usize = 4;
/// Rounds of look-ups that one turn may take.
const ROUNDS: u32 = 4;
/// Look-ups of one round.
const AT_ONCE: usize = 4;
/// How often a running request looks whether it is still wanted.
const CANCEL_POLL: Duration = Duration::from_millis(20);
impl LlmMind {
    /// Prepares the client; connects only when asked.
    pub fn new(config: LlmConfig, light: LightMind, runtime: tokio::runtime::Handle) -> Result<Self, Error> {
        // Several parts of a process may do this; the first wins and all are the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let endpoints = std::iter::once(&config.url)
            .chain(&config.fallbacks)
            .map(|url| endpoint(url).ok_or_else(|| Error::Url(url.clone())))
            .collect::<Result<_, _>>()?;
        let client =
            reqwest::Client::builder().connect_timeout(config.first_token).build().map_err(Error::Client)?;
        Ok(Self { shared: Arc::new(Shared { config, endpoints, client, light }), runtime })
    }
}

/// The full address of a server that is given by its base or in full.
fn endpoint(url: &str) -> Option<reqwest::Url> {
    let base = url.trim_end_matches('/');
    let full = if base.ends_with("/chat/completions") {
        base.to_owned()
    } else {
        format!("{base}/chat/completions")
    };
    reqwest::Url::parse(&full).ok().filter(|u| matches!(u.scheme(), "http" | "https") && u.has_host())
}

impl Mind for LlmMind {
    fn think(&self, ask: Ask, sink: Box<dyn FnMut(Thought) + Send>) {
        let ask = self.shared.light.spelt(&ask);
        let mut sink = Mood::of(self.shared.light.tenant(), &ask).noting(ask.clone(), sink);
        if let Some(reply) = self.shared.light.decided(&ask) {
            light::give(self.shared.light.meet(&ask, reply), &ask, &mut *sink);
            return;
        }
        let shared = Arc::clone(&self.shared);
        self.runtime.spawn(async move { shared.think(&ask, sink).await });
    }

    fn brief(&self, facts: &Facts<'_>, words: &str) -> Brief {
        self.shared.light.brief(facts, words)
    }

    fn look_up(&self, facts: &Facts<'_>) -> Option<Use> {
        self.shared.light.look_up(facts)
    }

    fn worth(&self, facts: &Facts<'_>) -> u8 {
        self.shared.light.worth(facts)
    }

    fn wrap_up(&self, past: &Past<'_>) -> Option<WrapUp> {
        self.shared.light.wrap_up(past)
    }

    fn summarize(&self, facts: &Facts<'_>) -> String {
        self.shared.light.summarize(facts)
    }
}

impl Shared {
    async fn think(&self, ask: &Ask, mut sink: Box<dyn FnMut(Thought) + Send>) {
        let found = self.light.retrieve(ask);
        let mood = Mood::of(self.light.tenant(), ask);
        let mut withheld = Vec::new();
        let clock = Clock::start();
        for (number, endpoint) in self.endpoints.iter().enumerate() {
            // What is left of the wait is shared by the servers that are left.
            let left = self.config.first_token.saturating_sub(clock.now().since_start());
            let patience = left / (self.endpoints.len() - number) as u32;
            if patience.is_zero() {
                break;
            }
            let mut answer = Answer {
                ground: self.ground(ask, &found),
                lead: self.light.understanding(ask, &mood),
                ..Answer::default()
            };
            let outcome = tokio::select! {
                outcome = self.converse(endpoint, patience, ask, &found, &mut answer, &mut *sink) => outcome,
                () = cancelled(ask) => Err(Failure::Cancelled),
            };
            match outcome {
                Err(Failure::Cancelled) => {
                    let decision = self.decision(ask, &found, answer, Act::Ignore);
                    sink(Thought::Decided(Decision { confidence: 0.0, ..decision }));
                    return;
                }
                // Nothing was said yet: another server may do better.
                Err(failure) if answer.is_unheard() => {
                    tracing::warn!(%failure, "large model failed before its first words");
                    withheld.append(&mut answer.withheld);
                }
                // Half an answer was spoken: end it there. The caller can ask on.
                Err(failure) => {
                    tracing::warn!(%failure, "large model failed in the middle of an answer");
                    answer.withheld.splice(0..0, withheld);
                    let decision = self.decision(ask, &found, answer, Act::Answer);
                    let confidence = decision.confidence * 0.5;
                    sink(Thought::Decided(Decision { confidence, ..decision }));
                    return;
                }
                Ok(()) => {
                    answer.withheld.splice(0..0, withheld);
                    return self.conclude(ask, &found, answer, &mut *sink);
                }
            }
        }
        tracing::warn!("no large model answered; the light tier does");
        self.give(self.light.answer(ask), ask, withheld, &mut *sink);
    }

    /// What a whole answer comes to: words, a person, a flow, or tools whose results it waits for.
    fn conclude(
        &self,
        ask: &Ask,
        found: &Ranking,
        mut answer: Answer,
        sink: &mut (dyn FnMut(Thought) + Send),
    ) {
        let tenant = self.light.tenant();
        if answer.censored || answer.calls.iter().any(|(name, _)| name == wire::TRANSFER) {
            if !answer.censored {
                answer.release(sink);
            }
            let act = Act::Handoff(Reason::LowConfidence);
            return sink(Thought::Decided(self.decision(ask, found, answer, act)));
        }
        if answer.spoken.is_empty() && answer.calls.iter().any(|(name, _)| name == wire::CLARIFY) {
            return self.give(self.unclear(ask), ask, answer.withheld, sink);
        }
        let mut uses: Vec<Use> = Vec::new();
        for (name, arguments) in answer.calls.iter() {
            let Some(arguments) = arguments else {
                tracing::warn!(tool = name, "the large model sent arguments that are no JSON object");
                continue;
            };
            if name == wire::START {
                let id = arguments.get("flow").and_then(serde_json::Value::as_str).unwrap_or_default();
                if let Some(reply) = self.light.begin_by_id(ask, id) {
                    return self.give(reply, ask, answer.withheld, sink);
                }
                tracing::warn!("the large model asked for a flow that there is not");
                continue;
            }
            // What changes something is done by flows alone, whatever a text made the model ask for.
            let Some(spec) = self.light.lookups().find(|spec| spec.name == name) else {
                tracing::warn!(tool = name, "the large model asked for a tool that it may not use");
                continue;
            };
            if let Err(argument) = arguments::founded(&arguments, ask) {
                tracing::warn!(tool = name, argument, "the large model made up an argument");
                continue;
            }
            // Of anybody else nothing is told before it is known who calls: a flow asks.
            if let Some(flow) =
                spec.personal.as_ref().filter(|_| !arguments::own(&arguments, ask, &tenant.tools))
            {
                match self.light.begin_by_id(ask, flow).filter(|_| answer.is_unheard()) {
                    Some(reply) => return self.give(reply, ask, answer.withheld, sink),
                    None => continue,
                }
            }
            let what = Use { tool: name.to_owned(), arguments, occasion: 0 };
            let again = ask.round > 0 && ask.memory.asked.contains(&what);
            if !again && !uses.contains(&what) && ask.round < ROUNDS && uses.len() < AT_ONCE {
                uses.push(what);
            }
        }
        if uses.is_empty() && answer.spoken.is_empty() {
            return self.give(self.light.answer(ask), ask, answer.withheld, sink);
        }
        if uses.is_empty() && answer.is_unheard() {
            return self.unsure(ask, found, answer, sink);
        }
        if uses.is_empty() {
            return sink(Thought::Decided(self.decision(ask, found, answer, Act::Answer)));
        }
        // What is said while it is looked up.
        answer.release(sink);
        let lang = light::language(ask);
        let waiting = uses.iter().find_map(|what| tenant.tools.find(&what.tool)?.waiting(lang));
        let waiting = waiting.map(str::to_owned);
        let mut memory = ask.memory.clone();
        if ask.round == 0 {
            memory.asked.clear();
        }
        memory.asked.extend(uses.iter().cloned());
        let mut decision = self.decision(ask, found, answer, Act::Use { tools: uses, waiting });
        decision.memory = Some(Box::new(memory));
        sink(Thought::Decided(decision));
    }

    /// Says what the light tier says, with what the model was not let say before.
    fn give(
        &self,
        reply: light::Reply,
        ask: &Ask,
        withheld: Vec<String>,
        sink: &mut (dyn FnMut(Thought) + Send),
    ) {
        give(self.light.meet(ask, reply), ask, withheld, sink);
    }

    /// The model did not understand: the light tier asks back, or fetches a person if that was done before.
    fn unclear(&self, ask: &Ask) -> light::Reply {
        let mut reply = self.light.answer(ask);
        // It may be surer than the model, but not against it.
        if reply.decision.act == Act::Answer {
            let phrases = self.light.tenant().phrases(light::language(ask));
            let (act, words) = if ask.clarified {
                (Act::Handoff(Reason::LowConfidence), &phrases.low_confidence)
            } else {
                (Act::Clarify, &phrases.clarify)
            };
            reply.clauses = super::clause::clauses(words);
            reply.decision.sources.clear();
            reply.decision.confidence *= 0.5;
            reply.decision.act = act;
        }
        reply
    }

    /// What the answer may rest on.
    fn ground(&self, ask: &Ask, found: &Ranking) -> Ground {
        let mut ground = Ground::default();
        let entries = self.light.tenant().knowledge.entries();
        for entry in found.hits.iter().take(GIVEN).map(|hit| &entries[hit.entry]) {
            entry.wordings().for_each(|answer| ground.add(answer));
        }
        for used in &ask.used {
            if let Outcome::Done(answer) | Outcome::Refused { answer, .. } = &used.outcome {
                ground.add_answer(answer);
            }
        }
        for said in &ask.history {
            match said.who {
                Who::Caller => ground.add_heard(&said.text),
                Who::Bot | Who::Seat => ground.add_said(&said.text),
            }
        }
        ground.add_heard(&ask.transcript.text);
        ground
    }

    /// Streams one answer; returns when it is complete.
    async fn converse(
        &self,
        endpoint: &reqwest::Url,
        patience: Duration,
        ask: &Ask,
        found: &Ranking,
        answer: &mut Answer,
        sink: &mut (dyn FnMut(Thought) + Send),
    ) -> Result<(), Failure> {
        let total = tokio::time::sleep(self.config.total);
        tokio::pin!(total);
        let first = tokio::time::sleep(patience);
        tokio::pin!(first);
        let opened = tokio::select! {
            opened = self.request(endpoint, ask, found) => opened?,
            () = &mut first => return Err(Failure::Slow(patience)),
        };
        let mut events = std::pin::pin!(opened);
        let mut waiting = true;
        loop {
            let delta = tokio::select! {
                delta = events.next() => delta,
                () = &mut first, if waiting => return Err(Failure::Slow(patience)),
                () = &mut total => return Err(Failure::Long(self.config.total)),
            };
            let finished = match delta {
                // A server may close without [DONE]; without a finish reason the stream was cut.
                None => return Err(Failure::Broken("it ended before the answer did".into())),
                Some(Err(failure)) => return Err(failure),
                Some(Ok(delta)) => {
                    waiting &= delta.calls.is_empty();
                    answer.calls.add(delta.calls);
                    answer.logprobs.0 += delta.logprobs.iter().sum::<f32>();
                    answer.logprobs.1 += delta.logprobs.len() as u32;
                    if !delta.text.is_empty() {
                        waiting = false;
                        for clause in answer.cutter.push(&delta.text) {
                            self.speak(&clause, ask, found, answer, sink);
                        }
                    }
                    // What was not sure by now will not be: nobody is kept waiting for it.
                    delta.finished || answer.is_hopeless()
                }
            };
            if finished {
                break;
            }
        }
        if let Some(clause) = answer.cutter.finish().filter(|_| !answer.is_hopeless()) {
            self.speak(&clause, ask, found, answer, sink);
        }
        match answer.spoken.is_empty() && answer.calls.is_empty() && !answer.censored {
            true if answer.withheld.is_empty() => Err(Failure::Empty),
            true => Err(Failure::Withheld),
            false => Ok(()),
        }
    }

    fn speak(
        &self,
        clause: &str,
        ask: &Ask,
        found: &Ranking,
        answer: &mut Answer,
        sink: &mut (dyn FnMut(Thought) + Send),
    ) {
        let clause: String = clause.chars().filter(|c| !matches!(c, '*' | '#' | '`' | '_')).collect();
        let tenant = self.light.tenant();
        if answer.censored {
            return;
        }
        if tenant.forbids(&clause) {
            answer.censored = true;
            answer.withheld.push(format!("against the house style: {clause}"));
        } else if let Err(claim) = answer.ground.covers(&clause, &tenant.config.style.claims) {
            answer.withheld.push(format!("{claim}: {clause}"));
        } else {
            answer.spoken.push_str(&clause);
            answer.held.push(clause);
            if answer.sure || self.is_sure(ask, found, answer) {
                answer.release(sink);
            }
        }
    }

    async fn request(
        &self,
        endpoint: &reqwest::Url,
        ask: &Ask,
        found: &Ranking,
    ) -> Result<impl Stream<Item = Result<Delta, Failure>> + use<>, Failure> {
        let body = wire::Request {
            model: &self.config.model,
            temperature: self.config.temperature,
            messages: prompt::messages(self.light.tenant(), ask, found),
            stream: true,
            logprobs: self.config.logprobs.then_some(true),
            tools: wire::tools(
                &self.light.flows(light::language(ask)),
                // A model that looks things up again and again shall say what it has.
                self.light.lookups().filter(|_| ask.round < ROUNDS),
            ),
        };
        let mut request = self.client.post(endpoint.clone()).json(&body);
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

    fn decision(&self, ask: &Ask, found: &Ranking, answer: Answer, act: Act) -> Decision {
        let Rests { sources, topic, signs, .. } = self.rests(ask, found, &answer);
        let model = Model::embedded();
        let confidence = model.judge(&signs);
        let why = Why { logits: recorded(model, &model.explain(&signs)), mood: None };
        let topic = match act {
            Act::Handoff(_) => "handoff".to_owned(),
            _ => topic.unwrap_or_else(|| "other".to_owned()),
        };
        Decision {
            act,
            confidence,
            sources,
            tier: Tier::Llm,
            topic,
            withheld: answer.withheld,
            answered: false,
            expect: Expect::Open,
            memory: forgotten(&ask.memory),
            why,
        }
    }
}

/// Says what the light tier says, with what a large model was not let say before.
fn give(mut reply: light::Reply, ask: &Ask, withheld: Vec<String>, sink: &mut (dyn FnMut(Thought) + Send)) {
    reply.decision.withheld.splice(0..0, withheld);
    match &mut reply.decision.memory {
        Some(memory) => memory.asked.clear(),
        none => *none = forgotten(&ask.memory),
    }
    light::give(reply, ask, sink);
}

/// `memory` at the end of a turn, if it has to change: what tools gave for it is not looked at in the next one.
fn forgotten(memory: &Memory) -> Option<Box<Memory>> {
    (!memory.asked.is_empty()).then(|| Box::new(Memory { asked: Vec::new(), ..memory.clone() }))
}

/// Ends when the asker has lost interest.
async fn cancelled(ask: &Ask) {
    while !ask.cancelled.load(Ordering::Relaxed) {
        tokio::time::sleep(CANCEL_POLL).await;
    }
}

fn seconds<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Duration, D::Error> {
    let value = f64::deserialize(d)?;
    Duration::try_from_secs_f64(value).map_err(|_| serde::de::Error::custom("give seconds, 0 or more"))
}

#[cfg(test)]
mod tests;
