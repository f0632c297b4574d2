//! Why a server gave no transcript.

use std::time::Duration;

use super::SERVERS_WORDS;

/// Why a server gave no transcript. The spare answers instead; this goes to the log.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum Failure {
    /// No connection.
    #[error("it cannot be reached: {0}; is it running, and is `asr.remote.url` right?")]
    Unreachable(String),
    /// It took too long.
    #[error(
        "{what} did not come within {} ms; is it overloaded, or is the limit in `asr.remote` too short?",
        limit.as_millis()
    )]
    Late {
        /// What was waited for.
        what: &'static str,
        /// For how long.
        limit: Duration,
    },
    /// It refused, with its own words.
    #[error("it answered {code}: {words}{}", advice(*code))]
    Refused {
        /// HTTP status.
        code: u16,
        /// What it said.
        words: String,
    },
    /// It said that something went wrong.
    #[error("it reported: {0}; look into its log")]
    Reported(String),
    /// Its answer is not what the protocol says.
    #[error("its answer is not understood: {0}; does `asr.engine` fit the server?")]
    Garbled(String),
    /// Its answer is larger than any transcript.
    #[error("its answer is larger than {0} bytes; is `asr.remote.url` the address of a recogniser?")]
    TooLarge(usize),
    /// The connection ended before the answer.
    #[error("it ended the connection before the answer was complete: {0}; look into its log")]
    Broken(String),
    /// Too many jobs are there already: no fault of the server.
    #[error("`asr.remote.in_flight` jobs are at the server already")]
    Busy,
    /// It knows no words yet: no fault of the server (partials only).
    #[error("no words yet")]
    NoWordsYet,
}

fn advice(code: u16) -> &'static str {
    match code {
        401 | 403 => "; correct `asr.remote.api_key` or `asr.remote.api_key_file`",
        404 => "; correct `asr.remote.url` or `asr.remote.model`",
        429 => "; it wants fewer requests: lower `asr.remote.in_flight`, or raise its limits",
        _ => "",
    }
}

/// The beginning of what a server said, on one line, without control characters.
pub(super) fn servers_words(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().filter(|c| !c.is_control()).take(SERVERS_WORDS).collect()
}

/// The innermost cause of an error: the outer ones repeat the address.
pub(super) fn root(error: &dyn std::error::Error) -> String {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}
