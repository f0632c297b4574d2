//! REGISTER between two agents, calls to seats, and requests that are challenged. The callee is the exchange.

use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::challenge::Credentials;
use crate::digest::{Params, Secret};
use crate::registrar::Account;

fn exchange(password: &'static str, change: impl Fn(&mut EndpointConfig)) -> World {
    World::new(|i, config| {
        if i == CALLEE {
            let secret = Secret::Password("right".to_owned());
            config.accounts = vec![Account { user: "2001".to_owned(), realm: None, secret }];
            change(config);
        } else {
            let secret = Secret::Password(password.to_owned());
            config.credentials =
                vec![Credentials { realm: Some("nightline".to_owned()), user: "2001".to_owned(), secret }];
        }
    })
}

fn register(world: &mut World) {
    let register = Box::new(UpstreamRequest {
        registrar: format!("sip:{}", addr(CALLEE)),
        aor: "sip:2001@nightline".to_owned(),
        expires: Duration::from_secs(120),
        flow: flow(CALLER, addr(CALLEE)),
    });
    world.command(CALLER, Command::Register { id: 7, register });
    world.millis(100);
}

fn states(world: &mut World) -> Vec<RegistrationState> {
    std::mem::take(&mut world.upstreams).into_iter().map(|(_, _, state)| state).collect()
}

#[test]
fn a_registration_is_made_refreshed_in_time_and_taken_back() {
    let mut world = exchange("right", |_| ());
    register(&mut world);
    let up = RegistrationState::Registered { expires: Duration::from_secs(120) };
    assert_eq!(states(&mut world), std::slice::from_ref(&up));
    world.pass(Duration::from_secs(3600));
    let refreshes = states(&mut world);
    assert!(refreshes.len() >= 30 && refreshes.iter().all(|state| *state == up), "{refreshes:?}");
    assert!(matches!(world.seats[..], [(CALLEE, RegistrarEvent::Registered(_))]), "{:?}", world.seats);
    world.command(CALLER, Command::Unregister { id: 7 });
    world.millis(100);
    assert_eq!(states(&mut world), [RegistrationState::Ended]);
    let left = world.seats.last().map(|(_, event)| event);
    assert!(matches!(left, Some(RegistrarEvent::Unregistered { left: 0, .. })), "{left:?}");
    world.pass(Duration::from_secs(60));
    assert!(world.agents[CALLER].stack.is_idle() && world.agents[CALLER].sent.is_empty(), "nothing is left");
}

#[test]
fn a_refresh_shows_its_credentials_before_it_is_asked() {
    static ASKED: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let mut world = exchange("right", |config| config.registrar.nonce_life = Duration::from_secs(250));
    world.lose = Some(|bytes| {
        if bytes.starts_with(b"SIP/2.0 401") {
            ASKED.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
        false
    });
    register(&mut world);
    world.pass(Duration::from_secs(200));
    assert_eq!(ASKED.load(std::sync::atomic::Ordering::Relaxed), 1, "the nonce is used again");
    world.pass(Duration::from_secs(200));
    assert_eq!(ASKED.load(std::sync::atomic::Ordering::Relaxed), 2, "until it is too old");
}

#[test]
fn a_wrong_password_is_told_and_tried_again_with_growing_waits() {
    let mut world = exchange("wrong", |_| ());
    register(&mut world);
    world.pass(Duration::from_secs(400));
    let waits: Vec<_> = states(&mut world)
        .into_iter()
        .map(|state| match state {
            RegistrationState::Failed { code: 403, again, .. } => again.as_secs(),
            other => panic!("told {other:?}"),
        })
        .collect();
    assert!(matches!(waits[..], [48..=72, 96..=144, 192..=288, ..]), "{waits:?}");
}

#[test]
fn an_exchange_that_is_silent_or_has_no_accounts_is_told_and_found_again() {
    let mut world = exchange("right", |_| ());
    world.lose = Some(|_| true);
    register(&mut world);
    world.pass(Duration::from_secs(33));
    assert!(matches!(states(&mut world)[..], [RegistrationState::Failed { code: 408, .. }]));
    world.lose = None;
    world.pass(Duration::from_secs(8));
    assert!(matches!(states(&mut world)[..], [RegistrationState::Registered { .. }]));

    let mut world = exchange("right", |config| config.accounts.clear());
    register(&mut world);
    assert!(matches!(states(&mut world)[..], [RegistrationState::Failed { code: 405, .. }]));
}

#[test]
fn a_time_that_is_too_short_for_the_exchange_is_made_longer() {
    let mut world = exchange("right", |config| config.registrar.min_expires = Duration::from_secs(300));
    register(&mut world);
    let up = RegistrationState::Registered { expires: Duration::from_secs(300) };
    assert_eq!(states(&mut world), [up]);
}

#[test]
fn a_seat_that_falls_silent_expires() {
    let mut world = exchange("right", |_| ());
    register(&mut world);
    world.lose = Some(|_| true);
    world.pass(Duration::from_secs(121));
    let last = world.seats.last().map(|(_, event)| event);
    assert!(matches!(last, Some(RegistrarEvent::Expired { left: 0, .. })), "{last:?}");
    assert!(world.agents[CALLEE].bindings(world.now, None).is_empty());
}

#[test]
fn the_way_through_a_nat_is_kept_open_while_registered() {
    static KEPT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let mut world = exchange("right", |_| ());
    world.lose = Some(|bytes| {
        if bytes == b"\r\n\r\n" {
            KEPT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
        false
    });
    register(&mut world);
    world.pass(Duration::from_secs(300));
    let kept = KEPT.load(std::sync::atomic::Ordering::Relaxed);
    assert!((9..=12).contains(&kept), "{kept} in 300 s");
    world.command(CALLER, Command::Unregister { id: 7 });
    world.pass(Duration::from_secs(100));
    assert_eq!(KEPT.load(std::sync::atomic::Ordering::Relaxed), kept, "and not any longer");
}

#[test]
fn a_registration_is_taken_back_also_when_its_last_refresh_has_failed() {
    let mut world = exchange("right", |_| ());
    register(&mut world);
    world.lose = Some(|_| true);
    // The refresh comes after 90 to 102 s, but the transaction goes on for 32 s.
    world.pass(Duration::from_secs(80));
    world.agents[CALLER].send_register(world.now, 7);
    world.collect();
    world.pass(Duration::from_secs(33));
    assert!(matches!(world.upstreams.last(), Some((_, _, RegistrationState::Failed { code: 408, .. }))));
    world.lose = None;
    world.command(CALLER, Command::Unregister { id: 7 });
    world.millis(100);
    let last = world.seats.last().map(|(_, event)| event);
    assert!(matches!(last, Some(RegistrarEvent::Unregistered { left: 0, .. })), "{last:?}");
}

#[test]
fn draining_takes_registrations_back() {
    let mut world = exchange("right", |_| ());
    register(&mut world);
    world.command(CALLER, Command::Drain);
    assert!(!world.agents[CALLER].is_quiet(), "the exchange has not heard of it yet");
    world.millis(100);
    assert!(world.agents[CALLER].is_quiet());
    assert!(world.agents[CALLEE].bindings(world.now, None).is_empty());
}

#[test]
fn a_registered_seat_is_called_at_its_contact() {
    let mut world = exchange("right", |_| ());
    register(&mut world);
    let (contact, flow) = world.agents[CALLEE].locate(world.now, "2001", None).expect("a seat");
    let dial = OutgoingRequest {
        target: "sip:2001@nightline".to_owned(),
        contact: Some(contact),
        from: "sip:n@nightline".to_owned(),
        display: None,
        headers: Vec::new(),
        local: local(CALLEE),
        srtp: SrtpPolicy::Off,
        ring_timeout: Duration::from_secs(30),
        flow,
        pinned: true,
    };
    world.command(CALLEE, Command::Dial { call: 9, dial: Box::new(dial) });
    world.millis(50);
    let (agent, call) = *world.incoming.last().expect("the seat is called");
    assert_eq!(agent, CALLER);
    world.command(CALLER, Command::Answer { call, local: local(CALLER), srtp: None });
    world.millis(50);
    assert!(matches!(world.events_of(CALLEE)[..], [CallEvent::Answered(_)]), "{:?}", world.events);
}

/// What the script answers to a request of ours.
fn answer_to(request: &str, status: &str, extra: &str, body: &str) -> Bytes {
    let copied = request.lines().take_while(|line| !line.is_empty()).filter_map(|line| {
        match line.split(':').next().unwrap_or_default() {
            "To" if !line.contains("tag=") => Some(format!("{line};tag=t{}", status.get(..3).unwrap_or("x"))),
            "To" | "Via" | "From" | "Call-ID" | "CSeq" => Some(line.to_owned()),
            _ => None,
        }
    });
    let mut lines = vec![format!("SIP/2.0 {status}")];
    lines.extend(copied);
    lines.push(format!(
        "Contact: <sip:s@{}>\r\n{extra}Content-Length: {}\r\n\r\n{body}",
        script(),
        body.len()
    ));
    Bytes::from(lines.join("\r\n"))
}

fn header<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    message.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// A call to the script, which has heard the INVITE.
fn dial_script(world: &mut World) -> String {
    let dial = OutgoingRequest {
        target: format!("sip:s@{}", script()),
        contact: None,
        from: "sip:c@192.0.2.1".to_owned(),
        display: None,
        headers: Vec::new(),
        local: local(CALLER),
        srtp: SrtpPolicy::Off,
        ring_timeout: Duration::from_secs(30),
        flow: flow(CALLER, script()),
        pinned: false,
    };
    world.command(CALLER, Command::Dial { call: 1, dial: Box::new(dial) });
    world.millis(20);
    world.script.pop().expect("an INVITE")
}

fn hear(world: &mut World, bytes: Bytes) -> Vec<String> {
    world.script.clear();
    world.wire.push_back((world.now, script(), addr(CALLER), bytes));
    world.millis(50);
    world.script.clone()
}

const CHALLENGE: &str =
    "Proxy-Authenticate: Digest realm=\"nightline\", nonce=\"n1\", algorithm=SHA-256, qop=\"auth\"\r\n";

#[test]
fn a_challenged_call_is_made_again_with_credentials_and_its_ack_shows_them_too() {
    let mut world = exchange("right", |_| ());
    let first = dial_script(&mut world);
    assert!(!first.contains("Authorization"), "nothing is shown before it is asked for");
    let heard = hear(&mut world, answer_to(&first, "407 Who Are You", CHALLENGE, ""));
    assert!(heard[0].starts_with("ACK "), "the refusal is acknowledged: {heard:?}");
    let second = &heard[1];
    let shown = header(second, "Proxy-Authorization").expect("credentials").to_owned();
    let params = Params::parse(&shown).expect("a digest");
    let uri = format!("sip:s@{}", script());
    let ha1 = crate::digest::DigestAlgorithm::Sha256.hash(&["2001", "nightline", "right"]);
    let fresh = Some((params.get("nc").expect("nc"), params.get("cnonce").expect("cnonce")));
    let wanted =
        crate::digest::response(crate::digest::DigestAlgorithm::Sha256, &ha1, "n1", fresh, "INVITE", &uri);
    assert_eq!(params.get("response"), Some(wanted.as_str()));
    assert_eq!(header(second, "Call-ID"), header(&first, "Call-ID"));
    assert_ne!(header(second, "CSeq"), header(&first, "CSeq"));
    let ok = answer_to(second, "200 OK", "Content-Type: application/sdp\r\n", SDP);
    let heard = hear(&mut world, ok);
    assert!(heard[0].starts_with("ACK "), "{heard:?}");
    assert_eq!(header(&heard[0], "Proxy-Authorization"), Some(shown.as_str()));
    assert!(matches!(world.events_of(CALLER)[..], [CallEvent::Answered(_)]), "{:?}", world.events);
    // A BYE that is challenged is repeated too.
    world.script.clear();
    world.command(CALLER, Command::Hangup { call: 1, reason: None });
    world.millis(20);
    let bye = world.script.pop().expect("a BYE");
    let heard = hear(&mut world, answer_to(&bye, "407 Who Are You", CHALLENGE, ""));
    assert!(heard[0].starts_with("BYE ") && heard[0].contains("Proxy-Authorization"), "{heard:?}");
}

#[test]
fn credentials_that_are_refused_are_not_shown_for_ever() {
    let mut world = exchange("wrong", |_| ());
    let first = dial_script(&mut world);
    let heard = hear(&mut world, answer_to(&first, "407 Who Are You", CHALLENGE, ""));
    let heard = hear(&mut world, answer_to(&heard[1], "407 Who Are You", CHALLENGE, ""));
    assert_eq!(heard.len(), 1, "only the ACK: {heard:?}");
    assert!(matches!(world.events_of(CALLER)[..], [CallEvent::Failed { code: 407, .. }]));

    let mut world = exchange("right", |_| ());
    let first = dial_script(&mut world);
    let stale = CHALLENGE.replace("qop", "stale=true, qop");
    let mut last = first;
    for _ in 0..3 {
        let heard = hear(&mut world, answer_to(&last, "407 Who Are You", &stale, ""));
        last = heard.get(1).expect("a stale nonce is worth another try").clone();
    }
    assert_eq!(
        hear(&mut world, answer_to(&last, "407 Who Are You", &stale, "")).len(),
        1,
        "but not for ever"
    );
}

#[test]
fn another_realm_is_not_told_who_we_are() {
    let mut world = exchange("right", |_| ());
    let first = dial_script(&mut world);
    let other = CHALLENGE.replace("nightline", "elsewhere");
    assert_eq!(hear(&mut world, answer_to(&first, "407 Who Are You", &other, "")).len(), 1);
    assert!(matches!(world.events_of(CALLER)[..], [CallEvent::Failed { code: 407, .. }]));
}

#[test]
fn a_call_that_is_given_up_while_it_is_challenged_is_not_made_again() {
    let mut world = exchange("right", |_| ());
    let first = dial_script(&mut world);
    world.command(CALLER, Command::Cancel { call: 1 });
    assert_eq!(hear(&mut world, answer_to(&first, "407 Who Are You", CHALLENGE, "")).len(), 1);
}
