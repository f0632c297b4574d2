//! A pair of UDP ports for one call: RTP on an even port, RTCP on the next.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::UdpSocket;

/// Expedited forwarding (RFC 3246), as the upper six bits of the traffic class.
const EXPEDITED: u32 = 46 << 2;
/// Room for two seconds of packets from a caller, and for as many from whoever else sends.
const RECEIVE_BUFFER: usize = 256 * 1024;

/// Why no ports could be had.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// Every pair is taken.
    #[error(
        "no free pair of UDP ports on {ip} between {first} and {last}: widen the RTP port range, or find what holds them"
    )]
    Exhausted {
        /// The address to bind.
        ip: IpAddr,
        /// First port of the range.
        first: u16,
        /// Last port of the range.
        last: u16,
    },
    /// The range has no even port followed by an odd one.
    #[error("the RTP port range {first} to {last} holds no pair of an even port and the next: widen it")]
    Narrow {
        /// First port of the range.
        first: u16,
        /// Last port of the range.
        last: u16,
    },
    /// The system refuses for another reason than a port in use.
    #[error("cannot open UDP port {port} on {ip}: {source}; is this an address of this machine?")]
    Refused {
        /// The address to bind.
        ip: IpAddr,
        /// The port that was tried.
        port: u16,
        /// What the system said.
        source: io::Error,
    },
}

/// Two bound sockets.
#[derive(Debug)]
pub struct MediaPort {
    pub(super) rtp: UdpSocket,
    pub(super) rtcp: UdpSocket,
    local: SocketAddr,
}

impl MediaPort {
    /// Binds a free pair on `ip`, starting at a random place in `range`. Needs the async runtime around it.
    ///
    /// # Errors
    /// [`PortError`] if the range is too narrow or taken, or the system refuses.
    pub fn bind(ip: IpAddr, range: RangeInclusive<u16>) -> Result<Self, PortError> {
        let (first, last) = (*range.start(), *range.end());
        let even = u32::from(first).next_multiple_of(2);
        let pairs = (u32::from(last) + 1).saturating_sub(even) / 2;
        if pairs == 0 {
            return Err(PortError::Narrow { first, last });
        }
        let start = rand::random_range(0..pairs);
        for pair in 0..pairs {
            let port = (even + (start + pair) % pairs * 2) as u16;
            let local = SocketAddr::new(ip, port);
            match open(ip, port).and_then(|rtp| Ok(Self { rtp, rtcp: open(ip, port + 1)?, local })) {
                Ok(bound) => return Ok(bound),
                // Ports below 1024, or held back by a policy, are as good as taken.
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied) => {
                }
                Err(source) => return Err(PortError::Refused { ip, port, source }),
            }
        }
        Err(PortError::Exhausted { ip, first, last })
    }

    /// Sends at once or not at all.
    ///
    /// Past the async runtime: its own `try_send_to` refuses until the runtime has seen the socket writable, which
    /// would cost a call its first packets.
    pub(super) fn send(socket: &UdpSocket, packet: &[u8], to: SocketAddr) -> io::Result<()> {
        SockRef::from(socket).send_to(packet, &to.into()).map(|_| ())
    }

    /// The address of the RTP socket, for the SDP.
    pub fn local(&self) -> SocketAddr {
        self.local
    }
}

fn open(ip: IpAddr, port: u16) -> io::Result<UdpSocket> {
    let address = SocketAddr::new(ip, port);
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    let marked = match ip {
        IpAddr::V4(_) => socket.set_tos_v4(EXPEDITED),
        IpAddr::V6(_) => socket.set_tclass_v6(EXPEDITED),
    };
    // Both are kindnesses of the system: a call works without them.
    if let Err(error) = marked.and_then(|()| socket.set_recv_buffer_size(RECEIVE_BUFFER)) {
        tracing::debug!(%error, "no expedited forwarding or receive buffer for media");
    }
    socket.bind(&address.into())?;
    UdpSocket::from_std(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOPBACK: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[tokio::test]
    async fn a_pair_is_even_and_odd_and_an_exhausted_range_says_so() {
        let all = MediaPort::bind(LOOPBACK, 20_000..=59_999).expect("a free pair");
        let port = all.local().port();
        assert_eq!(port % 2, 0);
        assert_eq!(all.rtcp.local_addr().expect("bound").port(), port + 1);
        let error = MediaPort::bind(LOOPBACK, port..=port + 1).expect_err("the pair is taken").to_string();
        assert!(error.contains(&format!("between {port} and {}", port + 1)), "{error}");
        assert!(error.contains("widen"), "{error}");
    }

    #[tokio::test]
    async fn an_odd_start_and_an_even_end_hold_no_pair() {
        let error = MediaPort::bind(LOOPBACK, 30_001..=30_002).expect_err("no pair");
        assert!(matches!(error, PortError::Narrow { .. }), "{error}");
        let error = MediaPort::bind(LOOPBACK, 65_535..=65_535).expect_err("no pair");
        assert!(matches!(error, PortError::Narrow { .. }), "{error}");
    }

    #[tokio::test]
    async fn an_address_of_another_machine_is_refused_clearly() {
        let ip = IpAddr::from([192, 0, 2, 77]);
        let error = MediaPort::bind(ip, 20_000..=59_999).expect_err("not ours");
        assert!(matches!(error, PortError::Refused { .. }), "{error}");
    }
}
