//! Options by their place: 第一个, 后面那家, "the second one".

use super::{Verdict, turned_down};
use crate::dialogue::slots::meant::refused;
use crate::dialogue::slots::number::{small, small_en};
use crate::dialogue::text::Lang;

/// The place in the list that `text` names; [`None`] if it names none.
pub(super) fn ordinal(text: &str, count: usize) -> Option<Verdict> {
    let place =
        if Lang::of(text) == Some(Lang::En) { place_en(text, count)? } else { place_zh(text, count)? };
    Some(Verdict::of(place.place().filter(|place| *place < count)))
}

fn place_zh(text: &str, count: usize) -> Option<Verdict> {
    let last = count.checked_sub(1);
    let middle = (count % 2 == 1).then_some(count / 2);
    let named = [
        ("倒数第二", count.checked_sub(2)),
        ("最后一", last),
        ("最后那", last),
        ("最后的", last),
        ("前面那", Some(0)),
        ("前面的", Some(0)),
        ("前边那", Some(0)),
        ("前一个", Some(0)),
        ("前一家", Some(0)),
        ("前者", Some(0)),
        ("头一", Some(0)),
        ("上面那", Some(0)),
        ("后面那", last),
        ("后面的", last),
        ("后边那", last),
        ("后一个", last),
        ("后一家", last),
        ("后者", last),
        ("下面那", last),
        ("中间那", middle),
        ("中间的", middle),
        ("中间一", middle),
    ];
    let mut found: Vec<(usize, usize, Option<usize>)> = named
        .iter()
        .flat_map(|(word, place)| text.match_indices(word).map(|(at, word)| (at, at + word.len(), *place)))
        .collect();
    for (at, word) in text.match_indices('第').chain(text.match_indices('选')) {
        let behind: Vec<char> = text[at + word.len()..].chars().collect();
        let Some((number, end)) = small(&behind, 0).filter(|(number, _)| *number > 0) else { continue };
        let rest: String = behind[end..].iter().collect();
        let other = rest.starts_with(['次', '天', '回', '年', '期', '代', '点', '号', '月', '下'])
            || text[..at].ends_with("倒数")
            || (word == "选" && rest.starts_with(['个', '家']));
        if !other {
            let said: usize = behind[..end].iter().map(|c| c.len_utf8()).sum();
            found.push((at, at + word.len() + said, Some(number as usize - 1)));
        }
    }
    found.sort_unstable_by_key(|(at, ..)| *at);
    if let Some(meant) = found.iter().rev().find(|(at, end, _)| !turned_down(&text[..*at], &text[*end..])) {
        return Some(Verdict::of(meant.2));
    }
    // 二, 二吧: nothing but the number.
    let bare = text.trim_start_matches(['要', '那', '就', '选']).trim_end_matches(['吧', '号', '个', '的']);
    let bare: Vec<char> = bare.chars().collect();
    let number =
        small(&bare, 0).filter(|(number, end)| *end == bare.len() && *number > 0).map(|(number, _)| number);
    number.filter(|number| *number as usize <= count).map(|number| Verdict::This(number as usize - 1))
}

fn place_en(text: &str, count: usize) -> Option<Verdict> {
    const PLACES: [(&str, usize); 10] = [
        ("first", 0),
        ("1st", 0),
        ("former", 0),
        ("second", 1),
        ("2nd", 1),
        ("third", 2),
        ("3rd", 2),
        ("fourth", 3),
        ("4th", 3),
        ("fifth", 4),
    ];
    let words: Vec<&str> = text.split(' ').collect();
    let mut found = None;
    for (at, word) in words.iter().enumerate() {
        let before = at.checked_sub(1).map_or("", |i| words[i]);
        let after = words.get(at + 1).copied().unwrap_or("");
        let place = PLACES.iter().find(|(name, _)| name == word).map(|(_, place)| Some(*place));
        let place = match *word {
            "last" | "latter" => Some(count.checked_sub(1)),
            "middle" => Some((count % 2 == 1).then_some(count / 2)),
            "option" | "number" | "choice" => {
                small_en(&words, at + 1).filter(|(n, _)| *n > 0).map(|(n, _)| Some(n as usize - 1))
            }
            _ => place,
        };
        // a second, first of all, last week, the second of December
        let other =
            matches!((before, *word), ("a" | "one" | "few" | "twenty" | "thirty", _) | ("at", "first"))
                || matches!(after, "of" | "week" | "month" | "year" | "time" | "night");
        let no = refused(&words[..at].join(" "), &words[at + 1..].join(" ").replacen("one ", "", 1));
        if let Some(place) = place.filter(|_| !other && !no) {
            found = Some(Verdict::of(place));
        }
    }
    let bare = words.iter().filter(|w| !matches!(**w, "please" | "number" | "the" | "um" | "uh")).copied();
    let bare: Vec<&str> = bare.collect();
    found.or_else(|| {
        let (number, end) = small_en(&bare, 0)?;
        let place = (number as usize).checked_sub(1)?;
        (end == bare.len() && place < count).then_some(Verdict::This(place))
    })
}
