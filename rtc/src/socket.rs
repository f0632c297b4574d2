//! A UDP socket for the engine, one datagram at a time.
//!
//! The library's own asks the system for 64 datagrams at once and keeps 200 KB for them; a voice has 50 in a second.

use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::task::{Context, Poll, ready};

use socket2::SockRef;
use tokio::io::ReadBuf;
use webrtc::runtime::{AsyncUdpSocket, RecvMeta, Transmit};

/// Expedited forwarding (RFC 3246), as the upper six bits of the traffic class.
const EXPEDITED: u32 = 46 << 2;
/// Room for two seconds of packets from a browser, and for as many from whoever else sends.
const RECEIVE_BUFFER: usize = 256 * 1024;

/// One bound socket.
#[derive(Debug)]
pub(crate) struct Socket(tokio::net::UdpSocket);

impl Socket {
    /// Takes over a socket that does not block.
    pub(crate) fn new(socket: UdpSocket) -> io::Result<Self> {
        let raw = SockRef::from(&socket);
        let marked = match socket.local_addr()? {
            SocketAddr::V4(_) => raw.set_tos_v4(EXPEDITED),
            SocketAddr::V6(_) => raw.set_tclass_v6(EXPEDITED),
        };
        // Both are kindnesses of the system: a call works without them.
        if let Err(error) = marked.and_then(|()| raw.set_recv_buffer_size(RECEIVE_BUFFER)) {
            tracing::debug!(%error, "no expedited forwarding or receive buffer for a browser");
        }
        tokio::net::UdpSocket::from_std(socket).map(Self)
    }
}

impl AsyncUdpSocket for Socket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    fn poll_send(&self, cx: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        self.0.poll_send_to(cx, transmit.contents, transmit.destination)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let (Some(buffer), Some(meta)) = (buffers.first_mut(), meta.first_mut()) else {
            return Poll::Ready(Ok(0));
        };
        let mut buffer = ReadBuf::new(buffer);
        let from = ready!(self.0.poll_recv_from(cx, &mut buffer))?;
        *meta = RecvMeta::default();
        meta.addr = from;
        meta.len = buffer.filled().len();
        meta.stride = meta.len.max(1);
        Poll::Ready(Ok(1))
    }
}
