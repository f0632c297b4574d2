//! Telephone numbers, and any other digits that are said one by one.

use crate::dialogue::text::normalize;

/// A spoken number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Number {
    /// A complete telephone number, digits only.
    Complete(String),
    /// The beginning of one.
    Part(String),
    /// More digits than a number has.
    TooLong,
    /// No digits at all.
    None,
}

/// The number that the caller has said in `pieces`, oldest first; the last is the newest. A piece that is complete alone
/// replaces what came before; so does a correction (不对, 错了, 应该是).
pub fn phone(pieces: &[&str]) -> Number {
    let mut digits = String::new();
    for piece in pieces {
        let (fresh, corrected) = spoken_digits(piece);
        if complete(&fresh) {
            digits = fresh;
        } else if corrected {
            digits = correct(&digits, &fresh);
        } else {
            digits.push_str(&fresh);
        }
    }
    match digits.len() {
        0 => Number::None,
        _ if complete(&digits) => Number::Complete(digits),
        1..=11 => Number::Part(digits),
        _ => Number::TooLong,
    }
}

/// A mobile number, a landline with its area code, or a 400/800 number.
fn complete(digits: &str) -> bool {
    let b = digits.as_bytes();
    match b {
        [b'1', second, ..] => b.len() == 11 && *second >= b'3',
        [b'0', ..] => (10..=12).contains(&b.len()),
        [b'4' | b'8', b'0', b'0', ..] => b.len() == 10,
        _ => false,
    }
}

/// `fresh` in place of the end of `said`, or of all of it if it begins a number anew.
fn correct(said: &str, fresh: &str) -> String {
    if fresh.is_empty() || fresh.len() >= said.len() || (fresh.starts_with('1') && fresh.len() >= 3) {
        return fresh.to_owned();
    }
    format!("{}{fresh}", &said[..said.len() - fresh.len()])
}

/// The digits of one utterance, and whether it corrects what was said before it. A correction inside the utterance is
/// already applied.
fn spoken_digits(text: &str) -> (String, bool) {
    const MARKS: [&str; 8] = ["不对", "不是", "错了", "说错", "应该是", "我重说", "no sorry", "i mean"];
    let mut text = normalize(text);
    let mut before: Option<String> = None;
    while let Some((at, mark)) =
        MARKS.iter().filter_map(|m| text.find(m).map(|at| (at, *m))).min_by_key(|(at, _)| *at)
    {
        let digits = digits_of(&text[..at]);
        if !digits.is_empty() {
            before = Some(match before {
                Some(said) => correct(&said, &digits),
                None => digits,
            });
        } else if before.is_none() {
            before = Some(String::new());
        }
        text = text[at + mark.len()..].to_owned();
    }
    let fresh = digits_of(&text);
    match before {
        None => (fresh, false),
        Some(said) if said.is_empty() => (fresh, true),
        Some(said) => (correct(&said, &fresh), false),
    }
}

/// The digits that are spoken in `text`, in order, whatever stands between them.
pub fn digits(text: &str) -> String {
    digits_of(&normalize(text))
}

fn digits_of(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::new();
    if text.is_ascii() {
        return digits_of_en(text);
    }
    let mut i = 0;
    while i < chars.len() {
        let digit = spelt_digit(&chars, i);
        // 三个八: the count comes first. 一个 before anything else (一个号码) is no digit.
        if let Some(count) = digit
            && chars.get(i + 1) == Some(&'个')
        {
            if let Some(repeated) = chars.get(i + 2).and_then(|c| self::digit(*c)) {
                out.extend(std::iter::repeat_n(repeated, count.to_digit(10).unwrap_or(1) as usize));
                i += 3;
            } else {
                i += 2;
            }
            continue;
        }
        match (digit, chars.get(i + 1)) {
            // 一下, 一点, 一会 …: words, not digits.
            (Some('1'), Some('下' | '点' | '会' | '些' | '样' | '定' | '直' | '起')) => i += 2,
            (Some(d), _) => {
                out.push(d);
                i += 1;
            }
            (None, _) => i += 1,
        }
    }
    out
}

/// The digit that `chars[i]` stands for: some only among others (拐弯 has none), some only where no word can be meant.
fn spelt_digit(chars: &[char], i: usize) -> Option<char> {
    let plain = |at: usize| {
        let c = chars.get(at).copied().filter(|c| !AMONG.contains(*c))?;
        digit(c)
    };
    let before = (0..i).rev().map_while(plain).count();
    let after = (i + 1..chars.len()).map_while(plain).count();
    let c = chars[i];
    if let Some(alike) = ALIKE.iter().find(|(c2, _)| *c2 == c).map(|(_, digit)| *digit) {
        // 要七幺九七: the first digit, said alone or before many; 八零就三: one in the middle.
        let first = alike == '1' && (after >= 6 || (i == 0 && after >= 2));
        let amid = before >= 1 && after >= 1 && before + after >= 3;
        return (first || amid).then_some(alike);
    }
    let counts = chars.get(i + 1) == Some(&'个') && plain(i + 2).is_some();
    digit(c).filter(|_| !AMONG.contains(c) || before + after > 0 || counts)
}

/// Digits only beside others.
const AMONG: &str = "洞妖腰么两拐勾";
/// What a recogniser writes for a digit: digits only inside a number.
const ALIKE: [(char, char); 14] = [
    ('要', '1'),
    ('药', '1'),
    ('邀', '1'),
    ('令', '0'),
    ('另', '0'),
    ('林', '0'),
    ('就', '9'),
    ('酒', '9'),
    ('久', '9'),
    ('吧', '8'),
    ('把', '8'),
    ('器', '7'),
    ('期', '7'),
    ('流', '6'),
];

/// The digit that a character stands for when a number is spelt out.
pub fn digit(c: char) -> Option<char> {
    Some(match c {
        '0'..='9' => c,
        '零' | '〇' | '洞' => '0',
        '一' | '幺' | '壹' | '妖' | '腰' | '么' => '1',
        '二' | '两' | '贰' => '2',
        '三' | '叁' => '3',
        '四' | '肆' => '4',
        '五' | '伍' => '5',
        '六' | '陆' => '6',
        '七' | '柒' | '拐' => '7',
        '八' | '捌' => '8',
        '九' | '玖' | '勾' => '9',
        _ => return None,
    })
}

fn digits_of_en(text: &str) -> String {
    const WORDS: [&str; 10] =
        ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];
    let mut out = String::new();
    let mut times = 1;
    for word in text.split(' ') {
        let said = match word {
            "double" => {
                times = 2;
                continue;
            }
            "triple" => {
                times = 3;
                continue;
            }
            "oh" | "o" => "0".to_owned(),
            w => match WORDS.iter().position(|d| *d == w) {
                Some(d) => d.to_string(),
                None => w.chars().filter(char::is_ascii_digit).collect(),
            },
        };
        for _ in 0..times {
            out.push_str(&said);
        }
        times = 1;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_heard_in_every_spoken_form() {
        let complete = |s: &str| Number::Complete(s.into());
        assert_eq!(phone(&["我的电话是幺三八零零幺三八零零零"]), complete("13800138000"));
        assert_eq!(phone(&["幺三九三个八四个六幺二"]), Number::TooLong);
        assert_eq!(phone(&["一三九，三个八，六六六六二"]), complete("13988866662"));
        assert_eq!(phone(&["138 0013 8000"]), complete("13800138000"));
        assert_eq!(
            phone(&["one three eight double zero one three eight triple zero"]),
            complete("13800138000")
        );
        assert_eq!(phone(&["零一零八二三四五六七八"]), complete("01082345678"));
        assert_eq!(phone(&["你记一下"]), Number::None);
    }

    #[test]
    fn digits_by_sound_count_only_inside_a_number() {
        assert_eq!(phone(&["手机号嗯要七幺九七零九四七幺八"]), Number::Complete("17197094718".into()));
        assert_eq!(phone(&["幺三八洞洞幺三八另零零"]), Number::Complete("13800138000".into()));
        assert_eq!(phone(&["要三八", "零零要三八零零零"]), Number::Complete("13800138000".into()));
        assert_eq!(phone(&["拐三九两八八四六六一二"]), Number::Part("73928846612".into()));
        for text in ["我要投诉", "前面拐弯有个洞", "腰疼", "两点左右", "什么", "我就要这个吧"]
        {
            assert_eq!(phone(&[text]), Number::None, "{text} holds no number");
        }
    }

    #[test]
    fn a_number_in_three_pieces_is_put_together() {
        assert_eq!(phone(&["幺三八"]), Number::Part("138".into()));
        assert_eq!(phone(&["幺三八", "零零幺三"]), Number::Part("1380013".into()));
        assert_eq!(phone(&["幺三八", "零零幺三", "八零零零"]), Number::Complete("13800138000".into()));
    }

    #[test]
    fn corrections_replace_what_was_said() {
        assert_eq!(
            phone(&["幺三八零零幺三", "不对，零零幺四", "八零零零"]),
            Number::Complete("13800148000".into())
        );
        assert_eq!(phone(&["幺三七，不对，幺三八零零幺三八零零零"]), Number::Complete("13800138000".into()));
        assert_eq!(
            phone(&["幺三七零", "错了，是幺三八零零幺三八零零零"]),
            Number::Complete("13800138000".into())
        );
    }
}
