//! A month as a picture in text, or as JSON.

use std::fmt::Write as _;
use std::io::Write;

use jiff::ToSpan as _;
use jiff::civil::{Date, DateTime};
use serde_json::{Value, json};

use super::{Which, chosen, print_json};
use crate::calendar::{Calendar, Certainty, DayKind, Schedule, weekday};
use crate::dialogue::text::Lang;
use crate::qa::pad;

/// A column is half an hour.
const COLUMNS: i16 = 48;

pub(super) fn picture(
    calendar: &Calendar,
    first: Date,
    which: &Which,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let days: Vec<Date> = first.series(1.day()).take_while(|day| *day <= first.last_of_month()).collect();
    let schedules = chosen(calendar, which)?;
    if which.json {
        let all: Vec<Value> = schedules
            .iter()
            .map(|schedule| {
                let days: Vec<Value> = days.iter().map(|day| day_as_json(calendar, schedule, *day)).collect();
                json!({ "schedule": schedule.id, "month": first.strftime("%Y-%m").to_string(), "zone": calendar.zone_name(), "days": days })
            })
            .collect();
        return print_json(&all.into(), out);
    }
    for (place, schedule) in schedules.iter().enumerate() {
        if place > 0 {
            writeln!(out)?;
        }
        let title = format!("{} · {} ({})", schedule.id, schedule.name, schedule.name_en);
        writeln!(out, "{}  {title}  {}", first.strftime("%Y-%m"), calendar.zone_name())?;
        writeln!(out, "{}0     3     6     9     12    15    18    21    24", " ".repeat(16))?;
        for day in &days {
            writeln!(out, "{}", row(calendar, schedule, *day).trim_end())?;
        }
    }
    let year = first.year();
    match calendar.certainty(year) {
        Certainty::Final => {}
        Certainty::Provisional => writeln!(
            out,
            "\n! {year}年的公众假期是暂定的，调休安排还没有录入。The public holidays of {year} are provisional: make-up workdays are not known yet."
        )?,
        Certainty::Missing => {
            writeln!(out, "\n! {year}年的公众假期没有录入。The public holidays of {year} are not there.")?;
        }
    }
    Ok(())
}

/// `10-01 周四 Thu 休 |░░░…| 09:00-18:00  国庆节 National Day`
fn row(calendar: &Calendar, schedule: &Schedule, date: Date) -> String {
    let day = calendar.day(schedule, date);
    let (mark, note) = match day.kind {
        DayKind::Ordinary => ("  ", String::new()),
        DayKind::Holiday(holiday) => ("休", format!("{} {}", holiday.name, holiday.name_en)),
        DayKind::MakeUp(holiday) => {
            ("班", format!("{}调休上班 make-up day for {}", holiday.name, holiday.name_en))
        }
        DayKind::Special(name, name_en) => ("特", format!("{name} {name_en}")),
    };
    let mut row = format!(
        "{} {} {} {mark} ",
        date.strftime("%m-%d"),
        weekday(date.weekday(), Lang::Zh).trim_start_matches('周'),
        &weekday(date.weekday(), Lang::En)[..3],
    );
    for column in 0..COLUMNS {
        let open = |minute: i16| {
            let time = jiff::civil::time((minute / 60) as i8, (minute % 60) as i8, 0, 0);
            let local = DateTime::from_parts(date, time).to_zoned(calendar.zone().clone());
            local.is_ok_and(|at| calendar.is_open(schedule, at.timestamp()))
        };
        row.push(match (open(column * 30), open(column * 30 + 15)) {
            (true, true) => '█',
            (true, false) => '▌',
            (false, true) => '▐',
            (false, false) => '·',
        });
    }
    let hours = day.hours();
    let hours = if hours.is_empty() { "休息 closed".to_owned() } else { hours.join(" ") };
    // Writing to a string cannot fail.
    let _ = write!(row, "  {} {note}", pad(&hours, 24.max(crate::qa::width(&hours))));
    row
}

fn day_as_json(calendar: &Calendar, schedule: &Schedule, date: Date) -> Value {
    let day = calendar.day(schedule, date);
    json!({
        "date": date.to_string(),
        "weekday": weekday(date.weekday(), Lang::En),
        "day": day.kind.id(),
        "name": day.kind.names().map(|names| names.0),
        "name_en": day.kind.names().map(|names| names.1),
        "like": day.like.map(|like| weekday(like, Lang::En)),
        "hours": day.hours(),
        "holidays": day.certainty,
    })
}
