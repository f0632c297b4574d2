//! Media streams: what the far end of a WebSocket or an AudioSocket may send, in every protocol.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use nightline::call::barge_in::Why;
use nightline::call::event::{Event, EventKind, TurnId};
use nightline::clock::Time;
use nightline::leg::stream::audiosocket::{AudioSocket, Frames};
use nightline::leg::stream::{Dialect, Message, Protocol, Say, Told};
use tokio_util::codec::Decoder as _;

use crate::reader::Reader;

/// Messages of one input that are taken.
const MESSAGES: usize = 64;
/// Samples that a message may become: AudioSocket has the longest frames, base64 is three octets for four.
const MOST_SAMPLES: usize = 1 << 18;

/// The first octet is the protocol. Messages are cut by `%%` and a letter: `t` is text, `b` binary, `q` sets a parameter of the
/// address before the first (`name=value`), `s` has the application say something; AudioSocket takes octets as they come.
pub fn streams(data: &[u8]) {
    let Some((&first, rest)) = data.split_first() else { return };
    if first & 7 == 5 {
        return audiosocket(rest);
    }
    let mut query = BTreeMap::new();
    let mut steps = steps(rest).into_iter().take(MESSAGES).peekable();
    while let Some((b'q', pair)) = steps.peek().copied() {
        let pair = String::from_utf8_lossy(pair);
        let (name, value) = pair.split_once('=').unwrap_or((&pair, ""));
        query.insert(name.to_owned(), value.to_owned());
        steps.next();
    }
    let protocol = Protocol::ALL[usize::from(first & 7) % Protocol::ALL.len()];
    let mut call = Call::new(protocol.dialect(&query));
    for (what, octets) in steps {
        let alive = match what {
            b's' => {
                call.says(octets);
                true
            }
            b'b' => call.hears(Message::Binary(Bytes::copy_from_slice(octets))),
            _ => call.hears(Message::Text(String::from_utf8_lossy(octets).into_owned())),
        };
        if !alive {
            return;
        }
    }
}

/// The first octet is how the stream is cut.
fn audiosocket(data: &[u8]) {
    let mut input = Reader(data);
    let piece = usize::from(input.byte()).max(1);
    let mut call = Call::new(Box::new(AudioSocket::default()));
    let mut got = BytesMut::new();
    while !input.is_empty() {
        got.extend_from_slice(input.octets(piece));
        while let Ok(Some(message)) = Frames.decode(&mut got) {
            if !call.hears(message) {
                return;
            }
            call.says(&[piece as u8]);
        }
        assert!(
            got.capacity() <= 2 * (3 + usize::from(u16::MAX)) + data.len(),
            "{} octets wait",
            got.capacity()
        );
    }
}

struct Call {
    dialect: Box<dyn Dialect>,
    started: bool,
    rate: usize,
}

impl Call {
    fn new(dialect: Box<dyn Dialect>) -> Self {
        Self { dialect, started: false, rate: 8_000 }
    }

    /// Whether it goes on.
    fn hears(&mut self, message: Message) -> bool {
        let length = match &message {
            Message::Text(text) => text.len(),
            Message::Binary(octets) => octets.len(),
        };
        let told = match self.dialect.hear(message) {
            Ok(told) => told,
            Err(wrong) => {
                assert!(wrong.to_string().len() <= 400, "a long complaint: {wrong}");
                whole(self.dialect.complain(&wrong));
                return false;
            }
        };
        assert!(told.len() <= 2, "{} things in one message", told.len());
        for told in told {
            match told {
                Told::Started(started) => {
                    assert!(!std::mem::replace(&mut self.started, true), "it starts once");
                    assert!([8_000, 16_000, 24_000, 48_000].contains(&started.rate), "{} Hz", started.rate);
                    self.rate = started.rate as usize;
                }
                Told::Audio(samples) => {
                    assert!(
                        samples.len() <= length.min(MOST_SAMPLES),
                        "{} samples of {length}",
                        samples.len()
                    );
                }
                Told::Key(key) => assert!("0123456789*#ABCD".contains(key), "{key:?} is no key"),
                Told::Ended => return false,
                Told::Played(_) | Told::Takes(_) => {}
            }
        }
        true
    }

    fn says(&mut self, octets: &[u8]) {
        let event = |kind| Say::Event(Box::new(Event { at: Time::ZERO, kind }));
        let turn = TurnId(1);
        let said = match octets.first().unwrap_or(&0) & 7 {
            0 | 1 => Say::Audio(vec![7; self.rate / 50]),
            2 => event(EventKind::BargeInConfirmed { turn, why: Why::default() }),
            3 => {
                let text = String::from_utf8_lossy(octets).into_owned();
                event(EventKind::BotSaid { turn, text, interrupted: false, began: Time::ZERO })
            }
            4 => Say::Key('5'),
            5 => Say::Named(String::from_utf8_lossy(octets).into_owned()),
            6 => event(EventKind::Bridged),
            _ => Say::HangUp,
        };
        whole(self.dialect.say(&said));
    }
}

/// What we send is what its kind says.
fn whole(messages: Vec<Message>) {
    assert!(messages.len() <= 2, "{} messages for one thing", messages.len());
    for message in messages {
        if let Message::Text(text) = message {
            let plain = text.chars().all(|c| c >= ' ');
            assert!(plain, "a control character in {text:?}");
        }
    }
}

fn steps(data: &[u8]) -> Vec<(u8, &[u8])> {
    let mut steps = Vec::new();
    let mut rest = data;
    while let Some(at) = rest.windows(2).position(|pair| pair == b"%%") {
        if let Some((&what, octets)) = rest[..at].split_first() {
            steps.push((what, octets));
        }
        rest = &rest[at + 2..];
    }
    steps.extend(rest.split_first().map(|(&what, octets)| (what, octets)));
    steps
}
