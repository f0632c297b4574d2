//! Strings of English digits.

/// Three spoken digits or more in a row: one three eight double zero → 13800.
pub(super) fn english(text: &str) -> String {
    let words: Vec<&str> = text.split(' ').collect();
    let mut out: Vec<String> = Vec::new();
    let mut at = 0;
    while at < words.len() {
        let (mut digits, mut count, mut times, mut end) = (String::new(), 0, 1, at);
        while let Some(word) = words.get(end) {
            match english_digit(word) {
                Some(EnglishDigit::Digit(d)) => {
                    digits.extend(std::iter::repeat_n(d, times));
                    count += times;
                    times = 1;
                }
                Some(EnglishDigit::Times(n)) if times == 1 => times = n,
                _ => break,
            }
            end += 1;
        }
        if count >= 3 && times == 1 {
            out.push(digits);
            at = end;
        } else {
            let end = end.max(at + 1);
            out.extend(words[at..end].iter().map(|word| (*word).to_owned()));
            at = end;
        }
    }
    out.join(" ")
}

enum EnglishDigit {
    Digit(char),
    Times(usize),
}

fn english_digit(word: &str) -> Option<EnglishDigit> {
    const WORDS: [&str; 10] =
        ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];
    let word = word.to_ascii_lowercase();
    Some(match word.as_str() {
        "oh" | "o" => EnglishDigit::Digit('0'),
        "double" => EnglishDigit::Times(2),
        "triple" => EnglishDigit::Times(3),
        word => {
            let value = WORDS.iter().position(|digit| *digit == word)?;
            EnglishDigit::Digit(char::from_digit(value as u32, 10)?)
        }
    })
}
