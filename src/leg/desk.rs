//! The microphone and speaker of this machine.

use std::collections::VecDeque;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, PoisonError};

use cpal::traits::{DeviceTrait, HostTrait, StreamTrait};
use cpal::{BufferSize, Device, Stream, StreamConfig};

use super::{Leg, LegEvent};
use crate::clock::Time;
use crate::media::{FRAME, Frame, RATE};
use crate::record::MediaRecord;

/// Why there is no desk to talk at.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such device.
    #[error("no {what} {name:?}: `nightline talk --list` shows what there is")]
    NoDevice {
        /// Microphone or speaker.
        what: &'static str,
        /// Name as given.
        name: String,
    },
    /// The device does not do what is needed.
    #[error(
        "the {what} does not take 16-bit mono at 16 kHz: {source}; on ALSA name a `plug` device, which converts"
    )]
    Open {
        /// Microphone or speaker.
        what: &'static str,
        /// What the system says.
        source: cpal::Error,
    },
    /// The devices cannot be listed.
    #[error("audio devices cannot be listed: {0}")]
    List(cpal::Error),
    /// The audio thread died.
    #[error("the audio thread ended while it was starting")]
    Thread,
}

/// Audio between the sound card's callbacks and the call; each end takes what is there.
type Shared = Arc<Mutex<VecDeque<i16>>>;

/// More than this waiting means that the clocks drift apart: the oldest is dropped.
const MOST_WAITING: usize = RATE as usize / 5;

/// Microphone and speaker as a leg.
pub struct Desk {
    heard: Shared,
    to_play: Shared,
    /// Dropping it closes the streams, which live on a thread of their own.
    _open: Sender<()>,
}

/// Names of the devices that can listen, and of those that can speak.
pub fn devices() -> Result<(Vec<String>, Vec<String>), Error> {
    let host = cpal::default_host();
    let names = |devices: &mut dyn Iterator<Item = Device>| {
        devices.filter_map(|device| device.id().ok().map(|id| id.to_string())).collect()
    };
    let inputs = names(&mut host.input_devices().map_err(Error::List)?);
    let outputs = names(&mut host.output_devices().map_err(Error::List)?);
    Ok((inputs, outputs))
}

impl Desk {
    /// Opens devices by the names of [`devices`], or the default ones.
    pub fn open(microphone: Option<String>, speaker: Option<String>) -> Result<Self, Error> {
        let (heard, to_play) = (Shared::default(), Shared::default());
        let (open, closed) = mpsc::channel();
        let (ready, started) = mpsc::channel();
        let (from_mic, to_speaker) = (heard.clone(), to_play.clone());
        std::thread::spawn(move || {
            let streams = start(microphone.as_deref(), speaker.as_deref(), from_mic, to_speaker);
            let streams = match streams {
                Ok(streams) => {
                    let _ = ready.send(Ok(()));
                    streams
                }
                Err(error) => {
                    let _ = ready.send(Err(error));
                    return;
                }
            };
            // Ends when the leg is dropped.
            let _ = closed.recv();
            drop(streams);
        });
        started.recv().map_err(|_| Error::Thread)??;
        Ok(Self { heard, to_play, _open: open })
    }
}

impl Leg for Desk {
    fn pull(&mut self, _: Time) -> Frame {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let mut frame = Frame::SILENCE;
        if heard.len() >= FRAME {
            for (sample, heard) in frame.0.iter_mut().zip(heard.drain(..FRAME)) {
                *sample = heard;
            }
        }
        frame
    }

    fn push(&mut self, _: Time, frame: &Frame) {
        append(&self.to_play, &frame.0);
    }

    async fn event(&mut self) -> LegEvent {
        std::future::pending().await
    }

    fn press(&mut self, _digit: char) {}

    fn hang_up(&mut self) {}

    /// A desk is never dead.
    fn last_heard(&self) -> Option<Time> {
        Some(Time::NEVER)
    }

    fn media(&self) -> MediaRecord {
        MediaRecord { leg: "caller".into(), codec: "L16".into(), ..MediaRecord::default() }
    }
}

fn start(
    microphone: Option<&str>,
    speaker: Option<&str>,
    heard: Shared,
    to_play: Shared,
) -> Result<(Stream, Stream), Error> {
    let host = cpal::default_host();
    let mic = match microphone {
        Some(name) => named(name, "microphone", host.input_devices())?,
        None => host.default_input_device().ok_or_else(|| missing("microphone", "default"))?,
    };
    let out = match speaker {
        Some(name) => named(name, "speaker", host.output_devices())?,
        None => host.default_output_device().ok_or_else(|| missing("speaker", "default"))?,
    };
    let config = StreamConfig { channels: 1, sample_rate: RATE, buffer_size: BufferSize::Default };
    let failed = |what| move |source| Error::Open { what, source };
    let input = mic
        .build_input_stream(config, move |data: &[i16], _: &_| append(&heard, data), complain, None)
        .map_err(failed("microphone"))?;
    let output = out
        .build_output_stream(config, move |data: &mut [i16], _: &_| fill(&to_play, data), complain, None)
        .map_err(failed("speaker"))?;
    input.play().map_err(failed("microphone"))?;
    output.play().map_err(failed("speaker"))?;
    Ok((input, output))
}

fn named(
    name: &str,
    what: &'static str,
    devices: Result<impl Iterator<Item = Device>, cpal::Error>,
) -> Result<Device, Error> {
    devices
        .map_err(Error::List)?
        .find(|device| device.id().is_ok_and(|id| id.to_string() == name))
        .ok_or_else(|| missing(what, name))
}

fn missing(what: &'static str, name: &str) -> Error {
    Error::NoDevice { what, name: name.into() }
}

fn append(queue: &Shared, samples: &[i16]) {
    let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
    queue.extend(samples);
    let excess = queue.len().saturating_sub(MOST_WAITING);
    queue.drain(..excess);
}

fn fill(queue: &Shared, out: &mut [i16]) {
    let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
    for sample in out {
        *sample = queue.pop_front().unwrap_or_default();
    }
}

fn complain(error: cpal::Error) {
    tracing::warn!(%error, "sound card");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_drifts_drops_the_oldest_audio() {
        let queue = Shared::default();
        append(&queue, &vec![1; MOST_WAITING]);
        append(&queue, &[2; 100]);
        let queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
        assert_eq!((queue.len(), queue.back()), (MOST_WAITING, Some(&2)));
    }

    #[test]
    fn an_empty_queue_is_silence() {
        let mut out = [9; 4];
        fill(&Shared::default(), &mut out);
        assert_eq!(out, [0; 4]);
    }
}
