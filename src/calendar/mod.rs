//! When people answer: hours by weekday, public holidays with their make-up workdays, special days, in any time zone.
//!
//! A [`Calendar`] is read from a tenant's `calendar.toml` and reads no clock: [`Calendar::check`] is told the moment. The hours of
//! a day are those of the first that speaks of it: a special day, a public holiday or make-up workday, the weekday. Hours that
//! cross midnight belong to the day on which they begin.

mod file;
pub mod holidays;
mod hours;
#[cfg(test)]
mod moon;
#[cfg(test)]
mod tests;
mod words;

use std::collections::BTreeMap;

use jiff::civil::{Date, DateTime, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _, Zoned};

use self::holidays::{Holiday, Holidays, Kind};
use self::hours::{MINUTES, Range, Rule};
use crate::dialogue::source::{self, Source};
use crate::dialogue::text::Lang;

pub use self::holidays::Certainty;
pub use self::words::weekday;

/// The file in a tenant's folder.
pub const FILE: &str = "calendar.toml";
/// How far ahead an opening or a closing is looked for: over a year with its holidays.
const HORIZON_DAYS: i32 = 400;

/// When people answer.
#[derive(Clone, Debug)]
pub struct Calendar {
    zone: TimeZone,
    zone_name: String,
    country: Option<String>,
    schedules: Vec<Schedule>,
    specials: Vec<Special>,
    holidays: Holidays,
}

/// Hours that belong together: those of the seats, those of whoever is on call.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// How it is asked for.
    pub id: String,
    /// What it is called in Chinese.
    pub name: String,
    /// What it is called in English, with its article.
    pub name_en: String,
    /// From Monday.
    week: [Vec<Range>; 7],
    holiday: Rule,
    makeup: Rule,
}

/// A day with hours of its own, in one year or in each.
#[derive(Clone, Debug)]
struct Special {
    name: String,
    name_en: String,
    days: Days,
    /// By the schedule's id; schedules that are not here keep their usual hours.
    hours: BTreeMap<String, Rule>,
}

/// First and last day.
#[derive(Clone, Copy, Debug)]
enum Days {
    Once(Date, Date),
    /// Month and day, each year.
    Yearly((i8, i8), (i8, i8)),
}

/// What a day is to a schedule.
#[derive(Clone, Debug)]
pub struct Day<'a> {
    /// Which.
    pub date: Date,
    /// What kind of day, by the rule that decides.
    pub kind: DayKind<'a>,
    /// The weekday whose hours hold instead of its own.
    pub like: Option<Weekday>,
    /// Whether the public holidays of its year are known.
    pub certainty: Certainty,
    ranges: &'a [Range],
}

/// A kind of day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DayKind<'a> {
    /// None of the others.
    Ordinary,
    /// A public holiday.
    Holiday(&'a Holiday),
    /// A weekend day that is worked for a holiday.
    MakeUp(&'a Holiday),
    /// A special day of the tenant: its names in Chinese and English.
    Special(&'a str, &'a str),
}

/// Whether a schedule is open at a moment, and why.
#[derive(Clone, Debug)]
pub struct Opening {
    /// The schedule's id.
    pub schedule: String,
    /// The moment, in the calendar's zone.
    pub at: Zoned,
    /// Whether people answer.
    pub open: bool,
    /// If open: since when, as far back as the day before.
    pub since: Option<Zoned>,
    /// If open: until when; [`None`] if it does not close within 400 days.
    pub until: Option<Zoned>,
    /// When it opens for the next time, after `until` if it is open now; [`None`] if it does not within 400 days.
    pub next: Option<Zoned>,
    /// True if the answer rests on a year whose public holidays are provisional or missing.
    pub provisional: bool,
    /// All that in words.
    pub why: Why,
}

/// An explanation for people who read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Why {
    /// In Chinese.
    pub zh: String,
    /// In English.
    pub en: String,
}

/// Why there is no calendar, or no answer from it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file is wrong.
    #[error("{file}:{line}: {problem}")]
    File {
        /// Which.
        file: String,
        /// Line from 1.
        line: usize,
        /// What is wrong and what would be right.
        problem: String,
    },
    /// A file cannot be read.
    #[error(transparent)]
    Source(#[from] source::Error),
    /// No such schedule.
    #[error("the calendar has no schedule `{name}`; it has: {known}")]
    NoSchedule {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
}

impl Calendar {
    /// The calendar of the tenant in `source`; [`None`] if it has none.
    pub fn load(source: &Source) -> Result<Option<Self>, Error> {
        if !source.list("", "toml")?.iter().any(|file| file == FILE) {
            return Ok(None);
        }
        let mut own = Vec::new();
        for file in source.list("holidays", "toml")? {
            own.push((source.show(&file), source.read(&file)?));
        }
        Self::parse(&source.show(FILE), &source.read(FILE)?, &own).map(Some)
    }

    /// The calendar written in `text`, called `file` in errors. `own` are holiday files, name and text, that take the place of
    /// the embedded ones.
    pub fn parse(file: &str, text: &str, own: &[(String, String)]) -> Result<Self, Error> {
        file::parse(file, text, own)
    }

    /// Its schedules, in the order of the file; at least one.
    pub fn schedules(&self) -> &[Schedule] {
        &self.schedules
    }

    /// The name of its zone (`Asia/Shanghai`).
    pub fn zone_name(&self) -> &str {
        &self.zone_name
    }

    /// Its zone.
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// The public holidays it goes by; none if it names no country.
    pub fn holidays(&self) -> &Holidays {
        &self.holidays
    }

    /// Whether the public holidays of `year` are known; [`Certainty::Final`] if it goes by none.
    pub fn certainty(&self, year: i16) -> Certainty {
        if self.country.is_some() { self.holidays.certainty(year) } else { Certainty::Final }
    }

    /// What `date` is to `schedule`.
    pub fn day<'a>(&'a self, schedule: &'a Schedule, date: Date) -> Day<'a> {
        let certainty = self.certainty(date.year());
        let ordinary = |weekday: Weekday| schedule.week[week_index(weekday)].as_slice();
        let (kind, rule) = self.rule(schedule, date);
        let (like, ranges) = match rule {
            Rule::Usual => (None, ordinary(date.weekday())),
            Rule::Closed => (None, &[][..]),
            Rule::As(weekday) => (Some(*weekday), ordinary(*weekday)),
            Rule::Hours(ranges) => (None, ranges.as_slice()),
        };
        Day { date, kind, like, certainty, ranges }
    }

    fn rule<'a>(&'a self, schedule: &'a Schedule, date: Date) -> (DayKind<'a>, &'a Rule) {
        let special = |once: bool| {
            self.specials
                .iter()
                .filter(move |special| matches!(special.days, Days::Once(..)) == once)
                .filter(|special| special.days.contain(date))
                .find_map(|special| Some((special, special.hours.get(&schedule.id)?)))
        };
        // What is said of one year is meant more exactly than what is said of all.
        if let Some((special, rule)) = special(true).or_else(|| special(false)) {
            return (DayKind::Special(&special.name, &special.name_en), rule);
        }
        match self.holidays.day(date) {
            Some((Kind::Off, holiday)) => (DayKind::Holiday(holiday), &schedule.holiday),
            Some((Kind::Work, holiday)) => (DayKind::MakeUp(holiday), &schedule.makeup),
            None => (DayKind::Ordinary, &Rule::Usual),
        }
    }

    /// The schedule called `id`.
    pub fn schedule(&self, id: &str) -> Result<&Schedule, Error> {
        self.schedules.iter().find(|schedule| schedule.id == id).ok_or_else(|| Error::NoSchedule {
            name: id.to_owned(),
            known: self.schedules.iter().map(|s| s.id.as_str()).collect::<Vec<_>>().join(", "),
        })
    }

    /// Whether the schedule called `schedule` is open at `at`, which may be in any zone.
    pub fn check(&self, schedule: &str, at: &Zoned) -> Result<Opening, Error> {
        let schedule = self.schedule(schedule)?;
        let at = at.with_time_zone(self.zone.clone());
        let now = at.timestamp();
        let today = at.date();
        // What covers `now`, joined with what it touches; before that, what lies behind.
        let mut piece: Option<Span> = None;
        let mut next = None;
        for span in self.spans(schedule, today.yesterday().unwrap_or(today)) {
            match &mut piece {
                Some(piece) if span.from <= piece.to => piece.to = piece.to.max(span.to),
                known => {
                    if span.from > now {
                        next = Some(span.from);
                        break;
                    }
                    *known = Some(span);
                }
            }
        }
        let piece = piece.filter(|piece| now < piece.to);
        let end = piece.map_or(now, |piece| piece.to);
        let there = |timestamp: Timestamp| timestamp.to_zoned(self.zone.clone());
        let open = piece.is_some();
        let endless = next.is_none() && (there(end).date() - today).get_days() >= HORIZON_DAYS;
        let until = (open && !endless).then(|| there(end));
        let next = next.map(there);
        let last = next.as_ref().or(until.as_ref()).map_or(today, Zoned::date);
        let unsure: Vec<(i16, Certainty)> = (today.year()..=last.year())
            .map(|year| (year, self.certainty(year)))
            .filter(|(_, certainty)| *certainty != Certainty::Final)
            .collect();
        let mut opening = Opening {
            schedule: schedule.id.clone(),
            at,
            open,
            since: piece.map(|piece| there(piece.from)),
            until,
            next,
            provisional: !unsure.is_empty(),
            why: Why { zh: String::new(), en: String::new() },
        };
        opening.why = words::why(self, schedule, &opening, &unsure);
        Ok(opening)
    }

    /// Whether `schedule` is open at a moment, without the reasons.
    pub fn is_open(&self, schedule: &Schedule, at: Timestamp) -> bool {
        let today = at.to_zoned(self.zone.clone()).date();
        let before = today.yesterday().unwrap_or(today);
        self.spans_of(schedule, before)
            .chain(self.spans_of(schedule, today))
            .any(|span| span.from <= at && at < span.to)
    }

    /// The instant of the minute `minute` (0..=2880) of `date`: what summer time skips is later, what it repeats is the first.
    fn instant(&self, date: Date, minute: u16) -> Option<Timestamp> {
        let date = date.checked_add(i32::from(minute / MINUTES).days()).ok()?;
        let minute = (minute % MINUTES) as i16;
        let time = jiff::civil::time((minute / 60) as i8, (minute % 60) as i8, 0, 0);
        self.zone.to_timestamp(DateTime::from_parts(date, time)).ok()
    }

    fn spans_of(&self, schedule: &Schedule, date: Date) -> impl Iterator<Item = Span> {
        self.day(schedule, date)
            .ranges
            .iter()
            .filter_map(move |range| {
                Some(Span { from: self.instant(date, range.from)?, to: self.instant(date, range.to)? })
            })
            // Hours that lie in what summer time skips.
            .filter(|span| span.from < span.to)
            .collect::<Vec<_>>()
            .into_iter()
    }

    /// Openings from the day `first` on, in order.
    fn spans<'a>(&'a self, schedule: &'a Schedule, first: Date) -> impl Iterator<Item = Span> + 'a {
        first
            .series(1.day())
            .take(HORIZON_DAYS as usize + 2)
            .flat_map(move |date| self.spans_of(schedule, date))
    }
}

#[derive(Clone, Copy, Debug)]
struct Span {
    from: Timestamp,
    to: Timestamp,
}

impl Opening {
    /// When it opens next, for the ear and seen from `at`: 明天上午九点, "tomorrow at nine in the morning"; [`None`] if it does not.
    pub fn say_next(&self, lang: Lang) -> Option<String> {
        self.next.as_ref().map(|next| words::moment(&self.at, next, lang))
    }

    /// When it closes, in the same manner; [`None`] if it is closed or does not close.
    pub fn say_until(&self, lang: Lang) -> Option<String> {
        self.until.as_ref().map(|until| words::moment(&self.at, until, lang))
    }
}

impl Why {
    /// In that language.
    pub fn lang(&self, lang: Lang) -> &str {
        match lang {
            Lang::Zh => &self.zh,
            Lang::En => &self.en,
        }
    }
}

impl Day<'_> {
    /// Its hours as they are written (`09:00-12:00`), in order; none if it is closed.
    pub fn hours(&self) -> Vec<String> {
        self.ranges.iter().map(ToString::to_string).collect()
    }
}

impl DayKind<'_> {
    /// `ordinary`, `holiday`, `makeup` or `special`.
    pub fn id(self) -> &'static str {
        match self {
            Self::Ordinary => "ordinary",
            Self::Holiday(_) => "holiday",
            Self::MakeUp(_) => "makeup",
            Self::Special(..) => "special",
        }
    }

    /// The name of the holiday or special day, in Chinese and English; [`None`] if it is ordinary.
    pub fn names(&self) -> Option<(&str, &str)> {
        match self {
            Self::Ordinary => None,
            Self::Holiday(holiday) | Self::MakeUp(holiday) => Some((&holiday.name, &holiday.name_en)),
            Self::Special(name, name_en) => Some((name, name_en)),
        }
    }
}

impl Days {
    fn contain(self, date: Date) -> bool {
        match self {
            Self::Once(first, last) => (first..=last).contains(&date),
            Self::Yearly(first, last) => (first..=last).contains(&(date.month(), date.day())),
        }
    }

    fn overlap(self, other: Self) -> bool {
        match (self, other) {
            (Self::Once(a, b), Self::Once(c, d)) => a <= d && c <= b,
            (Self::Yearly(a, b), Self::Yearly(c, d)) => a <= d && c <= b,
            _ => false,
        }
    }
}

/// From Monday.
fn week_index(weekday: Weekday) -> usize {
    usize::from(weekday.to_monday_zero_offset().unsigned_abs()) % 7
}
