//! What the words so far ask for: an end, more, or the rest of a number.

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use super::endings;
use crate::dialogue::Expect;
use crate::dialogue::sound::{self, Syllable};

/// What the words so far ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct WordSigns {
    /// Log-odds that a sentence ends after such words.
    pub ending_odds: f32,
    /// They end in a particle, a question, a whole reply.
    pub closed: bool,
    /// They end in a connective or in half a phrase.
    pub open: bool,
    /// They end in a filler: 嗯, 那个, um.
    pub filler: bool,
    /// A number was announced or begun, and this many of its digits (or letters of a plate) are missing.
    pub missing: u8,
    /// The number that was begun is complete.
    pub number_complete: bool,
    /// They are a whole reply and nothing else: 是的, 不用了.
    pub reply: bool,
    /// They are a whole request and nothing else: 转人工, 等一下.
    pub request: bool,
    /// They end in thanks or a farewell, or say that nothing more is wanted: nothing comes after it.
    pub farewell: bool,
    /// A reply of up to three characters to a yes-or-no question.
    pub short_reply: bool,
    /// The bot has asked for a number.
    pub expects_number: bool,
    /// Characters of Chinese, words of another script.
    pub count: usize,
}

/// Why a silence of some length was waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Because {
    /// A sentence-final particle, a question, a reply, or a complete number.
    Complete,
    /// No sign.
    Neutral,
    /// A connective or a filler at the end.
    Open,
    /// Fewer digits than the number needs.
    HalfNumber,
}

impl WordSigns {
    /// The strongest sign.
    pub fn because(&self) -> Because {
        if self.number_complete {
            Because::Complete
        } else if self.missing > 0 {
            Because::HalfNumber
        } else if self.open || self.filler {
            Because::Open
        } else if self.closed || self.short_reply {
            Because::Complete
        } else {
            Because::Neutral
        }
    }
}

/// Digits of a mobile number.
const MOBILE: u8 = 11;
/// Characters of a number plate after the province: a letter and five (six with an electric drive).
const PLATE: u8 = 6;

/// Reads the words so far.
pub fn read(words: &str, expect: Expect) -> WordSigns {
    let words = words.trim_end_matches(['，', ',', ' ', '、']);
    let lower = words.to_lowercase();
    let ends_in = |list: &[&str]| list.iter().any(|ending| ends_in_word(&lower, ending));
    let count = crate::asr::confidence::units(words).len();
    let bare = lower.replace(['，', ',', '。', '.', ' '], "");
    let mut signs = WordSigns {
        ending_odds: endings::odds(words),
        closed: words.ends_with(CLOSED) || ends_in(CLOSED_ENDINGS),
        filler: ends_in(FILLERS),
        open: ends_in(OPEN) || is_open_by_sound(words),
        reply: REPLIES.holds(&bare),
        request: REQUESTS.holds(&bare),
        farewell: is_farewell(words) || ends_in(FAREWELLS) || DONE.holds(&bare),
        short_reply: expect == Expect::YesNo && (1..=3).contains(&count),
        expects_number: matches!(expect, Expect::Phone | Expect::Plate | Expect::Number),
        count,
        ..WordSigns::default()
    };
    number(words, expect, &mut signs);
    signs
}

/// By sound: 再见 is heard as 在见 as well.
fn is_farewell(words: &str) -> bool {
    let sounds = sound::syllables(words);
    let han = words.chars().rev().take(2).all(|c| c > '\u{2e7f}');
    han && FAREWELL_SOUNDS.iter().any(|farewell| sounds.ends_with(farewell))
}

/// 所以 is heard as 说一, 其实 as 七十: the last two syllables sound like a connective, on the telephone, and count nothing.
fn is_open_by_sound(words: &str) -> bool {
    let mut back = words.chars().rev();
    let ending: Vec<char> = back.by_ref().take(2).collect();
    let counts = back.next().is_some_and(|c| is_digit(c) || "十百千万点".contains(c));
    let folded = |c: &char| Syllable::of(*c).map(Syllable::folded);
    let Some(said) = ending.iter().rev().map(folded).collect::<Option<Vec<_>>>() else { return false };
    !counts && CONNECTIVE_SOUNDS.contains(&said)
}

static CONNECTIVE_SOUNDS: LazyLock<Vec<Vec<Syllable>>> = LazyLock::new(|| {
    let sounds = |word: &&str| sound::syllables(word).into_iter().map(Syllable::folded).collect();
    CONNECTIVES.iter().map(sounds).collect()
});

static FAREWELL_SOUNDS: LazyLock<[Vec<Syllable>; 3]> =
    LazyLock::new(|| ["再见", "拜拜", "谢谢"].map(sound::syllables));

/// Whole turns.
struct Turns {
    words: &'static [&'static str],
    sounds: Vec<Vec<Syllable>>,
}

impl Turns {
    fn of(words: &'static [&'static str]) -> Self {
        Self { words, sounds: words.iter().map(|whole| sound::syllables(whole)).collect() }
    }

    /// The same sound in other characters will do (号的 for 好的), but not for a single one.
    fn holds(&self, words: &str) -> bool {
        let sounds = sound::syllables(words);
        let alike = || sounds.len() == words.chars().count() && self.sounds.contains(&sounds);
        self.words.contains(&words) || sounds.len() > 1 && alike()
    }
}

static REPLIES: LazyLock<Turns> = LazyLock::new(|| Turns::of(WHOLE_REPLIES));
static REQUESTS: LazyLock<Turns> = LazyLock::new(|| Turns::of(WHOLE_REQUESTS));
static DONE: LazyLock<Turns> = LazyLock::new(|| Turns::of(NOTHING_MORE));

/// What is missing of a number that was announced, asked for, or begun.
fn number(words: &str, expect: Expect, signs: &mut WordSigns) {
    let plate = expect == Expect::Plate || PLATE_FOLLOWS.iter().any(|w| words.contains(w));
    let phone = expect == Expect::Phone || PHONE_FOLLOWS.iter().any(|w| words.contains(w));
    if !plate && !phone {
        return;
    }
    let counts = |c: char| is_digit(c) || plate && c.is_ascii_uppercase();
    let said = words.chars().filter(|&c| counts(c)).count().min(99) as u8;
    let needed = if plate { PLATE } else { MOBILE };
    if said >= needed {
        signs.number_complete = words.chars().last().is_some_and(counts);
        return;
    }
    let announced = said == 0
        && (PLATE_FOLLOWS.iter().chain(PHONE_FOLLOWS).any(|w| words.ends_with(w)) || words.ends_with('是'));
    if announced || words.chars().last().is_some_and(counts) {
        signs.missing = needed - said;
    }
}

/// Connectives and beginnings that ask to be continued when a turn ends in them.
const OPEN: &[&str] = &[
    "结果",
    "其实",
    "然后",
    "就是",
    "就是说",
    "因为",
    "但是",
    "所以",
    "我想",
    "我要",
    "还有",
    "如果",
    "要是",
    "比如",
    "比如说",
    "或者",
    "而且",
    "不过",
    "并且",
    "另外",
    "我的",
    "你们的",
    "我",
    "在",
    "把",
    "被",
    "跟",
    "和",
    "从",
    "对于",
    "关于",
    "的时候",
    "的话",
    "请问",
    "请问一下",
    "我想问",
    "我想问一下",
    "我想问的是",
    "麻烦你",
    "能不能",
    "可不可以",
    "and",
    "but",
    "because",
    "so",
    "the",
    "a",
    "my",
    "your",
    "if",
    "or",
    "with",
    "to",
    "for",
    "of",
    "is",
    "i",
    "when",
    "i want to",
    "i would like to",
];
/// Those of them that are also known by their sound.
const CONNECTIVES: &[&str] = &[
    "然后", "因为", "但是", "所以", "还有", "如果", "要是", "比如", "或者", "而且", "不过", "并且", "另外",
    "结果", "其实",
];
/// Sounds of someone who thinks.
const FILLERS: &[&str] =
    &["嗯", "呃", "额", "那个", "这个", "就那个", "怎么说呢", "um", "uh", "er", "well", "you know"];
/// Particles that end a sentence.
const CLOSED: &[char] = &['吗', '呢', '吧', '啊', '呀', '了', '么', '嘛', '啦', '？', '。', '！', '?', '!'];
/// Whole endings that complete a turn: questions that need no particle, requests, replies.
const CLOSED_ENDINGS: &[&str] = &[
    "怎么办",
    "怎么回事",
    "怎么样",
    "怎么处理",
    "怎么弄",
    "怎么收费",
    "为什么",
    "什么意思",
    "什么原因",
    "什么情况",
    "什么",
    "什么时候",
    "多少",
    "多少钱",
    "多久",
    "多长时间",
    "几点",
    "几天",
    "哪里",
    "哪儿",
    "哪天",
    "谢谢",
    "再见",
    "拜拜",
    "转人工",
    "人工",
    "人工客服",
    "可以",
    "不可以",
    "不用",
    "不要",
    "不是",
    "是的",
    "好的",
    "没有",
    "行不行",
    "对不对",
    "please",
    "thanks",
    "thank you",
    "bye",
    "goodbye",
    "yes",
    "no",
    "okay",
    "right now",
];
/// Last words in English; those in Chinese are known by their sound.
const FAREWELLS: &[&str] = &["bye", "goodbye"];
/// Whole replies, as callers say them, without spaces. Some go on to explain.
const WHOLE_REPLIES: &[&str] = &[
    "对",
    "对的",
    "对对",
    "是",
    "是的",
    "不是",
    "没错",
    "好",
    "好的",
    "好吧",
    "好啊",
    "行",
    "行吧",
    "可以",
    "可以的",
    "不可以",
    "要",
    "要的",
    "不要",
    "不用",
    "不用了",
    "不需要",
    "没有",
    "有",
    "有的",
    "嗯对",
    "嗯好的",
    "yes",
    "no",
    "yesplease",
    "okay",
];
/// Whole requests, after which nobody goes on.
const WHOLE_REQUESTS: &[&str] = &[
    "你好",
    "您好",
    "喂",
    "等一下",
    "等等",
    "停",
    "不对",
    "转人工",
    "人工",
    "人工客服",
    "转人工客服",
    "stop",
    "agent",
    "hello",
];
/// Whole turns of callers who want nothing more.
const NOTHING_MORE: &[&str] = &[
    "没有了",
    "没了",
    "没有别的了",
    "没别的了",
    "没有其他的了",
    "没事了",
    "就这些",
    "就这样",
    "nothankyou",
    "nothanks",
    "thankyou",
    "thanks",
];
/// Words that announce a mobile number.
const PHONE_FOLLOWS: &[&str] =
    &["手机号", "电话是", "电话号码", "号码", "尾号", "打这个", "手机是", "phone number", "my number"];
/// Words that announce a number plate.
const PLATE_FOLLOWS: &[&str] = &["车牌", "车牌号"];

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
        read(words, expect).because()
    }

    #[test]
    fn complete_words_are_complete() {
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
    fn words_that_ask_to_be_continued_are_open() {
        for words in ["我的车昨天然后", "我想问一下", "充电的时候，那个", "嗯", "my car and", "i want to"]
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
    fn a_half_said_number_is_waited_for() {
        assert_eq!(read("幺三八", Expect::Phone).missing, 8);
        assert_eq!(why("幺三八零零幺三", Expect::Phone), Because::HalfNumber);
        assert_eq!(why("幺三八零零幺三八零零零", Expect::Phone), Because::Complete);
        assert_eq!(why("我的手机号是一三八", Expect::Open), Because::HalfNumber);
        assert_eq!(why("我的手机号是", Expect::Open), Because::HalfNumber);
        assert_eq!(
            why("手机软件登录不上", Expect::Open),
            Because::Neutral,
            "not every telephone is a number"
        );
    }

    #[test]
    fn a_half_said_plate_is_waited_for() {
        assert_eq!(why("车牌号", Expect::Open), Because::HalfNumber);
        assert_eq!(read("我的车牌是沪A三", Expect::Open).missing, 4);
        assert_eq!(why("我的车牌是沪A三五二八九", Expect::Open), Because::Complete);
        assert_eq!(why("车牌丢了怎么办", Expect::Open), Because::Complete, "no number is coming");
    }

    #[test]
    fn a_whole_reply_is_known_as_one() {
        for words in ["是的", "号的", "Yes, please."] {
            assert!(read(words, Expect::Open).reply, "{words}, by its sound if need be");
        }
        for words in ["队", "是我爱人的车", "转人工", "没有了谢谢"] {
            assert!(!read(words, Expect::YesNo).reply, "{words}");
        }
        assert!(read("专人工", Expect::Open).request && !read("帮我转人工好吗", Expect::Open).request);
    }

    #[test]
    fn a_misheard_connective_is_open_by_its_sound() {
        for words in ["行驶证在我老公那里说一", "我刚才那个问题七十", "我下班要六点多了要十"]
        {
            assert_eq!(why(words, Expect::Open), Because::Open, "{words}");
        }
        for words in ["续航只有一百七十", "我想保养", "七十"] {
            assert_eq!(read(words, Expect::Open).open, words == "七十", "{words}");
        }
    }

    #[test]
    fn a_farewell_is_known_by_its_sound() {
        for words in
            ["好的再见", "好的在见", "谢谢，拜拜", "没有了谢谢", "没有别的了", "ok, bye", "No, thank you."]
        {
            assert!(read(words, Expect::Open).farewell, "{words}");
        }
        for words in ["再见到你", "maybe", "见", ""] {
            assert!(!read(words, Expect::Open).farewell, "{words}");
        }
    }

    #[test]
    fn a_short_yes_is_complete_when_asked_for() {
        assert_eq!(why("是的", Expect::YesNo), Because::Complete);
        assert_eq!(why("要", Expect::YesNo), Because::Complete);
        assert_eq!(why("", Expect::YesNo), Because::Neutral, "nothing was said yet");
    }
}
