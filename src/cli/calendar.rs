//! `nightline calendar check|month|holidays`: when people answer, and why.

mod month;

use std::io::Write;
use std::path::PathBuf;

use jiff::civil::{Date, DateTime};
use jiff::{Timestamp, Zoned};
use serde_json::{Value, json};

use super::exit;
use crate::calendar::holidays::Year;
use crate::calendar::{self, Calendar, Certainty, Opening, Schedule, weekday};
use crate::cli::doctor::Verdict;
use crate::clock;
use crate::config::Config;
use crate::dialogue::tenant::Tenant;
use crate::dialogue::text::Lang;
use crate::qa::pad;

/// Subcommands of `nightline calendar`.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Whether people answer at a moment, why, until when, and when they do next.
    Check {
        /// The moment, on the clock of the calendar's zone (2026-10-08T21:30), or with an offset (2026-10-08T21:30+08:00); now if
        /// not given.
        time: Option<String>,
        #[command(flatten)]
        which: Which,
    },
    /// A month as a picture: the hours of each day, holidays and make-up workdays.
    Month {
        /// The month (2026-10); this one if not given.
        month: Option<String>,
        #[command(flatten)]
        which: Which,
    },
    /// The public holidays that the calendar goes by, or those of a file that is to be added; checks them.
    Holidays {
        /// A file such as holidays/cn-2027.toml.
        file: Option<PathBuf>,
        /// Another tenant than that of the configuration.
        #[arg(long, conflicts_with = "file")]
        tenant: Option<String>,
        /// As a JSON array.
        #[arg(long)]
        json: bool,
    },
}

/// What is asked for.
#[derive(Debug, clap::Args)]
pub struct Which {
    /// One schedule of calendar.toml; all if not given.
    #[arg(long)]
    schedule: Option<String>,
    /// Another tenant than that of the configuration.
    #[arg(long)]
    tenant: Option<String>,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

impl Command {
    /// Runs. Gives the exit code: 64 for a time that is none or a schedule that is not there, 66 for a tenant without calendar, 78
    /// for a calendar that is wrong.
    pub fn run(self, config: &Config) -> anyhow::Result<u8> {
        let now = Timestamp::try_from(clock::wall()).unwrap_or_default();
        let (mut out, mut err) = (std::io::stdout().lock(), std::io::stderr().lock());
        self.run_at(config, now, &mut out, &mut err)
    }

    fn run_at(
        self,
        config: &Config,
        now: Timestamp,
        out: &mut dyn Write,
        err: &mut dyn Write,
    ) -> anyhow::Result<u8> {
        if let Self::Holidays { file: Some(file), json, .. } = &self {
            return check_file(file, *json, out, err);
        }
        let (Self::Check { which: Which { tenant, .. }, .. }
        | Self::Month { which: Which { tenant, .. }, .. }
        | Self::Holidays { tenant, .. }) = &self;
        let calendar = match load(config, tenant.as_deref()) {
            Ok(calendar) => calendar,
            Err((code, problem)) => {
                writeln!(err, "error: {problem}")?;
                return Ok(code);
            }
        };
        let now = now.to_zoned(calendar.zone().clone());
        let done = match self {
            Self::Check { time, which } => match moment(time.as_deref(), &now) {
                Ok(at) => check(&calendar, &at, &which, out),
                Err(problem) => return usage(&problem, err),
            },
            Self::Month { month, which } => match first_day(month.as_deref(), &now) {
                Ok(first) => month::picture(&calendar, first, &which, out),
                Err(problem) => return usage(&problem, err),
            },
            Self::Holidays { json, .. } => {
                let years: Vec<&Year> = calendar.holidays().years().collect();
                return list_years(&years, json, out);
            }
        };
        match done {
            Err(error) if error.is::<calendar::Error>() => usage(&error.to_string(), err),
            other => other.map(|()| 0),
        }
    }
}

fn usage(problem: &str, err: &mut dyn Write) -> anyhow::Result<u8> {
    writeln!(err, "error: {problem}")?;
    Ok(exit::USAGE)
}

fn load(config: &Config, tenant: Option<&str>) -> Result<Calendar, (u8, String)> {
    let name = tenant.unwrap_or(&config.tenant.name);
    let source = Tenant::source(name, config.tenant.folder.as_deref())
        .map_err(|error| (exit::NO_INPUT, error.to_string()))?;
    match Calendar::load(&source) {
        Ok(Some(calendar)) => Ok(calendar),
        Ok(None) => Err((
            exit::NO_INPUT,
            format!(
                "the tenant {name} has no {}: tenants/README.md tells how it is written",
                source.show(calendar::FILE)
            ),
        )),
        Err(error) => Err((exit::CONFIG, error.to_string())),
    }
}

/// A moment as it is typed, in the zone of `now`.
fn moment(text: Option<&str>, now: &Zoned) -> Result<Zoned, String> {
    let Some(text) = text else { return Ok(now.clone()) };
    let wrong = || format!("\"{text}\" is no moment: write for example 2026-10-08T21:30");
    if let Ok(timestamp) = text.parse::<Timestamp>() {
        return Ok(timestamp.to_zoned(now.time_zone().clone()));
    }
    // A date alone would be midnight, which nobody means.
    if !text.contains(':') {
        return Err(wrong());
    }
    let local = text.parse::<DateTime>().map_err(|_| wrong())?;
    local.to_zoned(now.time_zone().clone()).map_err(|_| wrong())
}

fn first_day(text: Option<&str>, now: &Zoned) -> Result<Date, String> {
    let Some(text) = text else { return Ok(now.date().first_of_month()) };
    let parsed = (text.len() == 7).then(|| format!("{text}-01").parse::<Date>().ok()).flatten();
    parsed.ok_or_else(|| format!("\"{text}\" is no month: write for example 2026-10"))
}

fn chosen<'a>(calendar: &'a Calendar, which: &Which) -> anyhow::Result<Vec<&'a Schedule>> {
    Ok(match &which.schedule {
        Some(id) => vec![calendar.schedule(id)?],
        None => calendar.schedules().iter().collect(),
    })
}

fn check(calendar: &Calendar, at: &Zoned, which: &Which, out: &mut dyn Write) -> anyhow::Result<()> {
    let mut all = Vec::new();
    for schedule in chosen(calendar, which)? {
        all.push((schedule, calendar.check(&schedule.id, at)?));
    }
    if which.json {
        let all: Vec<Value> =
            all.iter().map(|(schedule, opening)| as_json(calendar, schedule, opening)).collect();
        return print_json(&all.into(), out);
    }
    let date = at.date();
    writeln!(
        out,
        "{} {} {}  {}",
        at.strftime("%Y-%m-%d %H:%M"),
        weekday(date.weekday(), Lang::Zh),
        weekday(date.weekday(), Lang::En),
        calendar.zone_name()
    )?;
    for (schedule, opening) in &all {
        let state = if opening.open { "✔ 开放 open" } else { "✘ 不开放 closed" };
        writeln!(out, "\n{state}  {} · {} ({})", schedule.id, schedule.name, schedule.name_en)?;
        writeln!(out, "  {}", opening.why.zh)?;
        writeln!(out, "  {}", opening.why.en)?;
        let say = |lang| if opening.open { opening.say_until(lang) } else { opening.say_next(lang) };
        if let (Some(zh), Some(en)) = (say(Lang::Zh), say(Lang::En)) {
            let (what_zh, what_en) =
                if opening.open { ("到", "until") } else { ("再开放", "opens again") };
            writeln!(out, "  {what_zh}：{zh} · {what_en}: {en}")?;
        }
    }
    Ok(())
}

fn as_json(calendar: &Calendar, schedule: &Schedule, opening: &Opening) -> Value {
    let told = |moment: &Option<Zoned>| moment.as_ref().map(rfc3339);
    let day = calendar.day(schedule, opening.at.date());
    json!({
        "schedule": opening.schedule,
        "at": rfc3339(&opening.at),
        "zone": calendar.zone_name(),
        "open": opening.open,
        "since": told(&opening.since),
        "until": told(&opening.until),
        "next": told(&opening.next),
        "provisional": opening.provisional,
        "weekday": weekday(day.date.weekday(), Lang::En),
        "day": day.kind.id(),
        "name": day.kind.names().map(|names| names.0),
        "name_en": day.kind.names().map(|names| names.1),
        "like": day.like.map(|like| weekday(like, Lang::En)),
        "hours": day.hours(),
        "why": { "zh": opening.why.zh, "en": opening.why.en },
        "say_next": { "zh": opening.say_next(Lang::Zh), "en": opening.say_next(Lang::En) },
    })
}

fn rfc3339(moment: &Zoned) -> String {
    moment.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
}

fn check_file(
    file: &std::path::Path,
    json: bool,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> anyhow::Result<u8> {
    let name = file.display().to_string();
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) => {
            writeln!(err, "error: cannot read {name}: {error}; name a file such as holidays/cn-2027.toml")?;
            return Ok(exit::NO_INPUT);
        }
    };
    match Year::parse(&name, &text) {
        Ok(year) => list_years(&[&year], json, out),
        Err(error) => {
            writeln!(err, "error: {error}")?;
            Ok(exit::WRONG)
        }
    }
}

/// Lists years. Gives 1 if one of them has something doubtful.
fn list_years(years: &[&Year], json: bool, out: &mut dyn Write) -> anyhow::Result<u8> {
    let doubtful = years.iter().any(|year| !year.doubts().is_empty());
    let code = if doubtful { exit::WRONG } else { 0 };
    if json {
        let all: Vec<Value> = years.iter().map(|year| year_as_json(year)).collect();
        print_json(&all.into(), out)?;
        return Ok(code);
    }
    if years.is_empty() {
        writeln!(
            out,
            "没有公众假期：calendar.toml 没有写 country。No public holidays: calendar.toml names no country."
        )?;
    }
    for (place, year) in years.iter().enumerate() {
        if place > 0 {
            writeln!(out)?;
        }
        let state = if year.provisional { "暂定 provisional" } else { "正式 final" };
        writeln!(out, "{} {}  {state}\n  {}\n  {}", year.country, year.year, year.source, year.file)?;
        for holiday in &year.holidays {
            let work: Vec<String> = holiday.work.iter().map(|day| told(*day)).collect();
            let days = holiday.off().count();
            let span = if days == 1 {
                told(holiday.first)
            } else {
                format!("{} – {}", told(holiday.first), told(holiday.last))
            };
            let work =
                if work.is_empty() { String::new() } else { format!("上班 work: {}", work.join(", ")) };
            let names = format!("{} {}", holiday.name, holiday.name_en);
            let line = format!("  {} {} {days:2}  {work}", pad(&names, 28), pad(&span, 32));
            writeln!(out, "{}", line.trim_end())?;
        }
        for doubt in year.doubts() {
            writeln!(out, "  ! {doubt}")?;
        }
    }
    Ok(code)
}

/// `10-01 周四 Thu`
fn told(date: Date) -> String {
    let (zh, en) = (weekday(date.weekday(), Lang::Zh), weekday(date.weekday(), Lang::En));
    format!("{} {zh} {}", date.strftime("%m-%d"), &en[..3])
}

fn year_as_json(year: &Year) -> Value {
    let holidays: Vec<Value> = year
        .holidays
        .iter()
        .map(|holiday| {
            json!({
                "name": holiday.name,
                "name_en": holiday.name_en,
                "first": holiday.first,
                "last": holiday.last,
                "statutory": holiday.statutory,
                "work": holiday.work,
            })
        })
        .collect();
    json!({
        "country": year.country,
        "year": year.year,
        "provisional": year.provisional,
        "source": year.source,
        "file": year.file,
        "holidays": holidays,
        "doubts": year.doubts(),
    })
}

fn print_json(value: &Value, out: &mut dyn Write) -> anyhow::Result<()> {
    serde_json::to_writer_pretty(&mut *out, value)?;
    writeln!(out)?;
    Ok(())
}

/// What `nightline doctor` says of the calendar.
pub fn verdict(config: &Config) -> Verdict {
    let now = Timestamp::try_from(clock::wall()).unwrap_or_default();
    match load(config, None) {
        Ok(calendar) => judge(&calendar, now),
        Err((exit::NO_INPUT, problem)) => Verdict::Note(
            problem,
            "without it people are asked for at all hours; tenants/nev/calendar.toml is an example".into(),
        ),
        Err((_, problem)) => {
            Verdict::Wrong(problem, "correct it; `nightline calendar check` tells what is left".into())
        }
    }
}

fn judge(calendar: &Calendar, now: Timestamp) -> Verdict {
    let now = now.to_zoned(calendar.zone().clone());
    let states: Vec<String> = calendar
        .schedules()
        .iter()
        .map(|schedule| {
            let open = calendar.is_open(schedule, now.timestamp());
            format!("{} {}", schedule.id, if open { "open" } else { "closed" })
        })
        .collect();
    let found = format!("{}, now {}", calendar.zone_name(), states.join(", "));
    let unsure: Vec<String> = (now.year()..=now.year() + 1)
        .filter_map(|year| match calendar.certainty(year) {
            Certainty::Final => None,
            Certainty::Provisional => Some(format!("those of {year} are provisional")),
            Certainty::Missing => Some(format!("those of {year} are missing")),
        })
        .collect();
    if unsure.is_empty() {
        return Verdict::Good(found);
    }
    Verdict::Note(
        format!("{found}; public holidays: {}", unsure.join(", ")),
        "the State Council publishes a year in the November before: enter it as src/calendar/holidays/README.md tells, in the tenant's holidays folder"
            .into(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(words: &[&str], now: &str) -> (u8, String, String) {
        #[derive(clap::Parser)]
        struct Line {
            #[command(subcommand)]
            command: Command,
        }
        let line = <Line as clap::Parser>::try_parse_from(std::iter::once(&"calendar").chain(words)).unwrap();
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = line.command.run_at(&Config::default(), now.parse().unwrap(), &mut out, &mut err).unwrap();
        (code, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
    }

    const NOW: &str = "2026-11-21T15:00:00Z";

    #[test]
    fn a_check_explains_itself_in_both_languages() {
        let (code, out, _) = run(&["check", "2026-10-08T21:30"], NOW);
        assert_eq!(code, 0);
        for part in [
            "周四 Thursday",
            "✔ 开放 open  seats",
            "✘ 不开放 closed  night",
            "到 22:00 为止",
            "until 22:00",
            "再开放：今天晚上十点 · opens again: tonight at ten",
        ] {
            assert!(out.contains(part), "`{part}` is not in\n{out}");
        }
    }

    #[test]
    fn without_a_time_it_is_now() {
        let (_, out, _) = run(&["check", "--schedule", "seats"], NOW);
        assert!(
            out.starts_with("2026-11-21 23:00 周六 Saturday  Asia/Shanghai\n\n✘ 不开放 closed  seats"),
            "{out}"
        );
        let (_, offset, _) =
            run(&["check", "2026-11-21T10:00-05:00", "--schedule", "seats"], "2020-01-01T00:00Z");
        assert_eq!(out, offset);
    }

    #[test]
    fn a_program_gets_the_answer_as_json() {
        let (code, out, _) = run(&["check", "2026-10-10T21:30", "--schedule", "seats", "--json"], NOW);
        let answer: Value = serde_json::from_str(&out).unwrap();
        let seats = &answer[0];
        assert_eq!((code, &seats["open"], &seats["day"]), (0, &json!(true), &json!("makeup")));
        assert_eq!(seats["until"], "2026-10-10T22:00:00+08:00");
        assert_eq!((&seats["name"], &seats["like"]), (&json!("国庆节"), &json!("Monday")));
    }

    #[test]
    fn a_month_is_drawn_with_its_holidays() {
        let (code, out, _) = run(&["month", "2026-10", "--schedule", "seats"], NOW);
        assert_eq!(code, 0);
        let line = |day: &str| {
            out.lines().find(|line| line.starts_with(day)).unwrap_or_else(|| panic!("no {day} in\n{out}"))
        };
        assert!(line("10-01").contains("休") && line("10-01").contains("国庆节 National Day"), "{out}");
        assert!(line("10-10").contains("班") && line("10-10").contains("08:00-22:00"), "{out}");
        assert_eq!(line("10-08").chars().filter(|c| *c == '█').count(), 28, "14 hours\n{out}");
        assert_eq!(line("10-07").chars().filter(|c| *c == '█').count(), 18, "9 hours\n{out}");
        let column = |line: &str, wanted: char| line.find(wanted).map(|at| crate::qa::width(&line[..at]));
        let ruler = out.lines().nth(1).unwrap_or_default();
        assert_eq!(column(ruler, '9'), column(line("10-07"), '█'), "nine stands over nine\n{out}");
        assert_eq!(out.lines().count(), 33, "a title, a ruler, 31 days\n{out}");
        let (_, out, _) = run(&["month", "2027-02"], NOW);
        assert!(out.contains("2027年的公众假期是暂定的") && out.contains("are provisional"), "{out}");
        let (_, out, _) = run(&["month", "2026-02", "--json"], NOW);
        let months: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(months[0]["days"].as_array().map(Vec::len), Some(28));
        assert_eq!(months[0]["days"][13]["day"], "makeup");
    }

    #[test]
    fn what_is_typed_wrong_is_a_usage_error() {
        for words in [
            ["check", "tomorrow"],
            ["check", "2026-10-08"],
            ["check", "2026-13-08T21:30"],
            ["month", "2026"],
            ["month", "2026-13"],
        ] {
            let (code, out, err) = run(&words, NOW);
            assert_eq!((code, out.as_str()), (exit::USAGE, ""), "{words:?}");
            assert!(err.contains("write for example 2026-10"), "{err}");
        }
        let (code, _, err) = run(&["check", "--schedule", "desk"], NOW);
        assert_eq!(code, exit::USAGE);
        assert!(err.contains("it has: seats, night"), "{err}");
        let (code, _, err) = run(&["check", "--tenant", "nobody"], NOW);
        assert_eq!(code, exit::NO_INPUT, "{err}");
    }

    #[test]
    fn a_file_of_holidays_is_checked_before_it_is_added() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("cn-2026.toml");
        let text = include_str!("../calendar/holidays/cn-2026.toml");
        let check = |text: &str| {
            std::fs::write(&file, text).unwrap();
            run(&["holidays", &file.display().to_string()], NOW)
        };
        let (code, out, err) = check(text);
        assert_eq!((code, err.as_str()), (0, ""));
        assert!(
            out.contains("国庆节 National Day") && out.contains("上班 work: 09-20 周日 Sun, 10-10 周六 Sat"),
            "{out}"
        );
        let (code, out, _) = check(&text.replace("last = \"2026-10-07\"", "last = \"2026-10-08\""));
        assert_eq!(code, exit::WRONG, "{out}");
        assert!(out.contains("! 国庆节"), "{out}");
        let (code, _, err) = check(&text.replace("\"2026-10-10\"", "\"2026-10-09\""));
        assert_eq!(code, exit::WRONG);
        assert!(err.contains("is a Friday"), "{err}");
        let (code, out, _) = run(&["holidays"], NOW);
        assert_eq!(code, 0);
        assert!(out.contains("cn 2027  暂定 provisional"), "{out}");
    }

    #[test]
    fn the_doctor_notes_holidays_that_are_not_final() {
        let source = crate::dialogue::source::Source::Embedded("nev".into());
        let calendar = Calendar::load(&source).unwrap().unwrap();
        let note = |now: &str| match judge(&calendar, now.parse().unwrap()) {
            Verdict::Note(found, _) => found,
            other => panic!("a note was expected, not {other:?}"),
        };
        let found = note(NOW);
        assert!(
            found.contains("seats closed, night open") && found.contains("those of 2027 are provisional"),
            "{found}"
        );
        let found = note("2027-11-21T15:00:00Z");
        assert!(found.contains("those of 2027 are provisional, those of 2028 are missing"), "{found}");
        assert!(matches!(judge(&calendar, "2025-06-01T00:00:00Z".parse().unwrap()), Verdict::Note(..)));
    }
}
