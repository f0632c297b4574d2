//! Cuts a stream of text into clauses to be spoken, each as soon as it is complete.
//!
//! The first clause is released early, at a comma, so that the caller hears something soon; later ones are longer, so that
//! they sound whole. Nothing is lost, added or reordered: the clauses put together are the text.

use super::normalize::is_han;

/// Characters that a first clause needs before a comma releases it.
const FIRST_MIN: usize = 4;
/// Characters that later clauses need before a comma releases them.
const LATER_MIN: usize = 10;
/// A clause without any punctuation is cut at a space, or between two Chinese characters, from this length on.
const LONG: usize = 60;
/// A clause is cut from this length on whatever comes, so that memory is bounded.
const LONGEST: usize = 200;

/// English abbreviations whose full stop ends no sentence.
const ABBREVIATIONS: [&str; 18] = [
    "dr", "mr", "mrs", "ms", "prof", "st", "jr", "sr", "no", "vs", "etc", "inc", "ltd", "co", "approx",
    "e.g", "i.e", "a.m",
];

/// A streaming chunker. Feed it with [`Clauses::push`], end with [`Clauses::finish`].
#[derive(Clone, Debug, Default)]
pub struct Clauses {
    pending: Vec<char>,
    /// Characters of `pending` that were looked at and gave no cut.
    seen: usize,
    released: bool,
}

impl Clauses {
    /// A chunker at the start of an answer.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next piece of text; gives the clauses that are now complete.
    pub fn push(&mut self, text: &str) -> Vec<String> {
        self.pending.extend(text.chars());
        let mut out = Vec::new();
        while let Some(end) = self.cut() {
            out.push(self.pending.drain(..end).collect());
            self.seen = 0;
            self.released = true;
        }
        out
    }

    /// The text has ended: gives what is left. The next text is the start of a new answer.
    pub fn finish(&mut self) -> Vec<String> {
        let rest: String = self.pending.drain(..).collect();
        *self = Self::default();
        if rest.is_empty() { Vec::new() } else { vec![rest] }
    }

    /// End of the first complete clause in `pending`. A mark at the very end of `pending` decides nothing unless no
    /// successor could change its meaning.
    fn cut(&mut self) -> Option<usize> {
        let c = &self.pending;
        let min = if self.released { LATER_MIN } else { FIRST_MIN };
        for at in self.seen..c.len() {
            let mark = mark(c, at);
            if mark == Mark::Undecided {
                self.seen = at;
                return None;
            }
            let said = || c[..at].iter().filter(|c| c.is_alphanumeric()).count();
            let enough = match mark {
                Mark::Sentence => said() > 0,
                Mark::Comma => said() >= min,
                Mark::None | Mark::Undecided => (at + 1 >= LONG && breakable(c, at)) || at + 1 >= LONGEST,
            };
            if enough {
                // Closing quotes that come later begin the next clause: waiting for them would cost time.
                let end = at + 1 + c[at + 1..].iter().take_while(|&&c| trails(c, mark)).count();
                return Some(end);
            }
        }
        self.seen = c.len();
        None
    }
}

/// What a character does to a clause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    None,
    Comma,
    Sentence,
    /// It depends on the next character, which is not there yet.
    Undecided,
}

fn mark(c: &[char], at: usize) -> Mark {
    let before = at.checked_sub(1).map(|i| c[i]);
    let digit_before = before.is_some_and(|c| c.is_ascii_digit());
    match c[at] {
        '。' | '！' | '？' | '；' | '…' | '\n' => Mark::Sentence,
        // 12：30 is a time.
        '：' if digit_before => {
            behind(c, at, |next| if next.is_ascii_digit() { Mark::None } else { Mark::Comma })
        }
        '，' | '、' | '：' => Mark::Comma,
        '!' | '?' | ';' => behind(c, at, |next| {
            // A question mark inside an address is part of it.
            if next.is_ascii_alphanumeric() || next == '=' { Mark::None } else { Mark::Sentence }
        }),
        // 1,299 and 21:30 and http://: only before a space, a Chinese character or another mark.
        ',' | ':' => behind(c, at, |next| {
            if next.is_ascii_alphanumeric() || next == '/' || next == '\\' { Mark::None } else { Mark::Comma }
        }),
        // 3.14, V2.3, nio.com, Dr., e.g., initials.
        '.' => behind(c, at, |next| {
            if next.is_ascii_alphanumeric() || matches!(next, '.' | '/') || abbreviation(&c[..at]) {
                Mark::None
            } else {
                Mark::Sentence
            }
        }),
        _ => Mark::None,
    }
}

fn behind(c: &[char], at: usize, decide: impl Fn(char) -> Mark) -> Mark {
    c.get(at + 1).map_or(Mark::Undecided, |&next| decide(next))
}

/// True if `before` ends in an abbreviation or in a single letter (an initial, or the last of "U.S.").
fn abbreviation(before: &[char]) -> bool {
    let start = before.iter().rposition(|c| !(c.is_ascii_alphabetic() || *c == '.')).map_or(0, |i| i + 1);
    let word: String = before[start..].iter().collect::<String>().to_ascii_lowercase();
    let last = word.rsplit('.').next().unwrap_or("");
    // "Plan B." ends a sentence more often than "J. Smith" begins a name here; only "U.S." and a leading "J." do not.
    ABBREVIATIONS.contains(&word.as_str()) || (last.len() == 1 && (word.len() > 1 || start == 0))
}

/// Marks and closing quotes that belong to the clause before them, and the space behind it.
fn trails(c: char, mark: Mark) -> bool {
    match c {
        '”' | '’' | '」' | '』' | '）' | ')' | '"' | '】' | '》' | ' ' => true,
        '。' | '！' | '？' | '!' | '?' | '…' => mark == Mark::Sentence,
        _ => false,
    }
}

/// A place where a long text without marks may be cut: behind a space, or between two Chinese characters.
fn breakable(c: &[char], at: usize) -> bool {
    c[at] == ' ' || (is_han(c[at]) && c.get(at + 1).is_some_and(|&next| is_han(next)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cut(text: &str) -> Vec<String> {
        let mut clauses = Clauses::new();
        let mut out = Vec::new();
        for c in text.chars() {
            out.extend(clauses.push(c.encode_utf8(&mut [0; 4])));
        }
        out.extend(clauses.finish());
        out
    }

    #[test]
    fn the_first_clause_leaves_at_the_first_comma_and_later_ones_are_longer() {
        assert_eq!(
            cut("您好您好，我是小夜，很高兴为您服务，请问您要问什么呢？好的。"),
            ["您好您好，", "我是小夜，很高兴为您服务，", "请问您要问什么呢？", "好的。"]
        );
    }

    #[test]
    fn a_very_short_first_clause_waits_for_more() {
        assert_eq!(cut("好的，马上为您查询，请稍等。"), ["好的，马上为您查询，", "请稍等。"]);
    }

    #[test]
    fn the_first_clause_is_released_before_the_text_ends() {
        let mut clauses = Clauses::new();
        assert_eq!(clauses.push("您的车还能开"), Vec::<String>::new());
        assert_eq!(clauses.push("，大约"), ["您的车还能开，"]);
    }

    #[test]
    fn numbers_times_versions_and_addresses_stay_whole() {
        for whole in [
            "圆周率约等于3.14左右",
            "营业时间到晚上21:30为止",
            "全角的时间是12：30开始",
            "请升级到V2.3版本再试一次",
            "请打开https://www.nio.com/app?id=1&x=2.5查看",
            "总价是1,299.00元整左右",
            "Dr. Wang will call you back",
            "Bring it e.g. tomorrow morning",
            "It is made in the U.S. by us",
            "电池V2.3.1和3.5.2都可以",
        ] {
            assert_eq!(cut(whole), [whole], "must stay whole");
        }
    }

    #[test]
    fn english_sentences_are_cut_behind_the_space() {
        assert_eq!(
            cut("Hello there, how are you? I am fine. Bye."),
            ["Hello there, ", "how are you? ", "I am fine. ", "Bye."].map(str::to_owned).to_vec()
        );
    }

    #[test]
    fn a_text_without_marks_is_cut_in_the_end() {
        let clauses = cut(&"好".repeat(500));
        assert!(clauses.iter().all(|c| c.chars().count() <= LONGEST), "{clauses:?}");
        assert!(clauses.len() > 2);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_pieces_do_not_matter(
            pieces in proptest::collection::vec("[0-9a-zA-Z。，、！？；：,.:;!? \n”好的您车]{0,9}", 0..24)
        ) {
            let text = pieces.concat();
            let mut clauses = Clauses::new();
            let mut out = Vec::new();
            for piece in &pieces {
                out.extend(clauses.push(piece));
            }
            out.extend(clauses.finish());
            prop_assert_eq!(out.concat(), text);
            prop_assert!(out.iter().all(|c| !c.is_empty()));
        }

        #[test]
        fn any_text_comes_out_as_it_went_in(pieces in proptest::collection::vec("\\PC{0,9}", 0..9)) {
            let mut clauses = Clauses::new();
            let mut out: Vec<String> = pieces.iter().flat_map(|p| clauses.push(p)).collect();
            out.extend(clauses.finish());
            prop_assert_eq!(out.concat(), pieces.concat());
        }
    }
}
