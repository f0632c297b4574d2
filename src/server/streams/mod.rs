//! The door for media streams: WebSockets of platforms at `/media/PROTOCOL`, calls from web pages ([`webrtc`]), pages in which
//! seats answer ([`seat`]), Asterisk's AudioSocket on
//! TCP, and WebSockets that we open ourselves (`POST /media/connect`).
//!
//! A WebSocket brings a token (`Authorization: Bearer …`, the password of `Basic`, `?token=`, or the last part of its path for platforms
//! that can do neither), an AudioSocket comes from an address that may. Connections are bounded in number, and in time until they are
//! streams; streams that have not said who they are, too, and so are calls.

mod guard;
mod listener;
mod seat;
mod webrtc;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{ConnectInfo, DefaultBodyLimit, Path, Query, Request, State, WebSocketUpgrade};
use axum::http::header::{CONNECTION, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use ipnet::IpNet;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_util::task::TaskTracker;

use self::guard::{Keeper, LOCKED, OPENING, Opened, Opening, Verdict};
use self::listener::{Bounded, Peer};
use super::host::Host;
use super::trunk;
use crate::config::Media;
use crate::leg::stream::audiosocket::AudioSocket;
use crate::leg::stream::own::{ASYNCAPI, SCHEMA};
use crate::leg::stream::socket::WebSocket;
use crate::leg::stream::{self, Dialect, Limits, Protocol, Socket};

/// Longest message of a WebSocket, bytes: four seconds of the widest audio fit several times.
const LONGEST: usize = 1 << 18;
/// Longest request to connect somewhere, bytes.
const LONGEST_REQUEST: usize = 8192;
/// A connection must be a stream after this time.
const PATIENCE: Duration = Duration::from_secs(5);
/// A far end that we connect to must answer in this time.
const CONNECTS: Duration = Duration::from_secs(10);
/// Connections that the page of a seat keeps: its own, that of the screen of its call, and those of a page that it has replaced.
const STREAMS_OF_A_SEAT: usize = 4;

/// The door. Cheap to clone.
#[derive(Clone)]
pub(super) struct Door {
    host: Host,
    calls: TaskTracker,
    /// Places for calls.
    places: Arc<Semaphore>,
    opening: Arc<Opening>,
    /// Who brings the token; nobody without WebSockets.
    keeper: Option<Arc<Keeper>>,
    /// Calls of web pages.
    web: webrtc::Calls,
}

/// Why a stream is not taken.
enum Refusal {
    /// No token, or a wrong one.
    Token,
    /// Too many wrong ones.
    Locked,
    /// As many calls as may be, or as many that have not said who they are.
    Full,
    /// There is no such protocol.
    Protocol(String),
    /// The request cannot be read.
    Request(String),
    /// It is not allowed to connect there.
    Target(String),
    /// The far end did not answer.
    Unreachable(String),
    /// No such seat answers in a browser.
    Seat(String),
    /// It is no session description by its type.
    Content,
    /// The offer of a web page cannot be taken.
    Offer(String),
    /// There is no such call, or not any more.
    Over,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, error) = match self {
            Self::Token => (
                StatusCode::UNAUTHORIZED,
                "the token of `[media]` is missing or wrong: send `Authorization: Bearer TOKEN`".into(),
            ),
            Self::Locked => (
                StatusCode::TOO_MANY_REQUESTS,
                "too many wrong tokens from this address: wait a minute".into(),
            ),
            Self::Full => {
                (StatusCode::SERVICE_UNAVAILABLE, "no more streams are taken now: try again later".into())
            }
            Self::Protocol(name) => {
                let known: Vec<&str> = Protocol::ALL.into_iter().map(Protocol::path).collect();
                (
                    StatusCode::NOT_FOUND,
                    format!("there is no protocol `{name}`; known ones: {}", known.join(", ")),
                )
            }
            Self::Request(why) => {
                (StatusCode::BAD_REQUEST, format!("the request is no JSON as it should be: {why}"))
            }
            Self::Target(url) => {
                (StatusCode::FORBIDDEN, format!("`{url}` does not begin with any of `media.connect`"))
            }
            Self::Seat(seat) => (
                StatusCode::NOT_FOUND,
                format!("there is no seat `{seat}` with `browser = true` in `[[seats.seat]]`"),
            ),
            Self::Unreachable(why) => (StatusCode::BAD_GATEWAY, why),
            Self::Content => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "an offer is `Content-Type: application/sdp`".into())
            }
            Self::Offer(why) => (StatusCode::BAD_REQUEST, why),
            Self::Over => (StatusCode::NOT_FOUND, "there is no such call, or not any more".into()),
        };
        let answer = (status, Json(json!({ "error": error }))).into_response();
        match status {
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                ([(RETRY_AFTER, LOCKED.as_secs().to_string())], answer).into_response()
            }
            _ => answer,
        }
    }
}

impl Door {
    pub(super) fn new(host: Host, calls: TaskTracker) -> Self {
        let places = Arc::new(Semaphore::new(host.config.media.max_streams));
        let keeper = host.config.media.websocket.as_ref().map(|(_, token)| Arc::new(Keeper::new(token)));
        Self { host, calls, places, opening: Arc::default(), keeper, web: webrtc::Calls::default() }
    }

    /// Takes WebSockets on `listener` until the server stops.
    pub(super) async fn websockets(self, listener: TcpListener) {
        let shutdown = self.host.shutdown.clone().cancelled_owned();
        let seats = self.seats().count();
        let most = self.host.config.media.max_streams + OPENING + seats * STREAMS_OF_A_SEAT;
        let listener = Bounded::new(listener, most, PATIENCE);
        // What a seat sees of its call is shown in its page.
        let shared = &self.host.shared;
        let screens = if seats > 0 { shared.screens.routes(shared.database.clone()) } else { Router::new() };
        let pages = Router::new()
            .merge(webrtc::routes())
            .merge(seat::routes())
            .with_state(self.clone())
            .merge(screens)
            .layer(axum::middleware::from_fn(request_of_its_own));
        let router = Router::new()
            .route("/media/connect", post(connect).layer(DefaultBodyLimit::max(LONGEST_REQUEST)))
            .route(
                "/media/media.schema.json",
                get(async || ([(CONTENT_TYPE, "application/schema+json")], SCHEMA)),
            )
            .route("/media/asyncapi.yaml", get(async || ([(CONTENT_TYPE, "application/yaml")], ASYNCAPI)))
            .route("/media/{protocol}", get(open))
            .route("/media/{protocol}/{token}", get(open))
            .with_state(self)
            .merge(pages)
            .into_make_service_with_connect_info::<Peer>();
        if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(shutdown).await {
            tracing::error!(%error, "WebSockets of media are not taken any more; calls go on");
        }
    }

    /// Takes AudioSockets from `networks` on `listener` until the server stops.
    pub(super) async fn audiosockets(self, listener: TcpListener, networks: Vec<IpNet>) {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.host.shutdown.cancelled() => return,
            };
            let (socket, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "an AudioSocket could not be taken");
                    // Out of files: others have to end first.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            if !trunk::is_in(&networks, peer.ip()) {
                tracing::warn!(%peer, "an AudioSocket is refused: the address is not in `media.audiosocket_from`");
                continue;
            }
            let (Some(opened), Ok(place)) =
                (self.opening.enter(peer.ip()), self.places.clone().try_acquire_owned())
            else {
                tracing::warn!(%peer, "an AudioSocket is refused: there are too many");
                continue;
            };
            let door = self.clone();
            let socket = stream::socket::audiosocket(socket, peer);
            self.calls.spawn(async move {
                door.run(socket, Box::new(AudioSocket::default()), opened, place).await;
            });
        }
    }

    /// Runs one stream from its first message to its end.
    async fn run<S: Socket + 'static>(
        &self,
        socket: S,
        dialect: Box<dyn Dialect>,
        opened: Opened,
        place: OwnedSemaphorePermit,
    ) {
        let door = dialect.name();
        let begun = stream::serve(socket, dialect, Limits::default()).await;
        drop(opened);
        let stream = match begun {
            Ok(stream) => stream,
            Err(ended) => return tracing::warn!(door, why = %ended, "a stream began no call"),
        };
        let started = &stream.started;
        let mut info = self.host.shared.info(door, &started.from, &started.to);
        for (name, value) in &started.variables {
            trunk::bounded(&mut info.variables, name, value);
        }
        if info.to.is_empty() {
            info.to.clone_from(&started.id);
        }
        let (leg, beside) = match stream.split() {
            Ok(both) => both,
            Err(error) => return tracing::error!(door, %error, "a stream cannot be converted"),
        };
        let beside = tokio::spawn(beside);
        leg.name(&info.id);
        self.host.take_leg(info, Box::new(leg.tap()), |_| leg).await;
        match beside.await {
            Ok(ended) => tracing::info!(door, why = %ended, "a stream ended"),
            Err(error) => tracing::error!(door, %error, "a stream broke"),
        }
        drop(place);
    }
}

impl Door {
    /// Fails unless the token is among what was brought.
    fn check(&self, from: IpAddr, brought: impl IntoIterator<Item = String>) -> Result<(), Refusal> {
        match self.keeper.as_ref().map_or(Verdict::Wrong, |keeper| keeper.judge(from, brought)) {
            Verdict::Right => Ok(()),
            Verdict::Wrong => Err(Refusal::Token),
            Verdict::Locked => Err(Refusal::Locked),
        }
    }
}

/// Connections have little time to become a stream, so each request has one of its own; what tells as things happen is a stream.
async fn request_of_its_own(ConnectInfo(peer): ConnectInfo<Peer>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let kind = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if kind.is_some_and(|kind| kind.starts_with("text/event-stream")) {
        peer.is_stream();
        // A proxy that collects what it passes on would keep it for later.
        response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    }
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

/// Where a platform wants to speak: the protocol, and the token if it can bring it no other way.
#[derive(Deserialize)]
struct Asked {
    protocol: String,
    token: Option<String>,
}

/// A WebSocket of a platform.
async fn open(
    State(door): State<Door>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Path(Asked { protocol, token }): Path<Asked>,
    Query(mut query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Result<Response, Refusal> {
    let from = peer.addr.ip();
    // Not for the record of the call.
    let asked = query.remove("token");
    door.check(from, guard::brought(&headers).into_iter().chain(asked).chain(token))?;
    let protocol: Protocol = protocol.parse().map_err(|()| Refusal::Protocol(protocol))?;
    let place = door.places.clone().try_acquire_owned().map_err(|_| Refusal::Full)?;
    let opened = door.opening.enter(from).ok_or(Refusal::Full)?;
    peer.is_stream();
    let upgrade = upgrade.max_message_size(LONGEST).max_frame_size(LONGEST).max_write_buffer_size(LONGEST);
    let upgrade = match protocol.subprotocol() {
        Some(name) => upgrade.protocols([name]),
        None => upgrade,
    };
    let calls = door.calls.clone();
    Ok(upgrade.on_upgrade(move |socket| async move {
        let dialect = protocol.dialect(&query);
        // A call goes on when the HTTP server stops.
        let call = calls.spawn(async move {
            door.run(WebSocket(socket), dialect, opened, place).await;
        });
        let _ = call.await;
    }))
}

/// A WebSocket that we are to open.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Target {
    /// Must begin with one of `media.connect`.
    url: String,
    protocol: Protocol,
    /// Who calls, if the far end will not tell.
    #[serde(default)]
    from: Option<String>,
    /// Who is called.
    #[serde(default)]
    to: Option<String>,
    /// `Authorization` for the far end.
    #[serde(default)]
    authorization: Option<SecretString>,
}

async fn connect(
    State(door): State<Door>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    let from = peer.addr.ip();
    door.check(from, guard::brought(&headers))?;
    let target: Target =
        serde_json::from_slice(&body).map_err(|error| Refusal::Request(error.to_string()))?;
    let mut query = BTreeMap::new();
    let url = reqwest::Url::parse(&target.url).map_err(|_| Refusal::Target(target.url.clone()))?;
    // As the library reads it: `ws://host@evil/` begins like an address that it is not.
    if !door.host.config.media.connect.iter().any(|beginning| url.as_str().starts_with(beginning.as_str())) {
        return Err(Refusal::Target(target.url));
    }
    let place = door.places.clone().try_acquire_owned().map_err(|_| Refusal::Full)?;
    let opened = door.opening.enter(from).ok_or(Refusal::Full)?;
    let unreachable = |why: String| Refusal::Unreachable(format!("`{url}` was not reached: {why}"));
    let mut request = url.as_str().into_client_request().map_err(|error| unreachable(error.to_string()))?;
    let mut header = |name: &'static str, value: &str| {
        HeaderValue::from_str(value).map(|value| drop(request.headers_mut().insert(name, value)))
    };
    let own = target.protocol.subprotocol().map_or(Ok(()), |name| header("sec-websocket-protocol", name));
    let authorization = target.authorization.as_ref().map_or("", |text| text.expose_secret());
    let allowed = if authorization.is_empty() { Ok(()) } else { header("authorization", authorization) };
    own.and(allowed).map_err(|error| unreachable(error.to_string()))?;
    let limits = WebSocketConfig::default().max_message_size(Some(LONGEST)).max_frame_size(Some(LONGEST));
    let dial = tokio_tungstenite::connect_async_with_config(request, Some(limits), true);
    let (socket, _) = tokio::time::timeout(CONNECTS, dial)
        .await
        .map_err(|_| unreachable(format!("no answer in {} s", CONNECTS.as_secs())))?
        .map_err(|error| unreachable(error.to_string()))?;
    query.extend(target.from.map(|from| ("from".to_owned(), from)));
    query.extend(target.to.map(|to| ("to".to_owned(), to)));
    let dialect = target.protocol.dialect(&query);
    let calls = door.calls.clone();
    calls.spawn(async move {
        door.run(WebSocket(socket), dialect, opened, place).await;
    });
    Ok((StatusCode::ACCEPTED, Json(json!({ "connected": url.as_str() }))).into_response())
}

/// Listeners of the door, as configured.
pub(super) struct Listeners {
    websockets: Option<TcpListener>,
    audiosockets: Option<(TcpListener, Vec<IpNet>)>,
}

impl Listeners {
    /// Opens them. The error comes with the address.
    pub(super) async fn bind(media: &Media) -> Result<Self, (SocketAddr, std::io::Error)> {
        let bind = async |addr: SocketAddr| TcpListener::bind(addr).await.map_err(|error| (addr, error));
        let websockets = match &media.websocket {
            Some((addr, _)) => Some(bind(*addr).await?),
            None => None,
        };
        let audiosockets = match &media.audiosocket {
            Some((addr, networks)) => Some((bind(*addr).await?, networks.clone())),
            None => None,
        };
        Ok(Self { websockets, audiosockets })
    }

    /// Where WebSockets and AudioSockets come in.
    pub(super) fn addrs(&self) -> (Option<SocketAddr>, Option<SocketAddr>) {
        let of = |listener: &TcpListener| listener.local_addr().ok();
        (
            self.websockets.as_ref().and_then(of),
            self.audiosockets.as_ref().and_then(|(listener, _)| of(listener)),
        )
    }

    /// Takes streams by `door` until the server stops.
    pub(super) fn serve(self, door: &Door) {
        if let Some(listener) = self.websockets {
            tokio::spawn(door.clone().websockets(listener));
        }
        if let Some((listener, networks)) = self.audiosockets {
            tokio::spawn(door.clone().audiosockets(listener, networks));
        }
    }
}
