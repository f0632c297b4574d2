//! Chinese numbers in characters, as they are spoken.

use crate::dialogue::slots::digit;
use crate::dialogue::text::is_han;

pub(super) fn is_numeral(c: char) -> bool {
    digit(c).is_some_and(|_| is_han(c) || c == '〇') || matches!(c, '十' | '百' | '千' | '万' | '亿')
}

/// A digit as it is said in a string of digits.
pub(super) fn spoken(c: char) -> Option<char> {
    digit(c).filter(|_| !matches!(c, '两' | '么' | '妖' | '腰' | '拐' | '勾' | '洞'))
}

pub(super) struct Number {
    pub(super) value: u64,
    pub(super) end: usize,
}

/// A well-formed cardinal: 三, 二十五, 两千零五, 三万五 (35000). [`None`] for strings of digits and for 两三百.
pub(super) fn cardinal(c: &[char], at: usize) -> Option<Number> {
    let (mut total, mut section, mut pending) = (0_u64, 0_u64, None::<u64>);
    let (mut unit, mut myriad, mut zero) = (10_000_u64, u64::MAX, false);
    let mut i = at;
    while let Some(&sign) = c.get(i) {
        if matches!(sign, '零' | '〇') {
            if zero || pending.is_some() || i == at {
                break;
            }
            zero = true;
        } else if let Some(d) = digit(sign)
            .filter(|_| is_han(sign) && !matches!(sign, '么' | '妖' | '腰' | '拐' | '勾' | '洞' | '幺'))
        {
            if pending.is_some() {
                return None;
            }
            pending = d.to_digit(10).map(u64::from);
        } else if let Some(step) = match sign {
            '十' => Some(10),
            '百' => Some(100),
            '千' => Some(1000),
            _ => None,
        } {
            // 七千瓦 is said of kilowatts.
            let kilo = step == 1000 && matches!(c.get(i + 1), Some('瓦' | '米' | '克' | '伏' | '赫'));
            if step >= unit || kilo {
                break;
            }
            let Some(count) = pending.take().or((step == 10 && (i == at || section > 0)).then_some(1)) else {
                break;
            };
            section += count * step;
            (unit, zero) = (step, false);
        } else if let Some(step) = match sign {
            '万' => Some(10_000),
            '亿' => Some(100_000_000),
            _ => None,
        } {
            let count = section + pending.unwrap_or(0);
            if step >= myriad || count == 0 {
                break;
            }
            total += count * step;
            (section, pending, unit, myriad, zero) = (0, None, 10_000, step, false);
        } else {
            break;
        }
        i += 1;
    }
    if zero && pending.is_none() {
        i -= 1;
    }
    if i == at {
        return None;
    }
    let tail = match pending {
        // 一百五 is 150, 三万五 is 35000; 一百零五 is 105.
        Some(d) if !zero && section > 0 => d * unit / 10,
        Some(d) if !zero && total > 0 => d * myriad / 10,
        Some(d) => d,
        None => 0,
    };
    Some(Number { value: total + section + tail, end: i })
}

/// 点 and the digits behind it, once or more (三点二点一): as `.5`.
pub(super) fn point(c: &[char], at: usize) -> Option<(String, usize)> {
    let mut text = String::new();
    let mut end = at;
    while c.get(end) == Some(&'点') {
        let digits: String = c[end + 1..].iter().map_while(|c| spoken(*c)).collect();
        if digits.is_empty() {
            break;
        }
        text.push('.');
        text.push_str(&digits);
        end += 1 + digits.len();
    }
    // 三点二十 is a time, not 3.2 and then ten; 一点五万 goes on.
    let whole = !c.get(end).is_some_and(|c| matches!(c, '十' | '百' | '点'));
    (!text.is_empty() && whole).then_some((text, end))
}

/// A number with or without a fraction, in digits.
pub(super) fn decimal(c: &[char], at: usize) -> Option<(String, usize)> {
    let whole = match c.get(at)? {
        '零' | '〇' => Number { value: 0, end: at + 1 },
        _ => cardinal(c, at)?,
    };
    let (fraction, end) = point(c, whole.end).unwrap_or((String::new(), whole.end));
    Some((format!("{}{fraction}", whole.value), end))
}

/// Minutes behind 点: 二十, 零五, 五十九.
pub(super) fn minute(c: &[char], at: usize) -> Option<(u64, usize)> {
    let zero = c.get(at) == Some(&'零');
    let minute = cardinal(c, at + usize::from(zero))?;
    (minute.value < 60 && (!zero || minute.value < 10)).then_some((minute.value, minute.end))
}

/// Whole myriads keep their characters: 30000 → 3万, 120000000 → 1亿2000万.
pub(super) fn with_myriads(value: u64) -> String {
    if value < 10_000 || !value.is_multiple_of(10_000) {
        return value.to_string();
    }
    let (many, few) = (value / 100_000_000, value / 10_000 % 10_000);
    let part = |count: u64, unit| if count > 0 { format!("{count}{unit}") } else { String::new() };
    part(many, "亿") + &part(few, "万")
}
