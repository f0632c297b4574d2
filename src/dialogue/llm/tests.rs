//! The client against a real HTTP server on loopback.

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
    script: Script,
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
    server.requests.lock().expect("no panic").push(serde_json::from_str(&body).expect("a JSON request"));
    let guard = Closed(server.closed.clone());
    let (chunks, hang) = match &server.script {
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
    let (sender, closed) = mpsc::unbounded_channel();
    let server = Arc::new(Server { script, requests: Mutex::default(), closed: sender });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}/v1", listener.local_addr().expect("its address"));
    let app = Router::new().route("/v1/chat/completions", post(serve)).with_state(Arc::clone(&server));
    tokio::spawn(async move { axum::serve(listener, app).await });
    let tenant = Tenant::load_on("nev", None, jiff::civil::date(2026, 1, 1)).expect("the tenant loads");
    let config = LlmConfig { url, model: "m".into(), first_token, ..LlmConfig::default() };
    let mind = LlmMind::new(config, LightMind::new(Arc::new(tenant)), tokio::runtime::Handle::current())
        .expect("the address is right");
    Bench { mind, server, closed }
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

#[tokio::test]
async fn a_chinese_character_split_across_chunks_survives() {
    let text = words(&["请先结束充电，", "用钥匙解锁车门，再等十", "秒拔枪。请不要硬拔"])
        + &event(&json!({}), Some("stop"))
        + "data: [DONE]\n\n";
    // Chunks of five bytes cut characters (three bytes each), lines and events anywhere.
    let chunks = text.as_bytes().chunks(5).map(<[u8]>::to_vec).collect();
    let bench = bench(Script::Chunks(chunks)).await;
    let (clauses, decision) = outcome(start(&bench.mind, ask(QUESTION))).await;
    assert_eq!(clauses, ["请先结束充电，", "用钥匙解锁车门，再等十秒拔枪。", "请不要硬拔"]);
    assert_eq!((decision.act, decision.tier), (Act::Answer, Tier::Llm));
    assert_eq!(decision.sources, ["charge-gun-stuck"]);
    let requests = bench.server.requests.lock().expect("no panic");
    let system = requests[0]["messages"][0]["content"].as_str().expect("a system prompt");
    assert!(system.contains("应急解锁拉绳"), "the approved entry is given: {system}");
    assert_eq!(requests[0]["messages"][1]["content"], QUESTION);
}

#[tokio::test]
async fn empty_usage_and_choices_do_not_disturb() {
    let text = [
        ": keep-alive\n\n".to_owned(),
        "data: {\"choices\":[],\"usage\":{}}\n\n".to_owned(),
        event(&json!({"role": "assistant", "content": null}), None),
        words(&["请先结束充电。"]),
        event(&json!({}), Some("stop")),
        "data: {\"choices\":[],\"usage\":null}\n\ndata: [DONE]\n\n".to_owned(),
    ]
    .concat();
    let bench = bench(Script::Chunks(vec![text.into_bytes()])).await;
    let (clauses, decision) = outcome(start(&bench.mind, ask(QUESTION))).await;
    assert_eq!((clauses, decision.tier), (vec!["请先结束充电。".to_owned()], Tier::Llm));
}

#[tokio::test]
async fn a_tool_call_in_pieces_gives_the_call_to_a_person() {
    let piece = |function: Value| event(&json!({"tool_calls": [{"index": 0, "function": function}]}), None);
    let text = [
        piece(json!({"name": "transfer_to_human"})),
        piece(json!({"arguments": "{\"rea"})),
        piece(json!({"arguments": "son\":\"x\"}"})),
        event(&json!({}), Some("tool_calls")),
    ]
    .concat();
    let bench = bench(Script::Chunks(vec![text.into_bytes()])).await;
    let (clauses, decision) = outcome(start(&bench.mind, ask(QUESTION))).await;
    assert_eq!((clauses.len(), decision.act), (0, Act::Handoff(Reason::LowConfidence)));
}

#[tokio::test]
async fn every_failure_before_the_first_words_is_answered_by_the_light_tier() {
    let scripts = [
        ("status 500", Script::Status(500)),
        ("no headers", Script::Silent),
        ("no words", Script::Hang(vec![b": waiting\n\n".to_vec()])),
        ("empty", Script::Chunks(vec![b"data: [DONE]\n\n".to_vec()])),
        ("cut at once", Script::Chunks(Vec::new())),
        ("an error", Script::Chunks(vec![b"data: {\"error\":{\"message\":\"busy\"}}\n\n".to_vec()])),
    ];
    for (name, script) in scripts {
        let bench = bench_with(script, Duration::from_millis(150)).await;
        let (clauses, decision) = outcome(start(&bench.mind, ask(QUESTION))).await;
        assert_eq!((decision.tier, &decision.act), (Tier::Light, &Act::Answer), "{name}");
        assert_eq!(decision.sources, ["charge-gun-stuck"], "{name}");
        assert!(!clauses.is_empty(), "{name}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_replaced_by_the_light_tier() {
    let tenant = Tenant::load_on("nev", None, jiff::civil::date(2026, 1, 1)).expect("the tenant loads");
    let free =
        std::net::TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("its address");
    let config = LlmConfig { url: format!("http://{free}/v1"), ..LlmConfig::default() };
    let light = LightMind::new(Arc::new(tenant));
    let mind = LlmMind::new(config, light, tokio::runtime::Handle::current()).expect("the address is right");
    let (_, decision) = outcome(start(&mind, ask(QUESTION))).await;
    assert_eq!((decision.tier, decision.act), (Tier::Light, Act::Answer));
}

#[tokio::test]
async fn a_stream_cut_in_the_middle_ends_the_answer_without_repeating_it() {
    let text = words(&["请先结束充电，用钥匙解锁所有车门，", "再等"]);
    let bench = bench(Script::Chunks(vec![text.into_bytes()])).await;
    let (clauses, decision) = outcome(start(&bench.mind, ask(QUESTION))).await;
    assert_eq!(clauses, ["请先结束充电，", "用钥匙解锁所有车门，"], "the unfinished clause is not spoken");
    assert_eq!((decision.tier, decision.act), (Tier::Llm, Act::Answer));
    assert!(decision.confidence < 0.6, "half an answer is not sure: {}", decision.confidence);
}

#[tokio::test]
async fn a_cancelled_turn_closes_the_connection() {
    let mut bench = bench(Script::Hang(vec![words(&["请先结束充电，用钥匙"]).into_bytes()])).await;
    let ask = ask(QUESTION);
    let cancelled = Arc::clone(&ask.cancelled);
    let mut thoughts = start(&bench.mind, ask);
    let limit = Duration::from_secs(10);
    let first = tokio::time::timeout(limit, thoughts.recv()).await.expect("the first clause comes");
    assert_eq!(first, Some(Thought::Clause("请先结束充电，".into())));
    cancelled.store(true, Ordering::Relaxed);
    let (clauses, decision) = outcome(thoughts).await;
    assert_eq!((clauses.len(), decision.act), (0, Act::Ignore));
    tokio::time::timeout(limit, bench.closed.recv()).await.expect("the server sees the connection close");
}

#[tokio::test]
async fn rules_go_before_the_model() {
    let bench = bench(Script::Status(500)).await;
    let (_, decision) = outcome(start(&bench.mind, ask("我的车冒烟了"))).await;
    assert_eq!((decision.act, decision.tier), (Act::Handoff(Reason::Safety), Tier::Light));
    assert!(bench.server.requests.lock().expect("no panic").is_empty(), "the model was not asked");
}

#[tokio::test]
async fn forbidden_words_of_the_model_are_not_spoken() {
    let text = words(&["请先结束充电。", "我们肯定免费给您修。", "再见。"]) + "data: [DONE]\n\n";
    let bench = bench(Script::Chunks(vec![text.into_bytes()])).await;
    let (clauses, decision) = outcome(start(&bench.mind, ask(QUESTION))).await;
    assert_eq!(clauses, ["请先结束充电。"]);
    assert_eq!(decision.act, Act::Handoff(Reason::LowConfidence));
}

#[test]
fn a_wrong_address_is_refused_with_advice() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let tenant = Tenant::load_on("nev", None, jiff::civil::date(2026, 1, 1)).expect("the tenant loads");
    let config = LlmConfig { url: "localhost:8080".into(), ..LlmConfig::default() };
    let error = LlmMind::new(config, LightMind::new(Arc::new(tenant)), runtime.handle().clone());
    let text = error.err().expect("it has no scheme").to_string();
    assert!(text.contains("localhost:8080") && text.contains("/v1"), "{text}");
}
