//! A real exchange in front of us: kamailio. `make test-peers` installs it and runs these.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nightline_sip::{
    Codec, Credentials, Dial, Endpoint, EndpointConfig, IncomingCalls, LocalMedia, OutgoingEvent, Register,
    Registration, RegistrationState, Secret, SessionEvent, Transport,
};

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// No step takes longer than this.
async fn soon<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), work)
        .await
        .unwrap_or_else(|_| panic!("{what} took over 20 s"))
}

/// Asks for a password before a registration and before a call, and stays in the path of the call.
const CONFIG: &str = r#"#!KAMAILIO
fork=no
children=1
listen=udp:127.0.0.1:PORT
listen=tcp:127.0.0.1:PORT
loadmodule "kex.so"
loadmodule "pv.so"
loadmodule "sl.so"
loadmodule "tm.so"
loadmodule "rr.so"
loadmodule "siputils.so"
loadmodule "textops.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "auth.so"
modparam("auth", "nonce_count", 1)
modparam("auth", "qop", "auth")
modparam("auth", "algorithm", "ALGORITHM")
modparam("registrar", "max_expires", 60)
modparam("usrloc", "db_mode", 0)
request_route {
    if (is_method("CANCEL")) { if (t_check_trans()) t_relay(); exit; }
    if (has_totag()) { loose_route(); t_relay(); exit; }
    if (is_method("REGISTER")) {
        if (!pv_www_authenticate("pbx", "right", "0")) { www_challenge("pbx", "1"); exit; }
        save("location"); exit;
    }
    if (!pv_proxy_authenticate("pbx", "right", "0")) { proxy_challenge("pbx", "1"); exit; }
    consume_credentials();
    record_route();
    if (!lookup("location")) { sl_send_reply("404", "Not Found"); exit; }
    t_relay();
}
"#;

struct Exchange {
    process: Child,
    file: PathBuf,
    port: u16,
}

impl Exchange {
    fn start(algorithm: &str) -> Self {
        let socket = std::net::TcpListener::bind((LOOPBACK, 0)).expect("a free port");
        let port = socket.local_addr().expect("an address").port();
        drop(socket);
        let file = std::env::temp_dir().join(format!("nightline-kamailio-{}-{port}", std::process::id()));
        let config = CONFIG.replace("PORT", &port.to_string()).replace("ALGORITHM", algorithm);
        std::fs::write(&file, config).expect("a configuration file");
        // Debian puts it where not every user's path leads.
        let there = PathBuf::from("/usr/sbin/kamailio");
        let process = Command::new(if there.exists() { there } else { "kamailio".into() })
            .args(["-DD", "-E", "-f"])
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("kamailio starts");
        Self { process, file, port }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        // It has children of its own, which end with it only if it is asked kindly.
        let _ = Command::new("kill").arg(self.process.id().to_string()).status();
        let _ = self.process.wait();
        let _ = std::fs::remove_file(&self.file);
    }
}

async fn phone(user: &str, password: &str) -> (Endpoint, IncomingCalls) {
    let any = SocketAddr::new(LOOPBACK, 0);
    let secret = Secret::Password(password.to_owned());
    let config = EndpointConfig {
        listen: vec![(Transport::Udp, any), (Transport::Tcp, any)],
        credentials: vec![Credentials { realm: Some("pbx".to_owned()), user: user.to_owned(), secret }],
        ..EndpointConfig::default()
    };
    Endpoint::bind(config).await.expect("free ports")
}

fn suffix(transport: Transport) -> &'static str {
    if transport == Transport::Tcp { ";transport=tcp" } else { "" }
}

async fn register(phone: &Endpoint, user: &str, exchange: &Exchange, transport: Transport) -> Registration {
    let host = format!("127.0.0.1:{}", exchange.port);
    let register = Register {
        registrar: format!("sip:{host}{}", suffix(transport)),
        aor: format!("sip:{user}@{host}"),
        expires: Duration::from_secs(120),
    };
    phone.register(register).await.expect("a registration under way")
}

fn media(port: u16) -> LocalMedia {
    LocalMedia { ip: LOOPBACK, port, codecs: vec![Codec::Pcma] }
}

#[tokio::test]
#[ignore = "needs kamailio"]
async fn an_exchange_registers_us_and_lets_us_call_and_be_called() {
    for algorithm in ["", "SHA-256"] {
        let exchange = Exchange::start(algorithm);
        for transport in [Transport::Udp, Transport::Tcp] {
            let (caller, _calls) = phone("100", "right").await;
            let (callee, mut calls) = phone("200", "right").await;
            let mut registration = register(&callee, "200", &exchange, transport).await;
            // It may be asked before it listens; the back-off is a few seconds then.
            let up = RegistrationState::Registered { expires: Duration::from_secs(60) };
            soon("the registration", async { while registration.changed().await != up {} }).await;

            let target = format!("sip:200@127.0.0.1:{}{}", exchange.port, suffix(transport));
            let dial = Dial {
                target,
                from: format!("sip:100@127.0.0.1:{}", exchange.port),
                display: None,
                headers: Vec::new(),
                local: media(30_000),
                ring_timeout: Duration::from_secs(15),
            };
            let mut call = caller.dial(dial).await.expect("a call");
            let incoming = soon("the call", calls.next()).await.expect("a running endpoint");
            let mut theirs =
                soon("the answer", incoming.answer(media(31_000))).await.expect("an answered call");
            let event = soon("the answer", call.event()).await;
            let OutgoingEvent::Answered(ours) = event else { panic!("told {event:?}") };
            ours.hangup(None);
            let event = soon("the end", theirs.event()).await;
            assert!(matches!(event, SessionEvent::Ended { .. }), "told {event:?}");
            soon("shutdown", callee.shutdown()).await;
            assert_eq!(registration.changed().await, RegistrationState::Ended);
        }
    }
}

#[tokio::test]
#[ignore = "needs kamailio"]
async fn an_exchange_that_refuses_our_password_is_told() {
    let exchange = Exchange::start("SHA-256");
    let (phone, _calls) = phone("100", "wrong").await;
    let mut registration = register(&phone, "100", &exchange, Transport::Udp).await;
    let state = soon("the refusal", registration.changed()).await;
    assert!(matches!(state, RegistrationState::Failed { code: 401, .. }), "told {state:?}");
}
