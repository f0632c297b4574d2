//! Real phones as seats: baresip and linphonec. `make test-peers` installs them and runs these.

mod secure;

use std::future::Future;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nightline_sip::rtp::{FRAME, MediaConfig, MediaPort, MediaSession, MediaStats};
use nightline_sip::{
    Account, Codec, Dial, DigestAlgorithm, Endpoint, EndpointConfig, IncomingCalls, LocalMedia,
    OutgoingEvent, RegistrarConfig, RegistrarEvent, Seats, Secret, Session, SessionEvent, SrtpPolicy,
    SrtpSuite, TransferStage, Transport,
    uui::{self, Uui},
};
use secure::Authority;

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

/// What it speaks: what it hears.
const ECHO: &str = "aubridge,sink";

/// `source` is what it speaks, `config_too` and `account_too` are more of its settings.
fn baresip(
    name: &str,
    desk: SocketAddr,
    transport: &str,
    source: &str,
    config_too: &str,
    account_too: &str,
) -> Phone {
    let folder = folder(&format!("baresip-{name}"));
    let config = format!(
        "poll_method epoll\nsip_listen 127.0.0.1:{}\naudio_player aubridge,sink\naudio_source {source}\n\
         audio_alert aubridge,alert\nnet_interface 127.0.0.1\nmodule_path /usr/lib/baresip/modules\n\
         module stdio.so\nmodule g711.so\nmodule aubridge.so\nmodule_tmp uuid.so\nmodule_tmp account.so\nmodule_app menu.so\n\
         {config_too}",
        free_port()
    );
    let account = format!(
        "<sip:2001@{desk};transport={transport}>;auth_user=2001;auth_pass=secret;regint=60;answermode=auto;\
         audio_codecs=PCMA/8000/1{account_too}\n"
    );
    write(&folder, "config", &config);
    write(&folder, "accounts", &account);
    write(&folder, "contacts", "");
    let mut command = Command::new("baresip");
    command.arg("-f").arg(&folder).arg("-4");
    Phone::start("baresip", folder, command)
}

/// With an account at the desk, or without any at this port. With a CA, over TLS and by SRTP only.
fn linphone(desk: Option<SocketAddr>, port: u16, ca: Option<&Authority>) -> Phone {
    let folder = folder(&format!("linphone-{port}"));
    for part in [".local/share/linphone", ".config/linphone"] {
        std::fs::create_dir_all(folder.join(part)).expect("a folder");
    }
    let transport = if ca.is_some() { ";transport=tls" } else { "" };
    let secured = ca.map_or_else(String::new, |ca| {
        // It knows no addresses in certificates, only names.
        format!(
            "root_ca={}\nverify_server_cn=0\nmedia_encryption=srtp\nmedia_encryption_mandatory=1\n",
            ca.ca().display()
        )
    });
    let account = desk.map_or_else(String::new, |desk| {
        format!(
            "default_proxy=0\n[proxy_0]\nreg_proxy=<sip:{desk}{transport}>\nreg_identity=sip:2001@nightline\nreg_expires=120\n\
             reg_sendregister=1\npublish=0\n[auth_info_0]\nusername=2001\npasswd=secret\nrealm=nightline\n"
        )
    });
    let config = format!(
        "[sip]\nsip_port={port}\nsip_tcp_port={port}\nsip_tls_port={tls}\nuse_ipv6=0\nipv6_migration_done=1\n\
         {secured}{account}[rtp]\naudio_rtp_port={rtp}\nsymmetric=1\n[net]\nfirewall_policy=0\n\
         [sound]\nplayback_dev_id=\ncapture_dev_id=\nechocancellation=0\n\
         [audio_codec_0]\nmime=PCMA\nrate=8000\nenabled=1\n",
        tls = if ca.is_some() { -1 } else { 0 },
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
        let mut phone = baresip(name, desk.local_addr(transport).expect("a listener"), name, ECHO, "", "");
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
    let mut phone = linphone(desk.local_addr(Transport::Udp), free_port(), None);
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
    let mut phone = linphone(None, port, None);
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

#[expect(clippy::disallowed_methods, reason = "a phone lives in real time")]
fn now() -> Instant {
    Instant::now()
}

/// Talks to the phone for this long; how loud its echo was in the last half second, and what was counted.
async fn talk(media: &mut MediaSession, time: Duration) -> (u32, MediaStats) {
    let ticks = (time.as_millis() / 20) as u32;
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    let mut level = 0;
    for frame in 0..ticks {
        tick.tick().await;
        media.drain(now());
        let heard = media.pull(now());
        if frame + 25 >= ticks {
            level += heard.audio.iter().map(|sample| u32::from(sample.unsigned_abs())).sum::<u32>();
        }
        // 500 Hz: sixteen samples.
        media.push(now(), &std::array::from_fn::<_, FRAME, _>(|i| if i % 16 < 8 { 6_000 } else { -6_000 }));
    }
    (level / 25 / FRAME as u32, media.stats())
}

fn secured(session: &Session, port: MediaPort, suite: SrtpSuite) -> MediaSession {
    let params = session.media();
    assert_eq!(params.srtp.as_deref().map(|srtp| srtp.suite), Some(suite));
    let mut media = MediaSession::new(now(), port, MediaConfig::new(params.remote, Codec::Pcma));
    media.secure(now(), params.srtp.as_deref());
    media
}

fn local(port: &MediaPort) -> LocalMedia {
    LocalMedia { ip: LOOPBACK, port: port.local().port(), codecs: vec![Codec::Pcma] }
}

/// A desk on TLS that requires SRTP.
async fn secured_desk(ca: &Authority) -> (Endpoint, IncomingCalls) {
    let secret = Secret::Password("secret".to_owned());
    let (desk, calls) = secure::endpoint(ca.tls(), |config| {
        config.accounts = vec![Account { user: "2001".to_owned(), realm: None, secret }];
        config.registrar =
            RegistrarConfig { algorithms: vec![DigestAlgorithm::Md5], ..RegistrarConfig::default() };
        config.srtp = SrtpPolicy::Required;
    })
    .await;
    (desk, calls)
}

/// The same with baresip as its seat.
async fn desk_and_baresip(ca: &Authority, source: &str) -> (Endpoint, IncomingCalls, Phone) {
    let (desk, calls) = secured_desk(ca).await;
    let mut seats = desk.seats();
    let address = desk.local_addr(Transport::Tls).expect("a listener");
    let settings = format!("module srtp.so\nmodule aufile.so\nsip_cafile {}\n", ca.ca().display());
    let name = format!("tls-{}", &source[..3]);
    let phone = baresip(&name, address, "tls", source, &settings, ";mediaenc=srtp-mand");
    registered(&mut seats).await;
    (desk, calls, phone)
}

/// It plays what it hears into its own microphone, so we hear ourselves if encryption works both ways.
#[tokio::test]
#[ignore = "needs baresip-core"]
async fn baresip_over_tls_hears_us_and_is_heard_by_srtp() {
    let ca = Authority::new("Test CA");
    let (desk, _calls, mut phone) = desk_and_baresip(&ca, ECHO).await;
    let port = MediaPort::bind(LOOPBACK, 20_000..=59_999).expect("a free pair");
    let mut dial = dial("sip:2001@nightline");
    dial.local = local(&port);
    let mut outgoing = desk.dial(dial).await.expect("a call");
    let session = loop {
        match soon("an answer", outgoing.event()).await {
            OutgoingEvent::Answered(session) => break session,
            OutgoingEvent::Failed { code, reason, .. } => panic!("not answered: {code} {reason}"),
            _ => {}
        }
    };
    let mut media = secured(&session, port, SrtpSuite::AeadAes256Gcm);
    // Long enough for its report.
    let (level, stats) = talk(&mut media, Duration::from_secs(8)).await;
    assert!(level > 3_000 && stats.received > 350, "{level} {stats:?}");
    assert!(stats.remote_loss == Some(0.0), "no report of the phone could be read: {stats:?}");
    // It opens the way through a NAT by one RTCP packet in the clear.
    assert!(stats.srtp_forged <= 1 && stats.srtp_replayed == 0, "{stats:?}");
    phone.say("q");
}

/// A minute of 500 Hz in a WAV file: 16 bits, mono, 8 kHz.
fn tone(folder: &Authority) -> PathBuf {
    let samples = (0..480_000).flat_map(|i| if i % 16 < 8 { [0x70, 0x17] } else { [0x90, 0xe8] });
    let data: Vec<u8> = samples.collect();
    let mut file = b"RIFF".to_vec();
    file.extend((36 + data.len() as u32).to_le_bytes());
    file.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0data");
    file.extend((data.len() as u32).to_le_bytes());
    file.extend(data);
    let path = folder.folder().join("tone.wav");
    std::fs::write(&path, file).expect("a file");
    path
}

/// It speaks a tone of its own: what it hears would not come back after a hold, encrypted or not.
#[tokio::test]
#[ignore = "needs baresip-core"]
async fn baresip_calls_us_over_tls_and_holds_and_resumes_with_srtp() {
    let ca = Authority::new("Test CA");
    let (desk, mut calls, mut phone) =
        desk_and_baresip(&ca, &format!("aufile,{}", tone(&ca).display())).await;
    let address = desk.local_addr(Transport::Tls).expect("a listener");
    phone.say(&format!("/dial sip:400@{address};transport=tls"));
    let incoming = soon("its call", calls.next()).await.expect("a running endpoint");
    assert!(incoming.header("Via").is_some_and(|via| via.starts_with("SIP/2.0/TLS ")));
    let port = MediaPort::bind(LOOPBACK, 20_000..=59_999).expect("a free pair");
    let mut session = soon("the answer", incoming.answer(local(&port))).await.expect("an answered call");
    let mut media = secured(&session, port, SrtpSuite::Aes128CmHmacSha1_80);
    let (level, stats) = talk(&mut media, Duration::from_secs(2)).await;
    assert!(level > 3_000, "{level} {stats:?}");
    // Its keys for hold and resume; it describes itself anew each time.
    for key in ["x", "X"] {
        phone.say(key);
        let SessionEvent::Media(params) = soon("new media", session.event()).await else {
            panic!("no new media")
        };
        assert!(params.srtp.is_some() && params.direction.sends() == (key == "X"), "{params:?}");
        let mut config = MediaConfig::new(params.remote, Codec::Pcma);
        (config.send, config.receive) = (params.direction.sends(), params.direction.receives());
        media.configure(config);
        media.secure(now(), params.srtp.as_deref());
        talk(&mut media, Duration::from_secs(1)).await;
    }
    let (level, stats) = talk(&mut media, Duration::from_secs(2)).await;
    assert!(level > 3_000 && stats.srtp_forged <= 1 && stats.srtp_replayed == 0, "{level} {stats:?}");
    phone.say("q");
}

/// It has no microphone here, so it speaks silence; what it hears is in its reports.
#[tokio::test]
#[ignore = "needs linphone-cli"]
async fn linphone_over_tls_is_called_with_srtp() {
    let ca = Authority::new("Test CA");
    let (desk, _calls) = secured_desk(&ca).await;
    let mut seats = desk.seats();
    let mut phone = linphone(desk.local_addr(Transport::Tls), free_port(), Some(&ca));
    registered(&mut seats).await;
    let port = MediaPort::bind(LOOPBACK, 20_000..=59_999).expect("a free pair");
    let mut dial = dial("sip:2001@nightline");
    dial.local = local(&port);
    let mut outgoing = desk.dial(dial).await.expect("a call");
    let session = loop {
        match soon("an answer", outgoing.event()).await {
            OutgoingEvent::Answered(session) => break session,
            OutgoingEvent::Failed { code, reason, .. } => panic!("not answered: {code} {reason}"),
            _ => {}
        }
    };
    let mut media = secured(&session, port, SrtpSuite::Aes256CmHmacSha1_80);
    let (_, stats) = talk(&mut media, Duration::from_secs(8)).await;
    // It reports on what it could decrypt, and we can decrypt that.
    assert!(stats.remote_loss == Some(0.0) && stats.remote_jitter.is_some(), "{stats:?}");
    assert_eq!((stats.srtp_forged, stats.srtp_replayed), (0, 0), "{stats:?}");
    phone.say("quit");
}
