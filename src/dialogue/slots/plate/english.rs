//! Words of English callers on a number plate, and the names of the provinces.

use super::tokens::Token;
use crate::dialogue::slots::number::{one, ten};

/// Provinces by their English and Chinese names.
pub(in crate::dialogue::slots) const PLACES: [(&str, &str, char); 31] = [
    ("beijing", "北京", '京'),
    ("tianjin", "天津", '津'),
    ("shanghai", "上海", '沪'),
    ("chongqing", "重庆", '渝'),
    ("hebei", "河北", '冀'),
    ("henan", "河南", '豫'),
    ("yunnan", "云南", '云'),
    ("liaoning", "辽宁", '辽'),
    ("heilongjiang", "黑龙江", '黑'),
    ("hunan", "湖南", '湘'),
    ("anhui", "安徽", '皖'),
    ("shandong", "山东", '鲁'),
    ("xinjiang", "新疆", '新'),
    ("jiangsu", "江苏", '苏'),
    ("zhejiang", "浙江", '浙'),
    ("jiangxi", "江西", '赣'),
    ("hubei", "湖北", '鄂'),
    ("guangxi", "广西", '桂'),
    ("gansu", "甘肃", '甘'),
    ("shanxi", "山西", '晋'),
    ("inner mongolia", "内蒙古", '蒙'),
    ("shaanxi", "陕西", '陕'),
    ("jilin", "吉林", '吉'),
    ("fujian", "福建", '闽'),
    ("guizhou", "贵州", '贵'),
    ("guangdong", "广东", '粤'),
    ("qinghai", "青海", '青'),
    ("tibet", "西藏", '藏'),
    ("sichuan", "四川", '川'),
    ("ningxia", "宁夏", '宁'),
    ("hainan", "海南", '琼'),
];

/// Each word as what it may mean.
pub(super) fn english(text: &str) -> Vec<Token> {
    const READINGS: [(&str, char); 9] = [
        ("hu", '沪'),
        ("jing", '京'),
        ("yue", '粤'),
        ("zhe", '浙'),
        ("jin", '津'),
        ("chuan", '川'),
        ("mongolia", '蒙'),
        ("canton", '粤'),
        ("su", '苏'),
    ];
    const LIKE: [(&str, char); 31] = [
        ("be", 'B'),
        ("bee", 'B'),
        ("see", 'C'),
        ("sea", 'C'),
        ("dee", 'D'),
        ("ee", 'E'),
        ("eff", 'F'),
        ("gee", 'G'),
        ("aitch", 'H'),
        ("jay", 'J'),
        ("kay", 'K'),
        ("el", 'L'),
        ("em", 'M'),
        ("en", 'N'),
        ("pee", 'P'),
        ("pea", 'P'),
        ("cue", 'Q'),
        ("queue", 'Q'),
        ("are", 'R'),
        ("ess", 'S'),
        ("tea", 'T'),
        ("tee", 'T'),
        ("you", 'U'),
        ("vee", 'V'),
        ("ex", 'X'),
        ("why", 'Y'),
        ("zee", 'Z'),
        ("zed", 'Z'),
        ("to", '2'),
        ("too", '2'),
        ("ate", '8'),
    ];
    const CALLED: [&str; 26] = [
        "alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india", "juliet", "kilo",
        "lima", "mike", "november", "oscar", "papa", "quebec", "romeo", "sierra", "tango", "uniform",
        "victor", "whiskey", "xray", "yankee", "zulu",
    ];
    const FILLERS: [&str; 17] = [
        "dash", "hyphen", "dot", "space", "then", "and", "capital", "letter", "number", "um", "uh", "er",
        "followed", "by", "the", "for", "i",
    ];
    const LEAD: [&str; 14] = [
        "my",
        "plate",
        "license",
        "licence",
        "is",
        "it",
        "its",
        "car",
        "registration",
        "yes",
        "so",
        "ok",
        "please",
        "number",
    ];
    let words: Vec<&str> = text.split([' ', '.', '-', '/', ':']).filter(|w| !w.is_empty()).collect();
    let mut out: Vec<Token> = Vec::new();
    let mut times = 1;
    let mut at = 0;
    while let Some(&word) = words.get(at) {
        let next = words.get(at + 1).copied().unwrap_or("");
        let exact = |c: char| Token { sign: Some(c.to_ascii_uppercase()), ..Token::default() };
        let said = out.last().and_then(|t| t.sign).filter(char::is_ascii_alphabetic);
        at += 1;
        // a for apple, d as in david
        let explained = match (word, next) {
            ("for" | "like", example) => Some((example, 1)),
            ("as", "in") => words.get(at + 1).map(|example| (*example, 2)),
            _ => None,
        };
        if let (Some(letter), Some((example, count))) = (said, explained)
            && example.len() > 1
            && example.starts_with(letter.to_ascii_lowercase())
        {
            at += count;
            continue;
        }
        match word {
            "double" if next == "u" || next == "you" => {
                out.push(exact('W'));
                at += 1;
                continue;
            }
            "double" | "triple" => {
                times = if word == "double" { 2 } else { 3 };
                continue;
            }
            _ => {}
        }
        let province = READINGS
            .iter()
            .copied()
            .chain(PLACES.iter().map(|(name, _, province)| (*name, *province)))
            .find(|(name, _)| *name == word)
            .map(|(_, province)| province);
        let mut signs: Vec<Token> = if let Some(tens) = ten(word) {
            let unit = one(next).filter(|u| (1..10).contains(u));
            at += usize::from(unit.is_some());
            (tens + unit.unwrap_or(0)).to_string().chars().map(exact).collect()
        } else if let Some(value) = one(word) {
            value.to_string().chars().map(exact).collect()
        } else if word == "oh" {
            vec![exact('0')]
        } else if (word.len() == 1 && word != "i")
            || (word.len() <= 8 && word.contains(|c: char| c.is_ascii_digit()))
        {
            word.chars().filter(char::is_ascii_alphanumeric).map(exact).collect()
        } else if let Some(called) = CALLED.iter().find(|called| **called == word) {
            called.chars().take(1).map(exact).collect()
        } else {
            let like = if word == "for" {
                Some('4')
            } else {
                LIKE.iter().find(|(l, _)| *l == word).map(|(_, c)| *c)
            };
            vec![Token {
                province,
                letter: like.filter(char::is_ascii_alphabetic),
                digit: like.filter(char::is_ascii_digit),
                filler: FILLERS.contains(&word),
                lead: LEAD.contains(&word),
                ..Token::default()
            }]
        };
        if times > 1 && signs.len() == 1 {
            signs = vec![signs[0]; times];
        }
        times = 1;
        out.extend(signs);
    }
    out
}
