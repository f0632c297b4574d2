//! Sockets: UDP listeners, TCP and TLS listeners and connections. They carry bytes to and from the agent and know no SIP.

mod connection;
mod handshakes;

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rustls::pki_types::ServerName;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::mpsc;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use self::connection::{Habits, Queue, Stream, give_up, pump};
use self::handshakes::Handshakes;
use crate::error::Error;
use crate::stack::{Flow, PeerName, Transport, TxRef};
use crate::tls::{Tls, TlsError};

/// How long a connection may take to open, with its TLS handshake.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Messages waiting for a slow connection; one more and it is given up.
const QUEUE: usize = 256;
/// Different names of TLS servers that are called while the endpoint runs.
const NAMES: usize = 4096;

/// What the sockets have to tell.
#[derive(Debug)]
pub(crate) enum NetEvent {
    Datagram {
        listener: usize,
        from: SocketAddr,
        bytes: Bytes,
    },
    Accepted {
        listener: usize,
        stream: TcpStream,
        from: SocketAddr,
    },
    /// A TLS handshake of somebody who connected to us is over; `None` if it failed.
    Shaken {
        handshake: u64,
        listener: usize,
        stream: Option<Box<TlsStream<TcpStream>>>,
        from: SocketAddr,
    },
    Data {
        connection: u64,
        bytes: Bytes,
    },
    Closed {
        connection: u64,
        unsent: Vec<TxRef>,
        why: Option<String>,
    },
}

struct Listener {
    transport: Transport,
    local: SocketAddr,
    udp: Option<Arc<UdpSocket>>,
}

struct Connection {
    listener: usize,
    local: SocketAddr,
    peer: Peer,
    queue: mpsc::Sender<(Bytes, Option<TxRef>)>,
}

/// Whom a connection leads to. One that was opened for another name, or in the clear, is no way to them.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Peer {
    transport: Transport,
    remote: SocketAddr,
    name: Option<PeerName>,
}

impl Peer {
    fn of(flow: &Flow) -> Self {
        Self { transport: flow.transport, remote: flow.remote, name: flow.name }
    }
}

/// All sockets of an endpoint.
pub(crate) struct Net {
    listeners: Vec<Listener>,
    connections: HashMap<u64, Connection>,
    by_peer: HashMap<Peer, u64>,
    tls: Option<Tls>,
    handshakes: Handshakes,
    names: Vec<ServerName<'static>>,
    max_connections: usize,
    last_connection: u64,
    external_ip: Option<IpAddr>,
    /// Our address towards a peer, where a listener has none of its own.
    routes: HashMap<IpAddr, IpAddr>,
    events: mpsc::Sender<NetEvent>,
    tasks: tokio::task::JoinSet<()>,
}

impl Net {
    /// Opens the listeners.
    pub(crate) async fn bind(
        listen: &[(Transport, SocketAddr)],
        external_ip: Option<IpAddr>,
        max_connections: usize,
        tls: Option<Tls>,
    ) -> Result<(Self, mpsc::Receiver<NetEvent>), Error> {
        if tls.is_none() && listen.iter().any(|(transport, _)| *transport == Transport::Tls) {
            return Err(TlsError::NotConfigured.into());
        }
        let (events, receiver) = mpsc::channel(1024);
        let mut net = Self {
            listeners: Vec::new(),
            connections: HashMap::new(),
            by_peer: HashMap::new(),
            tls,
            handshakes: Handshakes::default(),
            names: Vec::new(),
            max_connections,
            last_connection: 0,
            external_ip,
            routes: HashMap::new(),
            events,
            tasks: tokio::task::JoinSet::new(),
        };
        for &(transport, addr) in listen {
            net.listen(transport, addr).await.map_err(|source| Error::Bind { transport, addr, source })?;
        }
        Ok((net, receiver))
    }

    async fn listen(&mut self, transport: Transport, addr: SocketAddr) -> io::Result<()> {
        let index = self.listeners.len();
        let events = self.events.clone();
        let listener = match transport {
            Transport::Udp => {
                let socket = Arc::new(udp_socket(addr)?);
                let local = socket.local_addr()?;
                self.tasks.spawn(read_datagrams(index, Arc::clone(&socket), events));
                Listener { transport, local, udp: Some(socket) }
            }
            Transport::Tcp | Transport::Tls => {
                let socket = TcpListener::bind(addr).await?;
                let local = socket.local_addr()?;
                self.tasks.spawn(accept(index, socket, events));
                Listener { transport, local, udp: None }
            }
        };
        self.listeners.push(listener);
        Ok(())
    }

    /// The listeners as they are bound.
    pub(crate) fn local_addrs(&self) -> Vec<(Transport, SocketAddr)> {
        self.listeners.iter().map(|l| (l.transport, l.local)).collect()
    }

    /// The flow of a datagram.
    pub(crate) fn datagram_flow(&mut self, listener: usize, remote: SocketAddr) -> Option<Flow> {
        let local = self.listeners.get(listener)?.local;
        let local = self.advertised(local, remote);
        Some(Flow { transport: Transport::Udp, remote, local, listener, connection: None, name: None })
    }

    /// The flow of a connection.
    pub(crate) fn connection_flow(&mut self, connection: u64) -> Option<Flow> {
        let Connection { listener, local, peer, .. } = *self.connections.get(&connection)?;
        let Peer { transport, remote, name } = peer;
        Some(Flow { transport, remote, local, listener, connection: Some(connection), name })
    }

    /// A flow to a peer that we have not heard of yet; `None` without a listener for this transport and family.
    pub(crate) fn flow_to(&mut self, transport: Transport, remote: SocketAddr) -> Option<Flow> {
        let fits = |l: &Listener| l.transport == transport && l.local.is_ipv4() == remote.is_ipv4();
        let listener = self.listeners.iter().position(fits)?;
        let local = self.listeners.get(listener)?.local;
        let local = self.advertised(local, remote);
        Some(Flow { transport, remote, local, listener, connection: None, name: None })
    }

    /// What stands for the name of a TLS server.
    pub(crate) fn name(&mut self, name: &str) -> Result<PeerName, &'static str> {
        let name = ServerName::try_from(name.to_owned()).map_err(|_| "its host is no name for TLS")?;
        if let Some(known) = self.names.iter().position(|known| *known == name) {
            return Ok(PeerName(known));
        }
        if self.names.len() >= NAMES {
            return Err("too many different hosts have been called over TLS; restart the endpoint");
        }
        self.names.push(name);
        Ok(PeerName(self.names.len() - 1))
    }

    /// From now on, handshakes are made with these certificates. Connections that are up stay as they are.
    pub(crate) fn set_tls(&mut self, tls: Tls) {
        self.tls = Some(tls);
    }

    /// Our address as this peer should see it.
    fn advertised(&mut self, local: SocketAddr, remote: SocketAddr) -> SocketAddr {
        if let Some(external) = self.external_ip {
            return SocketAddr::new(external, local.port());
        }
        if !local.ip().is_unspecified() {
            return local;
        }
        if self.routes.len() > 4096 {
            self.routes.clear();
        }
        let ip = *self.routes.entry(remote.ip()).or_insert_with(|| route_to(remote).unwrap_or(local.ip()));
        SocketAddr::new(ip, local.port())
    }

    /// Takes a connection that a peer opened. One over the limit is closed by being dropped here.
    pub(crate) fn accepted(&mut self, listener: usize, stream: TcpStream, remote: SocketAddr) {
        let Some(transport) = self.listeners.get(listener).map(|l| l.transport) else { return };
        let _ = stream.set_nodelay(true);
        if transport == Transport::Tls {
            return self.shake(listener, stream, remote);
        }
        self.take(listener, stream, Peer { transport, remote, name: None });
    }

    /// Begins the TLS handshake with somebody who connected to us.
    fn shake(&mut self, listener: usize, stream: TcpStream, from: SocketAddr) {
        let Some(Tls { server: Some(server), max_handshakes, handshake_timeout, .. }) = &self.tls else {
            tracing::debug!("a TLS connection was turned away: there is no certificate to show");
            return;
        };
        // Those that were given up tell nothing: in a flood, nobody else would clear them away.
        while self.tasks.try_join_next().is_some() {}
        let acceptor = TlsAcceptor::from(Arc::clone(server));
        let (events, limit) = (self.events.clone(), *handshake_timeout);
        let handshake = self.handshakes.next();
        let task = self.tasks.spawn(async move {
            let stream = match tokio::time::timeout(limit, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => Some(Box::new(stream)),
                Ok(Err(error)) => {
                    tracing::debug!(%error, "a TLS handshake of a SIP peer failed");
                    None
                }
                Err(_) => None,
            };
            let _ = events.send(NetEvent::Shaken { handshake, listener, stream, from }).await;
        });
        let evicted = self.handshakes.begin(from.ip(), task, *max_handshakes);
        if evicted {
            tracing::debug!(limit = max_handshakes, "too many TLS handshakes; the oldest was given up");
        }
    }

    /// A handshake of somebody who connected to us is over.
    pub(crate) fn shaken(
        &mut self,
        handshake: u64,
        listener: usize,
        stream: Option<Box<TlsStream<TcpStream>>>,
        remote: SocketAddr,
    ) {
        self.handshakes.end(handshake);
        if let Some(stream) = stream {
            self.take(listener, stream, Peer { transport: Transport::Tls, remote, name: None });
        }
        while self.tasks.try_join_next().is_some() {}
    }

    /// An open connection of a peer's.
    fn take(&mut self, listener: usize, stream: impl Stream, peer: Peer) {
        if self.connections.len() >= self.max_connections {
            tracing::warn!(limit = self.max_connections, "too many SIP connections; a new one was closed");
            return;
        }
        let Some(local) = self.listeners.get(listener).map(|l| l.local) else { return };
        let local = self.advertised(local, peer.remote);
        let (connection, queue) = self.register(listener, local, peer);
        let events = self.events.clone();
        let habits = Habits::of(peer.transport, false);
        self.tasks.spawn(async move { pump(connection, stream, queue, events, habits).await });
    }

    fn register(&mut self, listener: usize, local: SocketAddr, peer: Peer) -> (u64, Queue) {
        self.last_connection += 1;
        let (queue, receiver) = mpsc::channel(QUEUE);
        self.connections.insert(self.last_connection, Connection { listener, local, peer, queue });
        self.by_peer.insert(peer, self.last_connection);
        (self.last_connection, receiver)
    }

    /// A connection is gone.
    pub(crate) fn forget(&mut self, connection: u64) {
        if let Some(gone) = self.connections.remove(&connection)
            && self.by_peer.get(&gone.peer) == Some(&connection)
        {
            self.by_peer.remove(&gone.peer);
        }
        while self.tasks.try_join_next().is_some() {}
    }

    /// Whether this connection lives.
    pub(crate) fn is_open(&self, connection: u64) -> bool {
        self.connections.contains_key(&connection)
    }

    /// Sends bytes; gives back the transaction to fail if that is known to be impossible at once.
    pub(crate) async fn send(
        &mut self,
        flow: &Flow,
        bytes: Bytes,
        tx: Option<TxRef>,
    ) -> Result<(), Option<TxRef>> {
        match flow.transport {
            Transport::Udp => {
                let socket = self.listeners.get(flow.listener).and_then(|l| l.udp.clone()).ok_or(tx)?;
                socket.send_to(&bytes, flow.remote).await.map(|_| ()).map_err(|error| {
                    tracing::debug!(%error, "a SIP datagram could not be sent");
                    tx
                })
            }
            Transport::Tcp | Transport::Tls => {
                let known = flow
                    .connection
                    .filter(|id| self.connections.contains_key(id))
                    .or_else(|| self.by_peer.get(&Peer::of(flow)).copied());
                let connection = match known {
                    Some(connection) => connection,
                    None => self.connect(flow).ok_or(tx)?,
                };
                let queue = &self.connections.get(&connection).ok_or(tx)?.queue;
                queue.try_send((bytes, tx)).map_err(|_| tx)
            }
        }
    }

    fn connect(&mut self, flow: &Flow) -> Option<u64> {
        if self.connections.len() >= self.max_connections {
            return None;
        }
        let tls = match flow.transport {
            Transport::Tls => {
                let known = flow.name.and_then(|PeerName(i)| self.names.get(i).cloned());
                let name = known.unwrap_or_else(|| ServerName::from(flow.remote.ip()));
                Some((TlsConnector::from(Arc::clone(&self.tls.as_ref()?.client)), name))
            }
            Transport::Udp | Transport::Tcp => None,
        };
        let (connection, queue) = self.register(flow.listener, flow.local, Peer::of(flow));
        let (remote, events, habits) = (flow.remote, self.events.clone(), Habits::of(flow.transport, true));
        self.tasks.spawn(async move {
            let opened = tokio::time::timeout(CONNECT_TIMEOUT, async {
                let stream = TcpStream::connect(remote).await?;
                let _ = stream.set_nodelay(true);
                Ok(match tls {
                    None => Opened::Tcp(stream),
                    Some((connector, name)) => Opened::Tls(Box::new(connector.connect(name, stream).await?)),
                })
            });
            match opened.await {
                Ok(Ok(Opened::Tcp(stream))) => pump(connection, stream, queue, events, habits).await,
                Ok(Ok(Opened::Tls(stream))) => pump(connection, stream, queue, events, habits).await,
                Ok(Err(error)) => give_up(connection, queue, events, Vec::new(), Some(&error)).await,
                Err(_) => give_up(connection, queue, events, Vec::new(), None).await,
            }
        });
        Some(connection)
    }

    /// Closes a connection once what is queued for it has been written.
    pub(crate) fn close(&mut self, connection: u64) {
        // The writer ends when its queue has no sender any more.
        self.forget(connection);
    }
}

/// A connection that we have opened.
enum Opened {
    Tcp(TcpStream),
    Tls(Box<tokio_rustls::client::TlsStream<TcpStream>>),
}

async fn read_datagrams(listener: usize, socket: Arc<UdpSocket>, events: mpsc::Sender<NetEvent>) {
    let mut buffer = vec![0u8; 65_536];
    loop {
        match socket.recv_from(&mut buffer).await {
            Ok((n, from)) => {
                let bytes = Bytes::copy_from_slice(buffer.get(..n).unwrap_or_default());
                if events.send(NetEvent::Datagram { listener, from, bytes }).await.is_err() {
                    return;
                }
            }
            // An ICMP error for something sent earlier: the socket lives on, but must not spin.
            Err(error) => {
                tracing::debug!(%error, "receiving SIP over UDP");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }
}

async fn accept(listener: usize, socket: TcpListener, events: mpsc::Sender<NetEvent>) {
    loop {
        match socket.accept().await {
            Ok((stream, from)) => {
                if events.send(NetEvent::Accepted { listener, stream, from }).await.is_err() {
                    return;
                }
            }
            // Out of file descriptors, mostly: wait for some to come back.
            Err(error) => {
                tracing::warn!(%error, "cannot accept a SIP connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// A UDP socket with room for a burst of calls.
fn udp_socket(addr: SocketAddr) -> io::Result<UdpSocket> {
    let socket = socket2::Socket::new(
        socket2::Domain::for_address(addr),
        socket2::Type::DGRAM,
        Some(socket2::Protocol::UDP),
    )?;
    let _ = socket.set_recv_buffer_size(1 << 20);
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    UdpSocket::from_std(socket.into())
}

/// The address that the system would send from; nothing is sent.
fn route_to(remote: SocketAddr) -> Option<IpAddr> {
    let any: SocketAddr = if remote.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
    let probe = std::net::UdpSocket::bind(any).ok()?;
    probe.connect(remote).ok()?;
    Some(probe.local_addr().ok()?.ip())
}
