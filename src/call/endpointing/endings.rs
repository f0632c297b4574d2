//! Can a sentence end here? Log-odds by its last characters, counted over what callers say.
//!
//! The table is made by the recogniser's recipe (`models/nano/make endings`): how often a sentence ends after its last one to
//! three units, among all the places between words where a speaker may pause.

use std::collections::HashMap;
use std::io;
use std::sync::LazyLock;

use crate::asr::confidence::units;

/// Zstandard: lines of an ending, a tab, log-odds in tenths. The empty ending is any.
const TABLE: &[u8] = include_bytes!("endings.tsv.zst");
/// Units of the longest ending.
const LONGEST: usize = 3;

/// Log-odds that a sentence ends after these words.
pub fn odds(words: &str) -> f32 {
    ODDS.of(words)
}

static ODDS: LazyLock<Odds> = LazyLock::new(Odds::built_in);

struct Odds(HashMap<Box<str>, i16>);

impl Odds {
    #[expect(clippy::expect_used, reason = "the table is part of the program and read by a test")]
    fn built_in() -> Self {
        Self::read(TABLE).expect("endings.tsv.zst is sound")
    }

    fn read(packed: &[u8]) -> io::Result<Self> {
        let text = String::from_utf8(zstd::decode_all(packed)?).map_err(io::Error::other)?;
        let line = |line: &str| {
            let (ending, tenths) = line.split_once('\t')?;
            Some((ending.into(), tenths.parse().ok()?))
        };
        let lines = text.lines().map(|l| line(l).ok_or_else(|| io::Error::other(format!("the line `{l}`"))));
        lines.collect::<io::Result<_>>().map(Self)
    }

    fn of(&self, words: &str) -> f32 {
        let units: Vec<String> = units(words).into_iter().flat_map(|unit| numerals(&unit)).collect();
        let longest = units.len().saturating_sub(LONGEST);
        let tenths = (longest..=units.len()).find_map(|at| self.0.get(join(&units[at..]).as_str()));
        f32::from(tenths.copied().unwrap_or_default()) / 10.0
    }
}

/// Digits count one by one, and all the same.
fn numerals(unit: &str) -> Vec<String> {
    let is_numeral = |c: char| c.is_ascii_digit() || "零一二三四五六七八九幺两十百千万".contains(c);
    let mut out = vec![String::new()];
    for c in unit.chars() {
        match out.last_mut() {
            Some(last) if !is_numeral(c) && last != "0" => last.push(c),
            Some(last) if last.is_empty() => last.push('0'),
            _ => out.push(String::from(if is_numeral(c) { '0' } else { c })),
        }
    }
    out
}

/// With spaces if there is a word of another script.
fn join(units: &[String]) -> String {
    let spaced = units.iter().any(|unit| unit.is_ascii() && unit != "0");
    units.join(if spaced { " " } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_that_is_built_in_can_be_read() {
        let odds = Odds::read(TABLE).expect("it is sound");
        assert!(odds.0.len() > 10_000 && odds.0.contains_key(""), "{} endings", odds.0.len());
        assert!(Odds::read(b"no").is_err());
    }

    #[test]
    fn a_question_can_end_and_a_connective_cannot() {
        for ends in ["怎么办", "空调不制冷怎么办", "这个保修吗", "what should i do"] {
            assert!(odds(ends) > 0.5, "{ends}: {}", odds(ends));
        }
        for goes_on in ["我的车昨天然后", "帮我", "我想问一下我的", "can you tell me the"] {
            assert!(odds(goes_on) < -1.5, "{goes_on}: {}", odds(goes_on));
        }
    }

    #[test]
    fn digits_count_one_by_one() {
        assert_eq!(numerals("138"), ["0", "0", "0"]);
        assert_eq!(numerals("幺"), ["0"]);
        assert_eq!(numerals("app2"), ["app", "0"]);
        assert!((odds("下午三点") - odds("下午五点")).abs() < 1e-6);
    }
}
