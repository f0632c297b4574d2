//! How content a caller is, from 1 to 5.

use crate::dialogue::text::normalize;

/// The grade that is said, 1 (not at all) to 5 (very), or none. The first that is found counts.
pub fn rating(text: &str) -> Option<u8> {
    let text = normalize(text);
    let words = if text.is_ascii() { ENGLISH } else { CHINESE };
    let padded = format!(" {text} ");
    let said = |word: &str| {
        if text.is_ascii() { padded.contains(&format!(" {word} ")) } else { text.contains(word) }
    };
    words.iter().find(|(word, _)| said(word)).map(|(_, grade)| *grade).or_else(|| digit(&text))
}

/// A digit that stands alone or is counted in points or stars; 三月五号 is no grade.
fn digit(text: &str) -> Option<u8> {
    let mut rest = text.chars().filter(|c| !"我给打个那就吧啊呀嘛请按选".contains(*c) && !c.is_whitespace());
    let grade = match rest.next()? {
        '1' | '一' | '幺' => 1,
        '2' | '二' | '两' => 2,
        '3' | '三' => 3,
        '4' | '四' => 4,
        '5' | '五' => 5,
        _ => return None,
    };
    let unit: String = rest.collect();
    matches!(unit.as_str(), "" | "分" | "星" | "颗星" | "颗" | "分满意").then_some(grade)
}

/// What holds another comes first.
const CHINESE: &[(&str, u8)] = &[
    ("非常不满意", 1),
    ("很不满意", 1),
    ("特别不满意", 1),
    ("十分不满意", 1),
    ("太差", 1),
    ("很差", 1),
    ("差评", 1),
    ("差劲", 1),
    ("不太满意", 2),
    ("不是很满意", 2),
    ("不满意", 2),
    ("不怎么样", 2),
    ("不太好", 2),
    ("还不错", 4),
    ("还算满意", 4),
    ("一般", 3),
    ("还行", 3),
    ("还可以", 3),
    ("凑合", 3),
    ("马马虎虎", 3),
    ("非常满意", 5),
    ("很满意", 5),
    ("特别满意", 5),
    ("十分满意", 5),
    ("非常好", 5),
    ("特别好", 5),
    ("很好", 5),
    ("好评", 5),
    ("满分", 5),
    ("挺好", 4),
    ("不错", 4),
    ("满意", 4),
];

const ENGLISH: &[(&str, u8)] = &[
    ("very dissatisfied", 1),
    ("very unsatisfied", 1),
    ("terrible", 1),
    ("awful", 1),
    ("dissatisfied", 2),
    ("unsatisfied", 2),
    ("not satisfied", 2),
    ("not good", 2),
    ("bad", 2),
    ("poor", 2),
    ("average", 3),
    ("so so", 3),
    ("okay", 3),
    ("ok", 3),
    ("very satisfied", 5),
    ("very good", 5),
    ("excellent", 5),
    ("perfect", 5),
    ("great", 5),
    ("satisfied", 4),
    ("good", 4),
    ("one", 1),
    ("two", 2),
    ("three", 3),
    ("four", 4),
    ("five", 5),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grades_are_understood_as_people_say_them() {
        for (text, grade) in [
            ("非常满意", 5),
            ("满意", 4),
            ("挺满意的", 4),
            ("一般吧", 3),
            ("不太满意", 2),
            ("非常不满意！", 1),
            ("五分", 5),
            ("我给四分吧", 4),
            ("三", 3),
            ("2", 2),
            ("五颗星", 5),
            ("十分满意", 5),
            ("Very good.", 5),
            ("four", 4),
            ("not satisfied", 2),
        ] {
            assert_eq!(rating(text), Some(grade), "{text}");
        }
        for text in ["我的车充不进电", "三月五号", "再见", "不用了", "goodbye", "十二", "一个问题"]
        {
            assert_eq!(rating(text), None, "{text} is no grade");
        }
    }
}
