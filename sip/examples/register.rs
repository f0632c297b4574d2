//! Registers with an exchange, answers what it sends, calls ourselves through it, and takes the registration back. No
//! audio: for trying exchanges out.
//!
//!     cargo run -p nightline-sip --example register -- 'sip:pbx.example;transport=tcp' sip:100@pbx.example password

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use nightline_sip::{
    Codec, Credentials, Dial, Endpoint, EndpointConfig, LocalMedia, OutgoingEvent, Register,
    RegistrationState, Secret, Transport,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [registrar, aor, password] = args.as_slice() else {
        return Err("give an exchange, an address there and a password".into());
    };
    let user = aor.split([':', '@']).nth(1).ok_or("an address is sip:USER@HOST")?;
    let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let config = EndpointConfig {
        listen: vec![(Transport::Udp, SocketAddr::new(any, 0)), (Transport::Tcp, SocketAddr::new(any, 0))],
        credentials: vec![Credentials {
            realm: None,
            user: user.to_owned(),
            secret: Secret::Password(password.clone()),
        }],
        ..EndpointConfig::default()
    };
    let (endpoint, mut calls) = Endpoint::bind(config).await?;
    let register =
        Register { registrar: registrar.clone(), aor: aor.clone(), expires: Duration::from_secs(120) };
    let mut registration = endpoint.register(register).await?;
    loop {
        let state = registration.changed().await;
        println!("{state:?}");
        match state {
            RegistrationState::Registered { .. } => break,
            RegistrationState::Failed { .. } => return Err("not registered".into()),
            _ => {}
        }
    }
    let media = |port| LocalMedia { ip: any, port, codecs: vec![Codec::Pcma, Codec::Pcmu] };
    let transport = if registrar.contains("transport=tcp") { ";transport=tcp" } else { "" };
    let mut call = endpoint
        .dial(Dial {
            target: format!("{aor}{transport}"),
            from: aor.clone(),
            display: None,
            headers: Vec::new(),
            local: media(40_400),
            ring_timeout: Duration::from_secs(10),
        })
        .await?;
    let mut ours = None;
    let theirs = loop {
        tokio::select! {
            incoming = calls.next() => match incoming {
                Some(incoming) => {
                    println!("called by way of the exchange from {}", incoming.remote_addr());
                    ours = Some(incoming.answer(media(40_402)).await?);
                }
                None => return Err("the endpoint has stopped".into()),
            },
            event = call.event() => match event {
                OutgoingEvent::Answered(session) => break session,
                OutgoingEvent::Failed { code, reason, .. } => return Err(format!("{code} {reason}").into()),
                other => println!("{other:?}"),
            },
        }
    };
    println!("answered, {:?}", theirs.media());
    if let Some(mut ours) = ours {
        theirs.hangup(None);
        println!("{:?}", ours.event().await);
    }
    println!("{:?}", registration.state());
    endpoint.shutdown().await;
    println!("{:?}", registration.changed().await);
    Ok(())
}
