//! SIP and SDP: whole endpoints on virtual time, and the readers of single values.

use std::time::Duration;

use nightline_sip::fuzzing::{Door, authorization, description, header};
use nightline_sip::uui::Uui;

use crate::reader::origin;

/// Steps of one input that are taken.
const STEPS: usize = 64;

/// Everything that a peer can do to an endpoint, as a script. The first octet is the policy for SRTP. Each step begins with
/// `%%` and a letter: `u` is a datagram, `s` and `t` are octets on two connections (capitals: with CRLF for LF), `x` and `y`
/// close these, `w` lets time pass, `a` acts for the application, `d` makes a call, `r` registers. In messages `{tag}`,
/// `{branch}`, `{id}` and `{cseq}` stand for those of the endpoint's last message, `{auth}` for the right answer to its last
/// challenge.
pub fn signalling(data: &[u8]) {
    let (srtp, script) = data.split_first().map_or((0, data), |(first, rest)| (*first, rest));
    let Some(mut door) = Door::new(origin(), srtp) else { return };
    let mut known = Known::default();
    for step in split(script, b"%%").into_iter().skip(1).take(STEPS) {
        let Some((&what, rest)) = step.split_first() else { continue };
        let octets = known.fill(rest, what.is_ascii_uppercase());
        match what.to_ascii_lowercase() {
            b'u' => door.datagram(&octets),
            b's' => door.stream(1, &octets),
            b't' => door.stream(2, &octets),
            b'x' => door.hang_up_stream(1),
            b'y' => door.hang_up_stream(2),
            b'w' => door.pass(Duration::from_millis(25 << (rest.first().unwrap_or(&0) & 15))),
            b'a' => door.act(*rest.first().unwrap_or(&0)),
            b'd' => door.dial(),
            b'r' => door.register(),
            _ => {}
        }
        let sent = door.sent();
        // Time sends again what nobody has answered; what comes is answered, each message a few times at most.
        let most = if matches!(what, b'w' | b'W') { 4096 } else { 8 + octets.len() / 8 };
        assert!(sent.len() <= most, "{} messages for {} octets", sent.len(), octets.len());
        for message in sent {
            assert!(message.len() <= 8192 + 4 * data.len(), "{} octets are sent", message.len());
            well_formed(&message);
            known.learn(&message);
        }
    }
    door.hang_up_stream(1);
    door.hang_up_stream(2);
    let left = door.end();
    assert_eq!(left, None, "everything has ended");
}

/// A message of ours has one `Content-Length`, and it is right.
fn well_formed(message: &[u8]) {
    if message.iter().all(|octet| matches!(octet, b'\r' | b'\n')) {
        return;
    }
    let text = String::from_utf8_lossy(message);
    let end = message.windows(4).position(|four| four == b"\r\n\r\n");
    let end = end.unwrap_or_else(|| panic!("a message without an end: {text}"));
    let head = &message[..end];
    let mut lengths = Vec::new();
    for (index, line) in split(head, b"\r\n").into_iter().enumerate() {
        assert!(!line.is_empty() && !line.contains(&b'\n'), "a broken line: {text}");
        if index == 0 {
            assert!(line.starts_with(b"SIP/2.0 ") || line.ends_with(b" SIP/2.0"), "no start line: {text}");
        }
        let line = String::from_utf8_lossy(line).to_ascii_lowercase();
        lengths.extend(line.strip_prefix("content-length:").map(|length| length.trim().parse::<usize>()));
    }
    assert_eq!(lengths, [Ok(message.len() - end - 4)], "{text}");
}

/// What a peer can know of the endpoint.
#[derive(Default)]
struct Known {
    tag: String,
    branch: String,
    id: String,
    cseq: String,
    challenge: String,
}

impl Known {
    fn learn(&mut self, message: &[u8]) {
        let text = String::from_utf8_lossy(message);
        let field = |name: &str| {
            let found = text.lines().find_map(|line| {
                let (field, value) = line.split_once(':')?;
                field.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
            });
            found.unwrap_or_default()
        };
        let tag = |value: String| value.split_once("tag=").map(|(_, tag)| tag.to_owned());
        if text.starts_with("SIP/2.0") {
            self.tag = tag(field("To")).unwrap_or_default();
            let challenge = field("WWW-Authenticate");
            if !challenge.is_empty() {
                self.challenge = challenge;
            }
        } else {
            self.tag = tag(field("From")).unwrap_or_default();
            let via = field("Via");
            let branch = via.split(';').find_map(|part| part.strip_prefix("branch="));
            branch.unwrap_or_default().clone_into(&mut self.branch);
            field("Call-ID").clone_into(&mut self.id);
            field("CSeq").split(' ').next().unwrap_or_default().clone_into(&mut self.cseq);
        }
    }

    fn fill(&self, octets: &[u8], lines: bool) -> Vec<u8> {
        let mut out = Vec::with_capacity(octets.len());
        let octets = if lines { octets.strip_prefix(b"\n").unwrap_or(octets) } else { octets };
        let mut rest = octets;
        while let Some((&first, after)) = rest.split_first() {
            rest = after;
            match first {
                b'{' => {
                    let names: [(&[u8], &dyn Fn() -> String); 5] = [
                        (b"tag}", &|| self.tag.clone()),
                        (b"branch}", &|| self.branch.clone()),
                        (b"id}", &|| self.id.clone()),
                        (b"cseq}", &|| self.cseq.clone()),
                        (b"auth}", &|| self.authorization(octets).unwrap_or_default()),
                    ];
                    let found =
                        names.iter().find_map(|(name, value)| Some((rest.strip_prefix(*name)?, value)));
                    match found {
                        Some((after, value)) => {
                            rest = after;
                            out.extend_from_slice(value().as_bytes());
                        }
                        None => out.push(first),
                    }
                }
                b'\n' if lines => out.extend_from_slice(b"\r\n"),
                _ => out.push(first),
            }
        }
        out
    }

    fn authorization(&self, message: &[u8]) -> Option<String> {
        let text = String::from_utf8_lossy(message);
        let mut words = text.lines().next()?.split(' ');
        authorization(&self.challenge, words.next()?, words.next()?)
    }
}

fn split<'a>(octets: &'a [u8], separator: &[u8]) -> Vec<&'a [u8]> {
    let mut parts = Vec::new();
    let (mut rest, mut from) = (octets, 0);
    while let Some(at) = rest[from..].windows(separator.len()).position(|window| window == separator) {
        parts.push(&rest[..from + at]);
        rest = &rest[from + at + separator.len()..];
        from = 0;
    }
    parts.push(rest);
    parts
}

/// Session descriptions and single values. The first octet tells which: `h` is a header, `u` is User-to-User, all others are
/// terms for a description.
pub fn descriptions(data: &[u8]) {
    let Some((&what, rest)) = data.split_first() else { return };
    match what {
        b'h' => header(&String::from_utf8_lossy(rest)),
        b'u' => user_to_user(&String::from_utf8_lossy(rest)),
        terms => {
            if let Ok(length) = description(rest, terms) {
                assert!(length <= 2048 + 4 * rest.len(), "an answer of {length} octets to {}", rest.len());
            }
        }
    }
}

fn user_to_user(value: &str) {
    let Ok(read) = Uui::parse(value) else { return };
    assert!((1..=nightline_sip::uui::MAX_OTHER).contains(&read.data.len()));
    // What came may have a purpose that we would not send.
    if let Ok(written) = read.to_value() {
        assert_eq!(Uui::parse(&written).as_ref(), Ok(&read), "{written}");
    }
}
