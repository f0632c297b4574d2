//! Quantities: 八千二百公里, 一万二, 三十六期, 三成, 百分之二十, "twelve thousand".

use super::meant::{meant, plain};
use super::number::{figure, is_numeral, one, quantity, quantity_en};
use super::phone::digit;
use crate::dialogue::text::Lang;

/// The quantity that is meant: 八千二百公里 is 8200, 三成 0.3, 百分之二十 0.2, 两年半 2.5. Of several the last that has a unit
/// of measurement. [`None`] for what is vague (七八千, 十几万), and for words that hold a numeral by accident (一下, 二手车).
pub fn amount(text: &str) -> Option<f64> {
    let text = plain(text);
    let text = meant(&text);
    if Lang::of(text) == Some(Lang::En) { english(text) } else { chinese(text) }
}

/// Units behind which also one small number is a quantity.
const MEASURES: [&str; 41] = [
    "公里",
    "千米",
    "迈",
    "里",
    "km",
    "期",
    "年",
    "个月",
    "个半",
    "月",
    "天",
    "周",
    "个星期",
    "个礼拜",
    "小时",
    "个小时",
    "分钟",
    "万",
    "块",
    "元",
    "千瓦",
    "度电",
    "度",
    "升",
    "公斤",
    "米",
    "个点",
    "折",
    "岁",
    "倍",
    "层",
    "座",
    "个钟头",
    "千块",
    "百块",
    "k",
    "w",
    "钱",
    "以上",
    "以下",
    "以内",
];
/// What is counted.
const COUNTED: [&str; 18] = [
    "个", "次", "辆", "台", "位", "人", "家", "张", "条", "只", "套", "步", "颗", "块钱", "把", "份", "件",
    "趟",
];
/// Begins like one of those.
const OTHER: [&str; 22] = [
    "年级", "月份", "天窗", "周年", "周岁", "个人", "个性", "人工", "位置", "家里", "条件", "只是", "台阶",
    "度假", "里面", "里程", "米其", "元旦", "层次", "座椅", "次卧", "期间",
];
/// All that may stand beside a bare number.
const AROUND: &str =
    "大概差不多左右上下吧了是有我的跑快到就才嗯呃那也还应该得要开已经正好一共总共这个车现在目前呀啊呢";

fn chinese(text: &str) -> Option<f64> {
    let c: Vec<char> = text.chars().collect();
    let mut best: Option<(u8, f64)> = None;
    let mut at = 0;
    while at < c.len() {
        let Some((value, end, rank)) = Place { c: &c, at }.read() else {
            at += 1;
            continue;
        };
        if let Some(value) = value
            && best.is_none_or(|(before, _)| rank >= before)
        {
            best = Some((rank, value));
        }
        at = end;
    }
    best.map(|(_, value)| value)
}

struct Place<'a> {
    c: &'a [char],
    at: usize,
}

impl Place<'_> {
    /// A quantity or what is none, where it ends, and how surely it is measured.
    fn read(&self) -> Option<(Option<f64>, usize, u8)> {
        let at = self.at;
        for (of, part) in [("百分之", 100.0), ("千分之", 1000.0)] {
            if self.starts(at, of) {
                let from = at + of.chars().count();
                if self.c.get(from) == Some(&'百') {
                    return Some((Some(100.0 / part), from + 1, 2));
                }
                let (value, end) = quantity(self.c, from)?;
                return Some((Some(value / part), end, 2));
            }
        }
        for (half, value) in
            [("半年", 0.5), ("半个月", 0.5), ("半个小时", 0.5), ("半小时", 0.5), ("一半", 0.5)]
        {
            let inside = at > 0 && (is_numeral(self.c[at - 1]) || "年个点".contains(self.c[at - 1]));
            if self.starts(at, half) && !inside {
                return Some((Some(value), at + half.chars().count(), 2));
            }
        }
        let first = self.c[at];
        if !(is_numeral(first) || first == '幺') {
            return None;
        }
        let run = self.c[at..].iter().take_while(|c| is_numeral(**c) || **c == '幺').count();
        let whole = at + run;
        let before = at.checked_sub(1).map_or(' ', |i| self.c[i]);
        let named = "第周期拜初几数好双尾码号款牌哪点:/".contains(before)
            && !self.starts(at.saturating_sub(2), "分期")
            || before.is_ascii_alphabetic();
        if named {
            return Some((None, whole, 0));
        }
        if let Some((value, end)) = self.one_by_one(whole) {
            return Some((Some(value), end, self.rank(end, false)));
        }
        let Some((value, end)) = quantity(self.c, at) else { return Some((None, whole, 0)) };
        let (value, end, sure) = self.unit(value, end);
        if let Some(value) = value {
            let rank = if sure { 2 } else { self.rank(end, end - at == 1 && !first.is_ascii_digit()) };
            return Some((Some(value).filter(|_| rank > 0), end, rank));
        }
        Some((None, end, 0))
    }

    /// Two to eight digits said one by one: 八二零零.
    fn one_by_one(&self, whole: usize) -> Option<(f64, usize)> {
        let said = &self.c[self.at..whole];
        let plain = said.iter().all(|c| *c != '两' && (figure(*c).is_some() || *c == '幺'));
        let consecutive = said.len() == 2 && figure(said[1])? == figure(said[0]).unwrap_or(9) + 1;
        let text: String = said.iter().filter_map(|c| digit(*c)).collect();
        let number = plain && !consecutive && (2..=8).contains(&said.len());
        let point = self.c.get(whole) == Some(&'点');
        number.then(|| text.parse().ok()).flatten().filter(|_| !point).map(|value| (value, whole))
    }

    /// What the word behind the number makes of it; no value for a time or a date.
    fn unit(&self, value: f64, end: usize) -> (Option<f64>, usize, bool) {
        let next = |at: usize| self.c.get(at).copied().unwrap_or(' ');
        let tenth = |at: usize| figure(next(at)).filter(|_| !is_numeral(next(at + 1))).map(f64::from);
        match next(end) {
            '%' => (Some(value / 100.0), end + 1, true),
            '成' if value <= 10.0 && !"功为都交立本".contains(next(end + 1)) => match tenth(end + 1) {
                Some(more) => (Some((value + more / 10.0) / 10.0), end + 2, true),
                None => (Some(value / 10.0), end + 1, true),
            },
            'k' if !next(end + 1).is_ascii_alphanumeric() => (Some(value * 1000.0), end + 1, true),
            'w' if !next(end + 1).is_ascii_alphanumeric() => (Some(value * 10_000.0), end + 1, true),
            '块' if tenth(end + 1).is_some() => (tenth(end + 1).map(|d| value + d / 10.0), end + 2, true),
            // 下午三点, 五号, 十一月, 十分满意
            '点' | '号' | '日' | '月' | '时' | '刻' => (None, end + 1, false),
            '分' if next(end + 1) != '钟' => (None, end + 1, false),
            '个' | '年' | '天' if next(end + 1) == '半' => (Some(value + 0.5), end + 2, true),
            _ => (Some(value), end, false),
        }
    }

    /// 2 with a unit of measurement behind it, 1 if it can only be a number, 0 if it is a word.
    fn rank(&self, end: usize, lone: bool) -> u8 {
        let is = |words: &[&str]| words.iter().any(|word| self.starts(end, word));
        let article = lone && self.c[self.at] == '一';
        // 一天多少钱: for each.
        let asks = article && (end + 1..end + 4).any(|at| self.starts(at, "多少") || self.starts(at, "几"));
        if asks || is(&["半天", "会儿"]) || (is(&OTHER) && lone) {
            return 0;
        }
        if is(&MEASURES) && !(article && self.starts(end, "天到晚")) {
            return 2;
        }
        let alone = || {
            let mut rest = self.c[..self.at].iter().chain(&self.c[end..]);
            rest.all(|c| AROUND.contains(*c))
        };
        match lone {
            false => 1,
            true if is(&COUNTED) && !article => 1,
            true if article && ["次", "辆", "台"].iter().any(|word| self.starts(end, word)) => 1,
            true => u8::from(alone()),
        }
    }

    fn starts(&self, at: usize, words: &str) -> bool {
        words.chars().enumerate().all(|(i, word)| self.c.get(at + i) == Some(&word))
    }
}

fn english(text: &str) -> Option<f64> {
    const MEASURES: [&str; 22] = [
        "km",
        "kilometers",
        "kilometres",
        "kilometer",
        "miles",
        "mile",
        "months",
        "month",
        "years",
        "year",
        "days",
        "day",
        "weeks",
        "week",
        "hours",
        "hour",
        "minutes",
        "yuan",
        "percent",
        "instalments",
        "installments",
        "kwh",
    ];
    let words: Vec<&str> = text.split(' ').collect();
    let mut best: Option<(u8, f64)> = None;
    let mut at = 0;
    while at < words.len() {
        let word = words[at];
        if let Some(percent) = word.strip_suffix('%').and_then(|number| number.parse::<f64>().ok()) {
            best = Some((2, percent / 100.0));
            at += 1;
            continue;
        }
        let digits = words[at..].iter().take_while(|w| one(w).is_some_and(|d| d < 10)).count();
        if digits > 8 {
            at += digits;
            continue;
        }
        let Some((value, end)) = spelt_en(&words, at).or_else(|| quantity_en(&words, at)) else {
            at += 1;
            continue;
        };
        let (before, after) =
            (at.checked_sub(1).map_or("", |i| words[i]), words.get(end).copied().unwrap_or(""));
        // "the second one", "this one": a pronoun.
        let pronoun = end == at + 1 && word == "one" && words.len() > 1 && !MEASURES.contains(&after);
        let half = word == "half" && matches!(before, "and" | "past" | "at");
        let time = matches!(after, "oclock" | "am" | "pm" | "past");
        let rank = if MEASURES.contains(&after) { 2 } else { 1 };
        if !(pronoun || half || time) && best.is_none_or(|(before, _)| rank >= before) {
            best = Some((rank, if after == "percent" { value / 100.0 } else { value }));
        }
        at = end;
    }
    best.map(|(_, value)| value)
}

/// Two digits or more one by one: eight two zero zero.
fn spelt_en(words: &[&str], at: usize) -> Option<(f64, usize)> {
    let digits: String =
        words[at..].iter().map_while(|w| one(w).filter(|d| *d < 10)).take(9).map(|d| d.to_string()).collect();
    let end = at + digits.len();
    let goes_on = words.get(end).is_some_and(|w| matches!(*w, "hundred" | "thousand" | "point"));
    ((2..=8).contains(&digits.len()) && !goes_on)
        .then(|| digits.parse().ok().map(|value| (value, end)))
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_as_they_are_said() {
        let mut wrong = Vec::new();
        for (text, wanted) in [
            ("八千二百公里", Some(8200.0)),
            ("跑了八千二", Some(8200.0)),
            ("一万二", Some(12000.0)),
            ("一万二千公里", Some(12000.0)),
            ("8200", Some(8200.0)),
            ("8,200 公里", Some(8200.0)),
            ("8千2", Some(8200.0)),
            ("八二零零公里", Some(8200.0)),
            ("三万五千公里左右", Some(35000.0)),
            ("三万五", Some(35000.0)),
            ("3.5万公里", Some(35000.0)),
            ("三点五万", Some(35000.0)),
            ("大概十二万公里吧", Some(120_000.0)),
            ("三十六期", Some(36.0)),
            ("分三十六期", Some(36.0)),
            ("分期三十六个月", Some(36.0)),
            ("三六期", Some(36.0)),
            ("两年", Some(2.0)),
            ("两年半了", Some(2.5)),
            ("半年", Some(0.5)),
            ("三成", Some(0.3)),
            ("首付三成", Some(0.3)),
            ("三成五", Some(0.35)),
            ("百分之二十", Some(0.2)),
            ("首付百分之二十五", Some(0.25)),
            ("20%", Some(0.2)),
            ("百分之百", Some(1.0)),
            ("二十万", Some(200_000.0)),
            ("一百五十块", Some(150.0)),
            ("一千零五十元", Some(1050.0)),
            ("不是三十六期是二十四期", Some(24.0)),
            ("八千不对九千公里", Some(9000.0)),
            ("首付三成分三十六期", Some(36.0)),
            ("八千多公里", Some(8000.0)),
            ("两个半小时", Some(2.5)),
            ("五", Some(5.0)),
            ("大概五吧", Some(5.0)),
            ("跑了八千二百公里就保养过一次", Some(8200.0)),
            ("twelve thousand", Some(12000.0)),
            ("about eight thousand two hundred kilometers", Some(8200.0)),
            ("8,200 km", Some(8200.0)),
            ("eight two zero zero", Some(8200.0)),
            ("twenty percent", Some(0.2)),
            ("20% please", Some(0.2)),
            ("thirty six months", Some(36.0)),
            ("two and a half years", Some(2.5)),
            ("a hundred and fifty thousand", Some(150_000.0)),
            ("twelve, sorry, fifteen thousand", Some(15000.0)),
            ("12k", Some(12000.0)),
            ("two hundred thousand yuan", Some(200_000.0)),
            ("twenty four instalments", Some(24.0)),
        ] {
            let got = amount(text);
            if got.map(|v| (v * 1e6).round()) != wanted.map(|v: f64| (v * 1e6).round()) {
                wrong.push(format!("{text}: {got:?} instead of {wanted:?}"));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn what_is_no_amount_is_none() {
        let wrong: Vec<_> = [
            "等一下",
            "一会儿",
            "有点贵",
            "一点都不便宜",
            "十分满意",
            "千万别",
            "万一坏了",
            "二手车",
            "三电系统",
            "第三次",
            "星期三",
            "下周五",
            "十几万",
            "几千公里",
            "七八千公里",
            "两三万",
            "下午三点",
            "十一月五号",
            "我等了半天",
            "一起来",
            "四轮定位",
            "一直这样",
            "P七",
            "不知道",
            "",
            "the second one",
            "i have no idea",
            "this one please",
            "at three pm",
            "一天多少钱",
            "哪一天",
            "晚上七点四十",
            "one three eight zero zero one three eight zero zero zero",
        ]
        .iter()
        .filter_map(|text| amount(text).map(|value| format!("{text}: {value}")))
        .collect();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}
