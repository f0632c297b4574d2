//! Words of a caller who is still speaking: what is settled of them, and what may still change.
//!
//! LocalAgreement-2 (Macháček, Dabre, Bojar: *Turning Whisper into Real-Time Transcription System*, 2023): what two
//! successive hypotheses of a growing audio have in common at their beginning is committed, a Chinese character or a Latin
//! word at a time. Committed words stay until the final replaces them all.

use crate::dialogue::text::is_han;

/// What is known of the words so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Hypothesis {
    /// Two hypotheses agreed on this; it is only ever added to.
    pub committed: String,
    /// The newest guess at what follows.
    pub tentative: String,
}

impl Hypothesis {
    /// All words.
    pub fn text(&self) -> String {
        let mut text = self.committed.clone();
        push(&mut text, &self.tentative);
        text
    }

    /// True if nothing was heard yet.
    pub fn is_empty(&self) -> bool {
        self.committed.is_empty() && self.tentative.is_empty()
    }
}

/// Makes one [`Hypothesis`] of the successive partials of one stretch of speech.
#[derive(Clone, Debug, Default)]
pub struct Agreement {
    committed: Vec<String>,
    tentative: Vec<String>,
}

impl Agreement {
    /// Takes the words of the next partial, all of them from the beginning of the stretch.
    pub fn push(&mut self, words: &str) {
        let units = units(words);
        // Where the new hypothesis goes on behind what is committed, also if it words that otherwise.
        let rest = &units[best_prefix(&self.committed, &units)..];
        let agreed = self.tentative.iter().zip(rest).take_while(|(a, b)| same(a, b)).count();
        self.committed.extend_from_slice(&rest[..agreed]);
        self.tentative = rest[agreed..].to_vec();
    }

    /// The words as they stand.
    pub fn hypothesis(&self) -> Hypothesis {
        let join = |units: &[String]| {
            units.iter().fold(String::new(), |mut text, unit| {
                push(&mut text, unit);
                text
            })
        };
        Hypothesis { committed: join(&self.committed), tentative: join(&self.tentative) }
    }
}

/// Appends `more`, with a space where two Latin words would run together.
pub fn push(text: &mut String, more: &str) {
    let latin = |c: char| c.is_alphanumeric() && !is_han(c);
    if text.chars().next_back().is_some_and(|c| latin(c) || ",.?!;:".contains(c)) && more.starts_with(latin) {
        text.push(' ');
    }
    text.push_str(more);
}

/// `text` as it is said, piece by piece: a Chinese character each, a word of another script each, with the punctuation that
/// follows.
fn units(text: &str) -> Vec<String> {
    let mut units: Vec<String> = Vec::new();
    let mut open = false;
    for c in text.chars() {
        if c.is_whitespace() {
            open = false;
            continue;
        }
        let word = c.is_alphanumeric() && !is_han(c);
        match units.last_mut() {
            // Punctuation belongs to what it follows; a word goes on, also behind an apostrophe or a hyphen inside of it.
            Some(last) if !c.is_alphanumeric() || (word && open) => last.push(c),
            _ => units.push(c.into()),
        }
        open = word || (open && matches!(c, '\'' | '’' | '-' | '.'));
    }
    units
}

/// Same words; case and punctuation do not count.
fn same(a: &str, b: &str) -> bool {
    let bare = |text: &str| {
        text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect::<Vec<_>>()
    };
    a == b || bare(a) == bare(b)
}

/// The length of the beginning of `units` that is most like `committed` by edit distance; of equals the one whose length is
/// nearest.
fn best_prefix(committed: &[String], units: &[String]) -> usize {
    let mut row: Vec<usize> = (0..=units.len()).collect();
    for (i, old) in committed.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, new) in units.iter().enumerate() {
            let substitute = diagonal + usize::from(!same(old, new));
            diagonal = row[j + 1];
            row[j + 1] = substitute.min(row[j] + 1).min(diagonal + 1);
        }
    }
    let score = |(length, edits): &(usize, usize)| (*edits, length.abs_diff(committed.len()));
    row.into_iter().enumerate().min_by_key(score).map_or(0, |(length, _)| length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(partials: &[&str]) -> (String, String) {
        let mut agreement = Agreement::default();
        for words in partials {
            agreement.push(words);
        }
        let Hypothesis { committed, tentative } = agreement.hypothesis();
        (committed, tentative)
    }

    fn parts(committed: &str, tentative: &str) -> (String, String) {
        (committed.into(), tentative.into())
    }

    #[test]
    fn what_two_successive_partials_agree_on_is_committed() {
        assert_eq!(after(&["续航"]), parts("", "续航"));
        assert_eq!(after(&["续行", "续航掉"]), parts("续", "航掉"));
        assert_eq!(after(&["续行", "续航掉", "续航掉得很"]), parts("续航掉", "得很"));
        assert_eq!(after(&["续航", "续航", "续航"]), parts("续航", ""));
    }

    #[test]
    fn committed_words_stay_whatever_a_later_partial_says() {
        assert_eq!(after(&["空调不", "空调不制", "空条不制冷"]), parts("空调不制", "冷"));
        assert_eq!(after(&["空调不", "空调不制", ""]), parts("空调不", ""));
        assert_eq!(after(&["空调不", "空调不制", "我"]).0, "空调不");
        let mut agreement = Agreement::default();
        let mut before = String::new();
        for words in ["转", "转人", "专人工", "转工", "", "人工服务", "转人工服务好", "转人工服务好吗"]
        {
            agreement.push(words);
            let now = agreement.hypothesis().committed;
            assert!(now.starts_with(&before), "{before} shrank to {now}");
            before = now;
        }
        assert!(before.contains("服务"), "it goes on after a lapse: {before}");
    }

    #[test]
    fn latin_words_are_committed_whole_and_with_their_spaces() {
        assert_eq!(after(&["my car wo", "my car won't sta"]), parts("my car", "won't sta"));
        assert_eq!(after(&["my car won't", "My car won't start."]), parts("My car won't", "start."));
        assert_eq!(after(&["打开app", "打开APP的 OTA 升"]), parts("打开APP", "的OTA升"));
        assert_eq!(after(&["Yes, please", "Yes, please call"]), parts("Yes, please", "call"));
    }

    #[test]
    fn the_text_of_a_hypothesis_is_both_parts() {
        let said = Hypothesis { committed: "my car".into(), tentative: "won't start".into() };
        assert_eq!(said.text(), "my car won't start");
        let said = Hypothesis { committed: "空调".into(), tentative: "不制冷".into() };
        assert_eq!(said.text(), "空调不制冷");
        assert!(Hypothesis::default().is_empty() && !said.is_empty());
    }
}
