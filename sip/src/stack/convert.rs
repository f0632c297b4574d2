//! Between our plain messages and those of the parser.

use bytes::Bytes;
use sipx_sip as sip;

use crate::message::{Headers, Method, Reply, Request};

pub(super) fn request_from(request: &sip::Request) -> Request {
    Request {
        method: Method::parse(&String::from_utf8_lossy(request.method.as_bytes())),
        uri: String::from_utf8_lossy(&request.uri.to_bytes()).into_owned(),
        headers: headers_from(&request.headers),
        body: request.body().clone(),
    }
}

pub(super) fn headers_from(headers: &sip::Headers) -> Headers {
    let mut out = Headers::default();
    for header in headers.iter() {
        let name = String::from_utf8_lossy(header.name().canonical()).into_owned();
        out.push(name, String::from_utf8_lossy(&header.value()).trim());
    }
    out
}

pub(super) fn response_to(request: &sip::Request, reply: &Reply) -> Option<sip::Response> {
    let status = sip::StatusCode::new(reply.code)?;
    let mut builder = sip::ResponseBuilder::to_request(request, status, one_line(&reply.reason)).ok()?;
    if reply.code > 100
        && let Some(tag) = &reply.to_tag
    {
        let to = request.headers.value(&sip::HeaderName::To)?;
        if sip::Address::parse(&to, "To").is_ok_and(|to| to.tag().is_none()) {
            let value = [&to[..], b";tag=", tag.as_bytes()].concat();
            // A NUL in a display name is legal (RFC 4475 §3.1.1.2) but not to be built: such a `To` goes back as it came.
            if sip::Header::build(sip::HeaderName::To, value.clone()).is_ok() {
                builder = builder.set_header(&sip::HeaderName::To, value).ok()?;
            }
        }
    }
    if reply.code < 300 {
        // RFC 3261 §12.1.1: what makes a dialog carries the route back.
        for route in request.headers.get_all(&sip::HeaderName::RecordRoute) {
            builder = builder.header(sip::HeaderName::RecordRoute, route.value().into_owned()).ok()?;
        }
    }
    for (name, value) in reply.headers.iter() {
        let name = sip::HeaderName::parse(&Bytes::copy_from_slice(name.as_bytes()));
        builder = builder.header(name, one_line(value)).ok()?;
    }
    Some(builder.body(reply.body.clone()).build())
}

pub(super) fn write_headers(out: &mut String, headers: &Headers) {
    for (name, value) in headers.iter() {
        if name.eq_ignore_ascii_case("Content-Length") {
            continue;
        }
        out.push_str(&one_line(name));
        out.push_str(": ");
        out.push_str(&one_line(value));
        out.push_str("\r\n");
    }
}

/// A value with nothing in it that could begin another line.
pub(super) fn one_line(value: &str) -> String {
    value.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
