//! Keeping the knowledge: what documents, web pages and past calls say becomes drafts; a person approves them.
//!
//! [`read`] makes blocks of text of a file, [`section`] cuts them at their headings, [`draft`] writes an entry of each,
//! [`ingest`] compares them with what is on the shelf and only ever adds files. Nothing drafted is told to a caller:
//! [`crate::dialogue::knowledge::Knowledge::load`] takes approved entries only.

pub mod calls;
pub mod check;
pub mod draft;
pub mod find;
pub mod ingest;
pub mod read;
pub mod section;
pub mod shelf;

/// The longest answer that can be listened to, characters.
pub const LISTENED_TO: usize = 80;
/// The same for English, whose words are longer.
pub const LISTENED_TO_EN: usize = 240;

/// How long an answer may be.
pub fn most(answer: &str) -> usize {
    match crate::dialogue::text::Lang::of(answer) {
        Some(crate::dialogue::text::Lang::En) => LISTENED_TO_EN,
        _ => LISTENED_TO,
    }
}
