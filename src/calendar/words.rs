//! A calendar's answers in words: reasons for those who read, moments for the ear.

use std::fmt::Write as _;

use jiff::Zoned;
use jiff::civil::{Date, Time, Weekday};

use super::{Calendar, Certainty, Day, DayKind, Opening, Schedule, Why, week_index};
use crate::dialogue::slots::{spoken_clock, spoken_date};
use crate::dialogue::text::Lang;

const ZH: [&str; 7] = ["周一", "周二", "周三", "周四", "周五", "周六", "周日"];
const EN: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// 周四, Thursday.
pub fn weekday(day: Weekday, lang: Lang) -> &'static str {
    match lang {
        Lang::Zh => ZH[week_index(day)],
        Lang::En => EN[week_index(day)],
    }
}

/// Why `opening` is what it is: the day, its hours, the verdict, what is not certain.
pub(super) fn why(
    calendar: &Calendar,
    schedule: &Schedule,
    opening: &Opening,
    unsure: &[(i16, Certainty)],
) -> Why {
    let day = calendar.day(schedule, opening.at.date());
    let mut why = Why { zh: day_zh(&day), en: day_en(&day) };
    // Writing to a string cannot fail.
    let hours = day.hours();
    if hours.is_empty() {
        let _ = write!(why.zh, "{}当天休息。", schedule.name);
        let _ = write!(why.en, " No hours for {} that day.", schedule.name_en);
    } else {
        let (like_zh, like_en) = match day.like {
            Some(like) => (
                format!("（按{}）", weekday(like, Lang::Zh)),
                format!(", as on a {}", weekday(like, Lang::En)),
            ),
            None => Default::default(),
        };
        let _ = write!(why.zh, "{}当天的时间{like_zh}：{}。", schedule.name, hours.join("、"));
        let _ = write!(why.en, " Hours of {} that day{like_en}: {}.", schedule.name_en, hours.join(", "));
    }
    let (zh, en) = verdict(opening);
    why.zh.push_str(&zh);
    let _ = write!(why.en, " {en}");
    for (year, certainty) in unsure {
        let (zh, en) = match certainty {
            Certainty::Provisional => (
                "的公众假期是暂定的，调休安排还没有录入",
                "are provisional: days around them and make-up workdays are not known yet",
            ),
            _ => ("的公众假期没有录入", "are not there"),
        };
        let _ = write!(why.zh, "{year}年{zh}。");
        let _ = write!(why.en, " The public holidays of {year} {en}.");
    }
    why
}

fn day_zh(day: &Day<'_>) -> String {
    let date = date_zh(day.date);
    match day.kind {
        DayKind::Ordinary => format!("{date}是普通的{}。", weekday(day.date.weekday(), Lang::Zh)),
        DayKind::Holiday(holiday) if holiday.first == holiday.last => {
            format!("{date}是公众假期：{}。", holiday.name)
        }
        DayKind::Holiday(holiday) => {
            let (first, last) = (holiday.first, holiday.last);
            format!(
                "{date}是公众假期：{}（{}月{}日至{}月{}日）。",
                holiday.name,
                first.month(),
                first.day(),
                last.month(),
                last.day()
            )
        }
        DayKind::MakeUp(holiday) => format!("{date}是{}的调休上班日。", holiday.name),
        DayKind::Special(name, _) => format!("{date}是特殊日：{name}。"),
    }
}

fn day_en(day: &Day<'_>) -> String {
    let date = date_en(day.date);
    match day.kind {
        DayKind::Ordinary => {
            format!("{} is an ordinary {}.", day.date, weekday(day.date.weekday(), Lang::En))
        }
        DayKind::Holiday(holiday) if holiday.first == holiday.last => {
            format!("{date} is a public holiday: {}.", holiday.name_en)
        }
        DayKind::Holiday(holiday) => {
            format!("{date} is a public holiday: {}, {} to {}.", holiday.name_en, holiday.first, holiday.last)
        }
        DayKind::MakeUp(holiday) => format!("{date} is a make-up workday for {}.", holiday.name_en),
        DayKind::Special(_, name) => format!("{date} is a special day: {name}."),
    }
}

fn verdict(opening: &Opening) -> (String, String) {
    let at = &opening.at;
    let clock = at.strftime("%H:%M");
    // The date is only told where it is another.
    let moment = |moment: &Zoned| {
        let clock = moment.strftime("%H:%M");
        if moment.date() == at.date() {
            (clock.to_string(), clock.to_string())
        } else {
            (format!("{} {clock}", date_zh(moment.date())), format!("{} {clock}", date_en(moment.date())))
        }
    };
    if opening.open {
        let (mut zh, mut en) = (format!("{clock} 开放"), format!("At {clock} it is open"));
        if let Some(since) = opening.since.as_ref().filter(|since| since.date() < at.date()) {
            let (since_zh, since_en) = moment(since);
            let _ = write!(zh, "（{since_zh} 开始的时段）");
            let _ = write!(en, " (by the hours that began {since_en})");
        }
        match &opening.until {
            Some(until) => {
                let (until_zh, until_en) = moment(until);
                let _ = write!(zh, "，到 {until_zh} 为止。");
                let _ = write!(en, ", until {until_en}.");
            }
            None => {
                zh.push_str("，不关闭。");
                en.push_str(" and does not close.");
            }
        }
        return (zh, en);
    }
    match &opening.next {
        Some(next) => {
            let (next_zh, next_en) = moment(next);
            (
                format!("{clock} 不开放，{next_zh} 开放。"),
                format!("At {clock} it is closed; it opens {next_en}."),
            )
        }
        None => (
            format!("{clock} 不开放，以后也没有开放的时间。"),
            format!("At {clock} it is closed, and there is no opening in sight."),
        ),
    }
}

/// 2026年10月8日（周四）
fn date_zh(date: Date) -> String {
    format!("{}年{}月{}日（{}）", date.year(), date.month(), date.day(), weekday(date.weekday(), Lang::Zh))
}

/// 2026-10-08 (Thursday)
fn date_en(date: Date) -> String {
    format!("{date} ({})", weekday(date.weekday(), Lang::En))
}

/// `then` as one says it at `now`, both in one zone: 明天上午九点; "tomorrow at nine in the morning".
pub(super) fn moment(now: &Zoned, then: &Zoned, lang: Lang) -> String {
    let (today, day, time) = (now.date(), then.date(), then.time());
    let apart = (day - today).get_days();
    let midnight = time.hour() == 0 && time.minute() == 0;
    if midnight && apart == 1 {
        return match lang {
            Lang::Zh => "今晚十二点".to_owned(),
            Lang::En => "at midnight".to_owned(),
        };
    }
    let next_week =
        apart > i32::from(Weekday::Sunday.to_monday_zero_offset() - today.weekday().to_monday_zero_offset());
    let name = weekday(day.weekday(), lang);
    match lang {
        Lang::Zh => {
            let day = match apart {
                0 => "今天".to_owned(),
                1 => "明天".to_owned(),
                2 => "后天".to_owned(),
                3..7 if next_week => format!("下{name}"),
                3..7 => name.to_owned(),
                _ => spoken_date(day, today, lang),
            };
            format!("{day}{}", spoken_clock(time, lang))
        }
        Lang::En => {
            let day = match apart {
                0 if time.hour() >= EVENING => return format!("tonight at {}", bare_clock_en(time)),
                0 => "today".to_owned(),
                1 => "tomorrow".to_owned(),
                2..7 => format!("on {name}"),
                _ => format!("on {}", spoken_date(day, today, lang)),
            };
            format!("{day} at {}", clock_en(time))
        }
    }
}

/// From this hour on today is tonight.
const EVENING: i8 = 18;

/// "half past eight in the morning", "noon", "a quarter to six in the evening", "8:20 in the morning".
fn clock_en(time: Time) -> String {
    let part = match time.hour() {
        0..12 => "in the morning",
        12..17 => "in the afternoon",
        17..21 => "in the evening",
        _ => "at night",
    };
    match (time.hour(), time.minute()) {
        (0, 0) => "midnight".to_owned(),
        (12, 0) => "noon".to_owned(),
        _ => format!("{} {part}", bare_clock_en(time)),
    }
}

/// "half past eight"
fn bare_clock_en(time: Time) -> String {
    const HOURS: [&str; 12] =
        ["twelve", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven"];
    let (hour, minute) = (time.hour(), time.minute());
    let name = |hour: i8| HOURS[usize::from(hour.unsigned_abs()) % 12];
    match minute {
        0 => name(hour).to_owned(),
        15 => format!("a quarter past {}", name(hour)),
        30 => format!("half past {}", name(hour)),
        45 => format!("a quarter to {}", name(hour + 1)),
        _ => format!("{}:{minute:02}", if hour % 12 == 0 { 12 } else { hour % 12 }),
    }
}
