//! From words as they are spoken to words as they are written: 幺三八零零… → 13800…, 百分之二十五 → 25%, 下午三点半 → 下午3:30.
//!
//! For display and for records; the mind goes on with what was spoken. What is converted: strings of three digits or more,
//! numbers from ten on, and below ten what stands before a unit of measurement, in a clock time, a date, a percentage or a
//! plate. Counts below ten stay as they are (两个人, 三年, 一下), and so does everything that is no well-formed number (十几,
//! 两三百, 万一). When in doubt a text is left alone: a number in characters can be read, a wrong one misleads.

use crate::dialogue::slots::digit;
use crate::dialogue::text::{Lang, is_han};
use crate::tts::normalize::PROVINCES;

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

fn is_numeral(c: char) -> bool {
    digit(c).is_some_and(|_| is_han(c) || c == '〇') || matches!(c, '十' | '百' | '千' | '万' | '亿')
}

/// A digit as it is said in a string of digits.
fn spoken(c: char) -> Option<char> {
    digit(c).filter(|_| !matches!(c, '两' | '么' | '妖' | '腰' | '拐' | '勾' | '洞'))
}

struct Number {
    value: u64,
    end: usize,
}

/// A well-formed cardinal: 三, 二十五, 两千零五, 三万五 (35000). [`None`] for strings of digits and for 两三百.
fn cardinal(c: &[char], at: usize) -> Option<Number> {
    let (mut total, mut section, mut pending) = (0_u64, 0_u64, None::<u64>);
    let (mut unit, mut myriad, mut zero) = (10_000_u64, u64::MAX, false);
    let mut i = at;
    while let Some(&sign) = c.get(i) {
        if matches!(sign, '零' | '〇') {
            if zero || pending.is_some() || i == at {
                break;
            }
            zero = true;
        } else if let Some(d) = digit(sign)
            .filter(|_| is_han(sign) && !matches!(sign, '么' | '妖' | '腰' | '拐' | '勾' | '洞' | '幺'))
        {
            if pending.is_some() {
                return None;
            }
            pending = d.to_digit(10).map(u64::from);
        } else if let Some(step) = match sign {
            '十' => Some(10),
            '百' => Some(100),
            '千' => Some(1000),
            _ => None,
        } {
            // 七千瓦 is said of kilowatts.
            let kilo = step == 1000 && matches!(c.get(i + 1), Some('瓦' | '米' | '克' | '伏' | '赫'));
            if step >= unit || kilo {
                break;
            }
            let Some(count) = pending.take().or((step == 10 && (i == at || section > 0)).then_some(1)) else {
                break;
            };
            section += count * step;
            (unit, zero) = (step, false);
        } else if let Some(step) = match sign {
            '万' => Some(10_000),
            '亿' => Some(100_000_000),
            _ => None,
        } {
            let count = section + pending.unwrap_or(0);
            if step >= myriad || count == 0 {
                break;
            }
            total += count * step;
            (section, pending, unit, myriad, zero) = (0, None, 10_000, step, false);
        } else {
            break;
        }
        i += 1;
    }
    if zero && pending.is_none() {
        i -= 1;
    }
    if i == at {
        return None;
    }
    let tail = match pending {
        // 一百五 is 150, 三万五 is 35000; 一百零五 is 105.
        Some(d) if !zero && section > 0 => d * unit / 10,
        Some(d) if !zero && total > 0 => d * myriad / 10,
        Some(d) => d,
        None => 0,
    };
    Some(Number { value: total + section + tail, end: i })
}

/// 点 and the digits behind it, once or more (三点二点一): as `.5`.
fn point(c: &[char], at: usize) -> Option<(String, usize)> {
    let mut text = String::new();
    let mut end = at;
    while c.get(end) == Some(&'点') {
        let digits: String = c[end + 1..].iter().map_while(|c| spoken(*c)).collect();
        if digits.is_empty() {
            break;
        }
        text.push('.');
        text.push_str(&digits);
        end += 1 + digits.len();
    }
    // 三点二十 is a time, not 3.2 and then ten; 一点五万 goes on.
    let whole = !c.get(end).is_some_and(|c| matches!(c, '十' | '百' | '点'));
    (!text.is_empty() && whole).then_some((text, end))
}

/// A number with or without a fraction, in digits.
fn decimal(c: &[char], at: usize) -> Option<(String, usize)> {
    let whole = match c.get(at)? {
        '零' | '〇' => Number { value: 0, end: at + 1 },
        _ => cardinal(c, at)?,
    };
    let (fraction, end) = point(c, whole.end).unwrap_or((String::new(), whole.end));
    Some((format!("{}{fraction}", whole.value), end))
}

/// Minutes behind 点: 二十, 零五, 五十九.
fn minute(c: &[char], at: usize) -> Option<(u64, usize)> {
    let zero = c.get(at) == Some(&'零');
    let minute = cardinal(c, at + usize::from(zero))?;
    (minute.value < 60 && (!zero || minute.value < 10)).then_some((minute.value, minute.end))
}

/// Whole myriads keep their characters: 30000 → 3万, 120000000 → 1亿2000万.
fn with_myriads(value: u64) -> String {
    if value < 10_000 || !value.is_multiple_of(10_000) {
        return value.to_string();
    }
    let (many, few) = (value / 100_000_000, value / 10_000 % 10_000);
    let part = |count: u64, unit| if count > 0 { format!("{count}{unit}") } else { String::new() };
    part(many, "亿") + &part(few, "万")
}

/// Three spoken digits or more in a row: one three eight double zero → 13800.
fn english(text: &str) -> String {
    let words: Vec<&str> = text.split(' ').collect();
    let mut out: Vec<String> = Vec::new();
    let mut at = 0;
    while at < words.len() {
        let (mut digits, mut count, mut times, mut end) = (String::new(), 0, 1, at);
        while let Some(word) = words.get(end) {
            match english_digit(word) {
                Some(EnglishDigit::Digit(d)) => {
                    digits.extend(std::iter::repeat_n(d, times));
                    count += times;
                    times = 1;
                }
                Some(EnglishDigit::Times(n)) if times == 1 => times = n,
                _ => break,
            }
            end += 1;
        }
        if count >= 3 && times == 1 {
            out.push(digits);
            at = end;
        } else {
            let end = end.max(at + 1);
            out.extend(words[at..end].iter().map(|word| (*word).to_owned()));
            at = end;
        }
    }
    out.join(" ")
}

enum EnglishDigit {
    Digit(char),
    Times(usize),
}

fn english_digit(word: &str) -> Option<EnglishDigit> {
    const WORDS: [&str; 10] =
        ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];
    let word = word.to_ascii_lowercase();
    Some(match word.as_str() {
        "oh" | "o" => EnglishDigit::Digit('0'),
        "double" => EnglishDigit::Times(2),
        "triple" => EnglishDigit::Times(3),
        word => {
            let value = WORDS.iter().position(|digit| *digit == word)?;
            EnglishDigit::Digit(char::from_digit(value as u32, 10)?)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(table: &[(&str, &str)]) {
        let wrong: Vec<_> = table
            .iter()
            .filter(|(spoken, expected)| written(spoken) != *expected)
            .map(|(spoken, expected)| format!("{spoken} → {} instead of {expected}", written(spoken)))
            .collect();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn telephone_numbers_and_other_strings_of_digits() {
        check(&[
            ("幺三八零零幺三八零零零", "13800138000"),
            ("我的电话是幺三九幺二三四五六七八谢谢", "我的电话是13912345678谢谢"),
            ("幺三八 零零幺三 八零零零", "13800138000"),
            ("一三八零零一三八零零零", "13800138000"),
            ("零二一六六六六八八八八", "02166668888"),
            ("打幺二零", "打120"),
            ("四零零八二零八八二零", "4008208820"),
            ("尾号三四五六", "尾号3456"),
            ("二零二六年", "2026年"),
            ("订单号是八八六二零一五", "订单号是8862015"),
            ("one three eight double zero one three eight triple zero", "13800138000"),
            ("my number is one two three please", "my number is 123 please"),
        ]);
    }

    #[test]
    fn plates_and_models() {
        check(&[
            ("沪A D一二三四五", "沪AD12345"),
            ("沪AD一二三四五", "沪AD12345"),
            ("京A幺二三四五", "京A12345"),
            ("粤B D 五六七八九的车主", "粤BD56789的车主"),
            ("车牌是浙a八八八八八", "车牌是浙A88888"),
            ("我开的是P七", "我开的是P7"),
            ("OTA三点零", "OTA3.0"),
            ("京东买的", "京东买的"),
        ]);
    }

    #[test]
    fn numbers_and_measures() {
        check(&[
            ("两千三百公里", "2300公里"),
            ("跑了三万公里", "跑了3万公里"),
            ("跑了三万五千公里", "跑了35000公里"),
            ("跑了两万三公里", "跑了23000公里"),
            ("五公里", "5公里"),
            ("三点五公里", "3.5公里"),
            ("一百五", "150"),
            ("一百零五", "105"),
            ("一千零五十", "1050"),
            ("十二个月", "12个月"),
            ("十公里", "10公里"),
            ("十分钟", "10分钟"),
            ("二十多分钟", "20多分钟"),
            ("五分钟", "5分钟"),
            ("两小时", "2小时"),
            ("零下五度", "零下5度"),
            ("负五度", "-5度"),
            ("七千瓦", "7千瓦"),
            ("一百二十千瓦", "120千瓦"),
            ("二点零升", "2.0升"),
            ("一点五万块钱", "1.5万块钱"),
            ("三十万", "30万"),
            ("一千两百块钱", "1200块钱"),
            ("第十二次", "第12次"),
            ("版本三点二点一", "版本3.2.1"),
            ("一亿两千万", "1亿2000万"),
        ]);
    }

    #[test]
    fn percentages_and_fractions() {
        check(&[
            ("百分之二十五", "25%"),
            ("电量剩百分之五", "电量剩5%"),
            ("百分之三点五", "3.5%"),
            ("百分之零点五", "0.5%"),
            ("百分之百", "100%"),
            ("充到百分之八十", "充到80%"),
            ("千分之五", "5‰"),
            ("三分之二", "2/3"),
        ]);
    }

    #[test]
    fn times_and_dates() {
        check(&[
            ("下午三点半", "下午3:30"),
            ("三点半", "3:30"),
            ("明天上午十点", "明天上午10点"),
            ("下午两点", "下午2点"),
            ("下午三点到五点", "下午3点到5点"),
            ("八点一刻", "8:15"),
            ("十点零五分", "10:05"),
            ("三点二十", "3:20"),
            ("晚上八点四十五分", "晚上8:45"),
            ("三点钟", "3点钟"),
            ("十二点", "12点"),
            ("十月八号", "10月8号"),
            ("三月五号", "3月5号"),
            ("二零二五年十二月三十一号", "2025年12月31号"),
        ]);
    }

    #[test]
    fn what_only_looks_like_a_number_stays() {
        let same = [
            "等一下",
            "一起",
            "三电",
            "万一",
            "一直",
            "十分满意",
            "四轮定位",
            "千万别",
            "二手车",
            "两个人",
            "一点也不凉",
            "有一点三电的问题",
            "三年",
            "星期三",
            "周五",
            "礼拜六",
            "十几个",
            "几十公里",
            "两三百",
            "三四天",
            "五六十公里",
            "第一次",
            "三包",
            "七座",
            "乱七八糟",
            "三三两两",
            "一一说明",
            "十一假期",
            "双十一",
            "百分百",
            "一会儿",
            "一样",
            "说一说",
            "一共",
            "一定",
            "一辆车",
            "两点意见",
            "一键启动",
            "十字路口",
            "十足",
            "三个八",
            "零件",
            "不三不四",
            "百货",
            "千里马",
            "好几万",
            "转人工",
            "",
            "hello",
            "one car",
            "my two cars",
        ];
        let table: Vec<_> = same.into_iter().map(|s| (s, s)).collect();
        check(&table);
    }

    #[test]
    fn text_with_digits_already_stays() {
        check(&[("13800138000", "13800138000"), ("续航500公里", "续航500公里"), ("2.5 升", "2.5 升")]);
    }
}
