//! The sockets that streams run on.

use std::net::SocketAddr;

use axum::extract::ws::{self, close_code};
use futures_util::{Sink, SinkExt, Stream, StreamExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite;
use tokio_util::codec::Framed;

use super::audiosocket::Frames;
use super::{Ended, Message};

/// A socket that carries messages.
pub trait Socket: Send {
    /// The next message; [`None`] at the end, an error in words if it broke. Safe to cancel.
    fn recv(&mut self) -> impl Future<Output = Option<Result<Message, String>>> + Send;
    /// Sends one.
    fn send(&mut self, message: Message) -> impl Future<Output = Result<(), String>> + Send;
    /// Says goodbye.
    fn close(&mut self, why: &Ended) -> impl Future<Output = ()> + Send;
}

/// The status of RFC 6455 with which a socket is closed.
fn close_code(why: &Ended) -> u16 {
    match why {
        Ended::Here | Ended::There => close_code::NORMAL,
        Ended::Wrong(_) => close_code::PROTOCOL,
        Ended::Silent => close_code::POLICY,
        Ended::Stuck | Ended::Broken(_) => close_code::ERROR,
    }
}

/// At most as long as a control frame may be (RFC 6455 §5.5).
fn reason(why: &Ended) -> String {
    let mut text = why.to_string();
    while text.len() > 120 {
        text.pop();
    }
    text
}

/// A message of a WebSocket library.
pub trait Wire: Sized + Send {
    /// What it carries.
    fn read(self) -> Carried;
    /// A message that carries `message`.
    fn of(message: Message) -> Self;
    /// The goodbye.
    fn goodbye(code: u16, reason: String) -> Self;
}

/// What a message of a WebSocket carries.
pub enum Carried {
    /// One for us.
    Message(Message),
    /// Nothing: the libraries answer pings by themselves.
    Nothing,
    /// The far end's goodbye.
    Goodbye,
}

impl Wire for ws::Message {
    fn read(self) -> Carried {
        match self {
            Self::Text(text) => Carried::Message(Message::Text(text.as_str().to_owned())),
            Self::Binary(bytes) => Carried::Message(Message::Binary(bytes)),
            Self::Close(_) => Carried::Goodbye,
            Self::Ping(_) | Self::Pong(_) => Carried::Nothing,
        }
    }

    fn of(message: Message) -> Self {
        match message {
            Message::Text(text) => Self::Text(text.into()),
            Message::Binary(bytes) => Self::Binary(bytes),
        }
    }

    fn goodbye(code: u16, reason: String) -> Self {
        Self::Close(Some(ws::CloseFrame { code, reason: reason.into() }))
    }
}

impl Wire for tungstenite::Message {
    fn read(self) -> Carried {
        match self {
            Self::Text(text) => Carried::Message(Message::Text(text.as_str().to_owned())),
            Self::Binary(bytes) => Carried::Message(Message::Binary(bytes)),
            Self::Close(_) => Carried::Goodbye,
            Self::Ping(_) | Self::Pong(_) | Self::Frame(_) => Carried::Nothing,
        }
    }

    fn of(message: Message) -> Self {
        match message {
            Message::Text(text) => Self::Text(text.into()),
            Message::Binary(bytes) => Self::Binary(bytes),
        }
    }

    fn goodbye(code: u16, reason: String) -> Self {
        Self::Close(Some(tungstenite::protocol::CloseFrame { code: code.into(), reason: reason.into() }))
    }
}

/// A WebSocket, whoever has opened it.
pub struct WebSocket<S>(pub S);

impl<S, M, E> Socket for WebSocket<S>
where
    S: Stream<Item = Result<M, E>> + Sink<M, Error = E> + Unpin + Send,
    M: Wire,
    E: std::fmt::Display,
{
    async fn recv(&mut self) -> Option<Result<Message, String>> {
        loop {
            return match self.0.next().await?.map(Wire::read) {
                Ok(Carried::Message(message)) => Some(Ok(message)),
                Ok(Carried::Nothing) => continue,
                Ok(Carried::Goodbye) => None,
                Err(error) => Some(Err(error.to_string())),
            };
        }
    }

    async fn send(&mut self, message: Message) -> Result<(), String> {
        self.0.send(M::of(message)).await.map_err(|error| error.to_string())
    }

    async fn close(&mut self, why: &Ended) {
        let goodbye = M::goodbye(close_code(why), reason(why));
        // The far end may be gone, which is as good; or has said goodbye first, and waits for ours.
        if self.0.send(goodbye).await.is_err() {
            let _ = self.0.flush().await;
        }
    }
}

/// AudioSocket: TCP, cut into frames.
impl Socket for Framed<TcpStream, Frames> {
    async fn recv(&mut self) -> Option<Result<Message, String>> {
        Some(self.next().await?.map_err(|error| error.to_string()))
    }

    async fn send(&mut self, message: Message) -> Result<(), String> {
        SinkExt::send(self, message).await.map_err(|error| error.to_string())
    }

    async fn close(&mut self, _why: &Ended) {
        let _ = SinkExt::<Message>::close(self).await;
    }
}

/// An AudioSocket on this connection.
pub fn audiosocket(stream: TcpStream, peer: SocketAddr) -> Framed<TcpStream, Frames> {
    // Small frames in good time matter more than few packets.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::warn!(%error, %peer, "AudioSocket: frames may be late");
    }
    Framed::new(stream, Frames)
}
