//! Markdown by `pulldown-cmark`.

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

use super::{Block, Table};

pub(super) fn blocks(source: &str) -> Vec<Block> {
    let options = Options::ENABLE_TABLES
        | Options::ENABLE_YAML_STYLE_METADATA_BLOCKS
        | Options::ENABLE_PLUSES_DELIMITED_METADATA_BLOCKS;
    let (mut blocks, mut text, mut table) = (Vec::new(), String::new(), Table::default());
    let mut hidden = false;
    for event in Parser::new_ext(source, options) {
        match event {
            Event::Start(Tag::MetadataBlock(_) | Tag::CodeBlock(_) | Tag::HtmlBlock) => hidden = true,
            Event::End(TagEnd::MetadataBlock(_) | TagEnd::CodeBlock | TagEnd::HtmlBlock) => hidden = false,
            Event::Start(Tag::Table(_)) => table = Table::default(),
            // A list within an item begins a block of its own.
            Event::Start(Tag::List(_) | Tag::Item | Tag::Heading { .. } | Tag::Paragraph)
            | Event::End(TagEnd::Paragraph | TagEnd::Item) => {
                blocks.push(Block::paragraph(&std::mem::take(&mut text)));
            }
            Event::End(TagEnd::Heading(level)) => {
                blocks.push(Block::heading(level as u8, &std::mem::take(&mut text)));
            }
            Event::End(TagEnd::TableCell) => table.cells.push(std::mem::take(&mut text)),
            Event::End(TagEnd::TableHead | TagEnd::TableRow) => blocks.extend(table.end_row()),
            Event::Text(words) | Event::Code(words) if !hidden => text.push_str(&words),
            Event::SoftBreak => text.push(' '),
            // Questions and answers stand on lines of their own.
            Event::HardBreak => blocks.push(Block::paragraph(&std::mem::take(&mut text))),
            _ => {}
        }
    }
    blocks.push(Block::paragraph(&text));
    blocks
}
