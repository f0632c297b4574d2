//! Short words that steer the turn itself: backchannels, which do not stop the bot, and interrupts, which do.

use super::sound::{Phrase, Sounds};
use super::text::normalize;
use crate::segment::jieba;

/// The tenant's lists of short words.
#[derive(Clone, Debug, Default)]
pub struct Lexicon {
    backchannels: Vec<Phrase>,
    interrupts: Vec<Phrase>,
}

impl Lexicon {
    /// Reads lists: one word a line, `#` begins a comment. The lists of several languages are simply joined.
    pub fn load<'a>(
        backchannels: impl IntoIterator<Item = &'a str>,
        interrupts: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let words = |text: &str| -> Vec<Phrase> {
            text.lines()
                .map(|l| l.split('#').next().unwrap_or_default())
                .map(normalize)
                .filter(|w| !w.is_empty())
                .map(Phrase::from)
                .collect()
        };
        let mut list = Self {
            backchannels: backchannels.into_iter().flat_map(words).collect(),
            interrupts: interrupts.into_iter().flat_map(words).collect(),
        };
        // Longest first, so that the greedy walk below takes "对对" before "对".
        list.backchannels.sort_by_key(|w| std::cmp::Reverse(w.text().len()));
        list
    }

    /// True if `text` is nothing but listening sounds (嗯, 对, 好的 …), in any number and order. Empty text is one too: a
    /// cough or a breath has no words.
    pub fn is_backchannel(&self, text: &str) -> bool {
        let text = normalize(text);
        if text.chars().count() > 16 {
            return false;
        }
        let mut rest = text.as_str();
        'walk: while !rest.is_empty() {
            for word in &self.backchannels {
                if let Some(after) = rest.strip_prefix(word.text())
                    && (!word.text().is_ascii() || after.is_empty() || after.starts_with(' '))
                {
                    rest = after.trim_start();
                    continue 'walk;
                }
            }
            let Some(after) = self.backchannels.iter().find_map(|word| sounded(rest, word)) else {
                return false;
            };
            rest = after;
        }
        true
    }

    /// True if `text` begins with, or holds, a word that stops the bot at once (等一下, 不对, 转人工 …), also when it was
    /// misheard as something that sounds the same. Words of one character count only alone or at the beginning.
    pub fn is_interrupt(&self, text: &str) -> bool {
        let text = normalize(text);
        let sounds = Sounds::of(&text);
        let sounding = |word: &Phrase, least| sounds.find(word.syllables(), least).is_some();
        self.interrupts.iter().any(|phrase| {
            let word = phrase.text();
            if word.is_ascii() {
                return format!(" {text} ").contains(&format!(" {word} "));
            }
            match word.chars().count() {
                1 => text.starts_with(word) && text.chars().count() <= 2,
                2 => says(&text, word) || (sounds.syllables().len() <= 3 && sounding(phrase, 0.95)),
                _ => text.contains(word) || sounding(phrase, 0.88),
            }
        })
    }
}

/// Mean likeness of the syllables of a misheard listening sound: with one of two the same, the other keeps its vowel.
const ALIKE: f32 = 0.65;

/// True if `text` holds `word`, but not as the end of a question like 是不是 or 要不要.
fn says(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(at, _)| {
        let asks = word.starts_with('不') && text[..at].chars().next_back() == word.chars().nth(1);
        !asks
    })
}

/// What follows `word` in `text`, if `text` begins with other characters that sound the same, or like it but for one of two, and
/// that are no word themselves (号的 for 好的, 桂对 for 对对).
fn sounded<'a>(text: &'a str, word: &Phrase) -> Option<&'a str> {
    let length = word.syllables().len();
    let end = text.char_indices().nth(length).map_or(text.len(), |(at, _)| at);
    let (begin, after) = text.split_at(end);
    let sounds = Sounds::of(begin);
    let alike = || {
        let one_is = sounds.syllables().iter().zip(word.syllables()).any(|(a, b)| a == b);
        one_is && sounds.find(word.syllables(), ALIKE).is_some()
    };
    let same = length >= 2
        && word.text().chars().count() == length
        && sounds.syllables().len() == length
        && alike()
        && !jieba().cut(begin, false).iter().any(|w| w.word.chars().count() > 1);
    same.then_some(after)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lexicon() -> Lexicon {
        Lexicon::load(
            [
                include_str!("../../tenants/nev/backchannels.zh.txt"),
                include_str!("../../tenants/nev/backchannels.en.txt"),
            ],
            [
                include_str!("../../tenants/nev/interrupts.zh.txt"),
                include_str!("../../tenants/nev/interrupts.en.txt"),
            ],
        )
    }

    #[test]
    fn listening_sounds_are_backchannels() {
        for text in [
            "嗯",
            "嗯嗯嗯",
            "对，对对",
            "好的好的",
            "哦，是的",
            "嗯，知道了",
            "之道了",
            "号的号的",
            "桂对",
            "亏对",
            "that's correct",
            "",
            "uh huh",
            "Yes, okay.",
        ] {
            assert!(lexicon().is_backchannel(text), "{text:?} only shows that the caller listens");
        }
    }

    #[test]
    fn words_with_content_are_no_backchannels() {
        for text in ["对了我还想问", "好的转人工", "不对", "续航", "三号的", "名牌", "yes my car", "rightly"]
        {
            assert!(!lexicon().is_backchannel(text), "{text:?} says something");
        }
    }

    #[test]
    fn interrupts_are_heard_also_when_misspelt() {
        for text in
            ["等一下", "哎等一下", "不对不对", "转人工", "专人工", "停", "我要投诉你们", "hold on please"]
        {
            assert!(lexicon().is_interrupt(text), "{text:?} must stop the bot");
        }
        for text in ["嗯", "好的", "他是不是北区的", "要不要预约", "停车场在哪里", "知道了", "know that"]
        {
            assert!(!lexicon().is_interrupt(text), "{text:?} must not stop the bot");
        }
    }
}
