//! What a FunASR server has said of an utterance so far.
//!
//! The streaming model's texts are increments; a text of the second pass replaces the increments since the last one. The end
//! is not marked alike everywhere: the C++ server sets `is_final` on its last message and nowhere else (the offline one never
//! does), the Python server copies `is_speaking` into it, so that it is true before the end and false after.

use serde_json::Value;

use super::super::failure::{Failure, servers_words};

/// Whether a message is the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// More is to come.
    No,
    /// It looks like it, but another may follow shortly.
    Likely,
    /// It is.
    Sure,
}

/// The words so far.
#[derive(Debug, Default)]
pub(super) struct Heard {
    settled: String,
    streamed: String,
}

impl Heard {
    /// Takes in a message. `ended` tells whether the end of the audio has been sent.
    pub fn message(&mut self, message: &str, ended: bool) -> Result<End, Failure> {
        let message: Value = serde_json::from_str(message)
            .map_err(|e| Failure::Garbled(format!("not JSON at line {} column {}", e.line(), e.column())))?;
        if !message.is_object() {
            return Err(Failure::Garbled("it is no JSON object".into()));
        }
        let text = message["text"].as_str().unwrap_or_default();
        let mode = message["mode"].as_str();
        if mode.is_none() && text.starts_with("ERROR") {
            return Err(Failure::Reported(servers_words(text)));
        }
        let streamed = mode.is_some_and(|mode| mode.ends_with("online"));
        if streamed {
            self.streamed.push_str(&clean(text));
        } else if mode.is_some() || !text.is_empty() {
            self.settled.push_str(&clean(text));
            self.streamed.clear();
        }
        let final_flag = message["is_final"].as_bool().unwrap_or(false);
        Ok(match (ended, streamed, final_flag) {
            (false, ..) | (true, true, false) => End::No,
            (true, false, true) => End::Sure,
            (true, ..) if mode == Some("offline") => End::Sure,
            (true, ..) => End::Likely,
        })
    }

    /// The words.
    pub fn text(&self) -> String {
        format!("{}{}", self.settled, self.streamed).trim().to_owned()
    }
}

/// Without the marks of SenseVoice (`<|zh|><|NEUTRAL|>`).
fn clean(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("<|") {
        out.push_str(before);
        rest = after.split_once("|>").map_or("", |(_, after)| after);
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(heard: &mut Heard, message: &str, ended: bool) -> End {
        heard.message(message, ended).unwrap()
    }

    #[test]
    fn the_second_pass_replaces_what_was_streamed_since_the_last() {
        let mut heard = Heard::default();
        take(&mut heard, r#"{"mode": "2pass-online", "text": "我要", "is_final": false}"#, false);
        take(&mut heard, r#"{"mode": "2pass-online", "text": "头诉", "is_final": false}"#, false);
        assert_eq!(heard.text(), "我要头诉");
        take(&mut heard, r#"{"mode": "2pass-offline", "text": "我要投诉，", "is_final": false}"#, false);
        take(&mut heard, r#"{"mode": "2pass-online", "text": "转人工"}"#, false);
        assert_eq!(heard.text(), "我要投诉，转人工");
        let end =
            take(&mut heard, r#"{"mode": "2pass-offline", "text": "转人工。", "is_final": true}"#, true);
        assert_eq!((heard.text().as_str(), end), ("我要投诉，转人工。", End::Sure));
    }

    #[test]
    fn the_end_is_found_with_every_server() {
        let end = |message: &str, ended| take(&mut Heard::default(), message, ended);
        // C++, two passes: also when nothing was heard.
        assert_eq!(end(r#"{"text": "", "wav_name": "u", "is_final": true}"#, true), End::Sure);
        // C++, offline: the flag is never set.
        assert_eq!(end(r#"{"mode": "offline", "text": "好", "is_final": false}"#, true), End::Sure);
        // Python: the flag is is_speaking.
        assert_eq!(end(r#"{"mode": "2pass-online", "text": "好", "is_final": true}"#, false), End::No);
        assert_eq!(end(r#"{"mode": "2pass-offline", "text": "好", "is_final": false}"#, true), End::Likely);
        // Streaming model alone.
        assert_eq!(end(r#"{"mode": "online", "text": "好", "is_final": false}"#, true), End::No);
        assert_eq!(end(r#"{"mode": "online", "text": "好", "is_final": true}"#, true), End::Likely);
    }

    #[test]
    fn the_marks_of_sense_voice_are_no_words() {
        let mut heard = Heard::default();
        take(
            &mut heard,
            r#"{"mode": "offline", "text": "<|zh|><|NEUTRAL|><|Speech|>空调 <|withitn|>"}"#,
            true,
        );
        assert_eq!(heard.text(), "空调");
        assert_eq!(clean("a<|never closed"), "a");
    }

    #[test]
    fn garbage_and_reported_errors_are_failures() {
        let message = |text| Heard::default().message(text, true);
        assert_eq!(message("{oops"), Err(Failure::Garbled("not JSON at line 1 column 2".into())));
        assert!(matches!(message("[]"), Err(Failure::Garbled(_))));
        let refused = r#"{"text": "ERROR. Real-time service ONLY SUPPORT PCM stream.", "is_final": true}"#;
        assert!(
            matches!(message(refused), Err(Failure::Reported(words)) if words.contains("ONLY SUPPORT PCM"))
        );
    }
}
