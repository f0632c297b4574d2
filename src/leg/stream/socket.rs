//! The sockets that streams run on.

use std::net::SocketAddr;

use axum::extract::ws::{self, CloseFrame, close_code};
use futures_util::{SinkExt, StreamExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};
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

/// A WebSocket that was opened to us. Pings are answered by the library.
impl Socket for ws::WebSocket {
    async fn recv(&mut self) -> Option<Result<Message, String>> {
        loop {
            return match self.next().await? {
                Ok(ws::Message::Text(text)) => Some(Ok(Message::Text(text.as_str().to_owned()))),
                Ok(ws::Message::Binary(bytes)) => Some(Ok(Message::Binary(bytes))),
                Ok(ws::Message::Close(_)) => None,
                Ok(_) => continue,
                Err(error) => Some(Err(error.to_string())),
            };
        }
    }

    async fn send(&mut self, message: Message) -> Result<(), String> {
        let message = match message {
            Message::Text(text) => ws::Message::Text(text.into()),
            Message::Binary(bytes) => ws::Message::Binary(bytes),
        };
        SinkExt::send(self, message).await.map_err(|error| error.to_string())
    }

    async fn close(&mut self, why: &Ended) {
        let frame = CloseFrame { code: close_code(why), reason: reason(why).into() };
        // The far end may be gone, which is as good; or has said goodbye first, and waits for ours.
        if SinkExt::send(self, ws::Message::Close(Some(frame))).await.is_err() {
            let _ = SinkExt::<ws::Message>::flush(self).await;
        }
    }
}

/// A WebSocket that we have opened.
impl Socket for WebSocketStream<MaybeTlsStream<TcpStream>> {
    async fn recv(&mut self) -> Option<Result<Message, String>> {
        loop {
            return match self.next().await? {
                Ok(tungstenite::Message::Text(text)) => Some(Ok(Message::Text(text.as_str().to_owned()))),
                Ok(tungstenite::Message::Binary(bytes)) => Some(Ok(Message::Binary(bytes))),
                Ok(tungstenite::Message::Close(_)) => None,
                Ok(_) => continue,
                Err(error) => Some(Err(error.to_string())),
            };
        }
    }

    async fn send(&mut self, message: Message) -> Result<(), String> {
        let message = match message {
            Message::Text(text) => tungstenite::Message::Text(text.into()),
            Message::Binary(bytes) => tungstenite::Message::Binary(bytes),
        };
        SinkExt::send(self, message).await.map_err(|error| error.to_string())
    }

    async fn close(&mut self, why: &Ended) {
        let frame =
            tungstenite::protocol::CloseFrame { code: close_code(why).into(), reason: reason(why).into() };
        let _ = WebSocketStream::close(self, Some(frame)).await;
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
