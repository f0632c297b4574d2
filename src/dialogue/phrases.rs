//! The tenant's fixed sentences, for the call core and the light tier.

use serde::Deserialize;

/// Fixed sentences in one language, as written in `tenant.toml`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Phrases {
    /// First words of a call, never interrupted: name the company, the machine and the recording.
    pub notice: String,
    /// The words after the notice.
    pub greeting: String,
    /// Asks the caller to say it in other words.
    pub clarify: String,
    /// Offers two topics, `{a}` and `{b}`.
    pub clarify_two: String,
    /// Offers one topic, `{a}`.
    pub clarify_one: String,
    /// Said by the mind before a handoff for want of confidence.
    pub low_confidence: String,
    /// Said by the core when a handoff begins, after whatever the mind said.
    pub handing_over: String,
    /// All seats are busy, and the caller is the next.
    pub queue_next: String,
    /// `{ahead}` callers come before, and nothing is known of how long they take.
    pub queue_ahead: String,
    /// `{ahead}` callers come before, which takes about `{minutes}` minutes.
    pub queue_wait: String,
    /// What the caller can do meanwhile: ask on, or be called back (`*`).
    pub queue_choice: String,
    /// A seat is being called at this moment.
    pub seat_rings: String,
    /// Nobody is on duty until `{opens}`: offers a call-back; expects yes or no.
    pub out_of_hours: String,
    /// No seat took the call: offers a call-back; expects yes or no.
    pub seat_busy_offer: String,
    /// Asks whether the number that is calling shall be called back, `{number}`.
    pub callback_same_number: String,
    /// Asks for the number.
    pub ask_phone: String,
    /// Invites the rest of a number said in pieces.
    pub phone_more: String,
    /// Asks what shall be changed of what was read out.
    pub what_to_change: String,
    /// Goes back to what was left for something else, `{a}`.
    pub back_to: String,
    /// Invites the rest of a number that is being typed, and tells that `#` ends it.
    pub keys_more: String,
    /// Asks for the number again.
    pub phone_again: String,
    /// Asks when to call back.
    pub ask_time: String,
    /// Confirms the call-back, with `{number}` and `{when}`.
    pub callback_confirm: String,
    /// The call-back could not be stored.
    pub callback_failed: String,
    /// The caller does not want the call-back.
    pub callback_declined: String,
    /// No call-back is wanted: offers to take a message; expects yes or no. None is taken without it.
    #[serde(default)]
    pub message_offer: String,
    /// Invites the message, and tells that `#` ends it.
    #[serde(default)]
    pub message_begin: String,
    /// The message was taken.
    #[serde(default)]
    pub message_kept: String,
    /// Asks how content the caller was, 1 to 5, by voice or key. See `[rating]`.
    #[serde(default)]
    pub rating_ask: String,
    /// Thanks for that; `goodbye` follows.
    #[serde(default)]
    pub rating_thanks: String,
    /// The seat has hung up; the caller is still there.
    pub seat_left: String,
    /// Said to the seat after the summary: which key accepts, which declines.
    pub seat_keys: String,
    /// Said in turn while an answer takes long: at least two, or none.
    pub thinking: Vec<String>,
    /// Last words.
    pub goodbye: String,
    /// What to say at the first, second … silence.
    pub no_input: Vec<String>,
    /// What to ask at the silence after those: whether the caller wants a person; expects yes or no. A no, or one more silence,
    /// ends the call with `goodbye`.
    pub offer_person: String,
    /// Said by the mind to an angry caller, before the handoff.
    pub apology: String,
    /// First clause to a caller who is tense: understanding, nothing else.
    pub acknowledge: String,
    /// Added for a tense caller who was not understood: a person is within reach.
    pub or_person: String,
    /// Answer to a greeting.
    pub hello: String,
    /// Answer to "who are you": says honestly that it is a machine.
    pub who: String,
    /// Answer to thanks.
    pub thanks: String,
    /// Answer to "one moment".
    pub wait: String,
    /// Answer to "say that again" when nothing was said yet.
    pub nothing_to_repeat: String,
    /// Something failed.
    pub broken: String,
}

impl Phrases {
    /// The confirmation of a call-back, filled in. The number is written in groups, to be read that way.
    pub fn callback_confirm(&self, number: &str, when: &str) -> String {
        fill(&self.callback_confirm, &[("number", &grouped(number)), ("when", when)])
    }
}

/// `template` with every `{name}` replaced.
pub fn fill(template: &str, values: &[(&str, &str)]) -> String {
    values.iter().fold(template.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
}

/// A number in the groups that people say: `138 0013 8000`; others in fours.
pub fn grouped(number: &str) -> String {
    let digits: Vec<char> = number.chars().filter(char::is_ascii_digit).collect();
    let first = if digits.len() == 11 && digits[0] == '1' { 3 } else { digits.len() % 4 };
    let mut out: String = digits[..first].iter().collect();
    for group in digits[first..].chunks(4) {
        if !out.is_empty() {
            out.push(' ');
        }
        out.extend(group);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_in_spoken_groups() {
        assert_eq!(grouped("13800138000"), "138 0013 8000");
        assert_eq!(grouped("01012345678"), "010 1234 5678");
        assert_eq!(grouped("12345"), "1 2345");
    }
}
