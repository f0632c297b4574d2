//! The word segmenter for Chinese, shared by mind and mouth.

use std::sync::OnceLock;

use jieba_rs::Jieba;

/// The segmenter with its built-in dictionary: loaded at first use (about 35 MB), once in a process.
pub fn jieba() -> &'static Jieba {
    static JIEBA: OnceLock<Jieba> = OnceLock::new();
    JIEBA.get_or_init(Jieba::new)
}

/// Where the word begins that holds character `at` of `text`, in characters; at a boundary it is `at` itself.
pub fn word_start(text: &str, at: usize) -> usize {
    let mut start = 0;
    for word in jieba().cut(text, true) {
        let end = start + word.word.chars().count();
        if at < end {
            return start;
        }
        start = end;
    }
    start.min(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_begins_where_its_first_character_is() {
        let text = "您可以在手机软件里查看。";
        let starts: Vec<usize> = (0..8).map(|at| word_start(text, at)).collect();
        assert_eq!(starts, [0, 1, 1, 3, 4, 4, 4, 4]);
        assert_eq!(word_start("please stay on the line", 9), 7);
        assert_eq!(word_start("好", 5), 1);
        assert_eq!(word_start("", 3), 0);
    }
}
