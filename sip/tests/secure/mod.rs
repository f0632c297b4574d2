//! Certificates, endpoints that use them, and calls between these, for the tests of TLS and SRTP.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nightline_sip::{
    CertificateFiles, Codec, Dial, Endpoint, EndpointConfig, IncomingCall, IncomingCalls, LocalMedia,
    OutgoingEvent, Roots, Session, TlsConfig, Transport,
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

pub const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// No step of a test takes longer than this.
pub async fn soon<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(15), work)
        .await
        .unwrap_or_else(|_| panic!("{what} took over 15 s"))
}

/// A certificate authority and the folder for what it signs; the folder goes with it.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: PathBuf,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        static LAST: AtomicU32 = AtomicU32::new(0);
        let unique = format!("{}-{}", std::process::id(), LAST.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(format!("nightline-ca-{unique}"));
        std::fs::create_dir_all(&folder).expect("a folder");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("a CA");
        let authority = Self { issuer, folder };
        authority.write("ca.pem", &authority.issuer.pem());
        authority
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.join(name);
        std::fs::write(&path, text).expect("a file");
        path
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Its own certificate.
    pub fn ca(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// A certificate for these names, as `change` has it.
    pub fn issue(
        &self,
        file: &str,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> CertificateFiles {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("good names");
        params.distinguished_name.push(DnType::CommonName, file);
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        CertificateFiles {
            certificate: self.write(&format!("{file}.pem"), &certificate.pem()),
            key: self.write(&format!("{file}.key"), &key.serialize_pem()),
        }
    }

    /// TLS with a certificate for this machine, trusting nobody but this CA.
    pub fn tls(&self) -> TlsConfig {
        let identity = self.issue("here", &["localhost", "127.0.0.1"], |_| ());
        TlsConfig { identity: Some(identity), roots: Roots::File(self.ca()), ..TlsConfig::default() }
    }

    /// TLS without a certificate, trusting nobody but this CA.
    pub fn client(&self) -> TlsConfig {
        TlsConfig { roots: Roots::File(self.ca()), ..TlsConfig::default() }
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// An endpoint on TLS, changed as wanted.
pub async fn endpoint(tls: TlsConfig, change: impl FnOnce(&mut EndpointConfig)) -> (Endpoint, IncomingCalls) {
    let listen = vec![(Transport::Tls, SocketAddr::new(LOOPBACK, 0))];
    let mut config = EndpointConfig { listen, tls: Some(tls), ..EndpointConfig::default() };
    change(&mut config);
    Endpoint::bind(config).await.expect("free ports and good certificates")
}

pub fn port(endpoint: &Endpoint) -> u16 {
    endpoint.local_addr(Transport::Tls).expect("a listener").port()
}

pub fn media(port: u16) -> LocalMedia {
    LocalMedia { ip: LOOPBACK, port, codecs: Codec::ALL.to_vec() }
}

pub fn dial(target: String, port: u16) -> Dial {
    Dial {
        target,
        from: "sips:desk@127.0.0.1".to_owned(),
        display: None,
        headers: Vec::new(),
        local: media(port),
        ring_timeout: Duration::from_secs(10),
    }
}

/// A call from one to the other that is up: the caller's session, what came in, and the callee's.
pub async fn call(
    caller: &Endpoint,
    calls: &mut IncomingCalls,
    dial: Dial,
    answer: LocalMedia,
) -> (Session, Session, Arrived) {
    let mut outgoing = caller.dial(dial).await.expect("a call");
    let incoming = soon("the call", async {
        tokio::select! {
            incoming = calls.next() => incoming.expect("a running endpoint"),
            event = failed(&mut outgoing) => panic!("not connected: {event}"),
        }
    })
    .await;
    let arrived = Arrived::of(&incoming);
    let theirs = soon("the answer", incoming.answer(answer)).await.expect("an answered call");
    let OutgoingEvent::Answered(ours) = soon("the answer", outgoing.event()).await else {
        panic!("the call was not answered");
    };
    (ours, theirs, arrived)
}

async fn failed(outgoing: &mut nightline_sip::OutgoingCall) -> String {
    loop {
        if let OutgoingEvent::Failed { code, reason, .. } = outgoing.event().await {
            return format!("{code} {reason}");
        }
    }
}

/// Why a call fails: the code and the words.
pub async fn refused(caller: &Endpoint, dial: Dial) -> (u16, String) {
    let mut outgoing = caller.dial(dial).await.expect("a call");
    match soon("the end of a call", outgoing.event()).await {
        OutgoingEvent::Failed { code, reason, .. } => (code, reason),
        other => panic!("told {other:?} instead of a failure"),
    }
}

/// What an INVITE said on its arrival.
pub struct Arrived {
    pub via: String,
    pub contact: String,
    pub uri: String,
}

impl Arrived {
    fn of(incoming: &IncomingCall) -> Self {
        let header = |name| incoming.header(name).unwrap_or_default().to_owned();
        Self { via: header("Via"), contact: header("Contact"), uri: incoming.request_uri().to_owned() }
    }
}
