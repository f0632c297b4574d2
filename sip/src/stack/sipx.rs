//! [`Stack`] on `sipx`: its parser, its validation, its transaction machines, its rules for `received`, `rport` and
//! where a response goes.
//!
//! Its socket driver is not used: it drops what it cannot parse without an answer or a log line, closes a stream with
//! lost framing without the 400, and reads the clock itself, so that the whole could not be run on virtual time.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rand::Rng;
use rand::rngs::StdRng;
use sipx_sip as sip;
use sipx_sip::transaction::{Dispatch, Output, Timer, TransactionKey, TransactionLayer, TuEvent};
use sipx_transport::nat::apply_received_and_rport;
use sipx_transport::target::{TransportKind, response_destination};

use super::convert::{headers_from, one_line, request_from, response_to, write_headers};
use super::framing::{Frame, Framer, refuse};
use super::repair::without_repeated_parameters;
use super::{BuildError, ClientTx, Flow, ServerTx, Stack, StackEvent, Transport, TxRef, Wire};
use crate::message::{Headers, Reply, Request, Response};
use crate::timers::Timers;

/// At most one log line about unreadable messages in this time; the others are counted in the next line.
const LOG_EVERY: Duration = Duration::from_secs(1);

/// Transactions over `sipx-sip`. Client and server sides are apart, because a call to ourselves has one key twice.
pub(crate) struct SipxStack {
    limits: sip::Limits,
    clients: Side<ClientTx>,
    servers: Side<ServerTx>,
    timers: Timers<(TxRef, Timer)>,
    streams: HashMap<u64, Framer>,
    events: std::collections::VecDeque<StackEvent>,
    wires: std::collections::VecDeque<Wire>,
    serial: u64,
    rng: StdRng,
    last_log: Option<Instant>,
    unlogged: u64,
}

struct Side<Id> {
    layer: TransactionLayer,
    by_key: HashMap<TransactionKey, Id>,
    by_id: HashMap<Id, (TransactionKey, Flow)>,
}

impl<Id: Copy + Eq + std::hash::Hash> Side<Id> {
    fn new(timers: sip::Timers) -> Self {
        Self { layer: TransactionLayer::new(timers), by_key: HashMap::new(), by_id: HashMap::new() }
    }

    fn open(&mut self, id: Id, key: TransactionKey, flow: Flow) {
        self.by_key.insert(key.clone(), id);
        self.by_id.insert(id, (key, flow));
    }

    fn close(&mut self, id: Id) {
        if let Some((key, _)) = self.by_id.remove(&id) {
            self.by_key.remove(&key);
        }
    }
}

impl SipxStack {
    pub(crate) fn new(rng: StdRng) -> Self {
        let timers = sip::Timers::default();
        Self {
            limits: sip::Limits::datagram(),
            clients: Side::new(timers),
            servers: Side::new(timers),
            timers: Timers::new(),
            streams: HashMap::new(),
            events: std::collections::VecDeque::new(),
            wires: std::collections::VecDeque::new(),
            serial: 0,
            rng,
            last_log: None,
            unlogged: 0,
        }
    }

    /// Whether no transaction, timer or stream is held any more.
    pub(crate) fn is_idle(&self) -> bool {
        let kept = self.clients.by_id.len() + self.servers.by_id.len() + self.streams.len();
        kept == 0
            && self.clients.layer.is_empty()
            && self.servers.layer.is_empty()
            && self.timers.next().is_none()
    }

    fn next_id(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    fn message(&mut self, now: Instant, bytes: &Bytes, flow: Flow) {
        let mut parsed = sip::parse_datagram(bytes.clone(), &self.limits);
        let refused = parsed.as_ref().map_or(true, |message| !sip::validate(message).is_empty());
        if refused && let Some(repaired) = without_repeated_parameters(bytes) {
            parsed = sip::parse_datagram(repaired, &self.limits);
        }
        let message = match parsed {
            Ok(message) => message,
            Err(error) => {
                self.complain(now, &flow, &error.to_string());
                let head = super::framing::find(bytes, b"\r\n\r\n").unwrap_or(bytes.len());
                self.refuse(bytes.get(..head).unwrap_or_default(), 400, &flow);
                return;
            }
        };
        match message {
            sip::Message::Request(request) => self.received_request(now, request, flow),
            sip::Message::Response(response) => self.received_response(now, response, &flow),
        }
    }

    fn received_request(&mut self, now: Instant, mut request: sip::Request, flow: Flow) {
        let findings = sip::validate_request(&request);
        if let Some(finding) = findings.iter().find(|f| !f.is_repairable()) {
            self.complain(now, &flow, &format!("{finding:?}"));
            let mut head = Vec::new();
            request.write_to(&mut head);
            let end = super::framing::find(&head, b"\r\n\r\n").unwrap_or(head.len());
            self.refuse(head.get(..end).unwrap_or_default(), finding.status(), &flow);
            return;
        }
        apply_received_and_rport(&mut request, flow.remote);
        let reply_to = reply_flow(&request, &flow);
        let reliability = reliability(flow.transport);
        match self.servers.layer.receive(sip::Message::Request(request), reliability) {
            Dispatch::Created { key, outputs } => {
                let id = ServerTx(self.next_id());
                self.servers.open(id, key, reply_to);
                self.perform(now, TxRef::Server(id), outputs, Some(flow));
            }
            Dispatch::Matched { key, outputs } => {
                if let Some(&id) = self.servers.by_key.get(&key) {
                    self.perform(now, TxRef::Server(id), outputs, Some(flow));
                }
            }
            Dispatch::Unmatched(message) => {
                if let sip::Message::Request(request) = *message
                    && request.method == sip::Method::Ack
                {
                    self.events.push_back(StackEvent::Ack { request: request_from(&request) });
                }
            }
        }
    }

    fn received_response(&mut self, now: Instant, response: sip::Response, flow: &Flow) {
        if let Some(finding) = sip::validate_response(&response).first() {
            self.complain(now, flow, &format!("{finding:?} in a response"));
            return;
        }
        let reliability = reliability(flow.transport);
        match self.clients.layer.receive(sip::Message::Response(response), reliability) {
            Dispatch::Created { key, outputs } | Dispatch::Matched { key, outputs } => {
                if let Some(&id) = self.clients.by_key.get(&key) {
                    self.perform(now, TxRef::Client(id), outputs, None);
                }
            }
            Dispatch::Unmatched(_) => tracing::trace!("a response fits no request of ours"),
        }
    }

    /// Does what a transaction wants. `arrived` is the flow of the request being handled, if one is.
    fn perform(&mut self, now: Instant, tx: TxRef, outputs: Vec<Output>, arrived: Option<Flow>) {
        for output in outputs {
            match output {
                Output::Send(message) => {
                    let flow = match tx {
                        TxRef::Client(id) => self.clients.by_id.get(&id).map(|(_, flow)| *flow),
                        TxRef::Server(id) => self.servers.by_id.get(&id).map(|(_, flow)| *flow),
                    };
                    if let Some(flow) = flow {
                        self.wires.push_back(Wire::Send { flow, bytes: message.to_bytes(), tx: Some(tx) });
                    }
                }
                Output::SetTimer { timer, after } => self.timers.set((tx, timer), now + after),
                Output::ClearTimer(timer) => self.timers.clear(&(tx, timer)),
                Output::ToTu(event) => self.up(tx, *event, arrived),
                Output::Terminated(_) => self.finish(tx),
                _ => tracing::warn!("a SIP transaction wants something that this version cannot do"),
            }
        }
    }

    fn up(&mut self, tx: TxRef, event: TuEvent, arrived: Option<Flow>) {
        match (tx, event) {
            (TxRef::Server(tx), TuEvent::Request(request)) => {
                if request.method == sip::Method::Cancel {
                    let invite = TransactionKey::for_cancelled_invite(&request)
                        .and_then(|key| self.servers.by_key.get(&key).copied());
                    let request = request_from(&request);
                    self.events.push_back(StackEvent::Cancel { tx, invite, request });
                } else if let Some(flow) = arrived {
                    self.events.push_back(StackEvent::Request { tx, request: request_from(&request), flow });
                }
            }
            (TxRef::Server(_), TuEvent::Ack(request)) => {
                self.events.push_back(StackEvent::Ack { request: request_from(&request) });
            }
            (TxRef::Client(tx), TuEvent::Response(response)) => {
                let response = Response {
                    code: response.status.code(),
                    reason: String::from_utf8_lossy(&response.reason).into_owned(),
                    headers: headers_from(&response.headers),
                    body: response.body().clone(),
                };
                self.events.push_back(StackEvent::Response { tx, response });
            }
            (TxRef::Client(tx), TuEvent::Timeout) => {
                self.events.push_back(StackEvent::Failed { tx, unreachable: false });
            }
            (TxRef::Client(tx), TuEvent::TransportError) => {
                self.events.push_back(StackEvent::Failed { tx, unreachable: true });
            }
            // A server transaction without its ACK, or whose response could not be sent: the dialog has its own timers.
            _ => {}
        }
    }

    fn finish(&mut self, tx: TxRef) {
        match tx {
            TxRef::Client(id) => {
                self.clients.close(id);
                self.events.push_back(StackEvent::Done { tx: id });
            }
            TxRef::Server(id) => self.servers.close(id),
        }
        for timer in Timer::ALL {
            self.timers.clear(&(tx, timer));
        }
    }

    /// Answers, without a transaction, a request that is not taken further.
    fn refuse(&mut self, head: &[u8], code: u16, flow: &Flow) {
        let tag = self.token();
        let reason = crate::message::reason_phrase(code);
        let Some((bytes, via)) = refuse(head, code, reason, &tag) else { return };
        let mut flow = *flow;
        if flow.transport == Transport::Udp
            && let Ok(via) = sip::Via::parse_one(&via)
            && via.rport().is_none()
            && via.maddr().is_none()
        {
            // Never to an address that the sender only claims: only the port is taken from an unreadable message.
            flow.remote.set_port(via.port.unwrap_or(5060));
        }
        self.wires.push_back(Wire::Send { flow, bytes: Bytes::from(bytes), tx: None });
    }

    fn complain(&mut self, now: Instant, flow: &Flow, what: &str) {
        if self.last_log.is_some_and(|last| now < last + LOG_EVERY) {
            self.unlogged += 1;
            return;
        }
        self.last_log = Some(now);
        let also = std::mem::take(&mut self.unlogged);
        tracing::warn!(peer = %flow.remote, transport = %flow.transport, also, "refused a SIP message: {what}");
    }

    fn token(&mut self) -> String {
        format!("{:016x}", self.rng.random::<u64>())
    }

    /// Our request as the parser's own type. It goes through the parser, so nothing malformed can leave.
    fn build(&mut self, request: &Request, flow: &Flow) -> Result<sip::Request, BuildError> {
        let mut text = format!("{} {} SIP/2.0\r\n", request.method, one_line(&request.uri));
        let branch = self.token();
        let via = format!("Via: SIP/2.0/{} {};branch=z9hG4bK{branch};rport\r\n", flow.transport, flow.local);
        text.push_str(&via);
        write_headers(&mut text, &request.headers);
        text.push_str("Content-Length: ");
        text.push_str(&request.body.len().to_string());
        text.push_str("\r\n\r\n");
        let mut bytes = text.into_bytes();
        bytes.extend_from_slice(&request.body);
        let failed = |reason: String| BuildError { method: request.method.to_string(), reason };
        match sip::parse_datagram(Bytes::from(bytes), &sip::Limits::stream()) {
            Ok(sip::Message::Request(built)) => match sip::validate_request(&built).first() {
                None => Ok(built),
                Some(finding) => Err(failed(format!("{finding:?}"))),
            },
            Ok(sip::Message::Response(_)) => Err(failed("it reads as a response".to_owned())),
            Err(error) => Err(failed(error.to_string())),
        }
    }

    fn open(&mut self, now: Instant, built: sip::Request, flow: Flow) -> Option<ClientTx> {
        let (key, outputs) = self.clients.layer.send_request(built, reliability(flow.transport))?;
        let id = ClientTx(self.next_id());
        self.clients.open(id, key, flow);
        self.perform(now, TxRef::Client(id), outputs, None);
        Some(id)
    }
}

impl Stack for SipxStack {
    fn datagram(&mut self, now: Instant, bytes: Bytes, flow: Flow) {
        // Keep-alives of NATed phones: blank lines, nulls (RFC 5626 §4.4, and habit).
        if bytes.iter().all(|b| matches!(b, b'\r' | b'\n' | b' ' | 0)) {
            return;
        }
        self.message(now, &bytes, flow);
    }

    fn stream(&mut self, now: Instant, bytes: &[u8], flow: Flow) {
        let Some(connection) = flow.connection else { return };
        self.streams.entry(connection).or_default().push(bytes);
        while let Some(frame) = self.streams.get_mut(&connection).and_then(Framer::next) {
            match frame {
                Frame::Message(bytes) => self.message(now, &bytes, flow),
                Frame::Ping => {
                    let bytes = Bytes::from_static(b"\r\n");
                    self.wires.push_back(Wire::Send { flow, bytes, tx: None });
                }
                Frame::Lost { head, reason } => {
                    self.complain(now, &flow, reason);
                    self.refuse(&head, 400, &flow);
                    self.wires.push_back(Wire::Close { connection });
                }
            }
        }
    }

    fn closed(&mut self, connection: u64) {
        self.streams.remove(&connection);
    }

    fn unsendable(&mut self, now: Instant, tx: TxRef) {
        let outputs = match tx {
            TxRef::Client(id) => {
                let Some((key, _)) = self.clients.by_id.get(&id).cloned() else { return };
                self.clients.layer.on_transport_error(&key)
            }
            TxRef::Server(id) => {
                let Some((key, _)) = self.servers.by_id.get(&id).cloned() else { return };
                self.servers.layer.on_transport_error(&key)
            }
        };
        self.perform(now, tx, outputs, None);
    }

    fn request(&mut self, now: Instant, request: &Request, flow: Flow) -> Result<ClientTx, BuildError> {
        let built = self.build(request, &flow)?;
        self.open(now, built, flow).ok_or_else(|| BuildError {
            method: request.method.to_string(),
            reason: "it has no transaction identifier".to_owned(),
        })
    }

    fn ack(&mut self, request: &Request, flow: Flow) -> Result<(), BuildError> {
        let built = self.build(request, &flow)?;
        let bytes = sip::Message::Request(built).to_bytes();
        self.wires.push_back(Wire::Send { flow, bytes, tx: None });
        Ok(())
    }

    fn cancel(&mut self, now: Instant, invite: ClientTx, extra: &Headers) {
        let Some((key, flow)) = self.clients.by_id.get(&invite).cloned() else { return };
        let Some(request) = self.clients.layer.client_request(&key) else { return };
        // RFC 3261 §9.1: the same Via, Request-URI, From, To, Call-ID, CSeq number and Route.
        let mut text = b"CANCEL ".to_vec();
        text.extend_from_slice(&request.uri.to_bytes());
        text.extend_from_slice(b" SIP/2.0\r\n");
        for header in request.headers.iter() {
            match header.name() {
                sip::HeaderName::Via
                | sip::HeaderName::From
                | sip::HeaderName::To
                | sip::HeaderName::CallId
                | sip::HeaderName::MaxForwards
                | sip::HeaderName::Route => {
                    header.write_to(&mut text);
                    text.extend_from_slice(b"\r\n");
                }
                _ => {}
            }
        }
        let number = crate::message::cseq(&headers_from(&request.headers)).map_or(0, |(number, _)| number);
        let mut tail = format!("CSeq: {number} CANCEL\r\n");
        write_headers(&mut tail, extra);
        tail.push_str("Content-Length: 0\r\n\r\n");
        text.extend_from_slice(tail.as_bytes());
        match sip::parse_datagram(Bytes::from(text), &self.limits) {
            Ok(sip::Message::Request(cancel)) => {
                self.open(now, cancel, flow);
            }
            other => tracing::warn!(ok = other.is_ok(), "a CANCEL could not be built"),
        }
    }

    fn respond(&mut self, now: Instant, tx: ServerTx, reply: &Reply) {
        let Some((key, _)) = self.servers.by_id.get(&tx).cloned() else { return };
        let Some(response) = self.servers.layer.server_request(&key).and_then(|r| response_to(r, reply))
        else {
            tracing::warn!(code = reply.code, "a SIP response could not be built");
            return;
        };
        let outputs = self.servers.layer.send_response(&key, response);
        self.perform(now, TxRef::Server(tx), outputs, None);
    }

    fn tick(&mut self, now: Instant) {
        while let Some((tx, timer)) = self.timers.pop(now) {
            let outputs = match tx {
                TxRef::Client(id) => {
                    let Some((key, _)) = self.clients.by_id.get(&id).cloned() else { continue };
                    self.clients.layer.on_timer(&key, timer)
                }
                TxRef::Server(id) => {
                    let Some((key, _)) = self.servers.by_id.get(&id).cloned() else { continue };
                    self.servers.layer.on_timer(&key, timer)
                }
            };
            self.perform(now, tx, outputs, None);
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.timers.next()
    }

    fn poll_event(&mut self) -> Option<StackEvent> {
        self.events.pop_front()
    }

    fn poll_wire(&mut self) -> Option<Wire> {
        self.wires.pop_front()
    }
}

fn reliability(transport: Transport) -> sip::Reliability {
    match transport {
        Transport::Udp => sip::Reliability::Unreliable,
        Transport::Tcp | Transport::Tls => sip::Reliability::Reliable,
    }
}

/// RFC 3261 §18.2.2 and RFC 3581: by `Via` on UDP; on TCP the same connection, or where the `Via` says if it is gone.
fn reply_flow(request: &sip::Request, flow: &Flow) -> Flow {
    let kind = match flow.transport {
        Transport::Udp => TransportKind::Udp,
        Transport::Tcp => TransportKind::Tcp,
        Transport::Tls => TransportKind::Tls,
    };
    let remote = request
        .headers
        .typed::<sip::Via>()
        .and_then(Result::ok)
        .map_or(flow.remote, |via| response_destination(&via, flow.remote, kind).addr);
    Flow { remote: same_family(remote, flow.remote), ..*flow }
}

/// A socket cannot reach the other address family: then back to where the request came from.
fn same_family(wanted: SocketAddr, source: SocketAddr) -> SocketAddr {
    if wanted.is_ipv4() == source.is_ipv4() { wanted } else { source }
}
