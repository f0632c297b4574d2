//! A document as blocks of text: headings and paragraphs in reading order.

mod docx;
mod html;
mod markdown;
mod pdf;
mod plain;

use std::io::Read as _;
use std::path::{Path, PathBuf};

/// A piece of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Page from 1, where the format has pages.
    pub page: Option<u32>,
    /// Level of the heading from 1; [`None`] for a paragraph, a list item or a row of a table.
    pub heading: Option<u8>,
    /// Its text on one line.
    pub text: String,
}

impl Block {
    fn heading(level: u8, text: &str) -> Self {
        Self { page: None, heading: Some(level), text: tidy(text) }
    }

    fn paragraph(text: &str) -> Self {
        Self { page: None, heading: None, text: tidy(text) }
    }
}

/// Why a document could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The disk refused.
    #[error("{}: cannot be read: {error}; check that it exists and may be read", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// Larger than anything that people write.
    #[error("{}: is larger than {} MiB; split it into parts, or leave out its pictures", path.display(), LARGEST >> 20)]
    Huge {
        /// Which.
        path: PathBuf,
    },
    /// Nothing to read.
    #[error("{}: holds no text; if it is a scanned document, run it through text recognition first", path.display())]
    Empty {
        /// Which.
        path: PathBuf,
    },
    /// The format is damaged.
    #[error("{}: is no sound {kind} ({problem}); open it and save it anew", path.display())]
    Broken {
        /// Which.
        path: PathBuf,
        /// The format.
        kind: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// A format that is not known.
    #[error("{}: is of no known kind; give .md, .html, .pdf, .docx, .txt, or the .json of a call", path.display())]
    Kind {
        /// Which.
        path: PathBuf,
    },
}

/// The largest document that is read, bytes; also when it is unpacked.
pub const LARGEST: u64 = 32 << 20;

/// A format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// CommonMark with tables.
    Markdown,
    /// A web page.
    Html,
    /// PDF with text in it.
    Pdf,
    /// Word 2007 and later.
    Docx,
    /// Text without marks.
    Plain,
    /// The record of a call.
    Call,
}

impl Kind {
    /// By the file's extension.
    pub fn of(path: &Path) -> Option<Self> {
        let extension = path.extension()?.to_str()?.to_ascii_lowercase();
        Some(match extension.as_str() {
            "md" | "markdown" => Self::Markdown,
            "html" | "htm" | "xhtml" => Self::Html,
            "pdf" => Self::Pdf,
            "docx" => Self::Docx,
            "txt" | "text" => Self::Plain,
            "json" => Self::Call,
            _ => return None,
        })
    }
}

/// The content of `path`, if it is not too large.
pub fn bytes(path: &Path) -> Result<Vec<u8>, Error> {
    let io = |error| Error::Io { path: path.to_owned(), error };
    let mut bytes = Vec::new();
    std::fs::File::open(path).map_err(io)?.take(LARGEST + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > LARGEST {
        return Err(Error::Huge { path: path.to_owned() });
    }
    Ok(bytes)
}

/// The blocks of `bytes`, the content of `path`.
pub fn blocks(path: &Path, kind: Kind, bytes: &[u8]) -> Result<Vec<Block>, Error> {
    let broken = |kind| move |problem: String| Error::Broken { path: path.to_owned(), kind, problem };
    let mut blocks = match kind {
        Kind::Markdown => markdown::blocks(&text(bytes)),
        Kind::Html => html::blocks(&text(bytes)),
        Kind::Plain => plain::blocks(&text(bytes)),
        Kind::Pdf => pdf::blocks(bytes).map_err(broken("PDF"))?,
        Kind::Docx => docx::blocks(bytes).map_err(broken("Word document (.docx)"))?,
        Kind::Call => return Err(Error::Kind { path: path.to_owned() }),
    };
    blocks.retain(|block| !block.text.is_empty());
    if blocks.is_empty() {
        return Err(Error::Empty { path: path.to_owned() });
    }
    Ok(blocks)
}

/// Leaves panics of the PDF library, which are caught and told as errors, out of standard error. For the whole process.
pub fn keep_panics_quiet() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if std::thread::current().name() != Some(pdf::THREAD) {
            before(info);
        }
    }));
}

/// UTF-8 or UTF-16 by its mark, UTF-8 if it is that, else GB 18030, in which older Chinese files are written.
fn text(bytes: &[u8]) -> String {
    let encoding = match std::str::from_utf8(bytes) {
        Ok(_) => encoding_rs::UTF_8,
        Err(_) => encoding_rs::GB18030,
    };
    encoding.decode(bytes).0.into_owned()
}

/// One line: single spaces, and none between Chinese characters, where a line break or a layout has put them.
pub(super) fn tidy(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut gap = false;
    for c in text.chars() {
        if c.is_whitespace() || c.is_control() || c == '\u{200b}' || c == '\u{feff}' {
            gap = true;
            continue;
        }
        let narrow = |c: char| c.is_ascii();
        if gap && out.chars().next_back().is_some_and(|last| narrow(last) || narrow(c)) {
            out.push(' ');
        }
        gap = false;
        out.push(c);
    }
    out
}

/// A row of a table as it can be spoken: 项目：轮胎，价格：三百元。
fn row(head: &[String], cells: &[String]) -> String {
    let cells = cells.iter().enumerate().filter(|(_, cell)| !cell.trim().is_empty());
    let spoken: Vec<String> = cells
        .map(|(i, cell)| match head.get(i).map(|h| h.trim()).filter(|h| !h.is_empty()) {
            Some(head) => format!("{head}：{}", cell.trim()),
            None => cell.trim().to_owned(),
        })
        .collect();
    if spoken.is_empty() { String::new() } else { format!("{}。", spoken.join("，")) }
}

/// A table while it is read: its first row names the columns.
#[derive(Default)]
struct Table {
    head: Option<Vec<String>>,
    cells: Vec<String>,
}

impl Table {
    /// The row that is complete now; [`None`] if it names the columns.
    fn end_row(&mut self) -> Option<Block> {
        let cells = std::mem::take(&mut self.cells);
        match &self.head {
            Some(head) => Some(Block::paragraph(&row(head, &cells))),
            None if cells.is_empty() => None,
            None => {
                self.head = Some(cells);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests;
