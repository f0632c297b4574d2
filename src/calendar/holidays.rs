//! Public holidays by year, with the weekend days that are worked for them.
//!
//! `holidays/README.md` tells where they come from and how a year is added.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::ToSpan as _;
use jiff::civil::{Date, Weekday};
use rust_embed::RustEmbed;
use serde::Deserialize;
use toml::Spanned;

use super::Error;
use super::file::Text;

#[derive(RustEmbed)]
#[folder = "src/calendar/holidays/"]
#[include = "*.toml"]
struct Embedded;

/// How well the holidays of a year are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Certainty {
    /// As they were published.
    Final,
    /// Only what the law says; days around them and make-up workdays are not known.
    Provisional,
    /// There is no file for that year.
    Missing,
}

/// A public holiday.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holiday {
    /// In Chinese.
    pub name: String,
    /// In English.
    pub name_en: String,
    /// First day off.
    pub first: Date,
    /// Last day off.
    pub last: Date,
    /// Days that the law itself names.
    pub statutory: Vec<Date>,
    /// Weekend days that are worked instead.
    pub work: Vec<Date>,
}

/// The holidays of one year, as one file tells them.
#[derive(Clone, Debug)]
pub struct Year {
    /// The file.
    pub file: String,
    /// `cn`.
    pub country: String,
    /// Which.
    pub year: i16,
    /// Whether they may still change.
    pub provisional: bool,
    /// Who says so.
    pub source: String,
    /// In the order of their days.
    pub holidays: Vec<Arc<Holiday>>,
}

/// Whether a day is off or worked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A day off.
    Off,
    /// A weekend day that is worked.
    Work,
}

/// The holidays of a country, year by year.
#[derive(Clone, Debug, Default)]
pub struct Holidays {
    years: BTreeMap<i16, Year>,
    days: BTreeMap<Date, (Kind, Arc<Holiday>)>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawYear {
    country: String,
    year: Spanned<i16>,
    provisional: bool,
    source: Spanned<String>,
    holiday: Vec<RawHoliday>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawHoliday {
    name: String,
    name_en: String,
    first: Spanned<Date>,
    last: Spanned<Date>,
    statutory: Vec<Spanned<Date>>,
    #[serde(default)]
    work: Vec<Spanned<Date>>,
}

/// The longest holiday that is believed.
const LONGEST_DAYS: i32 = 20;
/// How far from its holiday a make-up day may be.
const AROUND_DAYS: i32 = 31;

impl Year {
    /// The year written in `text`, called `file` in errors.
    pub fn parse(file: &str, text: &str) -> Result<Self, Error> {
        let text = Text { file, text };
        let raw: RawYear = text.read()?;
        let year = *raw.year.get_ref();
        if !(2000..=2200).contains(&year) {
            return Err(text.wrong(raw.year.span(), format!("{year} is no year from 2000 to 2200")));
        }
        if raw.source.get_ref().trim().is_empty() {
            let problem = "the source is empty: write which notice says so, and of which day".into();
            return Err(text.wrong(raw.source.span(), problem));
        }
        let mut taken: BTreeMap<Date, String> = BTreeMap::new();
        let mut holidays = Vec::new();
        for raw in raw.holiday {
            let holiday = raw.check(&text, year)?;
            let off = holiday.off().map(|day| (day, raw.first.span()));
            let work = raw.work.iter().map(|day| (*day.get_ref(), day.span()));
            for (day, span) in off.chain(work) {
                if let Some(other) = taken.insert(day, holiday.name.clone()) {
                    let problem = format!("{day} is taken twice, by {other} and {}", holiday.name);
                    return Err(text.wrong(span, problem));
                }
            }
            holidays.push(Arc::new(holiday));
        }
        holidays.sort_by_key(|holiday| holiday.first);
        Ok(Self {
            file: file.into(),
            country: raw.country,
            year,
            provisional: raw.provisional,
            source: raw.source.into_inner(),
            holidays,
        })
    }

    /// What looks like a slip of typing, though it is not impossible: holidays whose days off, statutory days and make-up days do
    /// not balance. Nothing for a provisional year.
    pub fn doubts(&self) -> Vec<String> {
        if self.provisional {
            return Vec::new();
        }
        let unbalanced = |holiday: &Holiday| {
            let free = holiday.off().filter(|day| !is_weekend(*day)).count();
            let owed = holiday.statutory.len() + holiday.work.len();
            (free != owed).then(|| {
                format!(
                    "{} ({}): {free} working days off, but {} statutory days and {} make-up days; compare with the notice",
                    holiday.name,
                    holiday.name_en,
                    holiday.statutory.len(),
                    holiday.work.len()
                )
            })
        };
        self.holidays.iter().filter_map(|holiday| unbalanced(holiday)).collect()
    }
}

impl RawHoliday {
    fn check(&self, text: &Text<'_>, year: i16) -> Result<Holiday, Error> {
        let (first, last) = (*self.first.get_ref(), *self.last.get_ref());
        let of_year = |day: Date| {
            // The New Year's holiday may begin in the year before.
            day.year() == year
                || (day.year() == year - 1 && day.month() == 12)
                || (day.year() == year + 1 && day.month() == 1)
        };
        let at = |day: &Spanned<Date>, problem: String| Err(text.wrong(day.span(), problem));
        for day in [&self.first, &self.last].into_iter().chain(&self.statutory).chain(&self.work) {
            if !of_year(*day.get_ref()) {
                return at(day, format!("{} is not in {year}: correct the date or `year`", day.get_ref()));
            }
        }
        let apart = |a: Date, b: Date| (b - a).get_days();
        if !(0..LONGEST_DAYS).contains(&apart(first, last)) {
            return at(&self.last, format!("{first} to {last} is no holiday of 1 to {LONGEST_DAYS} days"));
        }
        if self.statutory.is_empty() {
            let problem = "`statutory` is empty: name the days of it that the law gives".into();
            return at(&self.first, problem);
        }
        for day in &self.statutory {
            if !(first..=last).contains(day.get_ref()) {
                return at(day, format!("the statutory day {} is not in {first} to {last}", day.get_ref()));
            }
        }
        for day in &self.work {
            let date = *day.get_ref();
            if !is_weekend(date) {
                let problem =
                    format!("{date} is a {:?}: a make-up day is a Saturday or Sunday", date.weekday());
                return at(day, problem);
            }
            if apart(date, first).abs().min(apart(last, date).abs()) > AROUND_DAYS {
                return at(day, format!("{date} is more than {AROUND_DAYS} days from {first} to {last}"));
            }
        }
        let dates = |days: &[Spanned<Date>]| days.iter().map(|day| *day.get_ref()).collect();
        Ok(Holiday {
            name: self.name.clone(),
            name_en: self.name_en.clone(),
            first,
            last,
            statutory: dates(&self.statutory),
            work: dates(&self.work),
        })
    }
}

impl Holiday {
    /// Its days off.
    pub fn off(&self) -> impl Iterator<Item = Date> + use<> {
        let last = self.last;
        self.first.series(1.day()).take_while(move |day| *day <= last)
    }
}

impl Holidays {
    /// Those of `country`: the embedded files, and over them `own`, files by name and text. [`None`] if there are none.
    pub fn of(country: &str, own: &[(String, String)]) -> Result<Option<Self>, Error> {
        let mut all = Self::default();
        for (file, text) in embedded().iter().chain(own) {
            let year = Year::parse(file, text)?;
            if year.country == country {
                all.years.insert(year.year, year);
            }
        }
        for year in all.years.values() {
            for holiday in &year.holidays {
                let off = holiday.off().map(|day| (day, Kind::Off));
                let work = holiday.work.iter().map(|day| (*day, Kind::Work));
                all.days.extend(off.chain(work).map(|(day, kind)| (day, (kind, holiday.clone()))));
            }
        }
        Ok(Some(all).filter(|all| !all.years.is_empty()))
    }

    /// Countries with embedded files.
    pub fn countries() -> Vec<String> {
        let mut names: Vec<String> =
            Embedded::iter().filter_map(|file| Some(file.split_once('-')?.0.to_owned())).collect();
        names.sort();
        names.dedup();
        names
    }

    /// What `date` is, if it is a holiday or a make-up workday.
    pub fn day(&self, date: Date) -> Option<(Kind, &Holiday)> {
        self.days.get(&date).map(|(kind, holiday)| (*kind, holiday.as_ref()))
    }

    /// How well `year` is known.
    pub fn certainty(&self, year: i16) -> Certainty {
        match self.years.get(&year) {
            None => Certainty::Missing,
            Some(year) if year.provisional => Certainty::Provisional,
            Some(_) => Certainty::Final,
        }
    }

    /// The years, in order.
    pub fn years(&self) -> impl Iterator<Item = &Year> {
        self.years.values()
    }
}

fn embedded() -> Vec<(String, String)> {
    let text = |file: &str| {
        let bytes = Embedded::get(file)?.data.into_owned();
        Some((format!("(embedded) src/calendar/holidays/{file}"), String::from_utf8(bytes).ok()?))
    };
    Embedded::iter().filter_map(|file| text(&file)).collect()
}

fn is_weekend(date: Date) -> bool {
    matches!(date.weekday(), Weekday::Saturday | Weekday::Sunday)
}
