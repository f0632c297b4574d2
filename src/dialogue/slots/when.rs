//! A time in the words of the caller, for a person to read.

use jiff::civil::{DateTime, Time};

use super::{Clock, clock, date};
use crate::dialogue::text::{normalize, strip_fillers};

/// When a day begins for a caller who names no time.
const MORNING: Time = Time::constant(9, 0, 0, 0);

/// A time for a call-back in the caller's own words, without fillers; [`None`] if the words name none.
pub fn time(text: &str) -> Option<String> {
    const MARKS: &[&str] = &[
        "今天",
        "明天",
        "后天",
        "今晚",
        "明晚",
        "明早",
        "早上",
        "上午",
        "中午",
        "下午",
        "晚上",
        "傍晚",
        "周",
        "星期",
        "礼拜",
        "点",
        "小时",
        "分钟",
        "随时",
        "都可以",
        "都行",
        "现在",
        "马上",
        "尽快",
        "越快",
        "下班",
        "号",
        "月底",
        "工作日",
        "过会",
        "待会",
        "一会",
        "半天",
        "节后",
        "any time",
        "anytime",
        "now",
        "today",
        "tomorrow",
        "morning",
        "afternoon",
        "evening",
        "noon",
        "tonight",
        "monday",
        "tuesday",
        "wednesday",
        "thursday",
        "friday",
        "saturday",
        "sunday",
        "hour",
        "clock",
        "am",
        "pm",
        "as soon as",
    ];
    let normal = normalize(text);
    let padded = format!(" {normal} ");
    let found = MARKS
        .iter()
        .any(|m| if m.is_ascii() { padded.contains(&format!(" {m} ")) } else { normal.contains(m) });
    if !found {
        return None;
    }
    let mut words = strip_fillers(&normal);
    for lead in ["那就", "就", "在", "你们"] {
        words = words.strip_prefix(lead).unwrap_or(&words).to_owned();
    }
    for tail in ["好了", "可以", "打电话", "回电话", "回电", "联系我", "联系", "打"] {
        if let Some(bare) = words.strip_suffix(tail)
            && bare.chars().count() >= 2
            && !bare.ends_with('都')
        {
            words = bare.to_owned();
        }
    }
    Some(words)
}

/// The moment that such words mean, at the earliest; [`None`] for as soon as possible. A time without a day is the next that
/// comes, a day without a time its morning.
pub fn moment(text: &str, now: DateTime) -> Option<DateTime> {
    let day = date(text, now.date());
    let time = clock(text).map(|clock| match clock {
        Clock::At(time) | Clock::Between(time, _) => time,
    });
    let at = match (day, time) {
        (None, None) => return None,
        (Some(day), None) => day.to_datetime(MORNING),
        (Some(day), Some(time)) => day.to_datetime(time),
        (None, Some(time)) => {
            let today = now.date().to_datetime(time);
            if today > now { today } else { now.date().tomorrow().ok()?.to_datetime(time) }
        }
    };
    (at > now).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_promised_time_is_a_moment() {
        let now = jiff::civil::date(2026, 11, 21).at(23, 5, 0, 0);
        let told = |text| moment(text, now).map(|at| at.to_string());
        assert_eq!(told("明天上午十点"), Some("2026-11-22T10:00:00".into()));
        assert_eq!(told("后天"), Some("2026-11-23T09:00:00".into()));
        assert_eq!(told("下午三点以后"), Some("2026-11-22T15:00:00".into()), "today's is over");
        assert_eq!(told("tomorrow at nine"), Some("2026-11-22T09:00:00".into()));
        assert_eq!(told("尽快"), None);
        assert_eq!(told("今天上午"), None, "what is over is as soon as possible");
    }

    #[test]
    fn times_are_kept_in_the_callers_words() {
        assert_eq!(time("嗯，明天上午十点吧"), Some("明天上午十点".into()));
        assert_eq!(time("那就下午三点以后打给我"), Some("下午三点以后".into()));
        assert_eq!(time("随时都可以"), Some("随时都可以".into()));
        assert_eq!(time("tomorrow at nine"), Some("tomorrow at nine".into()));
        assert_eq!(time("我不知道"), None);
    }
}
