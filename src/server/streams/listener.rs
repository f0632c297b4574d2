//! A TCP listener that keeps its connections bounded in number, and in time until they have become a stream.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;

/// The listener.
pub(super) struct Bounded {
    listener: TcpListener,
    room: Arc<Semaphore>,
    patience: Duration,
}

impl Bounded {
    /// At most `most` connections at a time; each has `patience` to become a stream.
    pub(super) fn new(listener: TcpListener, most: usize, patience: Duration) -> Self {
        Self { listener, room: Arc::new(Semaphore::new(most)), patience }
    }
}

/// One connection.
pub(super) struct Connection {
    stream: TcpStream,
    peer: Peer,
    /// Until when it has to be a stream.
    deadline: Pin<Box<Sleep>>,
    _room: OwnedSemaphorePermit,
}

/// Who is at the other end of a connection.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    /// Where from.
    pub(super) addr: SocketAddr,
    streams: Arc<AtomicBool>,
}

impl Peer {
    /// It has become a stream, which has limits of its own.
    pub(super) fn is_stream(&self) {
        self.streams.store(true, Ordering::Relaxed);
    }
}

impl Listener for Bounded {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        loop {
            let Ok(room) = self.room.clone().acquire_owned().await else {
                return std::future::pending().await;
            };
            match self.listener.accept().await {
                Ok((stream, addr)) => {
                    // Small frames in good time matter more than few packets.
                    let _ = stream.set_nodelay(true);
                    let peer = Peer { addr, streams: Arc::default() };
                    let deadline = Box::pin(tokio::time::sleep(self.patience));
                    return (Connection { stream, peer, deadline, _room: room }, addr);
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be taken");
                    // Out of files: others have to end first.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl Connected<IncomingStream<'_, Bounded>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Bounded>) -> Self {
        stream.io().peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        if !self.peer.streams.load(Ordering::Relaxed) && self.deadline.as_mut().poll(context).is_ready() {
            let late =
                std::io::Error::new(std::io::ErrorKind::TimedOut, "it did not become a stream in time");
            return Poll::Ready(Err(late));
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    #[tokio::test]
    async fn who_says_nothing_is_left_and_makes_room_for_others() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let bounded = Bounded::new(listener, 2, Duration::from_millis(300));
        let router = Router::new().route("/", get(async || "well"));
        tokio::spawn(async move { axum::serve(bounded, router.into_make_service()).await });
        let mut silent = Vec::new();
        for _ in 0..6 {
            silent.push(TcpStream::connect(addr).await.unwrap());
        }
        let mut asks = TcpStream::connect(addr).await.unwrap();
        asks.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        tokio::time::timeout(Duration::from_secs(10), asks.read_to_string(&mut answer))
            .await
            .unwrap()
            .unwrap();
        assert!(answer.ends_with("well"), "{answer}");
        for mut one in silent {
            let mut nothing = [0; 1];
            assert_eq!(one.read(&mut nothing).await.unwrap_or(0), 0, "it was left");
        }
    }
}
