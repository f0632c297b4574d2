//! Days in Mandarin.

use std::ops::Range;

use jiff::civil::Weekday;

use super::{Day, Month, Year};
use crate::dialogue::slots::number::{figure, is_numeral, small};

/// Days from today, longest first.
const NAMED: [(&str, i32); 26] = [
    ("大后天", 3),
    ("大前天", -3),
    ("今天", 0),
    ("今日", 0),
    ("今儿", 0),
    ("今晚", 0),
    ("今早", 0),
    ("今早上", 0),
    ("今夜", 0),
    ("明天", 1),
    ("明日", 1),
    ("明儿", 1),
    ("明早", 1),
    ("明晚", 1),
    ("明晨", 1),
    ("后天", 2),
    ("后日", 2),
    ("后儿", 2),
    ("昨天", -1),
    ("昨日", -1),
    ("昨儿", -1),
    ("昨晚", -1),
    ("昨夜", -1),
    ("前天", -2),
    ("前日", -2),
    ("前晚", -2),
];

/// Not a date of its own behind the number: 三号线, 25号楼.
const NUMBERED: [&str; 40] = [
    "线", "楼", "店", "电池", "桩", "门", "车间", "车位", "车厢", "车道", "充电", "快充", "慢充", "油",
    "柴油", "汽油", "机", "院", "仓", "柜", "库", "馆", "路", "座", "公路", "公馆", "房", "室", "厅", "桌",
    "台", "工位", "枪", "码", "技师", "客服", "坐席", "位", "出口", "单元",
];

/// The days that `text` names, in order, with their bytes.
pub(super) fn days(text: &str) -> Vec<(Day, Range<usize>)> {
    let c: Vec<char> = text.chars().collect();
    let mut bytes: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
    bytes.push(text.len());
    let place = |at: usize| bytes.get(at).copied().unwrap_or(text.len());
    let mut scan = Scan { c: &c, edge: 0 };
    let mut out = Vec::new();
    let mut at = 0;
    while at < c.len() {
        match scan.day(at) {
            Some((day, end)) if end > at => {
                scan.edge = end;
                if let Some(day) = day {
                    out.push((day, place(at)..place(end)));
                }
                at = end;
            }
            _ => at += 1,
        }
    }
    out
}

struct Scan<'a> {
    c: &'a [char],
    /// Where the last day ended: the 三 of 周三 belongs to no number behind it.
    edge: usize,
}

/// What stands there, and where it ends; no day for what only looks like one.
type Found = (Option<Day>, usize);

impl Scan<'_> {
    fn day(&self, at: usize) -> Option<Found> {
        self.not_a_day(at)
            .or_else(|| self.named(at))
            .or_else(|| self.weekday(at))
            .or_else(|| self.calendar(at))
            .or_else(|| self.after_a_while(at))
    }

    /// Both days, or every one.
    fn not_a_day(&self, at: usize) -> Option<Found> {
        let skip =
            ["明后天", "明后两天", "今明两天", "今明", "周末", "每天", "每周", "每个星期", "每月", "每个月"];
        let word = skip.iter().find(|word| self.starts(at, word))?;
        let end = at + word.chars().count();
        // 每周三, 每月五号
        let recurs =
            word.starts_with('每') && self.c.get(end).is_some_and(|c| is_weekday(*c) || is_numeral(*c));
        let more = if recurs { self.small(end).map_or(1, |(_, stop)| stop - end) } else { 0 };
        Some((None, end + more))
    }

    fn named(&self, at: usize) -> Option<Found> {
        let (word, days) = NAMED.iter().find(|(word, _)| self.starts(at, word))?;
        let before = at.checked_sub(1).map_or(' ', |i| self.c[i]);
        // 以后天天, 今后天气, 之前天冷.
        let inside = match self.c[at] {
            '后' => {
                let sky = self.c.get(at + 2).is_some_and(|c| "边空际色晴".contains(*c));
                sky || "以然之今最随背午饭周月年期往".contains(before)
            }
            '前' => "以之目提先".contains(before),
            '明' => "声文透聪证发".contains(before),
            _ => false,
        };
        (!inside).then(|| (Some(Day::Relative(*days)), at + word.chars().count()))
    }

    /// 周三, 下周三, 下个星期的星期三, 礼拜天.
    fn weekday(&self, at: usize) -> Option<Found> {
        let (week, after) = self.offset(at);
        let after = after + usize::from(week.is_some() && self.c.get(after) == Some(&'个'));
        let unit = self.week(after)?;
        // 一周三次, 两个星期一次: a while.
        if week.is_none() && self.counted(at) {
            return Some((None, unit));
        }
        let day = self.weekday_at(unit, week.is_some()).map(|weekday| (weekday, unit + 1)).or_else(|| {
            // 下周的周三
            let gap = usize::from(matches!(self.c.get(unit), Some('的' | '那' | '吧' | '呢')));
            let second = self.week(unit + gap).filter(|_| week.is_some())?;
            self.weekday_at(second, false).map(|weekday| (weekday, second + 1))
        });
        let Some((weekday, end)) = day else { return week.map(|_| (None, unit)) };
        Some((Some(Day::Weekday { week, weekday }), end))
    }

    /// 一个礼拜三傍晚
    fn named_part(&self, at: usize) -> bool {
        ["上午", "下午", "早上", "晚上", "中午", "傍晚"].iter().any(|part| self.starts(at, part))
    }

    /// True behind 两, 三个, 每 …: but not behind the 一 of 周一周三, nor the 个 of 那个周三.
    fn counted(&self, at: usize) -> bool {
        let before = |back: usize| at.checked_sub(back).map_or(' ', |i| self.c[i]);
        let many = |c: char| is_numeral(c) || "几每半整".contains(c);
        match before(1) {
            // 两个星期三次; but 约一个周三.
            '个' => many(before(2)) && self.c[at] != '周' && !self.named_part(at + 3),
            other => many(other) && !"周期拜".contains(before(2)),
        }
    }

    /// 下, 下下, 这, 本, 上: how many from this one.
    fn offset(&self, at: usize) -> (Option<i32>, usize) {
        // 确认一下周日的预约
        if at > 0 && self.c[at] == '下' && self.c[at - 1] == '一' {
            return (None, at);
        }
        let table = [
            ("下下", 2),
            ("上上", -2),
            ("刚过去的", -1),
            ("下", 1),
            ("上", -1),
            ("这", 0),
            ("本", 0),
            ("当", 0),
        ];
        table
            .iter()
            .find(|(word, _)| self.starts(at, word))
            .map_or((None, at), |(word, weeks)| (Some(*weeks), at + word.chars().count()))
    }

    /// Behind 周, 星期 or 礼拜.
    fn week(&self, at: usize) -> Option<usize> {
        ["星期", "礼拜", "周"].iter().find(|word| self.starts(at, word)).map(|word| at + word.chars().count())
    }

    fn weekday_at(&self, at: usize, prefixed: bool) -> Option<Weekday> {
        let next = |words: &[char]| self.c.get(at + 1).is_some_and(|c| words.contains(c));
        let day = *self.c.get(at)?;
        let other = match day {
            '天' => next(&['气', '天', '冷', '热']),
            '日' => next(&['常', '子']),
            // 这周一直在下雨; but 周一下午, 周一会来.
            '一' if prefixed => {
                let low = next(&['下']) && !self.c.get(at + 2).is_some_and(|c| "午班单雨".contains(*c));
                low || next(&['般', '直', '共', '定', '样', '起', '些', '切'])
                    || (next(&['会']) && self.c.get(at + 2) == Some(&'儿'))
                    || (next(&['点']) && !self.says_clock(at + 2))
            }
            '一' => false,
            _ => day.is_ascii_digit() && self.c.get(at + 1).is_some_and(char::is_ascii_digit),
        };
        let number = match day {
            '日' | '天' => 7,
            _ => figure(day).or(day.to_digit(10)).filter(|d| (1..=7).contains(d) && day != '两')?,
        };
        Weekday::from_monday_one_offset(number as i8).ok().filter(|_| !other && number <= 7)
    }

    fn says_clock(&self, at: usize) -> bool {
        self.c.get(at).is_none_or(|c| matches!(c, '半' | '钟' | '整' | '可' | '吧' | '左' | '以' | '到'))
    }

    /// 2026年11月25日, 明年一月五号, 下个月五号, 二十五号, 月底, 11/25.
    fn calendar(&self, at: usize) -> Option<Found> {
        if let Some(found) = self.written(at) {
            return Some(found);
        }
        let (year, start) = self.year(at);
        let (month, after) = self.month(start, year.is_some());
        let after = if month.is_some() { self.skip(after, &['份', '的', '那']) } else { after };
        let base = self.c.get(after + 1).is_some_and(|c| "盘价部薪座".contains(*c));
        if month.is_some() && matches!(self.c.get(after), Some('底' | '末')) && !base {
            return Some((Some(Day::Calendar { year, month, day: None }), after + 1));
        }
        let Some((day, end)) = self.day_of_month(after, month.is_some()) else {
            // 十一月 alone is no day, and its 十一 is none of anything else.
            return month.map(|_| (None, after));
        };
        Some((Some(Day::Calendar { year, month, day: Some(day) }), end))
    }

    /// 2026-11-25, 11/25.
    fn written(&self, at: usize) -> Option<Found> {
        if !self.c[at].is_ascii_digit() || (at > 0 && (is_numeral(self.c[at - 1]) || self.c[at - 1] == '/')) {
            return None;
        }
        let stop = |c: &char| c.is_ascii_digit() || matches!(c, '-' | '/' | '.');
        let text: String = self.c[at..].iter().take_while(|c| stop(c)).take(12).collect();
        let end = at + text.len();
        let parts: Vec<&str> = text.split(['-', '/', '.']).collect();
        let number = |part: &str| part.parse::<i16>().ok();
        let (year, month, day) = match *parts.as_slice() {
            [year, month, day] if year.len() == 4 => {
                (Some(Year::Is(number(year)?)), number(month)?, number(day)?)
            }
            [month, day] if text.contains('/') => (None, number(month)?, number(day)?),
            _ => return None,
        };
        let valid = (1..=12).contains(&month) && (1..=31).contains(&day);
        let day = Day::Calendar { year, month: Some(Month::Is(month as i8)), day: Some(day as i8) };
        let end = self.skip(end, &['日', '号']);
        valid.then_some((Some(day), end))
    }

    fn year(&self, at: usize) -> (Option<Year>, usize) {
        let words = [("今年", 0), ("明年", 1), ("后年", 2), ("去年", -1)];
        if let Some((word, years)) = words.iter().find(|(word, _)| self.starts(at, word)) {
            return (Some(Year::Relative(*years)), self.skip(at + word.chars().count(), &['的']));
        }
        let digits: String = self.c[at..]
            .iter()
            .map_while(|c| c.to_digit(10).or_else(|| figure(*c)))
            .filter_map(|d| char::from_digit(d, 10))
            .take(5)
            .collect();
        let year = at + digits.len();
        match (digits.len(), digits.parse::<i16>()) {
            (4, Ok(number)) if self.c.get(year) == Some(&'年') && number >= 1900 => {
                (Some(Year::Is(number)), year + 1)
            }
            _ => (None, at),
        }
    }

    fn month(&self, at: usize, year: bool) -> (Option<Month>, usize) {
        if let Some((month, end)) = self.small(at).filter(|(month, _)| (1..=12).contains(month)) {
            let lunar = at > 0 && "农历闰".contains(self.c[at - 1]);
            if self.c.get(end) == Some(&'月') && !lunar && self.c[at] != '两' {
                return (Some(Month::Is(month as i8)), end + 1);
            }
            return (None, at);
        }
        if year {
            return (None, at);
        }
        let (offset, after) = self.offset(at);
        let after = if offset.is_some() { self.skip(after, &['个']) } else { after };
        match offset {
            Some(months) if self.c.get(after) == Some(&'月') => (Some(Month::Relative(months)), after + 1),
            None if self.starts(at, "月底") || self.starts(at, "月末") => {
                let other = at > 0 && ("每腊正个".contains(self.c[at - 1]) || is_numeral(self.c[at - 1]));
                (Some(Month::Relative(0)).filter(|_| !other), at + 1)
            }
            _ => (None, at),
        }
    }

    /// 二十五号, and 二十五 alone behind a month.
    fn day_of_month(&self, at: usize, behind_month: bool) -> Option<(i8, usize)> {
        let (day, end) = self.small(at).filter(|(day, _)| (1..=31).contains(day))?;
        let before = at.checked_sub(1).map_or(' ', |i| self.c[i]);
        let named = matches!(self.c.get(end), Some('号' | '日'));
        let two = self.c[at] == '两';
        if behind_month {
            let other = self.c.get(end).is_some_and(|c| "点个天周岁公块元期次年位台辆%.:/-".contains(*c));
            return (named || !(other || two)).then_some((day as i8, end + usize::from(named)));
        }
        // 第五号, 腊月二十五号, 款式五号; 三日游, 一日三餐; and numbered things.
        let is_day = self.c.get(end) == Some(&'日');
        let other = "第月初尾款工小大.:/-".contains(before)
            || before.is_ascii_alphanumeric()
            || NUMBERED.iter().any(|thing| self.starts(end + 1, thing))
            || (is_day && (day == 1 || "内游三行之".contains(*self.c.get(end + 1).unwrap_or(&' '))));
        (named && !two && !other).then_some((day as i8, end + 1))
    }

    /// 三天后, 过三天, 一个礼拜以后, 半个月后, 三天前.
    fn after_a_while(&self, at: usize) -> Option<Found> {
        let led = self.c[at] == '过';
        let from = at + usize::from(led);
        let half = self.starts(from, "半个月");
        let (count, end) = if half { (15, from + 1) } else { self.small(from).filter(|(n, _)| *n > 0)? };
        let units =
            [("天", 1), ("个星期", 7), ("星期", 7), ("个礼拜", 7), ("礼拜", 7), ("周", 7), ("个月", 30)];
        let (unit, days) = units.iter().find(|(unit, _)| self.starts(end, unit))?;
        let stop = end + unit.chars().count();
        let (later, earlier) = (["以后", "之后", "过后", "后"], ["以前", "之前", "前"]);
        let tail = |words: &[&str]| {
            words.iter().find(|word| self.starts(stop, word)).map(|word| stop + word.chars().count())
        };
        let count = count as i32;
        let day = |sign: i32| match *days {
            30 if !half => Day::Months(sign * count),
            30 => Day::Relative(sign * count),
            days => Day::Relative(sign * count * days),
        };
        if let Some(end) = tail(&later) {
            return Some((Some(day(1)), end));
        }
        // 前 of 前天 belongs to it; 两天前 is past.
        if let Some(end) = tail(&earlier).filter(|_| !self.starts(stop, "前天") && !led) {
            return Some((Some(day(-1)), end));
        }
        if self.named_part(stop + 1) {
            return None;
        }
        // 过两天: some day soon.
        let vague = self.c[from] == '两';
        Some((Some(day(1)).filter(|_| led && !vague), stop))
    }

    fn small(&self, at: usize) -> Option<(u32, usize)> {
        let from = if at == self.edge { at } else { 0 };
        small(self.c.get(from..)?, at - from).map(|(number, end)| (number, end + from))
    }

    fn skip(&self, at: usize, words: &[char]) -> usize {
        at + usize::from(self.c.get(at).is_some_and(|c| words.contains(c)))
    }

    fn starts(&self, at: usize, words: &str) -> bool {
        words.chars().enumerate().all(|(i, word)| self.c.get(at + i) == Some(&word))
    }
}

fn is_weekday(c: char) -> bool {
    matches!(c, '一' | '二' | '三' | '四' | '五' | '六' | '日' | '天')
}
