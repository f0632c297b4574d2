//! A server that speaks FunASR's protocol, written to its documentation.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::accept_hdr_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};

use super::{Purpose, Whisper, submit, wait};

/// What kind of server it is.
#[derive(Clone)]
pub enum Kind {
    /// A character for every 600 ms while audio comes, all of them at the end, as the C++ server does.
    Counts,
    /// The same as the Python server marks it.
    CountsInPython,
    /// The real model answers at the end.
    Recognises(Arc<Whisper>),
    /// Says this in answer to the end.
    Says(String),
    /// Closes after the first audio.
    Closes,
    /// Never answers.
    Silent,
}

pub struct Server {
    pub url: String,
    pub seen: Arc<Seen>,
}

#[derive(Default)]
pub struct Seen {
    pub connections: AtomicUsize,
    pub starts: Mutex<Vec<Value>>,
    /// Samples that came, over all connections.
    pub samples: AtomicUsize,
    /// Sizes of binary messages in bytes.
    pub sizes: Mutex<Vec<usize>>,
}

impl Server {
    pub async fn start(kind: Kind) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Seen::default());
        let shared = Arc::clone(&seen);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, kind.clone(), Arc::clone(&shared)));
            }
        });
        Self { url, seen }
    }
}

#[expect(clippy::result_large_err, reason = "the signature is tungstenite's")]
fn check_key(request: &Request, response: Response) -> Result<Response, ErrorResponse> {
    if request.headers().get("authorization").is_some_and(|key| key == "Bearer sk-right") {
        return Ok(response);
    }
    let mut refusal = ErrorResponse::new(Some("this key is unknown here".into()));
    *refusal.status_mut() = tokio_tungstenite::tungstenite::http::StatusCode::UNAUTHORIZED;
    Err(refusal)
}

const DIGITS: [&str; 10] = ["零", "一", "二", "三", "四", "五", "六", "七", "八", "九"];

async fn serve(stream: TcpStream, kind: Kind, seen: Arc<Seen>) {
    let Ok(mut socket) = accept_hdr_async(stream, check_key).await else { return };
    seen.connections.fetch_add(1, Ordering::SeqCst);
    let (mut audio, mut told) = (Vec::<i16>::new(), 0);
    let mut mode = String::new();
    let python = matches!(kind, Kind::CountsInPython);
    let counts = python || matches!(kind, Kind::Counts);
    while let Some(Ok(message)) = socket.next().await {
        let mut out = Vec::new();
        match message {
            Message::Text(text) => {
                let message: Value = serde_json::from_str(text.as_str()).unwrap();
                if message["is_speaking"] == true {
                    mode = message["mode"].as_str().unwrap().into();
                    seen.starts.lock().unwrap().push(message);
                    continue;
                }
                assert_eq!(message["is_speaking"], false);
                let all: String = (0..audio.len() / 9600).map(|i| DIGITS[i % 10]).collect();
                match &kind {
                    Kind::Says(text) => out.push(text.clone()),
                    Kind::Recognises(whisper) => {
                        let heard = wait(submit(&**whisper, &audio, Purpose::Final)).await.unwrap();
                        out.push(result(&format!("{mode}-offline"), &heard.text, true));
                    }
                    _ if counts && mode == "offline" => out.push(result("offline", &all, false)),
                    _ if counts => out.push(result("2pass-offline", &all, !python)),
                    _ => {}
                }
            }
            Message::Binary(bytes) => {
                seen.samples.fetch_add(bytes.len() / 2, Ordering::SeqCst);
                seen.sizes.lock().unwrap().push(bytes.len());
                audio.extend(bytes.chunks_exact(2).map(|b| i16::from_le_bytes([b[0], b[1]])));
                if matches!(kind, Kind::Closes) {
                    break;
                }
                while counts && mode == "2pass" && audio.len() / 9600 > told {
                    out.push(result("2pass-online", DIGITS[told % 10], python));
                    told += 1;
                }
            }
            _ => {}
        }
        for text in out {
            if socket.send(Message::text(text)).await.is_err() {
                return;
            }
        }
    }
}

fn result(mode: &str, text: &str, is_final: bool) -> String {
    json!({"mode": mode, "wav_name": "utterance", "text": text, "is_final": is_final, "timestamp": "[[0,200]]"})
        .to_string()
}
