//! The WebSocket protocol of FunASR's runtime (`runtime/docs/websocket_protocol.md` there): a JSON message with the
//! settings, PCM as binary messages of 60 ms, `{"is_speaking": false}`; texts come back meanwhile and after.
//!
//! A [`Job`](crate::asr::Job) is the utterance so far, a server wants what is new. So a connection lives as long as an
//! utterance: each partial sends only the tail that the server has not had, and the final sends the rest and the end, by which
//! time the server has decoded nearly all of it. An utterance is known by its audio: a job that begins with exactly the samples
//! that a connection has sent continues it, and one that does not (a stretch was settled and cut off, a final was asked for too
//! early and the caller spoke on, partials are off) gets a connection of its own and sends all at once. That needs no identity
//! in the job, cannot mix up two callers, and a lost connection costs time but no words. A connection is never used for a
//! second utterance: the protocol is not clear on it and the servers differ.

mod heard;
mod session;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::http::{HeaderValue, header};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config, tungstenite};

use self::session::{Order, Session};
use super::failure::{root, servers_words};
use super::{Failure, LARGEST, Mode, OpenError, Options, UNMEASURED};
use crate::asr::{Engine, Purpose, Transcript};
use crate::media::RATE;

/// Weight of a hotword, 1 to 100: the one in FunASR's examples.
const WEIGHT: u32 = 20;

/// A client for one server.
pub(super) struct FunAsr {
    address: Arc<Address>,
    mode: Mode,
    hotwords: String,
    open: Mutex<Vec<Open>>,
    most: usize,
}

/// Where the server is and how long to wait for it.
pub(super) struct Address {
    request: Request,
    connect: Duration,
    first: Duration,
    total: Duration,
}

/// A connection whose utterance may go on.
struct Open {
    audio: Arc<[i16]>,
    orders: mpsc::UnboundedSender<Order>,
}

impl FunAsr {
    pub fn new(options: &Options, mode: Mode) -> Result<Self, OpenError> {
        Ok(Self {
            address: Arc::new(Address::new(options)?),
            mode,
            hotwords: hotwords(&options.hotwords),
            open: Mutex::default(),
            most: options.in_flight,
        })
    }

    /// Recognises an utterance of 16 kHz mono, or what there is of it.
    pub async fn ask(
        &self,
        audio: &Arc<[i16]>,
        purpose: Purpose,
        language: &str,
    ) -> Result<Transcript, Failure> {
        let (reply, answer) = oneshot::channel();
        let order = Order { audio: Arc::clone(audio), last: purpose == Purpose::Final, reply };
        self.send(order, language)?;
        let text = answer.await.map_err(|_| Failure::Broken("the connection was given up".into()))??;
        Ok(match text.as_str() {
            "" => Transcript { engine: Engine::FunAsr, no_speech: 1.0, ..Transcript::default() },
            // The protocol has no measure of confidence.
            _ => Transcript { engine: Engine::FunAsr, text, confidence: UNMEASURED, ..Transcript::default() },
        })
    }

    /// Gives an order to the connection of its utterance, or to a new one.
    fn send(&self, order: Order, language: &str) -> Result<(), Failure> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|open| !open.orders.is_closed());
        let same = (0..open.len())
            .filter(|&at| order.audio.starts_with(&open[at].audio))
            .max_by_key(|&at| open[at].audio.len());
        let order = match same {
            None => order,
            Some(at) => {
                let orders = if order.last {
                    open.swap_remove(at).orders
                } else {
                    open[at].audio = Arc::clone(&order.audio);
                    open[at].orders.clone()
                };
                match orders.send(order) {
                    Ok(()) => return Ok(()),
                    // It ended just now.
                    Err(mpsc::error::SendError(order)) => order,
                }
            }
        };
        if !order.last && open.len() >= self.most {
            return Err(Failure::Busy);
        }
        let (orders, incoming) = mpsc::unbounded_channel();
        if !order.last {
            open.push(Open { audio: Arc::clone(&order.audio), orders: orders.clone() });
        }
        // Nobody else has the receiver yet.
        drop(orders.send(order));
        let session = Session::new(Arc::clone(&self.address), self.start_message(language), self.mode);
        tokio::spawn(session.run(incoming));
        Ok(())
    }

    fn start_message(&self, language: &str) -> String {
        let mode = match self.mode {
            Mode::TwoPass => "2pass",
            Mode::Online => "online",
            Mode::Offline => "offline",
        };
        let mut message = json!({
            "mode": mode,
            "wav_name": "utterance",
            "wav_format": "pcm",
            "audio_fs": RATE,
            "chunk_size": [5, 10, 5],
            "chunk_interval": 10,
            "is_speaking": true,
            "itn": true,
            "svs_lang": language,
        });
        if !self.hotwords.is_empty() {
            message["hotwords"] = self.hotwords.as_str().into();
        }
        message.to_string()
    }
}

impl Address {
    fn new(options: &Options) -> Result<Self, OpenError> {
        // The process may have chosen a provider already; then that one is used.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let wrong = |why: String| OpenError::Url { url: options.url.clone(), engine: Engine::FunAsr, why };
        if !options.url.starts_with("ws://") && !options.url.starts_with("wss://") {
            return Err(wrong("it does not begin with ws:// or wss://".into()));
        }
        let mut request = options.url.as_str().into_client_request().map_err(|e| wrong(e.to_string()))?;
        if let Some(value) = options.api_key.as_ref().and_then(bearer) {
            request.headers_mut().insert(header::AUTHORIZATION, value);
        }
        Ok(Self { request, connect: options.connect, first: options.first, total: options.total })
    }

    async fn connect(&self) -> Result<WebSocketStream<MaybeTlsStream<TcpStream>>, Failure> {
        let config = WebSocketConfig::default().max_message_size(Some(LARGEST)).max_frame_size(Some(LARGEST));
        let connecting = connect_async_with_config(self.request.clone(), Some(config), true);
        match tokio::time::timeout(self.connect, connecting).await {
            Err(_) => Err(Failure::Late { what: "the connection", limit: self.connect }),
            Ok(Ok((stream, _))) => Ok(stream),
            Ok(Err(tungstenite::Error::Http(response))) => {
                let words = response.body().as_deref().map(String::from_utf8_lossy).unwrap_or_default();
                Err(Failure::Refused { code: response.status().as_u16(), words: servers_words(&words) })
            }
            Ok(Err(error)) => Err(Failure::Unreachable(root(&error))),
        }
    }
}

/// Opens a connection and closes it again.
pub(super) async fn greet(options: &Options) -> Result<(), Failure> {
    let address = Address::new(options).map_err(|e| Failure::Unreachable(e.to_string()))?;
    let mut stream = address.connect().await?;
    // It answered; whether it also says goodbye is its own affair.
    let _ = tokio::time::timeout(options.first, stream.close(None)).await;
    Ok(())
}

fn bearer(key: &SecretString) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(format!("Bearer {}", key.expose_secret())).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// A JSON object as text, as the protocol wants it: `{"阿里巴巴":20}`.
fn hotwords(words: &[String]) -> String {
    if words.is_empty() {
        return String::new();
    }
    let weighed = words.iter().map(|word| (word.clone(), serde_json::Value::from(WEIGHT)));
    serde_json::Value::Object(weighed.collect()).to_string()
}
