//! Words taken apart into what they may mean on a number plate.

use pinyin::ToPinyin;

use super::english::{PLACES, english};
use crate::dialogue::slots::phone::digit;
use crate::dialogue::sound::Syllable;
use crate::dialogue::text::{Lang, is_han};
use crate::tts::normalize::PROVINCES;

/// What a character or word may stand for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Token {
    /// Surely this letter or digit, upper case.
    pub(super) sign: Option<char>,
    /// Surely this province.
    pub(super) province: Option<char>,
    /// A digit, a letter, a province by its sound.
    pub(super) digit: Option<char>,
    pub(super) letter: Option<char>,
    pub(super) province_like: Option<char>,
    /// May be the last of a plate by its sound: not a closing particle.
    pub(super) last: bool,
    /// Said between the parts of a plate.
    pub(super) filler: bool,
    /// Said around a plate: 我的车牌号是.
    pub(super) lead: bool,
}

pub(super) fn tokens(text: &str) -> Vec<Token> {
    if Lang::of(text) == Some(Lang::En) { english(text) } else { chinese(text) }
}

const FILLERS: &str = "的点嗯呃啊那个然后面是就杠再加接着最末尾牌";
const LEAD: &str = "我的车牌照号码是为叫这辆好对喂您你登记用老公婆省";
/// Words that are no letters one by one.
const WORDS: [&str; 22] = [
    "ok", "app", "suv", "ota", "vip", "wifi", "hi", "esp", "abs", "vin", "gps", "sos", "com", "qq", "etc",
    "bms", "led", "nfc", "usb", "cltc", "mpv", "phev",
];
/// Names of letters as they are written in characters, longest first.
const NAMES: [(&str, char); 38] = [
    ("豆贝尔优", 'W'),
    ("达不溜", 'W'),
    ("达不柳", 'W'),
    ("达布溜", 'W'),
    ("打不溜", 'W'),
    ("大不溜", 'W'),
    ("大布溜", 'W'),
    ("哒不溜", 'W'),
    ("艾克斯", 'X'),
    ("爱克斯", 'X'),
    ("埃克斯", 'X'),
    ("艾弗", 'F'),
    ("艾福", 'F'),
    ("艾夫", 'F'),
    ("爱弗", 'F'),
    ("爱福", 'F'),
    ("埃夫", 'F'),
    ("艾尺", 'H'),
    ("爱尺", 'H'),
    ("艾奇", 'H'),
    ("爱奇", 'H'),
    ("艾取", 'H'),
    ("艾勒", 'L'),
    ("爱勒", 'L'),
    ("埃勒", 'L'),
    ("艾欧", 'L'),
    ("艾姆", 'M'),
    ("爱姆", 'M'),
    ("爱母", 'M'),
    ("埃姆", 'M'),
    ("艾斯", 'S'),
    ("爱斯", 'S'),
    ("艾丝", 'S'),
    ("埃斯", 'S'),
    ("阿尔", 'R'),
    ("啊尔", 'R'),
    ("贼德", 'Z'),
    ("歪儿", 'Y'),
];
/// Letters by the sound of one character.
const SOUNDS: [(char, char); 19] = [
    ('必', 'B'),
    ('西', 'C'),
    ('弟', 'D'),
    ('衣', 'E'),
    ('机', 'G'),
    ('借', 'J'),
    ('开', 'K'),
    ('恩', 'N'),
    ('欧', '0'),
    ('皮', 'P'),
    ('球', 'Q'),
    ('踢', 'T'),
    ('优', 'U'),
    ('威', 'V'),
    ('外', 'Y'),
    ('贼', 'Z'),
    ('则', 'Z'),
    ('诶', 'A'),
    ('叉', 'X'),
];
const A: &str = "诶欸哎唉埃";
/// Digits by sound, only among others.
const DIGITS: [(char, char); 22] = [
    ('两', '2'),
    ('妖', '1'),
    ('腰', '1'),
    ('要', '1'),
    ('药', '1'),
    ('邀', '1'),
    ('么', '1'),
    ('洞', '0'),
    ('令', '0'),
    ('另', '0'),
    ('林', '0'),
    ('拐', '7'),
    ('期', '7'),
    ('器', '7'),
    ('勾', '9'),
    ('就', '9'),
    ('酒', '9'),
    ('久', '9'),
    ('吧', '8'),
    ('把', '8'),
    ('流', '6'),
    ('留', '6'),
];

fn chinese(text: &str) -> Vec<Token> {
    let c: Vec<char> = text.chars().filter(|c| *c != ' ').collect();
    let rest = |at: usize, n: usize| c[at..].iter().take(n).collect::<String>();
    let mut out = Vec::new();
    let mut at = 0;
    while at < c.len() {
        let sign = c[at];
        let next = c.get(at + 1).copied().unwrap_or(' ');
        let count = digit(sign).and_then(|d| d.to_digit(10));
        // 三个八; 一位, 第三位, 一下
        if let (Some(count), '个', Some(repeated)) = (count, next, c.get(at + 2).and_then(|c| digit(*c))) {
            out.extend((0..count).map(|_| Token { sign: Some(repeated), ..Token::default() }));
            at += 3;
            continue;
        }
        let counted = "个位下点会些样定直起年月号十百千万辆".contains(next)
            || ("把块张条只截".contains(next) && out.last().is_none_or(|t: &Token| t.sign.is_none()));
        if count.is_some() && counted {
            out.push(Token { filler: "个位".contains(next), ..Token::default() });
            at += 2;
            continue;
        }
        if let Some((name, letter)) = NAMES.iter().find(|(name, _)| rest(at, name.chars().count()) == *name) {
            out.push(Token { sign: Some(*letter), ..Token::default() });
            at += name.chars().count();
            continue;
        }
        if let Some((_, place, province)) =
            PLACES.iter().find(|(_, place, _)| rest(at, place.chars().count()) == *place)
        {
            out.push(Token { province: Some(*province), ..Token::default() });
            at += place.chars().count();
            continue;
        }
        if sign.is_ascii_alphabetic() {
            let word: String = c[at..].iter().take_while(|c| c.is_ascii_alphabetic()).collect();
            let length = word.len();
            // 京QQ零零零零 has no word in it.
            let amid = out.last().is_some_and(|t: &Token| t.sign.is_some() || t.province.is_some())
                || c.get(at + length).is_some_and(|c| digit(*c).is_some());
            if length > 8 || (WORDS.contains(&word.as_str()) && !amid) {
                out.push(Token::default());
            } else {
                let letter = |c: char| Token { sign: Some(c.to_ascii_uppercase()), ..Token::default() };
                out.extend(word.chars().map(letter));
            }
            at += length;
            continue;
        }
        out.push(character(sign));
        at += 1;
    }
    out
}

/// One character by itself.
fn character(c: char) -> Token {
    let like = DIGITS.iter().find(|(like, _)| *like == c).map(|(_, digit)| *digit);
    let province = Some(c).filter(|c| PROVINCES.contains(*c));
    Token {
        sign: digit(c).filter(|_| like.is_none()),
        province,
        digit: like.or_else(|| digit_like(c)),
        letter: letter_like(c),
        province_like: province.or_else(|| province_like(c)),
        last: !"吧把就要啊的呢么期开诶欸哎唉".contains(c) && (like.is_some() || digit_like(c).is_none()),
        filler: FILLERS.contains(c) || matches!(c, '.' | '-' | ':' | '/'),
        lead: LEAD.contains(c),
    }
}

/// A digit that sounds like `c`: 四死思, 五午务.
fn digit_like(c: char) -> Option<char> {
    let sound = Syllable::of(c).filter(|_| is_han(c))?;
    let said = "零一二三四五六七八九".chars().zip('0'..='9');
    said.into_iter().find(|(said, _)| Syllable::of(*said) == Some(sound)).map(|(_, digit)| digit)
}

fn letter_like(c: char) -> Option<char> {
    if !is_han(c) || "的了是一嗯".contains(c) {
        return None;
    }
    if A.contains(c) {
        return Some('A');
    }
    let sound = Syllable::of(c)?;
    let alike = |like: char| Syllable::of(like) == Some(sound);
    SOUNDS.iter().find(|(like, _)| *like == c || alike(*like)).map(|(_, letter)| *letter)
}

/// The province that sounds like `c`, if only one does: by the syllable, then by the tone, then as a telephone mixes them up.
fn province_like(c: char) -> Option<char> {
    let sound = Syllable::of(c).filter(|_| is_han(c))?;
    // In names of places 藏 is read otherwise than alone.
    let of = |p: char| Syllable::of(if p == '藏' { '葬' } else { p });
    let tone = |c: char| c.to_pinyin().and_then(|p| p.with_tone_num_end().chars().next_back());
    let same: Vec<char> = PROVINCES.chars().filter(|p| of(*p) == Some(sound)).collect();
    match *same.as_slice() {
        [only] => Some(only),
        [] => {
            let mut near = PROVINCES.chars().filter(|p| of(*p).map(Syllable::folded) == Some(sound.folded()));
            near.next().filter(|_| near.next().is_none())
        }
        _ => {
            let mut toned = same.into_iter().filter(|p| tone(*p) == tone(c));
            toned.next().filter(|_| toned.next().is_none())
        }
    }
}
