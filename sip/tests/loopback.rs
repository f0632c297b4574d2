//! Calls between two endpoints over real sockets on loopback.

#![expect(clippy::similar_names, reason = "caller and callee are the words of the trade")]

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use nightline_sip::{
    Codec, Dial, Direction, EndReason, Endpoint, EndpointConfig, Error, FailCause, IncomingCall,
    IncomingCalls, LocalMedia, OutgoingCall, OutgoingEvent, Session, SessionEvent, TransferStage, Transport,
    uui::{self, Uui},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// No step of a test takes longer than this.
async fn soon<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), work)
        .await
        .unwrap_or_else(|_| panic!("{what} took over 10 s"))
}

async fn endpoint() -> (Endpoint, IncomingCalls) {
    let listen = vec![(Transport::Udp, LOOPBACK), (Transport::Tcp, LOOPBACK)];
    Endpoint::bind(EndpointConfig { listen, ..EndpointConfig::default() }).await.expect("free ports")
}

fn media(port: u16) -> LocalMedia {
    LocalMedia { ip: LOOPBACK.ip(), port, codecs: Codec::ALL.to_vec() }
}

fn dial_to(callee: &Endpoint, transport: Transport) -> Dial {
    let addr = callee.local_addr(transport).expect("a listener");
    let suffix = if transport == Transport::Tcp { ";transport=tcp" } else { "" };
    Dial {
        target: format!("sip:400@{addr}{suffix}"),
        from: "sip:13800000000@127.0.0.1".to_owned(),
        display: Some("来电".to_owned()),
        headers: vec![("User-to-User".to_owned(), "abc;encoding=hex".to_owned())],
        local: media(30_000),
        ring_timeout: Duration::from_secs(8),
    }
}

#[tokio::test]
async fn somebody_is_asked_what_it_can_do() {
    let (asking, _) = endpoint().await;
    let (asked, _calls) = endpoint().await;
    for (transport, suffix) in [(Transport::Udp, ""), (Transport::Tcp, ";transport=tcp")] {
        let addr = asked.local_addr(transport).expect("a listener");
        let probed =
            soon("the answer", asking.probe(&format!("sip:400@{addr}{suffix}"))).await.expect("an address");
        assert_eq!(probed.code, 200, "{probed:?}");
        assert!(probed.allow.iter().any(|method| method == "REFER"), "{probed:?}");
        assert_eq!(probed.seen_as.map(|seen| seen.ip()), probed.said.map(|said| said.ip()), "{probed:?}");
        assert!(probed.seen_as.is_some(), "{probed:?}");
    }
    let closed =
        soon("the answer", asking.probe("sip:400@127.0.0.1:9;transport=tcp")).await.expect("an address");
    assert_eq!(closed.code, 503, "{closed:?}");
    assert!(asking.probe("400@x").await.is_err());
}

/// Two endpoints and a call between them, not answered yet.
struct Ringing {
    caller: Endpoint,
    callee: Endpoint,
    outgoing: OutgoingCall,
    incoming: IncomingCall,
}

async fn ringing(transport: Transport, change: impl FnOnce(&mut Dial)) -> Ringing {
    let (caller, _) = endpoint().await;
    let (callee, mut calls) = endpoint().await;
    let mut dial = dial_to(&callee, transport);
    change(&mut dial);
    let outgoing = caller.dial(dial).await.expect("a call");
    let incoming = soon("the call", calls.next()).await.expect("a running endpoint");
    Ringing { caller, callee, outgoing, incoming }
}

async fn answered(transport: Transport) -> (Endpoint, Endpoint, Session, Session) {
    let Ringing { caller, callee, mut outgoing, mut incoming } = ringing(transport, |_| ()).await;
    assert_eq!(incoming.from().user, "13800000000");
    assert_eq!(incoming.to().user, "400");
    assert_eq!(incoming.header("user-to-user"), Some("abc;encoding=hex"));
    assert!(incoming.offered());
    incoming.ring().await;
    assert!(matches!(soon("ringing", outgoing.event()).await, OutgoingEvent::Ringing));
    let theirs = soon("the answer", incoming.answer(media(31_000))).await.expect("an answered call");
    let OutgoingEvent::Answered(ours) = soon("the answer", outgoing.event()).await else {
        panic!("the call was not answered");
    };
    assert_eq!(ours.media().remote.port(), 31_000);
    assert_eq!(theirs.media().remote.port(), 30_000);
    assert_eq!((ours.media().codec, ours.media().dtmf_payload_type), (Codec::Pcma, Some(101)));
    (caller, callee, ours, theirs)
}

async fn next_direction(session: &mut Session) -> Direction {
    match soon("a change of media", session.event()).await {
        SessionEvent::Media(media) => media.direction,
        other => panic!("told {other:?} instead of media"),
    }
}

#[tokio::test]
async fn a_call_over_each_transport_is_ended_by_either_side() {
    for transport in [Transport::Udp, Transport::Tcp] {
        for caller_ends in [true, false] {
            let (_a, _b, mut ours, mut theirs) = answered(transport).await;
            let (ending, other) = if caller_ends { (&ours, &mut theirs) } else { (&theirs, &mut ours) };
            ending.hangup(Some("Q.850;cause=16"));
            match soon("the end", other.event()).await {
                SessionEvent::Ended { by: EndReason::Remote, reason, .. } => {
                    assert_eq!(reason, "Q.850;cause=16");
                }
                other => panic!("{transport}: told {other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn hold_and_resume_are_seen_by_both_sides() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let (_a, _b, mut ours, mut theirs) = answered(transport).await;
        ours.hold();
        assert_eq!(next_direction(&mut theirs).await, Direction::RecvOnly);
        assert_eq!(next_direction(&mut ours).await, Direction::SendOnly);
        ours.resume();
        assert_eq!(next_direction(&mut theirs).await, Direction::SendRecv);
        assert_eq!(next_direction(&mut ours).await, Direction::SendRecv);
        theirs.hold();
        assert_eq!(next_direction(&mut ours).await, Direction::RecvOnly);
    }
}

#[tokio::test]
async fn digits_and_a_transfer_travel_in_the_call() {
    let (_a, _b, mut ours, mut theirs) = answered(Transport::Udp).await;
    ours.send_info_dtmf('7');
    assert_eq!(soon("a digit", theirs.event()).await, SessionEvent::Dtmf('7'));
    ours.refer("sip:seat@127.0.0.1:5999", &[("X-Why".to_owned(), "asked".to_owned())])
        .expect("a good target and header");
    let SessionEvent::Refer { to, headers } = soon("a transfer", theirs.event()).await else {
        panic!("no transfer was told");
    };
    assert_eq!(to, "sip:seat@127.0.0.1:5999");
    assert!(headers.iter().any(|(name, value)| name == "X-Why" && value == "asked"), "{headers:?}");
    theirs.refer_progress(200, "OK");
    let mut codes = Vec::new();
    loop {
        match soon("progress", ours.event()).await {
            SessionEvent::ReferProgress { code, done, .. } => {
                codes.push(code);
                if done {
                    break;
                }
            }
            other => panic!("told {other:?}"),
        }
    }
    assert_eq!(codes, [100, 200]);
}

#[tokio::test]
async fn context_headers_travel_with_a_call_and_a_bad_one_is_an_error() {
    let uui = Uui::new("工单 7", "nightline").to_value().expect("a short text");
    let headers = vec![(uui::HEADER.to_owned(), uui), ("X-Mood".to_owned(), "angry; \"very\"".to_owned())];
    let Ringing { caller, callee, outgoing: _outgoing, incoming } =
        ringing(Transport::Udp, |dial| dial.headers = headers.clone()).await;
    assert_eq!(incoming.header("x-mood"), Some("angry; \"very\""));
    assert_eq!(incoming.user_to_user(), [Uui::new("工单 7", "nightline")]);
    for (name, value) in [("X-Note", "a\r\nVia: forged"), ("Via", "x"), ("X-Long", &"a".repeat(1020))] {
        let mut dial = dial_to(&callee, Transport::Udp);
        dial.headers = vec![(name.to_owned(), value.to_owned())];
        let refused = caller.dial(dial).await.map(|_| ());
        assert!(matches!(refused, Err(Error::Header { .. })), "{name}: {refused:?}");
    }
    let mut dial = dial_to(&callee, Transport::Udp);
    dial.from = "sip:a@b>\r\nX: y".to_owned();
    assert!(matches!(caller.dial(dial).await, Err(Error::Target { .. })));
}

#[tokio::test]
async fn what_a_blind_transfer_carries_arrives_in_the_new_call() {
    let (referrer, _b, ours, mut theirs) = answered(Transport::Udp).await;
    let uui = Uui::new("ticket 7", "nightline").to_value().expect("a short text");
    let carried = [(uui::HEADER.to_owned(), uui), ("X-客".to_owned(), String::new())];
    let (seat, mut calls) = endpoint().await;
    let target = format!("sip:seat@{}", seat.local_addr(Transport::Udp).expect("a listener"));
    assert!(matches!(ours.refer_carrying(&target, &carried, &[]), Err(Error::Header { .. })));
    assert!(matches!(ours.refer("sip:a@b>\r\nX: y", &[]), Err(Error::Target { .. })));
    assert!(matches!(ours.refer_carrying("tel:+861", &carried[..1], &[]), Err(Error::Target { .. })));
    ours.refer_carrying(&target, &carried[..1], &[]).expect("a good target and header");
    let SessionEvent::Refer { to, .. } = soon("a transfer", theirs.event()).await else {
        panic!("no transfer was told");
    };
    assert!(to.starts_with(&format!("{target}?User-to-User=")), "{to}");
    let dial = Dial { target: to, ..dial_to(&seat, Transport::Udp) };
    let _outgoing = referrer.dial(Dial { headers: Vec::new(), ..dial }).await.expect("a call");
    let incoming = soon("the new call", calls.next()).await.expect("a running endpoint");
    assert_eq!(incoming.user_to_user(), [Uui::new("ticket 7", "nightline")]);
    assert!(!incoming.request_uri().contains('?'), "{}", incoming.request_uri());
}

/// An answered call to `callee`, both ends.
async fn call_to(caller: &Endpoint, callee: &Endpoint, calls: &mut IncomingCalls) -> (Session, Session) {
    let mut outgoing = caller.dial(dial_to(callee, Transport::Udp)).await.expect("a call");
    let incoming = soon("the call", calls.next()).await.expect("a running endpoint");
    let theirs = soon("the answer", incoming.answer(media(31_000))).await.expect("an answered call");
    match soon("the answer", outgoing.event()).await {
        OutgoingEvent::Answered(ours) => (ours, theirs),
        other => panic!("told {other:?}"),
    }
}

/// The caller and the seat are both in a call with the desk, which leaves by an attended transfer.
#[tokio::test]
async fn an_attended_transfer_joins_the_two_far_ends_and_lets_us_go() {
    let (desk, _) = endpoint().await;
    let (caller, mut caller_calls) = endpoint().await;
    let (seat, mut seat_calls) = endpoint().await;
    let (mut with_caller, mut callers_end) = call_to(&desk, &caller, &mut caller_calls).await;
    let (mut with_seat, mut seats_end) = call_to(&desk, &seat, &mut seat_calls).await;
    let uui = Uui::new("ticket 7", "nightline").to_value().expect("a short text");
    with_caller
        .refer_replacing(&with_seat, &[(uui::HEADER.to_owned(), uui)])
        .expect("two calls of one endpoint");

    let SessionEvent::Refer { to, .. } = soon("a transfer", callers_end.event()).await else {
        panic!("no transfer was told");
    };
    let dial = Dial { target: to, headers: Vec::new(), ..dial_to(&seat, Transport::Udp) };
    let mut outgoing = caller.dial(dial).await.expect("a call");
    let incoming = soon("the new call", seat_calls.next()).await.expect("a running endpoint");
    let replaces = incoming.replaces().expect("the seat is told which call is meant");
    assert_eq!((replaces.call, replaces.early), (seats_end.key(), false));
    assert_eq!(incoming.user_to_user(), [Uui::new("ticket 7", "nightline")]);
    callers_end.refer_progress(180, "");
    let _new = soon("the answer", incoming.answer(media(31_002))).await.expect("an answered call");
    let told = soon("the answer", outgoing.event()).await;
    assert!(matches!(told, OutgoingEvent::Answered(_)), "told {told:?}");
    callers_end.refer_progress(200, "");

    let ended = soon("the seat's old call", seats_end.event()).await;
    assert!(matches!(ended, SessionEvent::Ended { by: EndReason::Replaced, .. }), "told {ended:?}");
    let ended = soon("our call with the seat", with_seat.event()).await;
    assert!(matches!(ended, SessionEvent::Ended { by: EndReason::Remote, .. }), "told {ended:?}");
    let mut stages = Vec::new();
    while stages.last() != Some(&TransferStage::Answered) {
        match soon("progress", with_caller.event()).await {
            SessionEvent::ReferProgress { stage, .. } => stages.push(stage),
            other => panic!("told {other:?}"),
        }
    }
    assert_eq!(stages, [TransferStage::Trying, TransferStage::Ringing, TransferStage::Answered]);
}

#[tokio::test]
async fn a_dropped_outgoing_call_is_cancelled() {
    let Ringing { caller: _caller, callee: _callee, outgoing, mut incoming } =
        ringing(Transport::Udp, |_| ()).await;
    drop(outgoing);
    soon("the cancel", incoming.cancelled()).await;
    assert!(matches!(incoming.answer(media(31_000)).await, Err(Error::Cancelled)));
}

#[tokio::test]
async fn a_dropped_session_hangs_up_and_a_dropped_incoming_call_is_refused() {
    let (_a, _b, ours, mut theirs) = answered(Transport::Tcp).await;
    drop(ours);
    assert!(matches!(
        soon("the end", theirs.event()).await,
        SessionEvent::Ended { by: EndReason::Remote, .. }
    ));

    let Ringing { caller: _caller, callee: _callee, mut outgoing, incoming } =
        ringing(Transport::Tcp, |_| ()).await;
    drop(incoming);
    assert!(matches!(soon("the refusal", outgoing.event()).await, OutgoingEvent::Failed { code: 480, .. }));
}

#[tokio::test]
async fn busy_no_answer_and_unreachable_are_three_things() {
    let Ringing { caller: _caller, callee: _callee, mut outgoing, incoming } =
        ringing(Transport::Udp, |_| ()).await;
    incoming.reject(486, "").await;
    assert!(matches!(
        soon("busy", outgoing.event()).await,
        OutgoingEvent::Failed { code: 486, cause: FailCause::Busy, .. }
    ));

    let Ringing { caller, callee: _callee, mut outgoing, incoming: _incoming } =
        ringing(Transport::Udp, |dial| dial.ring_timeout = Duration::from_millis(300)).await;
    assert!(matches!(
        soon("no answer", outgoing.event()).await,
        OutgoingEvent::Failed { cause: FailCause::NoAnswer, .. }
    ));

    let (gone, _) = endpoint().await;
    let dial = dial_to(&gone, Transport::Tcp);
    gone.shutdown().await;
    let mut outgoing = caller.dial(dial).await.expect("a call");
    assert!(matches!(
        soon("unreachable", outgoing.event()).await,
        OutgoingEvent::Failed { cause: FailCause::Unreachable, .. }
    ));
}

#[tokio::test]
async fn a_codec_that_the_caller_lacks_is_an_error_on_both_sides() {
    let Ringing { caller: _caller, callee: _callee, mut outgoing, incoming } =
        ringing(Transport::Udp, |dial| dial.local.codecs = vec![Codec::Pcmu]).await;
    let local = LocalMedia { codecs: vec![Codec::Pcma], ..media(31_000) };
    assert!(matches!(soon("the answer", incoming.answer(local)).await, Err(Error::NoCommonCodec)));
    assert!(matches!(soon("the refusal", outgoing.event()).await, OutgoingEvent::Failed { code: 488, .. }));
}

#[tokio::test]
async fn shutdown_ends_the_calls_and_later_use_is_an_error() {
    let (caller, callee, mut ours, _theirs) = answered(Transport::Udp).await;
    soon("shutdown", callee.shutdown()).await;
    assert!(matches!(soon("the end", ours.event()).await, SessionEvent::Ended { by: EndReason::Remote, .. }));
    let again = callee.dial(dial_to(&caller, Transport::Udp)).await;
    assert!(matches!(again, Err(Error::Stopped)), "a stopped endpoint makes no calls");
}

#[tokio::test]
async fn a_port_in_use_is_named_in_the_error() {
    let (taken, _) = endpoint().await;
    let addr = taken.local_addr(Transport::Tcp).expect("a listener");
    let listen = vec![(Transport::Tcp, addr)];
    let bound = Endpoint::bind(EndpointConfig { listen, ..EndpointConfig::default() }).await;
    let error = bound.map(|_| ()).expect_err("the port is taken");
    assert!(error.to_string().contains(&addr.to_string()), "{error}");
}

#[tokio::test]
async fn a_broken_stream_is_answered_and_closed_and_calls_on_others_live_on() {
    let (_a, callee, ours, mut theirs) = answered(Transport::Tcp).await;
    let addr = callee.local_addr(Transport::Tcp).expect("a listener");
    let mut stream = soon("a connection", tokio::net::TcpStream::connect(addr)).await.expect("a connection");
    let message = "INVITE sip:a@b SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1;branch=z9hG4bKx\r\nFrom: <sip:a@b>;tag=1\r\n\
                   To: <sip:a@b>\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\nContent-Length: 18446744073709551615\r\n\r\n";
    stream.write_all(message.as_bytes()).await.expect("a write");
    let mut heard = String::new();
    soon("the close", stream.read_to_string(&mut heard)).await.expect("an orderly close");
    assert!(heard.starts_with("SIP/2.0 400 "), "{heard:?}");
    ours.send_info_dtmf('1');
    assert_eq!(soon("a digit", theirs.event()).await, SessionEvent::Dtmf('1'));
}

#[tokio::test]
async fn a_hundred_calls_at_once_all_come_through() {
    let (caller, _) = endpoint().await;
    let (callee, mut calls) = endpoint().await;
    let answering = tokio::spawn(async move {
        let mut sessions = Vec::new();
        while sessions.len() < 100 {
            let call = calls.next().await.expect("a running endpoint");
            sessions.push(call.answer(media(31_000)).await.expect("an answered call"));
        }
        sessions
    });
    let mut outgoing = Vec::new();
    for i in 0..100u16 {
        let transport = if i % 2 == 0 { Transport::Udp } else { Transport::Tcp };
        outgoing.push(caller.dial(dial_to(&callee, transport)).await.expect("a call"));
    }
    let mut sessions = Vec::new();
    for mut call in outgoing {
        match soon("an answer", call.event()).await {
            OutgoingEvent::Answered(session) => sessions.push(session),
            other => panic!("told {other:?}"),
        }
    }
    let theirs = soon("all answers", answering).await.expect("the answering task");
    drop(sessions);
    for mut session in theirs {
        assert!(matches!(soon("the end", session.event()).await, SessionEvent::Ended { .. }));
    }
}
