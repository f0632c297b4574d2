//! What a transcription server answers, read leniently: servers leave out fields, or set them to null.
//!
//! Confidence is the geometric mean of the tokens' probabilities (from `logprobs`, or from each segment's `avg_logprob`
//! weighted by its length) times the probability that there was speech. A server that tells neither gives
//! [`UNMEASURED`](super::super::UNMEASURED).

use serde_json::Value;

use super::super::UNMEASURED;
use super::super::failure::{Failure, servers_words};
use crate::asr::{Engine, Token, Transcript};

/// A segment that is less likely to be speech than this, and that the model doubts, is silence: whisper's own rule and
/// figures (`no_speech_threshold`, `logprob_threshold`).
const SILENT: f64 = 0.6;
const DOUBTED: f64 = -1.0;

/// The transcript in a server's answer.
pub(super) fn transcript(body: &[u8]) -> Result<Transcript, Failure> {
    let answer: Value = serde_json::from_slice(body)
        .map_err(|e| Failure::Garbled(format!("not JSON at line {} column {}", e.line(), e.column())))?;
    // Some servers say 200 and mean an error.
    if let Some(words) = error(&answer).filter(|_| !answer["text"].is_string()) {
        return Err(Failure::Reported(words));
    }
    let all: Vec<Segment> = answer["segments"].as_array().into_iter().flatten().map(Segment::read).collect();
    let spoken: Vec<&Segment> = all.iter().filter(|segment| !segment.is_silent()).collect();
    let text = match answer["text"].as_str() {
        Some(text) if spoken.len() == all.len() => text.to_owned(),
        None if all.is_empty() => return Err(Failure::Garbled("it has no `text`".into())),
        _ => spoken.iter().map(|segment| segment.text.as_str()).collect(),
    };
    let text = text.trim().to_owned();
    let no_speech = all.iter().filter_map(|segment| segment.no_speech).reduce(f64::min);
    if text.is_empty() {
        let no_speech = no_speech.unwrap_or(1.0) as f32;
        return Ok(Transcript { engine: Engine::OpenAi, no_speech, ..Transcript::default() });
    }
    let tokens = tokens(&answer["logprobs"]);
    let measured = mean_of(&tokens).or_else(|| mean(&spoken));
    let no_speech = no_speech.unwrap_or(0.0).clamp(0.0, 1.0);
    let confidence = match measured {
        Some(probability) => (probability * (1.0 - no_speech)) as f32,
        None => UNMEASURED,
    };
    let confidence = confidence.clamp(0.0, 1.0);
    let heard = Transcript { engine: Engine::OpenAi, text, confidence, tokens, ..Transcript::default() };
    Ok(Transcript { no_speech: no_speech as f32, ..heard })
}

/// What a server says in an answer that is no success: the message of an OpenAI error, or else the text itself.
pub(super) fn complaint(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let said = serde_json::from_slice::<Value>(body).ok().and_then(|answer| error(&answer));
    match said.unwrap_or_else(|| servers_words(&text)) {
        words if words.is_empty() => "(nothing)".into(),
        words => words,
    }
}

/// `{"error": {"message": …}}`, `{"error": …}`, `{"detail": …}` or `{"message": …}`.
fn error(answer: &Value) -> Option<String> {
    let error = &answer["error"];
    let words = [&error["message"], error, &answer["detail"], &answer["message"]];
    words.into_iter().find_map(Value::as_str).map(servers_words)
}

struct Segment {
    text: String,
    length: f64,
    mean_log: Option<f64>,
    no_speech: Option<f64>,
}

impl Segment {
    fn read(value: &Value) -> Self {
        let seconds = |key| value[key].as_f64().unwrap_or(0.0);
        let length = seconds("end") - seconds("start");
        Self {
            text: value["text"].as_str().unwrap_or_default().into(),
            // Without times all weigh the same.
            length: if length > 0.0 { length } else { 1.0 },
            mean_log: value["avg_logprob"].as_f64(),
            no_speech: value["no_speech_prob"].as_f64(),
        }
    }

    fn is_silent(&self) -> bool {
        self.no_speech.is_some_and(|p| p > SILENT) && self.mean_log.is_some_and(|log| log < DOUBTED)
    }
}

/// Geometric mean of the segments' probabilities, by length.
fn mean(segments: &[&Segment]) -> Option<f64> {
    let measured = || segments.iter().filter_map(|s| Some((s.length, s.mean_log?)));
    let length: f64 = measured().map(|(length, _)| length).sum();
    (length > 0.0).then(|| (measured().map(|(length, log)| length * log).sum::<f64>() / length).exp())
}

/// Geometric mean of the tokens' probabilities.
fn mean_of(tokens: &[Token]) -> Option<f64> {
    let logs = tokens.iter().map(|token| f64::from(token.probability.max(1e-6)).ln());
    (!tokens.is_empty()).then(|| (logs.sum::<f64>() / tokens.len() as f64).exp())
}

/// `[{"token": "你好", "logprob": -0.1}]`.
fn tokens(list: &Value) -> Vec<Token> {
    let read = |value: &Value| {
        let text = value["token"].as_str()?.to_owned();
        Some(Token {
            text,
            probability: value["logprob"].as_f64()?.exp().clamp(0.0, 1.0) as f32,
            ..Token::default()
        })
    };
    list.as_array().into_iter().flatten().filter_map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Transcript {
        transcript(body.as_bytes()).unwrap()
    }

    #[test]
    fn segments_are_weighed_by_their_length() {
        let heard = read(
            r#"{"text": " 我要投诉 ", "segments": [
                {"start": 0.0, "end": 3.0, "text": "我要", "avg_logprob": -0.1, "no_speech_prob": 0.02},
                {"start": 3.0, "end": 4.0, "text": "投诉", "avg_logprob": -0.9, "no_speech_prob": 0.3}]}"#,
        );
        assert_eq!((heard.text.as_str(), heard.engine), ("我要投诉", Engine::OpenAi));
        let expected = (-0.3_f32).exp() * 0.98;
        assert!((heard.confidence - expected).abs() < 1e-4, "{} is not {expected}", heard.confidence);
        assert!((heard.no_speech - 0.02).abs() < 1e-6);
    }

    #[test]
    fn log_probabilities_of_tokens_become_tokens_and_confidence() {
        let heard = read(
            r#"{"text": "你好", "logprobs": [{"token": "你", "logprob": -0.2, "bytes": [1]}, {"token": "好", "logprob": 0}]}"#,
        );
        assert_eq!(heard.tokens.iter().map(|t| t.text.as_str()).collect::<String>(), "你好");
        assert!((heard.confidence - (-0.1_f32).exp()).abs() < 1e-4, "{}", heard.confidence);
    }

    #[test]
    fn what_is_missing_or_null_is_no_error() {
        for body in [
            r#"{"text": "你好"}"#,
            r#"{"text": "你好", "segments": null, "logprobs": null, "error": null}"#,
            r#"{"text": "你好", "segments": [{"id": 0}], "language": 7, "duration": "long"}"#,
            r#"{"segments": [{"text": "你"}, {"text": "好"}]}"#,
        ] {
            let heard = read(body);
            assert_eq!((heard.text.as_str(), heard.confidence), ("你好", UNMEASURED), "for {body}");
        }
    }

    #[test]
    fn a_silent_segment_is_left_out() {
        let heard = read(
            r#"{"text": "充电慢。感谢观看", "segments": [
                {"text": "充电慢。", "avg_logprob": -0.2, "no_speech_prob": 0.1},
                {"text": "感谢观看", "avg_logprob": -1.4, "no_speech_prob": 0.9}]}"#,
        );
        assert_eq!(heard.text, "充电慢。");
        let nothing = read(
            r#"{"text": "感谢观看", "segments": [{"text": "感谢观看", "avg_logprob": -1.4, "no_speech_prob": 0.9}]}"#,
        );
        assert_eq!((nothing.text.as_str(), nothing.confidence), ("", 0.0));
        assert!(nothing.no_speech > 0.8);
    }

    #[test]
    fn an_answer_without_words_is_an_empty_transcript() {
        let heard = read(r#"{"text": ""}"#);
        assert_eq!((heard.text.as_str(), heard.confidence, heard.no_speech), ("", 0.0, 1.0));
    }

    #[test]
    fn an_error_in_an_answer_that_claims_success_is_one() {
        let failure = transcript(br#"{"error": {"message": "model is loading", "code": 1}}"#).unwrap_err();
        assert_eq!(failure, Failure::Reported("model is loading".into()));
    }

    #[test]
    fn garbage_says_where_and_does_not_repeat_it() {
        let failure = transcript("<html>\n13800138000".as_bytes()).unwrap_err();
        assert_eq!(failure, Failure::Garbled("not JSON at line 1 column 1".into()));
        assert_eq!(transcript(b"{}").unwrap_err(), Failure::Garbled("it has no `text`".into()));
        assert!(transcript(b"[1, 2]").is_err() && transcript(b"null").is_err());
    }

    #[test]
    fn a_complaint_is_the_message_of_the_server_on_one_line() {
        assert_eq!(complaint(br#"{"error": {"message": "Incorrect\nAPI key"}}"#), "Incorrect API key");
        assert_eq!(complaint(br#"{"detail": "no such model"}"#), "no such model");
        assert_eq!(complaint(b"<h1>Bad\r\n gateway</h1>"), "<h1>Bad gateway</h1>");
        assert_eq!(complaint(b""), "(nothing)");
        assert_eq!(complaint("长".repeat(1000).as_bytes()).chars().count(), 200);
    }
}
