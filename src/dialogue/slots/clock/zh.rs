//! Times of day in Mandarin.

use std::ops::Range;

use super::{Found, Limit, Part};
use crate::dialogue::slots::number::{figure, is_numeral, small};

/// Longest first.
const PARTS: [(&str, Part); 29] = [
    ("下班以后", Part::AfterWork),
    ("下班之后", Part::AfterWork),
    ("下班后", Part::AfterWork),
    ("下了班", Part::AfterWork),
    ("后半夜", Part::Small),
    ("一大早", Part::Early),
    ("大清早", Part::Early),
    ("大晚上", Part::Evening),
    ("凌晨", Part::Small),
    ("半夜", Part::Night),
    ("深夜", Part::Night),
    ("清晨", Part::Early),
    ("早晨", Part::Early),
    ("早上", Part::Early),
    ("今早", Part::Early),
    ("明早", Part::Early),
    ("一早", Part::Early),
    ("上午", Part::Morning),
    ("中午", Part::Noon),
    ("晌午", Part::Noon),
    ("午后", Part::Afternoon),
    ("下午", Part::Afternoon),
    ("傍晚", Part::Dusk),
    ("晚上", Part::Evening),
    ("夜里", Part::Night),
    ("夜间", Part::Night),
    ("今晚", Part::Evening),
    ("明晚", Part::Evening),
    ("昨晚", Part::Evening),
];

/// Points that are no times: 两点建议, 三点式.
const POINTS: [&str; 25] = [
    "建议",
    "意见",
    "问题",
    "要求",
    "想法",
    "原因",
    "不同",
    "说明",
    "疑问",
    "需求",
    "需要",
    "内容",
    "好处",
    "注意",
    "水",
    "式",
    "要说",
    "想说",
    "要问",
    "想问",
    "不明白",
    "不满",
    "不清楚",
    "不懂",
    "理由",
];

/// What may follow an hour of one, beside the end: 一点 is mostly a little.
const AFTER_ONE: [&str; 17] = [
    "吧",
    "可以",
    "行",
    "左右",
    "以后",
    "之后",
    "以前",
    "之前",
    "到",
    "过来",
    "来",
    "见",
    "好了",
    "怎么样",
    "有空",
    "整",
    "都可以",
];

/// What may stand before an hour of one.
const BEFORE_ONE: [&str; 14] =
    ["那就", "那", "就", "在", "约", "定", "是", "到", "改", "天", "号", "日", "嗯", "那么"];

/// What is found, with its bytes.
pub(super) fn times(text: &str) -> Vec<(Found, Range<usize>)> {
    let c: Vec<char> = text.chars().collect();
    let mut bytes: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
    bytes.push(text.len());
    let place = |at: usize| bytes.get(at).copied().unwrap_or(text.len());
    let mut scan = Scan { c: &c, part_before: false, weekday_before: false };
    let mut out = Vec::new();
    let mut at = 0;
    while at < c.len() {
        if let Some(end) = scan.weekday(at) {
            (scan.weekday_before, at) = (true, end);
            continue;
        }
        if let Some((found, end)) = scan.part(at).or_else(|| scan.time(at)) {
            scan.part_before = matches!(found, Found::Part(_));
            out.push((found, place(at)..place(end)));
            at = end;
        } else {
            // The rest of a number is none of its own.
            scan.part_before = false;
            at += 1;
        }
        scan.weekday_before = false;
    }
    out
}

/// 以后 or 以前 behind a time.
pub(super) fn limit(after: &str) -> Option<Limit> {
    let after = ["左右", "钟"].iter().find_map(|word| after.strip_prefix(word)).unwrap_or(after);
    let starts = |words: &[&str]| words.iter().any(|word| after.starts_with(word));
    if starts(&["前后", "后面", "前面", "后天", "前天"]) {
        None
    } else if starts(&["以后", "之后", "过后", "后"]) {
        Some(Limit::After)
    } else if starts(&["以前", "之前", "前"]) {
        Some(Limit::Before)
    } else {
        None
    }
}

struct Scan<'a> {
    c: &'a [char],
    /// A part of the day stands right before.
    part_before: bool,
    /// A weekday stands right before.
    weekday_before: bool,
}

impl Scan<'_> {
    /// 周三 before 十点: its 三 is no number.
    fn weekday(&self, at: usize) -> Option<usize> {
        let end = ["星期", "礼拜", "周"]
            .iter()
            .find(|word| self.starts(at, word))
            .map(|w| at + w.chars().count())?;
        self.c.get(end).filter(|c| "一二三四五六日天1234567".contains(**c)).map(|_| end + 1)
    }

    fn part(&self, at: usize) -> Option<(Found, usize)> {
        let (word, part) = PARTS.iter().find(|(word, _)| self.starts(at, word))?;
        let end = at + word.chars().count();
        // 早上好
        // 一晚上, 整上午: how long, not when. 周一晚上 and 二十一晚上 are days.
        let before = |back: usize| at.checked_sub(back).map_or(' ', |i| self.c[i]);
        let while_long = "一整半几".contains(before(1)) && before(2) != '十' && !self.weekday_before;
        let greets = self.c.get(end) == Some(&'好') && !self.starts(end, "好像") && !self.starts(end, "好了");
        (!greets && !while_long).then_some((Found::Part(*part), end))
    }

    fn time(&self, at: usize) -> Option<(Found, usize)> {
        self.digital(at)
            .or_else(|| self.to_the_hour(at))
            .or_else(|| self.either(at))
            .or_else(|| self.hour(at))
    }

    /// 14:30
    fn digital(&self, at: usize) -> Option<(Found, usize)> {
        let (hour, colon) =
            small(self.c, at).filter(|(hour, _)| self.c[at].is_ascii_digit() && *hour <= 24)?;
        let (minute, end) = (self.c.get(colon) == Some(&':')).then(|| self.two_digits(colon + 1))??;
        Some((Found::Time { hour: hour as i8, minute }, self.skip(end, '分')))
    }

    fn two_digits(&self, at: usize) -> Option<(i8, usize)> {
        let digit = |at: usize| self.c.get(at).and_then(|c| c.to_digit(10));
        let minute = digit(at)? * 10 + digit(at + 1)?;
        (minute < 60 && digit(at + 2).is_none()).then_some((minute as i8, at + 2))
    }

    /// 差一刻三点, 差五分十点.
    fn to_the_hour(&self, at: usize) -> Option<(Found, usize)> {
        if self.c[at] != '差' {
            return None;
        }
        let (minutes, from) = if self.starts(at + 1, "一刻") {
            (15, at + 3)
        } else {
            let (minutes, end) = small(self.c, at + 1).filter(|(m, _)| (1..30).contains(m))?;
            (minutes as i8, (self.c.get(end) == Some(&'分')).then_some(end + 1)?)
        };
        let from = self.skip(self.skip(from, '钟'), '到');
        let (hour, end) = small(self.c, from).filter(|(hour, _)| (1..=24).contains(hour))?;
        (self.c.get(end) == Some(&'点'))
            .then(|| (Found::Time { hour: earlier(hour as i8), minute: 60 - minutes }, end + 1))
    }

    /// 两三点
    fn either(&self, at: usize) -> Option<(Found, usize)> {
        let inside = at > 0 && is_numeral(self.c[at - 1]) && !self.weekday_before;
        let (one, next) = (figure(self.c[at])?, figure(*self.c.get(at + 1)?)?);
        let hours = one > 0 && next == one + 1 && self.c.get(at + 2) == Some(&'点');
        let plain = !self.c.get(at + 3).is_some_and(|c| is_numeral(*c) || *c == '半');
        let points = POINTS.iter().any(|word| self.starts(at + 3, word));
        (hours && plain && !inside && !points)
            .then(|| (Found::Either { hour: one as i8 }, self.skip(at + 3, '钟')))
    }

    /// 三点, 三点半, 三点二十, 14时30分.
    fn hour(&self, at: usize) -> Option<(Found, usize)> {
        let free = &self.c[if self.weekday_before { at } else { 0 }..];
        let shift = self.c.len() - free.len();
        let (hour, sign) = small(free, at - shift).map(|(hour, end)| (hour as i8, end + shift))?;
        let after = sign + 1;
        let hours = self.c.get(sign) == Some(&'时')
            && self.c.get(after).is_some_and(|c| is_numeral(*c) || *c == '整');
        if hour > 24 || !(hours || self.c.get(sign) == Some(&'点')) {
            return None;
        }
        if at > 0 && self.c[at - 1].is_ascii_alphanumeric() && !self.part_before {
            return None;
        }
        let exactly = |hour: i8, minute: i8, end: usize| Some((Found::Time { hour, minute }, end));
        if self.c.get(after) == Some(&'半') && !self.starts(after, "半个") {
            return exactly(hour, 30, after + 1);
        }
        if self.starts(after, "差") {
            let (minutes, end) = small(self.c, after + 1).filter(|(m, _)| (1..30).contains(m))?;
            return (self.c.get(end) == Some(&'分'))
                .then(|| exactly(earlier(hour), 60 - minutes as i8, end + 1))?;
        }
        let from = self.skip(after, '过');
        if let Some((_, minute)) =
            [("一刻", 15), ("两刻", 30), ("三刻", 45)].iter().find(|(w, _)| self.starts(from, w))
        {
            return exactly(hour, *minute, from + 2);
        }
        if let Some((minute, end)) = self.minute(from) {
            return exactly(hour, minute, end);
        }
        if self.c.get(after).is_some_and(|c| matches!(c, '钟' | '整')) {
            return exactly(hour, 0, after + 1);
        }
        if let Some(word) = ["来钟", "多钟"].iter().find(|word| self.starts(after, word)) {
            return exactly(hour, 0, after + word.chars().count());
        }
        // A decimal number; points; a little.
        let decimal = self.c.get(after).is_some_and(|c| is_numeral(*c) || *c == '几') && !self.very(after);
        let before: String = self.c[..at].iter().collect();
        let rest: String = self.c[after..].iter().collect();
        let points = POINTS.iter().any(|word| rest.starts_with(word))
            || (!self.part_before && before.ends_with(['第', '这', '几', '有', '提', '下']));
        let one = hour == 1 && self.c[at] == '一';
        let little = one
            && (rest.starts_with(['也', '不', '没', '点', '儿', '小', '毛'])
                || (rest.starts_with('都') && !rest.starts_with("都可以") && !rest.starts_with("都行")));
        let told = self.part_before || self.weekday_before;
        let placed = told || before.is_empty() || BEFORE_ONE.iter().any(|word| before.ends_with(word));
        let ended = told || rest.is_empty() || AFTER_ONE.iter().any(|word| rest.starts_with(word));
        let midnight = hour == 0 && !self.part_before && !rest.starts_with("以后");
        let no = decimal || points || little || (one && !(placed && ended)) || midnight;
        (!no).then(|| exactly(hour, 0, after))?
    }

    /// 二十, 零五分, 五分; with a part of the day before also 四五 (45).
    fn minute(&self, at: usize) -> Option<(i8, usize)> {
        let sign = *self.c.get(at)?;
        let digit = |at: usize| self.c.get(at).and_then(|c| figure(*c).filter(|_| *c != '两'));
        let found = if matches!(sign, '零' | '〇') {
            digit(at + 1)
                .map(|d| (d as i8, at + 2))
                .filter(|(_, end)| !self.c.get(*end).is_some_and(|c| is_numeral(*c)))
        } else if sign.is_ascii_digit() {
            self.two_digits(at).or_else(|| {
                let one = sign.to_digit(10)? as i8;
                (self.c.get(at + 1) == Some(&'分')).then_some((one, at + 1))
            })
        } else {
            let full = |end: usize| self.c.get(end) == Some(&'分');
            small(self.c, at)
                .filter(|(m, end)| (1..60).contains(m) && (*m >= 10 || full(*end)))
                .map(|(m, end)| (m as i8, end))
                .or_else(|| {
                    let (tens, ones) = (digit(at)?, digit(at + 1)?);
                    let alone = self.part_before && !self.c.get(at + 2).is_some_and(|c| is_numeral(*c));
                    (alone && tens < 6).then_some(((tens * 10 + ones) as i8, at + 2))
                })
        };
        let (minute, end) = found?;
        let measured =
            ["公里", "千米", "万", "升", "度", "块", "元", "千瓦", "倍", "米", "个", "折", "成", "天"]
                .iter()
                .any(|unit| self.starts(end, unit));
        let long = self.starts(end, "分钟");
        (!self.very(at) && !measured && !long).then(|| (minute, self.skip(end, '分')))
    }

    /// 十分感谢 is no ten minutes.
    fn very(&self, at: usize) -> bool {
        self.starts(at, "十分")
            && self.c.get(at + 2).is_some_and(|c| "感满着不重方抱麻急想需清高喜难生担".contains(*c))
    }

    fn skip(&self, at: usize, word: char) -> usize {
        at + usize::from(self.c.get(at) == Some(&word))
    }

    fn starts(&self, at: usize, words: &str) -> bool {
        words.chars().enumerate().all(|(i, word)| self.c.get(at + i) == Some(&word))
    }
}

/// The hour before.
fn earlier(hour: i8) -> i8 {
    if hour <= 1 { hour + 11 } else { hour - 1 }
}
