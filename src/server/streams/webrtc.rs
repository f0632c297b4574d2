//! Calls from web pages: a WHIP-style exchange (RFC 9725) at `/media/webrtc`, and a page that uses it at `/call`.
//!
//! Whoever has the token may call as anybody: an application of the house. A browser gets a pass instead (`POST /media/passes` by the
//! website's server), which is good for one caller and some minutes.
//!
//! `POST` an offer (`application/sdp`) with either and get the answer, and in `Location` where the call is: there `PATCH` brings
//! candidates that came later (`application/trickle-ice-sdpfrag`), `DELETE` ends the call, and `GET …/events` tells what happens in it,
//! in the words of our WebSocket protocol. Who knows the address of a call needs no token for it: it has 122 random bits.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use axum::body::Bytes;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Path, Query, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, LOCATION, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, patch, post};
use axum::{Json, Router};
use futures_util::Stream;
use futures_util::stream::unfold;
use nightline_rtc::{Config as RtcConfig, Error, Peer as Browser};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc};
use uuid::Uuid;

use super::guard::{self, Bearer, Opened};
use super::listener::Peer;
use super::{Door, LONGEST_REQUEST, Refusal, trunk};
use crate::call::event::Event as CallEvent;
use crate::leg::stream;
use crate::leg::stream::own::Words;
use crate::leg::webrtc::{Ask, RtcLeg};
use crate::record::Tap;

/// Longest offer, bytes.
pub(super) const LONGEST_OFFER: usize = 64 * 1024;
/// Longest `from` of a pass, characters, and the longest time that it is good, seconds.
const LONGEST_FROM: usize = 64;
const LONGEST_PASS: u64 = 86_400;
/// Candidates and the like that may wait for the call.
const ASKS: usize = 32;
/// Events that a page may lag behind; it goes on with the newest.
const EVENTS: usize = 64;
/// Pages that may follow one call.
const READERS: usize = 4;
/// A comment goes through an idle stream of events, so that proxies keep it open.
pub(super) const IDLE: Duration = Duration::from_secs(15);
/// What the page may do: speak, and talk to nobody but us.
const HEADERS: [(HeaderName, &str); 4] = [
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; media-src blob: mediastream:; \
         frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors *; require-trusted-types-for 'script'; trusted-types 'none'",
    ),
    (REFERRER_POLICY, "no-referrer"),
    (CACHE_CONTROL, "no-store"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
];

/// The calls of web pages that are up, by their addresses.
#[derive(Clone, Default)]
pub(super) struct Calls(Arc<Mutex<HashMap<String, Up>>>);

/// One of them.
#[derive(Clone)]
struct Up {
    asks: mpsc::Sender<Ask>,
    events: broadcast::WeakSender<Value>,
}

impl Calls {
    fn find(&self, id: &str) -> Result<Up, Refusal> {
        let calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        calls.get(id).cloned().ok_or(Refusal::Over)
    }

    fn insert(&self, up: Up) -> Entry {
        let id = Uuid::new_v4().simple().to_string();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), up);
        Entry { calls: self.clone(), id }
    }
}

/// A call's place among them; given up when it is dropped.
pub(super) struct Entry {
    calls: Calls,
    id: String,
}

impl Entry {
    /// Waits until the call has ended.
    pub(super) async fn ended(&self) {
        if let Ok(up) = self.calls.find(&self.id) {
            up.asks.closed().await;
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.calls.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}

/// Tells pages what happens in their call.
struct PageTap {
    words: Words,
    events: broadcast::Sender<Value>,
}

impl Tap for PageTap {
    fn event(&mut self, event: &CallEvent) {
        if let Some(value) = self.words.of(&event.kind) {
            // Nobody may be looking.
            let _ = self.events.send(value);
        }
    }
}

pub(super) fn routes() -> Router<Door> {
    let (javascript, css) = ("text/javascript; charset=utf-8", "text/css; charset=utf-8");
    let asset = |kind: &'static str, text: &'static str| get(async move || ([(CONTENT_TYPE, kind)], text));
    let pages = Router::new()
        .route("/call", get(async || Html(include_str!("page/call.html"))))
        .route("/seat", get(async || Html(include_str!("page/seat.html"))))
        .route("/page/call.js", asset(javascript, include_str!("page/call.js")))
        .route("/page/seat.js", asset(javascript, include_str!("page/seat.js")))
        .route("/page/line.js", asset(javascript, include_str!("page/line.js")))
        .route("/page/page.css", asset(css, include_str!("page/page.css")))
        .layer(axum::middleware::map_response(guarded));
    Router::new()
        .route("/media/passes", post(pass).layer(DefaultBodyLimit::max(LONGEST_REQUEST)))
        .route("/media/webrtc", post(offer).layer(DefaultBodyLimit::max(LONGEST_OFFER)))
        .route(
            "/media/webrtc/{id}",
            patch(candidates).delete(stop).layer(DefaultBodyLimit::max(LONGEST_REQUEST)),
        )
        .route("/media/webrtc/{id}/keys", post(keys).layer(DefaultBodyLimit::max(16)))
        .route("/media/webrtc/{id}/events", get(events))
        .merge(pages)
}

async fn guarded(mut response: Response) -> Response {
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// A browser's offer.
async fn offer(
    State(door): State<Door>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    let from = address(&peer, &headers);
    let mut about = door.admit_page(from, &headers, query)?;
    let place = door.places.clone().try_acquire_owned().map_err(|_| Refusal::Full)?;
    let (met, answer) = door.meet(from, &headers, &body).await?;
    let mut told_of = |name: &str| about.remove(name).unwrap_or_default();
    let (caller, called) = (told_of("from"), told_of("to"));
    let mut info = door.host.shared.info("webrtc", &caller, &called);
    for (name, value) in &about {
        trunk::bounded(&mut info.variables, name, value);
    }
    let running = door.clone();
    door.calls.spawn(async move {
        let _place = place;
        let Met { browser, asked, events, entry: _entry, .. } = match met.connected().await {
            Ok(met) => met,
            Err(why) => return tracing::warn!(why, "a web page began no call"),
        };
        let tap = PageTap { words: Words::default(), events };
        running.host.take_leg(info, Box::new(tap), |clock| RtcLeg::new(browser, asked, clock)).await;
    });
    Ok(answer)
}

/// A browser whose offer was answered.
pub(super) struct Met {
    pub(super) browser: Browser,
    /// What its page asks for.
    pub(super) asked: mpsc::Receiver<Ask>,
    /// The page is told by these what happens.
    events: broadcast::Sender<Value>,
    /// Its address.
    pub(super) entry: Entry,
    /// Until audio flows.
    opened: Option<Opened>,
}

impl Door {
    /// Answers the offer of a page; the response is for it.
    pub(super) async fn meet(
        &self,
        from: IpAddr,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<(Met, Response), Refusal> {
        let content = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if !content.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/sdp"))
        {
            return Err(Refusal::Content);
        }
        let text = str::from_utf8(body).map_err(|_| Refusal::Offer("it is not UTF-8".into()))?;
        let opened = self.opening.enter(from).ok_or(Refusal::Full)?;
        let (browser, answer) = match Browser::answer(&rtc_config(self), text).await {
            Ok(answered) => answered,
            Err(error @ (Error::Exhausted { .. } | Error::Refused { .. } | Error::NoAddress { .. })) => {
                tracing::error!(%error, "a web page's call cannot be taken");
                return Err(Refusal::Full);
            }
            Err(error) => return Err(Refusal::Offer(error.to_string())),
        };
        let (asks, asked) = mpsc::channel(ASKS);
        let (events, _) = broadcast::channel(EVENTS);
        let entry = self.web.insert(Up { asks, events: events.downgrade() });
        let location = format!("/media/webrtc/{}", entry.id);
        let head = [(CONTENT_TYPE, "application/sdp"), (LOCATION, &location)];
        let response = (StatusCode::CREATED, head, answer).into_response();
        Ok((Met { browser, asked, events, entry, opened: Some(opened) }, response))
    }
}

impl Met {
    /// Waits until audio flows; meanwhile their candidates are taken.
    pub(super) async fn connected(mut self) -> Result<Self, String> {
        loop {
            let ask = tokio::select! {
                event = self.browser.event() => match event {
                    nightline_rtc::Event::Connected => {
                        self.opened = None;
                        return Ok(self);
                    }
                    nightline_rtc::Event::Ended(why) => return Err(why.to_string()),
                    _ => continue,
                },
                ask = self.asked.recv() => ask,
            };
            match ask {
                Some(Ask::Candidate(candidate)) => {
                    if let Err(error) = self.browser.add_candidate(&candidate).await {
                        tracing::debug!(%error, "a candidate of a browser is not used");
                    }
                }
                // Nobody listens yet.
                Some(Ask::Key(_)) => {}
                Some(Ask::Stop) | None => return Err("the page has ended it".into()),
            }
        }
    }
}

impl Door {
    /// What may be believed of a page's call: with the token all that it says, with a pass only for whom that was made. A browser may say
    /// of itself what it likes.
    fn admit_page(
        &self,
        from: IpAddr,
        headers: &HeaderMap,
        said: BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, String>, Refusal> {
        let brought = guard::brought(headers);
        let pass = self.keeper.as_ref().zip(brought.as_deref());
        match pass.and_then(|(keeper, pass)| keeper.bearer_of(Bearer::Caller, pass, unix_now())) {
            Some(bearer) => Ok(BTreeMap::from([("from".to_owned(), bearer)])),
            None => self.check(from, brought).map(|()| said),
        }
    }
}

/// What a pass is asked for: one of the two who will use it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// Who will call with it.
    from: Option<String>,
    /// The seat that will answer with it.
    seat: Option<String>,
    /// How long it is good.
    #[serde(default = "usual_seconds")]
    seconds: u64,
}

fn usual_seconds() -> u64 {
    600
}

/// Makes a pass for a web page; the server of the website asks for it with the token.
async fn pass(
    State(door): State<Door>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    door.check(address(&peer, &headers), guard::brought(&headers))?;
    let wrong = |why: String| Refusal::Request(why);
    let wanted: Wanted = serde_json::from_slice(&body).map_err(|error| wrong(error.to_string()))?;
    let (bearer, name, page) = match (wanted.from, wanted.seat) {
        (Some(from), None) if from.len() <= LONGEST_FROM && from.chars().all(|c| c.is_ascii_graphic()) => {
            (Bearer::Caller, from, "call")
        }
        (Some(_), None) => {
            return Err(wrong(format!(
                "`from` is a number or an address of at most {LONGEST_FROM} letters and signs"
            )));
        }
        (None, Some(seat)) => {
            door.check_seat(&seat)?;
            (Bearer::Seat, seat, "seat")
        }
        _ => return Err(wrong("say either `from` or `seat`".into())),
    };
    if !(1..=LONGEST_PASS).contains(&wanted.seconds) {
        return Err(wrong(format!("`seconds` is from 1 to {LONGEST_PASS}")));
    }
    let keeper = door.keeper.as_ref().ok_or(Refusal::Token)?;
    let pass = keeper.pass(bearer, &name, unix_now() + wanted.seconds);
    let answer =
        Json(json!({ "pass": pass, "page": format!("/{page}#pass={pass}"), "seconds": wanted.seconds }));
    Ok((StatusCode::CREATED, answer).into_response())
}

pub(super) fn unix_now() -> u64 {
    crate::clock::wall().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Where a request comes from: a proxy on this machine tells, and nobody else is believed.
pub(super) fn address(peer: &Peer, headers: &HeaderMap) -> IpAddr {
    let from = peer.addr.ip();
    let told = headers.get_all("x-forwarded-for").iter().next_back().and_then(|value| value.to_str().ok());
    let last = told.and_then(|all| all.rsplit(',').next()?.trim().parse().ok());
    last.filter(|_| from.is_loopback()).unwrap_or(from)
}

fn rtc_config(door: &Door) -> RtcConfig {
    let config = &door.host.config;
    RtcConfig {
        advertised: config.sip.external_ip.into_iter().collect(),
        ..RtcConfig::new(door.host.media_ip(), config.rtp.ports.clone())
    }
}

/// Their candidates that came after the offer: lines `a=candidate:…` of a fragment of SDP (RFC 8840).
async fn candidates(
    State(door): State<Door>,
    Path(id): Path<String>,
    body: String,
) -> Result<StatusCode, Refusal> {
    let up = door.web.find(&id)?;
    for candidate in body.lines().filter_map(|line| line.trim().strip_prefix("a=candidate:")) {
        up.asks
            .try_send(Ask::Candidate(format!("candidate:{candidate}")))
            .map_err(|_| Refusal::Request("too many candidates at once".into()))?;
    }
    Ok(StatusCode::NO_CONTENT)
}

/// A key of a page whose browser cannot send it by RTP.
async fn keys(State(door): State<Door>, Path(id): Path<String>, body: String) -> Result<StatusCode, Refusal> {
    let up = door.web.find(&id)?;
    let key = stream::key(body.trim()).ok_or_else(|| Refusal::Request("send one of 0-9 * # A-D".into()))?;
    up.asks.try_send(Ask::Key(key)).map_err(|_| Refusal::Request("too many keys at once".into()))?;
    Ok(StatusCode::NO_CONTENT)
}

/// The page hangs up.
async fn stop(State(door): State<Door>, Path(id): Path<String>) -> Result<StatusCode, Refusal> {
    let up = door.web.find(&id)?;
    // If nobody takes it the call is ending anyway.
    let _ = up.asks.send(Ask::Stop).await;
    Ok(StatusCode::OK)
}

/// What happens in the call, as server-sent events, until it is over.
async fn events(
    State(door): State<Door>,
    Path(id): Path<String>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Refusal> {
    let events = door.web.find(&id)?.events.upgrade().ok_or(Refusal::Over)?;
    if events.receiver_count() >= READERS {
        return Err(Refusal::Full);
    }
    let events = events.subscribe();
    let told = unfold(events, async |mut events| {
        loop {
            match events.recv().await {
                Ok(value) => return Some((Ok(Event::default().data(value.to_string())), events)),
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        }
    });
    Ok(Sse::new(told).keep_alive(KeepAlive::new().interval(IDLE)))
}
