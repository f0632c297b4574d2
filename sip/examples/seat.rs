//! A registrar for one seat, which is called as soon as its phone registers. No audio: for trying phones out.
//!
//!     cargo run -p nightline-sip --example seat -- 127.0.0.1:5060 2001 password [md5|sha256]

use std::net::SocketAddr;
use std::time::Duration;

use nightline_sip::{
    Account, Codec, Dial, DigestAlgorithm, Endpoint, EndpointConfig, LocalMedia, OutgoingEvent,
    RegistrarConfig, RegistrarEvent, Secret, SessionEvent, Transport,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [listen, user, password, rest @ ..] = args.as_slice() else {
        return Err("give an address, a user and a password".into());
    };
    let listen: SocketAddr = listen.parse()?;
    let algorithms = match rest.first().map(String::as_str) {
        Some("md5") => vec![DigestAlgorithm::Md5],
        Some("sha256") => vec![DigestAlgorithm::Sha256],
        _ => RegistrarConfig::default().algorithms,
    };
    let config = EndpointConfig {
        listen: vec![(Transport::Udp, listen), (Transport::Tcp, listen)],
        accounts: vec![Account {
            user: user.clone(),
            realm: None,
            secret: Secret::Password(password.clone()),
        }],
        registrar: RegistrarConfig { algorithms, ..RegistrarConfig::default() },
        ..EndpointConfig::default()
    };
    let (endpoint, _calls) = Endpoint::bind(config).await?;
    let mut seats = endpoint.seats();
    println!("waiting for {user} to register at {listen}; end with Ctrl-C");
    loop {
        tokio::select! {
            event = seats.next() => match event {
                Some(RegistrarEvent::Registered(binding)) => {
                    println!("registered: {} from {} {}", binding.contact, binding.transport, binding.received);
                    tokio::spawn(call(endpoint.clone(), user.clone(), listen));
                }
                Some(event) => println!("{event:?}"),
                None => return Ok(()),
            },
            _ = tokio::signal::ctrl_c() => {
                endpoint.shutdown().await;
                return Ok(());
            }
        }
    }
}

async fn call(endpoint: Endpoint, user: String, listen: SocketAddr) {
    let dialled = endpoint
        .dial(Dial {
            target: format!("sip:{user}@nightline"),
            from: "sip:nightline@localhost".to_owned(),
            display: Some("Nightline".to_owned()),
            headers: Vec::new(),
            local: LocalMedia { ip: listen.ip(), port: 40_200, codecs: vec![Codec::Pcma, Codec::Pcmu] },
            ring_timeout: Duration::from_secs(20),
        })
        .await;
    let mut call = match dialled {
        Ok(call) => call,
        Err(error) => return println!("not called: {error}"),
    };
    let mut session = loop {
        match call.event().await {
            OutgoingEvent::Answered(session) => break session,
            OutgoingEvent::Failed { code, reason, cause } => {
                return println!("not answered: {cause:?}, {code} {reason}");
            }
            other => println!("{other:?}"),
        }
    };
    println!("answered, {:?}", session.media());
    tokio::time::sleep(Duration::from_secs(1)).await;
    session.hangup(Some("Q.850;cause=16"));
    loop {
        if let SessionEvent::Ended { by, code, reason } = session.event().await {
            return println!("ended by {by:?}, {code} {reason}");
        }
    }
}
