//! Calls two far ends and joins them by an attended transfer: the first is asked to take our place in the call with
//! the second (REFER with Replaces). No audio: for trying phones out.
//!
//!     cargo run -p nightline-sip --example transfer -- sip:caller@127.0.0.1:5070 sip:seat@127.0.0.1:5080

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use nightline_sip::uui::{self, Uui};
use nightline_sip::{
    Codec, Dial, Endpoint, EndpointConfig, LocalMedia, OutgoingEvent, Session, SessionEvent, TransferStage,
    Transport,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let targets: Vec<String> = std::env::args().skip(1).collect();
    let [caller, seat] = targets.as_slice() else { return Err("give two SIP URIs to call".into()) };
    let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let listen = vec![(Transport::Udp, SocketAddr::new(any, 0)), (Transport::Tcp, SocketAddr::new(any, 0))];
    let (endpoint, _calls) = Endpoint::bind(EndpointConfig { listen, ..EndpointConfig::default() }).await?;
    let mut caller = call(&endpoint, caller, 40_300).await?;
    let mut seat = call(&endpoint, seat, 40_302).await?;
    let context = Uui::new("ticket 7", "nightline").to_value()?;
    caller.refer_replacing(&seat, &[(uui::HEADER.to_owned(), context)])?;
    let (mut joined, mut seat_gone) = (false, false);
    while !joined {
        tokio::select! {
            event = caller.event() => {
                println!("caller: {event:?}");
                match event {
                    SessionEvent::ReferProgress { stage, .. } => joined = stage == TransferStage::Answered,
                    SessionEvent::Ended { .. } => break,
                    _ => {}
                }
            }
            event = seat.event(), if !seat_gone => {
                println!("seat: {event:?}");
                seat_gone = matches!(event, SessionEvent::Ended { .. });
            }
        }
    }
    println!("{}", if joined { "joined; we leave" } else { "not joined" });
    endpoint.shutdown().await;
    Ok(())
}

async fn call(endpoint: &Endpoint, target: &str, port: u16) -> Result<Session, Box<dyn std::error::Error>> {
    let mut call = endpoint
        .dial(Dial {
            target: target.to_owned(),
            from: "sip:nightline@localhost".to_owned(),
            display: Some("Nightline".to_owned()),
            headers: Vec::new(),
            local: LocalMedia {
                ip: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                port,
                codecs: vec![Codec::Pcma, Codec::Pcmu],
            },
            ring_timeout: Duration::from_secs(20),
        })
        .await?;
    loop {
        match call.event().await {
            OutgoingEvent::Answered(session) => {
                println!("{target}: answered");
                return Ok(session);
            }
            OutgoingEvent::Failed { code, reason, .. } => return Err(format!("{code} {reason}").into()),
            _ => {}
        }
    }
}
