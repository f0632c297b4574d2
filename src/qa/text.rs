//! Chinese text in columns, and how far two texts differ.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Character error rate of `heard` against `said`: edits over the length of `said`. Spaces, punctuation and letter case do
/// not count, and 1, 一 and 幺 are one character.
pub fn character_error_rate(said: &str, heard: &str) -> f64 {
    let (said, heard) = (bare(said), bare(heard));
    strsim::generic_levenshtein(&said, &heard) as f64 / said.len().max(1) as f64
}

/// Columns that `text` takes on a terminal.
pub fn width(text: &str) -> usize {
    text.width()
}

/// `text` in exactly `columns` columns: cut with `…`, or padded with spaces.
pub fn pad(text: &str, columns: usize) -> String {
    let text = cut(text, columns);
    let spaces = columns.saturating_sub(width(&text));
    text + &" ".repeat(spaces)
}

/// `text` in at most `columns` columns, cut with `…`.
pub fn cut(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut used = 1;
    let kept: String = text
        .chars()
        .take_while(|c| {
            used += c.width().unwrap_or(0);
            used <= columns
        })
        .collect();
    kept + "…"
}

struct Characters(Vec<char>);

impl Characters {
    fn len(&self) -> usize {
        self.0.len()
    }
}

impl<'a> IntoIterator for &'a Characters {
    type Item = &'a char;
    type IntoIter = std::slice::Iter<'a, char>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

fn bare(text: &str) -> Characters {
    let digits = ['零', '一', '二', '三', '四', '五', '六', '七', '八', '九'];
    let one = |c: char| match c {
        '幺' => '一',
        '〇' => '零',
        digit if digit.is_ascii_digit() => digits[digit as usize - '0' as usize],
        other => other,
    };
    Characters(text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).map(one).collect())
}
