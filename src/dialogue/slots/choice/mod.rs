//! Which of several options is meant.

mod order;
mod ordinal;

use std::collections::HashSet;
use std::hash::Hash;

use super::amount::amount;
use super::clock::{Clock, told};
use super::date::{Day, Month, days};
use super::meant::{meant, plain, refused};
use super::mend::mend;
use crate::dialogue::sound::{Sounds, Syllable};
use crate::dialogue::text::is_han;
use order::by_order;
use ordinal::ordinal;

/// Which of the `options` is meant: by ordinal (第一个, 最后一个, "the second one"), as the first or last in time (最早的), by a date, a time or a number that only one
/// of them has, by its words or their sound (徐汇店 for 徐汇服务中心). [`None`] if none or more than one fits, or if it is refused
/// (都不行, 不要徐汇的, "neither").
pub fn choice(text: &str, options: &[&str]) -> Option<usize> {
    let text = mend(&plain(text));
    let text = meant(&text);
    let refuses =
        REFUSALS.iter().any(|no| if no.is_ascii() { has_word(text, no) } else { text.contains(no) });
    if refuses || options.is_empty() {
        return None;
    }
    let options: Vec<String> = options.iter().map(|option| plain(option)).collect();
    if let Some(found) = ordinal(text, options.len()) {
        return found.place();
    }
    let mut left: Vec<usize> = (0..options.len()).collect();
    let mut narrowed = false;
    let said = Said::of(text);
    let offered: Vec<Said> = options.iter().map(|option| Said::of(option)).collect();
    if let Some(found) = by_order(text, &offered) {
        return found.place();
    }
    for criterion in [Said::by_day, Said::by_clock, Said::by_amount] {
        let fits = |i: &usize| criterion(&said, &offered[*i]);
        let known = left.iter().filter_map(fits).collect::<Vec<_>>();
        if known.contains(&true) || (!known.is_empty() && known.len() == left.len()) {
            left.retain(|i| fits(i) == Some(true));
            narrowed = true;
        }
    }
    match left.as_slice() {
        [] => None,
        [only] if narrowed => Some(*only),
        _ => by_words(text, &options, &left),
    }
}

/// What a text comes to that does speak of the options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    This(usize),
    /// No place in the list, several, or one that is turned down.
    Nothing,
}

impl Verdict {
    fn of(place: Option<usize>) -> Self {
        place.map_or(Self::Nothing, Self::This)
    }

    fn place(self) -> Option<usize> {
        match self {
            Self::This(place) => Some(place),
            Self::Nothing => None,
        }
    }
}

const REFUSALS: [&str; 24] = [
    "都不行",
    "都不要",
    "都不合适",
    "都不可以",
    "都不方便",
    "都不太",
    "都不能",
    "都不想",
    "都没",
    "都来不了",
    "没有合适",
    "没合适",
    "换一个",
    "换个",
    "换别的",
    "别的",
    "其他",
    "哪个都不",
    "neither",
    "none",
    "another",
    "no other",
    "something else",
    "other options",
];

/// True if the words stand in `text` as words.
fn has_word(text: &str, words: &str) -> bool {
    format!(" {text} ").contains(&format!(" {words} "))
}

/// What tells one option from another beside its words.
struct Said {
    day: Option<Day>,
    clock: Option<(Clock, bool)>,
    amount: Option<f64>,
}

impl Said {
    fn of(text: &str) -> Self {
        let day = days(text).iter().rev().find(|s| !s.refused).map(|s| s.day);
        // 11月25日周三: its weekday says less.
        let calendar = |day: &Day| matches!(day, Day::Calendar { .. });
        let dated = days(text).iter().rev().filter(|s| !s.refused).map(|s| s.day).find(calendar);
        let clock = told(text);
        let amount = if day.is_none() && clock.is_none() { amount(text) } else { None };
        Self { day: dated.or(day), clock, amount }
    }

    /// Whether the option has the day that is said; [`None`] if that cannot be told.
    fn by_day(&self, option: &Self) -> Option<bool> {
        match (self.day?, option.day) {
            (Day::Calendar { month, day, .. }, Some(Day::Calendar { month: other, day: number, .. })) => {
                let named = |month: Option<Month>| month.filter(|month| matches!(month, Month::Is(_)));
                let months = named(month).zip(named(other)).is_none_or(|(a, b)| a == b);
                Some(day == number && months)
            }
            (Day::Weekday { week, weekday }, Some(Day::Weekday { week: other, weekday: named })) => {
                Some(weekday == named && week.zip(other).is_none_or(|(a, b)| a == b))
            }
            (Day::Relative(days), Some(Day::Relative(other))) => Some(days == other),
            _ => None,
        }
    }

    fn by_clock(&self, option: &Self) -> Option<bool> {
        let ((said, bare), (offered, _)) = (self.clock?, option.clock?);
        Some(match (said, offered) {
            (Clock::At(a), Clock::At(b)) => {
                a == b || (bare && a.hour() % 12 == b.hour() % 12 && a.minute() == b.minute())
            }
            (Clock::Between(from, to), Clock::At(at)) | (Clock::At(at), Clock::Between(from, to)) => {
                from <= at && at < to
            }
            (Clock::Between(from, to), Clock::Between(begins, ends)) => from <= begins && ends <= to,
        })
    }

    fn by_amount(&self, option: &Self) -> Option<bool> {
        self.amount.zip(option.amount).map(|(a, b)| (a - b).abs() < 1e-6)
    }
}

/// The one of `left` whose own words are said, or sound. What is turned down by its words is not taken for its sound.
fn by_words(text: &str, options: &[String], left: &[usize]) -> Option<usize> {
    let whole = |i: &usize| {
        let option = options[*i].as_str();
        text.find(option).filter(|_| option.chars().count() > 1).map(|at| (at, at + option.len()))
    };
    let mut said: Vec<(usize, (usize, usize))> = left.iter().filter_map(|i| Some((*i, whole(i)?))).collect();
    if !said.is_empty() {
        said.retain(|(_, (from, to))| !turned_down(&text[..*from], &text[*to..]));
        said.sort_unstable_by_key(|(i, _)| std::cmp::Reverse(options[*i].len()));
        return match *said.as_slice() {
            [(only, _)] => Some(only),
            [(first, _), (second, _), ..] => options[first].contains(&options[second]).then_some(first),
            [] => None,
        };
    }
    own(text, options, left, pairs)
        .or_else(|| own(text, options, left, syllable_pairs))
        .or_else(|| own(text, options, left, characters))?
        .place()
}

/// A piece of a text, with the bytes that it covers.
type Piece<T> = (T, usize, usize);

/// The option with most pieces in `text` that no other option has; [`None`] if there are no such pieces.
fn own<T: Eq + Hash>(
    text: &str,
    options: &[String],
    left: &[usize],
    pieces: impl Fn(&str) -> Vec<Piece<T>>,
) -> Option<Verdict> {
    let heard: Vec<Piece<T>> = pieces(text);
    let own: Vec<HashSet<T>> =
        options.iter().map(|option| pieces(option).into_iter().map(|(piece, ..)| piece).collect()).collect();
    let of = |piece: &T| {
        let mut of = left.iter().filter(|i| own[**i].contains(piece));
        of.next().filter(|_| of.next().is_none())
    };
    let mut scores = vec![0; options.len()];
    let mut any = false;
    for (piece, from, to) in &heard {
        if let Some(&option) = of(piece) {
            any = true;
            scores[option] += usize::from(!turned_down(&text[..*from], &text[*to..]));
        }
    }
    let most = scores.iter().copied().max().filter(|most| *most > 0);
    let mut best = (0..scores.len()).filter(|i| Some(scores[*i]) == most);
    any.then(|| Verdict::of(best.next().filter(|_| best.next().is_none())))
}

/// [`refused`], looking past what an option is called: 徐汇那家店太远.
fn turned_down(before: &str, after: &str) -> bool {
    let mut after = after;
    while let Some(rest) = ["那个", "那家", "这个", "这家", "个", "家", "店", "的", "服务中心", "中心", "站"]
        .iter()
        .find_map(|word| after.strip_prefix(word))
    {
        after = rest;
    }
    refused(before, after) || after.starts_with("太") || after.starts_with("有点远")
}

/// Two Chinese characters beside each other, and Latin words.
fn pairs(text: &str) -> Vec<Piece<String>> {
    let c: Vec<(usize, char)> = text.char_indices().collect();
    let mut out: Vec<Piece<String>> = c
        .windows(2)
        .filter(|w| is_han(w[0].1) && is_han(w[1].1))
        .map(|w| (w.iter().map(|(_, c)| *c).collect(), w[0].0, w[1].0 + w[1].1.len_utf8()))
        .collect();
    let mut at = 0;
    for word in text.split(|c: char| !c.is_ascii_alphanumeric()) {
        let from = at + text[at..].find(word).unwrap_or(0);
        at = from + word.len();
        if word.len() > 1 && word.contains(|c: char| c.is_ascii_alphabetic()) && !COMMON.contains(&word) {
            out.push((word.to_owned(), from, at));
        }
    }
    out
}

/// Latin words that every sentence may hold.
const COMMON: [&str; 21] = [
    "the", "one", "at", "on", "in", "is", "it", "to", "of", "and", "or", "that", "this", "please", "for",
    "me", "my", "you", "am", "pm", "with",
];

fn syllable_pairs(text: &str) -> Vec<Piece<(Syllable, Syllable)>> {
    let sounds = Sounds::of(text);
    let syllables: Vec<Syllable> = sounds.syllables().iter().map(|s| s.folded()).collect();
    syllables
        .windows(2)
        .enumerate()
        .map(|(i, pair)| {
            let span = sounds.span(&(i..i + 2));
            ((pair[0], pair[1]), span.start, span.end)
        })
        .collect()
}

/// Single characters that mean something: 南 of 南店.
fn characters(text: &str) -> Vec<Piece<char>> {
    const EMPTY: &str = "的了是在有我你他这那就都也不没要能会吗吧呢啊和个点一二三四五六七八九十百千万两店家站月日号上下午可以行好周";
    text.char_indices()
        .filter(|(_, c)| is_han(*c) && !EMPTY.contains(*c))
        .map(|(at, c)| (c, at, at + c.len_utf8()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_option_that_is_meant_is_found() {
        let shops = ["徐汇服务中心", "浦东张江服务中心", "闵行莘庄服务中心"];
        let slots = ["11月25日下午两点", "11月25日上午十点", "11月26日上午十点"];
        let days = ["周三上午", "周四下午", "周五晚上"];
        let plans = ["24期", "36期", "48期"];
        let english = ["Xuhui service centre", "Pudong service centre"];
        let mut wrong = Vec::new();
        for (text, options, wanted) in [
            ("第一个", &shops[..], Some(0)),
            ("第二家吧", &shops, Some(1)),
            ("最后一个", &shops, Some(2)),
            ("前面那家", &shops, Some(0)),
            ("后面那个吧", &shops, Some(2)),
            ("中间那个", &shops, Some(1)),
            ("第一个不行第二个吧", &shops, Some(1)),
            ("不要第一个，要第三个", &shops, Some(2)),
            ("不是第一个是第二个", &shops, Some(1)),
            ("第五个", &shops, None),
            ("二", &shops, Some(1)),
            ("徐汇店", &shops, Some(0)),
            ("徐汇那家", &shops, Some(0)),
            ("许会店吧", &shops, Some(0)),
            ("张江的", &shops, Some(1)),
            ("去浦东吧", &shops, Some(1)),
            ("新庄那边近一点", &shops, Some(2)),
            ("徐汇太远了浦东吧", &shops, Some(1)),
            ("不要徐汇的", &shops, None),
            ("服务中心", &shops, None),
            ("都不行", &shops, None),
            ("都可以", &shops, None),
            ("随便", &shops, None),
            ("徐汇或者浦东", &shops, None),
            ("第一次来浦东的", &shops, Some(1)),
            ("下午那个", &slots, Some(0)),
            ("两点", &slots, Some(0)),
            ("二十六号", &slots, Some(2)),
            ("二十五号上午", &slots, Some(1)),
            ("二十五号", &slots, None),
            ("十点", &slots, None),
            ("二十七号", &slots, None),
            ("十一月二十五号下午两点", &slots, Some(0)),
            ("周四", &days, Some(1)),
            ("晚上的", &days, Some(2)),
            ("周三不对周五", &days, Some(2)),
            ("最早的那个", &slots, Some(1)),
            ("越早越好", &slots, Some(1)),
            ("最晚的", &slots, Some(2)),
            ("早一点的", &slots[..2], Some(1)),
            ("晚一点再说", &slots[..2], None),
            ("the earliest", &slots, Some(1)),
            ("最早的", &["12月31日上午十点", "1月2日上午九点"], Some(0)),
            ("周三的", &["十一月二十五号周三下午两点", "十一月二十六号周四下午两点"], Some(0)),
            ("最早的", &shops, None),
            ("名天下五两点", &["明天下午两点", "明天下午三点"], Some(0)),
            ("三十六期", &plans, Some(1)),
            ("分二十四期吧", &plans, Some(0)),
            ("the second one", &shops, Some(1)),
            ("the last one please", &shops, Some(2)),
            ("number two", &shops, Some(1)),
            ("option three", &shops, Some(2)),
            ("the afternoon one", &slots, Some(0)),
            ("november 26", &slots, Some(2)),
            ("xuhui please", &english, Some(0)),
            ("the one in Pudong", &english, Some(1)),
            ("neither", &english, None),
            ("just a second", &english, None),
            ("i dont know", &english, None),
            ("", &shops, None),
        ] {
            let got = choice(text, options);
            if got != wanted {
                wrong.push(format!("{text} of {options:?}: {got:?} instead of {wanted:?}"));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        assert_eq!(choice("第一个", &[]), None);
    }
}
