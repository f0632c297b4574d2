//! One connection, one utterance: a task that takes orders and answers them.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Sleep;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use super::super::failure::{Failure, root};
use super::super::{LARGEST, Mode};
use super::Address;
use super::heard::{End, Heard};

/// Samples of a binary message: 60 ms, which is what `chunk_size` and `chunk_interval` of the first message promise.
const CHUNK: usize = 960;
/// How long a partial waits for news before it takes the words as they are.
const PARTIAL: Duration = Duration::from_millis(150);
/// How long another message may follow one that looks like the last.
const SETTLE: Duration = Duration::from_millis(100);
/// A connection without an order for so long belongs to an utterance that came to nothing.
const IDLE: Duration = Duration::from_secs(8);

/// What a session is to do: send what is new in `audio`, and tell the words.
pub(in crate::asr::remote) struct Order {
    /// The utterance so far: what the last order had, and more.
    pub audio: Arc<[i16]>,
    /// Whether that is all of it.
    pub last: bool,
    /// Where the words go.
    pub reply: Reply,
}

type Reply = oneshot::Sender<Result<String, Failure>>;
type Stream = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A session before it connects.
pub(super) struct Session {
    address: Arc<Address>,
    start_message: String,
    mode: Mode,
    heard: Heard,
    sent: usize,
    waiting: Option<Reply>,
    ended: bool,
    timer: Pin<Box<Sleep>>,
    /// What it means when the timer rings.
    due: Due,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Due {
    /// The utterance came to nothing.
    Idle,
    /// The partial takes the words as they are.
    Partial,
    /// The server owes the first message after the end.
    First,
    /// The server owes the last message.
    Last,
    /// No other message followed.
    Settled,
}

impl Session {
    pub fn new(address: Arc<Address>, start_message: String, mode: Mode) -> Self {
        Self {
            address,
            start_message,
            mode,
            heard: Heard::default(),
            sent: 0,
            waiting: None,
            ended: false,
            timer: Box::pin(tokio::time::sleep(IDLE)),
            due: Due::Idle,
        }
    }

    /// Connects, and serves orders until the utterance is over. A failure is told to everybody who waits.
    pub async fn run(mut self, mut orders: mpsc::UnboundedReceiver<Order>) {
        let Err(failure) = self.serve(&mut orders).await else { return };
        if let Some(reply) = self.waiting.take() {
            // Who no longer waits needs no news.
            drop(reply.send(Err(failure.clone())));
        }
        orders.close();
        while let Ok(order) = orders.try_recv() {
            drop(order.reply.send(Err(failure.clone())));
        }
    }

    async fn serve(&mut self, orders: &mut mpsc::UnboundedReceiver<Order>) -> Result<(), Failure> {
        let mut stream = self.address.connect().await?;
        stream.send(Message::text(self.start_message.as_str())).await.map_err(broken)?;
        loop {
            tokio::select! {
                order = orders.recv(), if !self.ended => match order {
                    Some(order) => self.order(order, &mut stream).await?,
                    None => break,
                },
                message = stream.next() => {
                    if self.message(message)? {
                        break;
                    }
                }
                () = &mut self.timer => {
                    if self.ring()? {
                        break;
                    }
                }
            }
        }
        // The words are there; how the server takes its leave does not matter.
        let _ = tokio::time::timeout(SETTLE, stream.close(None)).await;
        Ok(())
    }

    async fn order(&mut self, order: Order, stream: &mut Stream) -> Result<(), Failure> {
        self.answer_partial();
        self.waiting = Some(order.reply);
        let fresh = order.audio.get(self.sent..).unwrap_or_default();
        // A chunk that is not full waits for more: the server counts messages.
        let whole = if order.last { fresh.len() } else { fresh.len() / CHUNK * CHUNK };
        for chunk in fresh[..whole].chunks(CHUNK) {
            let bytes: Vec<u8> = chunk.iter().flat_map(|sample| sample.to_le_bytes()).collect();
            stream.feed(Message::binary(bytes)).await.map_err(broken)?;
        }
        self.sent += whole;
        if order.last {
            self.ended = true;
            stream.feed(Message::text(r#"{"is_speaking": false}"#)).await.map_err(broken)?;
        }
        stream.flush().await.map_err(broken)?;
        let (time, due) = if order.last { (self.address.first, Due::First) } else { (PARTIAL, Due::Partial) };
        self.wait(time, due);
        Ok(())
    }

    /// True once the utterance is over.
    fn message(&mut self, message: Option<Result<Message, tungstenite::Error>>) -> Result<bool, Failure> {
        let text = match message {
            Some(Ok(Message::Text(text))) => text,
            Some(Ok(Message::Close(frame))) => {
                let why = frame.map(|f| f.to_string()).unwrap_or_default();
                return Err(Failure::Broken(format!("it said goodbye {why}").trim_end().into()));
            }
            Some(Ok(_)) => return Ok(false),
            Some(Err(error)) => return Err(broken(error)),
            None => return Err(Failure::Broken("the connection was closed".into())),
        };
        let end = self.heard.message(text.as_str(), self.ended)?;
        match end {
            End::No if self.ended => self.wait(self.address.total, Due::Last),
            End::No => {
                self.answer_partial();
                self.wait(IDLE, Due::Idle);
            }
            End::Likely => self.wait(SETTLE, Due::Settled),
            End::Sure => self.finish(),
        }
        Ok(end == End::Sure)
    }

    /// The timer rang. True once the utterance is over.
    fn ring(&mut self) -> Result<bool, Failure> {
        match self.due {
            Due::Idle => Ok(true),
            Due::Partial => {
                self.answer_partial();
                self.wait(IDLE, Due::Idle);
                Ok(false)
            }
            Due::First => Err(Failure::Late { what: "an answer", limit: self.address.first }),
            Due::Last => Err(Failure::Late { what: "the last message", limit: self.address.total }),
            Due::Settled => {
                self.finish();
                Ok(true)
            }
        }
    }

    fn answer_partial(&mut self) {
        if let Some(reply) = self.waiting.take() {
            let text = self.heard.text();
            let outcome = if text.is_empty() || self.mode == Mode::Offline {
                Err(Failure::NoWordsYet)
            } else {
                Ok(text)
            };
            drop(reply.send(outcome));
        }
    }

    fn finish(&mut self) {
        if let Some(reply) = self.waiting.take() {
            drop(reply.send(Ok(self.heard.text())));
        }
    }

    fn wait(&mut self, time: Duration, due: Due) {
        self.timer = Box::pin(tokio::time::sleep(time));
        self.due = due;
    }
}

fn broken(error: tungstenite::Error) -> Failure {
    match error {
        tungstenite::Error::Capacity(_) => Failure::TooLarge(LARGEST),
        error => Failure::Broken(root(&error)),
    }
}
