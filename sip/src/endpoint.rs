//! The async shell: one task that joins the sockets, the clock and the agent, and the handles that an application
//! holds.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::sync::{mpsc, oneshot};

use crate::agent::{
    Agent, CallEvent, Command, EndReason, EndpointConfig, FailCause, Incoming, OutgoingRequest, Output,
};
use crate::clock;
use crate::error::Error;
use crate::message::{NameAddr, SipUri};
use crate::net::{Net, NetEvent};
use crate::sdp::{LocalMedia, MediaParams};
use crate::stack::{Flow, SipxStack, Transport, Wire};

/// Calls that wait to be taken by [`IncomingCalls::next`]; one more gets 503.
const BACKLOG: usize = 128;
/// Events that wait to be read by the owner of a call; more are dropped with a warning.
const EVENTS: usize = 256;
/// How long [`Endpoint::shutdown`] waits for peers to confirm that their calls are over.
const DRAIN: Duration = Duration::from_secs(2);

/// A SIP endpoint: it takes calls and makes them. Cloning gives another handle to the same one; it stops with
/// [`Endpoint::shutdown`], or when all handles, calls and sessions are gone.
#[derive(Debug, Clone)]
pub struct Endpoint {
    shell: mpsc::UnboundedSender<ToShell>,
    locals: Arc<[(Transport, SocketAddr)]>,
    last_call: Arc<AtomicU64>,
}

/// The calls that come in.
#[derive(Debug)]
pub struct IncomingCalls {
    calls: mpsc::Receiver<IncomingCall>,
}

/// A call to be made.
#[derive(Debug, Clone)]
pub struct Dial {
    /// Whom to call: a `sip:` URI; `;transport=tcp` is honoured. A host name is looked up (A, AAAA).
    pub target: String,
    /// Who calls: a `sip:` URI.
    pub from: String,
    /// The name shown to the callee.
    pub display: Option<String>,
    /// More headers for the INVITE, such as `User-to-User`.
    pub headers: Vec<(String, String)>,
    /// Our end of the media.
    pub local: LocalMedia,
    /// How long to wait for an answer.
    pub ring_timeout: Duration,
}

/// One side of a call, from `From` or `To`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Party {
    /// The user part: mostly a number.
    pub user: String,
    /// The whole URI.
    pub uri: String,
    /// The name beside it; may be empty.
    pub display: String,
}

impl Party {
    fn parse(value: &str) -> Self {
        let addr = NameAddr::parse(value);
        let user = match SipUri::parse(addr.uri) {
            Some(uri) => uri.user.split([';', ':']).next().unwrap_or_default(),
            None => {
                addr.uri.split_once(':').map_or("", |(_, rest)| rest.split(';').next().unwrap_or_default())
            }
        };
        Self { user: user.to_owned(), uri: addr.uri.to_owned(), display: addr.display.to_owned() }
    }
}

enum ToShell {
    Command(Command),
    Dial {
        call: u64,
        dial: Box<Dial>,
        remote: SocketAddr,
        transport: Transport,
        events: mpsc::Sender<CallEvent>,
        started: oneshot::Sender<Result<(), Error>>,
    },
    Shutdown(oneshot::Sender<()>),
}

impl Endpoint {
    /// Opens the listeners and starts to take calls.
    pub async fn bind(config: EndpointConfig) -> Result<(Self, IncomingCalls), Error> {
        if config.listen.is_empty() {
            return Err(Error::NoListener);
        }
        let (net, from_net) = Net::bind(&config.listen, config.external_ip, config.max_connections).await?;
        let locals: Arc<[_]> = net.local_addrs().into();
        let (shell, from_app) = mpsc::unbounded_channel();
        let (calls, incoming) = mpsc::channel(BACKLOG);
        let mut seed = rand::rng();
        let stack = SipxStack::new(StdRng::from_rng(&mut seed));
        let agent = Agent::new(stack, config, locals.to_vec(), StdRng::from_rng(&mut seed));
        let shell_handle =
            Shell { agent, net, calls: HashMap::new(), incoming: calls, to_self: shell.downgrade() };
        tokio::spawn(shell_handle.run(from_net, from_app));
        let endpoint = Self { shell, locals, last_call: Arc::new(AtomicU64::new(1)) };
        Ok((endpoint, IncomingCalls { calls: incoming }))
    }

    /// Where the first listener of this transport is bound.
    pub fn local_addr(&self, transport: Transport) -> Option<SocketAddr> {
        self.locals.iter().find(|(t, _)| *t == transport).map(|(_, addr)| *addr)
    }

    /// Starts a call. What becomes of it is told by [`OutgoingCall::event`].
    pub async fn dial(&self, dial: Dial) -> Result<OutgoingCall, Error> {
        let bad = |reason: &str| Error::Target { uri: dial.target.clone(), reason: reason.to_owned() };
        let uri = SipUri::parse(&dial.target).ok_or_else(|| bad("it is not a SIP URI"))?;
        let transport = match uri.param("transport").map(str::to_ascii_lowercase).as_deref() {
            None | Some("udp") => Transport::Udp,
            Some("tcp") => Transport::Tcp,
            Some(_) => return Err(bad("only UDP and TCP are supported")),
        };
        if dial.local.codecs.is_empty() {
            return Err(bad("no codec was given to offer"));
        }
        let remote = match uri.addr() {
            Some(addr) => addr,
            None => {
                let found = tokio::net::lookup_host((uri.host, uri.port.unwrap_or(5060))).await;
                let mut found = found.map_err(|_| bad("its host cannot be found"))?;
                let ours: Vec<bool> = self.locals.iter().map(|(_, addr)| addr.is_ipv4()).collect();
                found
                    .find(|addr| ours.contains(&addr.is_ipv4()))
                    .ok_or_else(|| bad("its host has no address"))?
            }
        };
        let call = self.last_call.fetch_add(2, Ordering::Relaxed);
        let (events_tx, events) = mpsc::channel(EVENTS);
        let (started, answer) = oneshot::channel();
        let message =
            ToShell::Dial { call, dial: Box::new(dial), remote, transport, events: events_tx, started };
        self.shell.send(message).map_err(|_| Error::Stopped)?;
        answer.await.map_err(|_| Error::Stopped)??;
        let handle = Handle { call, shell: self.shell.clone(), events, over: false };
        Ok(OutgoingCall { handle: Some(handle) })
    }

    /// Ends all calls, tells their peers, and closes the sockets.
    pub async fn shutdown(&self) {
        let (done, wait) = oneshot::channel();
        if self.shell.send(ToShell::Shutdown(done)).is_ok() {
            let _ = wait.await;
        }
    }
}

impl IncomingCalls {
    /// The next call; `None` when the endpoint has stopped.
    pub async fn next(&mut self) -> Option<IncomingCall> {
        self.calls.recv().await
    }
}

/// The application's end of one call.
#[derive(Debug)]
struct Handle {
    call: u64,
    shell: mpsc::UnboundedSender<ToShell>,
    events: mpsc::Receiver<CallEvent>,
    /// Nothing more is to be told or asked.
    over: bool,
}

impl Handle {
    fn command(&self, command: Command) {
        // A stopped endpoint has ended its calls already.
        let _ = self.shell.send(ToShell::Command(command));
    }

    async fn event(&mut self) -> Option<CallEvent> {
        let event = self.events.recv().await;
        self.over |= event.as_ref().is_none_or(CallEvent::is_last);
        event
    }
}

/// A call that waits for our answer. Dropping it refuses the call with 480.
#[derive(Debug)]
pub struct IncomingCall {
    handle: Option<Handle>,
    incoming: Box<Incoming>,
}

impl IncomingCall {
    /// The `Call-ID`.
    pub fn call_id(&self) -> &str {
        &self.incoming.call_id
    }

    /// Who calls.
    pub fn from(&self) -> Party {
        Party::parse(&self.incoming.from)
    }

    /// Who is called, as the caller dialled.
    pub fn to(&self) -> Party {
        Party::parse(&self.incoming.to)
    }

    /// The Request-URI: whom the call was routed to.
    pub fn request_uri(&self) -> &str {
        &self.incoming.uri
    }

    /// The first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.incoming.headers.get(name)
    }

    /// Whether the INVITE has a session description; without one, ours goes first.
    pub fn offered(&self) -> bool {
        self.incoming.offered
    }

    /// Where the INVITE came from.
    pub fn remote_addr(&self) -> SocketAddr {
        self.incoming.remote
    }

    /// Tells the caller that it rings (180).
    #[expect(clippy::unused_async, reason = "room for waiting until it is on the wire")]
    pub async fn ring(&mut self) {
        if let Some(handle) = &self.handle {
            handle.command(Command::Ring { call: handle.call });
        }
    }

    /// Returns when the caller has given up; never otherwise. For use beside the work that prepares the answer.
    pub async fn cancelled(&mut self) {
        if let Some(handle) = &mut self.handle
            && !handle.over
        {
            while handle.event().await.is_some_and(|event| !event.is_last()) {}
        }
    }

    /// Answers (200). Without an offer from the caller this waits for the ACK, which has the caller's answer.
    pub async fn answer(mut self, local: LocalMedia) -> Result<Session, Error> {
        let handle = self.handle.take().ok_or(Error::Cancelled)?;
        if handle.over {
            return Err(Error::Cancelled);
        }
        handle.command(Command::Answer { call: handle.call, local });
        let mut guard = Guard(Some(handle));
        loop {
            let Some(handle) = &mut guard.0 else { return Err(Error::Stopped) };
            let event = handle.event().await;
            let failure = match event {
                Some(CallEvent::Answered(media)) => {
                    let handle = guard.0.take().ok_or(Error::Stopped)?;
                    return Ok(Session { handle, media, ended: None });
                }
                Some(CallEvent::Cancelled) => Error::Cancelled,
                Some(CallEvent::Unanswerable) => Error::NoCommonCodec,
                Some(CallEvent::Ended { reason, .. }) => Error::Ended(reason),
                Some(_) => continue,
                None => Error::Stopped,
            };
            return Err(failure);
        }
    }

    /// Refuses with this status code (300–699) and these words; with no words, the usual ones.
    #[expect(clippy::unused_async, reason = "room for waiting until it is on the wire")]
    pub async fn reject(mut self, code: u16, reason: &str) {
        if let Some(handle) = self.handle.take() {
            handle.command(Command::Reject { call: handle.call, code, reason: reason.to_owned() });
        }
    }
}

impl Drop for IncomingCall {
    fn drop(&mut self) {
        if let Some(handle) = self.handle.take()
            && !handle.over
        {
            handle.command(Command::Reject { call: handle.call, code: 480, reason: String::new() });
        }
    }
}

/// Hangs up when an `answer` is dropped half-way.
struct Guard(Option<Handle>);

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(handle) = self.0.take()
            && !handle.over
        {
            handle.command(Command::Hangup { call: handle.call, reason: None });
        }
    }
}

/// What happens to a call that we make.
#[derive(Debug)]
pub enum OutgoingEvent {
    /// It rings.
    Ringing,
    /// The callee's side speaks before it answers.
    EarlyMedia(MediaParams),
    /// Answered. Nothing comes after it.
    Answered(Session),
    /// Not answered. Nothing comes after it.
    Failed {
        /// The status code; 408 if nobody answered in time.
        code: u16,
        /// The words with it.
        reason: String,
        /// What it means.
        cause: FailCause,
    },
}

/// A call that we make. Dropping it cancels it.
#[derive(Debug)]
pub struct OutgoingCall {
    handle: Option<Handle>,
}

impl OutgoingCall {
    /// The next event. After the last one this waits for ever.
    pub async fn event(&mut self) -> OutgoingEvent {
        loop {
            let event = match &mut self.handle {
                Some(handle) if !handle.over => handle.event().await,
                _ => std::future::pending().await,
            };
            return match event {
                Some(CallEvent::Ringing) => OutgoingEvent::Ringing,
                Some(CallEvent::Early(media)) => OutgoingEvent::EarlyMedia(media),
                Some(CallEvent::Answered(media)) => match self.handle.take() {
                    Some(handle) => OutgoingEvent::Answered(Session { handle, media, ended: None }),
                    None => continue,
                },
                Some(CallEvent::Failed { code, reason, cause }) => {
                    OutgoingEvent::Failed { code, reason, cause }
                }
                Some(CallEvent::Ended { code, reason, .. }) => {
                    OutgoingEvent::Failed { code, reason, cause: FailCause::Other }
                }
                Some(_) => continue,
                None => OutgoingEvent::Failed {
                    code: 503,
                    reason: "the endpoint has stopped".to_owned(),
                    cause: FailCause::Other,
                },
            };
        }
    }

    /// Gives up. [`OutgoingCall::event`] then tells `Failed` with 487, unless an answer came first.
    pub fn cancel(&self) {
        if let Some(handle) = &self.handle {
            handle.command(Command::Cancel { call: handle.call });
        }
    }
}

impl Drop for OutgoingCall {
    fn drop(&mut self) {
        if let Some(handle) = &self.handle
            && !handle.over
        {
            handle.command(Command::Cancel { call: handle.call });
        }
    }
}

/// What happens in an answered call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionEvent {
    /// The media changed: hold, resume, another address or codec.
    Media(MediaParams),
    /// A digit that came in SIP INFO: `0`–`9`, `*`, `#`, `A`–`D`.
    Dtmf(char),
    /// The peer wants us to call `to` instead of it. Report with [`Session::refer_progress`].
    Refer {
        /// The URI to call.
        to: String,
        /// The other headers of the REFER, such as `Referred-By`.
        headers: Vec<(String, String)>,
    },
    /// How a [`Session::refer`] goes: the status that the peer sees. `done` is the last one.
    ReferProgress {
        /// SIP status; 0 if the peer did not say.
        code: u16,
        /// The words with it.
        reason: String,
        /// No more will come.
        done: bool,
    },
    /// The call is over. Nothing comes after it but the same again.
    Ended {
        /// Who or what ended it.
        by: EndReason,
        /// SIP status.
        code: u16,
        /// The `Reason` header of a BYE, or our own words.
        reason: String,
    },
}

/// An answered call. Dropping it hangs up.
#[derive(Debug)]
pub struct Session {
    handle: Handle,
    media: MediaParams,
    ended: Option<SessionEvent>,
}

impl Session {
    /// The media as last told by [`Session::event`].
    pub fn media(&self) -> &MediaParams {
        &self.media
    }

    /// The next event. Safe to drop and call again (in `select!`).
    pub async fn event(&mut self) -> SessionEvent {
        loop {
            if let Some(ended) = &self.ended {
                return ended.clone();
            }
            match self.handle.event().await {
                Some(CallEvent::Media(media)) => {
                    self.media = media.clone();
                    return SessionEvent::Media(media);
                }
                Some(CallEvent::Dtmf(digit)) => return SessionEvent::Dtmf(digit),
                Some(CallEvent::Refer { to, headers }) => return SessionEvent::Refer { to, headers },
                Some(CallEvent::ReferProgress { code, reason, done }) => {
                    return SessionEvent::ReferProgress { code, reason, done };
                }
                Some(CallEvent::Ended { by, code, reason }) => {
                    self.ended = Some(SessionEvent::Ended { by, code, reason });
                }
                Some(_) => {}
                None => {
                    let reason = "the endpoint has stopped".to_owned();
                    self.ended = Some(SessionEvent::Ended { by: EndReason::Local, code: 503, reason });
                }
            }
        }
    }

    /// Ends the call; `reason_header` is the value of a `Reason` header, such as `Q.850;cause=16`.
    pub fn hangup(&self, reason_header: Option<&str>) {
        let reason = reason_header.map(str::to_owned);
        self.handle.command(Command::Hangup { call: self.handle.call, reason });
    }

    /// Puts the peer on hold: we may send (music), it must not. [`SessionEvent::Media`] tells when it is done.
    pub fn hold(&self) {
        self.handle.command(Command::Hold { call: self.handle.call, on: true });
    }

    /// Takes the peer off hold.
    pub fn resume(&self) {
        self.handle.command(Command::Hold { call: self.handle.call, on: false });
    }

    /// Sends a digit in SIP INFO, for peers without RFC 4733.
    pub fn send_info_dtmf(&self, digit: char) {
        if digit.is_ascii() && !digit.is_ascii_control() {
            self.handle.command(Command::Dtmf { call: self.handle.call, digit });
        }
    }

    /// Asks the peer to call `target` (blind transfer). [`SessionEvent::ReferProgress`] tells how it goes.
    pub fn refer(&self, target: &str, headers: &[(String, String)]) {
        let (target, headers) = (target.to_owned(), headers.to_vec());
        self.handle.command(Command::Refer { call: self.handle.call, target, headers });
    }

    /// Tells the peer how its REFER goes: 1xx while it is under way, then the final status, once.
    pub fn refer_progress(&self, code: u16, reason: &str) {
        let reason = reason.to_owned();
        self.handle.command(Command::ReferProgress { call: self.handle.call, code, reason });
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if !self.handle.over {
            self.hangup(None);
        }
    }
}

/// The task.
struct Shell {
    agent: Agent<SipxStack>,
    net: Net,
    calls: HashMap<u64, mpsc::Sender<CallEvent>>,
    incoming: mpsc::Sender<IncomingCall>,
    /// For the handles of incoming calls; weak, so that the shell does not keep itself alive.
    to_self: mpsc::WeakUnboundedSender<ToShell>,
}

impl Shell {
    async fn run(mut self, mut net: mpsc::Receiver<NetEvent>, mut app: mpsc::UnboundedReceiver<ToShell>) {
        let mut stopping: Option<(oneshot::Sender<()>, Instant)> = None;
        loop {
            let stop_at = stopping.as_ref().map(|(_, at)| *at);
            let deadline = [self.agent.deadline(), stop_at].into_iter().flatten().min();
            tokio::select! {
                event = net.recv() => match event {
                    Some(event) => self.network(event),
                    None => break,
                },
                message = app.recv() => match message {
                    Some(ToShell::Command(command)) => self.agent.command(clock::now(), command),
                    Some(ToShell::Dial { call, dial, remote, transport, events, started }) => {
                        let _ = started.send(self.dial(call, *dial, remote, transport, events));
                    }
                    Some(ToShell::Shutdown(done)) => {
                        self.agent.command(clock::now(), Command::Drain);
                        stopping.get_or_insert((done, clock::now() + DRAIN));
                    }
                    None => break,
                },
                () = sleep_until(deadline) => self.agent.tick(clock::now()),
            }
            self.perform().await;
            if let Some((_, at)) = &stopping
                && (self.agent.is_quiet() || *at <= clock::now())
            {
                break;
            }
        }
        if let Some((done, _)) = stopping {
            drop(self);
            let _ = done.send(());
        }
    }

    fn network(&mut self, event: NetEvent) {
        let now = clock::now();
        match event {
            NetEvent::Datagram { listener, from, bytes } => {
                if let Some(flow) = self.net.datagram_flow(listener, from) {
                    self.agent.datagram(now, bytes, flow);
                }
            }
            NetEvent::Accepted { listener, stream, from } => self.net.accepted(listener, stream, from),
            NetEvent::Data { connection, bytes } => {
                if let Some(flow) = self.net.connection_flow(connection) {
                    self.agent.stream(now, &bytes, flow);
                }
            }
            NetEvent::Closed { connection, unsent } => {
                self.net.forget(connection);
                self.agent.closed(connection);
                for tx in unsent {
                    self.agent.unsendable(now, tx);
                }
            }
        }
    }

    fn dial(
        &mut self,
        call: u64,
        dial: Dial,
        remote: SocketAddr,
        transport: Transport,
        events: mpsc::Sender<CallEvent>,
    ) -> Result<(), Error> {
        let flow: Flow = self.net.flow_to(transport, remote).ok_or_else(|| Error::Target {
            uri: dial.target.clone(),
            reason: format!("there is no {transport} listener for its address family"),
        })?;
        self.calls.insert(call, events);
        let Dial { target, from, display, headers, local, ring_timeout } = dial;
        let dial = OutgoingRequest { target, from, display, headers, local, ring_timeout, flow };
        self.agent.command(clock::now(), Command::Dial { call, dial });
        Ok(())
    }

    async fn perform(&mut self) {
        while let Some(output) = self.agent.poll() {
            match output {
                Output::Wire(Wire::Send { flow, bytes, tx }) => {
                    if let Err(Some(tx)) = self.net.send(&flow, bytes, tx).await {
                        self.agent.unsendable(clock::now(), tx);
                    }
                }
                Output::Wire(Wire::Close { connection }) => {
                    self.net.close(connection);
                    self.agent.closed(connection);
                }
                Output::Incoming { call, incoming } => self.announce(call, incoming),
                Output::Event { call, event } => {
                    let last = event.is_last();
                    if let Some(events) = self.calls.get(&call)
                        && let Err(mpsc::error::TrySendError::Full(_)) = events.try_send(event)
                    {
                        tracing::warn!(call, "nobody reads the events of this call; one was dropped");
                    }
                    if last {
                        self.calls.remove(&call);
                    }
                }
            }
        }
    }

    fn announce(&mut self, call: u64, incoming: Box<Incoming>) {
        let (events_tx, events) = mpsc::channel(EVENTS);
        let Some(shell) = self.to_self.upgrade() else { return };
        self.calls.insert(call, events_tx);
        let handle = Handle { call, shell, events, over: false };
        if let Err(error) = self.incoming.try_send(IncomingCall { handle: Some(handle), incoming }) {
            let mut refused = error.into_inner();
            // Not the 480 of a call that the application dropped.
            if let Some(handle) = &mut refused.handle {
                handle.over = true;
            }
            self.calls.remove(&call);
            let reason = String::new();
            self.agent.command(clock::now(), Command::Reject { call, code: 503, reason });
        }
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
