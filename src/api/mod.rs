//! What Nightline tells over HTTP: whether it is well, its figures, and, on the machine itself, what is stored of calls.
//!
//! There is no login yet, so calls (numbers, words) are only told on a loopback address; elsewhere only `/health` and
//! `/metrics` are, which hold nothing personal.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

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

#[derive(Clone)]
struct Shared {
    store: Store,
    health: Ask,
    metrics: Metrics,
}

/// Serves on `listener` until `shutdown`.
pub async fn serve(
    listener: tokio::net::TcpListener,
    store: Store,
    health: Ask,
    metrics: Metrics,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let addr = listener.local_addr()?;
    let router = router(addr, Shared { store, health, metrics });
    axum::serve(listener, router).with_graceful_shutdown(shutdown).await
}

/// `/health` and `/metrics` for all; `/calls`, `/calls/ID` and `/callbacks` if `addr` is a loopback address.
fn router(addr: SocketAddr, shared: Shared) -> Router {
    let mut router = Router::new().route("/health", get(tell_health)).route("/metrics", get(tell_metrics));
    if addr.ip().is_loopback() {
        router = router
            .route("/calls", get(calls))
            .route("/calls/{id}", get(call))
            .route("/callbacks", get(callbacks));
    }
    router.with_state(shared)
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

async fn callbacks(State(shared): State<Shared>) -> Result<Response, Failure> {
    Ok(Json(shared.store.callbacks(Some(CallbackState::Open)).await?).into_response())
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
        tokio::spawn(serve(listener, store, health, metrics.clone(), std::future::pending()));
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
}
