//! The torture messages of RFC 4475 and RFC 5118: each is answered as the RFC wants, or as said here why not.

use std::path::Path;

use bytes::Bytes;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::*;
use crate::digest::Secret;
use crate::registrar::Account;
use crate::stack::{SipxStack, Wire};

/// The status of our first answer; 0 for silence.
fn answer(agent: &mut Agent<SipxStack>, message: &[u8], stream: bool) -> u16 {
    let now = crate::clock::now();
    let mut flow = Flow {
        transport: Transport::Udp,
        remote: "192.0.2.77:5060".parse().expect("an address"),
        local: "192.0.2.1:5060".parse().expect("an address"),
        listener: 0,
        connection: None,
        name: None,
    };
    if stream {
        flow = Flow { transport: Transport::Tcp, connection: Some(1), ..flow };
        agent.stream(now, message, flow);
    } else {
        agent.datagram(now, Bytes::copy_from_slice(message), flow);
    }
    let mut first = 0;
    while let Some(output) = agent.poll() {
        if let Output::Wire(Wire::Send { bytes, .. }) = output
            && first == 0
        {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            first = text.get(8..11).and_then(|code| code.parse().ok()).expect("a status line");
        }
    }
    first
}

fn agent() -> Agent<SipxStack> {
    agent_with(EndpointConfig::default())
}

fn agent_with(config: EndpointConfig) -> Agent<SipxStack> {
    let stack = SipxStack::new(StdRng::seed_from_u64(1));
    let listeners = vec![(Transport::Udp, "192.0.2.1:5060".parse().expect("an address"))];
    Agent::new(stack, config, listeners, StdRng::seed_from_u64(2)).expect("a good configuration")
}

const OPTIONS: &[u8] =
    b"OPTIONS sip:x@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.77;branch=z9hG4bKalive\r\n\
Max-Forwards: 70\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:x@192.0.2.1>\r\nCall-ID: alive\r\nCSeq: 1 OPTIONS\r\n\
Content-Length: 0\r\n\r\n";
const OPTIONS_AGAIN: &[u8] =
    b"OPTIONS sip:x@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.77;branch=z9hG4bKagain\r\n\
Max-Forwards: 70\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:x@192.0.2.1>\r\nCall-ID: alive\r\nCSeq: 2 OPTIONS\r\n\
Content-Length: 0\r\n\r\n";

/// What we answer to each message of RFC 4475; 0 is silence. Deviations and choices are said beside it.
const RFC4475: [(&str, u16); 49] = [
    ("wsinv", 481), // valid, and of a dialog that we do not have
    ("intmeth", 501),
    ("esc01", 100),
    ("escnull", 405), // REGISTER and MESSAGE are not for a voice bridge, whatever else is in them
    ("esc02", 501),
    ("lwsdisp", 200),
    ("longreq", 100),
    ("dblreq", 405),
    ("semiuri", 200),
    ("transports", 200),
    ("mpart01", 405),
    ("unreason", 0), // responses to nothing that we asked
    ("noreason", 0),
    ("clerr", 400),
    ("ncl", 400),
    ("ltgtruri", 400),
    ("lwsruri", 400),
    ("lwsstart", 400),
    ("trws", 400),
    ("bigcode", 0),
    ("badinv01", 400),
    ("scalar02", 400),
    ("scalarlg", 0),
    ("quotbal", 400),
    ("baddate", 100),  // nobody here reads Date; the RFC allows to ignore it
    ("regbadct", 405), // deviation: 405 comes before the Contact is read
    ("badaspec", 400),
    ("baddn", 400),
    ("escruri", 400),
    ("badvers", 505),
    ("mismatch01", 400),
    ("mismatch02", 400), // the RFC allows 400 and 501
    ("badbranch", 200),  // the empty branch is a transaction of its own
    ("insuf", 400),
    ("unkscm", 416),
    ("novelsc", 416),
    ("unksm2", 405),
    ("bext01", 420),
    ("invut", 415),
    ("regaut01", 405),
    ("multi01", 400),
    ("mcl01", 400),
    ("bcast", 0),
    ("zeromf", 200), // we do not forward, so the hops do not matter
    ("cparam01", 405),
    ("cparam02", 405),
    ("regescrt", 405),
    ("sdp01", 406),
    ("inv2543", 100),
];

/// The same for RFC 5118: only the second is invalid.
const RFC5118: [(&str, u16); 12] = [
    ("ipv6-good", 405),
    ("ipv6-bad", 400),
    ("port-ambiguous", 405),
    ("port-unambiguous", 405),
    ("via-received-param-with-delim", 481), // a BYE of a dialog that we do not have
    ("via-received-param-no-delim", 200),
    ("ipv6-in-sdp", 488), // L16 and no codec of ours
    ("mult-ip-in-header", 481),
    ("mult-ip-in-sdp", 100),
    ("ipv4-mapped-ipv6", 488),
    ("ipv6-bug-abnf-3-colons", 200),
    ("ipv6-correct-abnf-2-colons", 200),
];

/// A message of `sip/tests/torture`.
fn message(folder: &str, name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/torture")
        .join(folder)
        .join(name)
        .with_extension("dat");
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn check(folder: &str, wanted: &[(&str, u16)]) {
    let mut found = Vec::new();
    for &(name, _) in wanted {
        let bytes = message(folder, name);
        let mut agent = agent();
        found.push((name, answer(&mut agent, &bytes, false)));
        assert_eq!(answer(&mut agent, OPTIONS, false), 200, "alive after {name}");
        let _ = answer(&mut agent, &bytes, true);
        assert_eq!(answer(&mut agent, OPTIONS_AGAIN, false), 200, "alive after {name} on a stream");
    }
    assert_eq!(found, wanted);
}

#[test]
fn every_torture_message_of_rfc_4475_gets_its_answer() {
    check("rfc4475", &RFC4475);
}

#[test]
fn every_ipv6_torture_message_of_rfc_5118_gets_its_answer() {
    check("rfc5118", &RFC5118);
}

#[test]
fn a_registrar_asks_for_a_password_or_says_what_is_wrong_and_lives_on() {
    let secret = Secret::Password("x".to_owned());
    let accounts = vec![Account { user: "bell".to_owned(), realm: None, secret }];
    let mut answers = std::collections::BTreeMap::new();
    for (name, _) in RFC4475 {
        let bytes = message("rfc4475", name);
        if !bytes.starts_with(b"REGISTER ") {
            continue;
        }
        let mut agent =
            agent_with(EndpointConfig { accounts: accounts.clone(), ..EndpointConfig::default() });
        *answers.entry(answer(&mut agent, &bytes, false)).or_insert(0) += 1;
        assert_eq!(answer(&mut agent, OPTIONS, false), 200, "alive after {name}");
    }
    let seen: Vec<u16> = answers.keys().copied().collect();
    assert_eq!(seen, [400, 401], "how often each: {answers:?}");
}
