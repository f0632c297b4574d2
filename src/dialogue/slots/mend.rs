//! Words of time that a recogniser wrote with another character of the same sound: 行期六, 名天, 下物三点, 四电半.
//!
//! Only where what stands around them leaves no other reading; whatever is doubtful stays as it is.

use super::number::{figure, is_numeral};
use crate::dialogue::sound::Syllable;
use crate::dialogue::text::is_han;

/// Never right, whatever is around them.
const ALWAYS: [(&str, &str); 13] = [
    ("名天", "明天"),
    ("铭天", "明天"),
    ("进天", "今天"),
    ("金天上", "今天上"),
    ("金天下", "今天下"),
    ("近天上", "今天上"),
    ("近天下", "今天下"),
    ("做天", "昨天"),
    ("左天", "昨天"),
    ("下周误", "下周五"),
    ("下周物", "下周五"),
    ("周儿", "周二"),
    ("周伞", "周三"),
];
/// Parts of the day that may stand before an hour.
const PARTS: [&str; 9] = ["上午", "下午", "早上", "晚上", "中午", "傍晚", "凌晨", "明早", "今晚"];

/// `text`, which is plain, with the words of time that were meant.
pub(super) fn mend(text: &str) -> String {
    if !text.chars().any(is_han) {
        return text.to_owned();
    }
    let mut text = text.to_owned();
    for (wrong, right) in ALWAYS {
        if text.contains(wrong) {
            text = text.replace(wrong, right);
        }
    }
    let mut line = Line { c: text.chars().collect() };
    for at in 0..line.c.len() {
        line.week(at);
        line.noon(at);
        line.ten(at);
        line.hour(at);
        line.limit(at);
    }
    line.c.into_iter().collect()
}

struct Line {
    c: Vec<char>,
}

impl Line {
    fn at(&self, at: usize) -> char {
        self.c.get(at).copied().unwrap_or(' ')
    }

    fn starts(&self, at: usize, words: &str) -> bool {
        words.chars().enumerate().all(|(i, word)| self.c.get(at + i) == Some(&word))
    }

    fn put(&mut self, at: usize, words: &str) {
        for (i, word) in words.chars().enumerate() {
            if let Some(c) = self.c.get_mut(at + i) {
                *c = word;
            }
        }
    }

    fn sounds(&self, at: usize, words: &str) -> bool {
        words.chars().enumerate().all(|(i, word)| Syllable::of(self.at(at + i)) == Syllable::of(word))
    }

    fn behind_part(&self, at: usize) -> bool {
        at > 1 && PARTS.iter().any(|part| self.starts(at - 2, part))
    }

    /// 行期六, 力拜三.
    fn week(&mut self, at: usize) {
        for week in ["星期", "礼拜"] {
            let day = "一二三四五六天日".contains(self.at(at + 2));
            if day && !self.starts(at, week) && self.sounds(at, week) {
                self.put(at, week);
            }
        }
    }

    /// 下物三点.
    fn noon(&mut self, at: usize) {
        let half = matches!(self.at(at), '上' | '下') && "物误悟舞务五".contains(self.at(at + 1));
        let hour = figure(self.at(at + 2)).is_some() || self.at(at + 2) == '十';
        let clock = (at + 3..at + 5).any(|at| self.at(at) == '点');
        if half && hour && clock {
            self.put(at + 1, "午");
        }
    }

    /// 二是五号, 晚上是点: the ten between numerals or before 点.
    fn ten(&mut self, at: usize) {
        if !"是时实石".contains(self.at(at)) || at == 0 {
            return;
        }
        let before = self.c[at - 1];
        let tens =
            matches!(before, '二' | '三' | '四' | '五') && !"周期拜".contains(self.at(at.wrapping_sub(2)));
        let after = self.at(at + 1);
        let day = matches!(after, '号' | '日')
            || (figure(after).is_some() && matches!(self.at(at + 2), '号' | '日'));
        let minutes =
            at > 1 && self.at(at - 2) == '点' && (at + 1 == self.c.len() || "分左以之可行吧".contains(after));
        let hour = after == '点' && self.behind_part(at);
        if (tens && (day || minutes)) || hour {
            self.put(at, "十");
        }
    }

    /// 四电半, 下午三店.
    fn hour(&mut self, at: usize) {
        let sign = self.at(at);
        let number =
            at > 0 && is_numeral(self.c[at - 1]) && !matches!(self.c[at - 1], '百' | '千' | '万' | '亿');
        if !"电店典垫殿".contains(sign) || !number {
            return;
        }
        let mut first = at - 1;
        while first > 0 && is_numeral(self.c[first - 1]) {
            first -= 1;
        }
        let told = ["半", "钟", "整", "一刻", "三刻"].iter().any(|word| self.starts(at + 1, word))
            || (figure(self.at(at + 1)).is_some() && self.at(at + 2) == '十')
            || (sign == '电' && ["左右", "以后", "之前"].iter().any(|word| self.starts(at + 1, word)));
        let half = ["半年", "半个", "半天"].iter().any(|word| self.starts(at + 1, word));
        if (told && !half) || self.behind_part(first) {
            self.put(at, "点");
        }
    }

    /// 三点以候, 五点之钱.
    fn limit(&mut self, at: usize) {
        let behind = at > 0 && matches!(self.c[at - 1], '点' | '半' | '刻' | '十' | '分');
        for word in ["以后", "之前", "之后"] {
            if behind && self.sounds(at, word) && self.at(at) != '一' {
                self.put(at, word);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_time_are_mended() {
        for (heard, meant) in [
            ("那就行期六傍晚", "那就星期六傍晚"),
            ("力拜三四点", "礼拜三四点"),
            ("名天下午", "明天下午"),
            ("下物九点之前", "下午九点之前"),
            ("二是五号下午", "二十五号下午"),
            ("下午是点半", "下午十点半"),
            ("四电半", "四点半"),
            ("下午三电以后", "下午三点以后"),
            ("上午九点以候", "上午九点以后"),
            ("四点之钱", "四点之前"),
            ("三点四是", "三点四十"),
        ] {
            assert_eq!(mend(heard), meant, "{heard}");
        }
    }

    #[test]
    fn what_may_be_right_stays() {
        for text in [
            "三电系统有问题",
            "三电质保多久",
            "星期三是不是可以",
            "周三是四号",
            "下午是不是可以",
            "晚上是一点",
            "去二店吧",
            "充了十度电左右",
            "我这周三是有空的",
            "下五千订金",
            "三个半小时",
            "half past two",
            "",
        ] {
            assert_eq!(mend(text), text, "{text}");
        }
    }
}
