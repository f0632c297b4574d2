//! The line of a recording: what the caller sends, and what comes back of the bot's voice.

use std::collections::VecDeque;
use std::slice;

use nightline_sip::rtp::Law;

use super::{Item, Set};
use crate::media::Frame;
use crate::media::wire::{FromWire, ToWire, WIRE_FRAME};

/// Plays a recording as the server hears it. An echo is that of what the bot really says: it ends when the bot does.
pub(super) struct Line<'a> {
    packets: slice::Chunks<'a, u8>,
    up: FromWire,
    echo: Option<Echo>,
}

/// A linear path back to the server.
struct Echo {
    /// Impulse response with its gain, at 8 kHz.
    response: Vec<f32>,
    /// Samples from what was sent to the beginning of its echo.
    delay: usize,
    down: ToWire,
    /// What is to come back, from the next sample on.
    coming: VecDeque<f32>,
}

impl Set {
    /// The line of `item`, with its echo.
    pub(super) fn line(&self, item: &Item) -> Line<'_> {
        let echo = item.echo.as_ref().and_then(|echo| {
            let (at, length) = *self.paths.get(&echo.path)?;
            let mut response = vec![0; length];
            Law::A.decode(&self.audio[at..at + length], &mut response)?;
            let gain = echo.gain / 32_768.0;
            let response = response.into_iter().map(|tap| f32::from(tap) * gain).collect();
            Some(Echo { response, delay: echo.delay, down: ToWire::default(), coming: VecDeque::new() })
        });
        let packets = self.audio[item.at..item.at + item.length].chunks(WIRE_FRAME);
        Line { packets, up: FromWire::default(), echo }
    }
}

impl Line<'_> {
    /// The next 20 ms, until the recording ends.
    pub(super) fn hear(&mut self) -> Option<Frame> {
        let packet = self.packets.next()?;
        let mut samples = [0; WIRE_FRAME];
        // A last, shorter packet ends in silence.
        Law::A.decode(packet, &mut samples);
        if let Some(echo) = &mut self.echo {
            for sample in &mut samples {
                let back = echo.coming.pop_front().unwrap_or(0.0);
                *sample = (f32::from(*sample) + back).clamp(-32_768.0, 32_767.0) as i16;
            }
            // The sum is what was coded where the echo arose.
            let mut coded = [0; WIRE_FRAME];
            Law::A.encode(&samples, &mut coded);
            Law::A.decode(&coded, &mut samples);
        }
        Some(self.up.convert(&samples))
    }

    /// Takes what the bot says during the 20 ms that were heard last.
    pub(super) fn play(&mut self, frame: &Frame) {
        let Some(echo) = &mut self.echo else { return };
        let played = echo.down.convert(frame);
        // The first sample was sent together with the first one heard, a frame ago.
        let delay = echo.delay.saturating_sub(WIRE_FRAME);
        echo.coming.resize(echo.coming.len().max(delay + WIRE_FRAME + echo.response.len()), 0.0);
        for (at, &sample) in played.iter().enumerate().filter(|(_, sample)| **sample != 0) {
            for (back, tap) in echo.coming.range_mut(delay + at..).zip(&echo.response) {
                *back += f32::from(sample) * tap;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_echo_comes_after_its_delay_at_its_level_and_ends_with_the_bot() {
        let packets = vec![0xD5; 40 * WIRE_FRAME];
        let echo = Echo {
            response: vec![0.1],
            delay: 3 * WIRE_FRAME,
            down: ToWire::default(),
            coming: VecDeque::new(),
        };
        let mut line =
            Line { packets: packets.chunks(WIRE_FRAME), up: FromWire::default(), echo: Some(echo) };
        let tone = |n: usize| {
            Frame(std::array::from_fn(|i| ((n * 320 + i) as f32 * 0.2).sin().mul_add(9_000.0, 0.0) as i16))
        };
        let mut loud = Vec::new();
        for n in 0..40 {
            let Some(heard) = line.hear() else { panic!("the line ended after {n} of 40 frames") };
            loud.push(heard.0.iter().map(|s| s.unsigned_abs()).max().unwrap_or(0));
            line.play(&if n < 20 { tone(n) } else { Frame::SILENCE });
        }
        assert!(loud[..3].iter().all(|peak| *peak < 20), "before anything can have come back: {loud:?}");
        assert!(loud[5..22].iter().all(|peak| (800..1_000).contains(peak)), "20 dB below 9,000: {loud:?}");
        assert!(loud[26..].iter().all(|peak| *peak < 20), "after the bot has ended: {loud:?}");
        assert!(line.hear().is_none(), "the recording is over");
    }
}
