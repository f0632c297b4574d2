//! Whether an answer rests on an entry: by the sounds they share.

use crate::dialogue::sound::syllables;
use crate::dialogue::text::{self, Lang};

/// Share of an entry's sound pairs that an answer must hold for the entry to count as its source.
pub(super) const OVERLAP: f32 = 0.2;

/// Neighbouring syllables, or words in English, sorted.
pub(super) fn pairs(text: &str) -> Vec<String> {
    let mut out: Vec<String> = if Lang::of(text) == Some(Lang::En) {
        text::normalize(text).split(' ').filter(|w| w.len() > 3).map(str::to_owned).collect()
    } else {
        syllables(text).windows(2).map(|w| format!("{w:?}")).collect()
    };
    out.sort();
    out.dedup();
    out
}

/// Share of the shorter text's pairs that the other holds too.
pub(super) fn shared(a: &[String], b: &[String]) -> f32 {
    let least = a.len().min(b.len());
    if least == 0 {
        return 0.0;
    }
    a.iter().filter(|p| b.binary_search(p).is_ok()).count() as f32 / least as f32
}
