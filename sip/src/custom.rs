//! Headers that an application adds: checked before they go into a message, and carried inside of URIs.
//!
//! What comes from outside (a caller's name, a model's words) may end up in a header. A line break in it would begin
//! another header, so it is an error here and never a message.

use std::fmt::Write;

use crate::error::Error;

/// Longest name, octets.
const MAX_NAME: usize = 64;
/// Longest value, octets.
const MAX_VALUE: usize = 1024;
/// All of them together, octets, where they may have to fit into one UDP datagram (RFC 3261 §18.1.1).
pub(crate) const MAX_DATAGRAM: usize = 1024;
/// All of them together, octets, on a stream.
pub(crate) const MAX_STREAM: usize = 8192;

/// Headers that the endpoint sets itself, or that would change what a message is.
const RESERVED: [&str; 46] = [
    "accept",
    "allow",
    "authorization",
    "b",
    "c",
    "call-id",
    "contact",
    "content-disposition",
    "content-encoding",
    "content-length",
    "content-type",
    "cseq",
    "d",
    "date",
    "e",
    "event",
    "expires",
    "f",
    "from",
    "i",
    "k",
    "l",
    "m",
    "max-forwards",
    "mime-version",
    "min-se",
    "o",
    "proxy-authorization",
    "proxy-require",
    "r",
    "rack",
    "record-route",
    "refer-to",
    "require",
    "route",
    "rseq",
    "s",
    "session-expires",
    "subscription-state",
    "supported",
    "t",
    "timestamp",
    "to",
    "user-agent",
    "v",
    "via",
];

/// Whether these headers may be sent as they are, in at most `most` octets.
pub(crate) fn check(headers: &[(String, String)], most: usize) -> Result<(), Error> {
    let bad = |name: &str, reason: String| Error::Header { name: name.chars().take(80).collect(), reason };
    let mut total = 0;
    for (name, value) in headers {
        let token = |b: u8| b.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&b);
        if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(token) {
            return Err(bad(name, format!("a name is 1 to {MAX_NAME} letters, digits and -")));
        }
        if RESERVED.contains(&name.to_ascii_lowercase().as_str()) {
            return Err(bad(name, "the endpoint sets it itself".to_owned()));
        }
        if value.chars().any(char::is_control) {
            return Err(bad(name, "its value has a line break or another control character".to_owned()));
        }
        if value.trim().is_empty() {
            return Err(bad(name, "its value is empty".to_owned()));
        }
        if value.len() > MAX_VALUE {
            return Err(bad(name, format!("its value is {} octets, over {MAX_VALUE}", value.len())));
        }
        total += name.len() + value.len() + 4;
        if total > most {
            return Err(bad(
                name,
                format!("with it all headers are over {most} octets, too much for the way"),
            ));
        }
    }
    Ok(())
}

/// Whether this can stand between `<` and `>` in a header.
pub(crate) fn is_plain_uri(uri: &str) -> bool {
    !uri.is_empty() && uri.len() <= MAX_VALUE && !uri.chars().any(|c| c.is_control() || "<>\" ".contains(c))
}

/// A URI that carries headers for the request that is made of it (RFC 3261 §19.1.1).
pub(crate) fn with_headers(uri: &str, headers: &[(String, String)]) -> String {
    let mut out = uri.to_owned();
    for (name, value) in headers {
        out.push(if out.contains('?') { '&' } else { '?' });
        escape_into(&mut out, name);
        out.push('=');
        escape_into(&mut out, value);
    }
    out
}

/// Everything that is not unreserved (RFC 3261 §25.1) as `%XX`, octet by octet.
fn escape_into(out: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.!~*'()".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

/// A URI without the headers that it carries, and those of them that a peer may set in a call of ours
/// (RFC 3261 §19.1.5): what a transfer needs, and no more.
pub(crate) fn split_headers(uri: &str) -> (String, Vec<(String, String)>) {
    let Some((bare, carried)) = uri.split_once('?') else { return (uri.to_owned(), Vec::new()) };
    let headers = carried
        .split('&')
        .filter_map(|pair| {
            let (name, value) = pair.split_once('=')?;
            Some((unescape(name)?, unescape(value)?))
        })
        .filter(|(name, _)| {
            let name = name.to_ascii_lowercase();
            name.starts_with("x-") || matches!(name.as_str(), "replaces" | "referred-by" | "user-to-user")
        })
        .collect();
    (bare.to_owned(), headers)
}

fn unescape(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let high = char::from(bytes.next()?).to_digit(16)?;
            let low = char::from(bytes.next()?).to_digit(16)?;
            out.push((high * 16 + low) as u8);
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn a_header_that_would_be_two_or_replace_ours_is_an_error() {
        for (name, value) in [
            ("X-Note", "a\r\nVia: forged"),
            ("X-Note", "a\nb"),
            ("X-Note", "a\0b"),
            ("X-Note\r\nVia", "a"),
            ("X Note", "a"),
            ("X-Note:", "a"),
            ("", "a"),
            ("X-Note", " "),
            ("Via", "SIP/2.0/UDP h"),
            ("content-length", "0"),
            ("L", "0"),
            ("Contact", "<sip:a@b>"),
            ("Refer-To", "<sip:a@b>"),
        ] {
            let told = check(&[pair(name, value)], MAX_STREAM);
            assert!(matches!(told, Err(Error::Header { .. })), "{name:?}: {value:?}");
        }
        let good = [pair("X-Note", "维修 \"quoted\""), pair("User-to-User", "00;encoding=hex")];
        assert!(check(&good, MAX_DATAGRAM).is_ok());
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        assert!(check(&[pair("X-A", &"a".repeat(1025))], MAX_STREAM).is_err());
        let three: Vec<_> = (0..3).map(|_| pair("X-A", &"a".repeat(500))).collect();
        assert!(check(&three, MAX_STREAM).is_ok());
        assert!(check(&three, MAX_DATAGRAM).is_err());
    }

    #[test]
    fn carried_headers_are_escaped_and_come_back() {
        let carried = [pair("Replaces", "a@b;to-tag=1;from-tag=2"), pair("X-客", "x")];
        let uri = with_headers("sip:s@h;transport=tcp", &carried[..1]);
        assert_eq!(uri, "sip:s@h;transport=tcp?Replaces=a%40b%3Bto-tag%3D1%3Bfrom-tag%3D2");
        assert_eq!(split_headers(&uri), ("sip:s@h;transport=tcp".to_owned(), carried[..1].to_vec()));
        assert!(with_headers("sip:s@h?a=b", &carried).contains("?a=b&Replaces="));
    }

    #[test]
    fn a_peer_cannot_set_any_header_by_a_uri() {
        let (uri, headers) = split_headers("sip:s@h?Via=x&From=y&X-Ok=1&body=v%3D0&Replaces=%zz");
        assert_eq!((uri.as_str(), headers), ("sip:s@h", vec![pair("X-Ok", "1")]));
    }

    proptest! {
        #[test]
        fn any_value_comes_back_from_a_uri(value in "[^\\p{Cc}]{0,60}") {
            let headers = [pair("X-Any", &value)];
            let uri = with_headers("sip:s@h", &headers);
            prop_assert!(is_plain_uri(&uri), "{}", uri);
            prop_assert_eq!(split_headers(&uri).1, headers);
        }

        #[test]
        fn no_uri_makes_the_reader_panic(uri in ".{0,60}") {
            let _ = split_headers(&uri);
        }
    }
}
