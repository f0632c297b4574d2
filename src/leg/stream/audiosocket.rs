//! Asterisk's AudioSocket: frames of a type, a length and a body on TCP, with 16-bit linear audio, usually at 8 kHz.
//!
//! A [`Message::Binary`] is one frame: the type, then the body. Asterisk plays what it gets at once, so frames leave at the pace of
//! the call; it has no word for `clear`, and needs none. Who calls is not told: only the UUID that the dialplan gave.

use bytes::{BufMut as _, Bytes, BytesMut};

use super::pcm::Decoder;
use super::{Dialect, Encoding, Message, Say, Started, Told, Wrong, key};

const HANG_UP: u8 = 0x00;
const ID: u8 = 0x01;
const KEY: u8 = 0x03;
const AUDIO: u8 = 0x10;
const ERROR: u8 = 0xFF;
/// Types 0x10 … 0x18 are audio at these rates.
const RATES: [u32; 9] = [8_000, 12_000, 16_000, 24_000, 32_000, 44_100, 48_000, 96_000, 192_000];

/// The translator.
pub struct AudioSocket {
    decoder: Decoder,
    id: Option<String>,
    /// The type of its audio, once it has sent some.
    kind: Option<u8>,
}

impl Default for AudioSocket {
    fn default() -> Self {
        Self { decoder: Decoder::new(Encoding::L16), id: None, kind: None }
    }
}

impl Dialect for AudioSocket {
    fn name(&self) -> &'static str {
        "audiosocket"
    }

    fn hear(&mut self, message: Message) -> Result<Vec<Told>, Wrong> {
        let Message::Binary(frame) = message else { return Err(Wrong::new("AudioSocket has no text")) };
        let Some((kind, body)) = frame.split_first() else {
            return Err(Wrong::new("a frame without a type"));
        };
        Ok(match (*kind, &self.id) {
            (HANG_UP, _) => vec![Told::Ended],
            (ID, None) => {
                let id = uuid::Uuid::from_slice(body);
                let id = id.map_err(|_| Wrong(format!("a UUID of {} bytes, not 16", body.len())))?;
                self.id = Some(id.to_string());
                Vec::new()
            }
            (ID, Some(_)) => return Err(Wrong::new("a second UUID")),
            (_, None) => return Err(Wrong::new("a frame before the UUID")),
            (KEY, Some(_)) => key(&String::from_utf8_lossy(body)).map(Told::Key).into_iter().collect(),
            (kind, Some(id)) if (AUDIO..AUDIO + 9).contains(&kind) => {
                let rate = RATES[usize::from(kind - AUDIO)];
                let mut told = Vec::new();
                match self.kind {
                    // What it sends first says at which rate it speaks.
                    None => {
                        let rate = super::known_rate(rate.into())?;
                        self.kind = Some(kind);
                        told.push(Told::Started(Started { id: id.clone(), rate, ..Started::default() }));
                    }
                    Some(before) if before != kind => {
                        return Err(Wrong::new("the rate of the audio has changed"));
                    }
                    Some(_) => {}
                }
                told.push(Told::Audio(self.decoder.decode(body)));
                told
            }
            (ERROR, Some(_)) => {
                tracing::warn!(code = body.first(), "AudioSocket: Asterisk tells of an error");
                vec![Told::Ended]
            }
            // Later versions have more types.
            _ => Vec::new(),
        })
    }

    fn say(&mut self, what: &Say) -> Vec<Message> {
        match (what, self.kind) {
            (Say::Audio(samples), Some(kind)) => vec![frame(kind, &Encoding::L16.encode(samples))],
            (Say::HangUp, _) => vec![frame(HANG_UP, &[])],
            _ => Vec::new(),
        }
    }
}

fn frame(kind: u8, body: &[u8]) -> Message {
    let mut bytes = BytesMut::with_capacity(1 + body.len());
    bytes.put_u8(kind);
    bytes.put_slice(body);
    Message::Binary(bytes.freeze())
}

/// Cuts a TCP stream into frames, and makes frames of messages.
#[derive(Clone, Copy, Debug, Default)]
pub struct Frames;

impl tokio_util::codec::Decoder for Frames {
    type Item = Message;
    type Error = std::io::Error;

    fn decode(&mut self, bytes: &mut BytesMut) -> Result<Option<Message>, std::io::Error> {
        let Some(&[kind, high, low]) = bytes.first_chunk::<3>() else { return Ok(None) };
        let length = usize::from(u16::from_be_bytes([high, low]));
        if bytes.len() < 3 + length {
            bytes.reserve(3 + length - bytes.len());
            return Ok(None);
        }
        let whole: Bytes = bytes.split_to(3 + length).freeze();
        Ok(Some(frame(kind, &whole[3..])))
    }
}

impl tokio_util::codec::Encoder<Message> for Frames {
    type Error = std::io::Error;

    fn encode(&mut self, message: Message, bytes: &mut BytesMut) -> Result<(), std::io::Error> {
        let Message::Binary(frame) = message else { return Ok(()) };
        let Some((kind, body)) = frame.split_first() else { return Ok(()) };
        let length = u16::try_from(body.len()).map_err(std::io::Error::other)?;
        bytes.put_u8(*kind);
        bytes.put_u16(length);
        bytes.put_slice(body);
        Ok(())
    }
}
