//! The chat entry: a WebSocket on which a customer writes and the same mind answers.
//!
//! The client sends text messages `{"say": "…"}`. For each come `{"clause": "…"}` as they are made, then `{"decided": {…}}`; a turn that goes to
//! a person has `{"handoff": {"reason": …, "summary": …}}` before it; what cannot be understood is answered by `{"error": "…"}`. With
//! `?customer=NUMBER` the conversation is kept: the customer who writes again, or phones, goes on where it was left.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::ws::{Message, WebSocket};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Conversation, Kept};
use crate::clock::{Clock, Time};
use crate::dialogue::{Act, Mind};
use crate::tools::Tools;

/// Longest message of a customer, bytes.
const LONGEST: usize = 4000;
/// How long a conversation is kept after its last word.
const KEPT: Duration = Duration::from_secs(12 * 3600);
/// Most conversations that are kept.
const MOST: usize = 10_000;

/// Where customers write. Cheap to clone.
#[derive(Clone)]
pub struct Desk {
    mind: Arc<dyn Mind>,
    tools: Arc<dyn Tools>,
    kept: Arc<Mutex<HashMap<String, (Time, Kept)>>>,
    clock: Clock,
}

/// A message of the client.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    say: String,
}

/// What a turn came to, for the client.
#[derive(Serialize)]
struct Decided<'a> {
    act: &'a str,
    topic: &'a str,
    confidence: f32,
    sources: &'a [String],
}

impl Desk {
    /// A desk with this mind and these tools.
    pub fn new(mind: Arc<dyn Mind>, tools: Arc<dyn Tools>) -> Self {
        Self { mind, tools, kept: Arc::default(), clock: Clock::start() }
    }

    /// What was said with the customer of that number lately, if anything.
    pub fn earlier(&self, customer: &str) -> Option<Kept> {
        let now = self.clock.now();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|_, (at, _)| now.saturating_since(*at) < KEPT);
        kept.get(customer).map(|(_, kept)| kept.clone())
    }

    fn keep(&self, customer: &str, what: Kept) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MOST
            && !kept.contains_key(customer)
            && let Some(oldest) = kept.iter().min_by_key(|(_, (at, _))| *at).map(|(name, _)| name.clone())
        {
            kept.remove(&oldest);
        }
        kept.insert(customer.to_owned(), (self.clock.now(), what));
    }

    /// Serves one customer until the socket closes.
    pub async fn serve(self, mut socket: WebSocket, id: String, customer: Option<String>) {
        let mut conversation = Conversation::new(self.mind.clone(), self.tools.clone(), id, customer.clone());
        if let Some(kept) = customer.as_deref().and_then(|customer| self.earlier(customer)) {
            conversation.recall(kept);
        }
        while let Some(Ok(message)) = socket.recv().await {
            let text = match &message {
                Message::Text(text) => text.as_str(),
                Message::Close(_) => break,
                // axum answers pings by itself.
                Message::Ping(_) | Message::Pong(_) => continue,
                Message::Binary(_) => "",
            };
            for answer in Self::answer(&mut conversation, text).await {
                if socket.send(Message::Text(answer.to_string().into())).await.is_err() {
                    return;
                }
            }
            if let Some(customer) = &customer {
                self.keep(customer, conversation.kept());
            }
        }
    }

    async fn answer(conversation: &mut Conversation, text: &str) -> Vec<Value> {
        let wrong = |what: &str| vec![json!({ "error": what })];
        if text.len() > LONGEST {
            return wrong("the message is too long; at most 4000 bytes");
        }
        let Ok(Written { say }) = serde_json::from_str(text) else {
            return wrong(r#"this is no message; send {"say": "…"} as text"#);
        };
        let turn = match conversation.say(&say).await {
            Ok(turn) => turn,
            Err(error) => {
                tracing::error!(%error, "a chat turn failed");
                return wrong("the answer could not be made; please write again");
            }
        };
        let mut answers: Vec<Value> = turn.clauses.iter().map(|clause| json!({ "clause": clause })).collect();
        if let Act::Handoff(reason) = turn.decision.act {
            answers.push(json!({ "handoff": { "reason": reason, "summary": conversation.summary(reason) } }));
        }
        let decision = &turn.decision;
        answers.push(json!({ "decided": Decided {
            act: decision.act.name(),
            topic: &decision.topic,
            confidence: decision.confidence,
            sources: &decision.sources,
        } }));
        answers
    }
}
