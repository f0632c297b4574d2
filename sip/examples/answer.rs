//! Answers every call after a moment of ringing, and says what happens. No audio: for trying signalling out.
//!
//!     cargo run -p nightline-sip --example answer -- 127.0.0.1:5060

use std::net::SocketAddr;
use std::time::Duration;

use nightline_sip::{Codec, Endpoint, EndpointConfig, IncomingCall, LocalMedia, SessionEvent, Transport};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listen: SocketAddr = std::env::args().nth(1).as_deref().unwrap_or("127.0.0.1:5060").parse()?;
    let config = EndpointConfig {
        listen: vec![(Transport::Udp, listen), (Transport::Tcp, listen)],
        max_calls: 2000,
        ..EndpointConfig::default()
    };
    let (endpoint, mut calls) = Endpoint::bind(config).await?;
    println!("listening on {listen}, UDP and TCP; end with Ctrl-C");
    loop {
        tokio::select! {
            call = calls.next() => match call {
                Some(call) => drop(tokio::spawn(serve(call, listen))),
                None => return Ok(()),
            },
            _ = tokio::signal::ctrl_c() => {
                endpoint.shutdown().await;
                return Ok(());
            }
        }
    }
}

async fn serve(mut call: IncomingCall, listen: SocketAddr) {
    let id = call.call_id().to_owned();
    call.ring().await;
    tokio::select! {
        () = call.cancelled() => return println!("{id}: the caller gave up"),
        () = tokio::time::sleep(Duration::from_millis(100)) => {}
    }
    let local = LocalMedia { ip: listen.ip(), port: 40_000, codecs: vec![Codec::Pcma, Codec::Pcmu] };
    let mut session = match call.answer(local).await {
        Ok(session) => session,
        Err(error) => return println!("{id}: {error}"),
    };
    println!("{id}: answered, {:?}", session.media());
    loop {
        match session.event().await {
            SessionEvent::Refer { to, .. } => {
                println!("{id}: asked to call {to}, and will not");
                session.refer_progress(603, "Decline");
            }
            SessionEvent::Ended { by, code, reason } => {
                return println!("{id}: ended by {by:?}, {code} {reason}");
            }
            other => println!("{id}: {other:?}"),
        }
    }
}
