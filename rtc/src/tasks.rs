//! The engine's tasks and sockets, held so that they end with the peer.
//!
//! The library leaves its task running when a connection is dropped. It asks a [`Runtime`] for every task, though, and
//! this one remembers them.

use std::future::Future;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::AbortHandle;
use webrtc::runtime::{
    AsyncInterval, AsyncTcpListener, AsyncTcpStream, AsyncUdpSocket, JoinHandle, Runtime, TokioRuntime,
};

use crate::inbox::{Ended, Inbox};
use crate::socket::Socket;

type Task<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The tasks of one peer.
#[derive(Debug)]
pub(crate) struct Tasks {
    inbox: Arc<Inbox>,
    /// Nothing once they were ended: no more are begun then.
    running: Mutex<Option<Vec<AbortHandle>>>,
}

impl Tasks {
    pub(crate) fn new(inbox: Arc<Inbox>) -> Self {
        Self { inbox, running: Mutex::new(Some(Vec::new())) }
    }

    /// Ends all of them.
    pub(crate) fn abort(&self) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        running.into_iter().flatten().for_each(|task| task.abort());
    }

    /// Begins one.
    pub(crate) fn begin(&self, task: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        let handle = tokio::spawn(task).abort_handle();
        match self.running.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            Some(running) => running.push(handle.clone()),
            None => handle.abort(),
        }
        handle
    }
}

/// Tells the owner when the engine stops, be it by a panic.
struct Stopped(Arc<Inbox>);

impl Drop for Stopped {
    fn drop(&mut self) {
        self.0.end(Ended::Engine);
    }
}

struct Handle(AbortHandle);

impl JoinHandle for Handle {
    fn detach(&self) {}

    fn abort(&self) {
        self.0.abort();
    }

    fn is_finished(&self) -> bool {
        self.0.is_finished()
    }
}

impl Runtime for Tasks {
    fn spawn(&self, task: Task<'static, ()>) -> Box<dyn JoinHandle> {
        let stopped = Stopped(Arc::clone(&self.inbox));
        Box::new(Handle(self.begin(async move {
            let _stopped = stopped;
            task.await;
        })))
    }

    fn wrap_udp_socket(&self, socket: UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        Ok(Arc::new(Socket::new(socket)?))
    }

    fn wrap_tcp_listener(&self, listener: std::net::TcpListener) -> io::Result<Arc<dyn AsyncTcpListener>> {
        TokioRuntime.wrap_tcp_listener(listener)
    }

    /// Media goes over UDP.
    fn connect_tcp(&self, _: SocketAddr) -> Task<'_, io::Result<Arc<dyn AsyncTcpStream>>> {
        Box::pin(async { Err(io::ErrorKind::Unsupported.into()) })
    }

    /// No name that a browser gives is looked up.
    fn resolve_host<'a>(&'a self, _: &'a str) -> Task<'a, io::Result<Vec<SocketAddr>>> {
        Box::pin(async { Err(io::ErrorKind::Unsupported.into()) })
    }

    fn now(&self) -> Instant {
        crate::clock::now()
    }

    fn sleep(&self, duration: Duration) -> Task<'static, ()> {
        TokioRuntime.sleep(duration)
    }

    fn interval(&self, period: Duration) -> Box<dyn AsyncInterval> {
        TokioRuntime.interval(period)
    }

    fn block_on(&self, future: Pin<Box<dyn Future<Output = ()> + '_>>) {
        TokioRuntime.block_on(future);
    }

    fn yield_now(&self) -> Task<'static, ()> {
        TokioRuntime.yield_now()
    }
}
