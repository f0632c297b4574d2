//! Days: 明天, 下周三, 二十五号, 十一月二十五, 三天后, "next Wednesday", "the 25th of November".

mod en;
#[cfg(test)]
mod tests;
mod zh;

use std::ops::Range;

use jiff::civil::{Date, Weekday};

use super::clock::times;
use super::meant::{meant, plain, refused};
use super::mend::mend;
use crate::dialogue::text::Lang;

/// The last date that is meant (不是周三，是周四 is Thursday), counted from `today`. A weekday or a day of the month is the
/// next one that is not past; 下周 begins on Monday. [`None`] without a date, for a span (周一到周五, 周末, 过几天), and for a
/// day that was only turned down (周三不行). 月底 is the last day of the month.
pub fn date(text: &str, today: Date) -> Option<Date> {
    let text = mend(&plain(text));
    let now = meant(&text);
    let before = &text[..text.len() - now.len()];
    let said = join(days(now), now, today);
    let earlier = || join(days(before), before, today);
    if said.is_empty() && !times(now).is_empty() {
        // 周三下午三点，不对，四点: only the time was wrong.
        return last(&earlier(), today);
    }
    if before.is_empty() {
        return last(&said, today);
    }
    let correction = said.iter().rev().find(|s| !s.refused)?;
    resolve(inherit(correction.day, &earlier()), today)
}

fn last(said: &[Said], today: Date) -> Option<Date> {
    said.iter().rev().find(|s| !s.refused).and_then(|s| resolve(s.day, today))
}

/// 下周三不对周四: Thursday of next week. 十二月五号不对六号: of December.
fn inherit(day: Day, earlier: &[Said]) -> Day {
    match (day, earlier.last().map(|s| s.day)) {
        (Day::Weekday { week: None, weekday }, Some(Day::Weekday { week, .. })) => {
            Day::Weekday { week, weekday }
        }
        (Day::Calendar { month: None, day, .. }, Some(Day::Calendar { year, month, .. })) => {
            Day::Calendar { year, month, day }
        }
        (day, _) => day,
    }
}

/// A day as it was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Day {
    /// Days from today.
    Relative(i32),
    /// Months from today.
    Months(i32),
    /// Of the week that is so many after this one, if that was said.
    Weekday { week: Option<i32>, weekday: Weekday },
    /// `day`: [`None`] is the last of the month.
    Calendar { year: Option<Year>, month: Option<Month>, day: Option<i8> },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Year {
    /// Years from this one.
    Relative(i16),
    Is(i16),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Month {
    /// Months from this one.
    Relative(i32),
    Is(i8),
}

/// A day with the bytes that say it.
#[derive(Clone, Debug)]
pub(super) struct Said {
    pub(super) day: Day,
    pub(super) span: Range<usize>,
    /// Turned down, or one end of a span.
    pub(super) refused: bool,
}

/// The days that `text` names, in order. `text` is [`plain`].
pub(super) fn days(text: &str) -> Vec<Said> {
    let found = if Lang::of(text) == Some(Lang::En) { en::days(text) } else { zh::days(text) };
    let mut said: Vec<Said> = found
        .into_iter()
        .map(|(day, span)| {
            let refused = refused(&text[..span.start], &text[span.end..]);
            Said { day, span, refused }
        })
        .collect();
    for i in 1..said.len() {
        let between = text[said[i - 1].span.end..said[i].span.start].trim();
        if matches!(between, "到" | "至" | "-" | "to" | "until" | "till" | "through") {
            (said[i - 1].refused, said[i].refused) = (true, true);
        }
    }
    said
}

/// 明天，十一月二十五号周三 is one day: what stands beside another and says the same goes with it.
fn join(said: Vec<Said>, text: &str, today: Date) -> Vec<Said> {
    let mut out: Vec<Said> = Vec::with_capacity(said.len());
    for next in said {
        let Some(before) = out.last_mut() else {
            out.push(next);
            continue;
        };
        let between = text.get(before.span.end..next.span.start).unwrap_or("?").trim();
        let beside =
            matches!(between, "" | "的" | "是" | "就是" | "也就是" | "那个" | "the" | "on" | "that is");
        let bare = |day: Day| matches!(day, Day::Weekday { week: None, .. });
        let calendar = |day: Day| matches!(day, Day::Calendar { .. });
        let kept = match (before.day, next.day) {
            _ if !beside => None,
            (day, weekday) if calendar(day) && bare(weekday) => Some(day),
            (weekday, day) if calendar(day) && bare(weekday) => Some(day),
            (a, b) if (bare(a) || calendar(a)) && fits(a, b, today) => Some(b),
            (a, b) if (bare(b) || calendar(b)) && fits(b, a, today) => Some(a),
            _ => None,
        };
        match kept {
            Some(day) => {
                before.day = day;
                before.span.end = next.span.end;
                before.refused |= next.refused;
            }
            None => out.push(next),
        }
    }
    out
}

/// True if the date of `day` has all that `pattern` says.
fn fits(pattern: Day, day: Day, today: Date) -> bool {
    let Some(date) = resolve(day, today) else { return false };
    match pattern {
        Day::Weekday { week: None, weekday } => date.weekday() == weekday,
        Day::Calendar { year: None, month, day: Some(day) } => {
            date.day() == day && month.is_none_or(|month| month == Month::Is(date.month()))
        }
        _ => resolve(pattern, today) == Some(date),
    }
}

fn resolve(day: Day, today: Date) -> Option<Date> {
    let plus_days = |date: Date, days: i32| date.checked_add(jiff::Span::new().try_days(days).ok()?).ok();
    let plus_months =
        |date: Date, months: i32| date.checked_add(jiff::Span::new().try_months(months).ok()?).ok();
    match day {
        Day::Relative(days) => plus_days(today, days),
        Day::Months(months) => plus_months(today, months),
        Day::Weekday { week, weekday } => {
            let now = i32::from(today.weekday().to_monday_zero_offset());
            let ahead = i32::from(weekday.to_monday_zero_offset()) - now;
            // 这周三 on a Friday: it can only be the next.
            let weeks = match week.unwrap_or(0) {
                0 => i32::from(ahead < 0),
                weeks => weeks,
            };
            plus_days(today, ahead + 7 * weeks)
        }
        Day::Calendar { year, month, day } => {
            let first = today.first_of_month();
            let of = |month: Date| {
                day.map_or(Some(month.last_of_month()), |day| {
                    Date::new(month.year(), month.month(), day).ok()
                })
            };
            let named = |year: i16, month: i8| Date::new(year, month, 1).ok();
            let year = year.and_then(|year| match year {
                Year::Is(year) => Some(year),
                Year::Relative(years) => today.year().checked_add(years),
            });
            match (year, month) {
                (Some(year), Some(Month::Is(month))) => named(year, month).and_then(of),
                (None, Some(Month::Is(month))) => (0..=8)
                    .filter_map(|years| named(today.year().checked_add(years)?, month))
                    .filter_map(of)
                    .find(|date| *date >= today),
                (_, Some(Month::Relative(months))) => plus_months(first, months).and_then(of),
                (_, None) => (0..=2)
                    .filter_map(|months| plus_months(first, months))
                    .filter_map(of)
                    .find(|date| *date >= today),
            }
        }
    }
}
