//! Sockets: UDP listeners, TCP listeners and connections. They carry bytes to and from the agent and know no SIP.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::mpsc;

use crate::error::Error;
use crate::stack::{Flow, Transport, TxRef};

/// How long a TCP connection may take to open.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection without a byte for this long is closed.
const IDLE: Duration = Duration::from_secs(3600);
/// Messages waiting for a slow connection; one more and it is given up.
const QUEUE: usize = 256;

/// What the sockets have to tell.
#[derive(Debug)]
pub(crate) enum NetEvent {
    Datagram { listener: usize, from: SocketAddr, bytes: Bytes },
    Accepted { listener: usize, stream: TcpStream, from: SocketAddr },
    Data { connection: u64, bytes: Bytes },
    Closed { connection: u64, unsent: Vec<TxRef> },
}

struct Listener {
    transport: Transport,
    local: SocketAddr,
    udp: Option<Arc<UdpSocket>>,
}

struct Connection {
    listener: usize,
    remote: SocketAddr,
    local: SocketAddr,
    queue: mpsc::Sender<(Bytes, Option<TxRef>)>,
}

/// All sockets of an endpoint.
pub(crate) struct Net {
    listeners: Vec<Listener>,
    connections: HashMap<u64, Connection>,
    by_peer: HashMap<SocketAddr, u64>,
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
    ) -> Result<(Self, mpsc::Receiver<NetEvent>), Error> {
        let (events, receiver) = mpsc::channel(1024);
        let mut net = Self {
            listeners: Vec::new(),
            connections: HashMap::new(),
            by_peer: HashMap::new(),
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

    async fn listen(&mut self, transport: Transport, addr: SocketAddr) -> std::io::Result<()> {
        let index = self.listeners.len();
        let events = self.events.clone();
        let listener = match transport {
            Transport::Udp => {
                let socket = Arc::new(udp_socket(addr)?);
                let local = socket.local_addr()?;
                self.tasks.spawn(read_datagrams(index, Arc::clone(&socket), events));
                Listener { transport, local, udp: Some(socket) }
            }
            Transport::Tcp => {
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
        Some(Flow { transport: Transport::Udp, remote, local, listener, connection: None })
    }

    /// The flow of a connection.
    pub(crate) fn connection_flow(&mut self, connection: u64) -> Option<Flow> {
        let Connection { listener, remote, local, .. } = *self.connections.get(&connection)?;
        Some(Flow { transport: Transport::Tcp, remote, local, listener, connection: Some(connection) })
    }

    /// A flow to a peer that we have not heard of yet; `None` without a listener for this transport and family.
    pub(crate) fn flow_to(&mut self, transport: Transport, remote: SocketAddr) -> Option<Flow> {
        let fits = |l: &Listener| l.transport == transport && l.local.is_ipv4() == remote.is_ipv4();
        let listener = self.listeners.iter().position(fits)?;
        let local = self.listeners.get(listener)?.local;
        let local = self.advertised(local, remote);
        Some(Flow { transport, remote, local, listener, connection: None })
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
        if self.connections.len() >= self.max_connections {
            tracing::warn!(limit = self.max_connections, "too many SIP connections; a new one was closed");
            return;
        }
        let Some(local) = self.listeners.get(listener).map(|l| l.local) else { return };
        let local = self.advertised(local, remote);
        let (connection, queue) = self.register(listener, remote, local);
        let events = self.events.clone();
        self.tasks.spawn(async move { pump(connection, stream, queue, events).await });
    }

    fn register(
        &mut self,
        listener: usize,
        remote: SocketAddr,
        local: SocketAddr,
    ) -> (u64, mpsc::Receiver<(Bytes, Option<TxRef>)>) {
        self.last_connection += 1;
        let (queue, receiver) = mpsc::channel(QUEUE);
        self.connections.insert(self.last_connection, Connection { listener, remote, local, queue });
        self.by_peer.insert(remote, self.last_connection);
        (self.last_connection, receiver)
    }

    /// A connection is gone.
    pub(crate) fn forget(&mut self, connection: u64) {
        if let Some(gone) = self.connections.remove(&connection)
            && self.by_peer.get(&gone.remote) == Some(&connection)
        {
            self.by_peer.remove(&gone.remote);
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
            Transport::Tcp => {
                let known = flow
                    .connection
                    .filter(|id| self.connections.contains_key(id))
                    .or_else(|| self.by_peer.get(&flow.remote).copied());
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
        let (connection, mut queue) = self.register(flow.listener, flow.remote, flow.local);
        let (remote, events) = (flow.remote, self.events.clone());
        self.tasks.spawn(async move {
            let opened = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(remote)).await;
            if let Ok(Ok(stream)) = opened {
                return pump(connection, stream, queue, events).await;
            }
            queue.close();
            let mut unsent = Vec::new();
            while let Some((_, tx)) = queue.recv().await {
                unsent.extend(tx);
            }
            let _ = events.send(NetEvent::Closed { connection, unsent }).await;
        });
        Some(connection)
    }

    /// Closes a connection once what is queued for it has been written.
    pub(crate) fn close(&mut self, connection: u64) {
        // The writer ends when its queue has no sender any more.
        self.forget(connection);
    }
}

/// Reads from and writes to a connection until either side is done.
async fn pump(
    connection: u64,
    stream: TcpStream,
    mut queue: mpsc::Receiver<(Bytes, Option<TxRef>)>,
    events: mpsc::Sender<NetEvent>,
) {
    let _ = stream.set_nodelay(true);
    let (mut reader, mut writer) = stream.into_split();
    let mut buffer = vec![0u8; 16 * 1024];
    let mut unsent = Vec::new();
    loop {
        tokio::select! {
            message = queue.recv() => {
                let Some((bytes, tx)) = message else { break };
                if writer.write_all(&bytes).await.is_err() {
                    unsent.extend(tx);
                    break;
                }
            }
            read = tokio::time::timeout(IDLE, reader.read(&mut buffer)) => {
                let bytes = match read {
                    Ok(Ok(n)) if n > 0 => Bytes::copy_from_slice(buffer.get(..n).unwrap_or_default()),
                    _ => break,
                };
                if events.send(NetEvent::Data { connection, bytes }).await.is_err() {
                    break;
                }
            }
        }
    }
    queue.close();
    while let Some((_, tx)) = queue.recv().await {
        unsent.extend(tx);
    }
    let _ = writer.shutdown().await;
    let _ = events.send(NetEvent::Closed { connection, unsent }).await;
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
fn udp_socket(addr: SocketAddr) -> std::io::Result<UdpSocket> {
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
