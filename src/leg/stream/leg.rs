//! The call's end of a stream.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc::{self, error::TrySendError};

use super::Say;
use crate::call::event::Event;
use crate::clock::Time;
use crate::leg::{Leg, LegEvent};
use crate::media::resample::Resampler;
use crate::media::{FRAME, Frame, RATE};
use crate::record::{MediaRecord, Tap};

/// Frames that are waited for before a far end is heard (again): 40 ms of a network's unevenness.
const CUSHION: usize = 2;
/// More frames than these are late: silence among them is passed over until they are not, so that words are not lost.
const LATE: usize = 10;
/// A frame with no sample above this is silence.
const QUIET: u16 = 400;
/// Places in the queue to the socket that audio leaves to what is told.
const RESERVED: usize = 16;

/// What a stream has counted.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Frames that came.
    pub(super) received: AtomicU64,
    /// Frames that the far end did not take.
    pub(super) refused: AtomicU64,
}

/// A party whose audio comes by a socket. Dropping it ends the stream.
pub struct StreamLeg {
    pub(super) codec: String,
    pub(super) heard: mpsc::Receiver<Frame>,
    pub(super) events: mpsc::Receiver<LegEvent>,
    pub(super) says: mpsc::Sender<Say>,
    pub(super) counts: Arc<Counts>,
    to_far: Option<Resampler>,
    /// Samples of 20 ms at the far end's rate.
    block: usize,
    /// Nothing is played until some frames are there.
    filling: bool,
    concealed: u64,
    passed_over: u64,
    sent: u64,
    last_heard: Option<Time>,
}

impl StreamLeg {
    pub(super) fn new(
        codec: String,
        rate: u32,
        heard: mpsc::Receiver<Frame>,
        events: mpsc::Receiver<LegEvent>,
        says: mpsc::Sender<Say>,
        counts: Arc<Counts>,
    ) -> Result<Self, crate::media::resample::ResampleError> {
        let to_far = (rate != RATE).then(|| Resampler::new(RATE, rate, FRAME)).transpose()?;
        Ok(Self {
            codec,
            heard,
            events,
            says,
            counts,
            to_far,
            block: rate as usize / 50,
            filling: true,
            concealed: 0,
            passed_over: 0,
            sent: 0,
            last_heard: None,
        })
    }

    /// Tells the far end by which name the call is known here.
    pub fn name(&self, call: &str) {
        self.tell(Say::Named(call.to_owned()));
    }

    /// A tap that tells the far end what happens in the call.
    pub fn tap(&self) -> StreamTap {
        StreamTap { says: self.says.clone() }
    }

    fn tell(&self, what: Say) {
        if let Err(TrySendError::Full(_)) = self.says.try_send(what) {
            tracing::warn!("a stream's far end reads too slowly to be told everything");
        }
    }
}

impl Leg for StreamLeg {
    fn pull(&mut self, now: Time) -> Frame {
        if self.filling && self.heard.len() < CUSHION {
            self.concealed += u64::from(self.last_heard.is_some());
            return Frame::SILENCE;
        }
        let mut next = self.heard.try_recv().ok();
        if next.is_some() {
            self.last_heard = Some(now);
        }
        while self.heard.len() >= LATE && next.as_ref().is_some_and(is_quiet) {
            self.passed_over += 1;
            next = self.heard.try_recv().ok();
        }
        self.filling = next.is_none();
        self.concealed += u64::from(self.filling);
        next.unwrap_or_default()
    }

    fn push(&mut self, _: Time, frame: &Frame) {
        let samples = match &mut self.to_far {
            None => frame.0.to_vec(),
            Some(resampler) => {
                let mut out = vec![0; self.block];
                if let Err(error) = resampler.block(&frame.0, &mut out) {
                    tracing::error!(%error, "a frame was not resampled");
                }
                out
            }
        };
        if self.says.capacity() > RESERVED && self.says.try_send(Say::Audio(samples)).is_ok() {
            self.sent += 1;
        } else {
            self.counts.refused.fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn event(&mut self) -> LegEvent {
        self.events.recv().await.unwrap_or(LegEvent::Gone)
    }

    fn press(&mut self, digit: char) {
        self.tell(Say::Key(digit));
    }

    fn hang_up(&mut self) {
        self.tell(Say::HangUp);
    }

    fn last_heard(&self) -> Option<Time> {
        self.last_heard
    }

    fn media(&self) -> MediaRecord {
        MediaRecord {
            leg: "caller".into(),
            codec: self.codec.clone(),
            received: self.counts.received.load(Ordering::Relaxed),
            late: self.passed_over,
            concealed: self.concealed,
            sent: self.sent,
            ..MediaRecord::default()
        }
    }
}

/// Tells a far end what happens in its call.
pub struct StreamTap {
    says: mpsc::Sender<Say>,
}

impl Tap for StreamTap {
    fn event(&mut self, event: &Event) {
        // A far end that reads nothing is told nothing; the call goes on.
        let _ = self.says.try_send(Say::Event(Box::new(event.clone())));
    }
}

fn is_quiet(frame: &Frame) -> bool {
    frame.0.iter().all(|sample| sample.unsigned_abs() < QUIET)
}
