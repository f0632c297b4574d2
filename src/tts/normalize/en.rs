//! English: signs, units, dates and telephone numbers. The English voice reads plain numbers, decimals and times itself.

use super::units::unit_at;
use super::{Part, is_range_sign, number_at, run};

pub(crate) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// What to say from `at` on: at least one part.
pub(super) fn parts(c: &[char], at: usize) -> Vec<Part> {
    date(c, at)
        .or_else(|| phone(c, at))
        .or_else(|| money(c, at))
        .or_else(|| number(c, at))
        .unwrap_or_else(|| vec![other(c, at)])
}

fn text(c: &[char], from: usize, to: usize) -> String {
    c[from..to].iter().collect()
}

fn after_word(c: &[char], at: usize) -> bool {
    at > 0 && c[at - 1].is_ascii_alphanumeric()
}

/// 2026-10-08 or 2026/10/8 → October 8, 2026.
fn date(c: &[char], at: usize) -> Option<Vec<Part>> {
    let is_digit = |c: char| c.is_ascii_digit();
    let year = run(c, at, is_digit);
    if after_word(c, at) || year != at + 4 || !matches!(c.get(year), Some('-' | '/')) {
        return None;
    }
    let month = run(c, year + 1, is_digit);
    if c.get(month) != c.get(year) {
        return None;
    }
    let day = run(c, month + 1, is_digit);
    let m: usize = text(c, year + 1, month).parse().ok()?;
    let d: usize = text(c, month + 1, day).parse().ok()?;
    let name = MONTHS.get(m.checked_sub(1)?)?;
    (1..=31).contains(&d).then(|| vec![Part::new(day, format!("{name} {d}, {}", text(c, at, year)))])
}

/// Seven digits or more, with spaces or hyphens: digit by digit, a comma between the groups.
fn phone(c: &[char], at: usize) -> Option<Vec<Part>> {
    if after_word(c, at) || !c[at].is_ascii_digit() {
        return None;
    }
    let mut end = run(c, at, |c| c.is_ascii_digit());
    while matches!(c.get(end), Some('-' | ' ')) {
        let next = run(c, end + 1, |c| c.is_ascii_digit());
        if next < end + 4 {
            break;
        }
        end = next;
    }
    let groups = text(c, at, end);
    let service = end - at == 5 && (groups.starts_with("100") || groups.starts_with("95"));
    if (groups.chars().filter(char::is_ascii_digit).count() < 7 && !service)
        || c.get(end).is_some_and(|&c| c == '.' || c == ',')
            && c.get(end + 1).is_some_and(char::is_ascii_digit)
    {
        return None;
    }
    let spaced: Vec<String> =
        groups.split(['-', ' ']).map(|g| g.chars().map(String::from).collect::<Vec<_>>().join(" ")).collect();
    Some(vec![Part::new(end, spaced.join(", "))])
}

fn money(c: &[char], at: usize) -> Option<Vec<Part>> {
    let name = match c[at] {
        '¥' => "yuan",
        '$' => "dollars",
        '€' => "euros",
        '£' => "pounds",
        _ => return None,
    };
    let n = number_at(c, at + 1)?;
    let cents =
        n.fraction.filter(|f| f.bytes().any(|b| b != b'0')).map(|f| format!(".{f}")).unwrap_or_default();
    Some(vec![Part::new(n.end, format!("{}{cents} {name}", n.whole))])
}

fn number(c: &[char], at: usize) -> Option<Vec<Part>> {
    let negative = c[at] == '-' && !after_word(c, at);
    let start = at + usize::from(negative);
    let n = number_at(c, start)?;
    if after_word(c, at) && !negative {
        return Some(vec![Part::new(n.end, text(c, start, n.end))]);
    }
    let sign = if negative { "minus " } else { "" };
    let mut said = format!("{sign}{}{}", n.whole, n.fraction.map(|f| format!(".{f}")).unwrap_or_default());
    let mut end = n.end;
    if c.get(end) == Some(&'%') {
        said.push_str(" percent");
        end += 1;
    } else if let Some(unit) = unit_at(c, end) {
        said.push(' ');
        said.push_str(unit.en);
        end = unit.end;
    }
    let mut parts = vec![Part::new(end, said)];
    if c.get(end).is_some_and(|&c| is_range_sign(c)) && c.get(end + 1).is_some_and(char::is_ascii_digit) {
        parts.push(Part::new(end + 1, " to "));
    }
    Some(parts)
}

fn other(c: &[char], at: usize) -> Part {
    let say = match c[at] {
        '&' => " and ",
        '@' => " at ",
        '+' => " plus ",
        '=' => " equals ",
        '~' | '～' | '*' | '_' | '"' | '“' | '”' | '(' | ')' | '[' | ']' | '#' | '<' | '>' | '`' => "",
        other => return Part::new(at + 1, other),
    };
    Part::new(at + 1, say)
}
