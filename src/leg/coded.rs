//! Between the house's frames and what a codec of RTP has: 8 or 16 kHz.

use nightline_sip::Codec;
use nightline_sip::rtp::{Audio, WIDE_FRAME};

use crate::clock::Time;
use crate::media::Frame;
use crate::media::wire::{FromWire, ToWire};

/// A leg whose audio is coded by a codec of RTP.
pub trait Coded {
    /// What the far end said in the last 20 ms, as it is coded.
    fn take(&mut self, now: Time) -> Audio;
    /// Sends what another line gave.
    fn give(&mut self, now: Time, audio: &Audio);
    /// What the machine hears of it.
    fn hear(&mut self, audio: &Audio) -> Frame;
}

/// Joins two lines for 20 ms, as they are coded; what each said, silence if it is not `kept`.
pub fn join(now: Time, one: &mut impl Coded, other: &mut impl Coded, kept: bool) -> (Frame, Frame) {
    let (from_one, from_other) = (one.take(now), other.take(now));
    one.give(now, &from_other);
    other.give(now, &from_one);
    if kept { (one.hear(&from_one), other.hear(&from_other)) } else { (Frame::SILENCE, Frame::SILENCE) }
}

/// The converters of one leg: each has one stream, since it remembers what came before.
#[derive(Default)]
pub struct Converters {
    to_wire: ToWire,
    from_wire: FromWire,
    /// Made when a wideband codec is used.
    band: Option<ToWire>,
    /// Made when a line of another rate is joined with it.
    narrowing: Option<ToWire>,
    widening: Option<FromWire>,
}

impl Converters {
    /// What the machine hears of `audio`: the band of a telephone, also where the line gives more. Voice activity, ends of turns and
    /// the embedded recogniser know nothing else.
    pub fn hear(&mut self, audio: &Audio) -> Frame {
        if let Ok(wide) = <[i16; WIDE_FRAME]>::try_from(&audio[..]) {
            let narrow = self.band.get_or_insert_default().convert(&Frame(wide));
            return self.from_wire.convert(&narrow);
        }
        self.from_wire.convert(audio)
    }

    /// `frame` for a line that is coded by `codec`.
    pub fn say(&mut self, frame: &Frame, codec: Codec) -> Audio {
        if codec.frame() == WIDE_FRAME { frame.0.into() } else { self.to_wire.convert(frame).into() }
    }

    /// What another line gave, for a line that is coded by `codec`: as it is where both have the same rate.
    pub fn pass(&mut self, audio: &Audio, codec: Codec) -> Audio {
        match <[i16; WIDE_FRAME]>::try_from(&audio[..]) {
            _ if audio.len() == codec.frame() => *audio,
            Ok(wide) => self.narrowing.get_or_insert_default().convert(&Frame(wide)).into(),
            Err(_) => self.widening.get_or_insert_default().convert(audio).0.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 20 ms of a tone of `hertz`, of `rate` samples a second.
    fn tone<const N: usize>(at: usize, hertz: f32, rate: f32) -> [i16; N] {
        std::array::from_fn(|i| {
            (((at * N + i) as f32 / rate * hertz * std::f32::consts::TAU).sin() * 8_000.0) as i16
        })
    }

    fn peak(samples: &[i16]) -> u16 {
        samples.iter().map(|sample| sample.unsigned_abs()).max().unwrap_or(0)
    }

    #[test]
    fn the_machine_hears_the_band_of_a_telephone() {
        for (hertz, heard) in [(1_000.0, true), (6_000.0, false)] {
            let mut converters = Converters::default();
            let frames: Vec<Frame> =
                (0..20).map(|at| converters.hear(&tone::<WIDE_FRAME>(at, hertz, 16_000.0).into())).collect();
            assert_eq!(peak(&frames[10].0) > 7_000, heard, "{hertz} Hz");
            assert!(heard || peak(&frames[10].0) < 200, "{hertz} Hz");
        }
    }

    #[test]
    fn what_is_passed_to_a_line_is_not_heard_on_it() {
        let mut converters = Converters::default();
        let mut heard = Vec::new();
        for at in 0..20 {
            converters.pass(&tone::<160>(at, 1_000.0, 8_000.0).into(), Codec::Opus);
            heard.extend(converters.hear(&Audio::silence(Codec::Opus)).0);
        }
        assert_eq!(peak(&heard), 0);
    }

    #[test]
    fn lines_of_one_rate_are_passed_as_they_are_and_others_converted() {
        let mut converters = Converters::default();
        let narrow = Audio::from(tone::<160>(0, 1_000.0, 8_000.0));
        assert_eq!(converters.pass(&narrow, Codec::Pcmu), narrow);
        let wide = Audio::from(tone::<WIDE_FRAME>(0, 6_000.0, 16_000.0));
        assert_eq!(converters.pass(&wide, Codec::Opus), wide);
        assert_eq!(converters.pass(&narrow, Codec::G722).len(), WIDE_FRAME);
        assert_eq!(converters.pass(&wide, Codec::Pcma).len(), 160);
    }
}
