//! Times of day in English.

use std::ops::Range;

use super::{Found, Limit, Part};
use crate::dialogue::slots::number::{one, small_en, ten};

/// What is found, with its bytes.
pub(super) fn times(text: &str) -> Vec<(Found, Range<usize>)> {
    let words: Vec<&str> = text.split(' ').collect();
    let base = text.as_ptr() as usize;
    let start = |at: usize| words[at].as_ptr() as usize - base;
    let scan = Scan { words: &words };
    let mut out: Vec<(Found, Range<usize>)> = Vec::new();
    let mut at = 0;
    while at < words.len() {
        if let Some((found, end)) = scan.part(at).or_else(|| scan.time(at)) {
            out.push((found, start(at)..start(end - 1) + words[end - 1].len()));
            at = end;
        } else {
            at += 1;
        }
    }
    out
}

/// "after" or "before" in front of a time.
pub(super) fn limit(before: &str) -> Option<Limit> {
    let mut words = before.trim_end().rsplit(' ');
    let last = words.next().unwrap_or("");
    let last = if matches!(last, "about" | "around" | "like") { words.next().unwrap_or("") } else { last };
    match last {
        "after" | "from" | "past" => Some(Limit::After),
        "before" | "by" | "until" | "till" => Some(Limit::Before),
        _ => None,
    }
}

struct Scan<'a> {
    words: &'a [&'a str],
}

impl Scan<'_> {
    fn word(&self, at: usize) -> &str {
        self.words.get(at).copied().unwrap_or("")
    }

    fn before(&self, at: usize) -> &str {
        at.checked_sub(1).map_or("", |i| self.words[i])
    }

    fn part(&self, at: usize) -> Option<(Found, usize)> {
        let part = match self.word(at) {
            "morning" => Part::Morning,
            "afternoon" => Part::Afternoon,
            "evening" | "tonight" => Part::Evening,
            "lunchtime" => Part::Noon,
            "noon" | "midday" => return Some((Found::Exact { hour: 12, minute: 0 }, at + 1)),
            "midnight" => return Some((Found::Exact { hour: 0, minute: 0 }, at + 1)),
            "lunch" if self.word(at + 1) == "time" => return Some((Found::Part(Part::Noon), at + 2)),
            "after" if self.word(at + 1) == "work" => return Some((Found::Part(Part::AfterWork), at + 2)),
            "after" if self.word(at + 1) == "noon" => return Some((Found::Part(Part::Afternoon), at + 2)),
            _ => return None,
        };
        (self.before(at) != "good").then_some((Found::Part(part), at + 1))
    }

    fn time(&self, at: usize) -> Option<(Found, usize)> {
        self.past(at).or_else(|| self.digital(at)).or_else(|| self.hour(at))
    }

    /// half past two, a quarter to three, ten past five.
    fn past(&self, at: usize) -> Option<(Found, usize)> {
        let at = at + usize::from(self.word(at) == "a" && self.word(at + 1) == "quarter");
        let (minutes, from) = match self.word(at) {
            "half" => (30, at + 1),
            "quarter" => (15, at + 1),
            _ => small_en(self.words, at)
                .filter(|(m, _)| matches!(m, 1..=29))
                .map(|(m, end)| (m as i8, end))?,
        };
        let from = from + usize::from(self.word(from) == "minutes");
        let to = match self.word(from) {
            "past" | "after" => false,
            "to" | "before" => true,
            _ => return None,
        };
        // "from two to four" is a span; "ten to four" is a time.
        let minutes_said = matches!(self.word(at), "half" | "quarter") || matches!(minutes, 5 | 10 | 20 | 25);
        let span =
            matches!(self.before(at), "from" | "between") || (to && !minutes_said) || (to && minutes == 30);
        let (hour, end) = small_en(self.words, from + 1).filter(|(hour, _)| (1..=12).contains(hour))?;
        if span || self.word(at).starts_with(|c: char| c.is_ascii_digit()) && self.word(from) == "to" {
            return None;
        }
        let hour = hour as i8;
        let hour = if to { if hour == 1 { 12 } else { hour - 1 } } else { hour };
        let minute = if to { 60 - minutes } else { minutes };
        Some(self.halved(hour, minute, end))
    }

    /// 2:30, 2.30 pm, 14:30.
    fn digital(&self, at: usize) -> Option<(Found, usize)> {
        let word = self.word(at);
        let body = word.trim_end_matches("am").trim_end_matches("pm");
        let (hour, minute) = body.split_once([':', '.'])?;
        let dotted = body.contains('.');
        let (hour, minute) =
            (hour.parse::<i8>().ok()?, (minute.len() == 2).then(|| minute.parse::<i8>().ok())??);
        let (found, end) = self.halved_word(hour, minute, at + 1, &word[body.len()..]);
        let said =
            end > at + 1 || body.len() < word.len() || matches!(self.before(at), "at" | "around" | "about");
        ((0..=24).contains(&hour) && (0..60).contains(&minute) && (!dotted || said)).then_some((found, end))
    }

    /// two pm, two thirty, 2 o'clock, at two.
    fn hour(&self, at: usize) -> Option<(Found, usize)> {
        let word = self.word(at);
        let body = word.trim_end_matches("am").trim_end_matches("pm");
        let glued = &word[body.len()..];
        let hour =
            one(body).or_else(|| body.parse().ok().filter(|_| body.len() <= 2)).or_else(|| ten(body))?;
        let mut from = at + 1;
        let mut hour = hour as i8;
        if hour == 20
            && !body.starts_with('2')
            && let Some(unit) = one(self.word(from)).filter(|u| (1..=4).contains(u))
        {
            (hour, from) = (20 + unit as i8, from + 1);
        }
        if hour > 24 {
            return None;
        }
        let minute = self.minute(from);
        let (minutes, after) = minute.unwrap_or((0, from));
        let oclock = match (self.word(after), self.word(after + 1)) {
            ("oclock", _) => after + 1,
            ("o", "clock") => after + 2,
            _ => after,
        };
        let (found, end) = self.halved_word(hour, minutes, oclock, glued);
        let told = oclock > after || end > oclock || !glued.is_empty();
        let counts = [
            "days",
            "day",
            "weeks",
            "week",
            "months",
            "month",
            "years",
            "year",
            "hours",
            "hour",
            "minutes",
            "minute",
            "km",
            "kilometers",
            "kilometres",
            "miles",
            "percent",
            "people",
            "times",
            "of",
            "per",
            "cars",
            "tyres",
            "tires",
            "thousand",
            "hundred",
            "point",
        ];
        let counted = counts.contains(&self.word(end)) || self.word(end).starts_with('%');
        let led = matches!(
            self.before(at),
            "at" | "around"
                | "about"
                | "by"
                | "before"
                | "after"
                | "till"
                | "until"
                | "from"
                | "between"
                | "to"
                | "and"
        );
        let led = led
            && (!matches!(self.before(at), "to" | "and" | "about") || self.in_span(at) || minute.is_some());
        // two in the afternoon, nine tomorrow
        let in_the = self.word(end) == "in" && self.word(end + 1) == "the" && self.part(end + 2).is_some();
        let placed = in_the || matches!(self.word(end), "tomorrow" | "today" | "tonight");
        let whole = end - at == self.words.len();
        // Digits of a number, and twenty of anything.
        let spelt = |word: &str| one(word).is_some_and(|d| d < 10);
        let listed = spelt(self.before(at)) || spelt(self.word(end)) || self.word(end) == "and" && hour > 12;
        let led = led && (hour <= 12 || minute.is_some());
        (!listed)
            .then_some(())
            .filter(|()| {
                (told
                    || ((led
                        || whole
                        || placed
                        || (minute.is_some() && minutes % 5 == 0 && self.word(from) != "zero"))
                        && !counted))
                    && hour >= 1
            })
            .map(|()| (found, end))
    }

    /// Behind "to" or "and" of "from two to four", "between two and four".
    fn in_span(&self, at: usize) -> bool {
        at >= 3 && matches!(self.words[at - 3], "from" | "between")
            || at >= 4 && matches!(self.words[at - 4], "from" | "between")
    }

    /// thirty, fifteen, oh five.
    fn minute(&self, at: usize) -> Option<(i8, usize)> {
        if matches!(self.word(at), "oh" | "o" | "zero") {
            return one(self.word(at + 1)).filter(|m| (1..10).contains(m)).map(|m| (m as i8, at + 2));
        }
        let (minute, end) = small_en(self.words, at).filter(|(m, _)| (10..60).contains(m))?;
        let digits = self.word(at).starts_with(|c: char| c.is_ascii_digit());
        (!digits || self.word(at).len() == 2).then_some((minute as i8, end))
    }

    fn halved(&self, hour: i8, minute: i8, end: usize) -> (Found, usize) {
        self.halved_word(hour, minute, end, "")
    }

    /// With "am" or "pm", glued to the number or behind it.
    fn halved_word(&self, hour: i8, minute: i8, end: usize, glued: &str) -> (Found, usize) {
        let (half, end) = match (glued, self.word(end), self.word(end + 1)) {
            ("am" | "pm", _, _) => (glued, end),
            (_, "am", _) => ("am", end + 1),
            (_, "pm", _) => ("pm", end + 1),
            (_, "a", "m") => ("am", end + 2),
            (_, "p", "m") => ("pm", end + 2),
            _ => ("", end),
        };
        let found = match (half, hour) {
            ("pm", 1..=11) => Found::Exact { hour: hour + 12, minute },
            ("am", 12) => Found::Exact { hour: 0, minute },
            ("am" | "pm", _) => Found::Exact { hour, minute },
            _ => Found::Time { hour, minute },
        };
        (found, end)
    }
}
