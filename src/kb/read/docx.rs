//! Word documents: a ZIP archive (`zip`) of XML (`quick-xml`), ECMA-376 part 1, chapter 17.

use std::collections::HashMap;
use std::io::{Cursor, Read as _};

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use zip::ZipArchive;

use super::{Block, LARGEST, Table};

pub(super) fn blocks(bytes: &[u8]) -> Result<Vec<Block>, String> {
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(|e| e.to_string())?;
    let document = part(&mut archive, "word/document.xml")?
        .ok_or_else(|| "word/document.xml is missing from the archive".to_owned())?;
    let levels =
        part(&mut archive, "word/styles.xml")?.map(|xml| levels(&xml)).transpose()?.unwrap_or_default();
    read(&document, &levels)
}

fn part(archive: &mut ZipArchive<Cursor<&[u8]>>, name: &str) -> Result<Option<String>, String> {
    let mut file = match archive.by_name(name) {
        Ok(file) => file,
        Err(zip::result::ZipError::FileNotFound) => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let mut text = String::new();
    let length =
        file.by_ref().take(LARGEST + 1).read_to_string(&mut text).map_err(|e| format!("{name}: {e}"))?;
    if length as u64 > LARGEST {
        return Err(format!("{name} unpacks to more than {} MiB", LARGEST >> 20));
    }
    Ok(Some(text))
}

/// The level of the heading that each style makes, by its id.
fn levels(xml: &str) -> Result<HashMap<String, u8>, String> {
    let mut levels = HashMap::new();
    let mut reader = Reader::from_str(xml);
    let mut style = String::new();
    loop {
        match reader.read_event().map_err(|e| format!("word/styles.xml: {e}"))? {
            Event::Start(tag) if tag.local_name().as_ref() == b"style" => {
                style = attribute(&tag, b"styleId").unwrap_or_default();
            }
            Event::Start(tag) | Event::Empty(tag) => {
                let level = match tag.local_name().as_ref() {
                    b"name" => attribute(&tag, b"val").and_then(|name| match name.to_lowercase().as_str() {
                        "title" => Some(1),
                        name => name.strip_prefix("heading ")?.parse().ok(),
                    }),
                    b"outlineLvl" => attribute(&tag, b"val")
                        .and_then(|l| l.parse::<u8>().ok())
                        .filter(|l| *l < 9)
                        .map(|l| l + 1),
                    _ => None,
                };
                if let Some(level) = level {
                    levels.entry(style.clone()).or_insert(level);
                }
            }
            Event::Eof => return Ok(levels),
            _ => {}
        }
    }
}

fn read(xml: &str, levels: &HashMap<String, u8>) -> Result<Vec<Block>, String> {
    let wrong = |e: &dyn std::fmt::Display| format!("word/document.xml: {e}");
    let mut reader = Reader::from_str(xml);
    let (mut blocks, mut text, mut level) = (Vec::new(), String::new(), None);
    let mut tables: Vec<Table> = Vec::new();
    let (mut in_text, mut depth) = (false, 0_usize);
    loop {
        let event = reader.read_event().map_err(|e| wrong(&e))?;
        match &event {
            Event::Start(_) => depth += 1,
            Event::End(_) => depth = depth.saturating_sub(1),
            _ => {}
        }
        match event {
            Event::Start(tag) | Event::Empty(tag) => match tag.local_name().as_ref() {
                b"t" => in_text = true,
                b"tab" | b"br" | b"cr" => text.push(' '),
                b"pStyle" => level = attribute(&tag, b"val").and_then(|id| levels.get(&id).copied()),
                b"outlineLvl" => {
                    level = attribute(&tag, b"val")
                        .and_then(|l| l.parse::<u8>().ok())
                        .filter(|l| *l < 9)
                        .map(|l| l + 1);
                }
                b"tbl" => tables.push(Table::default()),
                _ => {}
            },
            Event::Text(words) if in_text => text.push_str(&words.decode().map_err(|e| wrong(&e))?),
            Event::GeneralRef(name) if in_text => {
                let name = name.decode().map_err(|e| wrong(&e))?;
                let resolved =
                    quick_xml::escape::unescape(&format!("&{name};")).map(std::borrow::Cow::into_owned);
                text.push_str(&resolved.map_err(|e| wrong(&e))?);
            }
            Event::End(tag) => match tag.local_name().as_ref() {
                b"t" => in_text = false,
                b"p" if tables.is_empty() => {
                    let words = std::mem::take(&mut text);
                    blocks.push(match level.take() {
                        Some(level) => Block::heading(level, &words),
                        None => Block::paragraph(&words),
                    });
                }
                b"p" => text.push(' '),
                b"tc" => {
                    let cell = super::tidy(&std::mem::take(&mut text));
                    tables.last_mut().into_iter().for_each(|table| table.cells.push(cell.clone()));
                }
                b"tr" => blocks.extend(tables.last_mut().and_then(Table::end_row)),
                b"tbl" => {
                    tables.pop();
                }
                _ => {}
            },
            Event::Eof if depth > 0 => return Err("word/document.xml ends in the middle".into()),
            Event::Eof => return Ok(blocks),
            _ => {}
        }
    }
}

fn attribute(tag: &BytesStart, name: &[u8]) -> Option<String> {
    let attribute = tag.attributes().flatten().find(|a| a.key.local_name().as_ref() == name)?;
    String::from_utf8(attribute.value.into_owned()).ok()
}
