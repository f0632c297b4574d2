//! We as a phone of an exchange: REGISTER, its refresh, and taking it back (RFC 3261 §10.2).

use std::time::{Duration, Instant};

use rand::Rng;

use super::authorize::Sent;
use super::call::{Purpose, seconds};
use super::outgoing::is_sips;
use super::{Agent, Output, TimerKind};
use crate::challenge::Challenge;
use crate::message::{Headers, Method, NameAddr, Request, Response, SipUri};
use crate::stack::{ClientTx, Flow, Stack, Transport, Wire};

/// The first wait after a failure; it doubles each time.
const FIRST_WAIT: Duration = Duration::from_secs(5);
/// The first wait where the exchange has refused us: somebody has to change something first.
const REFUSED_WAIT: Duration = Duration::from_secs(60);
/// The longest.
const LONGEST_WAIT: Duration = Duration::from_secs(600);
/// Keeps the way through a NAT open on UDP (RFC 5626 §4.4.1 wants 24 to 29 s).
const KEEP_ALIVE: Duration = Duration::from_secs(25);
/// Nothing sensible is longer.
const MAX_EXPIRES: Duration = Duration::from_secs(86_400);

/// How our registration with an exchange stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegistrationState {
    /// Nothing has come back yet.
    Trying,
    /// The exchange knows where we are. It is told again before this time is over.
    Registered {
        /// The time that it gave us.
        expires: Duration,
    },
    /// It did not work. It is tried again by itself.
    Failed {
        /// SIP status; 408 for silence, 503 for an address that cannot be reached.
        code: u16,
        /// The words with it.
        reason: String,
        /// When the next attempt is made.
        again: Duration,
    },
    /// It was taken back, or the endpoint has stopped. Nothing comes after it.
    Ended,
}

/// A registration to be made, resolved to an address.
#[derive(Debug, Clone)]
pub(crate) struct UpstreamRequest {
    pub(crate) registrar: String,
    pub(crate) aor: String,
    pub(crate) expires: Duration,
    pub(crate) flow: Flow,
}

pub(super) struct Upstream {
    registrar: String,
    aor: String,
    contact: String,
    expires: Duration,
    flow: Flow,
    call_id: String,
    tag: String,
    cseq: u32,
    /// The last challenge, to be answered before it is made again.
    challenge: Option<Challenge>,
    /// The request in flight.
    tx: Option<ClientTx>,
    failures: u32,
    up: bool,
    /// How long the exchange believes us to be there, also when a refresh has failed.
    held: Option<Instant>,
    ending: bool,
}

impl<S: Stack> Agent<S> {
    pub(super) fn register_with(&mut self, now: Instant, id: u64, wanted: UpstreamRequest) {
        let UpstreamRequest { registrar, aor, expires, flow } = wanted;
        let user = SipUri::parse(&aor).map(|uri| uri.user.to_owned()).unwrap_or_default();
        let sips = is_sips(&registrar);
        let transport = match flow.transport {
            Transport::Tcp => ";transport=tcp",
            Transport::Tls if !sips => ";transport=tls",
            _ => "",
        };
        let scheme = if sips { "sips" } else { "sip" };
        let upstream = Upstream {
            contact: format!("{scheme}:{user}@{}{transport}", flow.local),
            registrar,
            aor,
            expires: expires.clamp(Duration::from_secs(60), MAX_EXPIRES),
            flow,
            call_id: format!("{}{}", self.token(), self.token()),
            tag: self.token(),
            cseq: self.rng.random_range(1..10_000),
            challenge: None,
            tx: None,
            failures: 0,
            up: false,
            held: None,
            ending: false,
        };
        self.upstreams.insert(id, upstream);
        self.send_register(now, id);
    }

    /// Takes a registration back.
    pub(super) fn unregister(&mut self, now: Instant, id: u64) {
        let Some(upstream) = self.upstreams.get_mut(&id) else { return };
        if std::mem::replace(&mut upstream.ending, true) {
            return;
        }
        self.timers.clear(&(id, TimerKind::RegisterAgain));
        self.timers.clear(&(id, TimerKind::KeepAlive));
        let Some(upstream) = self.upstreams.get(&id) else { return };
        if upstream.tx.is_some() {
            // Its answer decides.
            return;
        }
        if upstream.held.is_some_and(|until| until > now) {
            self.send_register(now, id);
        } else {
            self.forget_upstream(id);
        }
    }

    /// The next REGISTER: a first one, a refresh, or the last.
    pub(super) fn send_register(&mut self, now: Instant, id: u64) {
        let cnonce = self.token();
        let Some(upstream) = self.upstreams.get_mut(&id) else { return };
        upstream.cseq += 1;
        let expires = if upstream.ending { 0 } else { upstream.expires.as_secs() };
        let mut headers = Headers::default();
        for (name, value) in [
            ("Max-Forwards", "70".to_owned()),
            ("From", format!("<{}>;tag={}", upstream.aor, upstream.tag)),
            ("To", format!("<{}>", upstream.aor)),
            ("Call-ID", upstream.call_id.clone()),
            ("CSeq", format!("{} REGISTER", upstream.cseq)),
            ("Contact", format!("<{}>", upstream.contact)),
            ("Expires", expires.to_string()),
            ("User-Agent", self.config.user_agent.clone()),
        ] {
            headers.push(name, value);
        }
        let uri = upstream.registrar.clone();
        let mut early = false;
        if let Some(challenge) = &mut upstream.challenge {
            headers.push(challenge.header(), challenge.answer("REGISTER", &uri, &cnonce));
            early = true;
        }
        let request = Request { method: Method::Register, uri, headers, body: bytes::Bytes::new() };
        let sent = Sent { early, ..Sent::new(request, upstream.flow) };
        self.transmit_register(now, id, sent);
    }

    fn transmit_register(&mut self, now: Instant, id: u64, sent: Sent) {
        let Some(upstream) = self.upstreams.get_mut(&id) else { return };
        match self.stack.request(now, &sent.request, upstream.flow) {
            Ok(tx) => {
                upstream.tx = Some(tx);
                self.clients.insert(tx, (id, Purpose::Register));
                self.sent.insert(tx, sent);
            }
            Err(error) => {
                tracing::warn!("{error}");
                self.register_failed(now, id, 400, "the request is not legal SIP", None);
            }
        }
    }

    /// The final response to a REGISTER of ours.
    pub(super) fn registered(&mut self, now: Instant, id: u64, sent: Sent, response: &Response) {
        let Some(upstream) = self.upstreams.get_mut(&id) else { return };
        upstream.tx = None;
        match response.code {
            200..300 if upstream.ending && !wants_nothing(&sent.request) => {
                // A refresh that was under way has come through; now take it back.
                self.send_register(now, id);
            }
            200..300 if upstream.ending => self.forget_upstream(id),
            200..300 => {
                let granted = granted(response, &upstream.contact).unwrap_or(upstream.expires);
                if granted.is_zero() {
                    return self.register_failed(
                        now,
                        id,
                        response.code,
                        "the exchange gave us no time",
                        None,
                    );
                }
                upstream.failures = 0;
                let expires = granted.min(MAX_EXPIRES);
                upstream.held = Some(now + expires);
                // Early enough for a few copies of the request, and not all endpoints at once.
                let share = self.rng.random_range(0.75..0.85);
                self.timers.set((id, TimerKind::RegisterAgain), now + expires.mul_f64(share));
                if upstream.flow.transport == Transport::Udp {
                    self.timers.set((id, TimerKind::KeepAlive), now + KEEP_ALIVE);
                }
                if !std::mem::replace(&mut upstream.up, true) {
                    tracing::info!(seconds = expires.as_secs(), "registered with an exchange");
                }
                self.tell_upstream(id, RegistrationState::Registered { expires });
            }
            401 | 407 => {
                let Some((challenge, tries)) = self.challenge(&sent, response) else {
                    return self.register_failed(now, id, response.code, &response.reason, None);
                };
                let cnonce = self.token();
                let Some(upstream) = self.upstreams.get_mut(&id) else { return };
                upstream.cseq += 1;
                let mut request = sent.request;
                request.headers.set("CSeq", format!("{} REGISTER", upstream.cseq));
                let challenge = upstream.challenge.insert(challenge);
                let value = challenge.answer("REGISTER", &request.uri, &cnonce);
                request.headers.set(challenge.header(), value);
                self.transmit_register(now, id, Sent { request, tries, early: false, ..sent });
            }
            423 => {
                let min = response.headers.get("Min-Expires").and_then(seconds).unwrap_or_default();
                if upstream.ending || min <= upstream.expires || min > MAX_EXPIRES {
                    return self.register_failed(now, id, 423, &response.reason, None);
                }
                upstream.expires = min;
                self.send_register(now, id);
            }
            code => {
                let wait = response.headers.get("Retry-After").and_then(seconds);
                self.register_failed(now, id, code, &response.reason, wait);
            }
        }
    }

    /// A REGISTER of ours that got us nowhere.
    pub(super) fn register_failed(
        &mut self,
        now: Instant,
        id: u64,
        code: u16,
        reason: &str,
        wait: Option<Duration>,
    ) {
        let share = self.rng.random_range(0.8..1.2);
        let Some(upstream) = self.upstreams.get_mut(&id) else { return };
        upstream.tx = None;
        upstream.up = false;
        if upstream.ending {
            return self.forget_upstream(id);
        }
        if matches!(code, 401 | 403 | 407) {
            // What we know of its challenge has not helped.
            upstream.challenge = None;
        }
        let first = if matches!(code, 400..408) { REFUSED_WAIT } else { FIRST_WAIT };
        let backed = first.saturating_mul(1 << upstream.failures.min(10)).min(LONGEST_WAIT).mul_f64(share);
        let again = wait.map_or(backed, |wait| wait.clamp(FIRST_WAIT, LONGEST_WAIT));
        upstream.failures += 1;
        tracing::warn!(code, again = again.as_secs(), "cannot register with an exchange");
        self.timers.clear(&(id, TimerKind::KeepAlive));
        self.timers.set((id, TimerKind::RegisterAgain), now + again);
        self.tell_upstream(id, RegistrationState::Failed { code, reason: reason.to_owned(), again });
    }

    pub(super) fn keep_alive(&mut self, now: Instant, id: u64) {
        let Some(upstream) = self.upstreams.get(&id) else { return };
        let bytes = bytes::Bytes::from_static(b"\r\n\r\n");
        self.out.push_back(Output::Wire(Wire::Send { flow: upstream.flow, bytes, tx: None }));
        self.timers.set((id, TimerKind::KeepAlive), now + KEEP_ALIVE);
    }

    fn forget_upstream(&mut self, id: u64) {
        self.upstreams.remove(&id);
        self.tell_upstream(id, RegistrationState::Ended);
    }

    fn tell_upstream(&mut self, id: u64, state: RegistrationState) {
        self.out.push_back(Output::Upstream { id, state });
    }
}

/// The time that the exchange gave to our contact (RFC 3261 §10.2.4).
fn granted(response: &Response, contact: &str) -> Option<Duration> {
    let same = |value: &&str| {
        let (theirs, ours) = (SipUri::parse(NameAddr::parse(value).uri), SipUri::parse(contact));
        theirs.zip(ours).is_some_and(|(a, b)| a.user == b.user && a.host == b.host && a.port == b.port)
    };
    let ours = response.headers.list("Contact").find(same);
    let said = ours.and_then(|value| NameAddr::parse(value).param("expires").map(str::to_owned));
    said.as_deref().or_else(|| response.headers.get("Expires")).and_then(seconds)
}

fn wants_nothing(request: &Request) -> bool {
    request.headers.get("Expires") == Some("0")
}
