//! The client against a real HTTP server on loopback that answers by a script.

mod gate;
mod stream;
mod tools;

use std::convert::Infallible;
use std::sync::Mutex;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::post;
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::*;
use crate::asr::Transcript;
use crate::dialogue::light::Acting;
use crate::dialogue::tenant::Tenant;

/// What the server does with a request.
enum Script {
    /// Sends these chunks, then closes.
    Chunks(Vec<Vec<u8>>),
    /// Answers with this status.
    Status(u16),
    /// Sends these chunks, then keeps the connection open until the client closes it.
    Hang(Vec<Vec<u8>>),
    /// Does not even send headers.
    Silent,
}

struct Server {
    /// For the first request, the second …; the last one again for all that follow.
    scripts: Vec<Script>,
    requests: Mutex<Vec<Value>>,
    /// Gets a word when the client has closed the connection.
    closed: mpsc::UnboundedSender<()>,
}

/// Tells when the response's stream is dropped: the connection is closed.
struct Closed(mpsc::UnboundedSender<()>);

impl Drop for Closed {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

async fn serve(State(server): State<Arc<Server>>, body: String) -> Response {
    let number = {
        let mut requests = server.requests.lock().expect("no panic");
        requests.push(serde_json::from_str(&body).expect("a JSON request"));
        requests.len() - 1
    };
    let guard = Closed(server.closed.clone());
    let (chunks, hang) = match &server.scripts[number.min(server.scripts.len() - 1)] {
        Script::Status(code) => {
            let status = StatusCode::from_u16(*code).expect("a status");
            return Response::builder().status(status).body(Body::from("broken")).expect("a response");
        }
        Script::Silent => {
            std::future::pending::<()>().await;
            (Vec::new(), true)
        }
        Script::Chunks(chunks) => (chunks.clone(), false),
        Script::Hang(chunks) => (chunks.clone(), true),
    };
    let stream =
        futures_util::stream::unfold((chunks.into_iter(), guard), move |(mut chunks, guard)| async move {
            if let Some(chunk) = chunks.next() {
                tokio::task::yield_now().await;
                return Some((Ok::<_, Infallible>(Bytes::from(chunk)), (chunks, guard)));
            }
            if hang {
                std::future::pending::<()>().await;
            }
            None
        });
    Response::builder()
        .header("content-type", "text/event-stream")
        .body(Body::from_stream(stream))
        .expect("a response")
}

struct Bench {
    mind: LlmMind,
    server: Arc<Server>,
    closed: mpsc::UnboundedReceiver<()>,
}

async fn bench(script: Script) -> Bench {
    bench_with(script, Duration::from_secs(5)).await
}

async fn bench_with(script: Script, first_token: Duration) -> Bench {
    let (server, url, closed) = server(vec![script]).await;
    Bench { mind: mind(&[url], first_token), server, closed }
}

/// A server that answers by `scripts`, its address, and what tells when the client closes a connection.
async fn server(scripts: Vec<Script>) -> (Arc<Server>, String, mpsc::UnboundedReceiver<()>) {
    let (sender, closed) = mpsc::unbounded_channel();
    let server = Arc::new(Server { scripts, requests: Mutex::default(), closed: sender });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}/v1", listener.local_addr().expect("its address"));
    let app = Router::new().route("/v1/chat/completions", post(serve)).with_state(Arc::clone(&server));
    tokio::spawn(async move { axum::serve(listener, app).await });
    (server, url, closed)
}

/// The reference tenant's mind, with its tools, and models at `urls`.
fn mind(urls: &[String], first_token: Duration) -> LlmMind {
    let tenant = Tenant::load_on("nev", None, jiff::civil::date(2026, 1, 1)).expect("the tenant loads");
    let (url, fallbacks) = urls.split_first().expect("an address");
    let (url, fallbacks) = (url.clone(), fallbacks.to_vec());
    let config = LlmConfig { url, fallbacks, model: "m".into(), first_token, ..LlmConfig::default() };
    let now = Arc::new(|| jiff::civil::date(2026, 11, 23).at(22, 0, 0, 0));
    let acting = Acting::fully(&tenant, now);
    let light = LightMind::new(Arc::new(tenant)).acting(acting);
    LlmMind::new(config, light, tokio::runtime::Handle::current()).expect("the address is right")
}

fn ask(text: &str) -> Ask {
    Ask {
        transcript: Transcript { text: text.into(), confidence: 0.9, ..Transcript::default() },
        ..Ask::default()
    }
}

fn start(mind: &LlmMind, ask: Ask) -> mpsc::UnboundedReceiver<Thought> {
    let (sender, receiver) = mpsc::unbounded_channel();
    mind.think(ask, Box::new(move |t| drop(sender.send(t))));
    receiver
}

/// All clauses and the decision; fails if there is not exactly one decision, at the end, within ten seconds.
async fn outcome(mut thoughts: mpsc::UnboundedReceiver<Thought>) -> (Vec<String>, Decision) {
    let all = async {
        let mut clauses = Vec::new();
        let mut decision = None;
        while let Some(thought) = thoughts.recv().await {
            assert!(decision.is_none(), "nothing follows the decision: {thought:?}");
            match thought {
                Thought::Clause(c) => clauses.push(c),
                Thought::Decided(d) => decision = Some(d),
            }
        }
        (clauses, decision.expect("a decision ends every turn"))
    };
    tokio::time::timeout(Duration::from_secs(10), all).await.expect("the turn ends within ten seconds")
}

fn event(delta: &Value, finish: Option<&str>) -> String {
    format!("data: {}\n\n", json!({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}))
}

const QUESTION: &str = "充电枪拔不出来怎么办";

fn words(pieces: &[&str]) -> String {
    pieces.iter().map(|p| event(&json!({"content": p}), None)).collect()
}
