//! The dialog and session layer: one sans-IO state machine for all calls of an endpoint.
//!
//! Bytes, commands and time go in ([`Agent::datagram`], [`Agent::stream`], [`Agent::command`], [`Agent::tick`]);
//! bytes to send and events for the application come out ([`Agent::poll`]). No sockets, no tasks, no clock.
//!
//! `incoming` is a call until it is answered, `outgoing` likewise for ours, `indialog` what the peer may ask in a
//! dialog, `session` what we ask in one.

mod authorize;
mod call;
mod config;
mod incoming;
mod indialog;
mod io;
mod outgoing;
mod probe;
mod session;
#[cfg(test)]
mod tests;
mod transfer;
mod upstream;
#[cfg(test)]
mod vectors;

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rand::Rng;
use rand::rngs::StdRng;

use self::authorize::Sent;
use self::call::{Call, Phase, Purpose};
pub use self::config::{EndReason, EndpointConfig, FailCause};
pub(crate) use self::io::{CallEvent, Command, Incoming, OutgoingRequest, Output};
pub use self::probe::Probed;
pub use self::upstream::RegistrationState;
use self::upstream::Upstream;
pub(crate) use self::upstream::UpstreamRequest;
use crate::error::Error;
use crate::message::{self, ALLOW, Headers, Method, Reply, Request};
use crate::registrar::{Binding, Registrar};
use crate::sdes::SrtpPolicy;
use crate::stack::{ClientTx, Flow, ServerTx, SipxStack, Stack, StackEvent, Transport, TxRef};
use crate::timers::Timers;

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
    /// Nothing is heard of a REFER of ours.
    ReferTimeout,
    /// Our registration with an exchange has to be refreshed or tried again.
    RegisterAgain,
    /// A NAT on the way to an exchange would forget us.
    KeepAlive,
    /// A call that is over leaves the table.
    Forget,
}

impl TimerKind {
    const ALL: [Self; 12] = [
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
        Self::ReferTimeout,
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
    /// There is one where there are accounts.
    registrar: Option<Registrar>,
    calls: HashMap<u64, Call>,
    /// Call-ID and our tag. The peer's tag is checked in the call.
    dialogs: HashMap<(String, String), u64>,
    invites: HashMap<ServerTx, u64>,
    clients: HashMap<ClientTx, (u64, Purpose)>,
    /// Requests of ours that may be challenged, until they are answered.
    sent: HashMap<ClientTx, Sent>,
    /// Our registrations with exchanges.
    upstreams: HashMap<u64, Upstream>,
    merges: HashMap<MergeKey, Instant>,
    merge_order: VecDeque<(Instant, MergeKey)>,
    timers: Timers<(u64, TimerKind)>,
    out: VecDeque<Output>,
    /// Why the transaction that fails just now could not be sent.
    why: Option<String>,
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
        mut rng: StdRng,
    ) -> Result<Self, Error> {
        let registrar = match config.accounts.as_slice() {
            [] => None,
            accounts => Some(Registrar::new(accounts, &config.registrar, &mut rng)?),
        };
        Ok(Self {
            stack,
            config,
            listeners,
            registrar,
            calls: HashMap::new(),
            dialogs: HashMap::new(),
            invites: HashMap::new(),
            clients: HashMap::new(),
            sent: HashMap::new(),
            upstreams: HashMap::new(),
            merges: HashMap::new(),
            merge_order: VecDeque::new(),
            timers: Timers::new(),
            out: VecDeque::new(),
            why: None,
            rng,
            last_incoming: 0,
            active: 0,
            draining: false,
        })
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

    /// Bytes could not be sent, for this reason if it is known.
    pub(crate) fn unsendable(&mut self, now: Instant, tx: TxRef, why: Option<&str>) {
        self.why = why.map(str::to_owned);
        self.stack.unsendable(now, tx);
        self.settle(now);
        self.why = None;
    }

    /// Whether the keys of SRTP may be told on this flow.
    pub(crate) fn permits_srtp(&self, flow: &Flow) -> bool {
        self.config.srtp_over_plain_sip || flow.transport == Transport::Tls
    }

    /// The policy of calls that have none of their own.
    pub(crate) fn srtp_policy(&self) -> SrtpPolicy {
        self.config.srtp
    }

    /// The application wants something.
    pub(crate) fn command(&mut self, now: Instant, command: Command) {
        match command {
            Command::Dial { call, dial } => self.dial(now, call, *dial),
            Command::Ring { call } => self.ring(now, call),
            Command::Answer { call, local, srtp } => self.answer(now, call, local, srtp),
            Command::Reject { call, code, reason } => self.reject(now, call, code, &reason),
            Command::Cancel { call } => self.cancel(now, call),
            Command::Hangup { call, reason } => self.hangup(now, call, reason),
            Command::Hold { call, on } => self.hold(now, call, on),
            Command::Dtmf { call, digit } => self.send_dtmf(now, call, digit),
            Command::Refer { call, target, headers } => self.send_refer(now, call, &target, &headers),
            Command::ReferReplacing { call, other, carried } => {
                self.send_refer_replacing(now, call, other, &carried);
            }
            Command::ReferProgress { call, code, reason } => self.refer_progress(now, call, code, &reason),
            Command::Register { id, register } => self.register_with(now, id, *register),
            Command::Probe { id, target, flow } => self.probe(now, id, target, flow),
            Command::Unregister { id } => self.unregister(now, id),
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
        if let Some(registrar) = &mut self.registrar {
            registrar.expire(now);
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
        let seats = self.registrar.as_ref().and_then(Registrar::deadline);
        [self.stack.deadline(), self.timers.next(), merges, seats].into_iter().flatten().min()
    }

    /// The next thing to do.
    pub(crate) fn poll(&mut self) -> Option<Output> {
        let wire = self.stack.poll_wire().map(Output::Wire).or_else(|| self.out.pop_front());
        wire.or_else(|| self.registrar.as_mut()?.poll_event().map(Output::Seat))
    }

    /// Whether no call is up, nothing is registered, and no BYE of ours waits for its response.
    pub(crate) fn is_quiet(&self) -> bool {
        self.active == 0
            && self.upstreams.is_empty()
            && self.clients.values().all(|(_, purpose)| *purpose != Purpose::Bye)
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
                    self.sent.remove(&tx);
                }
            }
        }
    }

    /// RFC 3261 §8.2: the checks that every request goes through, in the order of the RFC.
    fn request(&mut self, now: Instant, tx: ServerTx, request: &Request, flow: Flow) {
        let unknown = match request.method {
            Method::Register => self.registrar.is_none(),
            Method::Other(_) => true,
            _ => false,
        };
        if unknown {
            let code = if request.method.is_registered() { 405 } else { 501 };
            return self.answer_with(now, tx, Reply::new(code).header("Allow", self.allow()));
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
            Method::Register => {
                let Some(registrar) = &mut self.registrar else { return };
                let reply = registrar.register(now, request, flow, &mut self.rng);
                self.answer_with(now, tx, reply);
            }
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

    /// What is taken outside of a call.
    fn allow(&self) -> String {
        let register = if self.registrar.is_some() { ", REGISTER" } else { "" };
        format!("{ALLOW}{register}")
    }

    /// Where the seats are; of one user, or of all.
    pub(crate) fn bindings(&self, now: Instant, user: Option<&str>) -> Vec<Binding> {
        self.registrar.as_ref().map_or_else(Vec::new, |registrar| registrar.bindings(now, user))
    }

    /// Where to call a seat: its contact and the way there.
    pub(crate) fn locate(&self, now: Instant, user: &str, contact: Option<&str>) -> Option<(String, Flow)> {
        self.registrar.as_ref()?.locate(now, user, contact)
    }

    /// Takes the seats of an earlier run back.
    pub(crate) fn restore(&mut self, now: Instant, kept: Vec<(Binding, Flow)>) {
        if let Some(registrar) = &mut self.registrar {
            registrar.restore(now, kept);
        }
    }

    fn capabilities(&self) -> Reply {
        Reply::new(200)
            .header("Allow", self.allow())
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

    /// No new calls; those that are up get a BYE, those that ring a 503; exchanges are told that we are gone.
    fn drain(&mut self, now: Instant) {
        self.draining = true;
        let upstreams: Vec<u64> = self.upstreams.keys().copied().collect();
        for id in upstreams {
            self.unregister(now, id);
        }
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

impl Agent<SipxStack> {
    /// What is still held after everything has ended, in words.
    pub(crate) fn leftovers(&self) -> Option<String> {
        let held = [
            ("calls", self.calls.len()),
            ("dialogs", self.dialogs.len()),
            ("invitations", self.invites.len()),
            ("client transactions", self.clients.len() + self.sent.len()),
            ("registrations", self.upstreams.len()),
            ("merges", self.merges.len() + self.merge_order.len()),
            ("parts of the stack", usize::from(!self.stack.is_idle())),
            ("timers", usize::from(self.timers.next().is_some())),
        ];
        let held: Vec<String> =
            held.iter().filter(|(_, n)| *n > 0).map(|(name, n)| format!("{n} {name}")).collect();
        (!held.is_empty()).then(|| held.join(", "))
    }
}

/// The option tags that we know.
const SUPPORTED: &str = "100rel, timer, norefersub, replaces";

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
