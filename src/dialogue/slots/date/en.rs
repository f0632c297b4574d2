//! Days in English.

use std::ops::Range;

use jiff::civil::Weekday;

use super::{Day, Month, Year};
use crate::dialogue::slots::number::{one, small_en, ten};

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
const WEEKDAYS: [(&str, Weekday); 15] = [
    ("monday", Weekday::Monday),
    ("mon", Weekday::Monday),
    ("tuesday", Weekday::Tuesday),
    ("tues", Weekday::Tuesday),
    ("tue", Weekday::Tuesday),
    ("wednesday", Weekday::Wednesday),
    ("wed", Weekday::Wednesday),
    ("thursday", Weekday::Thursday),
    ("thurs", Weekday::Thursday),
    ("thur", Weekday::Thursday),
    ("thu", Weekday::Thursday),
    ("friday", Weekday::Friday),
    ("fri", Weekday::Friday),
    ("saturday", Weekday::Saturday),
    ("sunday", Weekday::Sunday),
];
const ORDINALS: [&str; 20] = [
    "",
    "first",
    "second",
    "third",
    "fourth",
    "fifth",
    "sixth",
    "seventh",
    "eighth",
    "ninth",
    "tenth",
    "eleventh",
    "twelfth",
    "thirteenth",
    "fourteenth",
    "fifteenth",
    "sixteenth",
    "seventeenth",
    "eighteenth",
    "nineteenth",
];

/// The days that `text` names, in order, with their bytes.
pub(super) fn days(text: &str) -> Vec<(Day, Range<usize>)> {
    let words: Vec<&str> = text.split(' ').collect();
    let base = text.as_ptr() as usize;
    let start = |at: usize| words[at].as_ptr() as usize - base;
    let scan = Scan { words: &words };
    let mut out = Vec::new();
    let mut at = 0;
    while at < words.len() {
        match scan.day(at) {
            Some((day, end)) => {
                out.push((day, start(at)..start(end - 1) + words[end - 1].len()));
                at = end;
            }
            None => at += 1,
        }
    }
    out
}

struct Scan<'a> {
    words: &'a [&'a str],
}

impl Scan<'_> {
    fn day(&self, at: usize) -> Option<(Day, usize)> {
        self.named(at)
            .or_else(|| self.weekday(at))
            .or_else(|| self.written(at))
            .or_else(|| self.month_first(at))
            .or_else(|| self.day_first(at))
            .or_else(|| self.in_days(at))
    }

    fn word(&self, at: usize) -> &str {
        self.words.get(at).copied().unwrap_or("")
    }

    fn starts(&self, at: usize, phrase: &str) -> Option<usize> {
        let count = phrase.split(' ').count();
        phrase.split(' ').enumerate().all(|(i, word)| self.word(at + i) == word).then_some(at + count)
    }

    fn named(&self, at: usize) -> Option<(Day, usize)> {
        const NAMED: [(&str, i32); 7] = [
            ("day after tomorrow", 2),
            ("day before yesterday", -2),
            ("today", 0),
            ("tonight", 0),
            ("tomorrow", 1),
            ("tommorow", 1),
            ("yesterday", -1),
        ];
        let ends = [("end of the month", 0), ("end of this month", 0), ("end of next month", 1)];
        let last = |(phrase, months): &(&str, i32)| {
            let day = Day::Calendar { year: None, month: Some(Month::Relative(*months)), day: None };
            self.starts(at, phrase).map(|end| (day, end))
        };
        let named =
            |(phrase, days): &(&str, i32)| self.starts(at, phrase).map(|end| (Day::Relative(*days), end));
        NAMED.iter().find_map(named).or_else(|| ends.iter().find_map(last))
    }

    /// wednesday, next wednesday, wednesday next week.
    fn weekday(&self, at: usize) -> Option<(Day, usize)> {
        let lead = match self.word(at) {
            "next" => Some(1),
            "this" | "coming" => Some(0),
            "last" => Some(-1),
            _ => None,
        };
        let from = at + usize::from(lead.is_some());
        let word = self.word(from);
        let weekend = match word {
            // Verbs and a star, but for these.
            "sat" => Some(Weekday::Saturday),
            "sun" => Some(Weekday::Sunday),
            _ => None,
        };
        let led = lead.is_some() || (at > 0 && self.word(at - 1) == "on");
        let weekday = WEEKDAYS
            .iter()
            .find(|(name, _)| *name == word)
            .map(|(_, day)| *day)
            .or(weekend.filter(|_| led))?;
        let (week, end) = match lead {
            Some(week) => (Some(week), from + 1),
            None => [("next week", 1), ("of next week", 1), ("this week", 0), ("last week", -1)]
                .iter()
                .find_map(|(phrase, week)| self.starts(from + 1, phrase).map(|end| (Some(*week), end)))
                .unwrap_or((None, from + 1)),
        };
        let every = at > 0 && matches!(self.word(at - 1), "every" | "each");
        (!every).then_some((Day::Weekday { week: week.filter(|_| self.word(at) != "coming"), weekday }, end))
    }

    /// 2026-11-25, 11/25.
    fn written(&self, at: usize) -> Option<(Day, usize)> {
        let text = self.word(at);
        let parts: Vec<i16> = text.split(['-', '/']).map(|part| part.parse().ok()).collect::<Option<_>>()?;
        let (year, month, day) = match *parts.as_slice() {
            [year, month, day] if year >= 1900 => (Some(Year::Is(year)), month, day),
            [month, day] if text.contains('/') => (None, month, day),
            _ => return None,
        };
        let valid = (1..=12).contains(&month) && (1..=31).contains(&day);
        let day = Day::Calendar { year, month: Some(Month::Is(month as i8)), day: Some(day as i8) };
        valid.then_some((day, at + 1))
    }

    /// november [the] 25[th], november twenty fifth 2026.
    fn month_first(&self, at: usize) -> Option<(Day, usize)> {
        let month = MONTHS.iter().position(|name| *name == self.word(at))?;
        let the = usize::from(self.word(at + 1) == "the");
        let (day, end) = self.ordinal(at + 1 + the).or_else(|| small_en(self.words, at + 1 + the))?;
        // "it may 5 times": a verb.
        let verb = matches!(MONTHS[month], "may" | "march")
            && (at > 0
                && matches!(
                    self.word(at - 1),
                    "i" | "you" | "it" | "we" | "they" | "he" | "she" | "that" | "car"
                )
                || matches!(self.word(end), "times" | "days" | "hours" | "minutes"));
        if verb || !(1..=31).contains(&day) {
            return None;
        }
        let year = self.word(end).parse::<i16>().ok().filter(|y| (1900..2200).contains(y)).map(Year::Is);
        let stop = end + usize::from(year.is_some());
        let month = Some(Month::Is(month as i8 + 1));
        Some((Day::Calendar { year, month, day: Some(day as i8) }, stop))
    }

    /// [the] 25th [of november | of next month].
    fn day_first(&self, at: usize) -> Option<(Day, usize)> {
        let the = usize::from(self.word(at) == "the");
        let (day, end) = self.ordinal(at + the).or_else(|| {
            // 25 november
            let found = small_en(self.words, at)?;
            MONTHS.contains(&self.word(found.1)).then_some(found)
        })?;
        let of = end + usize::from(self.word(end) == "of");
        let month = MONTHS.iter().position(|name| *name == self.word(of));
        let relative = [("next month", 1), ("this month", 0), ("the month", 0)]
            .iter()
            .find_map(|(phrase, months)| self.starts(of, phrase).map(|end| (*months, end)));
        let valid = (1..=31).contains(&day);
        let day = Some(day as i8);
        let (month, end) = match (month, relative) {
            (Some(month), _) => (Some(Month::Is(month as i8 + 1)), of + 1),
            (None, Some((months, end))) => (Some(Month::Relative(months)), end),
            (None, None) => {
                let digits = self.word(at + the).starts_with(|c: char| c.is_ascii_digit());
                let on = at > 0 && self.word(at - 1) == "on";
                let counted = [
                    "one", "option", "time", "times", "gear", "row", "floor", "car", "street", "avenue",
                    "year",
                ]
                .contains(&self.word(end));
                // "the second" is one of several; "on the second" is a day.
                let few = self.words[at + the..end].len() == 1 && !digits && day < Some(10);
                if counted || (few && !on) || (the == 0 && !digits && !on) {
                    return None;
                }
                (None, end)
            }
        };
        let year = self.word(end).parse::<i16>().ok().filter(|y| (1900..2200).contains(y)).map(Year::Is);
        let year = year.filter(|_| matches!(month, Some(Month::Is(_))));
        valid.then_some((Day::Calendar { year, month, day }, end + usize::from(year.is_some())))
    }

    /// 25th, fifth, twenty fifth.
    fn ordinal(&self, at: usize) -> Option<(u32, usize)> {
        let word = self.word(at);
        let digits = word.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        if !digits.is_empty() && matches!(&word[digits.len()..], "st" | "nd" | "rd" | "th") {
            return digits.parse().ok().filter(|_| digits.len() <= 2).map(|day| (day, at + 1));
        }
        let name =
            |word: &str| ORDINALS.iter().position(|o| *o == word && !o.is_empty()).map(|day| day as u32);
        match word {
            "twentieth" => return Some((20, at + 1)),
            "thirtieth" => return Some((30, at + 1)),
            _ => {}
        }
        if let Some(tens) = ten(word) {
            return name(self.word(at + 1)).filter(|d| *d < 10).map(|unit| (tens + unit, at + 2));
        }
        name(word).map(|day| (day, at + 1))
    }

    /// in three days, two weeks from now.
    fn in_days(&self, at: usize) -> Option<(Day, usize)> {
        let led = self.word(at) == "in";
        let from = at + usize::from(led);
        let (count, end) = match self.word(from) {
            "a" => (1, from + 1),
            word => small_en(self.words, from).filter(|_| one(word).is_some() || word.len() <= 2)?,
        };
        let count = count as i32;
        let day = match self.word(end) {
            "day" | "days" => Day::Relative(count),
            "week" | "weeks" => Day::Relative(7 * count),
            "month" | "months" => Day::Months(count),
            _ => return None,
        };
        let tail = ["from now", "from today"].iter().find_map(|phrase| self.starts(end + 1, phrase));
        match (led, tail) {
            (_, Some(end)) => Some((day, end)),
            (true, None) => Some((day, end + 1)),
            (false, None) => None,
        }
    }
}
