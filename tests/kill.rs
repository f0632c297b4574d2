//! `kill -9` in each state of a transfer: whoever waited for a person, or talked with one, is called back, once.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nightline::record::CallRecord;
use nightline::store::outbound::Kind;
use nightline::store::{CallbackState, Store};
use nightline_sip::{
    Codec, Dial, Endpoint, EndpointConfig, IncomingCall, IncomingCalls, LocalMedia, OutgoingEvent, Session,
    SessionEvent, Transport,
};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const NUMBER: &str = "13800138000";

/// No step takes longer than this; the notice at the beginning of a call is not interrupted by a key.
async fn soon<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(40), work)
        .await
        .unwrap_or_else(|_| panic!("{what} took over 40 s"))
}

/// A server in a process of its own.
struct Hotline {
    process: Child,
    folder: tempfile::TempDir,
    address: SocketAddr,
}

impl Hotline {
    fn new(seats: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let port =
            std::net::UdpSocket::bind((HERE, 0)).and_then(|s| s.local_addr()).expect("a free port").port();
        let path = folder.path().display();
        // A route that leads nowhere: orders are kept, and nobody is called in a test.
        let text = format!(
            "[sip]\nlisten = [\"udp:127.0.0.1:{port}\"]\n[record]\nfolder = \"{path}\"\nwav = false\n\
             [store]\npath = \"{path}/n.db\"\n[outbound]\nroute = \"sip:{{number}}@127.0.0.1:9\"\n{seats}"
        );
        std::fs::write(folder.path().join("nightline.toml"), text).expect("written");
        let process = Self::spawn(folder.path());
        Self { process, folder, address: SocketAddr::new(HERE, port) }
    }

    fn spawn(folder: &Path) -> Child {
        Command::new(env!("CARGO_BIN_EXE_nightline"))
            .args(["serve", "--config"])
            .arg(folder.join("nightline.toml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts")
    }

    fn kill(&mut self) {
        self.process.kill().expect("SIGKILL");
        self.process.wait().expect("it is gone");
    }

    /// Dies and starts again; returns when it takes calls.
    async fn restart(&mut self, phone: &Endpoint) {
        self.kill();
        self.process = Self::spawn(self.folder.path());
        drop(self.call(phone).await);
        // The call that asked whether it is there is none to be counted.
        soon("its end", async {
            while self
                .store()
                .await
                .calls(10)
                .await
                .expect("a list")
                .iter()
                .any(|call| call.disposition.is_none())
            {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await;
    }

    async fn store(&self) -> Store {
        Store::read(&self.folder.path().join("n.db")).await.expect("a database")
    }

    /// Calls until somebody answers.
    async fn call(&self, phone: &Endpoint) -> Session {
        soon("the answer", async {
            loop {
                let dial = Dial {
                    target: format!("sip:400@{}", self.address),
                    from: format!("sip:{NUMBER}@127.0.0.1"),
                    display: None,
                    headers: Vec::new(),
                    local: media(),
                    ring_timeout: Duration::from_secs(3),
                };
                let mut call = phone.dial(dial).await.expect("a call under way");
                loop {
                    match call.event().await {
                        OutgoingEvent::Answered(session) => return session,
                        OutgoingEvent::Failed { .. } => break,
                        _ => {}
                    }
                }
            }
        })
        .await
    }

    /// Waits until the first call is as wanted.
    async fn until(&self, what: &str, wanted: impl Fn(&CallRecord) -> bool) {
        soon(what, async {
            loop {
                if let Ok(store) = Store::read(&self.folder.path().join("n.db")).await
                    && let Some(first) = store.calls(10).await.expect("a list").pop()
                    && wanted(&store.call(&first.id).await.expect("readable").expect("it is there").record)
                {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await;
    }

    /// What is promised: open call-backs, and open orders to call back.
    async fn promised(&self) -> (usize, usize) {
        let store = self.store().await;
        let callbacks = store.callbacks(Some(CallbackState::Open)).await.expect("a list");
        assert!(callbacks.iter().all(|callback| callback.number.expose() == NUMBER), "{callbacks:?}");
        let orders = store.orders(true).await.expect("a list");
        assert!(orders.iter().all(|placed| placed.order.kind == Kind::Callback), "{orders:?}");
        (callbacks.len(), orders.len())
    }
}

impl Drop for Hotline {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn media() -> LocalMedia {
    LocalMedia { ip: HERE, port: 39_980, codecs: vec![Codec::Pcma] }
}

async fn phone() -> (Endpoint, IncomingCalls) {
    let listen = vec![(Transport::Udp, SocketAddr::new(HERE, 0))];
    Endpoint::bind(EndpointConfig { listen, ..EndpointConfig::default() }).await.expect("a free port")
}

async fn the_call(calls: &mut IncomingCalls) -> IncomingCall {
    soon("the call to the seat", calls.next()).await.expect("a running telephone")
}

/// A transfer that is brought to `state`, killed there, and looked at after each of two restarts.
async fn dies_while(
    state: &str,
    seats: &str,
    act: impl AsyncFnOnce(&Hotline, &mut Session, &mut IncomingCalls),
) {
    let (caller, _) = phone().await;
    let (desk, mut calls) = phone().await;
    let address = desk.local_addr(Transport::Udp).expect("an address");
    let mut hotline = Hotline::new(&seats.replace("DESK", &address.to_string()));
    let mut session = hotline.call(&caller).await;
    session.send_info_dtmf('0');
    act(&hotline, &mut session, &mut calls).await;
    for restart in 1..=2 {
        hotline.restart(&caller).await;
        assert_eq!(hotline.promised().await, (1, 1), "killed while {state}, after restart {restart}");
    }
}

const ONE: &str = "[seats]\ntargets = [\"sip:2001@DESK\"]\n";

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_the_seat_rings() {
    dies_while("the seat rings", ONE, async |_, _, calls| {
        let mut incoming = the_call(calls).await;
        incoming.ring().await;
        tokio::time::sleep(Duration::from_millis(300)).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_the_seat_hears_the_summary() {
    dies_while("the seat hears the summary", ONE, async |hotline, _, calls| {
        let seat = soon("the answer", the_call(calls).await.answer(media())).await.expect("an answered call");
        hotline
            .until("the summary", |record| record.handoff.as_ref().is_some_and(|h| h.summary.is_some()))
            .await;
        drop(seat);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_caller_and_seat_talk() {
    dies_while("caller and seat talk", ONE, async |hotline, _, calls| {
        let seat = soon("the answer", the_call(calls).await.answer(media())).await.expect("an answered call");
        seat.send_info_dtmf('1');
        hotline
            .until("the bridge", |record| record.handoff.as_ref().is_some_and(|h| h.bridged_ms.is_some()))
            .await;
        std::mem::forget(seat);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_the_exchange_is_asked_to_take_the_call() {
    let seats = "[[seats.seat]]\nid = \"queue\"\nuri = \"sip:queue@DESK\"\nrefer = true\n";
    dies_while("the exchange is asked", seats, async |_, session, _| {
        while !matches!(soon("the REFER", session.event()).await, SessionEvent::Refer { .. }) {}
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_a_call_back_is_talked_about() {
    // Nobody is there; the call-back that is offered is not agreed on before the end.
    let seats = "[[seats.seat]]\nid = \"2001\"\npassword = \"right\"\n";
    dies_while("a call-back is talked about", seats, async |hotline, _, _| {
        hotline
            .until("the offer", |record| record.handoff.as_ref().is_some_and(|h| h.outcome.is_some()))
            .await;
    })
    .await;
}
