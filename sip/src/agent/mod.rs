//! The dialog and session layer: one sans-IO state machine for all calls of an endpoint.
//!
//! Bytes, commands and time go in ([`Agent::datagram`], [`Agent::stream`], [`Agent::command`], [`Agent::tick`]);
//! bytes to send and events for the application come out ([`Agent::poll`]). No sockets, no tasks, no clock.
//!
//! `incoming` is a call until it is answered, `outgoing` likewise for ours, `indialog` what the peer may ask in a
//! dialog, `session` what we ask in one.

mod call;
mod incoming;
mod indialog;
mod outgoing;
mod session;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rand::Rng;
use rand::rngs::StdRng;

use self::call::{Call, Phase, Purpose};
use crate::message::{self, ALLOW, Headers, Method, Reply, Request};
use crate::sdp::{LocalMedia, MediaParams};
use crate::stack::{ClientTx, Flow, ServerTx, Stack, StackEvent, Transport, TxRef, Wire};
use crate::timers::Timers;

/// How an endpoint is set up.
#[derive(Debug, Clone)]
pub struct EndpointConfig {
    /// Where to listen. Port 0 takes a free one.
    pub listen: Vec<(Transport, SocketAddr)>,
    /// The address that peers reach us at, if it differs from the listeners' (NAT).
    pub external_ip: Option<IpAddr>,
    /// `User-Agent` and `Server`.
    pub user_agent: String,
    /// The shortest session interval that is accepted; at least 90 s (RFC 4028 §4).
    pub min_session_expires: Duration,
    /// The session interval that is asked for.
    pub session_expires: Duration,
    /// Most calls at a time, both ways; an INVITE over it gets 503 with `Retry-After`.
    pub max_calls: usize,
    /// Most TCP connections at a time; one over it is closed at once.
    pub max_connections: usize,
    /// Whether a peer may ask us to call somebody else (REFER); the application still decides each time.
    pub refer_allowed: bool,
}

impl Default for EndpointConfig {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            external_ip: None,
            user_agent: concat!("Nightline/", env!("CARGO_PKG_VERSION")).to_owned(),
            min_session_expires: Duration::from_secs(90),
            session_expires: Duration::from_secs(1800),
            max_calls: 1000,
            max_connections: 1024,
            refer_allowed: true,
        }
    }
}

/// Who or what ended a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EndReason {
    /// The peer said BYE.
    Remote,
    /// We did.
    Local,
    /// The peer went silent: no ACK, no session refresh, no answer to a request.
    Timeout,
    /// The peer no longer knows the dialog, or cannot be reached.
    Transport,
}

/// Why an outgoing call was not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailCause {
    /// Busy (486, 600).
    Busy,
    /// The callee does not want it (603, 607, 403).
    Declined,
    /// It rang, and nobody came (408, 480, the ring timeout).
    NoAnswer,
    /// No such number or no way to it (404, 410, 484, 502–504, no reply, connection refused).
    Unreachable,
    /// Cancelled by us, or any other reason: see the code.
    Other,
}

impl FailCause {
    pub(crate) fn of(code: u16) -> Self {
        match code {
            486 | 600 => Self::Busy,
            403 | 603 | 607 => Self::Declined,
            408 | 480 => Self::NoAnswer,
            404 | 410 | 484 | 502 | 503 | 504 | 604 => Self::Unreachable,
            _ => Self::Other,
        }
    }
}

/// What is known of a call that came in.
#[derive(Debug, Clone)]
pub(crate) struct Incoming {
    pub(crate) call_id: String,
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) uri: String,
    pub(crate) headers: Headers,
    pub(crate) offered: bool,
    pub(crate) remote: SocketAddr,
}

/// What the application wants. The number is the call's.
#[derive(Debug)]
pub(crate) enum Command {
    Dial { call: u64, dial: OutgoingRequest },
    Ring { call: u64 },
    Answer { call: u64, local: LocalMedia },
    Reject { call: u64, code: u16, reason: String },
    Cancel { call: u64 },
    Hangup { call: u64, reason: Option<String> },
    Hold { call: u64, on: bool },
    Dtmf { call: u64, digit: char },
    Refer { call: u64, target: String, headers: Vec<(String, String)> },
    ReferProgress { call: u64, code: u16, reason: String },
    Drain,
}

/// An outgoing call, resolved to an address.
#[derive(Debug, Clone)]
pub(crate) struct OutgoingRequest {
    pub(crate) target: String,
    pub(crate) from: String,
    pub(crate) display: Option<String>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) local: LocalMedia,
    pub(crate) ring_timeout: Duration,
    pub(crate) flow: Flow,
}

/// What happened to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CallEvent {
    Ringing,
    Early(MediaParams),
    Answered(MediaParams),
    /// An answer of ours could not be made: no codec in common.
    Unanswerable,
    /// An incoming call that was cancelled by its caller.
    Cancelled,
    Failed {
        code: u16,
        reason: String,
        cause: FailCause,
    },
    Media(MediaParams),
    Dtmf(char),
    Refer {
        to: String,
        headers: Vec<(String, String)>,
    },
    ReferProgress {
        code: u16,
        reason: String,
        done: bool,
    },
    Ended {
        by: EndReason,
        code: u16,
        reason: String,
    },
}

impl CallEvent {
    /// Nothing comes after it.
    pub(crate) fn is_last(&self) -> bool {
        matches!(self, Self::Unanswerable | Self::Cancelled | Self::Failed { .. } | Self::Ended { .. })
    }
}

/// What the shell has to do.
#[derive(Debug)]
pub(crate) enum Output {
    Wire(Wire),
    Incoming { call: u64, incoming: Box<Incoming> },
    Event { call: u64, event: CallEvent },
}

/// A timer of a call, with its reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum TimerKind {
    /// Our 2xx once more, until its ACK comes (RFC 3261 §13.3.1.4).
    OkAgain,
    /// No ACK in 64·T1.
    NoAck,
    /// Our reliable 180 once more, until its PRACK comes (RFC 3262 §3).
    RingAgain,
    /// No PRACK in 64·T1.
    NoPrack,
    /// A provisional response a minute keeps proxies from giving up (RFC 3261 §13.3.1.1).
    StillRinging,
    /// Our callee does not answer.
    RingTimeout,
    /// Our turn to refresh the session (RFC 4028 §10).
    Refresh,
    /// Nobody refreshed the session.
    SessionExpiry,
    /// After a 491, once more (RFC 3261 §14.1).
    Glare,
    /// A REFER that the application has not decided.
    ReferExpiry,
    /// A call that is over leaves the table.
    Forget,
}

impl TimerKind {
    const ALL: [Self; 11] = [
        Self::OkAgain,
        Self::NoAck,
        Self::RingAgain,
        Self::NoPrack,
        Self::StillRinging,
        Self::RingTimeout,
        Self::Refresh,
        Self::SessionExpiry,
        Self::Glare,
        Self::ReferExpiry,
        Self::Forget,
    ];
}

/// RFC 3261 table 4.
const T1: Duration = Duration::from_millis(500);
const T2: Duration = Duration::from_secs(4);
const GIVE_UP: Duration = Duration::from_secs(32);

/// What identifies one copy of a request that came over several paths (RFC 3261 §8.2.2.2).
type MergeKey = (String, String, u32, Method);

/// All calls of an endpoint.
pub(crate) struct Agent<S> {
    stack: S,
    config: EndpointConfig,
    /// Our listeners as peers see them.
    listeners: Vec<(Transport, SocketAddr)>,
    calls: HashMap<u64, Call>,
    /// Call-ID and our tag. The peer's tag is checked in the call.
    dialogs: HashMap<(String, String), u64>,
    invites: HashMap<ServerTx, u64>,
    clients: HashMap<ClientTx, (u64, Purpose)>,
    merges: HashMap<MergeKey, Instant>,
    merge_order: VecDeque<(Instant, MergeKey)>,
    timers: Timers<(u64, TimerKind)>,
    out: VecDeque<Output>,
    rng: StdRng,
    last_incoming: u64,
    active: usize,
    draining: bool,
}

impl<S: Stack> Agent<S> {
    pub(crate) fn new(
        stack: S,
        config: EndpointConfig,
        listeners: Vec<(Transport, SocketAddr)>,
        rng: StdRng,
    ) -> Self {
        Self {
            stack,
            config,
            listeners,
            calls: HashMap::new(),
            dialogs: HashMap::new(),
            invites: HashMap::new(),
            clients: HashMap::new(),
            merges: HashMap::new(),
            merge_order: VecDeque::new(),
            timers: Timers::new(),
            out: VecDeque::new(),
            rng,
            last_incoming: 0,
            active: 0,
            draining: false,
        }
    }

    /// A datagram arrived.
    pub(crate) fn datagram(&mut self, now: Instant, bytes: Bytes, flow: Flow) {
        self.stack.datagram(now, bytes, flow);
        self.settle(now);
    }

    /// Bytes arrived on a connection.
    pub(crate) fn stream(&mut self, now: Instant, bytes: &[u8], flow: Flow) {
        self.stack.stream(now, bytes, flow);
        self.settle(now);
    }

    /// A connection is gone. Its calls live on: a new connection may carry them.
    pub(crate) fn closed(&mut self, connection: u64) {
        self.stack.closed(connection);
    }

    /// Bytes could not be sent.
    pub(crate) fn unsendable(&mut self, now: Instant, tx: TxRef) {
        self.stack.unsendable(now, tx);
        self.settle(now);
    }

    /// The application wants something.
    pub(crate) fn command(&mut self, now: Instant, command: Command) {
        match command {
            Command::Dial { call, dial } => self.dial(now, call, dial),
            Command::Ring { call } => self.ring(now, call),
            Command::Answer { call, local } => self.answer(now, call, local),
            Command::Reject { call, code, reason } => self.reject(now, call, code, &reason),
            Command::Cancel { call } => self.cancel(now, call),
            Command::Hangup { call, reason } => self.hangup(now, call, reason),
            Command::Hold { call, on } => self.hold(now, call, on),
            Command::Dtmf { call, digit } => self.send_dtmf(now, call, digit),
            Command::Refer { call, target, headers } => self.send_refer(now, call, &target, &headers),
            Command::ReferProgress { call, code, reason } => self.refer_progress(now, call, code, &reason),
            Command::Drain => self.drain(now),
        }
        self.settle(now);
    }

    /// Runs what is due.
    pub(crate) fn tick(&mut self, now: Instant) {
        self.stack.tick(now);
        self.settle(now);
        while let Some((call, kind)) = self.timers.pop(now) {
            self.fired(now, call, kind);
            self.settle(now);
        }
        while self.merge_order.front().is_some_and(|(at, _)| *at <= now) {
            if let Some((_, key)) = self.merge_order.pop_front() {
                self.merges.remove(&key);
            }
        }
    }

    /// When [`Agent::tick`] is next needed.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let merges = self.merge_order.front().map(|(at, _)| *at);
        [self.stack.deadline(), self.timers.next(), merges].into_iter().flatten().min()
    }

    /// The next thing to do.
    pub(crate) fn poll(&mut self) -> Option<Output> {
        self.stack.poll_wire().map(Output::Wire).or_else(|| self.out.pop_front())
    }

    /// Whether no call is up and no BYE of ours waits for its response.
    pub(crate) fn is_quiet(&self) -> bool {
        self.active == 0 && self.clients.values().all(|(_, purpose)| *purpose != Purpose::Bye)
    }

    fn settle(&mut self, now: Instant) {
        while let Some(event) = self.stack.poll_event() {
            match event {
                StackEvent::Request { tx, request, flow } => self.request(now, tx, &request, flow),
                StackEvent::Cancel { tx, invite, request } => self.cancelled(now, tx, invite, &request),
                StackEvent::Ack { request } => self.acked(now, &request),
                StackEvent::Response { tx, response } => self.response(now, tx, &response),
                StackEvent::Failed { tx, unreachable } => self.no_response(now, tx, unreachable),
                StackEvent::Done { tx } => {
                    self.clients.remove(&tx);
                }
            }
        }
    }

    /// RFC 3261 §8.2: the checks that every request goes through, in the order of the RFC.
    fn request(&mut self, now: Instant, tx: ServerTx, request: &Request, flow: Flow) {
        if let Method::Other(_) = request.method {
            let code = if request.method.is_registered() { 405 } else { 501 };
            return self.answer_with(now, tx, Reply::new(code).header("Allow", ALLOW));
        }
        if let Some(tag) = message::tag(&request.headers, "To") {
            let Some(call) = self.dialog_of(request, &tag) else {
                return self.answer_with(now, tx, Reply::new(481));
            };
            return self.in_dialog(now, tx, request, flow, call);
        }
        let scheme = request.uri.split(':').next().unwrap_or_default();
        if !["sip", "sips", "tel"].iter().any(|s| s.eq_ignore_ascii_case(scheme)) {
            return self.answer_with(now, tx, Reply::new(416));
        }
        if self.is_merged(now, request) {
            return self.answer_with(now, tx, Reply::new(482));
        }
        if let Some(reply) = unsupported(&request.headers) {
            return self.answer_with(now, tx, reply);
        }
        match request.method {
            Method::Invite => self.invited(now, tx, request, flow),
            Method::Options => {
                let reply = self.capabilities();
                self.answer_with(now, tx, reply);
            }
            // A REFER that would make a call out of nothing is not for a voice bridge.
            Method::Refer => self.answer_with(now, tx, Reply::new(403).because("REFER Outside A Call")),
            // Everything else makes sense in a dialog only.
            _ => self.answer_with(now, tx, Reply::new(481)),
        }
    }

    fn capabilities(&self) -> Reply {
        Reply::new(200)
            .header("Allow", ALLOW)
            .header("Accept", "application/sdp, application/dtmf-relay, application/dtmf")
            .header("Accept-Encoding", "identity")
            .header("Accept-Language", "zh, en")
            .header("Supported", SUPPORTED)
            .header("Server", self.config.user_agent.as_str())
    }

    fn answer_with(&mut self, now: Instant, tx: ServerTx, mut reply: Reply) {
        if reply.to_tag.is_none() {
            reply.to_tag = Some(self.token());
        }
        if reply.code == 500 || reply.code == 503 {
            let wait = self.rng.random_range(1..=9u8).to_string();
            if reply.headers.get("Retry-After").is_none() {
                reply = reply.header("Retry-After", wait);
            }
        }
        self.stack.respond(now, tx, &reply);
    }

    fn dialog_of(&self, request: &Request, our_tag: &str) -> Option<u64> {
        let call_id = request.headers.get("Call-ID")?;
        let id = *self.dialogs.get(&(call_id.to_owned(), our_tag.to_owned()))?;
        let call = self.calls.get(&id)?;
        let theirs = message::tag(&request.headers, "From").unwrap_or_default();
        (call.dialog.remote_tag == theirs).then_some(id)
    }

    fn is_merged(&mut self, now: Instant, request: &Request) -> bool {
        let Some((number, _)) = message::cseq(&request.headers) else { return false };
        let from = message::tag(&request.headers, "From").unwrap_or_default();
        let call_id = request.headers.get("Call-ID").unwrap_or_default().to_owned();
        let key = (call_id, from, number, request.method.clone());
        if self.merges.contains_key(&key) {
            return true;
        }
        self.merges.insert(key.clone(), now);
        self.merge_order.push_back((now + GIVE_UP, key));
        false
    }

    fn event(&mut self, call: u64, event: CallEvent) {
        if let Some(state) = self.calls.get_mut(&call) {
            if state.told_last {
                return;
            }
            state.told_last = event.is_last();
        }
        self.out.push_back(Output::Event { call, event });
    }

    /// A random token: 64 bits, for tags and identifiers that must not be guessed.
    fn token(&mut self) -> String {
        format!("{:016x}", self.rng.random::<u64>())
    }

    /// Our `Contact` on a flow.
    fn contact(flow: &Flow) -> String {
        let transport = match flow.transport {
            Transport::Udp => "",
            Transport::Tcp => ";transport=tcp",
        };
        format!("<sip:nightline@{}{transport}>", flow.local)
    }

    /// No new calls; those that are up get a BYE, those that ring a 503.
    fn drain(&mut self, now: Instant) {
        self.draining = true;
        let calls: Vec<u64> = self.calls.keys().copied().collect();
        for id in calls {
            match self.calls.get(&id).map(|call| &call.phase) {
                Some(Phase::Incoming(_)) => self.reject(now, id, 503, ""),
                Some(Phase::Outgoing(_)) => self.cancel(now, id),
                Some(Phase::Up) => self.hangup(now, id, None),
                _ => {}
            }
        }
    }
}

/// The option tags that we know.
const SUPPORTED: &str = "100rel, timer, norefersub";

/// RFC 3261 §8.2.2.3: 420 for what is required of us and unknown to us.
fn unsupported(headers: &Headers) -> Option<Reply> {
    let known: Vec<&str> = SUPPORTED.split(", ").collect();
    let unknown: Vec<&str> =
        headers.list("Require").filter(|tag| !known.iter().any(|k| k.eq_ignore_ascii_case(tag))).collect();
    (!unknown.is_empty()).then(|| Reply::new(420).header("Unsupported", unknown.join(", ")))
}

/// RFC 3261 §8.2.3: 415 for a body that is not SDP. `Ok(None)` means no body.
fn sdp_body(request_headers: &Headers, body: &Bytes) -> Result<Option<Bytes>, Reply> {
    let refusal =
        || Reply::new(415).header("Accept", "application/sdp").header("Accept-Encoding", "identity");
    if request_headers.list("Content-Encoding").any(|encoding| !encoding.eq_ignore_ascii_case("identity")) {
        return Err(refusal());
    }
    if body.is_empty() {
        return Ok(None);
    }
    message::body_of(request_headers, body, "application/sdp").map(Some).ok_or_else(refusal)
}
