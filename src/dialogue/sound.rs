//! What words sound like: syllables, how alike two of them are to the ear, and where a phrase sounds in a sentence.
//!
//! A recogniser that errs mostly writes another character for the same sound (首保 as 收保), or for one that a telephone
//! hardly tells apart (zh and z, n and l, -ng and -n). Tones are left out: recognisers mix them up first.

use std::ops::Range;
use std::sync::LazyLock;

use pinyin::ToPinyin;
use serde::Deserialize;

/// A toneless Mandarin syllable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Syllable {
    initial: u8,
    last: u8,
}

/// Something that callers say, with its sound.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub struct Phrase {
    text: Box<str>,
    syllables: Box<[Syllable]>,
}

/// A sentence with the sound of its Chinese characters; everything else is skipped.
#[derive(Clone, Debug, Default)]
pub struct Sounds {
    syllables: Vec<Syllable>,
    at: Vec<Range<usize>>,
}

/// Where a phrase sounds best in a sentence.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// Mean likeness of the syllables in 0..=1.
    pub similarity: f32,
    /// Bytes of the sentence.
    pub span: Range<usize>,
    /// Syllables of the sentence.
    pub syllables: Range<usize>,
}

impl Syllable {
    /// The default reading of a Chinese character; [`None`] for anything else.
    pub fn of(c: char) -> Option<Self> {
        Some(Self::parse(c.to_pinyin()?.plain()))
    }

    fn parse(plain: &str) -> Self {
        let split = match plain.as_bytes() {
            [b'z' | b'c' | b's', b'h', ..] => 2,
            [b'a' | b'e' | b'o', ..] | [] => 0,
            _ => 1,
        };
        let (initial, last) = plain.split_at(split);
        // After these the letter u is said ü.
        let last = match (initial, last) {
            ("j" | "q" | "x" | "y", "u") | (_, "ü") => "v",
            ("j" | "q" | "x" | "y", "un") => "vn",
            (_, "ue" | "üe") => "ve",
            (_, last) => last,
        };
        let at = |table: &[&str], s: &str| table.iter().position(|t| *t == s).unwrap_or(0) as u8;
        Self { initial: at(&INITIALS, initial), last: at(&FINALS, last) }
    }

    /// The same for all syllables that a telephone hardly tells apart: zh is z, ch c, sh s, n l, and a final -ng is -n.
    #[must_use]
    pub fn folded(self) -> Self {
        let fold = |table: &[&str], pairs: &[[&str; 2]], number: u8| {
            let said = table[number as usize];
            let to = pairs.iter().find(|p| p[0] == said).map_or(said, |p| p[1]);
            table.iter().position(|t| *t == to).unwrap_or(0) as u8
        };
        Self {
            initial: fold(&INITIALS, &NEAR_INITIALS[..4], self.initial),
            last: fold(&FINALS, &NEAR_FINALS, self.last),
        }
    }

    /// Likeness to the ear in 0..=1: the product of that of the initials and that of the finals.
    pub fn similarity(self, other: Self) -> f32 {
        let (initials, finals) = &*LIKENESS;
        initials[self.initial as usize][other.initial as usize]
            * finals[self.last as usize][other.last as usize]
    }
}

/// The syllables of the Chinese characters of `text`; everything else is skipped.
pub fn syllables(text: &str) -> Vec<Syllable> {
    Sounds::of(text).syllables
}

/// Words in which a character is not read as it mostly is: the character and its reading there.
const OTHERWISE: [(&str, char, &str); 16] = [
    ("着火", '着', "zhao"),
    ("着急", '着', "zhao"),
    ("银行", '行', "hang"),
    ("行业", '行', "hang"),
    ("还车", '还', "huan"),
    ("还款", '还', "huan"),
    ("归还", '还', "huan"),
    ("重新", '重', "chong"),
    ("重启", '重', "chong"),
    ("重复", '重', "chong"),
    ("长按", '长', "chang"),
    ("多长", '长', "chang"),
    ("空调", '调', "tiao"),
    ("调整", '调', "tiao"),
    ("调节", '调', "tiao"),
    ("调高", '调', "tiao"),
];

impl Phrase {
    /// Prepares `text`.
    pub fn new(text: &str) -> Self {
        Self { text: text.into(), syllables: syllables(text).into() }
    }

    /// As written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Its syllables.
    pub fn syllables(&self) -> &[Syllable] {
        &self.syllables
    }
}

impl From<String> for Phrase {
    fn from(text: String) -> Self {
        Self::new(&text)
    }
}

impl Sounds {
    /// Prepares a sentence.
    pub fn of(text: &str) -> Self {
        let mut out = Self::default();
        for (at, c) in text.char_indices() {
            let otherwise = || {
                let (_, _, reading) = OTHERWISE.iter().find(|(word, this, _)| {
                    let before = word.find(*this).filter(|_| c == *this);
                    before
                        .and_then(|before| at.checked_sub(before))
                        .and_then(|from| text.get(from..))
                        .is_some_and(|rest| rest.starts_with(word))
                })?;
                Some(Syllable::parse(reading))
            };
            if let Some(syllable) = otherwise().or_else(|| Syllable::of(c)) {
                out.syllables.push(syllable);
                out.at.push(at..at + c.len_utf8());
            }
        }
        out
    }

    /// Its syllables.
    pub fn syllables(&self) -> &[Syllable] {
        &self.syllables
    }

    /// The bytes from the first to the last of some syllables, which are not none.
    pub fn span(&self, syllables: &Range<usize>) -> Range<usize> {
        self.at[syllables.start].start..self.at[syllables.end - 1].end
    }

    /// Where `phrase` sounds best, if anywhere at least that alike. Takes a look at every stretch of the phrase's length.
    pub fn find(&self, phrase: &[Syllable], least: f32) -> Option<Found> {
        if phrase.is_empty() || self.syllables.len() < phrase.len() {
            return None;
        }
        let length = phrase.len() as f32;
        let mut best: Option<(f32, usize)> = None;
        // What a stretch may lack and still be the best so far.
        let mut allowed = length * (1.0 - least) + 1e-4;
        for (start, stretch) in self.syllables.windows(phrase.len()).enumerate() {
            let mut lacks = 0.0;
            for (a, b) in stretch.iter().zip(phrase) {
                lacks += 1.0 - a.similarity(*b);
                if lacks > allowed {
                    break;
                }
            }
            if lacks <= allowed && best.is_none_or(|(lacked, _)| lacks < lacked) {
                best = Some((lacks, start));
                allowed = lacks;
            }
        }
        best.map(|(lacks, start)| {
            let syllables = start..start + phrase.len();
            Found { similarity: 1.0 - lacks / length, span: self.span(&syllables), syllables }
        })
    }
}

const INITIALS: [&str; 24] = [
    "", "b", "p", "m", "f", "d", "t", "n", "l", "g", "k", "h", "j", "q", "x", "zh", "ch", "sh", "r", "z",
    "c", "s", "y", "w",
];
const FINALS: [&str; 38] = [
    "", "a", "o", "e", "i", "u", "v", "ai", "ei", "ui", "ao", "ou", "iu", "ie", "ve", "er", "an", "en", "in",
    "un", "vn", "ang", "eng", "ing", "ong", "ia", "iao", "ian", "iang", "iong", "ua", "uo", "uai", "uan",
    "uang", "ueng", "io", "van",
];

/// Hardly told apart by many speakers. The first four are also folded.
const NEAR_INITIALS: [[&str; 2]; 5] = [["zh", "z"], ["ch", "c"], ["sh", "s"], ["n", "l"], ["h", "f"]];
const NEAR_FINALS: [[&str; 2]; 5] =
    [["ang", "an"], ["eng", "en"], ["ing", "in"], ["iang", "ian"], ["uang", "uan"]];
/// Mixed up on a bad line.
const KIN_INITIALS: [&[&str]; 7] = [
    &["b", "p"],
    &["d", "t"],
    &["g", "k", "h"],
    &["j", "q", "x"],
    &["z", "c", "s", "zh", "ch", "sh"],
    &["l", "n", "r"],
    &["m", "n", "l"],
];
const KIN_FINALS: [&[&str]; 9] = [
    &["uo", "uai", "ua"],
    &["an", "en", "ian", "uan", "ang", "eng", "iang", "uang", "van"],
    &["in", "en", "un", "vn", "ian", "ing", "eng", "iang"],
    &["ong", "en", "eng", "un", "iong"],
    &["ai", "ei", "uai", "ui"],
    &["ao", "ou", "iao", "iu"],
    &["o", "uo", "u", "ou"],
    &["e", "ie", "ve", "er"],
    &["i", "v", "ei", "e"],
];

/// Likeness of initials and of finals: 1 for the same, then near, kin and strangers.
type Likeness = ([[f32; INITIALS.len()]; INITIALS.len()], [[f32; FINALS.len()]; FINALS.len()]);

static LIKENESS: LazyLock<Likeness> = LazyLock::new(|| {
    (
        likeness(INITIALS, &NEAR_INITIALS, &KIN_INITIALS, [0.95, 0.85, 0.35]),
        likeness(FINALS, &NEAR_FINALS, &KIN_FINALS, [0.95, 0.75, 0.25]),
    )
});

fn likeness<const N: usize>(
    names: [&str; N],
    near: &[[&str; 2]],
    kin: &[&[&str]],
    [as_near, as_kin, as_strangers]: [f32; 3],
) -> [[f32; N]; N] {
    names.map(|a| {
        names.map(|b| {
            if a == b {
                1.0
            } else if near.iter().any(|p| p.contains(&a) && p.contains(&b)) {
                as_near
            } else if kin.iter().any(|g| g.contains(&a) && g.contains(&b)) {
                as_kin
            } else {
                as_strangers
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alike(a: &str, b: &str) -> f32 {
        Sounds::of(a).find(&syllables(b), 0.0).map_or(0.0, |f| f.similarity)
    }

    #[test]
    fn a_homophone_sounds_the_same_and_a_stranger_does_not() {
        assert!(alike("请帮我专人工好吗", "转人工") > 0.99);
        assert!(alike("收保什么时候做", "首保") > 0.99);
        assert!(alike("今天天气不错", "转人工") < 0.6);
    }

    #[test]
    fn sounds_that_telephones_mix_up_are_near_and_others_far() {
        for (a, b) in
            [("南", "蓝"), ("知", "资"), ("吃", "词"), ("是", "四"), ("班", "帮"), ("音", "英"), ("飞", "黑")]
        {
            let near = alike(a, b);
            assert!((0.85..1.0).contains(&near), "{a} and {b}: {near}");
        }
        assert!(alike("保", "跑") < alike("南", "蓝"), "b and p are further apart than n and l");
        assert!(alike("车", "门") < 0.3);
    }

    #[test]
    fn a_phrase_is_found_where_it_sounds() {
        let text = "你好 ok 收保什么时候做";
        let found = Sounds::of(text).find(&syllables("首保"), 0.9).expect("it sounds there");
        assert_eq!(&text[found.span], "收保");
        assert_eq!(found.syllables, 2..4);
        assert_eq!(Sounds::of("保养").find(&syllables("换电池"), 0.0), None, "too short to hold it");
        assert_eq!(Sounds::of("今天天气").find(&syllables("首保"), 0.9), None);
    }

    #[test]
    fn a_word_is_read_as_a_word() {
        assert!(alike("找火了", "着火了") > 0.99 && alike("空挑", "空调") > 0.99);
        assert!(alike("这么调", "这么掉") > 0.99, "alone, or in other words, it keeps its own reading");
    }

    #[test]
    fn the_sound_after_j_q_x_and_y_is_not_u() {
        assert_ne!(Syllable::of('居').map(|s| s.last), Syllable::of('朱').map(|s| s.last));
        assert_eq!(Syllable::of('居').map(|s| s.last), Syllable::of('绿').map(|s| s.last));
    }
}
