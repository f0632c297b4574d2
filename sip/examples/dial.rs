//! Calls somebody, holds, resumes and hangs up, and says what happens. No audio: for trying signalling out.
//!
//!     cargo run -p nightline-sip --example dial -- 'sip:seat@127.0.0.1:5060;transport=tcp'

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use nightline_sip::{
    Codec, Dial, Endpoint, EndpointConfig, LocalMedia, OutgoingEvent, SessionEvent, Transport,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let target = std::env::args().nth(1).ok_or("give a SIP URI to call")?;
    let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let listen = vec![(Transport::Udp, SocketAddr::new(any, 0)), (Transport::Tcp, SocketAddr::new(any, 0))];
    let (endpoint, _calls) = Endpoint::bind(EndpointConfig { listen, ..EndpointConfig::default() }).await?;
    let mut call = endpoint
        .dial(Dial {
            target,
            from: "sip:nightline@localhost".to_owned(),
            display: Some("Nightline".to_owned()),
            headers: Vec::new(),
            local: LocalMedia { ip: any, port: 40_100, codecs: vec![Codec::Pcma, Codec::Pcmu] },
            ring_timeout: Duration::from_secs(20),
        })
        .await?;
    let mut session = loop {
        match call.event().await {
            OutgoingEvent::Answered(session) => break session,
            OutgoingEvent::Failed { code, reason, cause } => {
                return Err(format!("{cause:?}: {code} {reason}").into());
            }
            other => println!("{other:?}"),
        }
    };
    println!("answered, {:?}", session.media());
    session.hold();
    println!("{:?}", session.event().await);
    session.resume();
    println!("{:?}", session.event().await);
    session.send_info_dtmf('5');
    session.hangup(Some("Q.850;cause=16"));
    loop {
        let event = session.event().await;
        println!("{event:?}");
        if matches!(event, SessionEvent::Ended { .. }) {
            break;
        }
    }
    endpoint.shutdown().await;
    Ok(())
}
