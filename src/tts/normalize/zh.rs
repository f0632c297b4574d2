//! Mandarin: the rules, tried in order at each place that no earlier rule has consumed.

use super::units::{Unit, counts, unit_at};
use super::{Number, Part, is_han, is_range_sign, number, number_at, run};

/// What to say from `at` on: at least one part.
pub(super) fn parts(c: &[char], at: usize) -> Vec<Part> {
    let before = at.checked_sub(1).map(|i| c[i]);
    let inside_word = before.is_some_and(|b| b.is_ascii_alphanumeric());
    let found = match c[at] {
        '0'..='9' if inside_word => code(c, at),
        '0'..='9' => date(c, at)
            .or_else(|| version(c, at))
            .or_else(|| time(c, at))
            .or_else(|| phone(c, at))
            .or_else(|| vehicle(c, at))
            .or_else(|| digit_by_digit(c, at))
            .or_else(|| fraction(c, at))
            .or_else(|| quantity(c, at, false)),
        '-' if !inside_word && !before.is_some_and(is_han) => negative(c, at),
        '+' if !inside_word => phone(c, at),
        '¥' | '$' | '€' | '£' => money(c, at),
        'A'..='Z' | 'a'..='z' if !inside_word => vehicle(c, at),
        province if PROVINCES.contains(province) => plate(c, at),
        _ => None,
    };
    found.unwrap_or_else(|| vec![Part::new(at + 1, sign(c, at))])
}

fn is_digit(c: char) -> bool {
    c.is_ascii_digit()
}

fn digit_at(c: &[char], at: usize) -> bool {
    c.get(at).copied().is_some_and(is_digit)
}

fn text(c: &[char], from: usize, to: usize) -> String {
    c[from..to].iter().collect()
}

/// The small number in `from..to`, if it is at most `max`.
fn small(c: &[char], from: usize, to: usize, max: u32) -> Option<u32> {
    (to > from && to - from <= 2).then(|| text(c, from, to).parse().ok()).flatten().filter(|&n| n <= max)
}

/// 2026-10-08, 2026/10/8, 2026.10.08 → 二零二六年十月八日; also 2026-10 is left to the other rules.
fn date(c: &[char], at: usize) -> Option<Vec<Part>> {
    let year = run(c, at, is_digit);
    let separator = *c.get(year).filter(|s| matches!(s, '-' | '/' | '.'))?;
    let month = run(c, year + 1, is_digit);
    if year != at + 4 || c.get(month) != Some(&separator) {
        return None;
    }
    let day = run(c, month + 1, is_digit);
    small(c, year + 1, month, 12).filter(|&m| m > 0)?;
    small(c, month + 1, day, 31).filter(|&d| d > 0)?;
    Some(vec![
        Part::new(year, number::digits(&text(c, at, year))),
        Part::new(year + 1, "年"),
        Part::new(month, number::cardinal(&text(c, year + 1, month))),
        Part::new(month + 1, "月"),
        Part::new(day, number::cardinal(&text(c, month + 1, day)) + "日"),
    ])
}

/// Two full stops or more: a version or an address. 2.3.1 → 二点三点一.
fn version(c: &[char], at: usize) -> Option<Vec<Part>> {
    let mut parts = Vec::new();
    let mut start = at;
    loop {
        let end = run(c, start, is_digit);
        parts.push(Part::new(end, component(&text(c, start, end))));
        if c.get(end) != Some(&'.') || !digit_at(c, end + 1) {
            break;
        }
        parts.push(Part::new(end + 1, "点"));
        start = end + 1;
    }
    (parts.len() >= 5).then_some(parts)
}

/// One number inside a code: up to two digits as a number, more of them, or a leading zero, digit by digit.
fn component(digits: &str) -> String {
    if digits.len() <= 2 && (digits == "0" || !digits.starts_with('0')) {
        number::cardinal(digits)
    } else {
        number::yao(digits)
    }
}

/// 21:30 → 二十一点三十分, 8:00 → 八点, 8:05 → 八点零五分; a range sign and a time behind it → 至.
fn time(c: &[char], at: usize) -> Option<Vec<Part>> {
    let (mut parts, mut end) = one_time(c, at)?;
    if c.get(end).copied().is_some_and(is_range_sign) && one_time(c, end + 1).is_some() {
        end += 1;
        parts.push(Part::new(end, "至"));
    }
    Some(parts)
}

fn one_time(c: &[char], at: usize) -> Option<(Vec<Part>, usize)> {
    let colon = |at: usize| matches!(c.get(at), Some(':' | '：')) && digit_at(c, at + 1);
    let hour = run(c, at, is_digit);
    let h = small(c, at, hour, 24)?;
    if !colon(hour) {
        return None;
    }
    let minute = run(c, hour + 1, is_digit);
    let m = small(c, hour + 1, minute, 59).filter(|_| minute == hour + 3)?;
    let mut parts = vec![Part::new(hour, number::counted(&h.to_string())), Part::new(hour + 1, "点")];
    let mut end = minute;
    if colon(minute) {
        let second = run(c, minute + 1, is_digit);
        if let Some(s) = small(c, minute + 1, second, 59).filter(|_| second == minute + 3) {
            parts.push(Part::new(minute, two_digits(m) + "分"));
            parts.push(Part::new(second, two_digits(s) + "秒"));
            return Some((parts, second));
        }
    }
    if m > 0 {
        parts.push(Part::new(minute, two_digits(m) + if c.get(minute) == Some(&'分') { "" } else { "分" }));
    } else if let Some(last) = parts.last_mut() {
        last.end = minute;
    }
    if c.get(end) == Some(&'点') {
        end += 1;
    }
    Some((parts, end))
}

fn two_digits(value: u32) -> String {
    let said = number::cardinal(&value.to_string());
    if value < 10 { format!("零{said}") } else { said }
}

/// Mobile, 400/800, and fixed-line numbers, grouped as written or as usual; +86 before them.
fn phone(c: &[char], at: usize) -> Option<Vec<Part>> {
    let country = c[at] == '+';
    let mut spans = vec![(at + usize::from(country), run(c, at + usize::from(country), is_digit))];
    while let Some(&(start, end)) = spans.last() {
        if end == start {
            return None;
        }
        let next = run(c, end + 1, is_digit);
        if !matches!(c.get(end), Some(' ' | '-')) || next == end + 1 {
            break;
        }
        spans.push((end + 1, next));
    }
    // The longest run of groups that makes a number; what follows may be something else.
    let count = (1..=spans.len())
        .rev()
        .find(|&n| is_phone(&spans[..n].iter().map(|&(s, e)| text(c, s, e)).collect::<String>(), country))?;
    let spans = &spans[..count];
    let behind = spans.last()?.1;
    if matches!(c.get(behind), Some('.')) && digit_at(c, behind + 1) || unit_at(c, behind).is_some() {
        return None;
    }
    let mut parts = Vec::new();
    if country {
        parts.push(Part::new(at + 1, "加"));
    }
    for (i, &(start, end)) in spans.iter().enumerate() {
        if i > 0 {
            parts.push(Part::new(start, " "));
        }
        let whole = text(c, start, end);
        let cuts: &[usize] = match (spans.len(), whole.len(), whole.starts_with('0')) {
            (1 | 2, 11, false) => &[3, 7],
            (1, 10, false) => &[3, 6],
            (1, 11 | 12, true) if whole.starts_with("01") || whole.starts_with("02") => &[3, 7],
            (1, 11 | 12, true) => &[4, 8],
            _ => &[],
        };
        let mut from = 0;
        for &to in cuts.iter().chain([&whole.len()]) {
            let pause = if to == whole.len() { "" } else { " " };
            parts.push(Part::new(start + to, number::yao(&whole[from..to]) + pause));
            from = to;
        }
    }
    Some(parts)
}

fn is_phone(digits: &str, country: bool) -> bool {
    let digits = if country { digits.strip_prefix("86").unwrap_or("") } else { digits };
    let second = digits.as_bytes().get(1).copied().unwrap_or(b'0');
    match digits.len() {
        11 if digits.starts_with('1') => second >= b'3',
        10 => digits.starts_with("400") || digits.starts_with("800"),
        _ => digits.starts_with('0') && second != b'0' && (10..=12).contains(&digits.len()),
    }
}

/// What Chinese plates begin with.
pub(crate) const PROVINCES: &str = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼";

/// 沪A·D12345, 粤BD12345 → 沪A D幺二三四五, 粤BD幺二三四五.
fn plate(c: &[char], at: usize) -> Option<Vec<Part>> {
    let letter = c.get(at + 1).filter(|l| l.is_ascii_uppercase())?;
    let dotted = matches!(c.get(at + 2), Some('·' | '•' | '.' | '-' | ' '));
    let start = at + 2 + usize::from(dotted);
    let end = run(c, start, |c| c.is_ascii_uppercase() || c.is_ascii_digit());
    let enough =
        (5..=6).contains(&(end - start)) && c[start..end].iter().filter(|c| c.is_ascii_digit()).count() >= 3;
    enough.then(|| {
        let mut parts = vec![Part::new(at + 1, c[at]), Part::new(at + 2, *letter)];
        if dotted {
            parts.push(Part::new(start, " "));
        }
        parts.extend(one_by_one(c, start, end));
        parts
    })
}

/// Letters as they are, digits one by one with 幺.
fn one_by_one(c: &[char], start: usize, end: usize) -> Vec<Part> {
    (start..end)
        .map(|i| {
            Part::new(i + 1, if is_digit(c[i]) { number::yao(&c[i].to_string()) } else { c[i].to_string() })
        })
        .collect()
}

/// A vehicle identification number: 17 capital letters and digits, read one by one.
fn vehicle(c: &[char], at: usize) -> Option<Vec<Part>> {
    let end = run(c, at, |c| c.is_ascii_uppercase() || c.is_ascii_digit());
    let mixed =
        c[at..end].iter().any(char::is_ascii_digit) && c[at..end].iter().any(char::is_ascii_uppercase);
    (end == at + 17 && mixed).then(|| one_by_one(c, at, end))
}

/// Digits right behind letters: ET5 → ET五, V2.3.1 → V二点三点一, P0420 → P零四二零.
fn code(c: &[char], at: usize) -> Option<Vec<Part>> {
    version(c, at).or_else(|| {
        let n = number_at(c, at)?;
        if n.grouped {
            return None;
        }
        let whole = component(&n.whole);
        Some(vec![Part::new(
            n.end,
            n.fraction.map_or(whole.clone(), |f| format!("{whole}点{}", number::digits(&f))),
        )])
    })
}

/// Years, service numbers, serials: everything that is a name and not an amount.
fn digit_by_digit(c: &[char], at: usize) -> Option<Vec<Part>> {
    let end = run(c, at, is_digit);
    let digits = text(c, at, end);
    let next = c.get(end).copied().unwrap_or(' ');
    if next == '.' && digit_at(c, end + 1) || number_at(c, at)?.grouped {
        return None;
    }
    let said = |say: String| Some(vec![Part::new(end, say)]);
    if digits.len() == 4
        && (next == '年' || (next == '款' && (digits.starts_with("19") || digits.starts_with("20"))))
    {
        let year = ("1500".."2200").contains(&digits.as_str());
        return if year { said(number::digits(&digits)) } else { None };
    }
    if digits.len() == 2 && next == '款' {
        return said(number::digits(&digits));
    }
    // 1-800-555: three groups or more are a serial, not a range.
    let mut chain = vec![(at, end)];
    while let Some(&(_, last)) = chain.last() {
        let more = run(c, last + 1, is_digit);
        if c.get(last) != Some(&'-') || more == last + 1 {
            break;
        }
        chain.push((last + 1, more));
    }
    if chain.len() >= 3 {
        return Some(
            chain
                .iter()
                .enumerate()
                .map(|(i, &(s, e))| {
                    Part::new(e, format!("{}{}", if i > 0 { " " } else { "" }, number::yao(&text(c, s, e))))
                })
                .collect(),
        );
    }
    if next == '*' || at.checked_sub(1).is_some_and(|i| c[i] == '*') || named_by_digits(c, at) {
        return said(number::yao(&digits));
    }
    let measured = unit_at(c, end).is_some()
        || next == '%'
        || next == '‰'
        || counts(c, end)
        || c.get(end).copied().is_some_and(is_range_sign);
    let service = match digits.len() {
        3 => matches!(digits.as_str(), "110" | "112" | "114" | "119" | "120" | "122") && called(c, at),
        5 => {
            ["100", "101", "116", "118", "123", "121", "95", "96"].iter().any(|p| digits.starts_with(p))
                && (!measured || called(c, at))
        }
        _ => false,
    };
    let zero_led = digits.len() > 1
        && digits.starts_with('0')
        && !measured
        && !matches!(next, '月' | '日' | '号' | '时');
    let long = digits.len() >= 7 && !measured && !digits.ends_with("000");
    if service || zero_led || long {
        said(if zero_led { number::digits(&digits) } else { number::yao(&digits) })
    } else {
        None
    }
}

/// True behind words that introduce a number to be dialled.
fn called(c: &[char], at: usize) -> bool {
    c[..at].iter().rev().find(|&&c| c != ' ').is_some_and(|&c| "打叫警按号话线拨：:".contains(c))
}

/// True behind words that introduce a number which is a name: 尾号1234, 验证码是 482913.
fn named_by_digits(c: &[char], at: usize) -> bool {
    let before: String =
        c[at.saturating_sub(8)..at].iter().filter(|c| !matches!(c, ' ' | ':' | '：' | '，')).collect();
    let before = before.trim_end_matches(['是', '为', '「', '“', '"', '#']);
    [
        "尾号",
        "号码",
        "验证码",
        "工号",
        "编号",
        "订单号",
        "车架号",
        "单号",
        "后四位",
        "后六位",
        "卡号",
        "序列号",
        "密码",
        "代码",
        "邮编",
        "工单",
        "订单",
        "故障码",
        "热线",
        "分机",
    ]
    .iter()
    .any(|word| before.ends_with(word))
}

/// 1/2 → 二分之一, 10/8 → 十月八日, 3:1 → 三比一, 7*24 → 七乘二十四.
fn fraction(c: &[char], at: usize) -> Option<Vec<Part>> {
    let middle = run(c, at, is_digit);
    let end = run(c, middle + 1, is_digit);
    let more = matches!(c.get(end), Some('/' | ':')) && digit_at(c, end + 1);
    if end == middle + 1 || more || (c.get(end) == Some(&'.') && digit_at(c, end + 1)) {
        return None;
    }
    let (first, second) = (text(c, at, middle), text(c, middle + 1, end));
    match c.get(middle)? {
        '/' => {
            let (a, b) = (small(c, at, middle, 99)?, small(c, middle + 1, end, 99)?);
            let spoken_of = at.checked_sub(1).is_some_and(|i| "于在至到自从期间".contains(c[i]));
            let calendar = (1..=12).contains(&a) && (1..=31).contains(&b);
            if calendar
                && (a >= b
                    || a >= 10
                    || b > 10
                    || spoken_of
                    || matches!(c.get(end), Some('日' | '号' | '前' | '后')))
            {
                let day = if matches!(c.get(end), Some('日' | '号')) { "" } else { "日" };
                Some(vec![
                    Part::new(middle, number::cardinal(&first)),
                    Part::new(middle + 1, "月"),
                    Part::new(end, number::cardinal(&second) + day),
                ])
            } else if a < b {
                Some(vec![Part::new(
                    end,
                    format!("{}分之{}", number::cardinal(&second), number::cardinal(&first)),
                )])
            } else {
                None
            }
        }
        ':' | '：' | '×' | '*' => {
            let word = if matches!(c[middle], ':' | '：') { "比" } else { "乘" };
            Some(vec![
                Part::new(middle, number::cardinal(&first)),
                Part::new(middle + 1, word),
                Part::new(end, number::cardinal(&second)),
            ])
        }
        _ => None,
    }
}

/// -10℃ → 零下十度, -5 → 负五.
fn negative(c: &[char], at: usize) -> Option<Vec<Part>> {
    if !digit_at(c, at + 1) {
        return None;
    }
    quantity(c, at + 1, true)
}

/// An amount with what it is an amount of: percent, unit, measure word; or the first end of a range.
fn quantity(c: &[char], at: usize, negative: bool) -> Option<Vec<Part>> {
    let n = number_at(c, at)?;
    let range = c.get(n.end).copied().is_some_and(is_range_sign);
    let lower_sign = c.get(n.end + 1) == Some(&'-');
    let upper = if range { number_at(c, n.end + 1 + usize::from(lower_sign)) } else { None };
    let behind = upper.as_ref().map_or(n.end, |u| u.end);
    let unit = unit_at(c, behind);
    let word = c[behind..].iter().find(|&&c| c != ' ');
    let temperature = unit.as_ref().is_some_and(Unit::is_temperature) || word == Some(&'度');
    let minus = match (negative, temperature) {
        (false, _) => "",
        (true, true) => "零下",
        (true, false) => "负",
    };
    let say = |n: &Number, unit: bool| amount(c, at, n, unit, behind);
    let percent = |at: usize| match c.get(at) {
        Some('%') => Some("百分之"),
        Some('‰') => Some("千分之"),
        _ => None,
    };
    if let Some(of) = percent(n.end) {
        let mut parts = vec![Part::new(
            n.end + 1,
            format!("{minus}{of}{}", number::decimal(&n.whole, n.fraction.as_deref())),
        )];
        if c.get(n.end + 1).copied().is_some_and(is_range_sign) && digit_at(c, n.end + 2) {
            parts.push(Part::new(n.end + 2, "至"));
        }
        return Some(parts);
    }
    if let Some(upper) = upper {
        let of = percent(upper.end).unwrap_or("");
        let mut parts = vec![
            Part::new(n.end, format!("{minus}{of}{}", say(&n, unit.is_some()))),
            Part::new(n.end + 1, "至"),
        ];
        let below = match (lower_sign, temperature) {
            (false, _) => "",
            (true, true) => "零下",
            (true, false) => "负",
        };
        let mut end = upper.end + usize::from(!of.is_empty());
        let mut last = format!("{below}{}", say(&upper, unit.is_some()));
        if let Some(unit) = unit {
            last.push_str(unit.zh);
            end = unit.end;
        }
        parts.push(Part::new(end, last));
        return Some(parts);
    }
    let mut end = n.end;
    let mut said = format!("{minus}{}", say(&n, unit.is_some()));
    if let Some(unit) = unit {
        said.push_str(unit.zh);
        end = unit.end;
        if c.get(end).copied().is_some_and(is_range_sign) && digit_at(c, end + 1) {
            return Some(vec![Part::new(end, said), Part::new(end + 1, "至")]);
        }
    }
    Some(vec![Part::new(end, said)])
}

/// The number itself: 两 before what can be counted, cents that are zero left out before 元.
fn amount(c: &[char], at: usize, n: &Number, unit: bool, behind: usize) -> String {
    let ordinal = at.checked_sub(1).is_some_and(|i| "第周期初".contains(c[i]));
    match &n.fraction {
        Some(f) if matches!(c.get(behind), Some('元' | '块')) => {
            let f = f.trim_end_matches('0');
            number::decimal(&n.whole, (!f.is_empty()).then_some(f))
        }
        Some(f) => number::decimal(&n.whole, Some(f)),
        None if !ordinal && (unit || counts(c, behind)) => number::counted(&n.whole),
        None => number::cardinal(&n.whole),
    }
}

/// ¥1,299.00 → 一千二百九十九元, ¥19.90 → 十九元九角, ¥30万 → 三十万元, $5 → 五美元.
fn money(c: &[char], at: usize) -> Option<Vec<Part>> {
    let name = match c[at] {
        '$' => "美元",
        '€' => "欧元",
        '£' => "英镑",
        _ => "元",
    };
    let start = if c.get(at + 1) == Some(&' ') { at + 2 } else { at + 1 };
    let n = number_at(c, start)?;
    if let Some(&big @ ('万' | '亿' | '千')) = c.get(n.end) {
        let amount = n
            .fraction
            .as_deref()
            .map_or_else(|| number::counted(&n.whole), |f| number::decimal(&n.whole, Some(f)));
        return Some(vec![Part::new(n.end + 1, format!("{amount}{big}{name}"))]);
    }
    let upper = c
        .get(n.end)
        .copied()
        .filter(|&s| is_range_sign(s))
        .and_then(|_| number_at(c, n.end + 1 + usize::from(c.get(n.end + 1) == Some(&'¥'))));
    if let Some(upper) = upper {
        return Some(vec![
            Part::new(n.end, number::decimal(&n.whole, n.fraction.as_deref())),
            Part::new(n.end + 1, "至"),
            Part::new(upper.end, number::decimal(&upper.whole, upper.fraction.as_deref()) + name),
        ]);
    }
    let whole = number::counted(&n.whole);
    let cents = n.fraction.as_deref().unwrap_or("").trim_end_matches('0');
    let said = match cents.as_bytes() {
        [] => format!("{whole}{name}"),
        _ if name != "元" || cents.len() > 2 => format!("{}{name}", number::decimal(&n.whole, Some(cents))),
        [jiao] => {
            let jiao = format!("{}角", number::digits(&char::from(*jiao).to_string()));
            if n.whole == "0" { jiao } else { format!("{whole}元{jiao}") }
        }
        [b'0', fen, ..] => format!("{whole}元零{}分", number::digits(&char::from(*fen).to_string())),
        [jiao, fen, ..] => format!(
            "{whole}元{}角{}分",
            number::digits(&char::from(*jiao).to_string()),
            number::digits(&char::from(*fen).to_string())
        ),
    };
    // ¥199元: the word is there already.
    let end = if name == "元" && c.get(n.end) == Some(&'元') { n.end + 1 } else { n.end };
    Some(vec![Part::new(end, said)])
}

/// One character that is no number: letters and Chinese characters as they are, signs by their name or as a pause.
fn sign(c: &[char], at: usize) -> String {
    let before = at.checked_sub(1).map(|i| c[i]);
    let after = c.get(at + 1).copied();
    let latin = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphabetic());
    let alnum = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let han = |c: Option<char>| c.is_some_and(is_han);
    let said = match c[at] {
        ' ' if (latin(before) && latin(after)) || (han(before) && han(after)) => " ",
        ' ' => "",
        s if is_range_sign(s) => {
            let calendar = before.is_some_and(|b| "日号点月年周分度期一二三四五六日天元角里时".contains(b));
            if calendar && (after.is_some_and(is_digit) || matches!(after, Some('周' | '星' | '次'))) {
                "至"
            } else if alnum(before) && alnum(after) {
                " "
            } else if han(before) && han(after) {
                "，"
            } else {
                ""
            }
        }
        '.' if alnum(before) && latin(after) => "点",
        '/' if alnum(before) && alnum(after) => " ",
        '/' => "、",
        '&' => "和",
        '+' if alnum(before) || han(before) => "加",
        '=' => "等于",
        '≥' => "大于等于",
        '≤' => "小于等于",
        '>' if after.is_some_and(is_digit) => "大于",
        '<' if after.is_some_and(is_digit) => "小于",
        '±' => "正负",
        '≈' => "约",
        '×' => "乘",
        '*' if before.is_some_and(is_digit) || before == Some('*') => "星",
        '@' if alnum(before) => "艾特",
        '%' => "百分号",
        '℃' => "度",
        '\'' if latin(before) => "'",
        '（' | '(' => "，",
        '）' | ')' if after.is_some_and(char::is_alphanumeric) => "，",
        other if other.is_alphanumeric() || ",.!?;:，。！？；：、…$€£¥".contains(other) => {
            return other.to_string();
        }
        // Quotes, brackets and the like are not spoken.
        _ => "",
    };
    said.to_owned()
}
