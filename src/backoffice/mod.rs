//! The reference back office: a small service over HTTP and SQLite that stands for the systems behind a hotline (dealer
//! management, customers, parts, prices, bookings, road rescue, work orders, SMS) and really keeps what is booked.
//!
//! Nightline reaches it as it would reach a company's own systems: by the tools in `tenants/nev/tools.toml`. Its routes
//! describe themselves at `/openapi.json`. Times are civil times in Shanghai, amounts yuan.

mod bookings;
mod catalogue;
mod centres;
mod customers;
mod error;
mod http;
mod identity;
mod instalments;
mod matching;
mod mcp;
mod notices;
mod page;
mod rescues;
mod seed;
mod slots;
mod store;
mod tickets;
mod value;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::header::AUTHORIZATION;
use axum::middleware::Next;
use axum::response::Response;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use crate::clock;
use crate::dialogue::tenant::Tenant;
use http::Failure;
use value::{Civil, Day};

pub use error::Error;

/// How to open a back office.
#[derive(Debug, Default)]
pub struct Options {
    /// The file; [`None`]: in memory, gone with the last clone.
    pub database: Option<PathBuf>,
    /// A clock that stands still, for demonstrations and tests; [`None`]: the wall clock.
    pub now: Option<jiff::Timestamp>,
    /// What clients must send as `Authorization: Bearer …`; [`None`]: nothing is asked.
    pub token: Option<SecretString>,
    /// Fill an empty database with the reference data.
    pub seed: bool,
}

/// A back office. Cheap to clone.
#[derive(Clone)]
pub struct BackOffice {
    pool: sqlx::SqlitePool,
    clock: Clock,
    token: Option<Arc<SecretString>>,
    /// Held as long as a clone lives: one process for one file.
    _lock: Option<Arc<std::fs::File>>,
}

/// The longest body that is read, in bytes: each text has at most 500 characters.
const BODY: usize = 64 * 1024;

impl BackOffice {
    /// Opens the database, makes it if it is missing and brings its tables up to date.
    pub async fn open(options: Options) -> Result<Self, Error> {
        let clock = Clock(options.now);
        let (pool, lock) = store::open(options.database.as_deref()).await?;
        let office = Self { pool, clock, token: options.token.map(Arc::new), _lock: lock.map(Arc::new) };
        if options.seed {
            seed::fill(&office.pool, clock).await.map_err(|e| Error::of(options.database.as_deref(), e))?;
        }
        Ok(office)
    }

    /// Ends all work on the file and lets go of it. One that is only dropped is let go of a moment later, by threads of its
    /// own.
    pub async fn close(self) {
        self.pool.close().await;
    }

    /// All routes. `/`, `/health` and `/openapi.json` are open to everybody, the rest asks for the token.
    pub fn router(&self) -> Router {
        let (router, _) = routes().split_for_parts();
        let (health, _) = page::health_route().split_for_parts();
        router
            .route_layer(axum::middleware::from_fn_with_state(self.clone(), ask_for_token))
            .merge(health)
            .merge(page::document_routes(Self::openapi()))
            .layer(DefaultBodyLimit::max(BODY))
            .fallback(async || Failure::missing("there is no such route: see /openapi.json"))
            .method_not_allowed_fallback(async || Failure::wrong_method())
            .with_state(self.clone())
    }

    /// The OpenAPI document of all routes but `/` and itself.
    pub fn openapi() -> OpenApi {
        page::titled(page::health_route().merge(routes()).into_openapi())
    }

    /// Serves on `listener` until `shutdown`; requests that have begun are answered, then the file is closed.
    pub async fn serve(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<()> {
        let office = self.clone();
        let mut router = self.router();
        let door = self.door(listener.local_addr()?)?;
        let guard = axum::middleware::from_fn_with_state(self.clone(), ask_for_token);
        router = router.merge(Router::new().route_service("/mcp", door.service()).route_layer(guard));
        let served = axum::serve(listener, router).with_graceful_shutdown(shutdown).await;
        office.close().await;
        served
    }

    /// Serves by the Model Context Protocol over standard input and output until the client ends it.
    pub async fn serve_stdio(self) -> io::Result<()> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let door = self.door(listener.local_addr()?)?;
        let serving = axum::serve(listener, self.router());
        tokio::select! {
            served = async { serving.await } => served,
            ended = door.serve_stdio() => ended,
        }
    }

    /// The door for the Model Context Protocol, in front of the routes at `at`.
    fn door(&self, at: SocketAddr) -> io::Result<mcp::Door> {
        let specs = Tenant::load("nev", None).map(|tenant| tenant.tools.clone()).map_err(io::Error::other)?;
        mcp::Door::new(specs, self, at).map_err(io::Error::other)
    }

    /// The present moment in Shanghai.
    fn now(&self) -> Civil {
        self.clock.now()
    }
}

/// Each route beside its description.
fn routes() -> OpenApiRouter<BackOffice> {
    OpenApiRouter::new()
        .merge(customers::routes())
        .merge(identity::routes())
        .merge(catalogue::routes())
        .merge(instalments::routes())
        .merge(centres::routes())
        .merge(bookings::routes())
        .merge(rescues::routes())
        .merge(tickets::routes())
        .merge(notices::routes())
}

async fn ask_for_token(
    State(office): State<BackOffice>,
    request: Request,
    next: Next,
) -> Result<Response, Failure> {
    if let Some(token) = &office.token {
        let sent = request.headers().get(AUTHORIZATION).and_then(|h| h.to_str().ok());
        let sent = sent.and_then(|h| h.strip_prefix("Bearer ")).unwrap_or_default();
        // Digests, so that the time of the comparison tells nothing of the token.
        if Sha256::digest(sent) != Sha256::digest(token.expose_secret()) {
            return Err(Failure::unknown_client());
        }
    }
    Ok(next.run(request).await)
}

/// Where the back office gets its time from.
#[derive(Clone, Copy, Debug)]
struct Clock(Option<jiff::Timestamp>);

impl Clock {
    fn timestamp(self) -> jiff::Timestamp {
        self.0.unwrap_or_else(|| jiff::Timestamp::try_from(clock::wall()).unwrap_or_default())
    }

    /// To the minute. China has kept UTC+8 without summer time since 1992.
    fn now(self) -> Civil {
        let now = self.timestamp().to_zoned(crate::clock::zone()).datetime();
        Civil(now.date().at(now.hour(), now.minute(), 0, 0))
    }

    fn today(self) -> Day {
        Day(self.now().0.date())
    }
}

#[cfg(test)]
mod tests;
