//! ICE candidates (RFC 8839): the addresses at which a peer may be reached.

use std::net::IpAddr;

use crate::Error;

/// Longer lines are not read.
const LONGEST: usize = 512;

/// Reads a candidate of theirs, with or without `a=` and `candidate:` before it, and writes it plainly: an address and
/// what is needed beside it, no extensions.
///
/// Gives `None` for what is right but of no use: the empty candidate that ends the list, TCP, the second component, and
/// host names. Browsers hide their addresses behind names that end in `.local`; such a browser reaches us at our address
/// and is known from then on.
pub(crate) fn parse(line: &str) -> Result<Option<String>, Error> {
    let bad = || Error::BadCandidate { line: line.chars().take(80).collect() };
    if line.len() > LONGEST {
        return Err(bad());
    }
    let text = line.trim();
    let text = text.strip_prefix("a=").unwrap_or(text);
    let text = text.strip_prefix("candidate:").unwrap_or(text);
    if text.is_empty() || text == "end-of-candidates" {
        return Ok(None);
    }
    let fields: Vec<&str> = text.split_ascii_whitespace().collect();
    let [foundation, component, transport, priority, address, port, "typ", kind, ..] = fields[..] else {
        return Err(bad());
    };
    let component: u16 = component.parse().map_err(|_| bad())?;
    let priority: u32 = priority.parse().map_err(|_| bad())?;
    let port: u16 = port.parse().map_err(|_| bad())?;
    if foundation.len() > 32 || !foundation.bytes().all(is_ice_char) || !is_host(address) {
        return Err(bad());
    }
    if !matches!(kind, "host" | "srflx" | "prflx" | "relay") {
        return Err(bad());
    }
    if !transport.eq_ignore_ascii_case("udp") || component != 1 {
        return Ok(None);
    }
    match address.parse::<IpAddr>() {
        Ok(ip) if ip.is_unspecified() || ip.is_multicast() || port == 0 => Err(bad()),
        Ok(ip) => Ok(Some(format!("{foundation} 1 udp {priority} {ip} {port} typ {kind}"))),
        Err(_) => Ok(None),
    }
}

/// A host candidate of ours, the `index`th, for the answer.
pub(crate) fn host(index: u16, ip: IpAddr, port: u16) -> String {
    // RFC 8445 section 5.1.2.1: 126 for hosts, then what we like better, then the component.
    let priority = (126_u32 << 24) | (u32::from(u16::MAX - index) << 8) | 255;
    format!("candidate:{} 1 udp {priority} {ip} {port} typ host", index + 1)
}

/// Whether it may stand in a foundation, a user name or a password of ICE.
pub(crate) fn is_ice_char(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/'
}

fn is_host(text: &str) -> bool {
    text.len() <= 253 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".:-_".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_candidate_is_written_plainly() {
        let line = "candidate:842163049 1 udp 1677729535 203.0.113.7 50000 typ srflx raddr 10.0.0.2 rport 50000 \
                    generation 0 ufrag abcd network-cost 999";
        let plain = parse(line).expect("a candidate").expect("of use");
        assert_eq!(plain, "842163049 1 udp 1677729535 203.0.113.7 50000 typ srflx");
        assert_eq!(parse(&format!("a={line}\r\n")).expect("the same"), Some(plain));
        assert!(parse("candidate:1 1 UDP 1 2001:db8::7 5000 typ host").expect("version 6").is_some());
    }

    #[test]
    fn what_is_of_no_use_is_left_out() {
        for line in [
            "",
            "candidate:",
            "end-of-candidates",
            "candidate:1 1 udp 2113937151 7a1b1c2d-0000-4000-8000-1234567890ab.local 51234 typ host",
            "candidate:1 1 tcp 1518280447 192.0.2.1 9 typ host tcptype active",
            "candidate:1 2 udp 1518280447 192.0.2.1 9000 typ host",
        ] {
            assert_eq!(parse(line).expect(line), None, "{line}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for line in [
            "hello",
            "candidate:1 1 udp x 192.0.2.1 9 typ host",
            "candidate:1 1 udp 1 192.0.2.1 99999 typ host",
            "candidate:1 1 udp 1 192.0.2.1 0 typ host",
            "candidate:1 1 udp 1 0.0.0.0 5000 typ host",
            "candidate:1 1 udp 1 192.0.2.1 5000 typ moon",
            "candidate:1 1 udp 1 192.0.2.1/8 5000 typ host",
            "candidate:! 1 udp 1 192.0.2.1 5000 typ host",
        ] {
            assert!(matches!(parse(line), Err(Error::BadCandidate { .. })), "{line}");
        }
        assert!(parse(&"x".repeat(10_000)).is_err());
    }
}
