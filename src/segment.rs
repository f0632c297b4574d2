//! The word segmenter for Chinese, shared by mind and mouth.

use std::sync::OnceLock;

use jieba_rs::Jieba;

/// The segmenter with its built-in dictionary: loaded at first use (about 35 MB), once in a process.
pub fn jieba() -> &'static Jieba {
    static JIEBA: OnceLock<Jieba> = OnceLock::new();
    JIEBA.get_or_init(Jieba::new)
}
