//! The task of an endpoint: it joins the sockets, the clock and the agent.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use crate::agent::{Agent, CallEvent, Command, Incoming, OutgoingRequest, Output};
use crate::clock;
use crate::endpoint::{Dial, Handle, IncomingCall};
use crate::error::Error;
use crate::net::{Net, NetEvent};
use crate::stack::{Flow, SipxStack, Transport, Wire};

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
        remote: SocketAddr,
        transport: Transport,
        events: mpsc::Sender<CallEvent>,
        started: oneshot::Sender<Result<(), Error>>,
    },
    Shutdown(oneshot::Sender<()>),
}

/// The task.
pub(crate) struct Shell {
    pub(crate) agent: Agent<SipxStack>,
    pub(crate) net: Net,
    pub(crate) calls: HashMap<u64, mpsc::Sender<CallEvent>>,
    pub(crate) incoming: mpsc::Sender<IncomingCall>,
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
        let dial = Box::new(OutgoingRequest { target, from, display, headers, local, ring_timeout, flow });
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
