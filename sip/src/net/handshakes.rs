//! TLS handshakes that others have begun with us: bounded in number, whoever floods us.
//!
//! When there is no room, the oldest handshake of the source that has most of them is given up. A flood from one place
//! so displaces its own; one from everywhere leaves each handshake the time that it takes to fill the table anew.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;

use tokio::task::AbortHandle;

#[derive(Default)]
pub(crate) struct Handshakes {
    /// Oldest first.
    open: VecDeque<Handshake>,
    last: u64,
}

struct Handshake {
    id: u64,
    source: Source,
    task: AbortHandle,
}

/// One place on the net. Whoever has an IPv6 address has at least the /64 around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Source([u8; 8]);

impl Source {
    fn of(ip: IpAddr) -> Self {
        let mut octets = [0; 8];
        match ip.to_canonical() {
            IpAddr::V4(ip) => octets[..4].copy_from_slice(&ip.octets()),
            IpAddr::V6(ip) => octets.copy_from_slice(&ip.octets()[..8]),
        }
        Self(octets)
    }
}

impl Handshakes {
    /// The number of the next handshake.
    pub(crate) fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// Keeps the handshake that [`Handshakes::next`] has numbered last; true if another had to go for it. Aborting its
    /// task closes its connection.
    pub(crate) fn begin(&mut self, ip: IpAddr, task: AbortHandle, limit: usize) -> bool {
        let mut evicted = false;
        while self.open.len() >= limit.max(1) {
            let Some(victim) = self.victim() else { break };
            if let Some(victim) = self.open.remove(victim) {
                victim.task.abort();
                evicted = true;
            }
        }
        self.open.push_back(Handshake { id: self.last, source: Source::of(ip), task });
        evicted
    }

    /// The oldest of the source that has most.
    fn victim(&self) -> Option<usize> {
        let mut counts: HashMap<Source, usize> = HashMap::new();
        for handshake in &self.open {
            *counts.entry(handshake.source).or_default() += 1;
        }
        let most = counts.values().copied().max()?;
        self.open.iter().position(|handshake| counts.get(&handshake.source) == Some(&most))
    }

    /// A handshake is over.
    pub(crate) fn end(&mut self, id: u64) {
        if let Some(at) = self.open.iter().position(|handshake| handshake.id == id) {
            self.open.remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin(handshakes: &mut Handshakes, ip: &str, limit: usize) -> tokio::task::JoinHandle<()> {
        let task = tokio::spawn(std::future::pending());
        handshakes.next();
        handshakes.begin(ip.parse().expect("an address"), task.abort_handle(), limit);
        task
    }

    async fn is_gone(task: tokio::task::JoinHandle<()>) -> bool {
        tokio::task::yield_now().await;
        task.is_finished()
    }

    #[tokio::test]
    async fn a_flood_from_one_place_displaces_its_own_and_not_the_guest() {
        let mut handshakes = Handshakes::default();
        let guest = begin(&mut handshakes, "192.0.2.1", 8);
        let first = begin(&mut handshakes, "2001:db8::1", 8);
        for i in 2..500 {
            begin(&mut handshakes, &format!("2001:db8::{i:x}"), 8);
            assert!(handshakes.open.len() <= 8, "{i}");
        }
        assert!(is_gone(first).await && !is_gone(guest).await);
        handshakes.end(1);
        assert!(handshakes.open.iter().all(|handshake| handshake.id != 1));
    }

    #[tokio::test]
    async fn of_strangers_with_one_each_the_oldest_goes() {
        let mut handshakes = Handshakes::default();
        let tasks: Vec<_> = (0..4).map(|i| begin(&mut handshakes, &format!("192.0.2.{i}"), 3)).collect();
        let mut gone = Vec::new();
        for task in tasks {
            gone.push(is_gone(task).await);
        }
        assert_eq!(gone, [true, false, false, false]);
    }
}
