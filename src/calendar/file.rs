//! From `calendar.toml` to a [`Calendar`]: everything is checked here, and every mistake has its line.

use std::collections::BTreeMap;
use std::ops::Range as Bytes;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::Deserialize;
use toml::{Spanned, Value};

use super::holidays::Holidays;
use super::hours::{self, MINUTES, Range, Rule};
use super::{Calendar, Days, Error, Schedule, Special};
use crate::dialogue::source::line_of;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCalendar {
    zone: Spanned<String>,
    country: Option<Spanned<String>>,
    #[serde(default)]
    schedule: Vec<Spanned<RawSchedule>>,
    #[serde(default)]
    special: Vec<RawSpecial>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSchedule {
    id: Spanned<String>,
    name: String,
    name_en: String,
    hours: BTreeMap<String, Spanned<Value>>,
    holiday: Option<Spanned<Value>>,
    makeup: Option<Spanned<Value>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSpecial {
    name: String,
    name_en: String,
    date: Spanned<String>,
    until: Option<Spanned<String>>,
    hours: BTreeMap<String, Spanned<Value>>,
}

/// A file whose mistakes are told with their lines.
#[derive(Clone, Copy)]
pub(super) struct Text<'a> {
    pub file: &'a str,
    pub text: &'a str,
}

impl Text<'_> {
    pub(super) fn read<T: for<'de> Deserialize<'de>>(&self) -> Result<T, Error> {
        toml::from_str(self.text).map_err(|error| Error::File {
            file: self.file.into(),
            line: line_of(self.text, &error),
            problem: format!("{}; correct it", error.message().trim().replace('\n', ", ")),
        })
    }

    /// `problem` at those bytes of the text.
    pub(super) fn wrong(&self, span: Bytes<usize>, problem: String) -> Error {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        Error::File { file: self.file.into(), line: 1 + before.matches('\n').count(), problem }
    }

    fn value<T>(&self, value: &Spanned<Value>, parse: fn(&Value) -> Result<T, String>) -> Result<T, Error> {
        parse(value.get_ref()).map_err(|problem| self.wrong(value.span(), problem))
    }
}

pub(super) fn parse(file: &str, text: &str, own: &[(String, String)]) -> Result<Calendar, Error> {
    let text = Text { file, text };
    let raw: RawCalendar = text.read()?;
    let zone = TimeZone::get(raw.zone.get_ref()).map_err(|_| {
        let problem = format!(
            "\"{}\" is no time zone: write a name of the tz database such as \"Asia/Shanghai\" or \"Europe/Berlin\"",
            raw.zone.get_ref()
        );
        text.wrong(raw.zone.span(), problem)
    })?;
    let holidays = match &raw.country {
        None => Holidays::default(),
        Some(country) => {
            Holidays::of(country.get_ref(), own)?.ok_or_else(|| {
                let problem = format!(
                    "there are no public holidays of \"{}\"; there are those of: {}. Add holidays/{0}-YEAR.toml to the tenant's folder, or leave `country` out",
                    country.get_ref(),
                    Holidays::countries().join(", ")
                );
                text.wrong(country.span(), problem)
            })?
        }
    };
    if raw.schedule.is_empty() {
        return Err(text.wrong(0..0, "there is no schedule: add one that begins with [[schedule]]".into()));
    }
    let mut schedules: Vec<Schedule> = Vec::new();
    for raw_schedule in &raw.schedule {
        let schedule = schedule(&text, raw_schedule, raw.country.is_some())?;
        if schedules.iter().any(|known| known.id == schedule.id) {
            let problem = format!("there are two schedules `{}`: give each its own id", schedule.id);
            return Err(text.wrong(raw_schedule.get_ref().id.span(), problem));
        }
        schedules.push(schedule);
    }
    let mut specials: Vec<Special> = Vec::new();
    for raw_special in &raw.special {
        let special = special(&text, raw_special, &schedules)?;
        let twice = specials.iter().find(|known| {
            known.days.overlap(special.days) && known.hours.keys().any(|id| special.hours.contains_key(id))
        });
        if let Some(known) = twice {
            let problem = format!("this day has hours already, by `{}`: remove one of them", known.name);
            return Err(text.wrong(raw_special.date.span(), problem));
        }
        specials.push(special);
    }
    Ok(Calendar {
        zone,
        zone_name: raw.zone.into_inner(),
        country: raw.country.map(Spanned::into_inner),
        schedules,
        specials,
        holidays,
    })
}

fn schedule(text: &Text<'_>, raw: &Spanned<RawSchedule>, country: bool) -> Result<Schedule, Error> {
    let (span, raw) = (raw.span(), raw.get_ref());
    let id = raw.id.get_ref();
    if id.is_empty() || !id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_') {
        let problem = format!("\"{id}\" is not an id: use letters, digits, - and _");
        return Err(text.wrong(raw.id.span(), problem));
    }
    let mut week: [Option<(Vec<Range>, Bytes<usize>)>; 7] = Default::default();
    for (days, value) in &raw.hours {
        let places = hours::weekdays(days).map_err(|problem| text.wrong(value.span(), problem))?;
        let ranges = text.value(value, hours::ranges)?;
        for place in places {
            if week[place].is_some() {
                let problem = format!("`{days}` names a weekday that has its hours already: name each once");
                return Err(text.wrong(value.span(), problem));
            }
            week[place] = Some((ranges.clone(), value.span()));
        }
    }
    for (today, tomorrow) in week.iter().zip(week.iter().cycle().skip(1)) {
        let (Some((today, span)), Some((tomorrow, _))) = (today, tomorrow) else { continue };
        let (Some(last), Some(first)) = (today.last(), tomorrow.first()) else { continue };
        if last.to > MINUTES + first.from {
            let problem = format!(
                "the hours {last} run into {first} of the next day: make one of them end where the other begins"
            );
            return Err(text.wrong(span.clone(), problem));
        }
    }
    let rule = |key: &str, value: &Option<Spanned<Value>>| {
        match value {
        Some(value) => text.value(value, hours::rule),
        None if !country => Ok(Rule::Usual),
        None => Err(text.wrong(
            span.clone(),
            format!("schedule `{id}` does not tell what `{key}` means for it: write {key} = \"closed\", \"as usual\", \"as sun\" or hours"),
        )),
    }
    };
    let (holiday, makeup) = (rule("holiday", &raw.holiday)?, rule("makeup", &raw.makeup)?);
    Ok(Schedule {
        id: id.clone(),
        name: raw.name.clone(),
        name_en: raw.name_en.clone(),
        week: week.map(|day| day.map(|(ranges, _)| ranges).unwrap_or_default()),
        holiday,
        makeup,
    })
}

fn special(text: &Text<'_>, raw: &RawSpecial, schedules: &[Schedule]) -> Result<Special, Error> {
    let last = raw.until.as_ref().unwrap_or(&raw.date);
    let days = days(raw.date.get_ref(), last.get_ref()).map_err(|problem| {
        text.wrong(if raw.until.is_some() { last.span() } else { raw.date.span() }, problem)
    })?;
    let mut hours = BTreeMap::new();
    for (id, value) in &raw.hours {
        if !schedules.iter().any(|schedule| schedule.id == *id) {
            let known = schedules.iter().map(|s| s.id.as_str()).collect::<Vec<_>>().join(", ");
            let problem = format!("there is no schedule `{id}`; there are: {known}");
            return Err(text.wrong(value.span(), problem));
        }
        hours.insert(id.clone(), text.value(value, hours::rule)?);
    }
    if hours.is_empty() {
        let problem = "it changes the hours of no schedule: name one, as in hours.seats = \"closed\"".into();
        return Err(text.wrong(raw.date.span(), problem));
    }
    Ok(Special { name: raw.name.clone(), name_en: raw.name_en.clone(), days, hours })
}

fn days(first: &str, last: &str) -> Result<Days, String> {
    let ends_first = format!("\"{last}\" is before \"{first}\"");
    if let (Ok(first), Ok(last)) = (first.parse::<Date>(), last.parse::<Date>()) {
        return if first <= last { Ok(Days::Once(first, last)) } else { Err(ends_first) };
    }
    // 29 February is a day of each leap year.
    let yearly = |text: &str| {
        let date = format!("2024-{text}").parse::<Date>().ok().filter(|_| text.len() == 5)?;
        Some((date.month(), date.day()))
    };
    match (yearly(first), yearly(last)) {
        (Some(first), Some(last)) if first <= last => Ok(Days::Yearly(first, last)),
        (Some(_), Some(_)) => Err(format!("{ends_first}: what goes on over New Year is two special days")),
        _ => Err(format!(
            "\"{first}\" to \"{last}\" are no days: write both as \"2026-12-31\", or as \"12-31\" for each year"
        )),
    }
}
