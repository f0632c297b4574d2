//! Times of day: 下午两点半, 上午, 三点到五点, 下班以后, "half past two", "in the afternoon".

mod en;
#[cfg(test)]
mod tests;
mod zh;

use std::ops::Range;

use jiff::civil::Time;

use super::date::days;
use super::meant::{meant, plain, refused};
use super::mend::mend;
use crate::dialogue::text::Lang;

/// A time of day, or the stretch in which any will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// At that time: 下午两点半.
    At(Time),
    /// From the first to the second: 下午 is 12:00 to 18:00, 三点以后 is 15:00 to closing time.
    Between(Time, Time),
}

/// The time that is meant: the last one, and a time before a part of the day. Without a part of the day an hour is taken
/// within opening hours (8:00 to 20:00): 两点 is 14:00, 九点 is 9:00.
pub fn clock(text: &str) -> Option<Clock> {
    let text = mend(&plain(text));
    let now = meant(&text);
    let before = &text[..text.len() - now.len()];
    let said = times(now);
    if said.is_empty() && !days(now).is_empty() {
        // 周三下午三点，不对，周四: only the day was wrong.
        return best(&times(before));
    }
    let meant = best(&said)?;
    let bare = said.iter().all(|s| s.part.is_none());
    match (meant, times(before).iter().rev().find_map(|s| s.part).filter(|_| bare)) {
        // 晚上七点，不对，八点
        (Clock::At(time), Some(part)) => {
            let inherited = part.at(time.hour() % 12, time.minute()).filter(|time| time.hour() >= 6);
            Some(Clock::At(inherited.unwrap_or(time)))
        }
        (meant, _) => Some(meant),
    }
}

fn best(said: &[Said]) -> Option<Clock> {
    let fits = |exact: bool| said.iter().rev().find(|s| !s.refused && s.exact == exact).map(|s| s.clock);
    fits(true).or_else(|| fits(false))
}

/// The time that `text` names, and whether its part of the day was left to guess. `text` is [`plain`].
pub(super) fn told(text: &str) -> Option<(Clock, bool)> {
    let said = times(text);
    let bare = said.iter().all(|s| s.part.is_none());
    best(&said).map(|clock| (clock, bare))
}

/// A time with the bytes that say it.
#[derive(Clone, Debug)]
pub(super) struct Said {
    pub(super) clock: Clock,
    pub(super) span: Range<usize>,
    /// Its part of the day, if that was said.
    pub(super) part: Option<Part>,
    /// An hour was said.
    exact: bool,
    /// Turned down.
    pub(super) refused: bool,
}

/// Opening hours.
const OPEN: i8 = 8;
const CLOSE: i8 = 20;

/// A part of the day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Small,
    Early,
    Morning,
    Noon,
    Afternoon,
    Dusk,
    Evening,
    AfterWork,
    Night,
}

impl Part {
    /// When it begins and ends.
    fn span(self) -> (Time, Time) {
        let (from, to) = match self {
            Self::Small => (0, 6),
            Self::Early => (6, 10),
            Self::Morning => (8, 12),
            Self::Noon => (11, 14),
            Self::Afternoon => (12, 18),
            Self::Dusk => (17, 19),
            Self::Evening => (18, 22),
            Self::AfterWork => (18, CLOSE),
            Self::Night => (22, 23),
        };
        let to = if to == 23 { Time::constant(23, 59, 0, 0) } else { Time::constant(to, 0, 0, 0) };
        (Time::constant(from, 0, 0, 0), to)
    }

    /// `hour` o'clock in it; [`None`] if it has no such hour (上午 and 三点).
    fn at(self, hour: i8, minute: i8) -> Option<Time> {
        use Part::{AfterWork, Afternoon, Dusk, Early, Evening, Morning, Night, Noon, Small};
        let midnight = matches!(hour, 0 | 12 | 24);
        let hour = match self {
            _ if (13..=23).contains(&hour) => hour,
            Small | Night | Evening if midnight => 0,
            Noon | Afternoon if hour == 0 => 12,
            Small if hour <= 6 => hour,
            Evening | Night if hour <= 4 => hour,
            Early | Morning if (4..=12).contains(&hour) => hour,
            Noon if (10..=12).contains(&hour) => hour,
            Afternoon if hour == 12 => hour,
            Small | Night if (9..=11).contains(&hour) => hour + 12,
            Noon if (1..=3).contains(&hour) => hour + 12,
            Afternoon | Dusk if (1..=11).contains(&hour) => hour + 12,
            Evening | AfterWork if (5..=11).contains(&hour) => hour + 12,
            _ => return None,
        };
        Time::new(hour, minute, 0, 0).ok()
    }
}

/// `hour` o'clock without a part of the day.
fn within_opening_hours(hour: i8, minute: i8) -> Option<Time> {
    let hour = match hour {
        1..OPEN => hour + 12,
        24 => 0,
        hour => hour,
    };
    Time::new(hour, minute, 0, 0).ok()
}

/// What a language's reader finds.
#[derive(Clone, Copy, Debug)]
enum Found {
    Part(Part),
    /// As it is said, by twelve or twenty-four.
    Time {
        hour: i8,
        minute: i8,
    },
    /// Surely by twenty-four.
    Exact {
        hour: i8,
        minute: i8,
    },
    /// 两三点
    Either {
        hour: i8,
    },
}

/// What limits a time: 三点以后, "before noon".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Limit {
    After,
    Before,
}

/// The times that `text` names, in order. `text` is [`plain`].
pub(super) fn times(text: &str) -> Vec<Said> {
    let english = Lang::of(text) == Some(Lang::En);
    let found = if english { en::times(text) } else { zh::times(text) };
    let mut said: Vec<Said> = Vec::new();
    let mut part: Option<Part> = None;
    for (i, (found_here, span)) in found.iter().enumerate() {
        let refused = refused(&text[..span.start], &text[span.end..]);
        let (time, later) = match *found_here {
            Found::Part(here) => {
                let gone = refused && !matches!(found.get(i + 1), Some((_, next)) if next.start == span.end);
                part = Some(here).filter(|_| !gone);
                let (from, to) = here.span();
                said.push(Said {
                    clock: Clock::Between(from, to),
                    span: span.clone(),
                    part: Some(here),
                    exact: false,
                    refused,
                });
                continue;
            }
            Found::Time { hour, minute } => ((hour, minute), false),
            Found::Exact { hour, minute } => {
                if let Ok(time) = Time::new(hour % 24, minute, 0, 0) {
                    said.push(Said {
                        clock: Clock::At(time),
                        span: span.clone(),
                        part: None,
                        exact: true,
                        refused,
                    });
                }
                continue;
            }
            Found::Either { hour } => ((hour, 0), true),
        };
        // half past two in the afternoon, 两点下午
        let behind = match found.get(i + 1) {
            Some((Found::Part(behind), next)) if english || next.start == span.end => Some(*behind),
            _ => None,
        };
        let of = part.filter(|part| part.at(time.0, time.1).is_some()).or(behind);
        let at = |(hour, minute): (i8, i8)| {
            of.and_then(|part| part.at(hour, minute)).or_else(|| within_opening_hours(hour, minute))
        };
        let Some(from) = at(time) else { continue };
        let until = if later { at((time.0 + 1, 0)).filter(|until| *until > from) } else { None };
        let clock = until.map_or(Clock::At(from), |until| Clock::Between(from, until));
        let mut time = Said { clock, span: span.clone(), part: of, exact: true, refused };
        // 下午 and 两点 are one.
        if let Some(part) = said.pop_if(|before| !before.exact && before.span.end == span.start) {
            (time.span.start, time.refused) = (part.span.start, refused || part.refused);
        }
        said.push(time);
    }
    let said = ranges(said, text);
    said.into_iter().map(|s| limited(s, text, english)).collect()
}

/// 三点到五点: from the one to the other.
fn ranges(said: Vec<Said>, text: &str) -> Vec<Said> {
    let mut out: Vec<Said> = Vec::with_capacity(said.len());
    for next in said {
        if let Some(first) = out.last_mut()
            && let (Clock::At(from), Clock::At(to)) = (first.clock, next.clock)
        {
            let between = text.get(first.span.end..next.span.start).unwrap_or("?").trim();
            let both = between == "and" && text[..first.span.start].trim_end().ends_with("between");
            if both || matches!(between, "到" | "至" | "-" | "to" | "until" | "till") {
                let later = Time::new(to.hour().saturating_add(12).min(23), to.minute(), 0, 0).unwrap_or(to);
                let to = if to > from { to } else { later };
                if to > from {
                    first.clock = Clock::Between(from, to);
                    first.span.end = next.span.end;
                    first.refused |= next.refused;
                    continue;
                }
            }
        }
        out.push(next);
    }
    out
}

/// 三点以后 is 15:00 to closing time, 十点以前 from opening time.
fn limited(said: Said, text: &str, english: bool) -> Said {
    let Clock::At(time) = said.clock else { return said };
    let limit = if english { en::limit(&text[..said.span.start]) } else { zh::limit(&text[said.span.end..]) };
    let day = |from: i8, to: i8| {
        (
            Time::new(from, 0, 0, 0).unwrap_or(time),
            Time::new(to, if to == 23 { 59 } else { 0 }, 0, 0).unwrap_or(time),
        )
    };
    let clock = match limit {
        Some(Limit::After) => {
            let until = match time.hour() {
                0..5 => OPEN,
                5..CLOSE => CLOSE,
                _ => 23,
            };
            Clock::Between(time, day(0, until).1)
        }
        Some(Limit::Before) => Clock::Between(day(if time.hour() > OPEN { OPEN } else { 0 }, 0).0, time),
        None => said.clock,
    };
    Said { clock, ..said }
}
