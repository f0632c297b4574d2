//! Number plates: a province, a letter, and five (fuel) or six (new energy) letters and digits.

mod english;
#[cfg(test)]
mod tests;
mod tokens;

use super::meant::{meant, plain};
pub(super) use english::PLACES;
use tokens::{Token, tokens};

/// A spoken number plate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plate {
    /// A complete one, upper case without a dot: 沪AD12345.
    Complete(String),
    /// What there is of one: the beginning, or all but the province.
    Part(String),
    /// None at all.
    None,
}

/// The number plate that the caller has said in `pieces`, oldest first. A piece that names the province begins anew, and one
/// with nothing but a province completes what lacks it; a correction (不对, 不是D是B, 最后一位是七) replaces. Letters and the
/// province are also taken by their sound, only where the shape of a plate is around them.
pub fn plate(pieces: &[&str]) -> Plate {
    let mut said = Heard::default();
    for piece in pieces {
        said.hear(&plain(piece));
    }
    said.plate()
}

#[derive(Clone, Debug, Default)]
struct Heard {
    province: Option<char>,
    /// The letter of the city and the serial, upper case.
    rest: String,
}

/// Five characters, or six that begin or end with the letter of a new-energy car.
fn is_serial(serial: &str) -> bool {
    let letter = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphabetic());
    let figures = serial.chars().any(|c| c.is_ascii_digit());
    let new_energy = || letter(serial.chars().next()) || letter(serial.chars().next_back());
    figures && (serial.len() == 5 || (serial.len() == 6 && new_energy()))
}

impl Heard {
    fn is_empty(&self) -> bool {
        self.province.is_none() && self.rest.is_empty()
    }

    fn is_complete(&self) -> bool {
        self.province.is_some()
            && self.rest.starts_with(|c: char| c.is_ascii_alphabetic())
            && self.rest.get(1..).is_some_and(is_serial)
    }

    fn plate(self) -> Plate {
        if self.is_empty() {
            return Plate::None;
        }
        let complete = self.is_complete();
        let text: String = self.province.into_iter().chain(self.rest.chars()).collect();
        if complete { Plate::Complete(text) } else { Plate::Part(text) }
    }

    fn hear(&mut self, text: &str) {
        if self.swap(text) {
            return;
        }
        let now = meant(text);
        let before = &text[..text.len() - now.len()];
        let corrected = !before.is_empty();
        if corrected {
            self.add(read(before));
            self.correct(read(now));
        } else {
            self.add(read(now));
        }
    }

    /// 不是D是B, 是B不是D: the one in place of the other. False if the text says nothing of the kind.
    fn swap(&mut self, text: &str) -> bool {
        let Some((lead, denied)) = text.split_once("不是") else { return false };
        let (lead, wrong, right) = match denied.rsplit_once('是') {
            Some((wrong, right)) => (lead, letters(wrong), letters(right)),
            None if self.is_empty() && !read(denied).is_empty() => {
                // 京A不是京B
                self.add(read(lead));
                return true;
            }
            None => ("", letters(denied), letters(lead)),
        };
        let mut so_far = self.clone();
        so_far.add(read(lead));
        let found = so_far
            .rest
            .rfind(&wrong)
            .filter(|_| (1..=3).contains(&wrong.len()) && right.len() == wrong.len());
        if let Some(at) = found {
            so_far.rest.replace_range(at..at + wrong.len(), &right);
            *self = so_far;
        }
        found.is_some()
    }

    fn add(&mut self, fresh: Self) {
        if fresh.is_empty() {
            return;
        }
        if fresh.province.is_some() {
            // The province comes last: 沪 behind AD12345.
            if self.province.is_none() && self.rest.starts_with(&fresh.rest) && !self.rest.is_empty() {
                self.province = fresh.province;
            } else {
                *self = fresh;
            }
            return;
        }
        let serial = self.rest.get(1..).unwrap_or("");
        let again = serial.len() >= 2 && fresh.rest.starts_with(serial) && fresh.rest.len() > serial.len();
        let whole =
            fresh.rest.starts_with(|c: char| c.is_ascii_alphabetic()) && (6..=7).contains(&fresh.rest.len());
        if again {
            self.rest.truncate(1);
        } else if whole && self.rest.len() + fresh.rest.len() > 7 {
            self.rest.clear();
        }
        self.rest.push_str(&fresh.rest);
    }

    /// `fresh` in place of the end of what was said, or of all of it.
    fn correct(&mut self, fresh: Self) {
        if fresh.province.is_some() || self.rest.is_empty() {
            self.add(fresh);
        } else if fresh.rest.len() < self.rest.len() {
            self.rest.truncate(self.rest.len() - fresh.rest.len());
            self.rest.push_str(&fresh.rest);
        } else if !fresh.rest.is_empty() {
            self.rest = fresh.rest;
        }
    }
}

/// The letters and digits of a few words about them: also one letter alone by its sound.
fn letters(text: &str) -> String {
    let tokens = tokens(text);
    let exact: String = tokens.iter().filter_map(|t| t.sign).collect();
    let alone = || match tokens.iter().filter(|t| !t.filler).collect::<Vec<_>>().as_slice() {
        [only] => only.letter.map(String::from).unwrap_or_default(),
        _ => String::new(),
    };
    if exact.is_empty() { alone() } else { exact }
}

/// What one utterance says of a plate.
fn read(text: &str) -> Heard {
    let tokens = tokens(text);
    if let [Token { province: Some(province), .. }] =
        tokens.iter().filter(|t| !t.filler && !t.lead).collect::<Vec<_>>().as_slice()
    {
        return Heard { province: Some(*province), rest: String::new() };
    }
    let mut best: Option<(Heard, [usize; 3])> = None;
    for at in 0..tokens.len() {
        if let Some((heard, score)) = from_province(&tokens, at)
            && best.as_ref().is_none_or(|(_, before)| score >= *before)
        {
            best = Some((heard, score));
        }
    }
    best.map(|(heard, _)| heard).or_else(|| without_province(&tokens)).unwrap_or_default()
}

/// A plate whose province is at `at`, and how well it fits.
fn from_province(tokens: &[Token], at: usize) -> Option<(Heard, [usize; 3])> {
    let exact = tokens[at].province;
    let province = exact.or(tokens[at].province_like)?;
    let mut next = skip_fillers(tokens, at + 1);
    let city = tokens.get(next)?;
    let (letter, sure) = match city.sign {
        Some(sign) if sign.is_ascii_alphabetic() => (Some(sign), true),
        Some(_) => (None, true),
        None => (Some(city.letter?), false),
    };
    next += usize::from(letter.is_some());
    let (serial, end, guessed) = serial(tokens, next);
    let whole = is_serial(&serial);
    let only = || tokens[..at].iter().chain(&tokens[end..]).all(|t| t.filler || t.lead);
    let fits = match (exact.is_some(), letter.is_some(), sure) {
        (true, true, true) => serial.len() <= 7,
        (true, true, false) => whole || serial.len() == 4,
        (true, false, _) => (3..=6).contains(&serial.len()),
        (false, true, true) => whole || (serial.len() < 5 && only()),
        (false, true, false) => whole && end - at == 2 + serial.len(),
        (false, false, _) => false,
    };
    let rest: String = letter.into_iter().chain(serial.chars()).collect();
    let score = [usize::from(whole), usize::from(exact.is_some()) + usize::from(sure), 9 - guessed.min(9)];
    fits.then_some((Heard { province: Some(province), rest }, score))
}

/// The letters and digits from `at` on, where they end, and how many of them are guessed by sound.
fn serial(tokens: &[Token], at: usize) -> (String, usize, usize) {
    let mut text = String::new();
    let (mut i, mut end, mut guessed) = (at, at, 0);
    while let Some(token) = tokens.get(i) {
        let sign = |i: usize| tokens.get(i).and_then(|t| t.sign);
        // The last one of a plate, not a word behind it.
        let new_energy = text.starts_with(|c: char| c.is_ascii_alphabetic());
        let room = text.len() == 4 || (text.len() == 5 && new_energy && token.digit.is_some());
        if let Some(exact) = token.sign {
            text.push(match exact {
                // No serial has these letters.
                'O' => '0',
                'I' => '1',
                other => other,
            });
            end = i + 1;
        } else if let Some(like) = token.digit.or(token.letter)
            && (sign(i + 1).is_some() || (i + 1 == tokens.len() && token.last && room))
            && (end == i || (text.is_empty() && token.digit.is_none()))
            && !(text.is_empty() && at > 0 && token.filler)
        {
            text.push(like);
            (end, guessed) = (i + 1, guessed + 1);
        } else if !token.filler {
            break;
        }
        i += 1;
    }
    (text, end, guessed)
}

fn skip_fillers(tokens: &[Token], at: usize) -> usize {
    at + tokens[at.min(tokens.len())..].iter().take_while(|t| t.filler).count()
}

/// The longest stretch of letters and digits; one alone only if nothing else is said.
fn without_province(tokens: &[Token]) -> Option<Heard> {
    let mut best = String::new();
    let mut only = false;
    let mut at = 0;
    while at < tokens.len() {
        let first = &tokens[at];
        let followed = tokens[at + 1..].iter().take_while(|t| t.sign.is_some()).count();
        let led = tokens[..at].iter().all(|t| t.filler || t.lead);
        let guess =
            first.digit.filter(|_| followed >= 2).or(first.letter.filter(|_| followed >= 3)).filter(|_| led);
        let (text, end) = match (first.sign, guess) {
            (Some(sign), _) | (None, Some(sign)) => {
                let (more, end, guessed) = serial(tokens, at + 1);
                let mostly = more.len() > 2 * guessed || guessed == 0;
                if mostly { (format!("{sign}{more}"), end) } else { (String::new(), at + 1) }
            }
            (None, None) => (String::new(), at + 1),
        };
        if !text.is_empty() && text.len() >= best.len() {
            only = led && tokens[end..].iter().all(|t| t.filler || t.lead);
            best = text;
        }
        at = end.max(at + 1);
    }
    // 六七成, SOS: a few digits, or letters alone, only where nothing else is said.
    let digits = best.chars().filter(char::is_ascii_digit).count();
    let longest = if digits == best.len() { 6 } else { 8 };
    let fits = !best.is_empty() && best.len() <= longest && (only || (digits > 0 && best.len() > 2));
    fits.then_some(Heard { province: None, rest: best })
}
