//! Web pages by `html5ever`: its tokens suffice, and wrong nesting cannot hurt.

use std::cell::RefCell;

use html5ever::tendril::StrTendril;
use html5ever::tokenizer::states::RawKind;
use html5ever::tokenizer::{
    BufferQueue, Tag, TagKind, Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts,
};

use super::{Block, Table};

pub(super) fn blocks(source: &str) -> Vec<Block> {
    let input = BufferQueue::default();
    input.push_back(StrTendril::from(source));
    let tokenizer = Tokenizer::new(Page(RefCell::default()), TokenizerOpts::default());
    let _ = tokenizer.feed(&input);
    tokenizer.end();
    let mut page = tokenizer.sink.0.into_inner();
    page.flush();
    page.blocks
}

struct Page(RefCell<State>);

#[derive(Default)]
struct State {
    blocks: Vec<Block>,
    text: String,
    /// Elements around here whose text is not part of the page.
    hidden: Vec<String>,
    /// Tables around here; the innermost is last.
    tables: Vec<Table>,
}

/// What frames the page, moves it, or is filled in. Only some of them are closed reliably, all by name.
const HIDDEN: &[&str] =
    &["nav", "footer", "aside", "form", "button", "select", "svg", "head", "noscript", "template"];
const LINES: &[&str] = &[
    "p",
    "div",
    "li",
    "ul",
    "ol",
    "br",
    "section",
    "article",
    "header",
    "main",
    "dt",
    "dd",
    "dl",
    "blockquote",
    "body",
    "details",
    "summary",
    "figure",
    "figcaption",
    "hr",
    "caption",
    "pre",
    "address",
];

impl TokenSink for Page {
    type Handle = ();

    fn process_token(&self, token: Token, _line: u64) -> TokenSinkResult<()> {
        let mut state = self.0.borrow_mut();
        match token {
            Token::CharacterTokens(text) if state.hidden.is_empty() => state.text.push_str(&text),
            Token::TagToken(tag) => return state.tag(&tag),
            _ => {}
        }
        TokenSinkResult::Continue
    }
}

impl State {
    fn tag(&mut self, tag: &Tag) -> TokenSinkResult<()> {
        let name = &*tag.name;
        let starts = tag.kind == TagKind::StartTag;
        match name {
            // Their text is not HTML; it ends up nowhere.
            "script" | "style" | "title" | "textarea" | "iframe" if starts => {
                self.hidden.push(name.to_owned());
                let raw = match name {
                    "script" => RawKind::ScriptData,
                    "title" | "textarea" => RawKind::Rcdata,
                    _ => RawKind::Rawtext,
                };
                return TokenSinkResult::RawData(raw);
            }
            // A head that is not closed ends where the body begins.
            "body" if starts => self.hidden.clear(),
            _ if starts && HIDDEN.contains(&name) && !tag.self_closing => self.hidden.push(name.to_owned()),
            _ if !starts && self.hidden.iter().any(|hidden| hidden == name) => {
                while self.hidden.pop().is_some_and(|hidden| hidden != name) {}
            }
            _ => {}
        }
        if !self.hidden.is_empty() {
            return TokenSinkResult::Continue;
        }
        match name {
            "h1" | "h2" | "h3" | "h4" | "h5" | "h6" if starts => self.flush(),
            "h1" | "h2" | "h3" | "h4" | "h5" | "h6" => {
                let level = name.as_bytes()[1] - b'0';
                let text = std::mem::take(&mut self.text);
                self.blocks.push(Block::heading(level, &text));
            }
            "table" if starts => {
                self.flush();
                self.tables.push(Table::default());
            }
            // The end of a row or cell may be left out: the next one's start ends it as well.
            "tr" | "table" => {
                self.end_cell();
                let row = self.tables.last_mut().and_then(Table::end_row);
                self.blocks.extend(row);
                if name == "table" {
                    self.tables.pop();
                    self.text.clear();
                }
            }
            "td" | "th" => self.end_cell(),
            _ if LINES.contains(&name) && self.tables.is_empty() => self.flush(),
            _ if LINES.contains(&name) => self.text.push(' '),
            _ => {}
        }
        TokenSinkResult::Continue
    }

    fn end_cell(&mut self) {
        let text = super::tidy(&std::mem::take(&mut self.text));
        if let Some(table) = self.tables.last_mut().filter(|_| !text.is_empty()) {
            table.cells.push(text);
        }
    }

    fn flush(&mut self) {
        let text = std::mem::take(&mut self.text);
        self.blocks.push(Block::paragraph(&text));
    }
}
