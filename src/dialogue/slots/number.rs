//! Numbers as they are spoken, in characters or digits or both (八千二, 3万5, twelve hundred).

/// The value of a Chinese numeral below ten, in a quantity: no 幺, no 拐.
pub(in crate::dialogue) fn figure(c: char) -> Option<u32> {
    Some(match c {
        '零' | '〇' => 0,
        '一' => 1,
        '二' | '两' => 2,
        '三' => 3,
        '四' => 4,
        '五' => 5,
        '六' => 6,
        '七' => 7,
        '八' => 8,
        '九' => 9,
        _ => return None,
    })
}

/// Part of a number, in characters or digits.
pub(super) fn is_numeral(c: char) -> bool {
    c.is_ascii_digit() || figure(c).is_some() || matches!(c, '十' | '百' | '千' | '万' | '亿')
}

/// A whole number below 100 at `at` and where it ends; [`None`] inside a longer number, or if it goes on (二十五六, 三百).
pub(super) fn small(c: &[char], at: usize) -> Option<(u32, usize)> {
    let inside = at > 0 && is_numeral(c[at - 1]);
    let first = *c.get(at)?;
    if inside || !is_numeral(first) {
        return None;
    }
    let figure_at = |at: usize| c.get(at).and_then(|c| figure(*c));
    let (value, end) = if first.is_ascii_digit() {
        let digits: String = c[at..].iter().take_while(|c| c.is_ascii_digit()).take(3).collect();
        (digits.parse().ok().filter(|v| *v < 100)?, at + digits.len())
    } else {
        let tens = if first == '十' { Some((1, at)) } else { figure(first).map(|tens| (tens, at + 1)) };
        match tens {
            Some((tens, ten)) if c.get(ten) == Some(&'十') => {
                match figure_at(ten + 1).filter(|one| *one > 0) {
                    Some(one) => (tens * 10 + one, ten + 2),
                    None => (tens * 10, ten + 1),
                }
            }
            Some((one, end)) if first != '十' => (one, end),
            _ => return None,
        }
    };
    (!c.get(end).is_some_and(|c| is_numeral(*c))).then_some((value, end))
}

/// A quantity at `at` and where it ends: 八千二百, 一万二, 三点五万, 8200, 8千2. [`None`] for what is vague (七八千, 十几) and
/// for digits one by one (八二零零).
pub(super) fn quantity(c: &[char], at: usize) -> Option<(f64, usize)> {
    let (mut total, mut section, mut pending) = (0.0, 0.0, None::<f64>);
    let (mut unit, mut myriad, mut zero, mut figures) = (10_000.0, f64::MAX, false, 0);
    let mut i = at;
    while let Some(&sign) = c.get(i) {
        if sign.is_ascii_digit() {
            if pending.is_some() {
                return None;
            }
            let end = i + run(&c[i..], |c| c.is_ascii_digit());
            let stop = end + 1 + c.get(end + 1..).map_or(0, |rest| run(rest, |c| c.is_ascii_digit()));
            let whole = if c.get(end) == Some(&'.') && stop > end + 1 { stop } else { end };
            let text: String = c[i..whole].iter().collect();
            pending = Some(text.parse().ok().filter(|_| text.len() <= 15)?);
            figures = text.len();
            i = whole;
            continue;
        }
        if matches!(sign, '零' | '〇') && (section > 0.0 || total > 0.0) && pending.is_none() {
            zero = true;
        } else if let Some(value) = figure(sign) {
            if pending.is_some() {
                return None;
            }
            (pending, figures) = (Some(f64::from(value)), 1);
        } else if sign == '点' && (pending.is_some() || section > 0.0) {
            let digits = fraction(&c[i + 1..]);
            // 三点二十 is a time.
            if digits.is_empty() || c.get(i + 1 + digits.len()) == Some(&'十') {
                break;
            }
            let whole = section + pending.unwrap_or(0.0);
            let parts: f64 = format!("0.{digits}").parse().ok()?;
            (pending, section, figures) = (Some(whole + parts), 0.0, 2);
            i += digits.len();
        } else if let Some(step) = match sign {
            '十' => Some(10.0),
            '百' => Some(100.0),
            '千' => Some(1000.0),
            _ => None,
        } {
            // 三千瓦 are three kilowatts.
            let kilo = step > 999.0 && matches!(c.get(i + 1), Some('瓦' | '米' | '克' | '伏' | '赫'));
            let ten = step < 11.0 && (i == at || section > 0.0 || zero);
            if step >= unit || kilo {
                break;
            }
            let Some(count) = pending.take().or(ten.then_some(1.0)) else { break };
            section += count * step;
            (unit, zero) = (step, false);
        } else if let Some(step) = match sign {
            '万' => Some(10_000.0),
            '亿' => Some(100_000_000.0),
            _ => None,
        } {
            let count = section + pending.unwrap_or(0.0);
            if step >= myriad || count <= 0.0 {
                break;
            }
            total += count * step;
            (section, pending, unit, myriad, zero) = (0.0, None, 10_000.0, step, false);
        } else {
            break;
        }
        i += 1;
    }
    if i == at || c.get(i) == Some(&'几') {
        return None;
    }
    let short = figures == 1 && !zero;
    let tail = match pending {
        // 一百五 is 150, 一万二 is 12000.
        Some(d) if short && section > 0.0 => d * unit / 10.0,
        Some(d) if short && total > 0.0 => d * myriad / 10.0,
        Some(d) => d,
        None => 0.0,
    };
    Some((total + section + tail, i))
}

/// Digits behind a decimal point, as ASCII.
fn fraction(c: &[char]) -> String {
    c.iter()
        .map_while(|c| figure(*c).filter(|_| *c != '两'))
        .filter_map(|d| char::from_digit(d, 10))
        .collect()
}

fn run(c: &[char], is: impl Fn(char) -> bool) -> usize {
    c.iter().take_while(|c| is(**c)).count()
}

const ONES: [&str; 20] = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
];
const TENS: [&str; 8] = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];

/// An English word below twenty.
pub(super) fn one(word: &str) -> Option<u32> {
    ONES.iter().position(|w| *w == word).map(|value| value as u32)
}

/// 20, 30 … 90.
pub(super) fn ten(word: &str) -> Option<u32> {
    TENS.iter().position(|w| *w == word).map(|at| 20 + 10 * at as u32)
}

/// A whole number below 100 in words or digits at `words[at]`, and where it ends.
pub(super) fn small_en(words: &[&str], at: usize) -> Option<(u32, usize)> {
    let word = words.get(at)?;
    if let Some(tens) = ten(word) {
        let unit = words.get(at + 1).and_then(|w| one(w)).filter(|unit| (1..10).contains(unit));
        return Some(unit.map_or((tens, at + 1), |unit| (tens + unit, at + 2)));
    }
    let digits = || word.parse().ok().filter(|v| *v < 100 && word.len() <= 2);
    one(word).or_else(digits).map(|value| (value, at + 1))
}

/// A quantity in English at `words[at]` and where it ends: twelve thousand, two and a half, 8200, 12k.
pub(super) fn quantity_en(words: &[&str], at: usize) -> Option<(f64, usize)> {
    let (mut total, mut section, mut i) = (0.0, None::<f64>, at);
    while let Some(word) = words.get(i) {
        let after = |n: usize| words.get(i + n).copied().unwrap_or("");
        let scale = match *word {
            "hundred" => Some(100.0),
            "thousand" | "grand" => Some(1000.0),
            "million" => Some(1_000_000.0),
            _ => None,
        };
        if let Some(scale) = scale {
            let Some(count) = section else { break };
            if scale < 101.0 {
                section = Some(count * scale);
            } else {
                total += count * scale;
                section = Some(0.0);
            }
            i += 1;
        } else if matches!(*word, "a" | "an")
            && section.is_none()
            && matches!(after(1), "hundred" | "thousand")
        {
            section = Some(1.0);
            i += 1;
        } else if *word == "and" && section.is_some() && after(1) == "a" && after(2) == "half" {
            return Some((total + section.unwrap_or(0.0) + 0.5, i + 3));
        } else if *word == "and"
            && section.is_some_and(|s| s > 99.0 || total > 0.0)
            && small_en(words, i + 1).is_some()
        {
            i += 1;
        } else if *word == "half" && section.is_none() && i == at {
            return Some((0.5, i + 1));
        } else if *word == "point" && section.is_some() {
            let digits: String = words[i + 1..]
                .iter()
                .map_while(|w| one(w).filter(|d| *d < 10))
                .map(|d| d.to_string())
                .collect();
            let Ok(parts) = format!("0.{digits}").parse::<f64>() else { break };
            if digits.is_empty() {
                break;
            }
            section = section.map(|s| s + parts);
            i += 1 + digits.len();
        } else if let Some((value, end)) = small_en(words, i).or_else(|| written_en(word).map(|_| (0, i + 1)))
        {
            let value = written_en(word).unwrap_or(f64::from(value));
            match section {
                None => section = Some(value),
                // two hundred [and] five; a thousand five
                Some(s) if (s >= 100.0 && s % 100.0 < 1.0 && value < 100.0) || (s < 1.0 && total > 0.0) => {
                    section = Some(s + value);
                }
                Some(_) => break,
            }
            i = end;
        } else {
            break;
        }
    }
    section.map(|section| (total + section, i))
}

/// 8200, 8200.5, 12k.
fn written_en(word: &str) -> Option<f64> {
    let (digits, scale) = word.strip_suffix('k').map_or((word, 1.0), |digits| (digits, 1000.0));
    let number = digits.starts_with(|c: char| c.is_ascii_digit())
        && digits.chars().all(|c| c.is_ascii_digit() || c == '.')
        && digits.len() <= 15;
    number.then(|| digits.parse::<f64>().ok().map(|v| v * scale)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_numbers_are_read_whole_or_not_at_all() {
        for (text, wanted) in [
            ("三", Some((3, 1))),
            ("十", Some((10, 1))),
            ("十五号", Some((15, 2))),
            ("二十点", Some((20, 2))),
            ("二十五", Some((25, 3))),
            ("25号", Some((25, 2))),
            ("二十五六", None),
            ("三百", None),
            ("一二三", None),
            ("125", None),
            ("号", None),
        ] {
            assert_eq!(small(&text.chars().collect::<Vec<_>>(), 0), wanted, "{text}");
        }
    }

    #[test]
    fn quantities_are_read_with_their_short_tails() {
        for (text, wanted) in [
            ("八千二百", Some(8200.0)),
            ("八千二", Some(8200.0)),
            ("8千2", Some(8200.0)),
            ("一万二", Some(12000.0)),
            ("一万零五十", Some(10050.0)),
            ("一百零五", Some(105.0)),
            ("三点五万", Some(35000.0)),
            ("3.5万", Some(35000.0)),
            ("十二点五", Some(12.5)),
            ("一亿两千万", Some(120_000_000.0)),
            ("一千零十五", Some(1015.0)),
            ("七八千", None),
            ("两三万", None),
            ("十几", None),
            ("万一", None),
        ] {
            assert_eq!(quantity(&text.chars().collect::<Vec<_>>(), 0).map(|q| q.0), wanted, "{text}");
        }
    }

    #[test]
    fn english_quantities_are_read() {
        for (text, wanted) in [
            ("twelve thousand", Some(12000.0)),
            ("twelve hundred", Some(1200.0)),
            ("eight thousand two hundred and five", Some(8205.0)),
            ("two and a half", Some(2.5)),
            ("one point five million", Some(1_500_000.0)),
            ("a hundred", Some(100.0)),
            ("12k", Some(12000.0)),
            ("half", Some(0.5)),
            ("thousand", None),
        ] {
            let words: Vec<&str> = text.split(' ').collect();
            assert_eq!(quantity_en(&words, 0).map(|q| q.0), wanted, "{text}");
        }
    }
}
