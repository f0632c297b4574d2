//! SIP messages as the dialog layer sees them: plain strings and bytes, no parser's types.
//!
//! Values come from the network and are never trusted: every reader here returns an `Option` and cannot panic.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;

use crate::stack::Transport;

/// A request method.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Method {
    Invite,
    Ack,
    Cancel,
    Bye,
    Options,
    Info,
    Update,
    Prack,
    Refer,
    Notify,
    /// Taken where there are accounts, and sent to other registrars.
    Register,
    /// Any other; the flag says whether an RFC defines it (then it is refused with 405, else with 501).
    Other(String),
}

/// What this endpoint accepts, for `Allow`.
pub(crate) const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE, PRACK, REFER, NOTIFY";

impl Method {
    pub(crate) fn parse(name: &str) -> Self {
        match name {
            "INVITE" => Self::Invite,
            "ACK" => Self::Ack,
            "CANCEL" => Self::Cancel,
            "BYE" => Self::Bye,
            "OPTIONS" => Self::Options,
            "INFO" => Self::Info,
            "UPDATE" => Self::Update,
            "PRACK" => Self::Prack,
            "REFER" => Self::Refer,
            "NOTIFY" => Self::Notify,
            "REGISTER" => Self::Register,
            other => Self::Other(other.to_owned()),
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Invite => "INVITE",
            Self::Ack => "ACK",
            Self::Cancel => "CANCEL",
            Self::Bye => "BYE",
            Self::Options => "OPTIONS",
            Self::Info => "INFO",
            Self::Update => "UPDATE",
            Self::Prack => "PRACK",
            Self::Refer => "REFER",
            Self::Notify => "NOTIFY",
            Self::Register => "REGISTER",
            Self::Other(name) => name,
        }
    }

    /// Whether an RFC defines this method, though this endpoint does not take it.
    pub(crate) fn is_registered(&self) -> bool {
        !matches!(self, Self::Other(name)
            if !matches!(name.as_str(), "SUBSCRIBE" | "PUBLISH" | "MESSAGE"))
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Header fields in order, with canonical names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Headers(Vec<(String, String)>);

impl Headers {
    pub(crate) fn push(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.push((name.into(), value.into()));
    }

    /// Puts this value in the place of the first of its name, or at the end.
    pub(crate) fn set(&mut self, name: &str, value: impl Into<String>) {
        match self.0.iter_mut().find(|(n, _)| n.eq_ignore_ascii_case(name)) {
            Some((_, old)) => *old = value.into(),
            None => self.push(name, value),
        }
    }

    #[cfg(test)]
    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.push(name, value);
        self
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v)
    }

    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.iter().filter(move |(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(n, v)| (n.as_str(), v.as_str()))
    }

    /// The elements of a comma-separated header, over all of its fields, trimmed. Commas in quotes and in `<…>` do
    /// not separate.
    pub(crate) fn list<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.all(name).flat_map(split_list).map(str::trim).filter(|v| !v.is_empty())
    }

    /// Whether a comma-separated header has this token.
    pub(crate) fn lists(&self, name: &str, token: &str) -> bool {
        self.list(name).any(|t| t.eq_ignore_ascii_case(token))
    }
}

/// A received or outgoing request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) uri: String,
    pub(crate) headers: Headers,
    pub(crate) body: Bytes,
}

/// A received response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Response {
    pub(crate) code: u16,
    pub(crate) reason: String,
    pub(crate) headers: Headers,
    pub(crate) body: Bytes,
}

/// A response to be sent: the parts that the transaction does not copy from the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) code: u16,
    pub(crate) reason: String,
    /// Put on `To` when the request's has none.
    pub(crate) to_tag: Option<String>,
    pub(crate) headers: Headers,
    pub(crate) body: Bytes,
}

impl Reply {
    pub(crate) fn new(code: u16) -> Self {
        Self {
            code,
            reason: reason_phrase(code).to_owned(),
            to_tag: None,
            headers: Headers::default(),
            body: Bytes::new(),
        }
    }

    pub(crate) fn tag(mut self, tag: &str) -> Self {
        self.to_tag = Some(tag.to_owned());
        self
    }

    pub(crate) fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push(name, value);
        self
    }

    pub(crate) fn because(mut self, reason: &str) -> Self {
        if !reason.is_empty() {
            reason.clone_into(&mut self.reason);
        }
        self
    }

    pub(crate) fn body(mut self, content_type: &str, body: impl Into<Bytes>) -> Self {
        self.headers.push("Content-Type", content_type);
        self.body = body.into();
        self
    }
}

/// The number and the method of `CSeq`.
pub(crate) fn cseq(headers: &Headers) -> Option<(u32, Method)> {
    let mut parts = headers.get("CSeq")?.split_ascii_whitespace();
    Some((parts.next()?.parse().ok()?, Method::parse(parts.next()?)))
}

/// The `tag` of `From` or `To`.
pub(crate) fn tag(headers: &Headers, name: &str) -> Option<String> {
    headers.get(name).and_then(|v| NameAddr::parse(v).param("tag").map(str::to_owned))
}

/// The first word of a header such as `Content-Type` or `Event`, lower case, without parameters.
pub(crate) fn bare(value: &str) -> String {
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// A parameter of a header value (`;name=value`), after the part that [`bare`] gives.
pub(crate) fn param<'a>(value: &'a str, name: &str) -> Option<&'a str> {
    value.split(';').skip(1).find_map(|p| {
        let (n, v) = p.split_once('=').unwrap_or((p, ""));
        n.trim().eq_ignore_ascii_case(name).then(|| v.trim().trim_matches('"'))
    })
}

/// A `name-addr` or `addr-spec` with its header parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NameAddr<'a> {
    pub(crate) display: &'a str,
    pub(crate) uri: &'a str,
    params: &'a str,
}

impl<'a> NameAddr<'a> {
    pub(crate) fn parse(value: &'a str) -> Self {
        let value = value.trim();
        let Some(open) = find_unquoted(value, '<') else {
            // An addr-spec: parameters after it belong to the header (RFC 3261 §20.10).
            let (uri, params) = value.split_at(value.find(';').unwrap_or(value.len()));
            return Self { display: "", uri: uri.trim(), params };
        };
        let display = value.get(..open).unwrap_or_default().trim().trim_matches('"');
        let rest = value.get(open + 1..).unwrap_or_default();
        let (uri, params) = rest.split_once('>').unwrap_or((rest, ""));
        Self { display, uri: uri.trim(), params }
    }

    pub(crate) fn param(&self, name: &str) -> Option<&'a str> {
        param(self.params, name)
    }
}

/// The value of `From` or `To` without its parameters, for use in the requests of a dialog.
pub(crate) fn without_params(value: &str) -> String {
    let addr = NameAddr::parse(value);
    if addr.display.is_empty() {
        format!("<{}>", addr.uri)
    } else {
        format!("\"{}\" <{}>", addr.display.replace('"', "'"), addr.uri)
    }
}

/// The parts of a `sip:` URI that routing needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SipUri<'a> {
    pub(crate) user: &'a str,
    /// Without brackets if an IPv6 address.
    pub(crate) host: &'a str,
    pub(crate) port: Option<u16>,
    /// `sips:`, where everything on the way has to be TLS (RFC 3261 §19.1).
    pub(crate) sips: bool,
    params: &'a str,
}

impl<'a> SipUri<'a> {
    /// Reads `sip:user@host:port;params?headers`; `None` for another scheme or without a host.
    pub(crate) fn parse(uri: &'a str) -> Option<Self> {
        let (scheme, rest) = uri.trim().split_once(':')?;
        let sips = scheme.eq_ignore_ascii_case("sips");
        if !sips && !scheme.eq_ignore_ascii_case("sip") {
            return None;
        }
        let rest = rest.split('?').next().unwrap_or(rest);
        let (user, rest) = rest.split_once('@').unwrap_or(("", rest));
        let (hostport, params) = rest.split_at(rest.find(';').unwrap_or(rest.len()));
        let (host, port) = if let Some(inner) = hostport.strip_prefix('[') {
            let (host, tail) = inner.split_once(']')?;
            (host, tail.strip_prefix(':'))
        } else {
            hostport.split_once(':').map_or((hostport, None), |(h, p)| (h, Some(p)))
        };
        let port = match port {
            Some(port) => Some(port.trim().parse().ok()?),
            None => None,
        };
        (!host.is_empty()).then_some(Self { user, host: host.trim(), port, sips, params })
    }

    pub(crate) fn param(&self, name: &str) -> Option<&'a str> {
        param(self.params, name)
    }

    /// Where the URI points, if its host is an address and not a name.
    pub(crate) fn addr(&self) -> Option<SocketAddr> {
        let ip: IpAddr = self.host.parse().ok()?;
        Some(SocketAddr::new(ip, self.port_or_usual()))
    }

    /// Its port, or the one that its transport usually has (RFC 3263 §4.2).
    pub(crate) fn port_or_usual(&self) -> u16 {
        self.port.unwrap_or(if self.transport() == Some(Transport::Tls) { 5061 } else { 5060 })
    }

    /// The transport that it asks for, if it is one of ours. `sips:` is TLS (RFC 3261 §26.2.2).
    pub(crate) fn transport(&self) -> Option<Transport> {
        let named = self.param("transport").map(str::to_ascii_lowercase);
        match named.as_deref() {
            _ if self.sips => Some(Transport::Tls),
            Some("tls") => Some(Transport::Tls),
            Some("tcp") => Some(Transport::Tcp),
            Some("udp") => Some(Transport::Udp),
            _ => None,
        }
    }
}

/// The body of this content type: the whole body, or the first fitting part of a multipart body (RFC 5621).
pub(crate) fn body_of(headers: &Headers, body: &Bytes, wanted: &str) -> Option<Bytes> {
    let content_type = headers.get("Content-Type")?;
    let kind = bare(content_type);
    if kind == wanted {
        return Some(body.clone());
    }
    if !kind.starts_with("multipart/") {
        return None;
    }
    let boundary = format!("--{}", param(content_type, "boundary")?);
    let text = std::str::from_utf8(body).ok()?;
    text.split(&boundary).skip(1).find_map(|part| {
        let (head, content) = part.split_once("\r\n\r\n")?;
        let fits = head.lines().any(|line| {
            line.split_once(':').is_some_and(|(name, value)| {
                matches!(name.trim().to_ascii_lowercase().as_str(), "content-type" | "c")
                    && bare(value) == wanted
            })
        });
        fits.then(|| Bytes::copy_from_slice(content.as_bytes()))
    })
}

/// The usual words for a status code.
pub(crate) fn reason_phrase(code: u16) -> &'static str {
    match code {
        100 => "Trying",
        180 => "Ringing",
        183 => "Session Progress",
        200 => "OK",
        202 => "Accepted",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        413 => "Request Entity Too Large",
        415 => "Unsupported Media Type",
        416 => "Unsupported URI Scheme",
        420 => "Bad Extension",
        422 => "Session Interval Too Small",
        423 => "Interval Too Brief",
        480 => "Temporarily Unavailable",
        481 => "Call/Transaction Does Not Exist",
        482 => "Loop Detected",
        486 => "Busy Here",
        487 => "Request Terminated",
        488 => "Not Acceptable Here",
        489 => "Bad Event",
        491 => "Request Pending",
        500 => "Server Internal Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        504 => "Server Time-out",
        505 => "Version Not Supported",
        600 => "Busy Everywhere",
        603 => "Decline",
        _ => "Unspecified",
    }
}

/// Splits at commas that are outside quotes and outside `<…>`.
fn split_list(value: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    let mut escaped = false;
    let mut angle = false;
    value.split(move |c: char| {
        let special = !std::mem::take(&mut escaped);
        match c {
            '\\' if quoted && special => escaped = true,
            '"' if special => quoted = !quoted,
            '<' if !quoted => angle = true,
            '>' if !quoted => angle = false,
            ',' => return !quoted && !angle,
            _ => {}
        }
        false
    })
}

fn find_unquoted(value: &str, wanted: char) -> Option<usize> {
    let mut quoted = false;
    let mut escaped = false;
    value.char_indices().find_map(|(i, c)| {
        if std::mem::take(&mut escaped) {
            return None;
        }
        match c {
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            c if c == wanted && !quoted => return Some(i),
            _ => {}
        }
        None
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_addr_gives_its_parts_even_with_brackets_in_the_name() {
        let addr = NameAddr::parse(r#""A <b> \" c" <sip:1@h;x=y>;tag=abc;q=1"#);
        assert_eq!((addr.uri, addr.param("tag")), ("sip:1@h;x=y", Some("abc")));
        let spec = NameAddr::parse("sip:1@h;tag=z");
        assert_eq!((spec.uri, spec.param("tag")), ("sip:1@h", Some("z")));
    }

    #[test]
    fn a_list_is_not_cut_inside_quotes_or_brackets() {
        let headers =
            Headers::default().with("Contact", r#""a, b" <sip:x,y@h>, <sip:z@h>"#).with("Contact", "c");
        let values: Vec<_> = headers.list("contact").collect();
        assert_eq!(values, [r#""a, b" <sip:x,y@h>"#, "<sip:z@h>", "c"]);
    }

    #[test]
    fn a_uri_gives_its_address_and_transport() {
        let uri = SipUri::parse("sip:400;x=1@[::1]:5070;transport=TCP;lr?a=b").expect("a SIP URI");
        assert_eq!((uri.user, uri.host, uri.port), ("400;x=1", "::1", Some(5070)));
        assert_eq!(uri.param("transport"), Some("TCP"));
        assert_eq!(uri.addr(), "[::1]:5070".parse().ok());
        assert_eq!(SipUri::parse("tel:+86400"), None);
        assert_eq!(SipUri::parse("sip:x@h:99999"), None);
    }

    #[test]
    fn the_sdp_is_found_in_a_multipart_body() {
        let headers = Headers::default().with("Content-Type", "multipart/mixed;boundary=\"b1\"");
        let body = Bytes::from_static(
            b"--b1\r\nContent-Type: application/isup\r\n\r\nxx\r\n--b1\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n\r\n--b1--",
        );
        let sdp = body_of(&headers, &body, "application/sdp").expect("an SDP part");
        assert!(sdp.starts_with(b"v=0"), "{sdp:?}");
    }

    proptest! {
        #[test]
        fn no_header_value_makes_a_reader_panic(value in ".{0,120}") {
            let addr = NameAddr::parse(&value);
            let _ = (addr.param("tag"), without_params(&value), bare(&value), param(&value, "x"));
            let _ = SipUri::parse(&value).map(|uri| (uri.addr(), uri.param("lr").is_some()));
            let headers = Headers::default().with("CSeq", value.as_str()).with("From", value.as_str());
            let _ = (cseq(&headers), tag(&headers, "From"), headers.list("From").count());
        }
    }
}
