//! Writes what the caller said as the house writes it, where a recogniser wrote something else of the same sound: 收保 is 首保.
//!
//! Only what makes no sense as it stands is written anew. A stretch stays as it is if it is a known term, if a word of it is
//! one of the language, if its characters often stand together by chance (没点, 在见), or if the new term would not stand as
//! a word of its own in the sentence. Short words of a conversation (再见, 谢谢) may only be the whole utterance, fillers aside.

use std::collections::HashMap;
use std::ops::Range;

use super::knowledge::Knowledge;
use super::slots;
use super::sound::{Phrase, Sounds, Syllable};
use super::tenant::Config;
use super::text::{is_filler, is_han, normalize};
use super::vehicle::Model;
use crate::segment::jieba;

/// The terms of a tenant and of any conversation, by their sound.
#[derive(Debug, Default)]
pub struct Spelling {
    /// By folded sound.
    terms: HashMap<Vec<Syllable>, Vec<Term>>,
    /// In syllables.
    longest: usize,
}

#[derive(Debug)]
struct Term {
    text: Box<str>,
    sounds: Box<[Syllable]>,
    /// How often the knowledge says it.
    weight: u32,
    /// May only be the whole utterance.
    alone: bool,
}

/// A text as it is to be read.
#[derive(Clone, Debug, PartialEq)]
pub struct Spelt {
    /// The words.
    pub text: String,
    /// Share of the Chinese characters that are not those that were heard, in 0..=1.
    pub changed: f32,
}

/// Longest term, in characters.
const LONGEST: usize = 8;
/// A word of the language that is rarer than this (in a corpus of sixty million) is taken for a mistake.
const RARE: usize = 10;
/// Two characters that meet by chance more often than this may well have been said.
const CHANCE: usize = 6;
/// A term counts this much if it stands in the tenant's own lists, not only in a question.
const LISTED: u32 = 4;
/// Characters that stand for themselves anywhere: they are no part of a misheard word of two.
const FREE: &str = "的了是在有我你他她它这那就都也不没要能会吗吧呢啊和跟把被给到去来上下很还再又好说想叫让从对与及或点个一二三四五六七八九十零百千万两几";
/// What callers say and the segmenter does not know: never part of a mistake.
const SAID: [&str; 27] = [
    "车漆",
    "急坏",
    "气坏",
    "卖",
    "接车",
    "送车",
    "收车",
    "打灯",
    "变道",
    "急刹",
    "试驾",
    "代驾",
    "机舱",
    "起雾",
    "车衣",
    "地补",
    "国补",
    "首任",
    "孔位",
    "发飘",
    "挂画",
    "松电门",
    "搜不到",
    "锅糊",
    "下订",
    "收费",
    "线咬",
];
/// What a conversation is made of, beside the answers that [`slots`] knows.
const CONVERSATION: [&str; 32] = [
    "再见",
    "拜拜",
    "谢谢",
    "多谢",
    "感谢",
    "辛苦了",
    "你好",
    "您好",
    "是的",
    "好的",
    "对的",
    "好吧",
    "行吧",
    "嗯好",
    "知道了",
    "明白",
    "明白了",
    "懂了",
    "清楚了",
    "没有了",
    "没了",
    "没事了",
    "不用了",
    "不需要了",
    "不客气",
    "等一下",
    "稍等",
    "人工",
    "转人工",
    "随时",
    "就这样",
    "挂了",
];
/// First characters of number plates.
const PROVINCES: &str = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼";

impl Spelling {
    /// Collects the terms of a tenant: names, hotwords, cues, and the words of titles, keywords and questions.
    pub fn new(config: &Config, knowledge: &Knowledge) -> Self {
        let mut weights: HashMap<String, u32> = HashMap::new();
        let mut whole = |text: &str, weight: u32| {
            let length = text.chars().count();
            let free = text.chars().filter(|c| FREE.contains(*c)).count();
            if (2..=LONGEST).contains(&length)
                && text.chars().all(is_han)
                && (length > 3 || free + 2 <= length)
            {
                *weights.entry(text.to_owned()).or_default() += weight;
            }
        };
        let cues = config.safety.iter().map(|d| &d.cues).chain([&config.handoff]);
        let cues =
            cues.flat_map(|c| c.words.iter().map(String::as_str).chain(c.phrases.iter().map(Phrase::text)));
        let names = config.hotwords.iter().chain([&config.name]).map(String::as_str);
        for term in names.chain(cues) {
            whole(term, LISTED);
        }
        for entry in knowledge.entries() {
            let models = entry.models.iter().map(Model::name);
            let words = entry.keywords.iter().chain([&entry.title]).map(String::as_str);
            for term in words.chain(models) {
                whole(term, LISTED);
            }
            for text in entry.keywords.iter().chain(&entry.questions).chain([&entry.title]) {
                for word in jieba().cut(text, false) {
                    whole(word.word, 1);
                }
            }
        }
        let mut spelling = Self::default();
        for (text, weight) in weights {
            spelling.add(&text, weight, false);
        }
        let answers = slots::answers().filter(|w| w.chars().count() >= 2 && w.chars().all(is_han));
        for text in CONVERSATION.into_iter().chain(answers) {
            spelling.add(text, 1, true);
        }
        for alike in spelling.terms.values_mut() {
            alike.sort_by(|a, b| b.weight.cmp(&a.weight).then_with(|| a.text.cmp(&b.text)));
        }
        spelling
    }

    fn add(&mut self, text: &str, weight: u32, alone: bool) {
        let sounds = Sounds::of(text).syllables().to_vec();
        let alike = self.terms.entry(sounds.iter().map(|s| s.folded()).collect()).or_default();
        if alike.iter().all(|t| &*t.text != text) {
            self.longest = self.longest.max(sounds.len());
            alike.push(Term { text: text.into(), sounds: sounds.into(), weight, alone });
        }
    }

    /// True if `word` is a term of the tenant's, or one that callers use and the segmenter lacks.
    pub fn knows(&self, word: &str) -> bool {
        let key: Vec<Syllable> = Sounds::of(word).syllables().iter().map(|s| s.folded()).collect();
        let listed = |t: &Term| *t.text == *word && !t.alone;
        SAID.contains(&word) || self.terms.get(&key).is_some_and(|alike| alike.iter().any(listed))
    }

    /// `text` with the terms that were meant; the same text if there is nothing to mend.
    pub fn spell(&self, text: &str) -> Spelt {
        let mut out = String::with_capacity(text.len());
        let mut chars = text.char_indices().peekable();
        while let Some((from, c)) = chars.next() {
            if !is_han(c) {
                out.push(c);
                continue;
            }
            let mut to = from + c.len_utf8();
            while let Some((at, c)) = chars.next_if(|(_, c)| is_han(*c)) {
                to = at + c.len_utf8();
            }
            out.push_str(&self.run(&text[from..to], [&text[..from], &text[to..]]));
        }
        let out = plate(&out).unwrap_or(out);
        let (mut length, mut changed) = (0.0_f32, 0.0_f32);
        for (new, old) in out.chars().zip(text.chars()).filter(|(c, _)| is_han(*c)) {
            length += 1.0;
            changed += f32::from(new != old);
        }
        Spelt { text: out, changed: changed / length.max(1.0) }
    }

    /// A run of Chinese characters, with what is before and after it.
    fn run(&self, run: &str, around: [&str; 2]) -> String {
        let Some(mut line) = Line::new(run) else { return run.to_owned() };
        let mut at = 0;
        while at < line.chars.len() {
            at = self.step(&mut line, at, around);
        }
        line.chars.into_iter().collect()
    }

    /// Mends what begins at character `at`, if it needs mending; gives where to go on.
    fn step(&self, line: &mut Line, at: usize, around: [&str; 2]) -> usize {
        let most = self.longest.min(line.chars.len() - at);
        for length in (2..=most).rev() {
            let window = at..at + length;
            let Some(alike) = self.terms.get(&line.folded[window.clone()]) else { continue };
            let written: String = line.chars[window.clone()].iter().collect();
            if alike.iter().any(|t| *t.text == *written && (!t.alone || line.stands_alone(&window, around))) {
                return window.end;
            }
            let mut fits = alike.iter().filter(|t| line.takes(t, &window, around));
            let Some(best) = fits.next() else { continue };
            // Two that are as likely: leave it to whoever reads it.
            if fits.next().is_some_and(|second| 2 * second.weight > best.weight) {
                continue;
            }
            if line.put(&best.text, &window) {
                return window.end;
            }
        }
        at + 1
    }
}

/// A run of Chinese characters on its way.
struct Line {
    chars: Vec<char>,
    sounds: Vec<Syllable>,
    folded: Vec<Syllable>,
    /// The words of the language in it, those of one character too.
    words: Vec<Range<usize>>,
    /// What is surely right.
    sure: Vec<Range<usize>>,
}

impl Line {
    /// [`None`] if a character has no known reading.
    fn new(run: &str) -> Option<Self> {
        let chars: Vec<char> = run.chars().collect();
        let sounds = Sounds::of(run).syllables().to_vec();
        let folded = sounds.iter().map(|s| s.folded()).collect();
        let sure = SAID.iter().flat_map(|said| {
            let starts = run.match_indices(said).map(|(at, _)| run[..at].chars().count());
            starts.map(|at| at..at + said.chars().count())
        });
        let sure = sure.collect();
        (sounds.len() == chars.len()).then(|| Self { words: words(run), sure, chars, sounds, folded })
    }

    /// True if `term` is what was meant by the characters of `window`.
    fn takes(&self, term: &Term, window: &Range<usize>, around: [&str; 2]) -> bool {
        let same = *term.sounds == self.sounds[window.clone()];
        if term.alone {
            return same && self.stands_alone(window, around);
        }
        let length = window.len();
        // The shorter, the more easily it was something else.
        let listed = term.weight >= LISTED;
        if (length == 2 && !(same && listed)) || (length == 3 && !same && !listed) {
            return false;
        }
        let meant: Vec<char> = term.text.chars().collect();
        let differs = |at: usize| self.chars[at] != meant[at - window.start];
        let sense = self.words.iter().filter(|w| w.start < window.end && window.start < w.end).any(|w| {
            let inside = window.start <= w.start && w.end <= window.end;
            let kept = inside && !w.clone().any(differs);
            let common = w.len() > 2 || (w.len() == 2 && self.frequency(w) >= RARE);
            common && !kept && (!inside || length < 4)
        }) || self.sure.iter().any(|w| w.clone().any(|at| window.contains(&at) && differs(at)));
        let free = window.clone().filter(|at| differs(*at) && FREE.contains(self.chars[*at])).count();
        !sense && free < length - 1 && (length > 2 || self.frequency(window) <= CHANCE)
    }

    /// True if there is nothing but fillers before and after `window`, and before and after the run.
    fn stands_alone(&self, window: &Range<usize>, [before, after]: [&str; 2]) -> bool {
        let part = |range: Range<usize>| self.chars[range].iter().collect::<String>();
        is_filler(&normalize(&(before.to_owned() + &part(0..window.start))))
            && is_filler(&normalize(&(part(window.end..self.chars.len()) + after)))
    }

    /// How often the characters stand together in the segmenter's corpus, as a word or by chance.
    fn frequency(&self, range: &Range<usize>) -> usize {
        jieba().suggest_freq(&self.chars[range.clone()].iter().collect::<String>())
    }

    /// Writes `term` into `window`, unless it would then not stand there as a word or several.
    fn put(&mut self, term: &str, window: &Range<usize>) -> bool {
        let mut chars = self.chars.clone();
        chars.splice(window.clone(), term.chars());
        let words = words(&chars.iter().collect::<String>());
        let cut = |at: usize| words.iter().any(|w| w.start < at && at < w.end);
        if cut(window.start) || cut(window.end) {
            return false;
        }
        (self.chars, self.words) = (chars, words);
        true
    }
}

/// The words of `run`, as ranges of its characters.
fn words(run: &str) -> Vec<Range<usize>> {
    let mut at = 0;
    let word = |length: usize| {
        at += length;
        at - length..at
    };
    jieba().cut(run, false).iter().map(|w| w.word.chars().count()).map(word).collect()
}

/// 月B后面是D三七零 with the province that sounds so, if only one does; [`None`] if there is no plate to mend.
fn plate(text: &str) -> Option<String> {
    let chars: Vec<char> = text.chars().collect();
    let figures = |c: &&char| c.is_ascii_alphanumeric() || slots::digit(**c).is_some();
    let at = chars.windows(3).position(|w| {
        is_han(w[0])
            && w[1].is_ascii_uppercase()
            && !w[2].is_ascii_lowercase()
            && slots::digit(w[0]).is_none()
    })?;
    if PROVINCES.contains(chars[at]) || chars[at + 2..].iter().filter(figures).count() < 4 {
        return None;
    }
    let sound = Syllable::of(chars[at])?;
    let mut alike = PROVINCES.chars().filter(|p| Syllable::of(*p) == Some(sound));
    let (province, None) = (alike.next()?, alike.next()) else { return None };
    let mut out: String = chars[..at].iter().collect();
    out.push(province);
    out.extend(&chars[at + 1..]);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialogue::tenant::Tenant;

    fn spelling() -> Spelling {
        let tenant =
            Tenant::load_on("nev", None, jiff::civil::date(2026, 1, 1)).expect("the reference tenant loads");
        Spelling::new(&tenant.config, &tenant.knowledge)
    }

    #[test]
    fn a_term_that_was_misheard_is_written_as_the_house_writes_it() {
        let spelling = spelling();
        for (heard, meant) in [
            ("收保什么时候做", "首保什么时候做"),
            ("我想预约报养", "我想预约保养"),
            ("帮我叫个托车", "帮我叫个拖车"),
            ("车冲不了电，冲电桩坏了", "车冲不了电，充电桩坏了"),
            ("请专人工", "请转人工"),
            ("刹车是零了", "刹车失灵了"),
            ("好的在见", "好的再见"),
            ("嗯，写写", "嗯，谢谢"),
            ("步用了", "不用了"),
            ("月B后面是D三七零八七零", "粤B后面是D三七零八七零"),
        ] {
            assert_eq!(spelling.spell(heard).text, meant, "{heard}");
        }
    }

    #[test]
    fn what_makes_sense_stays_as_it_is() {
        let spelling = spelling();
        for text in [
            "我在见客户，晚点打给你",
            "拜托车主挪一下车",
            "你们要收保费吗",
            "还没收保养的钱",
            "听车响了一声",
            "我没点单",
            "只保三年吗",
            "车子熄火了",
            "我自然知道",
            "换点机油",
            "慢慢冲洗电机",
            "师傅说是零件坏了",
            "找人工作很难",
            "首保什么时候做",
            "再见",
            "他写写停停",
            "心情愉快身体好",
            "卖车了怎么解除所有钥匙",
            "可以先试驾再下订吗",
            "橘子一瓣一瓣掰着吃",
            "上个月的保养费还能补开吗",
            "我们处隶属于教育局",
            "我住在A座",
            "把APP卸载了",
            "今天买了三个苹果",
            "手机号是幺三八零零",
            "ok 知道了 thank you",
        ] {
            assert_eq!(spelling.spell(text), Spelt { text: text.into(), changed: 0.0 }, "{text}");
        }
    }

    #[test]
    fn no_question_of_the_evaluation_is_changed() {
        let spelling = spelling();
        let list = include_str!("../../tenants/nev/eval/questions.tsv");
        for line in list.lines().filter(|l| !l.starts_with('#')) {
            let (text, _) = line.split_once('\t').unwrap_or((line, ""));
            assert_eq!(spelling.spell(text).text, text);
        }
    }

    #[test]
    fn the_share_of_what_changed_is_told() {
        let spelt = spelling().spell("收保多少钱");
        assert!((spelt.changed - 0.2).abs() < 1e-6, "{spelt:?}");
    }
}
