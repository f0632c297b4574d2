//! A document cut into sections: one a heading, or one a question of an FAQ.

use super::read::Block;

/// What stands under one heading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// Page on which it begins, if there are pages.
    pub page: Option<u32>,
    /// Headings down to this one, without their numbers.
    pub path: Vec<String>,
    /// Which of the sections with these headings it is, from 1.
    pub nth: usize,
    /// Its paragraphs.
    pub text: Vec<String>,
}

impl Section {
    /// Its own heading.
    pub fn heading(&self) -> &str {
        self.path.last().map_or("", String::as_str)
    }

    /// Where it is, for people: `第 3 页 › 充电 › 快充`.
    pub fn place(&self) -> String {
        let page = self.page.map(|page| format!("第 {page} 页"));
        let nth = (self.nth > 1).then(|| format!("（{}）", self.nth));
        let path = page.into_iter().chain(self.path.iter().cloned()).collect::<Vec<_>>().join(" › ");
        path + nth.as_deref().unwrap_or_default()
    }
}

/// Cuts `blocks` into sections; what comes before the first heading stands under `title`. Headings without text give none.
pub fn sections(title: &str, blocks: &[Block]) -> Vec<Section> {
    let mut found: Vec<Section> = Vec::new();
    let mut path: Vec<(u8, String)> = Vec::new();
    // The question of an FAQ that is being answered.
    let mut question: Option<String> = None;
    let mut open = false;
    for block in blocks {
        if let Some(level) = block.heading {
            path.retain(|(above, _)| *above < level);
            path.push((level, unnumbered(&block.text).to_owned()));
            (question, open) = (None, false);
            continue;
        }
        for line in marked_lines(&block.text) {
            let text = match line {
                Line::Question(text) => {
                    (question, open) = (Some(text.to_owned()), false);
                    continue;
                }
                Line::Answer(text) | Line::Text(text) => text,
            };
            if text.is_empty() {
                continue;
            }
            if !open {
                let mut path: Vec<String> = path.iter().map(|(_, text)| text.clone()).collect();
                path.extend(question.clone());
                if path.is_empty() {
                    path.push(title.to_owned());
                }
                let nth = 1 + found.iter().filter(|s| s.path == path).count();
                found.push(Section { page: block.page, path, nth, text: Vec::new() });
                open = true;
            }
            found.last_mut().into_iter().for_each(|section| section.text.push(text.to_owned()));
        }
    }
    found
}

/// True if `line` begins as a question or an answer of an FAQ does.
pub fn is_marked(line: &str) -> bool {
    mark(line, QUESTION).is_some() || mark(line, ANSWER).is_some()
}

enum Line<'a> {
    Question(&'a str),
    Answer(&'a str),
    Text(&'a str),
}

const QUESTION: &[&str] = &["问题", "提问", "问", "Q", "q"];
const ANSWER: &[&str] = &["回答", "解答", "答复", "答", "A", "a"];

/// What follows a mark such as `问：`, `Q1:`, `A.`.
fn mark<'a>(line: &'a str, marks: &[&str]) -> Option<&'a str> {
    marks.iter().find_map(|mark| {
        let rest = line.strip_prefix(mark)?.trim_start_matches(|c: char| c.is_ascii_digit()).trim_start();
        rest.strip_prefix(['：', ':']).map(str::trim)
    })
}

/// A paragraph, cut where an answer begins within it.
fn marked_lines(text: &str) -> Vec<Line<'_>> {
    let Some(question) = mark(text, QUESTION) else {
        return vec![mark(text, ANSWER).map_or(Line::Text(text), Line::Answer)];
    };
    let inner = ["答：", "答:", "A：", "A:", "回答："]
        .iter()
        .filter_map(|m| question.find(m).map(|at| (at, m.len())));
    match inner.min() {
        Some((at, length)) => {
            vec![Line::Question(question[..at].trim()), Line::Answer(question[at + length..].trim())]
        }
        None => vec![Line::Question(question)],
    }
}

/// A heading without its number: 第一章 充电, 一、充电, 1.2 充电.
fn unnumbered(heading: &str) -> &str {
    let chinese = |c: char| "一二三四五六七八九十百".contains(c);
    let rest = match heading.strip_prefix('第') {
        Some(rest) => {
            let rest = rest.trim_start_matches(|c: char| chinese(c) || c.is_ascii_digit());
            rest.strip_prefix(['章', '节', '篇', '部', '条']).unwrap_or(heading)
        }
        None => {
            let bare = heading.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
            let ends = heading[..heading.len() - bare.len()].ends_with('.') || bare.starts_with([' ', '、']);
            let counted = heading.trim_start_matches(chinese);
            match () {
                () if bare.len() < heading.len() && ends => bare,
                () if counted.len() < heading.len() && counted.starts_with('、') => counted,
                () => heading,
            }
        }
    };
    let rest = rest.trim_start_matches(['、', '.', '．', ' ', '：', ':']).trim();
    if rest.is_empty() { heading } else { rest }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paragraph(text: &str) -> Block {
        Block { page: None, heading: None, text: text.into() }
    }

    fn heading(level: u8, text: &str) -> Block {
        Block { page: Some(2), heading: Some(level), text: text.into() }
    }

    #[test]
    fn a_section_stands_under_its_headings() {
        let found = sections(
            "手册",
            &[
                paragraph("前言。"),
                heading(1, "第一章 充电"),
                heading(2, "1.1 快充"),
                paragraph("快充很快。"),
                heading(2, "1.2 慢充"),
                paragraph("慢充很慢。"),
                heading(1, "二、保养"),
                paragraph("一年一次。"),
            ],
        );
        let places: Vec<_> = found.iter().map(Section::place).collect();
        assert_eq!(places, ["手册", "充电 › 快充", "充电 › 慢充", "保养"]);
    }

    #[test]
    fn questions_and_answers_become_sections() {
        let found = sections(
            "常见问题",
            &[
                paragraph("Q1：充电枪拔不出来怎么办？"),
                paragraph("A1：请先解锁车辆。"),
                paragraph("再拔一次。"),
                paragraph("问：多久保养一次？答：一年一次。"),
            ],
        );
        let said: Vec<_> = found.iter().map(|s| (s.heading(), s.text.join(""))).collect();
        assert_eq!(
            said,
            [
                ("充电枪拔不出来怎么办？", "请先解锁车辆。再拔一次。".to_owned()),
                ("多久保养一次？", "一年一次。".to_owned())
            ]
        );
    }

    #[test]
    fn a_heading_keeps_what_is_not_its_number() {
        for (heading, wanted) in [
            ("12V 电池", "12V 电池"),
            ("1. 充电", "充电"),
            ("一键启动", "一键启动"),
            ("第三方充电桩", "第三方充电桩"),
        ] {
            assert_eq!(unnumbered(heading), wanted);
        }
    }
}
