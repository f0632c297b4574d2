//! Every scenario with a large model in front: one that answers like a sensible but fallible model, in each way in which
//! servers fail. Whatever it does, the scenarios pass, and nothing is spoken that no source has.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::post;
use nightline::dialogue::llm::LlmConfig;
use nightline::dialogue::tenant::Tenant;
use nightline::qa::scenario::{self, Verdict};
use serde_json::{Value, json};

/// How the server behaves.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mode {
    Normal,
    SlowFirstToken,
    CutMidStream,
    SplitUtf8,
    WrongJson,
    ToolLoop,
    TooManyRequests,
    Broken,
    /// As normal, with inventions between the sentences.
    Inventing,
}

/// What no source has: prices, promises, times.
const INVENTIONS: [&str; 4] =
    ["一共九千九百九十九元。", "我们全额退款给您。", "七十七分钟就修好。", "这样开没有危险，放心开。"];

struct Model {
    mode: Mode,
    asked: AtomicUsize,
}

/// What a sensible model would do: say the first approved fact, look a thing up, or give the call to a person.
fn answer(request: &Value) -> Vec<Value> {
    let messages = request["messages"].as_array().expect("messages");
    let system = messages[0]["content"].as_str().expect("a system prompt");
    let last = messages.last().expect("a message");
    let text = last["content"].as_str().unwrap_or_default();
    let call = |name: &str, arguments: Value| {
        let function = json!({"name": name, "arguments": arguments.to_string()});
        vec![json!({"tool_calls": [{"index": 0, "id": "call_x", "type": "function", "function": function}]})]
    };
    if last["role"] == "tool" {
        return vec![json!({"content": "我查到了，就是刚才说的这些。"})];
    }
    if ["提示词", "赔", "电话和地址", "别人"].iter().any(|word| text.contains(word)) {
        return vec![json!({"content": "这个我不能答应，"}), json!({"content": "我可以帮您查车辆和预约。"})];
    }
    let fact =
        system.lines().find_map(|line| line.strip_prefix("- ")?.split_once(": ").map(|(_, fact)| fact));
    // What the titles have in common with the question, as a reader would see it.
    let titles: String =
        system.lines().filter_map(|line| line.strip_prefix("- ")?.split(": ").next()).collect();
    let words: Vec<char> = text.chars().collect();
    let sure = words.windows(2).any(|pair| titles.contains(&pair.iter().collect::<String>()));
    match fact {
        Some(fact) if sure => {
            let half = fact.char_indices().nth(fact.chars().count() / 2).map_or(0, |(at, _)| at);
            vec![json!({"content": fact[..half]}), json!({"content": fact[half..]})]
        }
        _ => call("ask_to_repeat", json!({})),
    }
}

async fn serve(State(model): State<Arc<Model>>, body: String) -> Response {
    let number = model.asked.fetch_add(1, Ordering::Relaxed);
    let request: Value = serde_json::from_str(&body).expect("a JSON request");
    let status = match model.mode {
        Mode::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
        Mode::Broken => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::OK,
    };
    if status != StatusCode::OK {
        return Response::builder().status(status).body(Body::from("no")).expect("a response");
    }
    let call = |name: &str, arguments: &str| {
        let function = json!({"name": name, "arguments": arguments});
        vec![json!({"tool_calls": [{"index": 0, "id": "call_x", "type": "function", "function": function}]})]
    };
    let deltas = match model.mode {
        Mode::WrongJson => call("find_vehicle", "{\"plate\": \"沪A"),
        Mode::ToolLoop => call("find_price", &json!({"item": format!("保养{}", number % 50)}).to_string()),
        Mode::Inventing => {
            let planted = INVENTIONS.iter().map(|text| json!({"content": text}));
            let mut deltas: Vec<Value> = planted.collect();
            deltas.extend(answer(&request));
            deltas
        }
        _ => answer(&request),
    };
    let event = |delta: &Value, finish: Option<&str>| {
        format!("data: {}\n\n", json!({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}))
    };
    let mut text: String = deltas.iter().map(|delta| event(delta, None)).collect();
    if model.mode == Mode::CutMidStream {
        let deltas = &deltas[..deltas.len().div_ceil(2)];
        text = deltas.iter().map(|delta| event(delta, None)).collect();
    } else {
        text.push_str(&event(&json!({}), Some("stop")));
        text.push_str("data: [DONE]\n\n");
    }
    let width = if model.mode == Mode::SplitUtf8 { 5 } else { 4096 };
    let chunks: Vec<Bytes> = text.as_bytes().chunks(width).map(Bytes::copy_from_slice).collect();
    let slow = model.mode == Mode::SlowFirstToken;
    let stream = futures_util::stream::unfold(chunks.into_iter(), move |mut chunks| async move {
        if slow {
            std::future::pending::<()>().await;
        }
        tokio::task::yield_now().await;
        Some((Ok::<_, Infallible>(chunks.next()?), chunks))
    });
    Response::builder()
        .header("content-type", "text/event-stream")
        .body(Body::from_stream(stream))
        .expect("a response")
}

/// All scenarios with a server of that mode, and how often it was asked.
async fn run(mode: Mode) -> (Vec<Verdict>, usize) {
    let model = Arc::new(Model { mode, asked: AtomicUsize::new(0) });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}/v1", listener.local_addr().expect("its address"));
    let app = Router::new().route("/v1/chat/completions", post(serve)).with_state(model.clone());
    tokio::spawn(async move { axum::serve(listener, app).await });
    let tenant = Tenant::load("nev", None).expect("the tenant loads");
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/scenarios");
    let first_token = Duration::from_millis(if mode == Mode::SlowFirstToken { 60 } else { 5000 });
    let mut verdicts = Vec::new();
    for mut one in scenario::load(&folder).expect("the scenarios load") {
        // Time is measured by the benchmark, not by a test on a machine that does other things too.
        one.turns.iter_mut().for_each(|turn| turn.within_ms = None);
        let config = LlmConfig { url: url.clone(), first_token, ..LlmConfig::default() };
        verdicts.push(scenario::converse(&one, tenant.clone(), Some(config)).await.expect("it can be run"));
    }
    (verdicts, model.asked.load(Ordering::Relaxed))
}

async fn all_pass(mode: Mode) -> Vec<Verdict> {
    let (verdicts, asked) = run(mode).await;
    assert!(verdicts.len() >= 40, "only {} scenarios", verdicts.len());
    assert!(asked >= 5, "{mode:?}: the model was asked {asked} times only: this shows nothing");
    let failed: Vec<String> = verdicts
        .iter()
        .filter(|verdict| !verdict.passed())
        .map(|verdict| {
            let said: Vec<_> =
                verdict.turns.iter().map(|turn| format!("{} → {}", turn.said, turn.answer)).collect();
            format!("{}: {:?}\n  {}", verdict.name, verdict.failures, said.join("\n  "))
        })
        .collect();
    assert!(failed.is_empty(), "{mode:?}: {} failed\n{}", failed.len(), failed.join("\n"));
    verdicts
}

#[tokio::test(flavor = "multi_thread")]
async fn scenarios_pass_with_a_model_that_answers_well() {
    all_pass(Mode::Normal).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scenarios_pass_with_a_slow_first_token() {
    all_pass(Mode::SlowFirstToken).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scenarios_pass_with_streams_cut_in_the_middle() {
    all_pass(Mode::CutMidStream).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scenarios_pass_with_characters_split_across_chunks() {
    all_pass(Mode::SplitUtf8).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scenarios_pass_with_arguments_that_are_no_json() {
    all_pass(Mode::WrongJson).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scenarios_pass_with_a_model_that_looks_things_up_for_ever() {
    all_pass(Mode::ToolLoop).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scenarios_pass_with_a_server_that_has_too_many_requests() {
    all_pass(Mode::TooManyRequests).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scenarios_pass_with_a_server_that_breaks() {
    all_pass(Mode::Broken).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn inventions_of_the_model_are_withheld_in_every_scenario() {
    let verdicts = all_pass(Mode::Inventing).await;
    let turns = || verdicts.iter().flat_map(|verdict| &verdict.turns);
    for turn in turns() {
        for invention in INVENTIONS {
            let core = invention.trim_end_matches('。');
            assert!(!turn.answer.contains(core), "`{}` was spoken after `{}`", turn.answer, turn.said);
        }
    }
    let withheld: usize = turns().map(|turn| turn.withheld.len()).sum();
    assert!(withheld >= 20, "only {withheld} inventions were withheld: this shows nothing");
}
