//! Reading numbers in Mandarin.

const DIGITS: [char; 10] = ['零', '一', '二', '三', '四', '五', '六', '七', '八', '九'];

/// Digit by digit, as a year is read: 2026 → 二零二六. Characters other than digits are left out.
pub(super) fn digits(text: &str) -> String {
    text.chars().filter_map(|c| c.to_digit(10)).map(|d| DIGITS[d as usize]).collect()
}

/// Digit by digit with 幺 for 1, as a telephone number is read.
pub(super) fn yao(text: &str) -> String {
    digits(text).replace('一', "幺")
}

/// As a quantity: 10086 → 一万零八十六. Longer than 16 digits: digit by digit.
pub(super) fn cardinal(whole: &str) -> String {
    let whole = whole.trim_start_matches('0');
    if whole.is_empty() {
        return "零".to_owned();
    }
    if whole.len() > 16 {
        return digits(whole);
    }
    let mut out = String::new();
    let mut gap = false;
    let groups: Vec<&str> =
        whole.as_bytes().rchunks(4).rev().filter_map(|g| std::str::from_utf8(g).ok()).collect();
    for (i, group) in groups.iter().enumerate() {
        let power = groups.len() - 1 - i;
        let value: u32 = group.parse().unwrap_or(0);
        if value == 0 {
            gap = true;
            // 一万亿: the 亿 is said although its own four digits are zero.
            if power == 2 && groups.len() == 4 {
                out.push('亿');
            }
            continue;
        }
        if !out.is_empty() && (gap || value < 1000) {
            out.push('零');
        }
        gap = false;
        under_ten_thousand(value, out.is_empty(), power > 0, &mut out);
        out.push_str(["", "万", "亿", "万"][power.min(3)]);
    }
    out
}

/// A quantity before a measure word: 2 → 两.
pub(super) fn counted(whole: &str) -> String {
    if whole.trim_start_matches('0') == "2" { "两".to_owned() } else { cardinal(whole) }
}

/// With its fraction: 3.14 → 三点一四.
pub(super) fn decimal(whole: &str, fraction: Option<&str>) -> String {
    match fraction {
        Some(fraction) => format!("{}点{}", cardinal(whole), digits(fraction)),
        None => cardinal(whole),
    }
}

/// `leads`: nothing stands before it, so 10 is 十. `named`: 万 or 亿 follows, so 2 is 两.
fn under_ten_thousand(value: u32, leads: bool, named: bool, out: &mut String) {
    let group = [(1000, "千"), (100, "百"), (10, "十"), (1, "")];
    let mut started = false;
    let mut zero = false;
    for (unit, name) in group {
        let digit = (value / unit % 10) as usize;
        if digit == 0 {
            zero = started;
            continue;
        }
        if zero {
            out.push('零');
            zero = false;
        }
        match (digit, unit) {
            (1, 10) if !started && leads => {}
            (2, 1000) => out.push('两'),
            (2, 100) if !started => out.push('两'),
            (2, 1) if value == 2 && named => out.push('两'),
            _ => out.push(DIGITS[digit]),
        }
        out.push_str(name);
        started = true;
    }
}
