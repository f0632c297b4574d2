//! The task of an endpoint: it joins the sockets, the clock and the agent.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::sync::{broadcast, mpsc, oneshot, watch};

use crate::agent::{
    Agent, CallEvent, Command, Incoming, OutgoingRequest, Output, Probed, RegistrationState, UpstreamRequest,
};
use crate::clock;
use crate::custom;
use crate::endpoint::{CallKey, Dial, Handle, IncomingCall, Register};
use crate::error::Error;
use crate::message::SipUri;
use crate::net::{Net, NetEvent};
use crate::registrar::{Binding, RegistrarEvent};
use crate::sdes::SrtpPolicy;
use crate::stack::{Flow, SipxStack, Transport, Wire};
use crate::tls::Tls;

/// Events that wait to be read by the owner of a call; more are dropped with a warning.
pub(crate) const EVENTS: usize = 256;
/// How long a shutdown waits for peers to confirm that their calls are over.
const DRAIN: Duration = Duration::from_secs(2);

/// What an application wants of the task.
pub(crate) enum ToShell {
    Command(Command),
    Dial {
        call: u64,
        dial: Box<Dial>,
        way: Way,
        /// The endpoint's, if it is none of its own.
        srtp: Option<SrtpPolicy>,
        events: mpsc::Sender<CallEvent>,
        started: oneshot::Sender<Result<(), Error>>,
    },
    Register {
        id: u64,
        register: Box<Register>,
        way: Way,
        state: watch::Sender<RegistrationState>,
        started: oneshot::Sender<Result<(), Error>>,
    },
    Probe {
        id: u64,
        target: String,
        way: Way,
        reply: oneshot::Sender<Result<Probed, Error>>,
    },
    Bindings {
        user: Option<String>,
        reply: oneshot::Sender<Vec<Binding>>,
    },
    Restore {
        bindings: Vec<Binding>,
        done: oneshot::Sender<()>,
    },
    /// Other certificates for handshakes from now on.
    Tls {
        tls: Box<Tls>,
        done: oneshot::Sender<()>,
    },
    Shutdown(oneshot::Sender<()>),
}

/// How a callee is reached.
pub(crate) enum Way {
    Address {
        remote: SocketAddr,
        transport: Transport,
        /// Whom its certificate has to name, if not the address.
        name: Option<String>,
    },
    /// Where this account has registered, or this contact of it.
    Seat { user: String, contact: Option<String> },
}

/// The task.
pub(crate) struct Shell {
    pub(crate) agent: Agent<SipxStack>,
    pub(crate) net: Net,
    pub(crate) calls: HashMap<u64, mpsc::Sender<CallEvent>>,
    pub(crate) upstreams: HashMap<u64, watch::Sender<RegistrationState>>,
    pub(crate) probes: HashMap<u64, oneshot::Sender<Result<Probed, Error>>>,
    pub(crate) incoming: mpsc::Sender<IncomingCall>,
    pub(crate) seats: broadcast::Sender<RegistrarEvent>,
    /// For the handles of incoming calls; weak, so that the shell does not keep itself alive.
    pub(crate) to_self: mpsc::WeakUnboundedSender<ToShell>,
}

impl Shell {
    pub(crate) async fn run(
        mut self,
        mut net: mpsc::Receiver<NetEvent>,
        mut app: mpsc::UnboundedReceiver<ToShell>,
    ) {
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
                    Some(ToShell::Dial { call, dial, way, srtp, events, started }) => {
                        let _ = started.send(self.dial(call, *dial, way, srtp, events));
                    }
                    Some(ToShell::Tls { tls, done }) => {
                        self.net.set_tls(*tls);
                        let _ = done.send(());
                    }
                    Some(ToShell::Register { id, register, way, state, started }) => {
                        let _ = started.send(self.register(id, *register, way, state));
                    }
                    Some(ToShell::Probe { id, target, way, reply }) => self.probe(id, target, way, reply),
                    Some(ToShell::Bindings { user, reply }) => {
                        let _ = reply.send(self.agent.bindings(clock::now(), user.as_deref()));
                    }
                    Some(ToShell::Restore { bindings, done }) => {
                        self.restore(bindings);
                        let _ = done.send(());
                    }
                    Some(ToShell::Shutdown(done)) => {
                        self.agent.command(clock::now(), Command::Drain);
                        stopping.get_or_insert((done, clock::now() + DRAIN));
                    }
                    None => break,
                },
                () = clock::sleep_until(deadline) => self.agent.tick(clock::now()),
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
            NetEvent::Shaken { handshake, listener, stream, from } => {
                self.net.shaken(handshake, listener, stream, from);
            }
            NetEvent::Data { connection, bytes } => {
                if let Some(flow) = self.net.connection_flow(connection) {
                    self.agent.stream(now, &bytes, flow);
                }
            }
            NetEvent::Closed { connection, unsent, why } => {
                self.net.forget(connection);
                self.agent.closed(connection);
                for tx in unsent {
                    self.agent.unsendable(now, tx, why.as_deref());
                }
            }
        }
    }

    fn dial(
        &mut self,
        call: u64,
        dial: Dial,
        way: Way,
        srtp: Option<SrtpPolicy>,
        events: mpsc::Sender<CallEvent>,
    ) -> Result<(), Error> {
        let (contact, flow) = match way {
            Way::Address { remote, transport, name } => {
                (None, self.flow_to(transport, remote, name.as_deref(), &dial.target)?)
            }
            Way::Seat { user, contact } => {
                let found = self.agent.locate(clock::now(), &user, contact.as_deref());
                let (contact, flow) = found.ok_or(Error::NotRegistered { user })?;
                let flow = self.alive(flow, &contact);
                (Some(contact), flow)
            }
        };
        let most = match flow.transport {
            Transport::Udp => custom::MAX_DATAGRAM,
            Transport::Tcp | Transport::Tls => custom::MAX_STREAM,
        };
        custom::check(&dial.headers, most)?;
        let srtp = srtp.unwrap_or(self.agent.srtp_policy());
        if srtp == SrtpPolicy::Required && !self.agent.permits_srtp(&flow) {
            return Err(Error::SrtpNeedsTls { uri: dial.target });
        }
        self.calls.insert(call, events);
        let Dial { target, from, display, headers, local, ring_timeout } = dial;
        let dial = Box::new(OutgoingRequest {
            target,
            pinned: contact.is_some(),
            contact,
            from,
            display,
            headers,
            local,
            srtp,
            ring_timeout,
            flow,
        });
        self.agent.command(clock::now(), Command::Dial { call, dial });
        Ok(())
    }

    fn register(
        &mut self,
        id: u64,
        register: Register,
        way: Way,
        state: watch::Sender<RegistrationState>,
    ) -> Result<(), Error> {
        let Register { registrar, aor, expires } = register;
        let flow = match way {
            Way::Address { remote, transport, name } => {
                self.flow_to(transport, remote, name.as_deref(), &registrar)?
            }
            Way::Seat { user, .. } => return Err(Error::NotRegistered { user }),
        };
        self.upstreams.insert(id, state);
        let register = Box::new(UpstreamRequest { registrar, aor, expires, flow });
        self.agent.command(clock::now(), Command::Register { id, register });
        Ok(())
    }

    fn probe(&mut self, id: u64, target: String, way: Way, reply: oneshot::Sender<Result<Probed, Error>>) {
        let flow = match way {
            Way::Address { remote, transport, name } => {
                self.flow_to(transport, remote, name.as_deref(), &target)
            }
            Way::Seat { user, .. } => Err(Error::NotRegistered { user }),
        };
        match flow {
            Ok(flow) => {
                self.probes.insert(id, reply);
                self.agent.command(clock::now(), Command::Probe { id, target, flow });
            }
            Err(error) => drop(reply.send(Err(error))),
        }
    }

    fn flow_to(
        &mut self,
        transport: Transport,
        remote: SocketAddr,
        name: Option<&str>,
        uri: &str,
    ) -> Result<Flow, Error> {
        let bad = |reason: String| Error::Target { uri: uri.to_owned(), reason };
        let flow = self.net.flow_to(transport, remote);
        let flow =
            flow.ok_or_else(|| bad(format!("there is no {transport} listener for its address family")))?;
        let name = name.map(|name| self.net.name(name)).transpose();
        Ok(Flow { name: name.map_err(|reason| bad(reason.to_owned()))?, ..flow })
    }

    /// A seat on a stream whose connection is gone is called where its contact says, if that is where it was.
    fn alive(&self, flow: Flow, contact: &str) -> Flow {
        let open = flow.connection.is_some_and(|id| self.net.is_open(id));
        let said = SipUri::parse(contact).and_then(|uri| uri.addr());
        match said {
            Some(said) if flow.transport.is_stream() && !open && said.ip() == flow.remote.ip() => {
                Flow { remote: said, connection: None, ..flow }
            }
            _ => flow,
        }
    }

    fn restore(&mut self, bindings: Vec<Binding>) {
        let mut kept = Vec::new();
        for binding in bindings {
            let Some(flow) = self.net.flow_to(binding.transport, binding.received) else { continue };
            let flow = self.alive(flow, &binding.contact);
            if flow.transport == Transport::Udp || flow.remote != binding.received {
                kept.push((binding, flow));
            }
        }
        self.agent.restore(clock::now(), kept);
    }

    async fn perform(&mut self) {
        while let Some(output) = self.agent.poll() {
            match output {
                Output::Wire(Wire::Send { flow, bytes, tx }) => {
                    if let Err(Some(tx)) = self.net.send(&flow, bytes, tx).await {
                        self.agent.unsendable(clock::now(), tx, None);
                    }
                }
                Output::Wire(Wire::Close { connection }) => {
                    self.net.close(connection);
                    self.agent.closed(connection);
                }
                Output::Seat(event) => {
                    // Nobody may be listening, and that is fine.
                    let _ = self.seats.send(event);
                }
                Output::Upstream { id, state } => {
                    let ended = state == RegistrationState::Ended;
                    if let Some(known) = self.upstreams.get(&id) {
                        known.send_replace(state);
                    }
                    if ended {
                        self.upstreams.remove(&id);
                    }
                }
                Output::Probed { id, probed } => {
                    if let Some(reply) = self.probes.remove(&id) {
                        let _ = reply.send(Ok(probed));
                    }
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
        let waiting = IncomingCall { key: CallKey(call), handle: Some(handle), incoming, srtp: None };
        if let Err(error) = self.incoming.try_send(waiting) {
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
