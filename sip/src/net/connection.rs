//! One connection: bytes between its socket and the endpoint, pings, and what was lost with it.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

use super::{CONNECT_TIMEOUT, NetEvent};
use crate::clock;
use crate::stack::{Transport, TxRef};
use crate::tls;

/// A connection without a byte for this long is closed.
const IDLE: Duration = Duration::from_secs(3600);
/// Who connects to us over TLS has something to say within this time: a certificate of ours costs nothing to look at.
const FIRST: Duration = Duration::from_secs(32);
/// A connection over TLS without a byte either way for this long gets a ping (RFC 5626 §4.4.1): a proxy that closed it
/// for idleness could not be reached by the address in its `Contact`, which its certificate seldom names.
const PING: Duration = Duration::from_secs(100);
/// A peer that takes nothing of a message for this long is given up: 64·T1, when its transaction has failed anyway.
const STALLED: Duration = Duration::from_secs(32);

/// What waits to be written: bytes, and the transaction that fails with them.
pub(super) type Queue = mpsc::Receiver<(Bytes, Option<TxRef>)>;

/// A connection, encrypted or not.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> Stream for T {}

/// How a connection is kept.
#[derive(Clone, Copy)]
pub(super) struct Habits {
    /// It ends when nothing has come for this long.
    idle: Duration,
    /// The same before the first byte.
    first: Duration,
    /// A ping goes out when nothing has gone either way for this long.
    ping: Option<Duration>,
    /// Until the first byte has come, what was written may not have been taken: a TLS 1.3 server refuses a client
    /// certificate only after the handshake.
    doubtful: bool,
}

impl Habits {
    pub(super) fn of(transport: Transport, opened_by_us: bool) -> Self {
        let tls = transport == Transport::Tls;
        let first = if tls && !opened_by_us { FIRST } else { IDLE };
        Self { idle: IDLE, first, ping: tls.then_some(PING), doubtful: tls && opened_by_us }
    }
}

/// Reads from and writes to a connection until either side is done.
pub(super) async fn pump(
    connection: u64,
    stream: impl Stream,
    mut queue: Queue,
    events: mpsc::Sender<NetEvent>,
    habits: Habits,
) {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let mut buffer = vec![0u8; 16 * 1024];
    let mut unsent = Vec::new();
    let mut failure = None;
    let Habits { idle, first, ping, mut doubtful } = habits;
    let mut patience = first;
    let (mut heard, mut used) = (clock::now(), clock::now());
    loop {
        let message = tokio::select! {
            message = queue.recv() => {
                let Some(message) = message else { break };
                message
            }
            () = clock::sleep_until(ping.map(|ping| used + ping)) => (Bytes::from_static(b"\r\n\r\n"), None),
            read = tokio::time::timeout_at((heard + patience).into(), reader.read(&mut buffer)) => {
                let bytes = match read {
                    Ok(Ok(n)) if n > 0 => Bytes::copy_from_slice(buffer.get(..n).unwrap_or_default()),
                    Ok(Err(error)) => {
                        failure = Some(error);
                        break;
                    }
                    _ => break,
                };
                (heard, used, patience) = (clock::now(), clock::now(), idle);
                if std::mem::take(&mut doubtful) {
                    unsent.clear();
                }
                if events.send(NetEvent::Data { connection, bytes }).await.is_err() {
                    break;
                }
                continue;
            }
        };
        used = clock::now();
        let (bytes, tx) = message;
        if doubtful {
            unsent.extend(tx);
        }
        let written = tokio::time::timeout(STALLED, async {
            writer.write_all(&bytes).await?;
            // TLS keeps what the socket does not take at once.
            writer.flush().await
        });
        if let Err(error) = written.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            unsent.extend(tx.filter(|_| !doubtful));
            failure = Some(error);
            break;
        }
    }
    // TLS has a word for the end, which a peer that no longer reads would hold up.
    let _ = tokio::time::timeout(CONNECT_TIMEOUT, writer.shutdown()).await;
    give_up(connection, queue, events, unsent, failure.as_ref()).await;
}

/// Tells that a connection is gone, with all that could not be sent over it.
pub(super) async fn give_up(
    connection: u64,
    mut queue: Queue,
    events: mpsc::Sender<NetEvent>,
    mut unsent: Vec<TxRef>,
    failure: Option<&io::Error>,
) {
    queue.close();
    while let Some((_, tx)) = queue.recv().await {
        unsent.extend(tx);
    }
    let why = failure.and_then(tls::explain);
    if let Some(why) = why.as_ref().filter(|_| !unsent.is_empty()) {
        tracing::warn!("a SIP connection over TLS failed: {why}");
    }
    let _ = events.send(NetEvent::Closed { connection, unsent, why }).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn habits(doubtful: bool) -> Habits {
        let idle = Duration::from_millis(200);
        Habits { idle, first: idle, ping: Some(Duration::from_millis(30)), doubtful }
    }

    #[tokio::test]
    async fn who_connects_and_says_nothing_is_given_up_sooner_than_who_has_spoken() {
        let hour = Duration::from_secs(3600);
        for speaks in [false, true] {
            let (near, mut far) = tokio::io::duplex(1_000);
            let (events, mut told) = mpsc::channel(10);
            let (_queue, waiting) = mpsc::channel(10);
            let habits = Habits { idle: hour, first: Duration::from_millis(50), ping: None, doubtful: false };
            if speaks {
                far.write_all(b"\r\n").await.expect("written");
            }
            tokio::spawn(async move { pump(1, near, waiting, events, habits).await });
            if speaks {
                assert!(matches!(told.recv().await, Some(NetEvent::Data { .. })));
            }
            let closed = tokio::time::timeout(Duration::from_millis(300), told.recv()).await;
            assert_eq!(closed.is_ok(), !speaks, "{closed:?}");
        }
    }

    #[tokio::test]
    async fn a_silent_connection_is_pinged_and_given_up_when_nothing_comes_back() {
        let (near, mut far) = tokio::io::duplex(1_000);
        let (events, mut told) = mpsc::channel(10);
        let (_queue, waiting) = mpsc::channel(10);
        let pumping = tokio::spawn(async move { pump(1, near, waiting, events, habits(false)).await });
        let mut pings = Vec::new();
        far.read_to_end(&mut pings).await.expect("pings, then the end");
        assert!(pings.len() >= 8 && pings.chunks(4).all(|ping| ping == b"\r\n\r\n"), "{pings:?}");
        assert!(matches!(told.recv().await, Some(NetEvent::Closed { connection: 1, .. })));
        pumping.await.expect("an end");
    }

    #[tokio::test]
    async fn what_a_server_has_not_answered_with_one_byte_was_not_sent() {
        for answered in [false, true] {
            let (near, mut far) = tokio::io::duplex(1_000);
            let (events, mut told) = mpsc::channel(10);
            let (queue, waiting) = mpsc::channel(10);
            let tx = TxRef::Client(crate::stack::ClientTx(7));
            queue.send((Bytes::from_static(b"INVITE"), Some(tx))).await.expect("room");
            tokio::spawn(async move { pump(1, near, waiting, events, habits(true)).await });
            let mut sent = [0; 6];
            far.read_exact(&mut sent).await.expect("what was sent");
            if answered {
                far.write_all(b"\r\n").await.expect("written");
                assert!(matches!(told.recv().await, Some(NetEvent::Data { .. })));
            }
            drop(far);
            let Some(NetEvent::Closed { unsent, .. }) = told.recv().await else { panic!("not closed") };
            assert_eq!(unsent, if answered { vec![] } else { vec![tx] });
        }
    }
}
