//! Seats over real SIP on loopback: those that register here, what they are told before they answer, and callers whose exchange is
//! asked to take over (REFER).

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use nightline::call::event::{Disposition, HandoffOutcome};
use nightline::config::Config;
use nightline::record::CallRecord;
use nightline::server::Server;
use nightline::store::Store;
use nightline_sip::uui::Uui;
use nightline_sip::{
    Codec, Credentials, Dial, Endpoint, EndpointConfig, IncomingCall, IncomingCalls, LocalMedia,
    OutgoingEvent, Register, Registration, RegistrationState, Secret, Session, SessionEvent, Transport,
};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// No step takes longer than this; the notice at the beginning of a call is not interrupted by a key.
async fn soon<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), work)
        .await
        .unwrap_or_else(|_| panic!("{what} took over 30 s"))
}

/// A running server and its folder.
struct Hotline {
    address: SocketAddr,
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

impl Hotline {
    /// Starts with these seats, in `folder`.
    async fn start(folder: &TempDir, seats: &str, port: u16) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let path = folder.path().display();
        let text = format!(
            "[sip]\nlisten = [\"udp:127.0.0.1:{port}\"]\n[record]\nfolder = \"{path}\"\nwav = false\n\
             [store]\npath = \"{path}/n.db\"\n{seats}"
        );
        let file = folder.path().join("nightline.toml");
        std::fs::write(&file, text).expect("written");
        let config = Config::load(Some(&file)).unwrap_or_else(|e| panic!("{e}"));
        let server = Server::start(Arc::new(config), None).await.unwrap_or_else(|e| panic!("{e}"));
        let address = server.local_addr(Transport::Udp).expect("an address");
        let stop = CancellationToken::new();
        let serving = tokio::spawn(server.run(stop.clone()));
        Self { address, stop, serving }
    }

    async fn stop(self) {
        self.stop.cancel();
        soon("the end of the server", self.serving).await.expect("it ends well");
    }
}

fn media() -> LocalMedia {
    LocalMedia { ip: HERE, port: 39_990, codecs: vec![Codec::Pcma] }
}

async fn phone(credentials: Vec<Credentials>) -> (Endpoint, IncomingCalls) {
    let listen = vec![(Transport::Udp, SocketAddr::new(HERE, 0))];
    let config = EndpointConfig { listen, credentials, ..EndpointConfig::default() };
    Endpoint::bind(config).await.expect("a free port")
}

/// The telephone of the seat 2001, which knows its password.
async fn desk() -> (Endpoint, IncomingCalls) {
    let secret = Secret::Password("right".to_owned());
    phone(vec![Credentials { realm: Some("nightline".to_owned()), user: "2001".to_owned(), secret }]).await
}

async fn register(phone: &Endpoint, hotline: &Hotline) -> Registration {
    let register = Register {
        registrar: format!("sip:{}", hotline.address),
        aor: "sip:2001@nightline".to_owned(),
        expires: Duration::from_secs(120),
    };
    let mut registration = phone.register(register).await.expect("a registration under way");
    loop {
        match soon("the registration", registration.changed()).await {
            RegistrationState::Registered { .. } => return registration,
            RegistrationState::Failed { code, reason, .. } => panic!("not registered: {code} {reason}"),
            RegistrationState::Ended => panic!("the telephone has stopped"),
            RegistrationState::Trying => {}
        }
    }
}

/// Calls the hotline and asks for a person by key.
async fn call_for_a_person(phone: &Endpoint, hotline: &Hotline) -> Session {
    let dial = Dial {
        target: format!("sip:400@{}", hotline.address),
        from: "sip:13800138000@127.0.0.1".to_owned(),
        display: None,
        headers: Vec::new(),
        local: media(),
        ring_timeout: Duration::from_secs(8),
    };
    let mut call = phone.dial(dial).await.expect("a call under way");
    let session = loop {
        match soon("the answer", call.event()).await {
            OutgoingEvent::Answered(session) => break session,
            OutgoingEvent::Failed { code, reason, .. } => panic!("not answered: {code} {reason}"),
            _ => {}
        }
    };
    session.send_info_dtmf('0');
    session
}

async fn the_call(calls: &mut IncomingCalls) -> IncomingCall {
    soon("the call to the seat", calls.next()).await.expect("a running telephone")
}

/// What the exchange of the caller is asked to do.
async fn refer(session: &mut Session) -> String {
    loop {
        match soon("the REFER", session.event()).await {
            SessionEvent::Refer { to, .. } => return to,
            SessionEvent::Ended { code, reason, .. } => panic!("hung up instead: {code} {reason}"),
            _ => {}
        }
    }
}

async fn ended(session: &mut Session) {
    while !matches!(soon("the end", session.event()).await, SessionEvent::Ended { .. }) {}
}

/// The newest call of the store, once it is as wanted.
async fn record(folder: &TempDir, wanted: impl Fn(&CallRecord) -> bool) -> CallRecord {
    soon("the record", async {
        loop {
            let store = Store::read(&folder.path().join("n.db")).await.expect("a database");
            if let Some(newest) = store.calls(1).await.expect("a list").first() {
                let call = store.call(&newest.id).await.expect("it can be read").expect("it is there");
                if wanted(&call.record) {
                    return call.record;
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await
}

fn over(record: &CallRecord) -> bool {
    record.disposition.is_some()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seat_that_registers_is_called_told_about_the_call_and_known_after_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let seats = "[[seats.seat]]\nid = \"2001\"\npassword = \"right\"\n";
    let hotline = Hotline::start(&folder, seats, 0).await;
    let port = hotline.address.port();
    let (caller, _calls) = phone(Vec::new()).await;

    // Nobody is there yet: the caller is told so, and keeps the line.
    let waiting = call_for_a_person(&caller, &hotline).await;
    let unreached =
        record(&folder, |record| record.handoff.as_ref().is_some_and(|h| h.outcome.is_some())).await;
    waiting.hangup(None);
    let handoff = unreached.handoff.expect("a person was wanted");
    assert_eq!((handoff.seats.len(), handoff.outcome), (0, Some(HandoffOutcome::Unreachable)));
    let (desk, mut calls) = desk().await;
    let _registration = register(&desk, &hotline).await;

    let mut first = call_for_a_person(&caller, &hotline).await;
    let incoming = the_call(&mut calls).await;
    assert_eq!(incoming.to().uri, "sip:2001@nightline");
    assert_eq!(incoming.from().display, "13800138000", "the seat sees who calls");
    assert_eq!(incoming.header("X-Nightline-Reason"), Some("key_zero"));
    assert_eq!(incoming.header("X-Nightline-Caller"), Some("13800138000"));
    let told: Vec<Uui> = incoming.user_to_user();
    let told: serde_json::Value = serde_json::from_slice(&told[0].data).expect("JSON");
    assert_eq!(Some(told["call"].as_str().expect("the id of the call")), incoming.header("X-Nightline-Call"));
    let mut seat = soon("the answer", incoming.answer(media())).await.expect("an answered call");
    seat.send_info_dtmf('1');
    first.hangup(None);
    ended(&mut first).await;
    ended(&mut seat).await;
    hotline.stop().await;

    // The telephone knows nothing of the restart and does not register again.
    let hotline = Hotline::start(&folder, seats, port).await;
    let again = call_for_a_person(&caller, &hotline).await;
    let incoming = the_call(&mut calls).await;
    assert_eq!(incoming.to().uri, "sip:2001@nightline");
    drop((again, incoming));
    hotline.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_is_given_to_a_seat_by_its_own_exchange() {
    let folder = tempfile::tempdir().expect("a folder");
    let seats = "[[seats.seat]]\nid = \"queue\"\nuri = \"sip:queue@pbx.example\"\nrefer = true\n";
    let hotline = Hotline::start(&folder, seats, 0).await;
    let (caller, _calls) = phone(Vec::new()).await;

    let mut session = call_for_a_person(&caller, &hotline).await;
    let to = refer(&mut session).await;
    assert!(to.starts_with("sip:queue@pbx.example") && to.contains("User-to-User="), "{to}");
    session.refer_progress(180, "Ringing");
    session.refer_progress(200, "OK");
    ended(&mut session).await;
    let stored = record(&folder, over).await;
    let handoff = stored.handoff.expect("a handoff");
    assert_eq!((handoff.seats, handoff.referred), (vec!["queue".to_owned()], true));
    assert_eq!(stored.disposition, Some(Disposition::Transferred));
    hotline.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_whose_exchange_refuses_stays_with_us() {
    let folder = tempfile::tempdir().expect("a folder");
    let seats = "[[seats.seat]]\nid = \"queue\"\nuri = \"sip:queue@pbx.example\"\nrefer = true\n";
    let hotline = Hotline::start(&folder, seats, 0).await;
    let (caller, _calls) = phone(Vec::new()).await;

    let mut session = call_for_a_person(&caller, &hotline).await;
    refer(&mut session).await;
    session.refer_progress(486, "Busy Here");
    // The call-back that is offered then is declined by key, and so is the message.
    tokio::time::sleep(Duration::from_millis(500)).await;
    session.send_info_dtmf('2');
    tokio::time::sleep(Duration::from_millis(500)).await;
    session.hangup(None);
    let handoff = record(&folder, over).await.handoff.expect("a handoff");
    assert_eq!(handoff.failed.len(), 1, "{handoff:?}");
    assert_eq!((handoff.failed[0].code, handoff.referred), (Some(486), false));
    hotline.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bridge_is_given_to_the_callers_exchange_and_goes_on_if_it_refuses() {
    let folder = tempfile::tempdir().expect("a folder");
    let (desk, mut calls) = phone(Vec::new()).await;
    let address = desk.local_addr(Transport::Udp).expect("an address");
    let seats = format!("[seats]\njoin = \"refer\"\ntargets = [\"sip:2001@{address}\"]\nwrap_up_s = 0\n");
    let hotline = Hotline::start(&folder, &seats, 0).await;
    let (caller, _calls) = phone(Vec::new()).await;
    for accepted in [false, true] {
        let mut session = call_for_a_person(&caller, &hotline).await;
        let incoming = the_call(&mut calls).await;
        let mut seat = soon("the answer", incoming.answer(media())).await.expect("an answered call");
        seat.send_info_dtmf('1');
        let to = refer(&mut session).await;
        assert!(to.contains(&address.to_string()) && to.contains("Replaces="), "{to}");
        if accepted {
            session.refer_progress(200, "OK");
            ended(&mut session).await;
            ended(&mut seat).await;
        } else {
            session.refer_progress(503, "Service Unavailable");
            tokio::time::sleep(Duration::from_millis(300)).await;
            session.hangup(None);
            ended(&mut seat).await;
        }
        let handoff = record(&folder, over).await.handoff.expect("a handoff");
        assert_eq!(handoff.referred, accepted);
        assert!(handoff.bridged_ms.is_some(), "they were joined here first: {handoff:?}");
    }
    hotline.stop().await;
}
