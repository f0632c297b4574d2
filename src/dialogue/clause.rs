//! Cuts a text, also one that arrives in pieces, into clauses that can be spoken at once.

/// Clauses as one text: with a space between those of a language that has spaces.
pub fn joined<S: AsRef<str>>(clauses: impl IntoIterator<Item = S>) -> String {
    let mut text = String::new();
    for clause in clauses {
        let clause = clause.as_ref();
        let open = text.ends_with(|c: char| c.is_ascii() && !c.is_whitespace());
        if open && clause.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            text.push(' ');
        }
        text.push_str(clause);
    }
    text
}

/// Gathers text and gives clauses as soon as they are complete.
#[derive(Debug, Default)]
pub struct Cutter {
    buffer: String,
    given: usize,
}

/// A comma ends a clause of at least this many characters; the first clause may be shorter, so that speech begins sooner.
const MIN_CLAUSE: usize = 8;
const MIN_FIRST: usize = 4;
/// A clause without any punctuation is cut here, at the next space or character.
const MAX_CLAUSE: usize = 60;

impl Cutter {
    /// Adds `text`; gives the clauses that are complete now.
    pub fn push(&mut self, text: &str) -> Vec<String> {
        self.buffer.push_str(text);
        let mut out = Vec::new();
        while let Some(end) = self.boundary() {
            let rest = self.buffer.split_off(end);
            let clause = std::mem::replace(&mut self.buffer, rest);
            self.give(&clause, &mut out);
        }
        out
    }

    /// Gives what is left.
    pub fn finish(&mut self) -> Option<String> {
        let mut out = Vec::new();
        let clause = std::mem::take(&mut self.buffer);
        self.give(&clause, &mut out);
        out.pop()
    }

    fn give(&mut self, clause: &str, out: &mut Vec<String>) {
        let clause = clause.trim();
        if clause.chars().any(char::is_alphanumeric) {
            self.given += 1;
            out.push(clause.to_owned());
        }
    }

    /// Byte position after the first complete clause. A mark at the very end waits: a closing quote or, for `.`, a digit
    /// may follow.
    fn boundary(&self) -> Option<usize> {
        let min = if self.given == 0 { MIN_FIRST } else { MIN_CLAUSE };
        let mut chars = self.buffer.char_indices().peekable();
        let mut count = 0;
        while let Some((_, c)) = chars.next() {
            count += usize::from(c.is_alphanumeric());
            let next = chars.peek().copied();
            let end = next.map(|(i, _)| i);
            let spaced = next.is_some_and(|(_, n)| n.is_whitespace());
            let ends = match c {
                '。' | '！' | '？' | '；' | '\n' => true,
                '，' | '：' => count >= min,
                '.' | '!' | '?' | ';' => spaced,
                ',' => spaced && count >= 3 * min,
                c if c.is_whitespace() => count >= MAX_CLAUSE,
                _ => count >= MAX_CLAUSE && super::text::is_han(c),
            };
            if ends {
                let closing = |c: char| matches!(c, '”' | '’' | '」' | '）' | '"' | ')');
                return match next {
                    Some((i, n)) if closing(n) => Some(i + n.len_utf8()),
                    _ => end,
                };
            }
        }
        None
    }
}

/// All clauses of a complete text.
pub fn clauses(text: &str) -> Vec<String> {
    let mut cutter = Cutter::default();
    let mut out = cutter.push(text);
    out.extend(cutter.finish());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clauses_end_at_marks_but_not_inside_numbers() {
        assert_eq!(
            clauses("胎压在2.4到2.9之间，四个轮子相差不要太大。请看标签。"),
            ["胎压在2.4到2.9之间，", "四个轮子相差不要太大。", "请看标签。"]
        );
        assert_eq!(clauses("It is 3.5 bar. Check it cold."), ["It is 3.5 bar.", "Check it cold."]);
    }

    #[test]
    fn pieces_give_the_same_clauses_as_the_whole() {
        let text = "请先靠边停车，打开双闪。“注意安全！”然后呼叫救援，好吗？Version 3.14 is out. Fine.";
        let mut cutter = Cutter::default();
        let mut pieces: Vec<String> = text.chars().flat_map(|c| cutter.push(&c.to_string())).collect();
        pieces.extend(cutter.finish());
        assert_eq!(pieces, clauses(text));
    }
}
