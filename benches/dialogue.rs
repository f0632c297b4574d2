//! Cost of the mind: from a final transcript to the first clause.
//!
//! `cargo bench --bench dialogue`. The light tier answers every sentence of `fixtures/scenarios`; the large tier answers through
//! a server on loopback, and what is told is the time from the server's first token (which holds a clause) to that clause.

use std::convert::Infallible;
use std::hint::black_box;
use std::path::Path;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::Response;
use axum::routing::post;
use axum::serve::ListenerExt as _;
use criterion::Criterion;
use nightline::asr::Transcript;
use nightline::clock::{Clock, Time};
use nightline::dialogue::light::Acting;
use nightline::dialogue::llm::LlmConfig;
use nightline::dialogue::tenant::Tenant;
use nightline::dialogue::{Ask, Mind, Thought, engine};
use nightline::qa::scenario;

/// Answers of each tier that are measured.
const ROUNDS: usize = 300;
/// The first token comes so long after the request.
const THINKS: Duration = Duration::from_millis(5);

fn ask(text: &str) -> Ask {
    let transcript = Transcript { text: text.to_owned(), confidence: 0.95, ..Transcript::default() };
    Ask { transcript, caller: Some("13800001234".into()), ..Ask::default() }
}

/// When the first clause came, if one did.
fn first_clause(mind: &dyn Mind, clock: &Clock, text: &str) -> Option<Time> {
    let (sender, thoughts) = mpsc::channel();
    let clock = *clock;
    let sink = move |thought| drop(sender.send((clock.now(), thought)));
    mind.think(ask(text), Box::new(sink));
    let mut first = None;
    for (at, thought) in thoughts {
        if matches!(thought, Thought::Clause(_)) {
            first.get_or_insert(at);
        }
    }
    first
}

fn told(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |share: f64| times.get((times.len() as f64 * share) as usize).copied().unwrap_or_default();
    println!(
        "{what}: p50 {:.2?}, p95 {:.2?}, longest {:.2?} of {}",
        at(0.5),
        at(0.95),
        times.last().copied().unwrap_or_default(),
        times.len()
    );
}

#[derive(Clone)]
struct Server {
    clock: Clock,
    /// When the first token of each answer was sent.
    sent: Arc<Mutex<Vec<Time>>>,
}

async fn serve(State(server): State<Server>) -> Response {
    let token = |text: &str, finish: &str| {
        Bytes::from(format!(
            "data: {{\"choices\":[{{\"delta\":{{\"content\":\"{text}\"}},\"finish_reason\":{finish}}}]}}\n\n"
        ))
    };
    let tokens = [token("请先结束充电。用钥匙", "null"), token("解锁车门。", "null"), token("", "\"stop\"")];
    let state = (tokens.into_iter(), true, server);
    let stream = futures_util::stream::unfold(state, |(mut tokens, first, server)| async move {
        let token = tokens.next()?;
        if first {
            tokio::time::sleep(THINKS).await;
            if let Ok(mut sent) = server.sent.lock() {
                sent.push(server.clock.now());
            }
        }
        Some((Ok::<_, Infallible>(token), (tokens, false, server)))
    });
    Response::builder()
        .header("content-type", "text/event-stream")
        .body(Body::from_stream(stream))
        .expect("a response")
}

fn main() {
    let clock = Clock::start();
    let tenant = Tenant::load("nev", None).expect("the tenant loads");
    let now = jiff::civil::date(2026, 11, 23).at(22, 0, 0, 0);
    let acting = |tenant: &Tenant| Acting::fully(tenant, Arc::new(move || now));
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/scenarios");
    let scenarios = scenario::load(&folder).expect("the scenarios load");
    let sentences: Vec<String> =
        scenarios.into_iter().flat_map(|one| one.turns).map(|turn| turn.say).collect();

    let light = engine::open(tenant.clone(), None, Some(acting(&tenant))).expect("the mind opens");
    let times = sentences.iter().cycle().take(ROUNDS.max(sentences.len())).filter_map(|sentence| {
        let start = clock.now();
        Some(first_clause(&*light, &clock, sentence)?.saturating_since(start))
    });
    told("light tier, transcript to first clause", times.collect());

    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let server = Server { clock, sent: Arc::default() };
    let url = runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}/v1", listener.local_addr().expect("its address"));
        let app = Router::new().route("/v1/chat/completions", post(serve)).with_state(server.clone());
        // As model servers do: without it the kernel holds the first token back until the headers are acknowledged (40 ms).
        let listener = listener.tap_io(|connection| drop(connection.set_nodelay(true)));
        tokio::spawn(async move { axum::serve(listener, app).await });
        url
    });
    let large = {
        let _inside = runtime.enter();
        let config = LlmConfig { url, ..LlmConfig::default() };
        engine::open(tenant.clone(), Some(config), Some(acting(&tenant))).expect("the mind opens")
    };
    let (mut after_token, mut before_token) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let start = clock.now();
        let first = first_clause(&*large, &clock, "充电枪拔不出来怎么办").expect("a clause");
        let sent = server.sent.lock().expect("no panic").last().copied().expect("the server was asked");
        after_token.push(first.saturating_since(sent));
        before_token.push(sent.saturating_since(start).saturating_sub(THINKS));
    }
    told("large tier, server's first token to first clause", after_token);
    told("large tier, transcript to the request at the server", before_token);

    let mut criterion = Criterion::default().configure_from_args();
    criterion.bench_function("light tier, a whole answer", |b| {
        b.iter(|| first_clause(&*light, &clock, black_box("门店几点下班")));
    });
    criterion.final_summary();
}
