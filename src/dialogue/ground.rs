//! Whether what a model says is covered by what it was given: numbers, prices, promises, safety.
//!
//! A clause is spoken only if every number in it stands in a source (an approved entry, a tool's answer, the caller's own
//! words), and every word that the tenant calls a claim (免费, 保证, 可以继续开 …) does too. It does not judge meaning: a wrong sentence made
//! of right numbers passes; the prompt, the thresholds and people are there for those.

use std::collections::HashSet;

use crate::asr::written::written;

/// What may be said.
#[derive(Debug, Default)]
pub struct Ground {
    numbers: HashSet<String>,
    text: String,
}

/// Why a clause may not be said.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Claim {
    /// A number of it stands in no source.
    #[error("the number {0} stands in no source")]
    Number(String),
    /// A claim of it stands in no source.
    #[error("`{0}` stands in no source")]
    Word(String),
}

impl Ground {
    /// Adds a source.
    pub fn add(&mut self, source: &str) {
        for number in numbers(source) {
            // 14:00 is said as two in the afternoon.
            if let Some(hour) = number.parse::<u32>().ok().filter(|hour| (13..24).contains(hour)) {
                self.numbers.insert((hour - 12).to_string());
            }
            self.numbers.insert(number);
        }
        self.text.push_str(source);
        self.text.push('\n');
    }

    /// Whether `clause` may be said; `claims` are words that need a source.
    pub fn covers(&self, clause: &str, claims: &[String]) -> Result<(), Claim> {
        if let Some(number) = numbers(clause).into_iter().find(|number| !self.numbers.contains(number)) {
            return Err(Claim::Number(number));
        }
        match claims
            .iter()
            .find(|claim| clause.contains(claim.as_str()) && !self.text.contains(claim.as_str()))
        {
            Some(claim) => Err(Claim::Word(claim.clone())),
            None => Ok(()),
        }
    }
}

/// The numbers in `text`, spoken or written, each in one form: `8200`, `0.5`.
fn numbers(text: &str) -> Vec<String> {
    let text = written(text);
    let mut found = Vec::new();
    let mut number = String::new();
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        let next_is_digit = characters.peek().is_some_and(char::is_ascii_digit);
        match c {
            '0'..='9' => number.push(c),
            '.' if !number.is_empty() && !number.contains('.') && next_is_digit => number.push(c),
            // 8,200
            ',' if !number.is_empty() && next_is_digit => {}
            _ => found.extend(plain(&std::mem::take(&mut number))),
        }
    }
    found.extend(plain(&number));
    found
}

fn plain(number: &str) -> Option<String> {
    number.parse::<f64>().ok().map(|value| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ground(sources: &[&str]) -> Ground {
        let mut ground = Ground::default();
        for source in sources {
            ground.add(source);
        }
        ground
    }

    #[test]
    fn a_number_needs_a_source_in_whatever_form() {
        let ground = ground(&[
            "快充半小时到百分之八十。",
            r#"{"mileage_km":8200,"price":1280.00,"start":"2026-11-25T14:00"}"#,
            "我的车开了三千公里",
        ]);
        for clause in [
            "快充能到80%，",
            "您的车开了八千二百公里，",
            "一共一千二百八十元。",
            "下午两点见。",
            "才3000公里。",
            "好的。",
        ] {
            assert_eq!(ground.covers(clause, &[]), Ok(()), "{clause}");
        }
        for clause in ["一共一千三百元。", "快充能到百分之九十。", "您的车开了8300公里。", "大约四十分钟。"]
        {
            assert!(matches!(ground.covers(clause, &[]), Err(Claim::Number(_))), "{clause}");
        }
    }

    #[test]
    fn a_claim_needs_a_source_that_makes_it() {
        let claims = ["免费".to_owned(), "保证".to_owned()];
        let ground = ground(&["电池检测是免费的。"]);
        assert_eq!(ground.covers("检测是免费的，", &claims), Ok(()));
        assert_eq!(ground.covers("我保证能修好。", &claims), Err(Claim::Word("保证".into())));
    }
}
