//! From spoken form to what the Mandarin voice reads: words of pinyin with tone digits, letters, English words, pauses.
//!
//! Words are cut by jieba, which keeps characters that belong together without a gap. Readings come from the voice's phrase
//! table where a phrase stands on word boundaries or inside one word, longest first, and otherwise character by character.
//! Tone changes of 一 and 不 are made here; third-tone changes are left to the engine, which makes them across words.

use std::collections::HashMap;
use std::ops::Range;

use pinyin::ToPinyin;

use super::normalize::is_han;
use crate::segment::jieba;

/// Something to say, with the characters of the spoken text it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Characters of the spoken text.
    pub span: Range<usize>,
    /// How it is said.
    pub say: Say,
}

/// How a unit is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Say {
    /// A Mandarin word: syllables with tone digits, or single capital letters.
    Word(Vec<String>),
    /// Words for the English voice.
    English(String),
    /// A pause.
    Pause(Pause),
}

/// How long a pause is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pause {
    /// Between the groups of a number.
    Short,
    /// Comma.
    Comma,
    /// Semicolon, colon.
    Middle,
    /// End of a sentence.
    Stop,
}

impl Pause {
    /// The pause that a character makes, if any.
    pub fn of(c: char) -> Option<Self> {
        match c {
            '，' | '、' | ',' => Some(Self::Comma),
            '；' | '：' | ';' | ':' => Some(Self::Middle),
            '。' | '！' | '？' | '.' | '!' | '?' | '…' => Some(Self::Stop),
            _ => None,
        }
    }
}

/// Readings of one voice.
#[derive(Debug, Default)]
pub struct Reader {
    phrases: HashMap<Vec<char>, Vec<String>>,
    longest: usize,
    lexicon: HashMap<String, Latin>,
}

/// How a Latin word is said.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Latin {
    Letters,
    Pinyin(Vec<String>),
    English(String),
}

/// A line of a data file that cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("line {line}: {problem}")]
pub struct BadLine {
    /// From 1.
    pub line: usize,
    /// What is wrong and what to do.
    pub problem: String,
}

impl Reader {
    /// A reader with a phrase table and a lexicon of Latin words, both in the format that the files in `voices/nightline-zh`
    /// describe.
    pub fn new(phrases: &str, lexicon: &str) -> Result<Self, BadLine> {
        let mut reader = Self::default();
        for (line, text) in content(phrases) {
            let mut fields = text.split_whitespace();
            let phrase: Vec<char> = fields.next().unwrap_or_default().chars().collect();
            let syllables: Vec<String> = fields.map(str::to_owned).collect();
            if phrase.len() != syllables.len() {
                let problem = format!(
                    "`{text}` has {} characters and {} syllables; give one syllable a character",
                    phrase.len(),
                    syllables.len()
                );
                return Err(BadLine { line, problem });
            }
            if let Some(bad) = syllables.iter().find(|s| !is_syllable(s)) {
                let problem = format!("`{bad}` is not a syllable with a tone from 1 to 5, such as `xing2`");
                return Err(BadLine { line, problem });
            }
            reader.longest = reader.longest.max(phrase.len());
            reader.phrases.insert(phrase, syllables);
        }
        for (line, text) in content(lexicon) {
            let Some((word, said)) = text.split_once(' ') else {
                return Err(BadLine { line, problem: format!("`{text}` says nothing about how it is said") });
            };
            let latin = match said.trim() {
                "letters" => Latin::Letters,
                said => said.strip_prefix('=').map_or_else(
                    || Latin::English(said.to_owned()),
                    |p| Latin::Pinyin(p.split_whitespace().map(str::to_owned).collect()),
                ),
            };
            reader.lexicon.insert(word.to_owned(), latin);
        }
        Ok(reader)
    }

    /// What to say for a spoken text, in order. Characters that are not said belong to no unit.
    pub fn read(&self, spoken: &str) -> Vec<Unit> {
        let c: Vec<char> = spoken.chars().collect();
        let mut units: Vec<Unit> = Vec::new();
        let mut at = 0;
        while at < c.len() {
            let start = at;
            if is_han(c[at]) {
                at += c[at..].iter().take_while(|&&c| is_han(c)).count();
                self.han(&c, start..at, &mut units);
            } else if c[at].is_ascii_alphabetic() {
                at += c[at..].iter().take_while(|&&c| c.is_ascii_alphabetic() || c == '\'').count();
                let word: String = c[start..at].iter().collect();
                self.latin(&word, start, &mut units);
            } else {
                at += 1;
                let pause = Pause::of(c[start]).or_else(|| {
                    let between = start > 0 && is_han(c[start - 1]) && c.get(at).copied().is_some_and(is_han);
                    (c[start] == ' ' && between).then_some(Pause::Short)
                });
                if let Some(pause) = pause {
                    pushed_pause(&mut units, start..at, pause);
                } else if c[start].is_alphanumeric() && c[start] != ' ' {
                    // Another script: the English voice makes the best of it.
                    units.push(Unit { span: start..at, say: Say::English(c[start].to_string()) });
                }
            }
        }
        units
    }

    /// The words of one run of Chinese characters.
    fn han(&self, c: &[char], run: Range<usize>, units: &mut Vec<Unit>) {
        let text: String = c[run.clone()].iter().collect();
        let mut cuts: Vec<usize> = Vec::new();
        let mut at = run.start;
        for word in jieba().cut(&text, false) {
            at += word.word.chars().count();
            cuts.push(at);
        }
        let syllables = self.syllables(c, &run, &cuts);
        let mut start = run.start;
        for end in cuts {
            let word = syllables[start - run.start..end - run.start].to_vec();
            units.push(Unit { span: start..end, say: Say::Word(word) });
            start = end;
        }
    }

    /// One syllable a character of `run`, tone changes of 一 and 不 made.
    fn syllables(&self, c: &[char], run: &Range<usize>, cuts: &[usize]) -> Vec<String> {
        let boundary = |at: usize| at == run.start || cuts.contains(&at);
        let inside_one_word = |from: usize, to: usize| !cuts.iter().any(|&cut| cut > from && cut < to);
        let mut out: Vec<String> = Vec::with_capacity(run.len());
        let mut at = run.start;
        while at < run.end {
            let found = (2..=self.longest.min(run.end - at)).rev().find_map(|len| {
                let fits = (boundary(at) && boundary(at + len)) || inside_one_word(at, at + len);
                self.phrases.get(&c[at..at + len]).filter(|_| fits)
            });
            if let Some(reading) = found {
                out.extend(reading.iter().cloned());
                at += reading.len();
            } else {
                out.push(self.single(c, at, run, boundary(at) && boundary(at + 1)));
                at += 1;
            }
        }
        for i in 0..out.len() {
            change_tone(&c[run.clone()], i, &mut out);
        }
        out
    }

    /// The reading of one character, by its neighbours where that decides; `word`: it is a word of its own.
    fn single(&self, c: &[char], at: usize, run: &Range<usize>, word: bool) -> String {
        let before = (at > run.start).then(|| c[at - 1]);
        let after = (at + 1 < run.end).then(|| c[at + 1]);
        let number =
            |c: Option<char>| c.is_some_and(|c| "一二两三四五六七八九十几百千万每哪这那".contains(c));
        match (before, c[at], after) {
            (b, '只', _) if number(b) => return "zhi1".to_owned(),
            (b, '行', _) if number(b) => return "hang2".to_owned(),
            // 慢慢地: a doubled word before it makes it the adverb's particle.
            (Some(b), '地', Some(_)) if word && at >= run.start + 2 && c[at - 2] == b => {
                return "de5".to_owned();
            }
            (Some(b), '得', _) if "不必总也又非".contains(b) => return "dei3".to_owned(),
            _ => {}
        }
        if let Some(reading) = self.phrases.get(&c[at..=at]) {
            return reading[0].clone();
        }
        let Some(reading) = c[at].to_pinyin() else { return "en5".to_owned() };
        let mut syllable = reading.with_tone_num_end().replace('ü', "v");
        if !syllable.ends_with(|c: char| c.is_ascii_digit()) {
            syllable.push('5');
        }
        syllable
    }

    /// A Latin word: by the lexicon; capitals of up to four letters and single letters are spelled.
    fn latin(&self, word: &str, start: usize, units: &mut Vec<Unit>) {
        let span = start..start + word.chars().count();
        let spelled = word.len() == 1 || (word.len() <= 4 && word.bytes().all(|b| b.is_ascii_uppercase()));
        let latin = match self.lexicon.get(word) {
            Some(latin) => latin.clone(),
            None if spelled => Latin::Letters,
            None => Latin::English(word.to_owned()),
        };
        match latin {
            Latin::Letters => {
                let letters = word
                    .chars()
                    .filter(char::is_ascii_alphabetic)
                    .map(|c| c.to_ascii_uppercase().to_string());
                for (i, letter) in letters.enumerate() {
                    units.push(Unit { span: start + i..start + i + 1, say: Say::Word(vec![letter]) });
                }
            }
            Latin::Pinyin(syllables) => units.push(Unit { span, say: Say::Word(syllables) }),
            Latin::English(text) => match units.last_mut() {
                Some(Unit { span: last, say: Say::English(before) }) if span.start <= last.end + 1 => {
                    last.end = span.end;
                    before.push(' ');
                    before.push_str(&text);
                }
                _ => units.push(Unit { span, say: Say::English(text) }),
            },
        }
    }
}

/// Adds a pause; of two in a row the longer one counts.
fn pushed_pause(units: &mut Vec<Unit>, span: Range<usize>, pause: Pause) {
    match units.last_mut() {
        Some(Unit { span: last, say: Say::Pause(before) }) => {
            last.end = span.end;
            *before = pause.max(*before);
        }
        _ => units.push(Unit { span, say: Say::Pause(pause) }),
    }
}

/// Lines that say something, with their numbers from 1.
fn content(file: &str) -> impl Iterator<Item = (usize, &str)> {
    file.lines()
        .enumerate()
        .map(|(i, line)| (i + 1, line.split('#').next().unwrap_or("").trim()))
        .filter(|(_, line)| !line.is_empty())
}

fn is_syllable(s: &str) -> bool {
    let Some((body, tone)) = s.split_at_checked(s.len().saturating_sub(1)) else { return false };
    matches!(tone, "1" | "2" | "3" | "4" | "5")
        && !body.is_empty()
        && body.bytes().all(|b| b.is_ascii_lowercase())
}

/// The tone of 一 and 不 before the next syllable: 一 is second before a fourth tone and fourth before the others, except in
/// digits, ordinals and at the end; 不 is second before a fourth tone; both are unstressed between two equal characters.
fn change_tone(c: &[char], i: usize, syllables: &mut [String]) {
    const DIGIT: &str = "零〇一二三四五六七八九十幺";
    let before = i.checked_sub(1).map(|i| c[i]);
    let after = c.get(i + 1).copied();
    let is_one = c[i] == '一' && syllables[i].starts_with("yi");
    let is_not = c[i] == '不' && syllables[i].starts_with("bu");
    if !is_one && !is_not {
        return;
    }
    let doubled = before.is_some() && before == after;
    // 个 is written unstressed but was a fourth tone.
    let next = match after {
        Some('个') => '4',
        _ => syllables.get(i + 1).and_then(|s| s.chars().last()).unwrap_or('0'),
    };
    let tone = if is_not {
        match next {
            _ if doubled => "5",
            '4' => "2",
            '5' => return,
            _ => "4",
        }
    } else {
        let in_digits = before.is_some_and(|b| DIGIT.contains(b)) || after.is_some_and(|a| DIGIT.contains(a));
        let fraction = before == Some('点') && i >= 2 && DIGIT.contains(c[i - 2]);
        let ordinal = before.is_some_and(|b| "第初期周".contains(b))
            || after.is_some_and(|a| "月号日楼级".contains(a))
            || before == Some('之');
        match next {
            _ if in_digits || fraction || ordinal => "1",
            _ if doubled => "5",
            '4' => "2",
            '1'..='3' => "4",
            _ => "1",
        }
    };
    syllables[i] = format!("{}{tone}", if is_one { "yi" } else { "bu" });
}

#[cfg(test)]
mod tests;
