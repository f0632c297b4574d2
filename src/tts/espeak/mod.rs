//! The embedded voice: espeak-ng reads the pinyin that we make of the text, and English.
//!
//! A clause is cut at its pauses; each part is rendered whole (a few milliseconds), trimmed, and streamed before the next is
//! begun. The engine says where its words begin, so a piece's span is exact to the word and shared evenly among a word's
//! syllables. Leading and trailing silence of a part is cut below −44 dB; pauses are set by the punctuation.

mod library;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use library::{ESPEAK_RATE, Library, Tuning};

use super::Piece;
use super::normalize::{Language, Spoken, is_han, normalize};
use super::pinyin::{Pause, Reader, Say, Unit};
use super::rate::RateChange;
use super::shape::{self, PIECE, ms};
use super::voices::EspeakVoice;

/// Peak of the voice's loudest vowel, 4.4 dB below full scale: clauses then peak between −10 and −4.4, about −6.
const PEAK: f32 = 0.6;

/// Why the embedded voice cannot speak.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The library is not there.
    #[error(
        "libespeak-ng.so.1 cannot be loaded ({0}); install it: apt-get install libespeak-ng1 espeak-ng-data"
    )]
    NoLibrary(String),
    /// The library is there, its data is not.
    #[error(
        "espeak-ng does not start (code {0}): its data is missing; install it: apt-get install espeak-ng-data"
    )]
    NoData(i32),
    /// The voice is unknown to espeak-ng.
    #[error(
        "espeak-ng has no voice `{0}`; `espeak-ng --voices` lists them, or install them: apt-get install espeak-ng-data"
    )]
    NoVoice(String),
    /// The library refused a text.
    #[error("espeak-ng failed (code {0})")]
    Engine(i32),
    /// The rate could not be changed.
    #[error("{0}")]
    Rate(String),
}

/// The embedded voice of one `voice.toml`.
#[derive(Debug)]
pub struct Espeak {
    language: Language,
    reader: Reader,
    own: Tuning,
    english: Tuning,
    gains: HashMap<Tuning, f32>,
}

/// A stretch of units that one engine voice says without a pause.
struct Segment<'a> {
    english: bool,
    units: &'a [Unit],
}

/// A character's end in the spoken text, and the sample of its segment by which it was said.
type Bound = (usize, usize);

impl Espeak {
    /// Opens the voice: loads the library and sets levels (some milliseconds).
    pub fn open(voice: &EspeakVoice, language: Language, reader: Reader) -> Result<Self, Error> {
        let tuning = |name: &str| Tuning {
            name: if voice.variant.is_empty() {
                name.to_owned()
            } else {
                format!("{name}+{}", voice.variant)
            },
            rate: voice.rate,
            pitch: voice.pitch,
            range: voice.range,
        };
        let own = tuning(&voice.name);
        let english = tuning(&voice.english);
        let mut gains = HashMap::new();
        for tuning in [&own, &english] {
            gains.insert(tuning.clone(), gain(tuning)?);
        }
        Ok(Self { language, reader, own, english, gains })
    }

    /// Speaks `text`; every piece goes to `sink`, without [`Piece::Done`]. Returns early once `cancelled` is set.
    pub fn speak(
        &self,
        text: &str,
        cancelled: &Arc<AtomicBool>,
        sink: &mut dyn FnMut(Piece),
    ) -> Result<(), Error> {
        let language =
            if self.language == Language::Zh && is_english(text) { Language::En } else { self.language };
        let spoken = normalize(text, language);
        let units = match language {
            Language::Zh => self.reader.read(&spoken.text),
            Language::En => english_units(&spoken.text),
        };
        let mut out = Out { spoken: &spoken, at: 0, written: 0, sink };
        let last = units.iter().rposition(|u| !matches!(u.say, Say::Pause(_)));
        let mut rest = units.as_slice();
        let mut sounded = false;
        while let (Some(first), Some(last)) = (rest.first(), last) {
            if cancelled.load(Ordering::Relaxed) {
                return Ok(());
            }
            let done = units.len() - rest.len();
            if let Say::Pause(pause) = first.say {
                // A mark before the first word makes no pause.
                let end = if done > last { out.spoken.ends.len() } else { first.span.end };
                if sounded {
                    out.silence(pause_length(pause), end);
                } else {
                    out.at = end;
                }
                rest = &rest[1..];
                continue;
            }
            let segment = next_segment(rest);
            rest = &rest[segment.units.len()..];
            let mark = match rest.first() {
                Some(Unit { say: Say::Pause(_), span }) => spoken.text.chars().nth(span.start).unwrap_or('.'),
                _ => ' ',
            };
            let (samples, bounds) = self.render(&segment, mark, cancelled)?;
            if cancelled.load(Ordering::Relaxed) {
                return Ok(());
            }
            let ends_text = rest.is_empty();
            out.speech(&samples, &bounds, ends_text, cancelled);
            sounded = true;
            if matches!(rest.first(), Some(next) if !matches!(next.say, Say::Pause(_))) {
                out.silence(ms(30), out.at);
            }
        }
        Ok(())
    }

    /// Audio of one segment at our rate and level, and for each of its characters (their end in the spoken text) the sample by
    /// which it was said.
    fn render(
        &self,
        segment: &Segment<'_>,
        mark: char,
        cancelled: &Arc<AtomicBool>,
    ) -> Result<(Vec<f32>, Vec<Bound>), Error> {
        let tuning = if segment.english { &self.english } else { &self.own };
        let mut text = String::new();
        let mut starts = Vec::new();
        for unit in segment.units {
            if !text.is_empty() {
                text.push(' ');
            }
            starts.push(text.chars().count());
            match &unit.say {
                Say::Word(syllables) => text.push_str(&syllables.concat()),
                Say::English(words) => text.push_str(words),
                Say::Pause(_) => {}
            }
        }
        if segment.english && matches!(mark, '?' | '？') {
            text.push('?');
        }
        let rendering = library::with(|library: &mut Library| library.render(tuning, &text, cancelled))?;
        let raw = shape::to_f32(&rendering.samples);
        let mut samples = Vec::with_capacity(raw.len());
        let mut change = RateChange::new(ESPEAK_RATE).map_err(Error::Rate)?;
        change.push(&raw, &mut samples).and_then(|()| change.finish(&mut samples)).map_err(Error::Rate)?;
        let gain = self.gains.get(tuning).copied().unwrap_or(PEAK);
        for x in &mut samples {
            *x *= gain;
        }
        let range = shape::sounding(&samples);
        let mut samples = samples[range.clone()].to_vec();
        shape::fade(&mut samples);
        // Word starts in our rate and from the trimmed start; a word that the engine did not report begins where the last did.
        let place = |sample: usize| {
            ((sample as u64 * u64::from(crate::media::RATE) / u64::from(ESPEAK_RATE)) as usize)
                .saturating_sub(range.start)
                .min(samples.len())
        };
        let mut begins: Vec<usize> = Vec::with_capacity(starts.len() + 1);
        for start in starts {
            let reported =
                rendering.words.iter().find(|(at, _)| *at == start).map(|&(_, sample)| place(sample));
            let before = begins.last().copied().unwrap_or(0);
            begins.push(reported.unwrap_or(before).max(before));
        }
        begins.push(samples.len());
        let mut bounds = Vec::new();
        for (unit, word) in segment.units.iter().zip(begins.windows(2)) {
            let count = unit.span.len();
            for i in 1..=count {
                bounds.push((unit.span.start + i, word[0] + (word[1] - word[0]) * i / count));
            }
        }
        Ok((samples, bounds))
    }
}

/// Where a clause's audio goes.
struct Out<'a> {
    spoken: &'a Spoken,
    /// Characters of the spoken text that are said.
    at: usize,
    /// Characters of the written text that are said.
    written: usize,
    sink: &'a mut dyn FnMut(Piece),
}

impl Out<'_> {
    /// Streams speech in pieces, each with what was said by its end.
    fn speech(&mut self, samples: &[f32], bounds: &[Bound], ends_text: bool, cancelled: &AtomicBool) {
        let pieces = samples.len().div_ceil(PIECE);
        for (i, piece) in samples.chunks(PIECE).enumerate() {
            if cancelled.load(Ordering::Relaxed) {
                return;
            }
            let end = i * PIECE + piece.len();
            if let Some(&(said, _)) = bounds.iter().rev().find(|(_, sample)| *sample <= end) {
                self.at = self.at.max(said);
            }
            if ends_text && i + 1 == pieces {
                self.at = self.spoken.ends.len();
            }
            self.give(shape::to_i16(piece));
        }
    }

    /// Streams a pause, after which `said` characters of the spoken text are said.
    fn silence(&mut self, samples: usize, said: usize) {
        self.at = self.at.max(said);
        self.give(vec![0; samples]);
    }

    fn give(&mut self, samples: Vec<i16>) {
        let end = self
            .at
            .checked_sub(1)
            .and_then(|i| self.spoken.ends.get(i))
            .copied()
            .unwrap_or(0)
            .max(self.written);
        let span: Range<usize> = self.written..end;
        self.written = end;
        (self.sink)(Piece::Audio { samples, span });
    }
}

/// The units up to the next pause or change of voice.
fn next_segment(units: &[Unit]) -> Segment<'_> {
    let english = matches!(units.first(), Some(Unit { say: Say::English(_), .. }));
    let len = units
        .iter()
        .take_while(|u| match u.say {
            Say::Word(_) => !english,
            Say::English(_) => english,
            Say::Pause(_) => false,
        })
        .count();
    Segment { english, units: &units[..len] }
}

/// English text as units: its words, and its pauses.
fn english_units(text: &str) -> Vec<Unit> {
    let c: Vec<char> = text.chars().collect();
    let mut units = Vec::new();
    let mut at = 0;
    while at < c.len() {
        let start = at;
        let ends = |i: usize| c.get(i + 1).is_none_or(|next| next.is_whitespace());
        at += 1;
        if let Some(pause) = Pause::of(c[start]).filter(|_| ends(start)) {
            units.push(Unit { span: start..at, say: Say::Pause(pause) });
        } else if !c[start].is_whitespace() {
            while at < c.len() && !c[at].is_whitespace() && !(Pause::of(c[at]).is_some() && ends(at)) {
                at += 1;
            }
            units.push(Unit { span: start..at, say: Say::English(c[start..at].iter().collect()) });
        }
    }
    units
}

/// Written in English, not a code or a name in a Mandarin answer: no Chinese character, and at least two words.
fn is_english(text: &str) -> bool {
    !text.chars().any(is_han)
        && text
            .split(|c: char| !c.is_ascii_alphabetic() && c != '\'')
            .filter(|w| w.chars().filter(char::is_ascii_lowercase).count() > 0)
            .count()
            >= 2
}

fn pause_length(pause: Pause) -> usize {
    match pause {
        Pause::Short => ms(80),
        Pause::Comma => ms(120),
        Pause::Middle => ms(180),
        Pause::Stop => ms(250),
    }
}

/// What brings the voice's loudest sound to [`PEAK`]: measured on syllables with every vowel, never an amplification that
/// could clip.
fn gain(tuning: &Tuning) -> Result<f32, Error> {
    const SAMPLE: &str = "ba1 ma1 la4 hao3 wo3 da4 bu4 yi1 ren2 zhang1 guo2 lv4 dou1 bang4 dai4 lai2 kai1 yao4 fei1 bei1 hui4 r5";
    let never = Arc::new(AtomicBool::new(false));
    let rendering = library::with(|library| library.render(tuning, SAMPLE, &never))?;
    let peak = rendering.samples.iter().map(|s| s.unsigned_abs()).max().unwrap_or(0);
    Ok((PEAK * 32_768.0 / f32::from(peak.max(1))).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tts::voices;

    fn zh() -> Espeak {
        let voice = voices::load("nightline-zh", None).expect("the embedded voice is there");
        voice.espeak().expect("the embedded voice speaks (install espeak-ng-data and libespeak-ng1)")
    }

    fn say(espeak: &Espeak, text: &str) -> Vec<(Vec<i16>, Range<usize>)> {
        let mut pieces = Vec::new();
        let never = Arc::new(AtomicBool::new(false));
        espeak
            .speak(text, &never, &mut |piece| match piece {
                Piece::Audio { samples, span } => pieces.push((samples, span)),
                other => panic!("only audio is expected, not {other:?}"),
            })
            .unwrap_or_else(|e| panic!("{e}"));
        pieces
    }

    #[test]
    fn spans_follow_one_another_and_cover_the_written_text() {
        let espeak = zh();
        for text in [
            "您好，请问有什么可以帮您？",
            "续航还剩 380 km，请尽快充电。",
            "“ET5”的热线是400-820-8888！",
            "请打开 Autopilot 再试一次",
            "（免费）Hello there, how are you today?",
            "好",
        ] {
            let pieces = say(&espeak, text);
            let mut at = 0;
            for (samples, span) in &pieces {
                assert_eq!(span.start, at, "{text}: a gap before {span:?}");
                assert!(samples.len() <= ms(250), "{text}: a piece of {} samples", samples.len());
                at = span.end;
            }
            assert_eq!(at, text.chars().count(), "{text}: the last piece must end the text");
        }
    }

    #[test]
    fn speech_begins_at_once_ends_in_the_pause_of_its_mark_and_does_not_clip() {
        let espeak = zh();
        for text in ["是的，没有问题。", "好的！", "十分钟以后到。", "Please hold the line.", "非常抱歉，"]
        {
            let samples: Vec<i16> = say(&espeak, text).into_iter().flat_map(|p| p.0).collect();
            let peak = samples.iter().map(|s| s.unsigned_abs()).max().unwrap_or(0);
            assert!((9_000..=20_700).contains(&peak), "{text}: peak {peak}, wanted between −11 and −4 dB");
            // Just above what counts as silence: 好 begins with 60 ms of soft breath, which is speech.
            let loud = |s: &i16| s.unsigned_abs() > 250;
            let first = samples.iter().position(loud).unwrap_or(usize::MAX);
            assert!(first < ms(40), "{text}: {first} samples of silence before the first sound");
            let tail = samples.len() - samples.iter().rposition(loud).unwrap_or(0);
            let pause = if text.ends_with('，') { ms(120) } else { ms(250) };
            assert!((pause..pause + ms(60)).contains(&tail), "{text}: {tail} samples after the last sound");
        }
    }

    #[test]
    fn what_was_said_grows_with_the_audio() {
        let pieces = say(&zh(), "我们的服务网点到处都有而且每天营业到很晚");
        let total: usize = pieces.iter().map(|p| p.0.len()).sum();
        let mut heard = 0;
        for (samples, span) in &pieces {
            heard += samples.len();
            let even = 20 * heard / total;
            assert!(span.end.abs_diff(even) <= 2, "{} characters after {heard} of {total} samples", span.end);
        }
    }

    #[test]
    fn a_cancelled_clause_stops_between_two_pieces() {
        let cancelled = Arc::new(AtomicBool::new(false));
        let mut pieces = 0;
        let flag = cancelled.clone();
        zh().speak(
            "这句话很长很长，要说很久很久，但是有人打断了。",
            &cancelled,
            &mut |_| {
                pieces += 1;
                if pieces == 2 {
                    flag.store(true, Ordering::Relaxed);
                }
            },
        )
        .unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(pieces, 2, "no piece may follow the cancellation");
    }

    #[test]
    fn text_without_words_gives_no_audio() {
        assert_eq!(say(&zh(), "……！"), []);
        assert_eq!(say(&zh(), ""), []);
    }

    #[test]
    fn an_unknown_engine_voice_is_named() {
        let voice = EspeakVoice { name: "no-such-voice".to_owned(), ..EspeakVoice::default() };
        let error = Espeak::open(&voice, Language::En, Reader::default()).unwrap_err();
        assert!(matches!(error, Error::NoVoice(_)), "{error}");
        assert!(error.to_string().contains("no-such-voice"), "{error}");
    }
}
