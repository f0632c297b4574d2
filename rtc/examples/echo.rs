//! Serves a page that talks to us over WebRTC, and sends back what it says.
//!
//! `cargo run -p nightline-rtc --example echo -- 127.0.0.1:8080 0.0.0.0`, then open <http://127.0.0.1:8080/>. The second
//! argument is the address for audio.

use std::io;
use std::net::IpAddr;

use nightline_rtc::{Config, Event, Peer};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

const PAGE: &str = include_str!("echo.html");

#[tokio::main]
async fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let listen = arguments.next().unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let bind: IpAddr = arguments
        .next()
        .unwrap_or_else(|| "0.0.0.0".to_owned())
        .parse()
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    let listener = TcpListener::bind(&listen).await?;
    println!("http://{listen}/");
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(async move {
            if let Err(error) = serve(stream, bind).await {
                println!("request: {error}");
            }
        });
    }
}

/// One request: the page, an offer, or a line to print.
async fn serve(stream: TcpStream, bind: IpAddr) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let (mut first, mut length) = (String::new(), 0);
    stream.read_line(&mut first).await?;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 || line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    let mut body = String::new();
    (&mut stream).take(length).read_to_string(&mut body).await?;
    let (status, kind, text) = match first.split(' ').nth(1) {
        Some("/") => ("200 OK", "text/html", PAGE.to_owned()),
        Some("/offer") => match Peer::answer(&Config::new(bind, 40_000..=49_999), &body).await {
            Ok((peer, answer)) => {
                tokio::spawn(echo(peer));
                ("200 OK", "application/sdp", answer)
            }
            Err(error) => ("400 Bad Request", "text/plain", error.to_string()),
        },
        Some("/log") => {
            println!("page: {body}");
            ("200 OK", "text/plain", String::new())
        }
        _ => ("404 Not Found", "text/plain", String::new()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        text.len()
    );
    stream.write_all((head + &text).as_bytes()).await
}

async fn echo(mut peer: Peer) {
    println!("{:?}", peer.agreed());
    loop {
        match peer.event().await {
            Event::Rtp(packet) => peer.send(&packet),
            Event::Ended(why) => break println!("ended: {why}; {:?}", peer.stats()),
            event => println!("{event:?}; {:?}", peer.stats()),
        }
    }
}
