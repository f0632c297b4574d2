//! A section of a document as a draft entry: what it says, short enough to be listened to, and how callers may ask for it.

use std::path::Path;

use jieba_rs::{KeywordExtract, TfIdf};

use super::most;
use super::section::Section;
use crate::dialogue::knowledge::{Entry, Origin, Sensitivity, Status};
use crate::dialogue::text::is_han;
use crate::digest::sha256;
use crate::segment::jieba;

/// Words that point to an entry, at most.
const KEYWORDS: usize = 6;

/// A document whose sections are drafted.
#[derive(Clone, Debug)]
pub struct Document {
    /// Its path under what was read in, with `/`.
    pub name: String,
    /// SHA-256 of its bytes.
    pub sha256: String,
    /// When it is read in.
    pub taken: jiff::civil::Date,
    /// Group of topics for its entries.
    pub category: String,
}

impl Document {
    /// Its name without folder and extension.
    pub fn stem(&self) -> &str {
        Path::new(&self.name).file_stem().and_then(|s| s.to_str()).unwrap_or(&self.name)
    }
}

/// The draft of a section. The same section of the same document gives the same id, whatever it says.
pub fn draft(document: &Document, section: &Section, keywords: &Words) -> Entry {
    let text: String = section.text.iter().map(|paragraph| ended(paragraph)).collect();
    let (answer, rest) = spoken(&text);
    let title = bare(section.heading()).to_owned();
    let key = format!("{}\0{}\0{}", document.name, section.path.join("\0"), section.nth);
    Entry {
        id: format!("{}-{}", slug(document.stem()), &sha256(key.as_bytes())[..8]),
        version: 1,
        title_en: title.clone(),
        title,
        category: document.category.clone(),
        status: Status::Draft,
        valid_from: None,
        valid_until: None,
        models: Vec::new(),
        sensitivity: Sensitivity::Normal,
        keywords: keywords.of(&format!("{} {text}", section.path.join(" "))),
        questions: questions(section),
        questions_en: Vec::new(),
        answer,
        answer_en: None,
        expert: None,
        flow: None,
        source: Some(Origin {
            document: document.name.clone(),
            place: section.place(),
            sha256: document.sha256.clone(),
            text_sha256: sha256(format!("{}\n{text}", section.heading()).as_bytes()),
            taken: document.taken,
            rest,
        }),
        approved_by: None,
        approved_at: None,
    }
}

/// Weighs words by TF-IDF over jieba's own corpus.
#[derive(Default)]
pub struct Words(TfIdf);

impl Words {
    /// The weightiest words of `text`, at least two characters each.
    pub fn of(&self, text: &str) -> Vec<String> {
        let weighed = self.0.extract_keywords(jieba(), text, KEYWORDS * 2, Vec::new());
        let says = |word: &str| {
            word.chars().count() >= 2 && word.chars().any(|c| is_han(c) || c.is_ascii_alphabetic())
        };
        weighed.into_iter().map(|k| k.keyword).filter(|w| says(w)).take(KEYWORDS).collect()
    }
}

/// How callers may ask: the heading as it is, and with the one above it, which tells 费用 of what.
fn questions(section: &Section) -> Vec<String> {
    let heading = bare(section.heading());
    let mut questions = vec![heading.to_owned()];
    let above = section.path.iter().rev().nth(1).map(|above| bare(above));
    if let Some(above) = above.filter(|above| !heading.contains(above) && heading.chars().count() <= 12) {
        questions.push(format!("{above}{heading}"));
    }
    questions
}

fn bare(heading: &str) -> &str {
    let bare = heading.trim_end_matches(['？', '?', '。', '：', ':', '！', '!', ' ']);
    if bare.is_empty() { heading } else { bare }
}

/// A paragraph with the end of a sentence.
fn ended(paragraph: &str) -> String {
    let paragraph = paragraph.trim_start_matches(['•', '·', '●', '*']).trim();
    match paragraph.chars().next_back() {
        None => String::new(),
        Some('。' | '！' | '？' | '；' | '.' | '!' | '?' | ';') => {
            format!("{paragraph}{}", gap(paragraph))
        }
        Some(_) if paragraph.chars().any(is_han) => {
            format!("{}。", paragraph.trim_end_matches(['：', ':', '，', ',', '、']))
        }
        Some(_) => format!("{paragraph}. "),
    }
}

fn gap(sentence: &str) -> &'static str {
    if sentence.is_ascii() { " " } else { "" }
}

/// As many whole sentences as can be listened to, and what remains. A first sentence that is too long is cut at a comma; without
/// one nothing is proposed.
fn spoken(text: &str) -> (String, Option<String>) {
    let text = text.trim();
    let most = most(text);
    let fits = |end: usize| text[..end].trim_end().chars().count() <= most;
    let ends = |marks: &'static [char]| {
        text.char_indices().filter(|(_, c)| marks.contains(c)).map(|(at, c)| at + c.len_utf8())
    };
    let sentence = |end: &usize| {
        // The point of 2.5 ends no sentence.
        !text[..*end].ends_with('.') || text[*end..].chars().next().is_none_or(char::is_whitespace)
    };
    let whole = ends(&['。', '！', '？', '；', '.', '!', '?', ';']).filter(sentence).rfind(|end| fits(*end));
    let (cut, stop) = match whole {
        _ if fits(text.len()) => (text.len(), ""),
        Some(end) => (end, ""),
        None => match ends(&['，', '、', ',']).rfind(|end| fits(*end)) {
            Some(end) => (end, if text.chars().any(is_han) { "。" } else { "." }),
            None => (0, ""),
        },
    };
    let (said, rest) = text.split_at(cut);
    let said = said.trim();
    let said = match stop {
        "" => said.to_owned(),
        stop => format!("{}{stop}", said.trim_end_matches(['，', '、', ','])),
    };
    let rest = rest.trim();
    (said, (!rest.is_empty()).then(|| rest.to_owned()))
}

/// A document's name as part of an id: Chinese by its pinyin.
pub fn slug(name: &str) -> String {
    use pinyin::ToPinyin as _;
    let mut words: Vec<String> = vec![String::new()];
    for c in name.chars() {
        if let Some(syllable) = c.to_pinyin() {
            words.extend([syllable.plain().replace('ü', "v"), String::new()]);
        } else if c.is_ascii_alphanumeric() {
            words.last_mut().into_iter().for_each(|word| word.push(c.to_ascii_lowercase()));
        } else {
            words.push(String::new());
        }
    }
    let mut slug = String::new();
    for word in words.iter().filter(|w| !w.is_empty()) {
        if !slug.is_empty() && slug.len() + word.len() > 23 {
            break;
        }
        if !slug.is_empty() {
            slug.push('-');
        }
        slug.push_str(word);
    }
    slug.truncate(32);
    if slug.is_empty() { "doc".into() } else { slug }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_sentences_and_the_rest_is_kept() {
        let long = "首次保养在一年或者一万公里时做。".repeat(7);
        let (said, rest) = spoken(&long);
        assert_eq!(said.chars().count(), 80, "five sentences of 16 characters: {said}");
        assert_eq!(format!("{said}{}", rest.expect("two sentences remain")), long);
        assert_eq!(spoken("好。"), ("好。".into(), None));
    }

    #[test]
    fn a_sentence_that_is_too_long_is_cut_at_a_comma_or_left_to_the_reviewer() {
        let (said, rest) = spoken(&format!("先停车，{}。", "再".repeat(90)));
        assert_eq!(said, "先停车。");
        assert!(rest.is_some());
        let (said, rest) = spoken(&format!("{}。", "长".repeat(90)));
        assert_eq!((said.as_str(), rest.map(|r| r.chars().count())), ("", Some(91)));
        let (said, _) = spoken("Fill to 2.5 bar. Then drive.");
        assert_eq!(said, "Fill to 2.5 bar. Then drive.");
    }

    #[test]
    fn an_id_is_made_of_pinyin() {
        assert_eq!(slug("保养手册 2024"), "bao-yang-shou-ce-2024");
        assert_eq!(slug("！"), "doc");
    }

    #[test]
    fn keywords_are_the_words_of_weight() {
        let words = Words::default().of("充电枪拔不出来的时候，请先解锁车辆，再按下充电枪的按钮。");
        assert!(words.iter().any(|w| w.contains("充电")), "{words:?}");
        assert!(words.len() <= KEYWORDS);
    }
}
