//! Reads TOML strictly: every key must be asked for, and every complaint says file, line, key and the nearest known key.

use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// What is wrong with a script, and where.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("{file}:{line}: {message}")]
pub struct Mistake {
    /// The file as it was named.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// What is wrong and what to do.
    pub message: String,
}

/// A table of a document with the keys that were asked for so far.
pub(super) struct Reader<'a> {
    file: &'a str,
    source: &'a str,
    at: usize,
    place: String,
    table: DeTable<'a>,
    known: Vec<&'static str>,
}

impl<'a> Reader<'a> {
    /// The root table of `source`; `file` is how complaints name it.
    pub fn parse(file: &'a str, source: &'a str) -> Result<Self, Mistake> {
        let table = DeTable::parse(source).map_err(|error| Mistake {
            file: file.into(),
            line: line_of(source, error.span().map_or(0, |span| span.start)),
            message: error.message().replace('\n', ", "),
        })?;
        let place = "the script".to_owned();
        Ok(Self { file, source, at: 0, place, table: table.into_inner(), known: Vec::new() })
    }

    /// A complaint about this table.
    pub fn complain(&self, message: impl Into<String>) -> Mistake {
        mistake(self.file, self.source, self.at, message.into())
    }

    /// True if `key` is there; does not count as asking for it.
    pub fn has(&self, key: &str) -> bool {
        self.table.keys().any(|k| k.get_ref() == key)
    }

    /// A string.
    pub fn text(&mut self, key: &'static str) -> Result<Option<String>, Mistake> {
        self.take(key, "a string in quotes", |value| value.as_str().map(ToOwned::to_owned))
    }

    /// A string that must be there.
    pub fn needed_text(&mut self, key: &'static str) -> Result<String, Mistake> {
        self.text(key)?.ok_or_else(|| self.complain(format!("{} has no `{key}`", self.place)))
    }

    /// A string, or a list of them.
    pub fn texts(&mut self, key: &'static str) -> Result<Vec<String>, Mistake> {
        let texts = self.take(key, "a string or a list of strings", |value| match value {
            DeValue::Array(items) => {
                items.iter().map(|item| item.get_ref().as_str().map(ToOwned::to_owned)).collect()
            }
            one => one.as_str().map(|text| vec![text.to_owned()]),
        })?;
        Ok(texts.unwrap_or_default())
    }

    /// A whole number, not negative.
    pub fn count(&mut self, key: &'static str) -> Result<Option<u64>, Mistake> {
        self.take(key, "a whole number that is not negative", whole)
    }

    /// A number within `low..=high`.
    pub fn number(&mut self, key: &'static str, low: f64, high: f64) -> Result<Option<f64>, Mistake> {
        let want = format!("a number from {low} to {high}");
        self.take(key, &want, |value| {
            let text = match value {
                DeValue::Float(float) => float.as_str(),
                DeValue::Integer(integer) => integer.as_str(),
                _ => return None,
            };
            text.replace('_', "").parse().ok().filter(|number| (low..=high).contains(number))
        })
    }

    /// Whole milliseconds.
    pub fn millis(&mut self, key: &'static str) -> Result<Option<Duration>, Mistake> {
        Ok(self.take(key, "whole milliseconds", whole)?.map(Duration::from_millis))
    }

    /// True or false.
    pub fn flag(&mut self, key: &'static str) -> Result<Option<bool>, Mistake> {
        self.take(key, "true or false", DeValue::as_bool)
    }

    /// One of the words of `words`.
    pub fn word<T: Copy>(&mut self, key: &'static str, words: &[(&str, T)]) -> Result<Option<T>, Mistake> {
        let list = words.iter().map(|(word, _)| format!("\"{word}\"")).collect::<Vec<_>>().join(", ");
        self.take(key, &format!("one of {list}"), |value| {
            let text = value.as_str()?;
            words.iter().find(|(word, _)| *word == text).map(|(_, meaning)| *meaning)
        })
    }

    /// A whole number, or a table with `min` and `max`, as an inclusive range.
    pub fn range(&mut self, key: &'static str) -> Result<Option<(u64, u64)>, Mistake> {
        match self.table.iter().find(|(k, _)| k.get_ref() == key).map(|(_, value)| value.get_ref()) {
            Some(DeValue::Table(_)) => {
                let Some(mut bounds) = self.table(key)? else { return Ok(None) };
                let range = (bounds.count("min")?.unwrap_or(0), bounds.count("max")?.unwrap_or(u64::MAX));
                bounds.finish()?;
                Ok(Some(range))
            }
            _ => Ok(self
                .take(key, "a whole number or { min = …, max = … }", whole)?
                .map(|exactly| (exactly, exactly))),
        }
    }

    /// A table.
    pub fn table(&mut self, key: &'static str) -> Result<Option<Reader<'a>>, Mistake> {
        let Some((at, value)) = self.entry(key) else { return Ok(None) };
        match value {
            DeValue::Table(table) => Ok(Some(self.inner(at, format!("[{key}]"), table))),
            _ => Err(mistake(self.file, self.source, at, format!("`{key}` must be a table"))),
        }
    }

    /// All tables of an array of tables (`[[key]]`), in order.
    pub fn tables(&mut self, key: &'static str) -> Result<Vec<Reader<'a>>, Mistake> {
        let Some((at, value)) = self.entry(key) else { return Ok(Vec::new()) };
        let wrong = |at| mistake(self.file, self.source, at, format!("`{key}` must be given as [[{key}]]"));
        let DeValue::Array(items) = value else { return Err(wrong(at)) };
        let mut tables = Vec::new();
        for (n, item) in items.into_iter().enumerate() {
            let at = item.span().start;
            let DeValue::Table(table) = item.into_inner() else { return Err(wrong(at)) };
            tables.push(self.inner(at, format!("[[{key}]] {}", n + 1), table));
        }
        Ok(tables)
    }

    /// Complains about the first key that nobody asked for.
    pub fn finish(self) -> Result<(), Mistake> {
        let Some(key) = self.table.keys().min_by_key(|key| key.span().start) else { return Ok(()) };
        let advice = nearest(key.get_ref(), &self.known).map_or_else(
            || format!("known are {}", self.known.join(", ")),
            |known| format!("did you mean `{known}`?"),
        );
        let message = format!("{} has an unknown key `{}`; {advice}", self.place, key.get_ref());
        Err(mistake(self.file, self.source, key.span().start, message))
    }

    fn inner(&self, at: usize, place: String, table: DeTable<'a>) -> Reader<'a> {
        Reader { file: self.file, source: self.source, at, place, table, known: Vec::new() }
    }

    fn entry(&mut self, key: &'static str) -> Option<(usize, DeValue<'a>)> {
        self.known.push(key);
        let value: Spanned<DeValue<'a>> = self.table.remove(key)?;
        Some((value.span().start, value.into_inner()))
    }

    fn take<T>(
        &mut self,
        key: &'static str,
        want: &str,
        read: impl Fn(&DeValue<'a>) -> Option<T>,
    ) -> Result<Option<T>, Mistake> {
        let Some((at, value)) = self.entry(key) else { return Ok(None) };
        read(&value).map(Some).ok_or_else(|| {
            let message = format!("`{key}` in {} must be {want}", self.place);
            mistake(self.file, self.source, at, message)
        })
    }
}

fn mistake(file: &str, source: &str, at: usize, message: String) -> Mistake {
    Mistake { file: file.into(), line: line_of(source, at), message }
}

fn line_of(source: &str, at: usize) -> usize {
    source.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}

fn whole(value: &DeValue<'_>) -> Option<u64> {
    let integer = value.as_integer()?;
    u64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

/// The known key that a misspelt one most likely meant.
fn nearest<'k>(key: &str, known: &[&'k str]) -> Option<&'k str> {
    known
        .iter()
        .map(|known| (strsim::damerau_levenshtein(key, known), *known))
        .filter(|(distance, known)| *distance <= 1 + known.len() / 4)
        .min()
        .map(|(_, known)| known)
}
