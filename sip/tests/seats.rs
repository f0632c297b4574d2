//! Seats that register over real sockets on loopback, and calls to them.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use nightline_sip::{
    Account, Codec, Credentials, Dial, DigestAlgorithm, Endpoint, EndpointConfig, Error, FailCause,
    IncomingCalls, LocalMedia, OutgoingCall, OutgoingEvent, Register, RegistrarConfig, RegistrarEvent,
    Registration, RegistrationState, Seats, Secret, Transport,
};

const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// No step of a test takes longer than this.
async fn soon<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), work)
        .await
        .unwrap_or_else(|_| panic!("{what} took over 10 s"))
}

async fn bind(config: EndpointConfig) -> (Endpoint, IncomingCalls) {
    let listen = vec![(Transport::Udp, LOOPBACK), (Transport::Tcp, LOOPBACK)];
    Endpoint::bind(EndpointConfig { listen, ..config }).await.expect("free ports")
}

fn account(user: &str) -> Account {
    Account { user: user.to_owned(), realm: None, secret: Secret::Password("right".to_owned()) }
}

async fn registrar(algorithms: &[DigestAlgorithm]) -> Endpoint {
    let registrar = RegistrarConfig { algorithms: algorithms.to_vec(), ..RegistrarConfig::default() };
    let accounts = vec![account("2001"), account("2002")];
    bind(EndpointConfig { accounts, registrar, ..EndpointConfig::default() }).await.0
}

async fn phone(password: &str) -> (Endpoint, IncomingCalls) {
    let secret = Secret::Password(password.to_owned());
    let credentials =
        vec![Credentials { realm: Some("nightline".to_owned()), user: "2001".to_owned(), secret }];
    bind(EndpointConfig { credentials, ..EndpointConfig::default() }).await
}

async fn register(phone: &Endpoint, desk: &Endpoint, transport: Transport) -> Registration {
    let addr = desk.local_addr(transport).expect("a listener");
    let suffix = if transport == Transport::Tcp { ";transport=tcp" } else { "" };
    let register = Register {
        registrar: format!("sip:{addr}{suffix}"),
        aor: "sip:2001@nightline".to_owned(),
        expires: Duration::from_secs(120),
    };
    phone.register(register).await.expect("a registration under way")
}

fn dial(target: &str) -> Dial {
    Dial {
        target: target.to_owned(),
        from: "sip:desk@nightline".to_owned(),
        display: None,
        headers: Vec::new(),
        local: LocalMedia { ip: LOOPBACK.ip(), port: 30_000, codecs: Codec::ALL.to_vec() },
        ring_timeout: Duration::from_secs(8),
    }
}

async fn reached(mut call: OutgoingCall, calls: &mut IncomingCalls) {
    let incoming = soon("the call", calls.next()).await.expect("a running endpoint");
    assert_eq!(incoming.to().uri, "sip:2001@nightline", "the phone is told which of its names was called");
    let local = LocalMedia { ip: LOOPBACK.ip(), port: 31_000, codecs: Codec::ALL.to_vec() };
    let session = soon("the answer", incoming.answer(local)).await.expect("an answered call");
    let event = soon("the answer", call.event()).await;
    assert!(matches!(event, OutgoingEvent::Answered(_)), "told {event:?}");
    drop(session);
}

async fn next(seats: &mut Seats) -> RegistrarEvent {
    soon("news of a seat", seats.next()).await.expect("a running endpoint")
}

#[tokio::test]
async fn a_seat_registers_is_called_and_leaves_over_each_transport_and_hash() {
    for transport in [Transport::Udp, Transport::Tcp] {
        for algorithm in [DigestAlgorithm::Sha256, DigestAlgorithm::Md5] {
            let desk = registrar(&[algorithm]).await;
            let mut seats = desk.seats();
            let (seat, mut calls) = phone("right").await;
            let mut registration = register(&seat, &desk, transport).await;
            let state = soon("the registration", registration.changed()).await;
            assert_eq!(state, RegistrationState::Registered { expires: Duration::from_secs(120) });
            let RegistrarEvent::Registered(binding) = next(&mut seats).await else {
                panic!("no registration was told");
            };
            assert_eq!((binding.user.as_str(), binding.transport), ("2001", transport));
            assert_eq!(desk.bindings(Some("2002")).await, []);

            let call = desk.dial(dial("sip:2001@nightline")).await.expect("a call");
            reached(call, &mut calls).await;
            let binding = desk.bindings(Some("2001")).await.remove(0);
            let call = desk.dial_binding(dial("sip:2001@nightline"), &binding).await.expect("a call");
            reached(call, &mut calls).await;

            drop(registration);
            let gone = next(&mut seats).await;
            assert!(matches!(gone, RegistrarEvent::Unregistered { left: 0, .. }), "told {gone:?}");
            let again = desk.dial(dial("sip:2001@nightline")).await;
            assert!(matches!(again, Err(Error::NotRegistered { .. })), "nobody is there any more");
        }
    }
}

#[tokio::test]
async fn a_wrong_password_is_refused_and_says_so() {
    let desk = registrar(&[DigestAlgorithm::Sha256, DigestAlgorithm::Md5]).await;
    let (seat, _calls) = phone("wrong").await;
    let mut registration = register(&seat, &desk, Transport::Udp).await;
    let state = soon("the refusal", registration.changed()).await;
    assert!(matches!(state, RegistrationState::Failed { code: 403, .. }), "told {state:?}");
    assert_eq!(desk.bindings(None).await, []);
}

#[tokio::test]
async fn shutdown_takes_the_registration_back() {
    let desk = registrar(&[DigestAlgorithm::Sha256]).await;
    let mut seats = desk.seats();
    let (seat, _calls) = phone("right").await;
    let mut registration = register(&seat, &desk, Transport::Udp).await;
    soon("the registration", registration.changed()).await;
    next(&mut seats).await;
    soon("shutdown", seat.shutdown()).await;
    assert!(matches!(next(&mut seats).await, RegistrarEvent::Unregistered { left: 0, .. }));
    assert_eq!(soon("the end", registration.changed()).await, RegistrationState::Ended);
}

#[tokio::test]
async fn seats_are_called_after_a_restart_of_the_desk() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let desk = registrar(&[DigestAlgorithm::Sha256]).await;
        let (seat, mut calls) = phone("right").await;
        let mut registration = register(&seat, &desk, transport).await;
        soon("the registration", registration.changed()).await;
        let kept = desk.bindings(None).await;
        assert_eq!(kept.len(), 1);
        soon("shutdown", desk.shutdown()).await;
        let desk = registrar(&[DigestAlgorithm::Sha256]).await;
        desk.restore(kept).await;
        let call = desk.dial(dial("sip:2001@nightline")).await.expect("a call");
        reached(call, &mut calls).await;
    }
}

#[tokio::test]
async fn the_contacts_of_one_account_can_all_be_called_and_the_late_ones_cancelled() {
    let desk = registrar(&[DigestAlgorithm::Md5]).await;
    let (first, mut first_calls) = phone("right").await;
    let (second, mut second_calls) = phone("right").await;
    let mut one = register(&first, &desk, Transport::Udp).await;
    let mut two = register(&second, &desk, Transport::Tcp).await;
    soon("the first", one.changed()).await;
    soon("the second", two.changed()).await;
    let mut outgoing = Vec::new();
    for binding in desk.bindings(Some("2001")).await {
        outgoing.push(desk.dial_binding(dial("sip:2001@nightline"), &binding).await.expect("a call"));
    }
    assert_eq!(outgoing.len(), 2);
    let mut late = soon("the first", first_calls.next()).await.expect("a call");
    let _rings = soon("the second", second_calls.next()).await.expect("a call");
    outgoing.clear();
    soon("the cancel", late.cancelled()).await;
}

#[tokio::test]
async fn accounts_and_targets_that_cannot_work_are_errors_at_once() {
    let listen = vec![(Transport::Udp, LOOPBACK)];
    let accounts = vec![account("2001"), account("2001")];
    let bound = Endpoint::bind(EndpointConfig { listen, accounts, ..EndpointConfig::default() }).await;
    assert!(matches!(bound.map(|_| ()), Err(Error::Account { .. })));
    let (phone, _calls) = phone("right").await;
    for aor in ["2001", "sip:nightline", "sip:2001@h>\r\nX: y"] {
        let register = Register {
            registrar: "sip:127.0.0.1:5060".to_owned(),
            aor: aor.to_owned(),
            expires: Duration::from_secs(60),
        };
        let refused = phone.register(register).await.map(|_| ());
        assert!(matches!(refused, Err(Error::Target { .. })), "{aor:?}");
    }
    let (gone, _) = bind(EndpointConfig::default()).await;
    let (addr, transport) = (gone.local_addr(Transport::Tcp).expect("a listener"), Transport::Tcp);
    gone.shutdown().await;
    let mut call = phone.dial(dial(&format!("sip:x@{addr};transport=tcp"))).await.expect("a call");
    let told = soon("unreachable", call.event()).await;
    assert!(
        matches!(told, OutgoingEvent::Failed { cause: FailCause::Unreachable, .. }),
        "{transport}: {told:?}"
    );
}
