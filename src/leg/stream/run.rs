//! A socket's end of a stream: reads and writes until either side is done.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::mpsc;

use super::leg::{Counts, StreamLeg};
use super::socket::Socket;
use super::{Dialect, Message, Say, Started, Told, Wrong};
use crate::leg::LegEvent;
use crate::media::resample::Stream;
use crate::media::{FRAME, Frame, RATE};

/// Frames that may wait for the call: a second. A far end that sends faster is read no further meanwhile.
const WAITING: usize = 50;
/// Messages that may wait for the far end.
const UNREAD: usize = 64;
/// Keys and the like that may wait for the call.
const EVENTS: usize = 64;

/// How long a far end is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// It must say within this time who it is.
    pub patience: Duration,
    /// If it does not take a message for so long it is gone.
    pub stuck: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { patience: Duration::from_secs(5), stuck: Duration::from_secs(5) }
    }
}

/// Why a stream ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    /// The call is over here.
    #[error("the call is over")]
    Here,
    /// The far end has ended it.
    #[error("the far end has ended it")]
    There,
    /// The far end sent what is none of the protocol's.
    #[error("{0}")]
    Wrong(#[from] Wrong),
    /// It said for too long not who it is.
    #[error("the far end did not say in time who it is")]
    Silent,
    /// It read nothing for too long.
    #[error("the far end reads nothing")]
    Stuck,
    /// The socket broke.
    #[error("the socket broke: {0}")]
    Broken(String),
}

/// A stream whose far end has said who it is.
pub struct Opened<S> {
    socket: S,
    dialect: Box<dyn Dialect>,
    limits: Limits,
    /// What it said.
    pub started: Started,
    /// What came with it.
    told: VecDeque<Told>,
}

/// Waits for the far end to say who it is. On an error the socket is closed.
pub async fn serve<S: Socket>(
    mut socket: S,
    mut dialect: Box<dyn Dialect>,
    limits: Limits,
) -> Result<Opened<S>, Ended> {
    let begin = async {
        loop {
            let message = read(&mut socket).await?;
            let mut told = VecDeque::from(dialect.hear(message)?);
            match told.pop_front() {
                Some(Told::Started(started)) => return Ok((started, told)),
                Some(Told::Ended) => return Err(Ended::There),
                _ => {}
            }
        }
    };
    let begun = tokio::time::timeout(limits.patience, begin).await.unwrap_or(Err(Ended::Silent));
    match begun {
        Ok((started, told)) => Ok(Opened { socket, dialect, limits, started, told }),
        Err(ended) => {
            leave(&mut socket, &mut *dialect, &ended).await;
            Err(ended)
        }
    }
}

impl<S: Socket> Opened<S> {
    /// The leg for the call, and the future that has to be run beside it until it ends.
    pub fn split(self) -> Result<(StreamLeg, impl Future<Output = Ended> + Send), String> {
        let (hear, heard) = mpsc::channel(WAITING);
        let (happen, events) = mpsc::channel(EVENTS);
        let (says, said) = mpsc::channel(UNREAD);
        let counts = Arc::<Counts>::default();
        let rate = self.started.rate;
        let codec = format!("{} {} kHz", self.dialect.name(), rate / 1000);
        let leg =
            StreamLeg::new(codec, rate, heard, events, says, counts.clone()).map_err(|e| e.to_string())?;
        let from_far =
            (rate != RATE).then(|| Stream::new(rate, RATE)).transpose().map_err(|e| e.to_string())?;
        let Self { socket, dialect, limits, told, .. } = self;
        let running = Running {
            socket,
            dialect,
            limits,
            hear,
            happen,
            said,
            counts,
            from_far,
            samples: Vec::new(),
            pending: VecDeque::new(),
            takes: true,
        };
        Ok((leg, running.run(told)))
    }
}

struct Running<S> {
    socket: S,
    dialect: Box<dyn Dialect>,
    limits: Limits,
    hear: mpsc::Sender<Frame>,
    happen: mpsc::Sender<LegEvent>,
    said: mpsc::Receiver<Say>,
    counts: Arc<Counts>,
    from_far: Option<Stream>,
    /// Less than a frame.
    samples: Vec<i16>,
    /// Frames that the call has no room for yet.
    pending: VecDeque<Frame>,
    /// The far end takes audio.
    takes: bool,
}

impl<S: Socket> Running<S> {
    async fn run(mut self, told: VecDeque<Told>) -> Ended {
        let ended = match self.take(told) {
            Some(ended) => ended,
            None => self.converse().await,
        };
        leave(&mut self.socket, &mut *self.dialect, &ended).await;
        let refused = self.counts.refused.load(Ordering::Relaxed);
        if refused > 0 {
            tracing::warn!(ms = refused * 20, "a stream's far end did not take all audio");
        }
        // A call that is over does not need to know.
        let _ = self.happen.try_send(LegEvent::Gone);
        ended
    }

    async fn converse(&mut self) -> Ended {
        loop {
            tokio::select! {
                said = self.said.recv() => {
                    let Some(said) = said else { return Ended::Here };
                    if matches!(said, Say::Audio(_)) && !self.takes {
                        self.counts.refused.fetch_add(1, Ordering::Relaxed);
                        continue;
                    }
                    for message in self.dialect.say(&said) {
                        if let Err(ended) = write(&mut self.socket, message, self.limits.stuck).await {
                            return ended;
                        }
                    }
                    if said == Say::HangUp {
                        return Ended::Here;
                    }
                }
                room = self.hear.clone().reserve_owned(), if !self.pending.is_empty() => {
                    let Ok(room) = room else { return Ended::Here };
                    if let Some(frame) = self.pending.pop_front() {
                        room.send(frame);
                    }
                }
                message = read(&mut self.socket), if self.pending.is_empty() => {
                    let told = message.and_then(|message| Ok(self.dialect.hear(message)?));
                    match told.map(|told| self.take(told.into())) {
                        Ok(None) => {}
                        Ok(Some(ended)) | Err(ended) => return ended,
                    }
                }
            }
        }
    }

    /// Takes in what the far end told; the end, if it told that.
    fn take(&mut self, told: VecDeque<Told>) -> Option<Ended> {
        for told in told {
            match told {
                Told::Audio(samples) => self.audio(&samples),
                Told::Key(key) => {
                    if self.happen.try_send(LegEvent::Dtmf(key)).is_err() {
                        tracing::warn!("a stream's key was lost: the call does not take them so fast");
                    }
                }
                Told::Takes(takes) => self.takes = takes,
                // Audio leaves as it is spoken, so what has been said is known without being told.
                Told::Played(_) | Told::Started(_) => {}
                Told::Ended => return Some(Ended::There),
            }
        }
        None
    }

    fn audio(&mut self, samples: &[i16]) {
        match &mut self.from_far {
            None => self.samples.extend_from_slice(samples),
            Some(resampler) => {
                if let Err(error) = resampler.push(samples, &mut self.samples) {
                    tracing::error!(%error, "audio was not resampled");
                }
            }
        }
        let whole = self.samples.len() / FRAME * FRAME;
        for samples in self.samples[..whole].as_chunks::<FRAME>().0 {
            self.pending.push_back(Frame(*samples));
            self.counts.received.fetch_add(1, Ordering::Relaxed);
        }
        self.samples.drain(..whole);
    }
}

async fn read<S: Socket>(socket: &mut S) -> Result<Message, Ended> {
    match socket.recv().await {
        None => Err(Ended::There),
        Some(message) => message.map_err(Ended::Broken),
    }
}

async fn write<S: Socket>(socket: &mut S, message: Message, stuck: Duration) -> Result<(), Ended> {
    match tokio::time::timeout(stuck, socket.send(message)).await {
        Ok(sent) => sent.map_err(Ended::Broken),
        Err(_) => Err(Ended::Stuck),
    }
}

/// Tells the far end what it did wrong, and closes. Does not wait for one that does not read.
async fn leave<S: Socket>(socket: &mut S, dialect: &mut dyn Dialect, ended: &Ended) {
    let goodbye = async {
        if let Ended::Wrong(wrong) = ended {
            for message in dialect.complain(wrong) {
                // It is being left.
                let _ = socket.send(message).await;
            }
        }
        socket.close(ended).await;
    };
    if !matches!(ended, Ended::Stuck | Ended::Broken(_)) {
        let _ = tokio::time::timeout(Duration::from_secs(1), goodbye).await;
    }
}
