//! Text without marks: blank lines part paragraphs, and a short line of its own above longer ones is a heading.

use super::Block;

/// The longest line that can be a heading, characters.
const HEADING: usize = 24;

pub(super) fn blocks(text: &str) -> Vec<Block> {
    lines(text, None)
}

/// The blocks of `text`, whose lines may be broken anywhere.
pub(super) fn lines(text: &str, page: Option<u32>) -> Vec<Block> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let widest = lines.iter().map(|l| l.chars().count()).max().unwrap_or(0);
    let mut blocks: Vec<Block> = Vec::new();
    // True if the last line ended its paragraph.
    let mut ended = true;
    for (at, line) in lines.iter().enumerate() {
        if line.is_empty() || is_page_number(line) {
            continue;
        }
        // On a page blank lines come from the layout as well: only words tell.
        let apart = page.is_none() && (at == 0 || lines[at - 1].is_empty());
        let follows = lines[at + 1..].iter().any(|l| !l.is_empty());
        let heading = match level(line) {
            Some(level) => Some(level),
            None if (ended || apart) && follows && stands_alone(line, widest) => Some(2),
            None => None,
        };
        let begins = ended || apart || heading.is_some() || super::super::section::is_marked(line);
        match blocks.last_mut().filter(|last| !begins && last.heading.is_none()) {
            Some(last) => last.text = super::tidy(&format!("{} {line}", last.text)),
            None => blocks.push(Block { page, heading, text: super::tidy(line) }),
        }
        ended = heading.is_some() || line.ends_with(['。', '！', '？', '.', '!', '?', '；', ';', '：', ':']);
    }
    blocks
}

/// The level that a number before the line tells: 第一章, 一、, 1.2, 2.
fn level(line: &str) -> Option<u8> {
    if line.chars().count() > HEADING || line.ends_with(['。', '；', '，', '.', ',', ';']) {
        return None;
    }
    let chinese = |c: char| "一二三四五六七八九十百".contains(c);
    if let Some(rest) = line.strip_prefix('第') {
        let rest = rest.trim_start_matches(|c: char| chinese(c) || c.is_ascii_digit());
        return match rest.chars().next()? {
            '章' | '篇' | '部' => Some(1),
            '节' => Some(2),
            _ => None,
        };
    }
    let rest = line.trim_start_matches(chinese);
    if rest.len() < line.len() && rest.starts_with('、') {
        return Some(2);
    }
    let number: &str =
        &line[..line.len() - line.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').len()];
    let depth = number.split('.').filter(|part| !part.is_empty()).count();
    let rest = &line[number.len()..];
    let spaced = number.ends_with('.') || rest.starts_with([' ', '、']);
    (depth > 0 && number.len() <= 8 && spaced && rest.trim().chars().count() >= 2)
        .then_some((depth as u8 + 1).min(6))
}

/// A short line that does not end as sentences do, shorter than the lines of running text.
fn stands_alone(line: &str, widest: usize) -> bool {
    let length = line.chars().count();
    (2..=HEADING).contains(&length)
        && length * 10 <= widest * 7
        && !line.ends_with(['。', '！', '；', '，', '、', '：', '.', '!', ';', ',', ':'])
        && !line.starts_with(['•', '-', '·', '*', '●'])
        && !super::super::section::is_marked(line)
        && line.chars().any(char::is_alphabetic)
}

fn is_page_number(line: &str) -> bool {
    let bare = line.trim_matches(|c: char| c.is_whitespace() || "-–—第页/共".contains(c));
    !bare.is_empty() && bare.chars().count() <= 4 && bare.chars().all(|c| c.is_ascii_digit())
}
