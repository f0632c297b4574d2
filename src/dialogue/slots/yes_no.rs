//! Yes or no.

use super::phone::digit;
use crate::dialogue::sound::Syllable;
use crate::dialogue::text::normalize;

/// Yes (`true`), no (`false`), or neither. The last word that says either counts: 好吧算了 is a no.
pub fn yes_no(text: &str) -> Option<bool> {
    let text = normalize(text);
    if text.is_ascii() {
        return yes_no_en(&text);
    }
    let mut rest = text.as_str();
    let mut answer = None;
    // Asking back is no answer.
    if text.ends_with('吗') {
        return None;
    }
    for question in [
        "行不行",
        "好不好",
        "可不可以",
        "是不是",
        "能不能",
        "对不对",
        "要不要",
        "为什么",
        "怎么",
        "多少",
        "多久",
    ] {
        if rest.contains(question) {
            return None;
        }
    }
    // One character alone is a word that was misheard: 队 is 对.
    let mut only = text.chars().filter(|c| *c != '的');
    if let (Some(c), None) = (only.next(), only.next())
        && digit(c).is_none()
        && !"十百千万半".contains(c)
        && !YES_NO.iter().any(|(word, _)| word.contains(c))
    {
        let sound = Syllable::of(c)?;
        let same = |word: &&(&str, Option<bool>)| {
            let mut chars = word.0.chars();
            matches!((chars.next(), chars.next()), (Some(w), None) if Syllable::of(w) == Some(sound))
        };
        return YES_NO.iter().find(same).and_then(|(_, meaning)| *meaning);
    }
    'scan: while let Some(c) = rest.chars().next() {
        for (word, meaning) in YES_NO {
            if let Some(after) = rest.strip_prefix(word) {
                if meaning.is_some() {
                    answer = *meaning;
                }
                rest = after;
                continue 'scan;
            }
        }
        rest = &rest[c.len_utf8()..];
    }
    answer
}

/// Longest first; [`None`] for words that hold a yes or no by accident.
const YES_NO: &[(&str, Option<bool>)] = &[
    ("还是不用了", Some(false)),
    ("不是不可以", Some(true)),
    ("没有问题", Some(true)),
    ("没有意见", Some(true)),
    ("不好意思", None),
    ("不要紧", Some(true)),
    ("不需要", Some(false)),
    ("不可以", Some(false)),
    ("不方便", Some(false)),
    ("不介意", Some(true)),
    ("没问题", Some(true)),
    ("没关系", None),
    ("用不着", Some(false)),
    ("没必要", Some(false)),
    ("可是", None),
    ("但是", None),
    ("还是", None),
    ("要是", None),
    ("就是", None),
    ("不过", None),
    ("你好", None),
    ("您好", None),
    ("好像", None),
    ("好看", None),
    ("好听", None),
    ("没错", Some(true)),
    ("不错", Some(true)),
    ("没事", None),
    ("算了", Some(false)),
    ("不用", Some(false)),
    ("不要", Some(false)),
    ("不行", Some(false)),
    ("不是", Some(false)),
    ("不对", Some(false)),
    ("不了", Some(false)),
    ("不想", Some(false)),
    ("不必", Some(false)),
    ("没有", Some(false)),
    ("别", Some(false)),
    ("拒绝", Some(false)),
    ("错了", Some(false)),
    ("甭", Some(false)),
    ("可以", Some(true)),
    ("需要", Some(true)),
    ("当然", Some(true)),
    ("确定", Some(true)),
    ("确认", Some(true)),
    ("愿意", Some(true)),
    ("同意", Some(true)),
    ("麻烦你", Some(true)),
    ("麻烦您", Some(true)),
    ("登记吧", Some(true)),
    ("回电吧", Some(true)),
    ("打给我", Some(true)),
    ("打吧", Some(true)),
    ("ok", Some(true)),
    ("嗯", Some(true)),
    ("对", Some(true)),
    ("是", Some(true)),
    ("好", Some(true)),
    ("行", Some(true)),
    ("成", Some(true)),
    ("要", Some(true)),
    ("中", Some(true)),
    ("不", Some(false)),
    ("没", Some(false)),
];

/// The words that say yes or no, and those that only seem to.
pub(in crate::dialogue) fn answers() -> impl Iterator<Item = &'static str> {
    YES_NO.iter().map(|(word, _)| *word)
}

fn yes_no_en(text: &str) -> Option<bool> {
    let padded = format!(" {text} ");
    let has = |words: &[&str]| words.iter().any(|w| padded.contains(&format!(" {w} ")));
    if has(&["no", "nope", "not", "dont", "never mind", "nah"]) && !has(&["no problem"]) {
        Some(false)
    } else if has(&[
        "yes",
        "yeah",
        "yep",
        "sure",
        "ok",
        "okay",
        "please",
        "right",
        "correct",
        "of course",
        "no problem",
        "fine",
    ]) {
        Some(true)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yes_and_no_are_understood_as_people_say_them() {
        for text in [
            "对",
            "嗯好的",
            "可以可以",
            "没问题",
            "没错",
            "行吧",
            "要的",
            "好，麻烦你了",
            "Yes, please.",
            "是的",
        ] {
            assert_eq!(yes_no(text), Some(true), "{text} is a yes");
        }
        for text in
            ["不用了谢谢", "不要", "算了", "好吧算了", "不是", "没有", "先不用", "No, thank you.", "不方便"]
        {
            assert_eq!(yes_no(text), Some(false), "{text} is a no");
        }
        assert_eq!((yes_no("队"), yes_no("号的")), (Some(true), Some(true)), "misheard, alone");
        for text in ["我的车充不进电怎么办", "救援是收费吗", "什么", "你好", "续航", "十", "车", "my car"]
        {
            assert_eq!(yes_no(text), None, "{text} is neither");
        }
    }
}
