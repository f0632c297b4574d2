//! What is left of an utterance when the caller corrects himself, and what a caller turns down.

/// What a caller who corrects himself means: all after the last 不对, 错了, 应该是, 改成, "no sorry", "I mean" …, and after the
/// second 是 of 不是周三是周四. The whole text if nothing is corrected; empty if he only takes back (周三不对).
pub fn meant(text: &str) -> &str {
    let lower = text.to_ascii_lowercase();
    let mut from = 0;
    while let Some(end) = next_mark(&lower, from).into_iter().chain(not_but(&lower, from)).min() {
        from = end;
    }
    &text[from..]
}

/// Takes back what was said, with a new value behind it or none.
const TAKES_BACK: [&str; 8] = ["不对", "错了", "说错了", "说错", "口误", "我重说", "重新说", "scratch that"];
/// Announces a new value; nothing if there is none.
const ANNOUNCES: [&str; 25] = [
    "哦不是",
    "啊不是",
    "呃不是",
    "哎不是",
    "哦不",
    "应该是",
    "改成",
    "改到",
    "改为",
    "改约",
    "换成",
    "换到",
    "更正",
    "纠正",
    "no sorry",
    "i mean",
    "i meant",
    "sorry",
    "actually",
    "no wait",
    "wait no",
    "correction",
    "make that",
    "change it to",
    "rather",
];

/// Where the first mark at or after `from` ends.
fn next_mark(text: &str, from: usize) -> Option<usize> {
    let found = |mark: &'static str, empty: bool| {
        text[from..].match_indices(mark).map(move |(at, _)| (from + at, mark, empty))
    };
    TAKES_BACK
        .iter()
        .flat_map(|mark| found(mark, true))
        .chain(ANNOUNCES.iter().flat_map(|mark| found(mark, false)))
        .filter(|(at, mark, empty)| {
            let (before, after) = (&text[..*at], &text[at + mark.len()..]);
            let word = !mark.is_ascii()
                || !(before.ends_with(|c: char| c.is_ascii_alphanumeric())
                    || after.starts_with(|c: char| c.is_ascii_alphanumeric()));
            let other = match *mark {
                // 对不对; 不对劲, 不对称.
                "不对" => {
                    (before.ends_with('对') && !before.ends_with("不对"))
                        || after.starts_with(['劲', '称', '外', '吗'])
                }
                "错了" => before.ends_with(['没', '不']) || after.starts_with('吗'),
                "rather" => after.trim_start().starts_with("than"),
                _ => false,
            };
            // 不是周一，是周二，我说错了: that was said already.
            let says = after.chars().any(|c| c.is_alphanumeric() && !"了吧啊呀".contains(c));
            word && !other && (says || (*empty && from == 0))
        })
        .min_by_key(|(at, mark, _)| (*at, std::cmp::Reverse(mark.len())))
        .map(|(at, mark, _)| at + mark.len())
}

/// How far apart the two halves of 不是周三是周四 may be, in characters.
const REACH: usize = 14;

/// Behind the 是 that follows a 不是.
fn not_but(text: &str, from: usize) -> Option<usize> {
    text[from..].match_indices("不是").find_map(|(at, not)| {
        let (before, denied) = (&text[..from + at], &text[from + at + not.len()..]);
        if before.ends_with(['是', '要']) || denied.starts_with(['说', '很', '不', '吗', '吧']) {
            return None;
        }
        let start = text.len() - denied.len();
        // 是 is also heard as 十 before a day or a part of one.
        let is = |at: usize, c: char| {
            let day = ["周", "星期", "礼拜", "明天", "后天", "上午", "下午"];
            c == '是' || c == '十' && day.iter().any(|day| denied[at + c.len_utf8()..].starts_with(day))
        };
        denied.char_indices().take(REACH).filter(|(at, c)| *at > 0 && is(*at, *c)).find_map(|(at, is)| {
            let (word, after) = (&denied[..at], &denied[at + is.len_utf8()..]);
            let joined = word.ends_with(['可', '但', '还', '要', '总', '或', '于', '老', '就', '只', '不']);
            let asks = after.starts_with(['吧', '吗', '不', '的', '否', '呢']);
            let says = after.chars().any(char::is_alphanumeric);
            (!joined && !asks && says).then_some(start + at + is.len_utf8())
        })
    })
}

/// True if a value is turned down by what is said just before it (不是周三, "not Wednesday") or just after (周三不行).
pub(super) fn refused(before: &str, after: &str) -> bool {
    refused_before(before) || refused_after(after)
}

fn refused_before(before: &str) -> bool {
    const NO: [&str; 17] = [
        "不是",
        "不要",
        "别",
        "除了",
        "不约",
        "不选",
        "不定",
        "不想",
        "不在",
        "not",
        "except",
        "instead of",
        "rather than",
        "cant",
        "cannot",
        "wont",
        "dont want",
    ];
    let mut before = before.trim_end();
    while let Some(shorter) = [
        "在", "约", "定", "选", "是", "那个", "这个", " on", " it", " go", " at", " the", " this", " do",
        " make", " come",
    ]
    .iter()
    .find_map(|word| before.strip_suffix(word))
    .filter(|shorter| !shorter.ends_with("不"))
    {
        before = shorter.trim_end();
    }
    let no = |word: &&str| {
        before.strip_suffix(*word).is_some_and(|rest| {
            let question = !rest.ends_with("只要")
                && rest.ends_with(['是', '要', '能', '约', '选', '定', '特', '区', '分', '个', '级', '类']);
            if word.is_ascii() { !rest.ends_with(|c: char| c.is_ascii_alphanumeric()) } else { !question }
        })
    };
    NO.iter().any(no)
}

fn refused_after(after: &str) -> bool {
    const LEAD: [&str; 19] = [
        "我",
        "可能",
        "恐怕",
        "好像",
        "都",
        "也",
        "是",
        "就",
        "那天",
        "的话",
        "吧",
        "嘛",
        "呢",
        "肯定",
        "还是",
        "那个时间",
        "家里",
        "有点",
        "已经",
    ];
    const NO: [&str; 45] = [
        "不行",
        "不可以",
        "不方便",
        "不能",
        "不在",
        "不合适",
        "不太方便",
        "不太行",
        "没空",
        "没时间",
        "没有空",
        "没有时间",
        "有事",
        "有安排",
        "有会",
        "要开会",
        "开会",
        "要出差",
        "出差",
        "来不了",
        "去不了",
        "到不了",
        "赶不上",
        "太早",
        "太晚",
        "要上班",
        "满了",
        "不要",
        "不约",
        "以外",
        "除外",
        "不上班",
        "休息",
        "不营业",
        "之外",
        "doesnt",
        "does not",
        "isnt",
        "is not",
        "wont",
        "is too",
        "is no good",
        "im busy",
        "i am busy",
        "i cant",
    ];
    let mut after = after.trim_start();
    loop {
        if let Some(no) = NO.iter().find(|no| after.starts_with(**no)) {
            // 周三不行吗 asks; 先定周三，不行再改 takes it for now.
            return !after[no.len()..].starts_with(['吗', '么', '再']);
        }
        match LEAD.iter().find_map(|word| after.strip_prefix(word)) {
            Some(rest) => after = rest,
            None => return false,
        }
    }
}

/// `text` as the readers of this folder take it: lower case, half width, without punctuation but `. : / - %` in numbers; one
/// space between two Latin words or numbers.
pub(super) fn plain(text: &str) -> String {
    let half = |c: char| match c {
        '～' | '〜' | '—' | '–' | '~' | '－' => '-',
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(c as u32 - 0xfee0).unwrap_or(c),
        other => other,
    };
    let chars: Vec<char> = text.chars().map(half).collect();
    let mut out = String::with_capacity(text.len());
    let mut gap = false;
    for (i, &c) in chars.iter().enumerate() {
        let near = |at: Option<usize>| at.and_then(|at| chars.get(at)).copied().unwrap_or(' ');
        let (before, after) = (near(i.checked_sub(1)), near(i.checked_add(1)));
        let digits = before.is_ascii_digit() && after.is_ascii_digit();
        match c {
            _ if c.is_alphanumeric() => {
                let joins = |c: char| c.is_ascii_alphanumeric() || c == '%';
                if gap && joins(c) && out.chars().next_back().is_some_and(joins) {
                    out.push(' ');
                }
                gap = false;
                out.push(c.to_ascii_lowercase());
            }
            '.' | ':' | '/' if digits => out.push(c),
            '-' if (before.is_ascii_digit() || after.is_ascii_digit())
                && before.is_alphanumeric()
                && after.is_alphanumeric() =>
            {
                out.push(c);
            }
            '%' if before.is_ascii_digit() => out.push(c),
            // 8,200
            ',' if digits && chars[i + 1..].iter().take_while(|c| c.is_ascii_digit()).count() == 3 => {}
            '\'' | '’' => {}
            _ => gap = true,
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_corrected_one_is_meant() {
        for (said, wanted) in [
            ("不是周三，是周四", "周四"),
            ("我说的不是周三是周四", "周四"),
            ("周三不对是周四", "是周四"),
            ("周三不对不对是周五", "是周五"),
            ("周三说错了应该是周五", "周五"),
            ("不是下午是上午十点", "上午十点"),
            ("不是下午而是上午", "上午"),
            ("明天吧，改成后天", "后天"),
            ("周三不对", ""),
            ("wednesday, no sorry, thursday", ", thursday"),
            ("Wednesday, I mean Thursday", " Thursday"),
        ] {
            assert_eq!(meant(said), wanted, "{said}");
        }
    }

    #[test]
    fn what_only_looks_like_a_correction_is_none() {
        for said in [
            "周四不是周三",
            "我不是车主周四下午可以吗",
            "周三是不是可以",
            "对不对周三",
            "没错了就是周三",
            "方向盘不对劲",
            "要不是周三是假期",
            "不是周三就是周四",
            "thursday rather than wednesday",
            "thursday actually",
            "an anomeanal word",
            "",
        ] {
            assert_eq!(meant(said), said, "{said}");
        }
    }

    #[test]
    fn what_is_turned_down_is_known_from_its_neighbours() {
        for (before, after) in [
            ("不是", ""),
            ("不要约在", ""),
            ("除了", "都行"),
            ("", "不行"),
            ("", "我要出差"),
            ("", "我没空"),
            ("not ", ""),
            ("", " doesnt work"),
            ("instead of ", ""),
        ] {
            assert!(refused(before, after), "{before}[周三]{after}");
        }
        for (before, after) in [
            ("是不是", "可以"),
            ("", "不行吗"),
            ("特别", ""),
            ("", "可以"),
            ("要不要", ""),
            ("on ", " please"),
        ] {
            assert!(!refused(before, after), "{before}[周三]{after}");
        }
    }

    #[test]
    fn numbers_keep_their_signs_and_words_lose_theirs() {
        for (said, wanted) in [
            ("１１月２５日，下午 ２：３０。", "11月25日下午2:30"),
            ("8,200 km, 20%", "8200 km 20%"),
            ("3.5公里 / 2-4天", "3.5公里2-4天"),
            ("Don't, please!", "dont please"),
            ("8点-10点", "8点-10点"),
        ] {
            assert_eq!(plain(said), wanted, "{said}");
        }
    }
}
