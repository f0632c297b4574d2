//! Personal data that must not reach a log by accident.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Wraps what identifies a person (a telephone number, a caller's words). `Debug` and `Display` show `[masked]`; the value
/// is reached by [`Pii::expose`], so that each place that shows it can be found. It serialises as itself: records hold it.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pii<T>(T);

impl<T> Pii<T> {
    /// Wraps.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value, for a place that may show it.
    pub const fn expose(&self) -> &T {
        &self.0
    }

    /// Unwraps.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> From<T> for Pii<T> {
    fn from(value: T) -> Self {
        Self(value)
    }
}

impl<T> fmt::Debug for Pii<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[masked]")
    }
}

impl<T> fmt::Display for Pii<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[masked]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_never_shows_in_text_made_of_it() {
        #[derive(Debug)]
        struct Around {
            _number: Pii<String>,
            _list: Vec<Pii<&'static str>>,
        }
        let number = Pii::new("13812345678".to_string());
        let around = Around { _number: number.clone(), _list: vec![Pii::new("13812345678")] };
        let shown = format!("{number} {number:?} {number:>20} {around:?} {around:#?}");
        assert!(!shown.contains("138") && !shown.contains("5678"), "the number leaked: {shown}");
    }

    #[test]
    fn a_log_line_with_a_number_is_masked() {
        use std::io::Write;
        use std::sync::{Arc, Mutex};

        #[derive(Clone, Default)]
        struct Sink(Arc<Mutex<Vec<u8>>>);
        impl Write for Sink {
            fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
                self.0.lock().unwrap().extend_from_slice(buf);
                Ok(buf.len())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let sink = Sink::default();
        let writer = sink.clone();
        let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).finish();
        tracing::subscriber::with_default(subscriber, || {
            let from = Pii::new("13812345678");
            tracing::info!(%from, to = ?from, "call started");
        });
        let line = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        assert!(line.contains("call started"), "nothing was logged: {line}");
        assert!(!line.contains("138"), "the number leaked: {line}");
    }

    #[test]
    fn a_record_keeps_the_number() {
        let number = Pii::new("13812345678".to_string());
        assert_eq!(serde_json::to_string(&number).unwrap(), "\"13812345678\"");
        assert_eq!(number.expose(), "13812345678");
    }
}
