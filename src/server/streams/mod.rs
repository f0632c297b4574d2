//! The door for media streams: WebSockets of platforms at `/media/PROTOCOL`, Asterisk's AudioSocket on TCP, and WebSockets that we open
//! ourselves (`POST /media/connect`).
//!
//! A WebSocket brings a token (`Authorization: Bearer …`, the password of `Basic`, `?token=`, or the last part of its path for platforms
//! that can do neither), an AudioSocket comes from an address that may. Connections are bounded in number, and in time until they are
//! streams; streams that have not said who they are, too, and so are calls.

mod listener;

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{ConnectInfo, DefaultBodyLimit, Path, Query, State, WebSocketUpgrade};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use hmac::{Hmac, Mac as _};
use ipnet::IpNet;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::json;
use sha2::Sha256;
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_util::task::TaskTracker;

use self::listener::{Bounded, Peer};
use super::host::Host;
use super::trunk;
use crate::clock::{Clock, Time};
use crate::config::Media;
use crate::leg::stream::audiosocket::AudioSocket;
use crate::leg::stream::own::{ASYNCAPI, SCHEMA};
use crate::leg::stream::{self, Dialect, Limits, Protocol, Socket};

/// Streams that have not said who they are.
const OPENING: usize = 64;
/// The same from one address.
const OPENING_FROM_ONE: usize = 16;
/// Longest message of a WebSocket, bytes: four seconds of the widest audio fit several times.
const LONGEST: usize = 1 << 18;
/// Longest request to connect somewhere, bytes.
const LONGEST_REQUEST: usize = 8192;
/// A connection must be a stream after this time.
const PATIENCE: Duration = Duration::from_secs(5);
/// Wrong tokens that an address may bring before it is told so no more.
const GUESSES: u32 = 10;
/// For so long.
const LOCKED: Duration = Duration::from_secs(60);
/// Addresses that are remembered.
const REMEMBERED: usize = 4096;
/// A far end that we connect to must answer in this time.
const CONNECTS: Duration = Duration::from_secs(10);

/// The door. Cheap to clone.
#[derive(Clone)]
pub(super) struct Door {
    host: Host,
    calls: TaskTracker,
    /// Places for calls.
    places: Arc<Semaphore>,
    opening: Arc<Opening>,
    guesses: Arc<Mutex<HashMap<IpAddr, (u32, Time)>>>,
    clock: Clock,
}

/// Streams that have not said who they are, by address.
#[derive(Debug, Default)]
struct Opening(Mutex<HashMap<IpAddr, usize>>);

/// One of them; dropping it makes room.
struct Opened {
    opening: Arc<Opening>,
    from: IpAddr,
}

impl Opening {
    fn enter(self: &Arc<Self>, from: IpAddr) -> Option<Opened> {
        let mut opening = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = opening.values().sum();
        let own = opening.get(&from).copied().unwrap_or_default();
        if all >= OPENING || own >= OPENING_FROM_ONE {
            return None;
        }
        opening.insert(from, own + 1);
        Some(Opened { opening: self.clone(), from })
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        let mut opening = self.opening.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = opening.get_mut(&self.from) {
            *own -= 1;
            if *own == 0 {
                opening.remove(&self.from);
            }
        }
    }
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
            Self::Unreachable(why) => (StatusCode::BAD_GATEWAY, why),
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
        Self { host, calls, places, opening: Arc::default(), guesses: Arc::default(), clock: Clock::start() }
    }

    /// Takes WebSockets on `listener` until the server stops.
    pub(super) async fn websockets(self, listener: TcpListener) {
        let shutdown = self.host.shutdown.clone().cancelled_owned();
        let most = self.host.config.media.max_streams + OPENING;
        let listener = Bounded::new(listener, most, PATIENCE);
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
            if !networks.iter().any(|network| network.contains(&peer.ip().to_canonical())) {
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
        self.host.take_stream(leg, info).await;
        match beside.await {
            Ok(ended) => tracing::info!(door, why = %ended, "a stream ended"),
            Err(error) => tracing::error!(door, %error, "a stream broke"),
        }
        drop(place);
    }

    /// Whether the token is among what was brought. A right one is always taken: behind a proxy all come from one address.
    fn check(&self, from: IpAddr, brought: impl IntoIterator<Item = String>) -> Result<(), Refusal> {
        let Some((_, token)) = &self.host.config.media.websocket else { return Err(Refusal::Token) };
        if brought.into_iter().any(|brought| is_same(token, &brought)) {
            return Ok(());
        }
        let now = self.clock.now();
        let mut guesses = self.guesses.lock().unwrap_or_else(PoisonError::into_inner);
        guesses.retain(|_, (_, last)| now.saturating_since(*last) < LOCKED);
        if guesses.get(&from).is_some_and(|(wrong, _)| *wrong >= GUESSES) {
            return Err(Refusal::Locked);
        }
        if guesses.len() < REMEMBERED || guesses.contains_key(&from) {
            let entry = guesses.entry(from).or_insert((0, now));
            *entry = (entry.0 + 1, now);
        }
        Err(Refusal::Token)
    }
}

/// The token of the `Authorization` header: a bearer's, or the password of `Basic`.
fn brought(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, credentials) = value.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(credentials.trim().to_owned());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(BASE64.decode(credentials.trim()).ok()?).ok()?;
    decoded.split_once(':').map(|(_, password)| password.to_owned())
}

/// Takes as long for every wrong token.
fn is_same(token: &SecretString, brought: &str) -> bool {
    let of = |text: &str| {
        // What is compared is not the token, so where they first differ tells nothing of it.
        let key: &[u8] = b"nightline media token";
        let mut mac = Hmac::<Sha256>::new_from_slice(key)
            .unwrap_or_else(|_| unreachable!("HMAC takes keys of every length"));
        mac.update(text.as_bytes());
        mac
    };
    let wanted = of(token.expose_secret()).finalize().into_bytes();
    of(brought).verify(&wanted).is_ok()
}

/// Where a platform wants to speak: the protocol, and the token if it can bring it no other way.
#[derive(Deserialize)]
struct Way {
    protocol: String,
    token: Option<String>,
}

/// A WebSocket of a platform.
async fn open(
    State(door): State<Door>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Path(Way { protocol, token }): Path<Way>,
    Query(mut query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Result<Response, Refusal> {
    let from = peer.addr.ip();
    // Not for the record of the call.
    let asked = query.remove("token");
    door.check(from, brought(&headers).into_iter().chain(asked).chain(token))?;
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
            door.run(socket, dialect, opened, place).await;
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
    door.check(from, brought(&headers))?;
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
        door.run(socket, dialect, opened, place).await;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_found_where_platforms_put_it() {
        let header = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, value.parse().unwrap());
            brought(&headers)
        };
        assert_eq!(header("Bearer a-token").as_deref(), Some("a-token"));
        assert_eq!(header("bearer  a-token ").as_deref(), Some("a-token"));
        assert_eq!(header("Basic dXNlcjphLXRva2Vu").as_deref(), Some("a-token"));
        assert_eq!(header("Digest x"), None);
        assert_eq!(header("Basic ???"), None);
        let token = SecretString::from("a-token");
        assert!(is_same(&token, "a-token") && !is_same(&token, "a-tokem") && !is_same(&token, ""));
    }

    #[test]
    fn streams_that_say_nothing_are_bounded_for_each_address_and_for_all() {
        let opening = Arc::<Opening>::default();
        let one = IpAddr::from([10, 0, 0, 1]);
        let mut held: Vec<Opened> = (0..OPENING_FROM_ONE).filter_map(|_| opening.enter(one)).collect();
        assert_eq!(held.len(), OPENING_FROM_ONE);
        assert!(opening.enter(one).is_none());
        for n in 2..=4 {
            let other = IpAddr::from([10, 0, 0, n]);
            held.extend((0..OPENING_FROM_ONE).filter_map(|_| opening.enter(other)));
        }
        assert_eq!(held.len(), OPENING);
        assert!(opening.enter(IpAddr::from([10, 0, 0, 9])).is_none());
        drop(held);
        assert!(opening.enter(one).is_some());
        assert!(opening.0.lock().unwrap().is_empty());
    }
}
