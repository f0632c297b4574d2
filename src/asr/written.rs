//! From words as they are spoken to words as they are written: 幺三八零零… → 13800…, 百分之二十五 → 25%, 下午三点半 → 下午3:30.
//!
//! For display and for records; the mind goes on with what was spoken. What is converted: strings of three digits or more,
//! numbers from ten on, and below ten what stands before a unit of measurement, in a clock time, a date, a percentage or a
//! plate. Counts below ten stay as they are (两个人, 三年, 一下), and so does everything that is no well-formed number (十几,
//! 两三百, 万一). When in doubt a text is left alone: a number in characters can be read, a wrong one misleads.

mod english;
mod numbers;
#[cfg(test)]
mod tests;

use crate::dialogue::slots::digit;
use crate::dialogue::text::{Lang, is_han};
use crate::tts::normalize::PROVINCES;
use english::english;
use numbers::{Number, cardinal, decimal, is_numeral, minute, point, spoken, with_myriads};

/// `text` with its numbers in digits.
pub fn written(text: &str) -> String {
    if Lang::of(text) == Some(Lang::En) {
        return english(text);
    }
    let c: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    let mut clock_before = false;
    while at < c.len() {
        let context = Context { c: &c, at, clock_before };
        if let Some(Found { text, end, clock }) = context.find() {
            out.push_str(&text);
            at = end;
            clock_before = clock;
            continue;
        }
        // A number that no rule takes is left whole: its tail is no number of its own.
        let end = if is_numeral(c[at]) { run(&c, at, is_numeral) } else { at + 1 };
        // A clock time reaches over 到: 下午三点到五点.
        clock_before &= matches!(c[at], '到' | '至' | '或' | '者' | ' ');
        out.extend(&c[at..end]);
        at = end;
    }
    out
}

/// What a rule made of the text up to `end`.
struct Found {
    text: String,
    end: usize,
    clock: bool,
}

impl Found {
    fn new(text: impl Into<String>, end: usize) -> Self {
        Self { text: text.into(), end, clock: false }
    }
}

/// A place in a text.
struct Context<'a> {
    c: &'a [char],
    at: usize,
    clock_before: bool,
}

/// Set phrases that begin like a number.
const PHRASES: [&str; 12] = [
    "三三两两",
    "七七八八",
    "一五一十",
    "一一",
    "十一假期",
    "十一长假",
    "十一放假",
    "十一期间",
    "十一黄金周",
    "一点一点",
    "一点一滴",
    "一百一",
];

/// After these a clock time may follow.
const DAY_PARTS: [&str; 19] = [
    "上午",
    "下午",
    "早上",
    "早晨",
    "晚上",
    "中午",
    "凌晨",
    "傍晚",
    "半夜",
    "夜里",
    "今晚",
    "明晚",
    "今早",
    "明早",
    "后半夜",
    "今天",
    "明天",
    "后天",
    "昨晚",
];

/// Units before which also a number below ten is written in digits.
const UNITS: [&str; 31] = [
    "公里",
    "千米",
    "厘米",
    "毫米",
    "公斤",
    "千克",
    "毫升",
    "千瓦时",
    "千瓦",
    "千伏",
    "度电",
    "块钱",
    "元",
    "伏",
    "安培",
    "瓦",
    "小时",
    "分钟",
    "秒钟",
    "秒",
    "米",
    "吨",
    "升",
    "度",
    "月份",
    "月",
    "号",
    "兆",
    "赫兹",
    "马力",
    "牛米",
];

/// What is counted: from ten on, and a bare 十.
const COUNTED: [&str; 28] = [
    "个", "位", "次", "台", "辆", "人", "天", "年", "点", "块", "岁", "层", "楼", "倍", "条", "家", "万",
    "多", "来", "张", "项", "遍", "趟", "周", "座", "分钟", "号", "月",
];

impl Context<'_> {
    fn find(&self) -> Option<Found> {
        if PHRASES.iter().any(|phrase| self.starts(self.at, phrase)) {
            return None;
        }
        self.plate()
            .or_else(|| self.fraction())
            .or_else(|| self.clock())
            .or_else(|| self.digits())
            .or_else(|| self.number())
    }

    /// 沪A D一二三四五 → 沪AD12345: a province, a letter, five or six letters and digits, at least two of them digits.
    fn plate(&self) -> Option<Found> {
        if !PROVINCES.contains(*self.c.get(self.at)?) {
            return None;
        }
        let mut plate = String::from(self.c[self.at]);
        let (mut i, mut figures) = (self.at + 1, 0);
        while let Some(&c) = self.c.get(i) {
            if c.is_ascii_alphabetic() {
                plate.push(c.to_ascii_uppercase());
            } else if let Some(d) = digit(c).filter(|_| c != '两' && plate.chars().count() > 1) {
                plate.push(d);
                figures += 1;
            } else if c != ' ' {
                break;
            }
            i += 1;
        }
        while self.c.get(i - 1) == Some(&' ') {
            i -= 1;
        }
        let length = plate.chars().count();
        let letter = plate.chars().nth(1).is_some_and(|c| c.is_ascii_alphabetic());
        (letter && (7..=8).contains(&length) && figures >= 2 && !self.is_unit(i))
            .then(|| Found::new(plate, i))
    }

    /// 百分之二十五 → 25%, 千分之五 → 5‰, 三分之二 → 2/3.
    fn fraction(&self) -> Option<Found> {
        let (below, middle) = match self.c[self.at] {
            '百' => (100, self.at + 1),
            '千' => (1000, self.at + 1),
            _ => {
                let number = cardinal(self.c, self.at)?;
                (number.value, number.end)
            }
        };
        if !self.starts(middle, "分之") {
            return None;
        }
        let from = middle + 2;
        let (above, end) = match self.c.get(from)? {
            '百' if below == 100 => ("100".into(), from + 1),
            _ => decimal(self.c, from)?,
        };
        let text = match below {
            100 => format!("{above}%"),
            1000 => format!("{above}‰"),
            _ => format!("{above}/{below}"),
        };
        Some(Found::new(text, end))
    }

    /// 三点半 → 3:30, 下午三点 → 下午3点, 八点一刻 → 8:15, 十点零五分 → 10:05.
    fn clock(&self) -> Option<Found> {
        let hour = cardinal(self.c, self.at).filter(|hour| hour.value <= 24)?;
        if self.c.get(hour.end) != Some(&'点') {
            return None;
        }
        let (h, after) = (hour.value, hour.end + 1);
        let said_before = |part: &str| {
            let part: Vec<char> = part.chars().collect();
            self.c[..self.at].ends_with(&part)
        };
        let day_part = self.clock_before || DAY_PARTS.iter().any(|part| said_before(part));
        let found = |text: String, end| Some(Found { text, end, clock: true });
        if self.starts(after, "半") && !self.starts(after, "半个") {
            return found(format!("{h}:30"), after + 1);
        }
        if self.starts(after, "一刻") {
            return found(format!("{h}:15"), after + 2);
        }
        if self.starts(after, "三刻") {
            return found(format!("{h}:45"), after + 2);
        }
        if self.starts(after, "钟") || self.starts(after, "整") {
            return found(format!("{h}点"), after);
        }
        if let Some((minute, end)) = minute(self.c, after) {
            let full = self.c.get(end) == Some(&'分') && self.c.get(end + 1) != Some(&'钟');
            // 三点二十 can only be a time; 八点零五 is one in the afternoon, or with 分 behind it.
            let tens = self.c[after..end].contains(&'十');
            if (full || tens || (day_part && self.c.get(after) == Some(&'零'))) && !self.is_unit(end) {
                return found(format!("{h}:{minute:02}"), end + usize::from(full));
            }
        }
        let decimal = self.c.get(after).is_some_and(|c| digit(*c).is_some());
        (day_part && !decimal && h > 0).then(|| Found { text: format!("{h}点"), end: after, clock: true })
    }

    /// Three digits or more, one by one, also in groups: 幺三八 零零幺三 八零零零 → 13800138000.
    fn digits(&self) -> Option<Found> {
        let mut text = String::new();
        let (mut i, mut end) = (self.at, self.at);
        while let Some(&c) = self.c.get(i) {
            match spoken(c) {
                Some(d) => {
                    text.push(d);
                    end = i + 1;
                }
                None if c == ' ' => {}
                None => break,
            }
            i += 1;
        }
        let lonely = text.chars().count() < 3 && !self.behind_letter();
        if lonely || text.is_empty() || (text.len() == 1 && matches!(self.c[self.at], '一' | '幺')) {
            return None;
        }
        // 一二三十: no such number. 二三点五: neither.
        if self.c.get(end).is_some_and(|c| matches!(c, '十' | '百' | '千' | '万' | '亿' | '两' | '个'))
        {
            return None;
        }
        let (fraction, end) = point(self.c, end).unwrap_or((String::new(), end));
        Some(Found::new(text + &fraction, end))
    }

    /// 两千三百 → 2300, 三点五公里 → 3.5公里, 五公里 → 5公里; 五个 stays.
    fn number(&self) -> Option<Found> {
        let negative = self.c[self.at] == '负';
        let from = self.at + usize::from(negative);
        let vague = |c: &char| matches!(c, '几' | '数' | '双' | '周' | '期' | '拜');
        if self.at > 0 && vague(&self.c[self.at - 1]) {
            return None;
        }
        let whole = cardinal(self.c, from)?;
        let sign = if negative { "-" } else { "" };
        if let Some((fraction, end)) = point(self.c, whole.end) {
            // 有一点三电的问题: a little, and then another word.
            let counted = self.is_measured(end, 1) || self.is_unit(end);
            let a_little = whole.value == 1 && self.c.get(end).is_some_and(|c| is_han(*c)) && !counted;
            return (!a_little).then(|| Found::new(format!("{sign}{}{fraction}", whole.value), end));
        }
        let Number { value, end, .. } = whole;
        if self.c.get(end).is_some_and(|c| matches!(c, '几')) {
            return None;
        }
        let bare_ten = end == from + 1 && value == 10;
        let converts = match value {
            _ if bare_ten => {
                self.is_measured(end, value) || COUNTED.iter().any(|unit| self.starts(end, unit))
            }
            10.. => true,
            _ => self.is_measured(end, value) || negative,
        };
        // 十点: a time, or ten points. 十分: very.
        converts.then(|| Found::new(format!("{sign}{}", with_myriads(value)), end))
    }

    /// Whether a unit of measurement stands at `at`, after the number `value`.
    fn is_measured(&self, at: usize, value: u64) -> bool {
        let Some(unit) = UNITS.iter().find(|unit| self.starts(at, unit)) else { return false };
        let after = at + unit.chars().count();
        let next = |words: &[char]| self.c.get(after).is_some_and(|c| words.contains(c));
        match *unit {
            // 一度: once. 两月, 两号: nobody says so.
            "度" => value != 1 && !next(&['假']),
            "升" => !next(&['级', '高', '降', '起', '温']),
            "月" | "号" => self.c.get(at.wrapping_sub(1)) != Some(&'两') && !next(&['码', '称', '召']),
            "米" => !next(&['饭', '色', '其']),
            "元" => !next(&['旦', '素', '件']),
            _ => true,
        }
    }

    fn is_unit(&self, at: usize) -> bool {
        self.c.get(at).is_some_and(|c| matches!(c, '十' | '百' | '千' | '万' | '亿'))
    }

    fn behind_letter(&self) -> bool {
        self.at > 0 && self.c[self.at - 1].is_ascii_alphanumeric()
    }

    fn starts(&self, at: usize, words: &str) -> bool {
        starts(self.c, at, words)
    }
}

fn starts(c: &[char], at: usize, words: &str) -> bool {
    words.chars().enumerate().all(|(i, word)| c.get(at + i) == Some(&word))
}

fn run(c: &[char], at: usize, is: fn(char) -> bool) -> usize {
    at + c[at..].iter().take_while(|c| is(**c)).count()
}
