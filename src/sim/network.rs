//! A bad network with a printed seed: loss one by one or in bursts, delay, jitter, reordering; one direction.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::clock::Time;

/// What a direction of the network does to packets.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Weather {
    /// Fraction lost, in 0..=1.
    pub loss: f64,
    /// Least delay.
    pub delay: Duration,
    /// Greatest extra delay; uniform.
    pub jitter: Duration,
    /// Mean length of a burst of losses in packets; 1 or less loses packets one by one.
    pub burst: f64,
    /// Fraction of packets that take a longer way, so that later ones overtake them, in 0..=1.
    pub reorder: f64,
}

/// How much longer the longer way is, at least and at most.
const LONGER_WAY: (u64, u64) = (25, 70);

/// One direction of a network.
#[derive(Debug)]
pub struct Network {
    weather: Weather,
    random: SmallRng,
    bursting: bool,
    sent: u64,
    lost: u64,
    flying: BinaryHeap<Reverse<(Time, u64, Vec<u8>)>>,
}

impl Network {
    /// The same seed gives the same losses and delays.
    pub fn new(weather: Weather, seed: u64) -> Self {
        let random = SmallRng::seed_from_u64(seed);
        Self { weather, random, bursting: false, sent: 0, lost: 0, flying: BinaryHeap::new() }
    }

    /// Sends a packet at `now`.
    pub fn send(&mut self, now: Time, packet: &[u8]) {
        self.sent += 1;
        if self.loses() {
            self.lost += 1;
            return;
        }
        let mut extra = self.weather.jitter.mul_f64(self.random.random::<f64>());
        if self.weather.reorder > 0.0 && self.random.random_bool(self.weather.reorder.min(1.0)) {
            extra += Duration::from_millis(self.random.random_range(LONGER_WAY.0..=LONGER_WAY.1));
        }
        self.flying.push(Reverse((now + self.weather.delay + extra, self.sent, packet.to_vec())));
    }

    /// The next packet that has arrived by `now`, with the moment of its arrival.
    pub fn arrived(&mut self, now: Time) -> Option<(Time, Vec<u8>)> {
        let due = self.flying.peek().is_some_and(|Reverse((at, ..))| *at <= now);
        if !due {
            return None;
        }
        self.flying.pop().map(|Reverse((at, _, packet))| (at, packet))
    }

    /// Packets sent and lost.
    pub fn counts(&self) -> (u64, u64) {
        (self.sent, self.lost)
    }

    fn loses(&mut self) -> bool {
        let Weather { loss, burst, .. } = self.weather;
        if loss <= 0.0 {
            return false;
        }
        if burst <= 1.0 {
            return self.random.random_bool(loss.min(1.0));
        }
        // Gilbert's model: bursts of the given mean length, as often as the loss asks for.
        let leave = 1.0 / burst;
        let enter = (leave * loss / (1.0 - loss).max(1e-6)).min(1.0);
        self.bursting =
            if self.bursting { !self.random.random_bool(leave) } else { self.random.random_bool(enter) };
        self.bursting
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Arrived = Vec<(Time, Vec<u8>)>;

    fn run(weather: Weather, seed: u64) -> (Arrived, (u64, u64)) {
        let mut network = Network::new(weather, seed);
        for i in 0..10_000_u32 {
            network.send(Time::from_start(Duration::from_millis(u64::from(i) * 20)), &i.to_be_bytes());
        }
        let end = Time::from_start(Duration::from_secs(1000));
        (std::iter::from_fn(|| network.arrived(end)).collect(), network.counts())
    }

    #[test]
    fn the_same_seed_gives_the_same_weather() {
        let weather = Weather {
            loss: 0.05,
            delay: Duration::from_millis(30),
            jitter: Duration::from_millis(60),
            burst: 3.0,
            reorder: 0.1,
        };
        assert_eq!(run(weather, 7), run(weather, 7));
        assert_ne!(run(weather, 7).0, run(weather, 8).0);
    }

    #[test]
    fn losses_come_to_the_share_asked_for() {
        for burst in [1.0, 4.0] {
            let (_, (sent, lost)) = run(Weather { loss: 0.05, burst, ..Weather::default() }, 1);
            let share = lost as f64 / sent as f64;
            assert!((0.035..0.065).contains(&share), "burst {burst}: {share}");
        }
    }

    #[test]
    fn a_longer_way_is_overtaken_and_nothing_is_lost_on_it() {
        let (packets, (sent, lost)) = run(Weather { reorder: 0.04, ..Weather::default() }, 5);
        assert_eq!((sent, lost, packets.len()), (10_000, 0, 10_000));
        let late = packets.windows(2).filter(|pair| pair[0].1 > pair[1].1).count();
        assert!((300..500).contains(&late), "{late} of 10000 packets were overtaken");
    }

    #[test]
    fn jitter_reorders_and_never_makes_a_packet_early() {
        let weather = Weather {
            delay: Duration::from_millis(30),
            jitter: Duration::from_millis(60),
            ..Weather::default()
        };
        let (packets, _) = run(weather, 3);
        let numbers: Vec<u32> =
            packets.iter().map(|(_, p)| u32::from_be_bytes([p[0], p[1], p[2], p[3]])).collect();
        assert!(!numbers.is_sorted(), "nothing was reordered");
        for ((at, _), number) in packets.iter().zip(&numbers) {
            let sent = Time::from_start(Duration::from_millis(u64::from(*number) * 20));
            assert!((30..=90).contains(&at.saturating_since(sent).as_millis()));
        }
    }
}
