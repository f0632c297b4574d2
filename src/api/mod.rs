//! What Nightline tells over HTTP: whether it is well, and, on the machine itself, what is stored of calls.
//!
//! There is no login yet, so calls (numbers, words) are only told on a loopback address; elsewhere only `/health` is.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

use crate::store::{CallbackState, Error, Store};

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
}

/// Serves on `listener` until `shutdown`.
pub async fn serve(
    listener: tokio::net::TcpListener,
    store: Store,
    health: Ask,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let router = router(listener.local_addr()?, store, health);
    axum::serve(listener, router).with_graceful_shutdown(shutdown).await
}

/// `/health` for all; `/calls`, `/calls/ID` and `/callbacks` if `addr` is a loopback address.
fn router(addr: SocketAddr, store: Store, health: Ask) -> Router {
    let mut router = Router::new().route("/health", get(tell_health));
    if addr.ip().is_loopback() {
        router = router
            .route("/calls", get(calls))
            .route("/calls/{id}", get(call))
            .route("/callbacks", get(callbacks));
    }
    router.with_state(Shared { store, health })
}

/// 200 while calls are taken, 503 while the server stops: a load balancer sends no more.
async fn tell_health(State(shared): State<Shared>) -> Response {
    let health = (shared.health)();
    let status = if health.open { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(health)).into_response()
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
    use crate::record::CallInfo;
    use std::sync::atomic::{AtomicBool, Ordering};

    struct Running {
        url: String,
        open: Arc<AtomicBool>,
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
        tokio::spawn(serve(listener, store, health, std::future::pending()));
        Running { url, open, _folder: folder }
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
        assert_eq!(ask(&format!("{}/health", running.url)).await.0, 200);
        for path in ["calls", "calls/0191-a", "callbacks"] {
            assert_eq!(
                ask(&format!("{}/{path}", running.url)).await.0,
                404,
                "/{path} is open to the network"
            );
        }
    }
}
