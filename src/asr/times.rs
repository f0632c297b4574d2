//! When each word was said: the voiced stretches of an utterance, and its tokens spread over them.

use std::ops::Range;

use super::Token;
use crate::media::{FRAME, RATE};

/// Gaps in the voice that are shorter than this many frames are stops inside of words.
const STOP: usize = 5;
/// Stretches of fewer frames are clicks.
const CLICK: usize = 3;
/// Where between the noise (0) and the voice (1), in decibels, a frame counts as voiced.
const BETWEEN: f32 = 0.4;

/// The stretches of `audio` (16 kHz mono) that are louder than its quietest parts, to 20 ms. All of it if loudness does not
/// tell; nothing of silence.
pub(super) fn voiced(audio: &[i16]) -> Vec<Range<usize>> {
    let loudness: Vec<f32> = audio.chunks(FRAME).map(decibels).collect();
    let mut sorted = loudness.clone();
    sorted.sort_by(f32::total_cmp);
    let at = |share: f32| sorted.get((sorted.len() as f32 * share) as usize).copied().unwrap_or(0.0);
    let (quiet, loud) = (at(0.1), at(0.9));
    if loud <= 0.0 {
        return Vec::new();
    }
    if loud - quiet < 6.0 {
        return std::iter::once(0..audio.len()).collect();
    }
    let limit = quiet + BETWEEN * (loud - quiet);
    let mut stretches: Vec<Range<usize>> = Vec::new();
    for (index, _) in loudness.iter().enumerate().filter(|(_, loudness)| **loudness >= limit) {
        match stretches.last_mut() {
            Some(last) if index - last.end < STOP => last.end = index + 1,
            _ => stretches.push(index..index + 1),
        }
    }
    stretches.retain(|stretch| stretch.len() >= CLICK);
    stretches.iter().map(|s| s.start * FRAME..(s.end * FRAME).min(audio.len())).collect()
}

/// Seconds of voice in `stretches`.
pub(super) fn seconds(stretches: &[Range<usize>]) -> f32 {
    stretches.iter().map(ExactSizeIterator::len).sum::<usize>() as f32 / RATE as f32
}

/// Mean power of a frame in decibels above one step of the converter.
fn decibels(frame: &[i16]) -> f32 {
    let power: f32 = frame.iter().map(|&s| f32::from(s).powi(2)).sum::<f32>() / frame.len().max(1) as f32;
    10.0 * power.max(1.0).log10()
}

/// Gives `tokens` times by spreading them over the voiced `stretches`: a Chinese character takes one part, a Latin word one
/// for each three letters or so, punctuation and space none. An estimate: Mandarin syllables are of nearly equal length.
pub(super) fn estimate(tokens: &mut [Token], stretches: &[Range<usize>]) {
    let total: f32 = tokens.iter().map(|token| parts(&token.text)).sum();
    let length: usize = stretches.iter().map(ExactSizeIterator::len).sum();
    if total <= 0.0 || length == 0 {
        return;
    }
    let mut before = 0.0;
    for token in tokens {
        let parts = parts(&token.text);
        let place = |part: f32, end| millis(within(stretches, part / total * length as f32, end));
        token.start_ms = place(before, false);
        before += parts;
        token.end_ms = if parts > 0.0 { place(before, true) } else { token.start_ms };
    }
}

fn parts(text: &str) -> f32 {
    text.chars()
        .map(|c| match c {
            _ if !c.is_alphanumeric() => 0.0,
            _ if c.is_ascii_alphabetic() => 0.35,
            _ => 1.0,
        })
        .sum()
}

/// The sample that lies `offset` samples of voice into `stretches`; at a border the end of the earlier one if `end`.
fn within(stretches: &[Range<usize>], mut offset: f32, end: bool) -> f32 {
    for stretch in stretches {
        let length = stretch.len() as f32;
        if offset < length - 0.5 || (end && offset < length + 0.5) {
            return stretch.start as f32 + offset.clamp(0.0, length);
        }
        offset -= length;
    }
    stretches.last().map_or(0.0, |stretch| stretch.end as f32)
}

fn millis(sample: f32) -> u32 {
    (sample * 1000.0 / RATE as f32).round() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Voice (a tone) and room (faint noise) by turns, in frames.
    fn audio(turns: &[(bool, usize)]) -> Vec<i16> {
        let mut out: Vec<i16> = Vec::new();
        for &(voice, frames) in turns {
            for _ in 0..frames * FRAME {
                let n = out.len();
                let tone = (n as f32 * 0.1).sin() * if voice { 6_000.0 } else { 40.0 };
                out.push(tone as i16);
            }
        }
        out
    }

    fn tokens(texts: &[&str]) -> Vec<Token> {
        texts.iter().map(|text| Token { text: (*text).into(), ..Token::default() }).collect()
    }

    #[test]
    fn the_voice_is_found_between_pauses() {
        let heard = audio(&[(false, 15), (true, 30), (false, 20), (true, 20), (false, 10)]);
        let stretches = voiced(&heard);
        assert_eq!(stretches, [15 * FRAME..45 * FRAME, 65 * FRAME..85 * FRAME]);
        assert!((seconds(&stretches) - 1.0).abs() < 1e-6);
    }

    #[test]
    fn a_stop_inside_of_a_word_does_not_part_it_and_a_click_is_no_voice() {
        let heard =
            audio(&[(false, 10), (true, 10), (false, 4), (true, 10), (false, 20), (true, 2), (false, 9)]);
        let words = 10 * FRAME..34 * FRAME;
        assert_eq!(voiced(&heard), std::slice::from_ref(&words));
        assert!(voiced(&vec![0; 16_000]).is_empty());
        assert!(voiced(&[]).is_empty());
        let whole = 0..20 * FRAME;
        assert_eq!(voiced(&audio(&[(true, 20)])), std::slice::from_ref(&whole));
    }

    #[test]
    fn characters_lie_in_the_voiced_stretches_and_in_order() {
        let mut said = tokens(&["空", "调", "，", "不", "制", "冷"]);
        estimate(&mut said, &[16_000..32_000, 48_000..72_000]);
        let times: Vec<_> = said.iter().map(|t| (t.start_ms, t.end_ms)).collect();
        assert_eq!(
            times,
            [(1000, 1500), (1500, 2000), (3000, 3000), (3000, 3500), (3500, 4000), (4000, 4500)]
        );
    }

    #[test]
    fn without_voice_or_words_there_are_no_times() {
        let mut said = tokens(&["空"]);
        estimate(&mut said, &[]);
        assert_eq!((said[0].start_ms, said[0].end_ms), (0, 0));
        let mut said = tokens(&["，"]);
        estimate(&mut said, &[0..8_000, 8_000..16_000]);
        assert_eq!((said[0].start_ms, said[0].end_ms), (0, 0));
    }
}
