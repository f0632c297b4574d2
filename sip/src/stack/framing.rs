//! Cutting a TCP stream into messages, and the best-effort answer to what cannot be read.

use bytes::{Buf, Bytes, BytesMut};

/// Largest header section taken from a stream, bytes.
const MAX_HEAD: usize = 64 * 1024;
/// Largest body taken from a stream, bytes.
const MAX_BODY: u64 = 256 * 1024;

/// What the next bytes of a stream are.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame {
    /// One whole message.
    Message(Bytes),
    /// A keep-alive that wants a CRLF back (RFC 5626 §4.4.1).
    Ping,
    /// The stream cannot be cut any more: the head of the offending message, and why.
    Lost { head: Bytes, reason: &'static str },
}

/// Frames messages by `Content-Length` (RFC 3261 §18.3). After [`Frame::Lost`] it gives nothing more.
#[derive(Debug, Default)]
pub(super) struct Framer {
    buffer: BytesMut,
    /// Where to look on for the end of the head.
    scanned: usize,
    lost: bool,
}

impl Framer {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        if !self.lost {
            self.buffer.extend_from_slice(bytes);
        }
    }

    pub(super) fn next(&mut self) -> Option<Frame> {
        if self.lost {
            return None;
        }
        if self.buffer.starts_with(b"\r\n\r\n") {
            self.buffer.advance(4);
            self.scanned = 0;
            return Some(Frame::Ping);
        }
        while self.buffer.starts_with(b"\r\n") && self.buffer.len() > 2 && !self.buffer.starts_with(b"\r\n\r")
        {
            self.buffer.advance(2);
            self.scanned = 0;
        }
        let from = self.scanned.min(self.buffer.len());
        let Some(end) = find(self.buffer.get(from..).unwrap_or_default(), b"\r\n\r\n").map(|i| i + from)
        else {
            self.scanned = self.buffer.len().saturating_sub(3);
            return (self.buffer.len() > MAX_HEAD).then(|| self.lose(MAX_HEAD, "header section too long"));
        };
        let head = self.buffer.get(..end).unwrap_or_default();
        let length = match content_length(head) {
            Ok(Some(length)) if length <= MAX_BODY => length as usize,
            Ok(Some(_)) => return Some(self.lose(end, "Content-Length too large")),
            Ok(None) => return Some(self.lose(end, "no Content-Length on a stream")),
            Err(reason) => return Some(self.lose(end, reason)),
        };
        let whole = end + 4 + length;
        if self.buffer.len() < whole {
            return None;
        }
        self.scanned = 0;
        Some(Frame::Message(self.buffer.split_to(whole).freeze()))
    }

    fn lose(&mut self, head: usize, reason: &'static str) -> Frame {
        self.lost = true;
        let head = self.buffer.split_to(head.min(self.buffer.len())).freeze();
        self.buffer = BytesMut::new();
        Frame::Lost { head, reason }
    }
}

fn content_length(head: &[u8]) -> Result<Option<u64>, &'static str> {
    let mut found = None;
    for (name, value) in fields(head) {
        if name.eq_ignore_ascii_case(b"content-length") || name.eq_ignore_ascii_case(b"l") {
            let value = std::str::from_utf8(&value).ok().map(str::trim).unwrap_or_default();
            if value.is_empty() || !value.bytes().all(|b| b.is_ascii_digit()) {
                return Err("Content-Length is not a number");
            }
            let length = value.parse().unwrap_or(u64::MAX);
            if found.is_some_and(|f| f != length) {
                return Err("two different Content-Lengths");
            }
            found = Some(length);
        }
    }
    Ok(found)
}

/// The header fields of a head, unfolded, without the start line. Lines that are no fields are left out.
pub(super) fn fields(head: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut out: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    for line in head.split(|&b| b == b'\n').skip(1) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            break;
        }
        if line.starts_with(b" ") || line.starts_with(b"\t") {
            if let Some((_, value)) = out.last_mut() {
                value.push(b' ');
                value.extend_from_slice(line.trim_ascii());
            }
        } else if let Some(colon) = line.iter().position(|&b| b == b':') {
            let (name, value) = line.split_at(colon);
            out.push((name.trim_ascii().to_vec(), value.get(1..).unwrap_or_default().trim_ascii().to_vec()));
        }
    }
    out
}

/// The answer to a request that cannot be parsed or must not be processed (RFC 3261 §8.2.6), and the value of its
/// top `Via`. `None` where no answer is due or none can be addressed: a response, an ACK, a head without `Via`.
pub(super) fn refuse(head: &[u8], code: u16, reason: &str, tag: &str) -> Option<(Vec<u8>, Vec<u8>)> {
    let start = head.split(|&b| b == b'\n').next()?;
    if start.starts_with(b"SIP/") || start.starts_with(b"ACK ") || find(start, b" SIP/").is_none() {
        return None;
    }
    let fields = fields(head);
    let mut out = format!("SIP/2.0 {code} {reason}\r\n").into_bytes();
    let mut via = None;
    let wanted: [(&[u8], &[u8]); 5] =
        [(b"Via", b"v"), (b"From", b"f"), (b"To", b"t"), (b"Call-ID", b"i"), (b"CSeq", b"CSeq")];
    for (name, compact) in wanted {
        for (field, value) in &fields {
            if !field.eq_ignore_ascii_case(name) && !field.eq_ignore_ascii_case(compact) {
                continue;
            }
            out.extend_from_slice(name);
            out.extend_from_slice(b": ");
            out.extend(value.iter().filter(|b| !matches!(b, b'\r' | b'\n' | 0)));
            if name == b"Via" {
                via.get_or_insert_with(|| value.clone());
            }
            if name == b"To" && find(&value.to_ascii_lowercase(), b"tag=").is_none() {
                out.extend_from_slice(b";tag=");
                out.extend_from_slice(tag.as_bytes());
            }
            out.extend_from_slice(b"\r\n");
        }
    }
    out.extend_from_slice(b"Content-Length: 0\r\n\r\n");
    via.map(|via| (out, via))
}

pub(super) fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|w| w == needle)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frames(framer: &mut Framer) -> Vec<Frame> {
        std::iter::from_fn(|| framer.next()).collect()
    }

    #[test]
    fn a_message_in_pieces_and_two_in_one_piece_come_out_whole() {
        let one = b"OPTIONS sip:a SIP/2.0\r\nl: 3\r\n\r\nabc";
        for step in [1, 2, 5, 100] {
            let mut framer = Framer::default();
            let mut out = Vec::new();
            for piece in [&one[..], &one[..]].concat().chunks(step) {
                framer.push(piece);
                out.extend(frames(&mut framer));
            }
            let whole = Frame::Message(Bytes::from_static(one));
            assert_eq!(out, [whole, Frame::Message(Bytes::from_static(one))], "in pieces of {step}");
        }
    }

    #[test]
    fn a_length_that_no_one_can_hold_loses_the_stream_at_once() {
        for length in ["18446744073709551615", "99999999999999999999999", "-1", "x"] {
            let mut framer = Framer::default();
            framer.push(format!("INVITE sip:a SIP/2.0\r\nContent-Length: {length}\r\n\r\n").as_bytes());
            assert!(matches!(framer.next(), Some(Frame::Lost { .. })), "Content-Length {length}");
            framer.push(b"OPTIONS sip:a SIP/2.0\r\nl: 0\r\n\r\n");
            assert_eq!(framer.next(), None, "nothing more after lost framing");
        }
    }

    #[test]
    fn a_keep_alive_between_messages_asks_for_its_answer() {
        let mut framer = Framer::default();
        framer.push(b"\r\n\r\n\r\nA sip:a SIP/2.0\r\nl: 0\r\n\r\n");
        assert_eq!(framer.next(), Some(Frame::Ping));
        assert!(matches!(framer.next(), Some(Frame::Message(_))));
    }

    proptest! {
        #[test]
        fn arbitrary_streams_never_panic(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..20)) {
            let mut framer = Framer::default();
            for chunk in chunks {
                framer.push(&chunk);
                while let Some(frame) = framer.next() {
                    if let Frame::Lost { head, .. } = frame {
                        let _ = refuse(&head, 400, "Bad Request", "t");
                    }
                }
            }
        }
    }
}
