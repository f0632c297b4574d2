//! Hours as they are written: `"09:00-12:00"`, `"22:00-06:00"`, `"closed"`, `"as sun"`.

use std::fmt;

use jiff::civil::Weekday;

/// In a day.
pub(super) const MINUTES: u16 = 24 * 60;

/// From and to, in minutes of the day on which it begins; `to` is in `from + 1 ..= from + 1439`, or the whole day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Range {
    pub from: u16,
    pub to: u16,
}

/// The hours of a kind of day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// Those of its weekday.
    Usual,
    /// None.
    Closed,
    /// Those of another weekday.
    As(Weekday),
    /// These.
    Hours(Vec<Range>),
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let to = if self.to == MINUTES { MINUTES } else { self.to % MINUTES };
        write!(f, "{:02}:{:02}-{:02}:{:02}", self.from / 60, self.from % 60, to / 60, to % 60)
    }
}

impl Range {
    fn parse(text: &str) -> Result<Self, String> {
        let example = "write for example \"09:00-18:00\", or \"22:00-06:00\" for hours that cross midnight";
        let (from, to) =
            text.split_once(['-', '–']).ok_or_else(|| format!("\"{text}\" has no `-`: {example}"))?;
        let time = |text: &str| {
            minute(text.trim()).ok_or_else(|| {
                format!("\"{}\" is no time of day from 00:00 to 24:00: {example}", text.trim())
            })
        };
        let (from, to) = (time(from)?, time(to)?);
        if from == MINUTES {
            return Err(format!(
                "\"{text}\" begins at the end of its day: give it to the next day, from 00:00"
            ));
        }
        if from == to {
            return Err(format!(
                "\"{text}\" begins and ends at the same time: for all day write \"00:00-24:00\""
            ));
        }
        Ok(Self { from, to: if to < from { to + MINUTES } else { to } })
    }
}

/// `08:30`, in minutes; 24:00 is the end of the day.
fn minute(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let digits = |text: &str, longest: usize| {
        (!text.is_empty() && text.len() <= longest && text.bytes().all(|b| b.is_ascii_digit()))
            .then(|| text.parse::<u16>().ok())
            .flatten()
    };
    let (hour, minute) = (digits(hour, 2)?, digits(minute, 2).filter(|_| minute.len() == 2)?);
    (minute < 60).then_some(hour * 60 + minute).filter(|&all| all <= MINUTES)
}

/// A list of hours, sorted, none over another; or `"closed"`.
pub(super) fn ranges(value: &toml::Value) -> Result<Vec<Range>, String> {
    let list = match value {
        toml::Value::String(word) if word == "closed" => return Ok(Vec::new()),
        toml::Value::Array(list) if !list.is_empty() => list,
        _ => return Err("write a list of hours, [\"09:00-12:00\", \"13:00-18:00\"], or \"closed\"".into()),
    };
    let mut ranges = Vec::new();
    for item in list {
        let text = item.as_str().ok_or_else(|| format!("{item} is not a text: write \"09:00-18:00\""))?;
        ranges.push(Range::parse(text)?);
    }
    ranges.sort_unstable();
    match ranges.windows(2).find(|pair| pair[1].from < pair[0].to) {
        Some(pair) => {
            Err(format!("{} and {} overlap: make one of them end where the other begins", pair[0], pair[1]))
        }
        None => Ok(ranges),
    }
}

/// The rule of a kind of day.
pub(super) fn rule(value: &toml::Value) -> Result<Rule, String> {
    let Some(word) = value.as_str() else { return ranges(value).map(Rule::Hours) };
    match word {
        "closed" => Ok(Rule::Closed),
        "as usual" => Ok(Rule::Usual),
        _ => word.strip_prefix("as ").and_then(weekday).map(Rule::As).ok_or_else(|| {
            format!("\"{word}\" is not known: write \"closed\", \"as usual\", \"as mon\" … \"as sun\", or a list of hours")
        }),
    }
}

/// The days of `mon` … `sun`, from Monday.
const NAMES: [(&str, Weekday); 7] = [
    ("mon", Weekday::Monday),
    ("tue", Weekday::Tuesday),
    ("wed", Weekday::Wednesday),
    ("thu", Weekday::Thursday),
    ("fri", Weekday::Friday),
    ("sat", Weekday::Saturday),
    ("sun", Weekday::Sunday),
];

fn weekday(name: &str) -> Option<Weekday> {
    NAMES.iter().find(|(known, _)| *known == name).map(|(_, day)| *day)
}

/// `sat`, `mon-fri`, `fri-mon`: weekdays from Monday as 0, in order.
pub(super) fn weekdays(text: &str) -> Result<Vec<usize>, String> {
    let place = |name: &str| {
        NAMES.iter().position(|(known, _)| *known == name).ok_or_else(|| {
            format!(
                "`{text}` is no weekday: write mon, tue, wed, thu, fri, sat, sun or a range such as mon-fri"
            )
        })
    };
    match text.split_once('-') {
        None => Ok(vec![place(text)?]),
        Some((first, last)) => {
            let (first, last) = (place(first)?, place(last)?);
            Ok((0..=(last + 7 - first) % 7).map(|n| (first + n) % 7).collect())
        }
    }
}
