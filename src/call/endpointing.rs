//! When is the caller's turn over?
//!
//! A likely end is speculated on after a short silence; how long a silence confirms it depends on the words. A first set of
//! rules, each with a name that goes into the trace, so that every decision can be explained.

use std::time::Duration;

use crate::dialogue::Expect;

/// Silences that end a turn, by what was said.
#[derive(Clone, Copy, Debug)]
pub struct Silences {
    /// After which recognition, retrieval and synthesis are speculated.
    pub speculate: Duration,
    /// The words are complete.
    pub complete: Duration,
    /// Nothing speaks for or against.
    pub neutral: Duration,
    /// The words ask to be continued.
    pub open: Duration,
    /// A number is half said.
    pub number: Duration,
}

impl Default for Silences {
    fn default() -> Self {
        Self {
            speculate: Duration::from_millis(120),
            complete: Duration::from_millis(220),
            neutral: Duration::from_millis(340),
            open: Duration::from_secs(1),
            number: Duration::from_millis(1600),
        }
    }
}

/// Why a silence of that length was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Because {
    /// A sentence-final particle, a question, or a complete number.
    Complete,
    /// No sign.
    Neutral,
    /// A connective or a filler at the end.
    Open,
    /// Fewer digits than the number needs.
    HalfNumber,
}

/// Words that ask to be continued when a turn ends in them.
const OPEN: &[&str] = &[
    "然后",
    "就是",
    "因为",
    "但是",
    "所以",
    "我想",
    "我要",
    "那个",
    "这个",
    "还有",
    "如果",
    "比如",
    "或者",
    "而且",
    "不过",
    "我的",
    "我",
    "在",
    "的话",
    "嗯",
    "呃",
    "请问",
    "请问一下",
    "我想问一下",
    "and",
    "but",
    "because",
    "so",
    "the",
    "my",
    "um",
    "uh",
    "if",
];
/// Particles that end a sentence.
const CLOSED: &[char] = &['吗', '呢', '吧', '啊', '呀', '了', '么', '？', '。', '！', '?', '!'];
/// Whole endings that complete a turn: questions that need no particle, requests, replies.
const CLOSED_ENDINGS: &[&str] = &[
    "怎么办",
    "怎么回事",
    "怎么样",
    "怎么处理",
    "为什么",
    "什么意思",
    "什么原因",
    "什么情况",
    "什么",
    "多少",
    "多少钱",
    "多久",
    "多长时间",
    "几点",
    "哪里",
    "哪儿",
    "谢谢",
    "再见",
    "转人工",
    "人工",
    "人工客服",
    "可以",
    "不用",
    "不要",
    "好的",
];
/// Words that announce a number of eleven digits or a plate.
const NUMBER_FOLLOWS: &[&str] = &["手机", "手机号", "电话", "号码", "车牌", "车牌号", "尾号", "打这个"];

/// The silence that ends a turn with these words, and why.
pub fn silence_for(words: &str, expect: Expect, silences: &Silences) -> (Duration, Because) {
    let because = judge(words.trim_end_matches(['，', ',', ' ', '、']), expect);
    let silence = match because {
        Because::Complete => silences.complete,
        Because::Neutral => silences.neutral,
        Because::Open => silences.open,
        Because::HalfNumber => silences.number,
    };
    (silence, because)
}

fn judge(words: &str, expect: Expect) -> Because {
    let digits = words.chars().filter(|&c| is_digit(c)).count();
    let ends_in_digit = words.chars().last().is_some_and(is_digit);
    let number_expected = expect == Expect::Phone || NUMBER_FOLLOWS.iter().any(|w| words.contains(w));
    if number_expected && digits >= 11 {
        return Because::Complete;
    }
    let announced = digits == 0
        && (NUMBER_FOLLOWS.iter().any(|w| words.ends_with(w)) || number_expected && words.ends_with('是'));
    if number_expected && ends_in_digit || announced {
        return Because::HalfNumber;
    }
    let lower = words.to_lowercase();
    if OPEN.iter().any(|open| ends_in_word(&lower, open)) {
        return Because::Open;
    }
    let short_reply = expect == Expect::YesNo && words.chars().count() <= 3;
    if short_reply || words.ends_with(CLOSED) || CLOSED_ENDINGS.iter().any(|end| words.ends_with(end)) {
        return Because::Complete;
    }
    Because::Neutral
}

fn ends_in_word(words: &str, word: &str) -> bool {
    words.strip_suffix(word).is_some_and(|before| {
        !word.is_ascii() || before.is_empty() || before.ends_with(|c: char| !c.is_alphanumeric())
    })
}

fn is_digit(c: char) -> bool {
    c.is_ascii_digit() || "零一二三四五六七八九幺两".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(words: &str, expect: Expect) -> Because {
        silence_for(words, expect, &Silences::default()).1
    }

    #[test]
    fn complete_words_need_little_silence() {
        for words in [
            "空调不制冷怎么办",
            "保养要多长时间",
            "离我最近的门店在哪里",
            "这个保修吗",
            "转人工",
            "车坏了",
            "多少钱？",
        ] {
            assert_eq!(why(words, Expect::Open), Because::Complete, "{words}");
        }
    }

    #[test]
    fn words_that_ask_to_be_continued_get_time() {
        for words in ["我的车昨天然后", "我想问一下", "充电的时候，那个", "嗯", "my car and"]
        {
            assert_eq!(why(words, Expect::Open), Because::Open, "{words}");
        }
        assert_eq!(
            why("I love my band", Expect::Open),
            Because::Neutral,
            "`and` within a word is no connective"
        );
    }

    #[test]
    fn a_half_said_phone_number_is_waited_for() {
        assert_eq!(why("幺三八", Expect::Phone), Because::HalfNumber);
        assert_eq!(why("幺三八零零幺三", Expect::Phone), Because::HalfNumber);
        assert_eq!(why("幺三八零零幺三八零零零", Expect::Phone), Because::Complete);
        assert_eq!(why("我的手机号是一三八", Expect::Open), Because::HalfNumber);
        assert_eq!(why("我的手机号是", Expect::Open), Because::HalfNumber);
        assert_eq!(why("车牌号", Expect::Open), Because::HalfNumber);
        assert_eq!(
            why("手机软件登录不上", Expect::Open),
            Because::Neutral,
            "not every telephone is a number"
        );
    }

    #[test]
    fn a_short_yes_is_complete_when_asked_for() {
        assert_eq!(why("是的", Expect::YesNo), Because::Complete);
        assert_eq!(why("要", Expect::YesNo), Because::Complete);
    }
}
