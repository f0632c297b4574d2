//! A time in the words of the caller, for a person to read.

use crate::dialogue::text::{normalize, strip_fillers};

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_kept_in_the_callers_words() {
        assert_eq!(time("嗯，明天上午十点吧"), Some("明天上午十点".into()));
        assert_eq!(time("那就下午三点以后打给我"), Some("下午三点以后".into()));
        assert_eq!(time("随时都可以"), Some("随时都可以".into()));
        assert_eq!(time("tomorrow at nine"), Some("tomorrow at nine".into()));
        assert_eq!(time("我不知道"), None);
    }
}
