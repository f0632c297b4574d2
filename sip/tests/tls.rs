//! SIP over TLS between endpoints on loopback: who is trusted, what is refused and why, and floods.

mod secure;

use std::net::SocketAddr;
use std::time::Duration;

use nightline_sip::{
    Account, Credentials, DigestAlgorithm, Direction, Endpoint, EndpointConfig, Error, Register,
    RegistrarConfig, RegistrationState, Roots, Secret, SessionEvent, TlsConfig, TlsError, Transport,
};
use secure::{Authority, LOOPBACK, call, dial, endpoint, media, port, refused, soon};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpSocket, TcpStream};

#[tokio::test]
async fn a_call_over_tls_says_so_and_a_sips_call_stays_sips() {
    let ca = Authority::new("Test CA");
    let (caller, _calls) = endpoint(ca.tls(), |_| ()).await;
    let (callee, mut calls) = endpoint(ca.tls(), |_| ()).await;
    for (target, contact) in [
        (format!("sip:400@127.0.0.1:{};transport=tls", port(&callee)), "<sip:nightline@127.0.0.1:"),
        (format!("sips:400@127.0.0.1:{}", port(&callee)), "<sips:nightline@127.0.0.1:"),
        (format!("sips:400@localhost:{};transport=tcp", port(&callee)), "<sips:nightline@127.0.0.1:"),
    ] {
        let (ours, mut theirs, arrived) =
            call(&caller, &mut calls, dial(target.clone(), 30_000), media(31_000)).await;
        assert!(arrived.via.starts_with("SIP/2.0/TLS "), "{target}: {}", arrived.via);
        assert!(arrived.contact.starts_with(contact), "{target}: {}", arrived.contact);
        assert_eq!(arrived.contact.contains("transport=tls"), target.starts_with("sip:"), "{target}");
        assert_eq!(arrived.uri, target);
        ours.hold();
        let event = soon("hold", theirs.event()).await;
        assert!(matches!(event, SessionEvent::Media(media) if media.direction == Direction::RecvOnly));
        drop(ours);
        assert!(matches!(soon("the end", theirs.event()).await, SessionEvent::Ended { .. }));
    }
}

#[tokio::test]
async fn a_server_is_believed_by_its_ca_and_its_name_only() {
    let (ca, other) = (Authority::new("Test CA"), Authority::new("Other CA"));
    let (callee, mut calls) = endpoint(ca.tls(), |_| ()).await;
    let target = format!("sips:400@127.0.0.1:{}", port(&callee));

    let (stranger, _calls) = endpoint(other.client(), |_| ()).await;
    let (code, reason) = refused(&stranger, dial(target.clone(), 30_000)).await;
    assert_eq!(code, 503);
    assert!(reason.contains("signed by no CA that we trust") && reason.contains("tls.roots"), "{reason}");

    let identity = Some(ca.issue("elsewhere", &["pbx.example"], |_| ()));
    let (elsewhere, _more) = endpoint(TlsConfig { identity, ..ca.tls() }, |_| ()).await;
    let (friend, _calls) = endpoint(ca.client(), |_| ()).await;
    for host in ["127.0.0.1", "localhost"] {
        let target = format!("sips:400@{host}:{}", port(&elsewhere));
        let (code, reason) = refused(&friend, dial(target, 30_000)).await;
        assert!(code == 503 && reason.contains("not for the name"), "{host}: {code} {reason}");
    }
    // A client without a certificate is good enough where none is wanted.
    call(&friend, &mut calls, dial(target, 30_000), media(31_000)).await;
}

#[tokio::test]
async fn a_server_that_wants_client_certificates_takes_those_of_its_ca_only() {
    let (ca, other) = (Authority::new("Test CA"), Authority::new("Other CA"));
    let strict = TlsConfig { client_ca: Some(ca.ca()), ..ca.tls() };
    let (callee, mut calls) = endpoint(strict, |_| ()).await;
    let target = format!("sips:400@127.0.0.1:{}", port(&callee));
    let forged = TlsConfig { roots: Roots::File(ca.ca()), ..other.tls() };
    for (who, tls) in [("nobody", ca.client()), ("a stranger", forged)] {
        let (caller, _calls) = endpoint(tls, |_| ()).await;
        let (code, reason) = refused(&caller, dial(target.clone(), 30_000)).await;
        assert!(code == 503 && reason.contains("client certificate"), "{who}: {code} {reason}");
    }
    let (caller, _calls) = endpoint(ca.tls(), |_| ()).await;
    call(&caller, &mut calls, dial(target, 30_000), media(31_000)).await;
}

#[tokio::test]
async fn other_certificates_are_taken_while_a_call_is_up() {
    let (old, new) = (Authority::new("Old CA"), Authority::new("New CA"));
    let (callee, mut calls) = endpoint(old.tls(), |_| ()).await;
    let target = format!("sips:400@127.0.0.1:{}", port(&callee));
    let (before, _calls) = endpoint(old.client(), |_| ()).await;
    let (ours, mut theirs, _) = call(&before, &mut calls, dial(target.clone(), 30_000), media(31_000)).await;

    let broken = TlsConfig { identity: None, client_ca: Some(new.write("bad.pem", "nothing")), ..new.tls() };
    let error = callee.reload_tls(&broken).await.expect_err("a broken file");
    assert!(matches!(error, Error::Tls(TlsError::NoCertificate { .. })), "{error}");
    let (still, _calls) = endpoint(old.client(), |_| ()).await;
    call(&still, &mut calls, dial(target.clone(), 30_000), media(31_000)).await;

    callee.reload_tls(&new.tls()).await.expect("good certificates");
    ours.hold();
    let event = soon("hold", theirs.event()).await;
    assert!(matches!(event, SessionEvent::Media(media) if media.direction == Direction::RecvOnly));
    let (after, _calls) = endpoint(new.client(), |_| ()).await;
    call(&after, &mut calls, dial(target.clone(), 30_000), media(31_000)).await;
    let (late, _calls) = endpoint(old.client(), |_| ()).await;
    let (code, reason) = refused(&late, dial(target, 30_000)).await;
    assert!(code == 503 && reason.contains("signed by no CA"), "{code} {reason}");
}

/// Whether an error is the right one.
type Fits = fn(&TlsError) -> bool;

#[tokio::test]
async fn what_is_wrong_with_a_file_is_said() {
    let ca = Authority::new("Test CA");
    let good = ca.issue("good", &["localhost"], |_| ());
    let more = ca.issue("more", &["localhost"], |_| ());
    let past = ca.issue("past", &["localhost"], |params| params.not_after = rcgen::date_time_ymd(2020, 1, 1));
    let coming =
        ca.issue("coming", &["localhost"], |params| params.not_before = rcgen::date_time_ymd(4000, 1, 1));
    let pem = std::fs::read_to_string(&good.certificate).expect("a file");
    let cut = ca.write("cut.pem", pem.get(..pem.len() / 2).unwrap_or_default());
    let garbled = ca.write("garbled.pem", &pem.replace('M', "!"));
    let noise = ca.write("noise.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let nowhere = ca.folder().join("nowhere.pem");
    let of = |certificate: &std::path::Path, key: &std::path::Path| {
        let (certificate, key) = (certificate.to_owned(), key.to_owned());
        let identity = Some(nightline_sip::CertificateFiles { certificate, key });
        TlsConfig { identity, roots: Roots::File(ca.ca()), ..TlsConfig::default() }
    };
    let cases: [(&str, TlsConfig, Fits); 11] = [
        ("no file", of(&nowhere, &good.key), |e| matches!(e, TlsError::Unreadable { .. })),
        ("no key file", of(&good.certificate, &nowhere), |e| matches!(e, TlsError::Unreadable { .. })),
        ("cut off", of(&cut, &good.key), |e| matches!(e, TlsError::Pem { .. })),
        ("garbled", of(&garbled, &good.key), |e| matches!(e, TlsError::Pem { .. })),
        ("no certificate", of(&good.key, &good.key), |e| matches!(e, TlsError::NoCertificate { .. })),
        ("noise", of(&noise, &good.key), |e| matches!(e, TlsError::Certificate { number: 1, .. })),
        ("no key", of(&good.certificate, &good.certificate), |e| matches!(e, TlsError::Key { .. })),
        ("another key", of(&good.certificate, &more.key), |e| matches!(e, TlsError::Mismatch { .. })),
        ("expired", of(&past.certificate, &past.key), |e| matches!(e, TlsError::Validity { .. })),
        ("not yet good", of(&coming.certificate, &coming.key), |e| matches!(e, TlsError::Validity { .. })),
        ("a bad CA", TlsConfig { client_ca: Some(noise.clone()), ..of(&good.certificate, &good.key) }, |e| {
            matches!(e, TlsError::Certificate { .. })
        }),
    ];
    let listen = vec![(Transport::Tls, SocketAddr::new(LOOPBACK, 0))];
    for (why, tls, fits) in cases {
        let error = tls.check().expect_err(why);
        assert!(fits(&error), "{why}: {error:?}");
        let config = EndpointConfig { listen: listen.clone(), tls: Some(tls), ..EndpointConfig::default() };
        let bound = Endpoint::bind(config).await.map(|_| ()).expect_err(why).to_string();
        assert_eq!(bound, error.to_string());
        assert!(bound.contains(".pem") || bound.contains(".key"), "{why}: {bound}");
    }
    of(&good.certificate, &good.key).check().expect("good files");
    let without = Endpoint::bind(EndpointConfig { listen, ..EndpointConfig::default() }).await;
    assert!(matches!(without, Err(Error::Tls(TlsError::NotConfigured))));
}

/// A connection to an endpoint from another loopback address, as if from elsewhere.
async fn connect(from: [u8; 4], to: u16) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(SocketAddr::from((from, 0))).expect("a loopback address");
    soon("a connection", socket.connect(SocketAddr::new(LOOPBACK, to))).await.expect("connected")
}

#[tokio::test]
async fn half_open_handshakes_are_bounded_in_number_and_time_and_keep_nobody_out() {
    let ca = Authority::new("Test CA");
    let limits = |tls| TlsConfig { max_handshakes: 16, handshake_timeout: Duration::from_secs(4), ..tls };
    let (callee, mut calls) = endpoint(limits(ca.tls()), |config| config.max_connections = 4).await;
    let to = port(&callee);
    // More half-open ones than handshakes and connections may be, and none of them says a word.
    let mut flood = Vec::new();
    for i in 0..200u8 {
        flood.push(connect([127, 0, 0, 2 + i % 3], to).await);
    }
    let (caller, _calls) = endpoint(ca.client(), |_| ()).await;
    let target = format!("sips:400@127.0.0.1:{to}");
    let pair = call(&caller, &mut calls, dial(target, 30_000), media(31_000)).await;

    // All but sixteen were closed for others; those sixteen are when their time is over.
    let mut at_once = 0;
    for stream in &mut flood {
        let mut byte = [0];
        let end = tokio::time::timeout(Duration::from_millis(1), stream.read(&mut byte)).await;
        at_once += usize::from(matches!(end, Ok(Ok(0) | Err(_))));
    }
    assert!(at_once >= flood.len() - 16, "{at_once} of {} were closed", flood.len());
    for stream in &mut flood {
        let mut byte = [0];
        let end = soon("the end of a silent handshake", stream.read(&mut byte)).await;
        assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    }
    drop(pair);
}

#[tokio::test]
async fn what_is_no_tls_is_turned_away_and_so_is_everybody_without_a_certificate_of_ours() {
    let ca = Authority::new("Test CA");
    let (callee, mut calls) = endpoint(ca.tls(), |_| ()).await;
    let mut plain = connect([127, 0, 0, 1], port(&callee)).await;
    tokio::io::AsyncWriteExt::write_all(&mut plain, b"OPTIONS sip:a SIP/2.0\r\nl: 0\r\n\r\n")
        .await
        .expect("sent");
    let mut rest = Vec::new();
    let _ = soon("the end", plain.read_to_end(&mut rest)).await;
    assert!(!rest.starts_with(b"SIP/2.0"), "answered in the clear");

    let (client_only, _calls) = endpoint(ca.client(), |_| ()).await;
    let mut stream = connect([127, 0, 0, 1], port(&client_only)).await;
    let mut byte = [0];
    let end = soon("the end", stream.read(&mut byte)).await;
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    let target = format!("sips:400@127.0.0.1:{}", port(&callee));
    call(&client_only, &mut calls, dial(target, 30_000), media(31_000)).await;
}

#[tokio::test]
async fn a_phone_registers_over_tls_and_is_called_on_its_connection() {
    let ca = Authority::new("Test CA");
    let secret = || Secret::Password("secret".to_owned());
    let (desk, _calls) = endpoint(ca.tls(), |config| {
        config.accounts = vec![Account { user: "2001".to_owned(), realm: None, secret: secret() }];
        config.registrar =
            RegistrarConfig { algorithms: vec![DigestAlgorithm::Sha256], ..RegistrarConfig::default() };
    })
    .await;
    let (phone, mut calls) = endpoint(ca.client(), |config| {
        config.credentials = vec![Credentials { realm: None, user: "2001".to_owned(), secret: secret() }];
    })
    .await;
    let mut registration = phone
        .register(Register {
            registrar: format!("sips:localhost:{}", port(&desk)),
            aor: "sip:2001@nightline".to_owned(),
            expires: Duration::from_secs(60),
        })
        .await
        .expect("a good registrar");
    let state = soon("the registration", registration.changed()).await;
    assert!(matches!(state, RegistrationState::Registered { .. }), "{state:?}");
    let bindings = desk.bindings(Some("2001")).await;
    assert_eq!(bindings.iter().map(|b| b.transport).collect::<Vec<_>>(), [Transport::Tls]);
    assert!(bindings[0].contact.starts_with("sips:2001@127.0.0.1:"), "{}", bindings[0].contact);
    call(&desk, &mut calls, dial("sip:2001@nightline".to_owned(), 30_000), media(31_000)).await;
}

#[tokio::test]
async fn a_target_that_tls_cannot_reach_is_refused_before_anything_is_sent() {
    let listen = vec![(Transport::Udp, SocketAddr::new(LOOPBACK, 0))];
    let (plain, _calls) =
        Endpoint::bind(EndpointConfig { listen, ..EndpointConfig::default() }).await.expect("a free port");
    let error = plain.dial(dial("sips:400@127.0.0.1".to_owned(), 30_000)).await.expect_err("no TLS");
    assert!(error.to_string().contains("no TLS listener"), "{error}");
    let ca = Authority::new("Test CA");
    let (secured, _calls) = endpoint(ca.client(), |_| ()).await;
    let target = "sips:400@127.0.0.1;transport=udp".to_owned();
    let error = secured.dial(dial(target, 30_000)).await.expect_err("TLS over UDP");
    assert!(error.to_string().contains("not over UDP"), "{error}");
}
