//! The microphone and speaker of this machine.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

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

/// A speaker is heard by its microphone for so long after what waits for it was played: what the sound card holds, and the room.
const RINGS_ON: Duration = Duration::from_millis(400);
/// A frame that is no louder than this is silence to the ear: -50 dBFS.
const QUIET: f32 = 0.003;

/// How loud the last 20 ms were, as root mean square, full scale 1.
#[derive(Debug, Default)]
pub struct Levels {
    microphone: AtomicU32,
    speaker: AtomicU32,
}

impl Levels {
    /// Of what the microphone hears.
    pub fn microphone(&self) -> f32 {
        f32::from_bits(self.microphone.load(Ordering::Relaxed))
    }

    /// Of what the speaker plays.
    pub fn speaker(&self) -> f32 {
        f32::from_bits(self.speaker.load(Ordering::Relaxed))
    }
}

/// Microphone and speaker as a leg.
pub struct Desk {
    heard: Shared,
    to_play: Shared,
    levels: Arc<Levels>,
    /// The microphone is not listened to while the speaker plays.
    half_duplex: bool,
    /// Until when the speaker is heard.
    rings_until: Time,
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
    /// Opens devices by the names of [`devices`], or the default ones. With `half_duplex` the microphone hears nothing while the speaker
    /// plays.
    pub fn open(
        microphone: Option<String>,
        speaker: Option<String>,
        half_duplex: bool,
    ) -> Result<Self, Error> {
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
        let (levels, rings_until) = (Arc::default(), Time::ZERO);
        Ok(Self { heard, to_play, levels, half_duplex, rings_until, _open: open })
    }

    /// How loud it is, for a meter.
    pub fn levels(&self) -> Arc<Levels> {
        self.levels.clone()
    }
}

impl Leg for Desk {
    fn pull(&mut self, now: Time) -> Frame {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let mut frame = Frame::SILENCE;
        if heard.len() >= FRAME {
            for (sample, heard) in frame.0.iter_mut().zip(heard.drain(..FRAME)) {
                *sample = heard;
            }
        }
        drop(heard);
        self.levels.microphone.store(level(&frame).to_bits(), Ordering::Relaxed);
        if self.half_duplex && now < self.rings_until { Frame::SILENCE } else { frame }
    }

    fn push(&mut self, now: Time, frame: &Frame) {
        let loud = level(frame);
        self.levels.speaker.store(loud.to_bits(), Ordering::Relaxed);
        append(&self.to_play, &frame.0);
        if loud > QUIET {
            let waiting = self.to_play.lock().unwrap_or_else(PoisonError::into_inner).len();
            self.rings_until = now + Duration::from_secs_f64(waiting as f64 / f64::from(RATE)) + RINGS_ON;
        }
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

fn level(frame: &Frame) -> f32 {
    let energy: f32 = frame.0.iter().map(|sample| (f32::from(*sample) / 32_768.0).powi(2)).sum();
    (energy / FRAME as f32).sqrt()
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
    fn a_half_duplex_desk_hears_nothing_while_it_speaks() {
        for half_duplex in [false, true] {
            let mut desk = Desk {
                heard: Shared::default(),
                to_play: Shared::default(),
                levels: Arc::default(),
                half_duplex,
                rings_until: Time::ZERO,
                _open: mpsc::channel().0,
            };
            let voice = Frame([3_000; FRAME]);
            let mut hear = |at: u64, said: Frame| {
                let now = Time::from_start(Duration::from_millis(at));
                append(&desk.heard, &voice.0);
                desk.push(now, &said);
                (desk.pull(now), desk.levels().microphone())
            };
            let (heard, level) = hear(20, voice);
            assert_eq!(heard == Frame::SILENCE, half_duplex);
            assert!((level - 3_000.0 / 32_768.0).abs() < 1e-4, "the meter shows it all the same: {level}");
            assert_eq!(
                hear(430, Frame::SILENCE).0 == Frame::SILENCE,
                half_duplex,
                "20 ms waited, and the room rings"
            );
            assert_eq!(hear(450, Frame::SILENCE).0, voice);
        }
    }

    #[test]
    fn an_empty_queue_is_silence() {
        let mut out = [9; 4];
        fill(&Shared::default(), &mut out);
        assert_eq!(out, [0; 4]);
    }
}
