//! Real phones as seats: baresip and linphonec, where they are installed (`apt-get install baresip-core linphone-cli`).
//!
//!     cargo nextest run -p nightline-sip --run-ignored only phones

use std::future::Future;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nightline_sip::{
    Account, Codec, Dial, DigestAlgorithm, Endpoint, EndpointConfig, IncomingCalls, LocalMedia,
    OutgoingEvent, RegistrarConfig, RegistrarEvent, Seats, Secret, Session, SessionEvent, TransferStage,
    Transport,
    uui::{self, Uui},
};

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// No step takes longer than this; a phone takes its time to start.
async fn soon<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), work)
        .await
        .unwrap_or_else(|_| panic!("{what} took over 20 s"))
}

/// A phone and its folder; both are gone when it is dropped.
struct Phone {
    process: Child,
    folder: PathBuf,
}

impl Phone {
    fn start(name: &str, folder: PathBuf, mut command: Command) -> Self {
        let log = std::fs::File::create(folder.join("log")).expect("a log file");
        command.stdin(Stdio::piped()).stdout(log.try_clone().expect("a log file")).stderr(log);
        let process = command.spawn().unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        Self { process, folder }
    }

    fn say(&mut self, line: &str) {
        let input = self.process.stdin.as_mut().expect("a phone with an input");
        writeln!(input, "{line}").expect("a phone that listens");
    }
}

impl Drop for Phone {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            eprintln!("what the phone said:\n{log}");
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("nightline-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}

fn free_port() -> u16 {
    let socket = std::net::UdpSocket::bind((LOOPBACK, 0)).expect("a free port");
    socket.local_addr().expect("an address").port()
}

async fn desk(algorithms: Vec<DigestAlgorithm>) -> (Endpoint, IncomingCalls) {
    let any = SocketAddr::new(LOOPBACK, 0);
    let secret = Secret::Password("secret".to_owned());
    let config = EndpointConfig {
        listen: vec![(Transport::Udp, any), (Transport::Tcp, any)],
        accounts: vec![Account { user: "2001".to_owned(), realm: None, secret }],
        registrar: RegistrarConfig { algorithms, ..RegistrarConfig::default() },
        ..EndpointConfig::default()
    };
    Endpoint::bind(config).await.expect("free ports")
}

fn dial(target: &str) -> Dial {
    Dial {
        target: target.to_owned(),
        from: "sip:desk@127.0.0.1".to_owned(),
        display: None,
        headers: Vec::new(),
        local: LocalMedia { ip: LOOPBACK, port: free_port(), codecs: vec![Codec::Pcma, Codec::Pcmu] },
        ring_timeout: Duration::from_secs(15),
    }
}

async fn call(desk: &Endpoint, target: &str) -> Session {
    let mut call = desk.dial(dial(target)).await.expect("a call");
    loop {
        match soon("an answer", call.event()).await {
            OutgoingEvent::Answered(session) => return session,
            OutgoingEvent::Failed { code, reason, .. } => panic!("not answered: {code} {reason}"),
            _ => {}
        }
    }
}

async fn registered(seats: &mut Seats) {
    let event = soon("the registration", seats.next()).await;
    assert!(matches!(event, Some(RegistrarEvent::Registered(_))), "told {event:?}");
}

fn baresip(desk: SocketAddr, transport: &str) -> Phone {
    let folder = folder(&format!("baresip-{transport}"));
    let config = format!(
        "poll_method epoll\nsip_listen 127.0.0.1:{}\naudio_player aubridge,sink\naudio_source aubridge,sink\n\
         audio_alert aubridge,alert\nnet_interface 127.0.0.1\nmodule_path /usr/lib/baresip/modules\n\
         module stdio.so\nmodule g711.so\nmodule aubridge.so\nmodule_tmp uuid.so\nmodule_tmp account.so\nmodule_app menu.so\n",
        free_port()
    );
    let account = format!(
        "<sip:2001@{desk};transport={transport}>;auth_user=2001;auth_pass=secret;regint=60;answermode=auto;\
         audio_codecs=PCMA/8000/1\n"
    );
    write(&folder, "config", &config);
    write(&folder, "accounts", &account);
    write(&folder, "contacts", "");
    let mut command = Command::new("baresip");
    command.arg("-f").arg(&folder).arg("-4");
    Phone::start("baresip", folder, command)
}

/// With an account at the desk, or without any at this port.
fn linphone(desk: Option<SocketAddr>, port: u16) -> Phone {
    let folder = folder(&format!("linphone-{port}"));
    for part in [".local/share/linphone", ".config/linphone"] {
        std::fs::create_dir_all(folder.join(part)).expect("a folder");
    }
    let account = desk.map_or_else(String::new, |desk| {
        format!(
            "default_proxy=0\n[proxy_0]\nreg_proxy=<sip:{desk}>\nreg_identity=sip:2001@nightline\nreg_expires=120\n\
             reg_sendregister=1\npublish=0\n[auth_info_0]\nusername=2001\npasswd=secret\nrealm=nightline\n"
        )
    });
    let config = format!(
        "[sip]\nsip_port={port}\nsip_tcp_port={port}\nsip_tls_port=0\nuse_ipv6=0\nipv6_migration_done=1\n\
         {account}[rtp]\naudio_rtp_port={rtp}\nsymmetric=1\n[net]\nfirewall_policy=0\n\
         [sound]\nplayback_dev_id=\ncapture_dev_id=\nechocancellation=0\n\
         [audio_codec_0]\nmime=PCMA\nrate=8000\nenabled=1\n",
        rtp = free_port() & !1,
    );
    write(&folder, "linphonerc", &config);
    let mut command = Command::new("linphonec");
    command.arg("-c").arg(folder.join("linphonerc")).env("HOME", &folder);
    for name in ["XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR"] {
        command.env_remove(name);
    }
    let mut phone = Phone::start("linphonec", folder, command);
    phone.say("autoanswer enable");
    phone
}

fn write(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text).expect("a configuration file");
}

#[tokio::test]
#[ignore = "needs baresip-core"]
async fn baresip_registers_is_called_and_leaves() {
    for (transport, name) in [(Transport::Udp, "udp"), (Transport::Tcp, "tcp")] {
        // It takes no other challenge than a lone MD5.
        let (desk, _calls) = desk(vec![DigestAlgorithm::Md5]).await;
        let mut seats = desk.seats();
        let mut phone = baresip(desk.local_addr(transport).expect("a listener"), name);
        registered(&mut seats).await;
        let session = call(&desk, "sip:2001@nightline").await;
        assert_eq!(session.media().codec, Codec::Pcma);
        drop(session);
        // `q` is its key for the end; it takes its registration back.
        phone.say("q");
        let event = soon("the end of the registration", seats.next()).await;
        assert!(matches!(event, Some(RegistrarEvent::Unregistered { left: 0, .. })), "told {event:?}");
    }
}

#[tokio::test]
#[ignore = "needs linphone-cli"]
async fn linphone_registers_by_sha_256_is_called_and_leaves() {
    let (desk, _calls) = desk(vec![DigestAlgorithm::Sha256, DigestAlgorithm::Md5]).await;
    let mut seats = desk.seats();
    let mut phone = linphone(desk.local_addr(Transport::Udp), free_port());
    registered(&mut seats).await;
    let session = call(&desk, "sip:2001@nightline").await;
    assert_eq!(session.media().codec, Codec::Pcma);
    drop(session);
    phone.say("unregister");
    let event = soon("the end of the registration", seats.next()).await;
    assert!(matches!(event, Some(RegistrarEvent::Unregistered { left: 0, .. })), "told {event:?}");
}

/// The phone has no account: with one, it would send the call to the seat through the desk, which forwards nothing.
#[tokio::test]
#[ignore = "needs linphone-cli"]
async fn linphone_takes_our_place_in_another_call() {
    let (desk, _calls) = desk(vec![DigestAlgorithm::Md5]).await;
    let port = free_port();
    let mut phone = linphone(None, port);
    // It takes a while until it listens: the INVITE is sent again meanwhile.
    let mut with_phone = call(&desk, &format!("sip:phone@127.0.0.1:{port}")).await;

    let listen = vec![(Transport::Udp, SocketAddr::new(LOOPBACK, 0))];
    let (seat, mut calls) =
        Endpoint::bind(EndpointConfig { listen, ..EndpointConfig::default() }).await.expect("a free port");
    let target = format!("sip:seat@{}", seat.local_addr(Transport::Udp).expect("a listener"));
    let answering = tokio::spawn(async move {
        let mut sessions = Vec::new();
        while sessions.len() < 2 {
            let incoming = calls.next().await.expect("a running endpoint");
            let (replaces, context) = (incoming.replaces(), incoming.user_to_user());
            let local = LocalMedia { ip: LOOPBACK, port: free_port(), codecs: vec![Codec::Pcma] };
            sessions.push((replaces, context, incoming.answer(local).await.expect("an answered call")));
        }
        sessions
    });
    let with_seat = call(&desk, &target).await;
    let context = Uui::new("ticket 7", "nightline");
    let carried = [(uui::HEADER.to_owned(), context.to_value().expect("a short text"))];
    with_phone.refer_replacing(&with_seat, &carried).expect("two calls of one endpoint");
    loop {
        match soon("progress", with_phone.event()).await {
            SessionEvent::ReferProgress { stage: TransferStage::Answered, .. } => break,
            SessionEvent::ReferProgress { stage: TransferStage::Failed, code, reason, .. } => {
                panic!("the transfer failed: {code} {reason}")
            }
            SessionEvent::Ended { .. } => panic!("the phone has hung up"),
            _ => {}
        }
    }
    let sessions = soon("both calls", answering).await.expect("the answering task");
    let [(first, _, old), (second, told, _new)] = sessions.as_slice() else { panic!("two calls were made") };
    assert_eq!((first, second.map(|replaces| replaces.call)), (&None, Some(old.key())));
    assert_eq!(*told, [context]);
    phone.say("quit");
}
