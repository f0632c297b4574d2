//! What came from a peer and waits for its owner.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;

/// Packets that wait at most: 1.3 s of 20 ms each.
const WAITING: usize = 64;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Encrypted media flows both ways. Comes again when the peer is back after [`Event::Disconnected`].
    Connected,
    /// Nothing was heard of the peer for five seconds. It may come back.
    Disconnected,
    /// One RTP packet of theirs, decrypted, header included, with the payload type that was agreed on.
    Rtp(Bytes),
    /// It is over. Nothing else comes from now on but this.
    Ended(Ended),
}

/// Why it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    /// It never came about.
    #[error("no connection in time: can the peer reach one of the addresses in our answer over UDP?")]
    Unreachable,
    /// The network works, but not the encryption.
    #[error("the encryption could not be agreed on: does the certificate of the peer match the offer?")]
    NotSecured,
    /// It was connected and went silent.
    #[error("nothing was heard of the peer any more")]
    Lost,
    /// They said goodbye.
    #[error("the peer closed the connection")]
    ByPeer,
    /// A fault.
    #[error("the WebRTC library stopped by itself: its log says why")]
    Engine,
}

/// What was counted so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Stats {
    /// RTP packets that came and were of use.
    pub received: u64,
    /// Those of them that the owner did not take in time.
    pub receive_dropped: u64,
    /// RTP packets given to the network.
    pub sent: u64,
    /// RTP packets that could not be: malformed, before the connection, after it, or too many at once.
    pub send_dropped: u64,
    /// How many of ours they say were lost so far; negative if they saw some twice.
    pub remote_lost: Option<i32>,
    /// The share of ours that they say was lost lately, 0 to 1.
    pub remote_loss: Option<f64>,
    /// How unevenly ours arrive, as they say.
    pub remote_jitter: Option<Duration>,
    /// The way there and back.
    pub round_trip: Option<Duration>,
}

#[derive(Default)]
struct State {
    /// Connections that came and went, in order.
    news: VecDeque<Event>,
    rtp: VecDeque<Bytes>,
    /// Whether it ever was connected.
    opened: bool,
    ended: Option<Ended>,
    stats: Stats,
}

/// Filled by the engine's tasks, emptied by the peer's one owner.
#[derive(Default)]
pub(crate) struct Inbox {
    state: Mutex<State>,
    changed: Notify,
}

impl Inbox {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here is left half done by a panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It is connected, or connected again.
    pub(crate) fn connected(&self) {
        {
            let mut state = self.state();
            state.opened = true;
            state.news.push_back(Event::Connected);
        }
        self.changed.notify_one();
    }

    /// Nothing is heard of it; it may come back.
    pub(crate) fn disconnected(&self) {
        self.state().news.push_back(Event::Disconnected);
        self.changed.notify_one();
    }

    /// It is over; the first reason counts.
    pub(crate) fn end(&self, why: Ended) {
        self.state().ended.get_or_insert(why);
        self.changed.notify_one();
    }

    /// Whether it ever was connected.
    pub(crate) fn is_opened(&self) -> bool {
        self.state().opened
    }

    /// Whether packets of ours may leave.
    pub(crate) fn may_send(&self) -> bool {
        let state = self.state();
        state.opened && state.ended.is_none()
    }

    /// Why it is over, if it is.
    pub(crate) fn ended(&self) -> Option<Ended> {
        self.state().ended
    }

    /// A packet of theirs.
    pub(crate) fn rtp(&self, packet: Bytes) {
        {
            let mut state = self.state();
            state.stats.received += 1;
            if state.rtp.len() >= WAITING {
                state.rtp.pop_front();
                state.stats.receive_dropped += 1;
            }
            state.rtp.push_back(packet);
        }
        self.changed.notify_one();
    }

    /// Counts something.
    pub(crate) fn count(&self, count: impl FnOnce(&mut Stats)) {
        count(&mut self.state().stats);
    }

    /// What was counted.
    pub(crate) fn stats(&self) -> Stats {
        self.state().stats
    }

    /// The oldest packet.
    pub(crate) fn take_rtp(&self) -> Option<Bytes> {
        self.state().rtp.pop_front()
    }

    fn take(&self) -> Option<Event> {
        let mut state = self.state();
        let packet = |state: &mut State| state.rtp.pop_front().map(Event::Rtp);
        state.news.pop_front().or_else(|| packet(&mut state)).or_else(|| state.ended.map(Event::Ended))
    }

    /// The next event. May be dropped at any moment without losing one.
    pub(crate) async fn next(&self) -> Event {
        loop {
            if let Some(event) = self.take() {
                return event;
            }
            self.changed.notified().await;
        }
    }
}

/// Without what was said.
impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn news_come_before_packets_and_the_end_comes_last_and_stays() {
        let inbox = Inbox::default();
        inbox.connected();
        inbox.rtp(Bytes::from_static(b"one"));
        inbox.end(Ended::ByPeer);
        inbox.end(Ended::Engine);
        assert_eq!(inbox.next().await, Event::Connected);
        assert_eq!(inbox.next().await, Event::Rtp(Bytes::from_static(b"one")));
        for _ in 0..2 {
            assert_eq!(inbox.next().await, Event::Ended(Ended::ByPeer), "the first reason, again and again");
        }
    }

    #[test]
    fn a_slow_owner_loses_the_oldest_packets() {
        let inbox = Inbox::default();
        for index in 0..WAITING + 3 {
            inbox.rtp(Bytes::copy_from_slice(&[index as u8]));
        }
        assert_eq!(inbox.take_rtp(), Some(Bytes::from_static(&[3])));
        let stats = inbox.stats();
        assert_eq!((stats.received, stats.receive_dropped), (WAITING as u64 + 3, 3));
    }
}
