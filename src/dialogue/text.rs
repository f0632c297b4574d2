//! What a recogniser wrote, made comparable: normal form, fillers, language and words.

/// A language that the light tier speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Lang {
    /// Mandarin.
    #[default]
    Zh,
    /// English.
    En,
}

impl Lang {
    /// ISO 639-1.
    pub fn code(self) -> &'static str {
        match self {
            Self::Zh => "zh",
            Self::En => "en",
        }
    }

    /// The language of `text` by its script; [`None`] if it has neither (digits only, empty).
    pub fn of(text: &str) -> Option<Self> {
        if text.chars().any(is_han) {
            Some(Self::Zh)
        } else if text.chars().any(|c| c.is_ascii_alphabetic()) {
            Some(Self::En)
        } else {
            None
        }
    }

    /// The language that `text` asks for, whichever it is in itself: 说英文, "in Chinese please".
    pub fn asked_for(text: &str) -> Option<Self> {
        const EN: [&str; 9] = [
            "说英文",
            "说英语",
            "讲英文",
            "讲英语",
            "用英文",
            "用英语",
            "speak english",
            "in english",
            "english please",
        ];
        const ZH: [&str; 11] = [
            "说中文",
            "讲中文",
            "用中文",
            "说普通话",
            "讲普通话",
            "说汉语",
            "speak chinese",
            "in chinese",
            "speak mandarin",
            "in mandarin",
            "chinese please",
        ];
        let text = normalize(text);
        let asks = |words: &[&str]| words.iter().filter_map(|word| text.rfind(word)).max();
        match (asks(&ZH), asks(&EN)) {
            (None, None) => None,
            // 不说英文了，说中文: the last one counts.
            (zh, en) => Some(if zh > en { Self::Zh } else { Self::En }),
        }
    }
}

/// True for a Chinese character.
pub fn is_han(c: char) -> bool {
    ('\u{4e00}'..='\u{9fff}').contains(&c) || ('\u{3400}'..='\u{4dbf}').contains(&c)
}

/// Lower case, half width, without punctuation; a single space only between Latin words or digit groups.
pub fn normalize(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut gap = false;
    for c in text.chars() {
        let c = match c {
            '\u{ff01}'..='\u{ff5e}' => char::from_u32(c as u32 - 0xfee0).unwrap_or(c),
            other => other,
        };
        if c.is_alphanumeric() {
            let c = c.to_ascii_lowercase();
            let joins = |c: char| c.is_ascii_alphanumeric();
            if gap && joins(c) && out.chars().next_back().is_some_and(joins) {
                out.push(' ');
            }
            gap = false;
            out.push(c);
        } else if c == '\'' || c == '’' {
            // Keeps "don't" one word.
        } else {
            gap = true;
        }
    }
    out
}

/// What callers say before and between the words that matter, longest first.
const FILLERS: &[&str] = &[
    "我想咨询一下",
    "我想问你一下",
    "我想问一下",
    "麻烦问一下",
    "麻烦问下",
    "我想了解一下",
    "我想请问一下",
    "请问一下",
    "打扰一下",
    "咨询一下",
    "想问一下",
    "我问一下",
    "我想问问",
    "问一下",
    "不好意思",
    "你帮我看看",
    "帮我看一下",
    "麻烦您",
    "麻烦你",
    "就是说",
    "怎么说呢",
    "您好",
    "你好",
    "请问",
    "那个",
    "帮我",
    "给我",
    "我想",
    "我要",
    "一下",
    "就是",
    "然后",
    "谢谢您",
    "谢谢你",
    "谢谢",
    "喂",
    "嗯",
    "呃",
    "哎",
    "唉",
    "诶",
    "哦",
    "啊",
    "呀",
    "呢",
    "吧",
    "嘛",
];

/// `normalized` without spoken fillers; unchanged if nothing of weight would remain.
pub fn strip_fillers(normalized: &str) -> String {
    let mut rest = normalized;
    let mut out = String::with_capacity(rest.len());
    'scan: while let Some(c) = rest.chars().next() {
        if is_han(c) {
            for filler in FILLERS {
                if let Some(after) = rest.strip_prefix(filler) {
                    rest = after;
                    continue 'scan;
                }
            }
        }
        out.push(c);
        rest = &rest[c.len_utf8()..];
    }
    if out.chars().count() >= 2 { out } else { normalized.to_owned() }
}

/// `normalized` without the fillers before its first word of weight; unchanged if nothing would remain.
pub fn strip_lead(normalized: &str) -> &str {
    let mut rest = normalized;
    while let Some(after) = FILLERS.iter().find_map(|f| rest.strip_prefix(f)) {
        rest = after;
    }
    if rest.is_empty() { normalized } else { rest }
}

/// True if `normalized` is nothing but fillers; empty text is.
pub fn is_filler(normalized: &str) -> bool {
    let mut rest = normalized;
    while let Some(after) =
        FILLERS.iter().chain(&["好的", "好", "那", "行", "了"]).find_map(|f| rest.strip_prefix(f))
    {
        rest = after;
    }
    rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_for_a_language_is_known_in_either() {
        for (text, lang) in [
            ("可以说英文吗", Some(Lang::En)),
            ("can we speak Chinese please", Some(Lang::Zh)),
            ("别说英文了，说中文吧", Some(Lang::Zh)),
            ("英文说明书在哪里", None),
            ("how long is the warranty", None),
        ] {
            assert_eq!(Lang::asked_for(text), lang, "{text}");
        }
    }

    #[test]
    fn punctuation_width_and_case_do_not_matter() {
        assert_eq!(normalize("您好，ＯＴＡ 升级…怎么弄？"), "您好ota升级怎么弄");
        assert_eq!(normalize(" Hello,  World! "), "hello world");
    }

    #[test]
    fn fillers_go_but_words_stay() {
        assert_eq!(strip_fillers("嗯那个我想问一下续航怎么掉得快"), "续航怎么掉得快");
        assert_eq!(strip_fillers("你好"), "你好", "nothing else was said");
    }

    #[test]
    fn the_language_is_told_by_its_script() {
        assert_eq!(Lang::of("打开APP"), Some(Lang::Zh));
        assert_eq!(Lang::of("my car"), Some(Lang::En));
        assert_eq!(Lang::of("138"), None);
    }
}
