//! Where values come from: a TOML file with its lines, environment variables, and the check of their keys and types
//! against the schema.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::raw::Raw;

/// Environment variables are `NIGHTLINE_TABLE__KEY`.
pub const ENV_PREFIX: &str = "NIGHTLINE_";

/// One thing that is wrong with a configuration: which key, where it was given, what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Dotted key, `sip.listen`; empty for a file that is not TOML.
    pub key: String,
    /// Where the value was given.
    pub place: Place,
    /// What is wrong and what would be right.
    pub what: What,
}

/// The kinds of problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// No such key; the advice names the nearest one.
    Unknown(String),
    /// A value of the wrong type or out of range.
    Value(String),
    /// Not TOML.
    Syntax(String),
}

/// Where a value was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a file, at a line counted from 1.
    File(PathBuf, usize),
    /// In an environment variable of this name.
    Env(String),
    /// Nowhere: it is the embedded default.
    Default,
}

/// With a leading space; nothing for a default.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, line) => write!(f, " in {} line {line}", path.display()),
            Self::Env(name) => write!(f, " in the environment variable {name}"),
            Self::Default => Ok(()),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.what {
            What::Unknown(advice) => write!(f, "unknown key `{}`{}: {advice}", self.key, self.place),
            What::Value(why) => write!(f, "`{}`{}: {why}", self.key, self.place),
            What::Syntax(why) => write!(f, "not TOML{}: {why}", self.place),
        }
    }
}

/// Values of one file and of the environment, with the place of each.
#[derive(Debug, Default)]
pub struct Sources {
    /// Values of the file, nested.
    pub file: Map<String, Value>,
    /// Values of the environment, nested; they win.
    pub env: Map<String, Value>,
    /// What is wrong with them so far.
    pub problems: Vec<Problem>,
    places: BTreeMap<String, Place>,
}

impl Sources {
    /// Reads `text` as the file `path`.
    pub fn read_file(&mut self, path: &Path, text: &str) {
        let table = match DeTable::parse(text) {
            Ok(table) => table,
            Err(error) => {
                let line = error.span().map_or(1, |span| line_at(text, span.start));
                self.problems.push(Problem {
                    key: String::new(),
                    place: Place::File(path.into(), line),
                    what: What::Syntax(error.message().trim().replace('\n', ", ")),
                });
                return;
            }
        };
        let schema = schema();
        let at = |offset: usize| Place::File(path.into(), line_at(text, offset));
        self.file = self.walk_table("", table.get_ref(), &schema, &at);
    }

    /// Reads those of `vars` that are ours. `NIGHTLINE_SIP__MAX_CALLS=5` sets `sip.max_calls`; lists are separated by commas.
    pub fn read_env(&mut self, vars: impl IntoIterator<Item = (String, String)>) {
        let schema = schema();
        for (name, text) in vars {
            let Some(path) = name.strip_prefix(ENV_PREFIX).filter(|rest| rest.contains("__")) else {
                continue;
            };
            let key = path.to_ascii_lowercase().replace("__", ".");
            let place = Place::Env(name.clone());
            let known = key.split('.').try_fold(&schema, |at, part| at.get(part));
            let Some(known) = known.filter(|known| !known.is_object()) else {
                let advice = advice(&key, &schema, |key| {
                    format!("{ENV_PREFIX}{}", key.to_ascii_uppercase().replace('.', "__"))
                });
                self.problems.push(Problem { key, place, what: What::Unknown(advice) });
                continue;
            };
            let value = env_value(&text, known);
            self.places.insert(key.clone(), place.clone());
            if let Some(why) = mismatch(&key, &value, known) {
                self.problems.push(Problem { key, place, what: What::Value(why) });
                continue;
            }
            insert(&mut self.env, &key, value);
        }
    }

    /// Where the value of `key` (dotted, list elements as `.0`) was given.
    pub fn place(&self, key: &str) -> Place {
        let mut key = key;
        loop {
            if let Some(place) = self.places.get(key) {
                return place.clone();
            }
            // An element of a list from the environment, or of a default, has the place of its list.
            match key.rsplit_once('.') {
                Some((parent, last)) if last.bytes().all(|b| b.is_ascii_digit()) => key = parent,
                // What is missing in a table of a list has the place of that table.
                Some((parent, _)) if parent.ends_with(|c: char| c.is_ascii_digit()) => key = parent,
                _ => return Place::Default,
            }
        }
    }

    fn walk_table(
        &mut self,
        path: &str,
        table: &DeTable<'_>,
        known: &Value,
        at: &dyn Fn(usize) -> Place,
    ) -> Map<String, Value> {
        let mut out = Map::new();
        for (name, value) in table {
            let key = if path.is_empty() {
                name.get_ref().to_string()
            } else {
                format!("{path}.{}", name.get_ref())
            };
            let place = at(name.span().start);
            let Some(known) = known.get(name.get_ref().as_ref()) else {
                let advice = advice(&without_numbers(&key), &schema(), ToString::to_string);
                self.problems.push(Problem { key, place, what: What::Unknown(advice) });
                continue;
            };
            self.places.insert(key.clone(), place.clone());
            if let (Some(table), Value::Object(_)) = (value.get_ref().as_table(), known) {
                out.insert(
                    name.get_ref().to_string(),
                    Value::Object(self.walk_table(&key, table, known, at)),
                );
                continue;
            }
            if let (Some(list), Some(element @ Value::Object(_))) = (value.get_ref().as_array(), known.get(0))
            {
                let tables = self.walk_list(&key, list, element, at);
                out.insert(name.get_ref().to_string(), Value::Array(tables));
                continue;
            }
            self.note_elements(&key, value, at);
            let value = json(value.get_ref());
            if let Some(why) = mismatch(&key, &value, known) {
                self.problems.push(Problem { key, place, what: What::Value(why) });
                continue;
            }
            out.insert(name.get_ref().to_string(), value);
        }
        out
    }

    /// A list of tables: `[[webhook]]`.
    fn walk_list(
        &mut self,
        path: &str,
        list: &[Spanned<DeValue<'_>>],
        known: &Value,
        at: &dyn Fn(usize) -> Place,
    ) -> Vec<Value> {
        let mut out = Vec::new();
        for (i, item) in list.iter().enumerate() {
            let key = format!("{path}.{i}");
            let place = at(item.span().start);
            self.places.insert(key.clone(), place.clone());
            match item.get_ref().as_table() {
                Some(table) => out.push(Value::Object(self.walk_table(&key, table, known, at))),
                None => {
                    let why = format!("expected a table, which begins with [[{path}]]");
                    self.problems.push(Problem { key, place, what: What::Value(why) });
                }
            }
        }
        out
    }

    fn note_elements(&mut self, key: &str, value: &Spanned<DeValue<'_>>, at: &dyn Fn(usize) -> Place) {
        for (i, element) in value.get_ref().as_array().into_iter().flatten().enumerate() {
            self.places.insert(format!("{key}.{i}"), at(element.span().start));
        }
    }
}

/// Every known key with a value of its type.
fn schema() -> Value {
    serde_json::to_value(Raw::example()).unwrap_or_default()
}

fn line_at(text: &str, offset: usize) -> usize {
    text.get(..offset).unwrap_or(text).matches('\n').count() + 1
}

fn insert(map: &mut Map<String, Value>, key: &str, value: Value) {
    match key.split_once('.') {
        None => {
            map.insert(key.into(), value);
        }
        Some((head, rest)) => {
            let inner = map.entry(head).or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(inner) = inner {
                insert(inner, rest, value);
            }
        }
    }
}

/// A TOML value as JSON. Dates and what JSON cannot hold (`nan`, 65-bit integers) become their text, which no key takes
/// for a number.
fn json(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(s) => Value::String(s.to_string()),
        DeValue::Boolean(b) => Value::Bool(*b),
        DeValue::Integer(i) => i64::from_str_radix(i.as_str(), i.radix())
            .map_or_else(|_| Value::String(i.to_string()), Value::from),
        DeValue::Float(x) => x
            .as_str()
            .parse()
            .ok()
            .and_then(serde_json::Number::from_f64)
            .map_or_else(|| Value::String(x.to_string()), Value::Number),
        DeValue::Datetime(d) => Value::String(d.to_string()),
        DeValue::Array(list) => list.iter().map(|v| json(v.get_ref())).collect(),
        DeValue::Table(table) => {
            Value::Object(table.iter().map(|(k, v)| (k.get_ref().to_string(), json(v.get_ref()))).collect())
        }
    }
}

/// The text of a variable in the type that the schema wants; text that does not fit stays text.
fn env_value(text: &str, known: &Value) -> Value {
    let scalar = |text: &str, known: &Value| match known {
        Value::Bool(_) => text.parse().map_or_else(|_| text.into(), Value::Bool),
        Value::Number(_) => text.parse::<i64>().map_or_else(|_| text.into(), Value::from),
        _ => Value::from(text),
    };
    match known {
        Value::Array(list) => {
            let element = list.first().unwrap_or(&Value::Null);
            let inner = text.trim().trim_start_matches('[').trim_end_matches(']');
            inner
                .split(',')
                .map(|part| part.trim().trim_matches('"'))
                .filter(|part| !part.is_empty())
                .map(|part| scalar(part, element))
                .collect()
        }
        known => scalar(text.trim(), known),
    }
}

/// Why `value` is not of the type of `known`, if it is not. A value that may be a secret is not shown.
fn mismatch(key: &str, value: &Value, known: &Value) -> Option<String> {
    let same = match (known, value) {
        (Value::Number(_), Value::Number(n)) => n.is_i64() || n.is_u64(),
        (Value::Array(known), Value::Array(list)) => {
            let element = known.first()?;
            return list
                .iter()
                .find_map(|v| mismatch(key, v, element))
                .map(|why| format!("in the list: {why}"));
        }
        _ => std::mem::discriminant(known) == std::mem::discriminant(value),
    };
    let found = || {
        if key.ends_with("api_key") || key.ends_with("secret") {
            "something else".into()
        } else {
            shown(value)
        }
    };
    (!same).then(|| format!("expected {}, found {}", kind(known), found()))
}

fn kind(known: &Value) -> &'static str {
    match known {
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a whole number",
        Value::String(_) => "a text in quotes",
        Value::Array(list) => match list.first() {
            Some(Value::Number(_)) => "a list of whole numbers",
            Some(Value::Object(_)) => "a list of tables, each of which begins with two brackets",
            _ => "a list of texts",
        },
        Value::Object(_) => "a table",
        Value::Null => "nothing",
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(s) => format!("the text \"{}\"", s.escape_debug()),
        Value::Array(_) => "a list".into(),
        Value::Object(_) => "a table".into(),
        Value::Bool(b) => format!("`{b}`"),
        Value::Number(n) if n.is_f64() => format!("the fraction {n}"),
        other => format!("the number {other}"),
    }
}

/// What to write instead of the unknown `key`: the nearest in its own table, the same name in another table, the nearest
/// of all, or else the list of what its table has. `write` spells a key the way the reader wrote it.
fn advice(key: &str, schema: &Value, write: impl Fn(&str) -> String) -> String {
    let (table, name) = key.rsplit_once('.').unwrap_or(("", key));
    let mut known = Vec::new();
    collect("", schema, &mut known);
    let in_table = || known.iter().filter(|k| k.rsplit_once('.').map_or("", |(table, _)| table) == table);
    let leaf = |k: &str| k.rsplit('.').next().unwrap_or_default().to_string();
    let near = |a: &str, b: &str| {
        let distance = strsim::damerau_levenshtein(a, b);
        (distance * 3 <= a.chars().count().max(b.chars().count())).then_some(distance)
    };
    // `max_call` is near `max_calls`; `session_expires` is the start of `session_expires_s`: a forgotten unit.
    let close = |a: &str, b: &str| if a.len() > 2 && b.starts_with(a) { Some(1) } else { near(a, b) };

    let best = in_table()
        .filter_map(|k| Some((close(name, &leaf(k))?, k)))
        .min()
        .map(|(_, k)| k.clone())
        .or_else(|| known.iter().find(|k| k.contains('.') && leaf(k) == name).cloned())
        .or_else(|| known.iter().filter_map(|k| Some((near(key, k)?, k))).min().map(|(_, k)| k.clone()));
    if let Some(best) = best {
        return format!("did you mean `{}`?", write(&best));
    }
    let here = in_table().map(|k| format!("`{}`", write(k))).collect::<Vec<_>>();
    if here.is_empty() {
        format!("the tables are {}", tables(schema).join(", "))
    } else {
        format!("known here: {}", here.join(", "))
    }
}

fn tables(schema: &Value) -> Vec<String> {
    schema.as_object().into_iter().flatten().map(|(name, _)| format!("`{name}`")).collect()
}

/// `webhook.url` of `webhook.0.url`: the schema knows one of each list.
fn without_numbers(key: &str) -> String {
    let named = key.split('.').filter(|part| !part.bytes().all(|b| b.is_ascii_digit()));
    named.collect::<Vec<_>>().join(".")
}

fn collect(path: &str, value: &Value, out: &mut Vec<String>) {
    let value = value.get(0).unwrap_or(value);
    for (name, inner) in value.as_object().into_iter().flatten() {
        let key = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        collect(&key, inner, out);
        out.push(key);
    }
}
