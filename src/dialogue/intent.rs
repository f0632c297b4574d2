//! Intents that words alone betray: danger, a wish for a person, anger, and the small coin of a conversation.

use super::Act;
use super::sound::Sounds;
use super::spelling::Spelling;
use super::tenant::{Cues, Danger, Tenant};
use super::text::{is_han, normalize};
use crate::segment::jieba;

/// From here on a phrase counts as heard by its sound.
const SOUNDS_LIKE: f32 = 0.85;
/// A word of the language in its place, which sounds a little different (熄火 for 起火), makes a phrase this much less likely.
const OTHER_WORD: f32 = 0.15;
/// What is only heard by its sound is this sure at most, against the word itself.
const BY_SOUND: f32 = 0.9;

/// How sure it is that a cue was said, in 0..=1: 1 for the words themselves, less by sound alone.
pub type Weight = f32;

/// What an utterance does beside asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmallTalk {
    /// 你好, 喂, 听得到吗.
    Hello,
    /// 你是谁, 是机器人吗.
    Who,
    /// 再说一遍, 听不清.
    Repeat,
    /// 等一下, 我找一下.
    Wait,
    /// 谢谢.
    Thanks,
    /// 再见, 没有别的了.
    Goodbye,
    /// 没有了, 不用了: the end only if the bot asked whether there is more.
    NothingMore,
}

/// An utterance, prepared once for all the rules.
pub struct Heard {
    text: String,
    padded: String,
    sounds: Sounds,
}

impl Heard {
    /// Prepares `text`.
    pub fn new(text: &str) -> Self {
        let text = normalize(text);
        Self { padded: format!(" {text} "), sounds: Sounds::of(&text), text }
    }

    /// The advice for the danger that the caller tells of, as (Chinese, English), and how sure it is. Danger that is only asked about (会不会起火)
    /// or denied (没有人受伤) is none.
    pub fn danger<'a>(&self, tenant: &'a Tenant) -> Option<(&'a str, &'a str, Weight)> {
        const ASKING: [&str; 12] = [
            "会不会",
            "会自燃",
            "会起火",
            "会着火",
            "会爆炸",
            "会冒烟",
            "容易",
            "担心",
            "万一",
            "怕",
            "如果",
            "可能会",
        ];
        let asking = ASKING.iter().any(|a| self.text.contains(a)) || self.text.contains("安全吗");
        let by_word = |word: &String| {
            self.text.match_indices(word.as_str()).any(|(at, _)| {
                let before: Vec<char> = self.text[..at].chars().rev().take(4).collect();
                let denied = before.iter().any(|c| matches!(c, '没' | '无' | '未' | '别'));
                let happening = self.text[at + word.len()..].starts_with('了')
                    || matches!(before.first(), Some('在' | '经' | '始'));
                !denied && (!asking || happening)
            })
        };
        let literally = |d: &&Danger| {
            let english = d.cues.words_en.iter().any(|w| self.says_en(w));
            d.cues.words.iter().any(by_word) || (english && !self.says_en("no") && !self.says_en("not"))
        };
        let dangers = &tenant.config.safety;
        let told = dangers.iter().find(literally).map(|d| (d, 1.0));
        let (danger, weight) = told.or_else(|| {
            let sounding = !asking && !self.text.contains('没');
            let all = dangers.iter().filter(|_| sounding);
            all.filter_map(|d| Some((d, self.sounds_like(&d.cues, &tenant.spelling)?)))
                .max_by(|a, b| a.1.total_cmp(&b.1))
        })?;
        Some((&danger.advice, &danger.advice_en, weight))
    }

    /// How sure it is that the caller asks for a person, if so. 不用转人工 and 人工费 do not.
    pub fn wants_person(&self, tenant: &Tenant) -> Option<Weight> {
        const REFUSED: [&str; 7] = ["不用", "不要", "不需要", "不必", "先不", "别", "不想"];
        let cues = &tenant.config.handoff;
        let by_word = cues.words.iter().any(|word| {
            self.text.match_indices(word.as_str()).any(|(at, _)| {
                let refused = REFUSED.iter().any(|r| {
                    !word.starts_with('不')
                        && self.text[..at].trim_end_matches(['再', '给', '我', '帮', '您', '你']).ends_with(r)
                });
                let labour = self.text[at + word.len()..].starts_with(['费', '智', '成']);
                !refused && !labour
            })
        });
        let refused = REFUSED.iter().any(|r| self.text.contains(r)) && !self.text.contains("机器");
        let literally = by_word
            || self.text == "人工"
            || self.text == "人工台"
            || cues.words_en.iter().any(|w| self.says_en(w) && !self.says_en("no") && !self.says_en("not"));
        let may_sound = !refused && !self.text.contains("人工费");
        literally.then_some(1.0).or_else(|| self.sounds_like(cues, &tenant.spelling).filter(|_| may_sound))
    }

    /// What a caller who waits for a person says of that, if anything, and how sure it is.
    pub fn waits(&self, tenant: &Tenant) -> Option<(Act, Weight)> {
        let cues = &tenant.config.waiting;
        let says = |cues: &Cues| {
            let literally = cues.words.iter().any(|word| self.text.contains(word.as_str()))
                || cues.words_en.iter().any(|word| self.says_en(word));
            literally.then_some(1.0).or_else(|| self.sounds_like(cues, &tenant.spelling))
        };
        let stop = says(&cues.stop).map(|weight| (Act::StopWaiting, weight));
        stop.or_else(|| says(&cues.how_long).map(|weight| (Act::Place, weight)))
    }

    /// How sure it is that the caller is angry, if so.
    pub fn upset(&self, tenant: &Tenant) -> Option<Weight> {
        let cues = &tenant.config.upset;
        let asks = cues.info.iter().any(|w| self.text.contains(w.as_str()));
        let literally = cues.words.iter().any(|w| self.text.contains(w.as_str()))
            || (!asks && cues.words_en.iter().any(|w| self.says_en(w)));
        literally.then_some(1.0).or_else(|| self.sounds_like(cues, &tenant.spelling).filter(|_| !asks))
    }

    /// How sure it is that the caller complains, if so. Asking how a complaint works, or how far it is, is not complaining; to take
    /// it back (不投诉了) is none either.
    pub fn complains(&self, tenant: &Tenant) -> Option<Weight> {
        const TAKEN_BACK: [&str; 4] = ["不投诉", "别投诉", "没有投诉", "不是投诉"];
        let cues = &tenant.config.complaint.as_ref()?.cues;
        let asks = cues.info.iter().chain(&tenant.config.upset.info).any(|w| self.text.contains(w.as_str()));
        if asks || TAKEN_BACK.iter().any(|w| self.text.contains(w)) {
            return None;
        }
        let literally = cues.words.iter().any(|w| self.text.contains(w.as_str()))
            || cues.words_en.iter().any(|w| self.says_en(w));
        literally.then_some(1.0).or_else(|| self.sounds_like(cues, &tenant.spelling))
    }

    /// The small talk that the whole utterance is, if it is nothing else.
    pub fn small_talk(&self) -> Option<SmallTalk> {
        use SmallTalk::{Goodbye, Hello, NothingMore, Repeat, Thanks, Wait, Who};
        const WHO: &[&str] = &[
            "你是谁",
            "您是谁",
            "你是机器人",
            "是不是机器人",
            "是机器人吗",
            "是真人吗",
            "是不是真人",
            "是真的人吗",
            "你是人吗",
            "你叫什么",
            "你是人工智能",
            "是人还是机器",
            "are you a robot",
            "are you human",
            "are you a human",
            "are you real",
            "are you a real person",
            "are you a machine",
            "who are you",
        ];
        const REPEAT: &[&str] = &[
            "再说一遍",
            "再讲一遍",
            "再说一次",
            "重复一遍",
            "重复一下",
            "没听清",
            "听不清",
            "没听见",
            "你说什么",
            "说慢一点",
            "慢一点说",
            "大声一点",
            "声音太小",
            "say that again",
            "say it again",
            "pardon",
            "repeat",
            "speak slowly",
            "speak up",
        ];
        const BYE: &[&str] = &[
            "再见",
            "拜拜",
            "没有别的",
            "没别的",
            "没有其他",
            "没其他",
            "就这样吧",
            "先这样",
            "没事了",
            "挂了吧",
            "我挂了",
            "没有了谢谢",
            "没了谢谢",
            "没有问题了",
            "没问题了",
            "goodbye",
            "bye",
            "bye bye",
            "thats all",
            "nothing else",
        ];
        const WAIT: &[&str] = &[
            "等一下",
            "等会",
            "稍等",
            "等等",
            "先别挂",
            "别挂",
            "我看一下",
            "我找一下",
            "我想想",
            "我想一下",
            "我记一下",
            "hold on",
            "wait a moment",
            "one moment",
            "wait",
        ];
        const HELLO: &[&str] = &[
            "听得到吗",
            "能听到吗",
            "听得见吗",
            "能听见吗",
            "你能听到吗",
            "有人吗",
            "在吗",
            "你好",
            "您好",
            "哈喽",
            "早上好",
            "下午好",
            "晚上好",
            "喂",
            "can you hear me",
            "good morning",
            "good afternoon",
            "hello",
            "hi",
        ];
        const THANKS: &[&str] =
            &["谢谢", "多谢", "感谢", "辛苦了", "麻烦你了", "麻烦您了", "thank you", "thanks"];
        const MORE: &[&str] =
            &["没有了", "没了", "没有", "不用了", "不需要了", "不用", "no", "no thank you", "no thanks"];
        let length = self.text.chars().filter(|c| is_han(*c)).count().max(self.text.split(' ').count());
        let has = |words: &[&str]| {
            words.iter().any(|w| if w.is_ascii() { self.says_en(w) } else { self.text.contains(w) })
        };
        let is = |words: &[&str]| {
            let mut rest = self.text.clone();
            for w in words.iter().chain(&["哎", "嗯", "好的", "好", "您", "你", "吗", "啊", "吧", "了", "那"])
            {
                rest = if w.is_ascii() {
                    format!(" {rest} ").replace(&format!(" {w} "), " ")
                } else {
                    rest.replace(w, "")
                };
            }
            rest.trim().is_empty()
        };
        if self.text.is_empty() {
            None
        } else if has(WHO) && length <= 14 {
            Some(Who)
        } else if has(BYE) && length <= 14 {
            Some(Goodbye)
        } else if has(REPEAT) && length <= 12 {
            Some(Repeat)
        } else if is(MORE) {
            Some(NothingMore)
        } else if has(WAIT) && length <= 8 {
            Some(Wait)
        } else if has(HELLO) && is(HELLO) {
            Some(Hello)
        } else if has(THANKS)
            && length <= 8
            && is(&[THANKS, &["非常", "没有了", "知道了", "明白了"]].concat())
        {
            Some(Thanks)
        } else {
            None
        }
    }

    /// True for an utterance that leans on what was said before: 那要多少钱, 多久, 在哪里.
    pub fn leans(&self) -> bool {
        const BARE: &[&str] = &[
            "多少钱",
            "多久",
            "多长时间",
            "在哪",
            "哪里",
            "怎么办",
            "怎么弄",
            "怎么操作",
            "为什么",
            "要预约",
            "免费",
            "收费",
            "要钱",
            "贵不贵",
            "几天",
            "严重",
            "还能开",
            "要紧",
            "什么时候",
            "电话",
            "地址",
            "怎么走",
            "几个小时",
            "可以吗",
            "行吗",
        ];
        let length = self.text.chars().filter(|c| is_han(*c)).count();
        if length == 0 {
            const BARE_EN: [&str; 5] = ["how much", "how long", "where", "why", "when"];
            return self.text.split(' ').count() <= 5 && BARE_EN.iter().any(|w| self.text.starts_with(w));
        }
        (length <= 12
            && ["那", "还有", "它", "这个", "那个", "然后"].iter().any(|w| self.text.starts_with(w)))
            || (length <= 7 && BARE.iter().any(|w| self.text.contains(w)))
    }

    /// The normal form.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Its sound.
    pub fn sounds(&self) -> &Sounds {
        &self.sounds
    }

    fn says_en(&self, word: &str) -> bool {
        self.padded.contains(&format!(" {word} "))
            || word.len() >= 6 && self.padded.contains(&format!(" {word}"))
    }

    /// 说完了, 就这些: nothing but that there is no more to say.
    pub fn says_that_is_all(&self) -> bool {
        const ALL: &[&str] = &[
            "说完了",
            "我说完了",
            "留言完毕",
            "完毕",
            "完了",
            "好了",
            "就这些",
            "就这样",
            "没有了",
            "没了",
            "就这些了",
            "that is all",
            "thats all",
            "i am done",
            "done",
            "finished",
        ];
        ALL.contains(&self.text.as_str())
            || matches!(self.small_talk(), Some(SmallTalk::Goodbye | SmallTalk::NothingMore))
    }

    /// 继续, 你接着说: nothing but the wish to hear more.
    pub fn says_go_on(&self) -> bool {
        const GO_ON: &[&str] = &[
            "继续",
            "继续说",
            "接着说",
            "接着讲",
            "往下说",
            "说下去",
            "讲下去",
            "刚才说到哪",
            "刚才说到哪里",
            "刚说到哪",
            "go on",
            "go ahead",
            "carry on",
            "continue",
            "please continue",
            "keep going",
        ];
        let text = self.text.trim_start_matches(['你', '您', '请', '好', '那', '嗯', '的', '就', ' ']);
        let text = text.trim_end_matches(['吧', '啊', '呗', '呀', '了', '嘛', ' ']);
        GO_ON.contains(&text)
    }

    /// 就这个号码: the number that is calling.
    pub fn says_this_number(&self) -> bool {
        const THIS: [&str; 7] =
            ["这个号", "这个电话", "就这个", "现在的号", "当前号", "来电号", "this number"];
        THIS.iter().any(|words| self.text.contains(words))
    }

    /// How sure it is that one of the phrases was said, by its sound.
    fn sounds_like(&self, cues: &Cues, spelling: &Spelling) -> Option<Weight> {
        let phrases = cues.phrases.iter().filter(|p| p.syllables().len() >= 3);
        let heard = phrases.filter_map(|phrase| {
            let found = self.sounds.find(phrase.syllables(), SOUNDS_LIKE)?;
            // A written word is believed if it does not sound the same, or if what is around it does not (车漆坏了).
            let exact = found.similarity > 0.99;
            let written: Vec<char> = self.text[found.span.clone()].chars().collect();
            let words = jieba().cut(&self.text, false);
            let is_word = |word: &str| words.iter().any(|w| w.word == word) || spelling.knows(word);
            let other = (0..written.len()).any(|from| {
                (from + 2..=written.len().min(from + 4)).any(|to| {
                    let word: String = written[from..to].iter().collect();
                    let meant: String = phrase.text().chars().skip(from).take(to - from).collect();
                    !exact && word != meant && is_word(&word)
                })
            });
            let similarity = found.similarity - if other { OTHER_WORD } else { 0.0 };
            (similarity >= SOUNDS_LIKE).then_some(similarity)
        });
        heard.max_by(f32::total_cmp).map(|similarity| BY_SOUND * similarity)
    }
}
