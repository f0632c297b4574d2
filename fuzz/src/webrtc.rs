//! What web pages send: offers, candidates, and datagrams to the port of a call.

use std::time::Duration;

use nightline_rtc::fuzzing::{Link, candidate, decrypted, offer};

use crate::reader::{Reader, origin};

/// Steps of one input that are taken.
const STEPS: usize = 48;

/// The first octet tells what it is: `c` a candidate, `p` and `q` a packet after decryption, `l` what happens between the two
/// engines of a call; all others are the first of an offer.
pub fn webrtc(data: &[u8]) {
    let Some((&what, rest)) = data.split_first() else { return };
    match what {
        b'c' => drop(candidate(&String::from_utf8_lossy(rest))),
        b'p' | b'q' => {
            let read = decrypted(rest, what == b'q').unwrap_or_default();
            assert!(read.len() <= rest.len() + 64, "{} octets of {}", read.len(), rest.len());
        }
        b'l' => link(rest),
        _ => {
            if let Ok(length) = offer(&String::from_utf8_lossy(data)) {
                assert!(length <= 2048 + 8 * data.len(), "an answer of {length} octets to {}", data.len());
            }
        }
    }
}

/// The browser's datagrams, whole, changed, lost, twice, and those of others.
fn link(data: &[u8]) {
    let mut input = Reader(data);
    let Ok(mut link) = Link::new(origin()) else { panic!("no link") };
    let mut last = Vec::new();
    for _ in 0..STEPS {
        if input.is_empty() {
            break;
        }
        let step = input.byte();
        let sent = match step & 7 {
            0..=2 => match link.theirs() {
                Some(datagram) => {
                    last = datagram;
                    link.deliver(&last, false)
                }
                None => link.pass(Duration::from_millis(50)),
            },
            3 => {
                last = link.theirs().unwrap_or(last);
                if !last.is_empty() {
                    let place = usize::from(input.word()) % last.len();
                    last[place] ^= input.byte().max(1);
                    last.truncate(last.len() - usize::from(step >> 4) % last.len());
                }
                link.deliver(&last, step & 8 != 0)
            }
            4 => {
                let length = usize::from(input.word()) % 1600;
                link.deliver(input.octets(length), step & 8 != 0)
            }
            5 => link.deliver(&last, step & 8 != 0),
            6 => {
                last = link.theirs().unwrap_or(last);
                0
            }
            _ => link.pass(input.time()),
        };
        assert!(sent <= 64, "{sent} datagrams are sent at once");
    }
    assert!(link.heard() <= 64);
    let _ = link.is_opened();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_that_nobody_disturbs_is_opened() {
        let mut link = Link::new(origin()).expect("a link");
        for _ in 0..200 {
            match link.theirs() {
                Some(datagram) => drop(link.deliver(&datagram, false)),
                None => drop(link.pass(Duration::from_millis(20))),
            }
        }
        assert!(link.is_opened(), "the search would not come further than the first datagrams");
    }
}
