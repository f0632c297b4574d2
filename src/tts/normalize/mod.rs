//! From written to spoken form: numbers, dates, times, telephone numbers, plates, units, model names.
//!
//! [`normalize`] gives a [`Spoken`]: the words to say, and for each of its characters how much of the written text has been
//! said once it was spoken. That map is what lets a cut-off answer enter the history at the character that was heard.
//! Latin words are left as they are, for the English voice or for spelling.

mod en;
mod number;
mod units;
mod zh;

pub(crate) use zh::PROVINCES;

#[cfg(test)]
mod tests;

pub(crate) use self::en::MONTHS;

/// The language that numbers and signs are read in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Language {
    /// Mandarin.
    Zh,
    /// English.
    En,
}

/// Spoken form of a written text, with the way back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spoken {
    /// What to say. Punctuation is kept where it makes a pause; a space between two Chinese characters is a short pause.
    pub text: String,
    /// For each character of `text`: how many characters of the written text are said once it was spoken. Never falls; the
    /// last one is the length of the written text.
    pub ends: Vec<usize>,
}

/// The spoken form of `written`, numbers and signs read in `language`.
pub fn normalize(written: &str, language: Language) -> Spoken {
    let chars: Vec<char> = written.chars().map(half_width).collect();
    let mut spoken = Spoken::default();
    let mut at = 0;
    while at < chars.len() {
        let parts = match language {
            Language::Zh => zh::parts(&chars, at),
            Language::En => en::parts(&chars, at),
        };
        for Part { end, say } in parts {
            spoken.push(at, end, &say);
            at = end;
        }
    }
    if let Some(last) = spoken.ends.last_mut() {
        *last = chars.len();
    }
    spoken
}

impl Spoken {
    /// Adds `say`, which speaks the written characters `start..end`; its characters share them evenly.
    fn push(&mut self, start: usize, end: usize, say: &str) {
        let count = say.chars().count();
        for (i, c) in say.chars().enumerate() {
            self.text.push(c);
            self.ends.push(start + (i + 1) * (end - start) / count);
        }
    }
}

/// What a rule says for the written characters up to `end`.
struct Part {
    end: usize,
    say: String,
}

impl Part {
    fn new(end: usize, say: impl Into<String>) -> Self {
        Self { end, say: say.into() }
    }
}

/// A number as written: `1,299.50` is `whole` 1299 and `fraction` 50.
struct Number {
    end: usize,
    whole: String,
    fraction: Option<String>,
    /// Written with thousands separators, so never a telephone number or a code.
    grouped: bool,
}

/// Reads the number at `at`, if a digit is there. A full stop counts only with a digit behind it.
fn number_at(c: &[char], at: usize) -> Option<Number> {
    let mut end = run(c, at, |c| c.is_ascii_digit());
    if end == at {
        return None;
    }
    let mut whole: String = c[at..end].iter().collect();
    let mut grouped = false;
    if end - at <= 3 {
        while c.get(end) == Some(&',') && run(c, end + 1, |c| c.is_ascii_digit()) == end + 4 {
            whole.extend(&c[end + 1..end + 4]);
            end += 4;
            grouped = true;
        }
    }
    let mut fraction = None;
    if c.get(end) == Some(&'.') {
        let stop = run(c, end + 1, |c| c.is_ascii_digit());
        if stop > end + 1 {
            fraction = Some(c[end + 1..stop].iter().collect());
            end = stop;
        }
    }
    Some(Number { end, whole, fraction, grouped })
}

/// End of the run of characters from `at` that satisfy `is`.
fn run(c: &[char], at: usize, is: impl Fn(char) -> bool) -> usize {
    at + c.iter().skip(at).take_while(|&&c| is(c)).count()
}

/// Chinese characters, the ideographic zero included.
pub(super) fn is_han(c: char) -> bool {
    matches!(c, '\u{3400}'..='\u{9fff}' | '\u{20000}'..='\u{323af}' | '〇')
}

/// Full-width letters, digits and the signs that numbers are written with become half-width; one character stays one.
fn half_width(c: char) -> char {
    match c {
        '０'..='９'
        | 'Ａ'..='Ｚ'
        | 'ａ'..='ｚ'
        | '％'
        | '＋'
        | '－'
        | '．'
        | '／'
        | '＆'
        | '＝'
        | '＃'
        | '＠'
        | '＊' => char::from_u32(c as u32 - 0xfee0).unwrap_or(c),
        '￥' => '¥',
        '\u{a0}' | '\u{3000}' | '\t' | '\n' | '\r' => ' ',
        '−' => '-',
        other => other,
    }
}

/// True for the signs that stand between the two ends of a range.
fn is_range_sign(c: char) -> bool {
    matches!(c, '-' | '–' | '—' | '~' | '～' | '〜')
}
