//! What Nightline tells over HTTP: whether it is well, its figures, and, on the machine itself, what is stored of calls.
//!
//! There is no login yet, so calls (numbers, words) are only told on a loopback address; elsewhere only `/health` and
//! `/metrics` are, which hold nothing personal, and the page of a call to who has its key ([`crate::screen`]).

mod people;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{Path, Query, State, WebSocketUpgrade};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, put};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

use crate::chat::door::Desk;
use crate::screen::Screens;
use crate::seat::floor::Floor;
use crate::store::{CallbackState, Error, Store};
use crate::telemetry::metrics::Metrics;

/// How the server is, as `/health` tells it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// Calls that run now.
    pub calls: usize,
    /// Calls that may run at one time.
    pub max_calls: usize,
    /// Events that the database did not take since the start.
    pub lost: u64,
    /// Whether new calls are taken; false while the server stops.
    pub open: bool,
}

/// Gives the health of the moment.
pub type Ask = Arc<dyn Fn() -> Health + Send + Sync>;

/// What is told of.
#[derive(Clone)]
pub struct Shared {
    /// Calls that are over.
    pub store: Store,
    /// How the server is.
    pub health: Ask,
    /// Figures of all calls.
    pub metrics: Metrics,
    /// Where customers write.
    pub chat: Desk,
    /// The seats.
    pub floor: Floor,
    /// What seats see of calls.
    pub screens: Screens,
}

/// Serves on `listener` until `shutdown`.
pub async fn serve(
    listener: tokio::net::TcpListener,
    shared: Shared,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let addr = listener.local_addr()?;
    let router = router(addr, shared);
    axum::serve(listener, router).with_graceful_shutdown(shutdown).await
}

/// `/health` and `/metrics` for all, `/screen/ID` for who has its key; the rest if `addr` is a loopback address.
fn router(addr: SocketAddr, shared: Shared) -> Router {
    let mut router = Router::new().route("/health", get(tell_health)).route("/metrics", get(tell_metrics));
    if addr.ip().is_loopback() {
        router = router
            .route("/calls", get(calls))
            .route("/calls/{id}", get(call))
            .route("/callbacks", get(callbacks))
            .route("/messages", get(messages))
            .route("/messages/{id}", delete(close_message))
            .route("/seats", get(people::seats))
            .route("/seats/{id}", put(people::set_seat))
            .route("/outbound", get(people::orders).post(people::order))
            .route("/outbound/{id}", delete(people::cancel))
            .route("/chat", get(chat));
    }
    let screens = shared.screens.routes(shared.store.clone());
    router.with_state(shared).merge(screens)
}

/// 200 while calls are taken, 503 while the server stops: a load balancer sends no more.
async fn tell_health(State(shared): State<Shared>) -> Response {
    let health = (shared.health)();
    let status = if health.open { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(health)).into_response()
}

/// The figures as OpenMetrics text, which Prometheus reads.
async fn tell_metrics(State(shared): State<Shared>) -> Response {
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    match shared.metrics.text(&(shared.health)()) {
        Ok(text) => ([(CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

#[derive(Deserialize)]
struct Limit {
    limit: Option<u32>,
}

async fn calls(
    State(shared): State<Shared>,
    Query(Limit { limit }): Query<Limit>,
) -> Result<Response, Failure> {
    Ok(Json(shared.store.calls(limit.unwrap_or(20).min(1000)).await?).into_response())
}

async fn call(State(shared): State<Shared>, Path(id): Path<String>) -> Result<Response, Failure> {
    match shared.store.call(&id).await? {
        Some(call) => Ok(Json(call).into_response()),
        None => Err(Failure(StatusCode::NOT_FOUND, "there is no such call: see /calls".into())),
    }
}

/// Messages that nobody has listened to yet.
async fn messages(State(shared): State<Shared>) -> Result<Response, Failure> {
    Ok(Json(shared.store.messages(Some(CallbackState::Open)).await?).into_response())
}

/// A message is done with.
async fn close_message(State(shared): State<Shared>, Path(id): Path<i64>) -> Result<Response, Failure> {
    if shared.store.message_done(id).await? {
        Ok(StatusCode::NO_CONTENT.into_response())
    } else {
        Err(Failure(StatusCode::NOT_FOUND, "there is no open message of that number: see /messages".into()))
    }
}

async fn callbacks(State(shared): State<Shared>) -> Result<Response, Failure> {
    Ok(Json(shared.store.callbacks(Some(CallbackState::Open)).await?).into_response())
}

#[derive(Deserialize)]
struct Customer {
    /// Telephone number, digits.
    customer: Option<String>,
}

/// A customer who writes; see [`crate::chat::door`]. The website's own server stands in front and says who it is.
async fn chat(
    State(shared): State<Shared>,
    Query(Customer { customer }): Query<Customer>,
    upgrade: WebSocketUpgrade,
) -> Result<Response, Failure> {
    let number = |customer: &String| {
        (5..=15).contains(&customer.len()) && customer.bytes().all(|byte| byte.is_ascii_digit())
    };
    if customer.as_ref().is_some_and(|customer| !number(customer)) {
        let advice = "`customer` is a telephone number, 5 to 15 digits";
        return Err(Failure(StatusCode::BAD_REQUEST, advice.into()));
    }
    let id = uuid::Uuid::now_v7().to_string();
    Ok(upgrade.max_message_size(16 * 1024).on_upgrade(move |socket| shared.chat.serve(socket, id, customer)))
}

/// What went wrong, as `{"error": …}`.
struct Failure(StatusCode, String);

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let status = match error {
            Error::Ambiguous { .. } => StatusCode::CONFLICT,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self(status, error.to_string())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.0, Json(serde_json::json!({ "error": self.1 }))).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::event::{Disposition, Event, EventKind};
    use crate::clock::Time;
    use crate::record::CallInfo;
    use crate::seat::Profile;
    use crate::seat::queue::Rules;
    use std::sync::atomic::{AtomicBool, Ordering};

    struct Running {
        url: String,
        open: Arc<AtomicBool>,
        metrics: Metrics,
        _folder: tempfile::TempDir,
    }

    async fn start(ip: &str) -> Running {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("n.db")).await.unwrap();
        for id in ["0191-a", "0191-b"] {
            let info = CallInfo {
                id: id.into(),
                from: "13812345678".into(),
                started: format!("2026-{id}"),
                ..CallInfo::default()
            };
            store.begin_call(&info).await.unwrap();
        }
        store.book_callback("0191-a", "13812345678", "明天").await.unwrap();
        let open = Arc::new(AtomicBool::new(true));
        let health: Ask = {
            let open = open.clone();
            Arc::new(move || Health { calls: 2, max_calls: 9, lost: 0, open: open.load(Ordering::Relaxed) })
        };
        let listener = tokio::net::TcpListener::bind((ip, 0)).await.unwrap();
        let url = format!("http://127.0.0.1:{}", listener.local_addr().unwrap().port());
        let metrics = Metrics::new();
        let tenant = crate::dialogue::tenant::Tenant::load("nev", None).unwrap();
        let mind = crate::dialogue::engine::open(tenant.clone(), None, None).unwrap();
        let chat = Desk::new(mind.clone(), Arc::new(crate::tools::NoTools::default()));
        let floor = Floor::new(vec![Profile::plain("sip:1001@pbx")], Rules::default());
        let screens = Screens::new(&crate::config::Http::default(), tenant, mind);
        let shared = Shared { store, health, metrics: metrics.clone(), chat, floor, screens };
        tokio::spawn(serve(listener, shared, std::future::pending()));
        Running { url, open, metrics, _folder: folder }
    }

    async fn ask(url: &str) -> (u16, serde_json::Value) {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let answer = reqwest::get(url).await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap_or_default())
    }

    #[tokio::test]
    async fn health_tells_calls_and_whether_more_are_taken() {
        let running = start("127.0.0.1").await;
        let url = format!("{}/health", running.url);
        let (status, body) = ask(&url).await;
        assert_eq!(status, 200);
        assert_eq!(body, serde_json::json!({ "calls": 2, "max_calls": 9, "lost": 0, "open": true }));
        running.open.store(false, Ordering::Relaxed);
        assert_eq!(ask(&url).await.0, 503, "a server that stops is not sent more calls");
    }

    #[tokio::test]
    async fn metrics_are_told_as_text_with_the_calls_of_the_moment() {
        let running = start("127.0.0.1").await;
        let mut tap = running.metrics.tap(&CallInfo { door: "sip".into(), ..CallInfo::default() });
        tap.event(&Event { at: Time::ZERO, kind: EventKind::Ended { disposition: Disposition::Contained } });
        let _ = rustls::crypto::ring::default_provider().install_default();
        let answer = reqwest::get(format!("{}/metrics", running.url)).await.unwrap();
        let kind = answer.headers()[CONTENT_TYPE].to_str().unwrap().to_owned();
        assert_eq!(kind, "application/openmetrics-text; version=1.0.0; charset=utf-8");
        let text = answer.text().await.unwrap();
        for line in [
            "nightline_calls_running 2",
            "nightline_calls_max 9",
            "nightline_calls_total{door=\"sip\",disposition=\"contained\"} 1",
        ] {
            assert!(text.lines().any(|l| l == line), "no {line} in\n{text}");
        }
    }

    #[tokio::test]
    async fn calls_are_told_as_json() {
        let running = start("127.0.0.1").await;
        let (status, list) = ask(&format!("{}/calls?limit=1", running.url)).await;
        assert_eq!((status, list.as_array().unwrap().len()), (200, 1));
        assert_eq!(list[0]["id"], "0191-b", "the newest comes first");
        let (status, call) = ask(&format!("{}/calls/0191-a", running.url)).await;
        assert_eq!((status, call["id"].as_str()), (200, Some("0191-a")));
        assert!(call["events"].is_array(), "{call}");
        assert_eq!(ask(&format!("{}/calls/zz", running.url)).await.0, 404);
        assert_eq!(ask(&format!("{}/calls/0191", running.url)).await.0, 409);
        let (_, callbacks) = ask(&format!("{}/callbacks", running.url)).await;
        assert_eq!(callbacks[0]["when"], "明天");
    }

    #[tokio::test]
    async fn seats_are_told_and_sent_away() {
        let running = start("127.0.0.1").await;
        let url = format!("{}/seats", running.url);
        let (_, floor) = ask(&url).await;
        assert_eq!(floor["seats"][0]["state"], "available", "{floor}");
        let client = reqwest::Client::new();
        let put = |seat: &str| client.put(format!("{url}/{seat}")).json(&serde_json::json!({ "away": true }));
        assert_eq!(put("sip:1001@pbx").send().await.unwrap().status(), 204);
        assert_eq!(put("nobody").send().await.unwrap().status(), 404);
        assert_eq!(ask(&url).await.1["seats"][0]["state"], "away");
    }

    #[tokio::test]
    async fn a_call_is_ordered_once_and_can_be_withdrawn() {
        let running = start("127.0.0.1").await;
        let _ = rustls::crypto::ring::default_provider().install_default();
        let url = format!("{}/outbound", running.url);
        let client = reqwest::Client::new();
        let order = |number: &str| {
            let words = "您明天下午两点有一个保养预约。";
            let body =
                serde_json::json!({ "key": "visit-7", "kind": "reminder", "number": number, "words": words });
            client.post(&url).json(&body).send()
        };
        assert_eq!(order("13812345678").await.unwrap().status(), 201);
        assert_eq!(order("13812345678").await.unwrap().status(), 200, "the same key is the same call");
        assert_eq!(order("110").await.unwrap().status(), 422);
        let (_, orders) = ask(&url).await;
        // The call-back that `start` has booked is one as well.
        let ours: Vec<_> =
            orders.as_array().unwrap().iter().filter(|order| order["kind"] == "reminder").collect();
        assert_eq!(ours.len(), 1, "{orders}");
        let one = format!("{url}/{}", ours[0]["id"]);
        assert_eq!(client.delete(&one).send().await.unwrap().status(), 204);
        assert_eq!(client.delete(&one).send().await.unwrap().status(), 404);
    }

    #[tokio::test]
    async fn calls_are_not_told_to_other_machines() {
        let running = start("0.0.0.0").await;
        for path in ["health", "metrics"] {
            assert_eq!(
                ask(&format!("{}/{path}", running.url)).await.0,
                200,
                "/{path} tells nothing personal"
            );
        }
        for path in ["calls", "calls/0191-a", "callbacks"] {
            assert_eq!(
                ask(&format!("{}/{path}", running.url)).await.0,
                404,
                "/{path} is open to the network"
            );
        }
    }

    type Socket =
        tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

    async fn write_in(running: &Running, query: &str) -> Socket {
        let url = format!("{}/chat{query}", running.url.replace("http", "ws"));
        tokio_tungstenite::connect_async(url).await.expect("a chat begins").0
    }

    /// Sends a message; gives all answers up to the one that ends the turn.
    async fn exchange(socket: &mut Socket, message: &str) -> Vec<serde_json::Value> {
        use futures_util::{SinkExt as _, StreamExt as _};
        socket.send(tokio_tungstenite::tungstenite::Message::text(message)).await.expect("it is sent");
        let mut answers: Vec<serde_json::Value> = Vec::new();
        loop {
            let next = tokio::time::timeout(std::time::Duration::from_secs(10), socket.next());
            let message = next.await.expect("an answer in time").expect("an open socket").expect("a message");
            answers.push(serde_json::from_str(message.to_text().expect("text")).expect("JSON"));
            let last = answers.last().expect("one");
            if last.get("decided").is_some() || last.get("error").is_some() {
                return answers;
            }
        }
    }

    #[tokio::test]
    async fn a_customer_who_writes_is_answered_and_remembered() {
        let running = start("127.0.0.1").await;
        let mut socket = write_in(&running, "?customer=13800138000").await;
        let answers = exchange(&mut socket, r#"{"say": "充电枪拔不出来怎么办"}"#).await;
        assert!(answers[0]["clause"].is_string(), "{answers:?}");
        assert_eq!(answers.last().expect("one")["decided"]["sources"][0], "charge-gun-stuck");
        let first: String = answers.iter().filter_map(|a| a["clause"].as_str()).collect();
        drop(socket);
        // The same customer comes back, another one does not know of it.
        let again = r#"{"say": "你再说一遍"}"#;
        let mut socket = write_in(&running, "?customer=13800138000").await;
        let answers = exchange(&mut socket, again).await;
        let repeated: String = answers.iter().filter_map(|a| a["clause"].as_str()).collect();
        assert_eq!(repeated, first);
        let mut other = write_in(&running, "?customer=13800138001").await;
        assert_ne!(exchange(&mut other, again).await, answers);
    }

    #[tokio::test]
    async fn a_customer_who_is_angry_gets_a_person_and_nonsense_an_error() {
        let running = start("127.0.0.1").await;
        let mut socket = write_in(&running, "").await;
        let answers = exchange(&mut socket, r#"{"say": "我要投诉你们"}"#).await;
        let handoff = answers.iter().find_map(|answer| answer.get("handoff")).expect("a person");
        assert_eq!(handoff["reason"], "upset");
        assert!(handoff["summary"].as_str().is_some_and(|text| text.contains("投诉")), "{handoff}");
        let long = format!(r#"{{"say": "{}"}}"#, "长".repeat(2000));
        for wrong in ["hello", "{}", r#"{"say": 3}"#, long.as_str()] {
            let answers = exchange(&mut socket, wrong).await;
            assert!(answers[0]["error"].is_string(), "{wrong}: {answers:?}");
        }
        assert_eq!(
            exchange(&mut socket, r#"{"say": "谢谢"}"#).await.last().expect("one")["decided"]["act"],
            "answer"
        );
    }

    #[tokio::test]
    async fn a_customer_that_is_no_number_is_refused() {
        let running = start("127.0.0.1").await;
        let url = format!("{}/chat?customer=%27%3B", running.url.replace("http", "ws"));
        let refused = tokio_tungstenite::connect_async(url).await.expect_err("it is no number");
        assert!(refused.to_string().contains("400"), "{refused}");
    }
}
