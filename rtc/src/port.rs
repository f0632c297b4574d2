//! A free UDP port in a range.

use std::io;
use std::net::{IpAddr, UdpSocket};
use std::ops::RangeInclusive;

use crate::Error;

/// The ports of `range`, each once, from a random one on.
pub(crate) fn shuffled(range: &RangeInclusive<u16>) -> impl Iterator<Item = u16> + use<> {
    let first = u32::from(*range.start());
    let count = (u32::from(*range.end()) + 1).saturating_sub(first);
    let start = if count == 0 { 0 } else { rand::random_range(0..count) };
    (0..count).map(move |index| (first + (start + index) % count) as u16)
}

/// Whether `port` can be bound now.
pub(crate) fn is_free(ip: IpAddr, port: u16) -> Result<bool, Error> {
    match UdpSocket::bind((ip, port)) {
        Ok(_) => Ok(true),
        // Ports below 1024, or held back by a policy, are as good as taken.
        Err(error) if matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied) => {
            Ok(false)
        }
        Err(source) => Err(Error::Refused { ip, port, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_port_of_a_range_comes_once() {
        let mut ports: Vec<u16> = shuffled(&(65_530..=65_535)).collect();
        ports.sort_unstable();
        assert_eq!(ports, (65_530..=65_535).collect::<Vec<u16>>());
        assert_eq!(shuffled(&(7..=7)).collect::<Vec<_>>(), [7]);
        #[expect(clippy::reversed_empty_ranges, reason = "that is what is tested")]
        let empty = 9..=8;
        assert_eq!(shuffled(&empty).count(), 0);
    }
}
