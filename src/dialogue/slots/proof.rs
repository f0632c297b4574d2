//! What shows who somebody is: the last four digits of the number on file, or the family name.

use super::phone::digits;
use crate::dialogue::text::{is_han, normalize, strip_lead};

/// What a caller names of a record to show that it is the own one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Four digits.
    Tail(String),
    /// A family name: 陈, "chen".
    Surname(String),
}

/// Family names of two characters.
const TWO: [&str; 10] = ["欧阳", "上官", "司马", "诸葛", "司徒", "东方", "皇甫", "尉迟", "公孙", "慕容"];
/// The hundred most frequent family names of one character, four in five of all, in order of frequency; then how they are
/// described by their parts.
const ONE: &str = "王李张刘陈杨黄赵吴周徐孙马朱胡郭何高林罗郑梁谢宋唐许韩冯邓曹彭曾肖田董袁潘于蒋蔡余杜叶程苏魏吕丁任沈姚卢姜崔钟谭陆汪范金石廖贾夏韦付方白邹孟熊秦邱江尹薛闫段雷侯龙史陶黎贺顾毛郝龚邵万钱严覃武戴莫孔向汤";
const DESCRIBED: [(&str, &str); 12] = [
    ("耳东", "陈"),
    ("木子", "李"),
    ("弓长", "张"),
    ("立早", "章"),
    ("口天", "吴"),
    ("古月", "胡"),
    ("双木", "林"),
    ("草头", "黄"),
    ("双人", "徐"),
    ("走肖", "赵"),
    ("言午", "许"),
    ("三横王", "王"),
];
const COUNTS: [&str; 6] = ["四位", "4位", "四个数", "4个数", "四个", "last four"];
const TITLES: [&str; 6] = ["先生", "女士", "小姐", "太太", "师傅", "老师"];

/// The proof that `text` gives, as a reply to the question for it. Of a longer number the last four digits count.
pub fn proof(text: &str) -> Option<Proof> {
    let plain = normalize(text);
    // A name may sound like a digit (林), a number is said as digits alone.
    if let Some(name) = surname(&plain) {
        return Some(Proof::Surname(name));
    }
    // 后四位 is no digit of it.
    let digits = digits(&COUNTS.iter().fold(plain, |text, count| text.replace(count, " ")));
    let at = digits.len().checked_sub(4)?;
    matches!(digits.len(), 4 | 11).then(|| Proof::Tail(digits[at..].to_owned()))
}

fn surname(plain: &str) -> Option<String> {
    if plain.is_ascii() {
        return english(plain);
    }
    // 车主行陈: what a recogniser writes for 姓 where nothing else is likely.
    let plain = ["车主", "我", "他", "她"].iter().fold(plain.to_owned(), |text, who| {
        ["行", "性", "幸", "兴", "型", "星"]
            .iter()
            .fold(text, |text, heard| text.replace(&format!("{who}{heard}"), &format!("{who}姓")))
    });
    let plain = plain.as_str();
    let described = DESCRIBED.iter().find(|(parts, _)| plain.contains(parts));
    if let Some((_, name)) = described {
        return Some((*name).to_owned());
    }
    if let Some((_, after)) = plain.rsplit_once('姓') {
        return leading(after.trim_start_matches(['是', '的', '氏']), true);
    }
    let titled = TITLES.iter().find_map(|title| plain.split_once(title).map(|(before, _)| before));
    if let Some(before) = titled {
        let before = strip_lead(before).trim_start_matches(['是', '我', '叫']);
        return leading(before, true);
    }
    // A bare name: 陈, 陈志远, 我叫陈志远.
    let named = plain.contains('叫');
    let bare = plain.rsplit_once('叫').map_or(plain, |(_, name)| name);
    let bare = strip_lead(bare).trim_start_matches(['是', '我', '就']);
    let length = bare.chars().count();
    (bare.chars().all(is_han) && (1..=4).contains(&length)).then(|| leading(bare, named)).flatten()
}

/// The family name at the beginning of `text`; any character if one is `surely` there.
fn leading(text: &str, surely: bool) -> Option<String> {
    let text = text.trim();
    if let Some(two) = TWO.iter().find(|two| text.starts_with(**two)) {
        return Some((*two).to_owned());
    }
    let first = text.chars().next().filter(|c| is_han(*c))?;
    let short = text.chars().count() <= 3;
    (ONE.contains(first) && short || surely).then(|| first.to_string())
}

fn english(plain: &str) -> Option<String> {
    const BEFORE: [&str; 6] =
        ["last name is ", "surname is ", "family name is ", "name is ", "it is ", "its "];
    let said = BEFORE.iter().find_map(|before| plain.split_once(before).map(|(_, after)| after));
    let words: Vec<&str> = said?.split(' ').filter(|word| !word.is_empty()).collect();
    let name = words.last().filter(|_| words.len() <= 3)?;
    (name.chars().all(|c| c.is_ascii_alphabetic()) && digits(name).is_empty()).then(|| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tail(digits: &str) -> Proof {
        Proof::Tail(digits.into())
    }

    fn name(name: &str) -> Proof {
        Proof::Surname(name.into())
    }

    #[test]
    fn the_last_four_digits_are_taken_however_they_are_said() {
        for text in [
            "幺二三四",
            "1234",
            "尾号是幺二三四",
            "后四位 1 2 3 4",
            "幺三八零零零零幺二三四",
            "one two three four",
        ] {
            assert_eq!(proof(text), Some(tail("1234")), "{text}");
        }
        for text in ["幺二三", "1 2 3 4 5", "我不知道", ""] {
            assert_eq!(proof(text), None, "{text}");
        }
    }

    #[test]
    fn a_family_name_is_taken_however_it_is_said() {
        for text in [
            "陈",
            "姓陈",
            "车主姓陈",
            "我姓陈耳东陈",
            "陈先生",
            "嗯陈先生的",
            "我叫陈志远",
            "陈志远",
            "耳东陈",
        ] {
            assert_eq!(proof(text), Some(name("陈")), "{text}");
        }
        assert_eq!(proof("姓欧阳"), Some(name("欧阳")));
        assert_eq!(proof("车主行沉"), Some(name("沉")), "heard by its sound: who compares does so too");
        assert_eq!(proof("姓林"), Some(name("林")), "and not a zero");
        assert_eq!(proof("my last name is miller"), Some(name("miller")));
        for text in ["你们几点关门", "凭什么要告诉你", "不知道", "可以", "对"] {
            assert_eq!(proof(text), None, "{text}");
        }
    }
}
