//! Texts and expressions of a flow: minijinja with the filters that speech needs.
//!
//! `{{ date|day }}` 明天，十一月二十五号周三; `{{ start|clock }}` 下午两点半; `{{ plate|plate }}`; `{{ phone|tail }}` 尾号…; `{{ id|digits }}` 五三零一一八;
//! `{{ names|several }}` 甲、乙，或者丙; `{{ times|sparse(3)|clocks }}` three of many times. The context holds `lang` (`zh`, `en`), `today`, `now`, `caller`, facts, slots, and what tools answered.

use minijinja::value::Serde;
use minijinja::{Environment, Error, ErrorKind, State, UndefinedBehavior, Value};

use crate::dialogue::slots;
use crate::dialogue::text::Lang;

/// The environment.
#[derive(Debug)]
pub(in crate::dialogue) struct Words(Environment<'static>);

impl Default for Words {
    fn default() -> Self {
        Self::new()
    }
}

impl Words {
    pub(super) fn new() -> Self {
        let mut environment = Environment::new();
        // What is not known is false in a condition; in a text it would be a gap that nobody hears.
        environment.set_undefined_behavior(UndefinedBehavior::Chainable);
        environment.add_filter("day", day);
        environment.add_filter("clock", clock);
        environment
            .add_filter("plate", |state: &State<'_, '_>, text: &str| slots::spoken_plate(text, lang(state)));
        environment.add_filter("tail", |state: &State<'_, '_>, text: &str| {
            slots::spoken_phone_tail(text, lang(state))
        });
        environment.add_filter("digits", |state: &State<'_, '_>, text: &str| {
            slots::spoken_digits(text, lang(state))
        });
        environment.add_filter("several", several);
        environment.add_filter("clocks", clocks);
        // What is not known is as long as nothing.
        environment.add_filter("length", |value: Value| value.len().unwrap_or(0));
        environment.add_filter("sparse", sparse);
        environment.add_filter("take", |list: Vec<Value>, most: usize| {
            list.into_iter().take(most).collect::<Vec<_>>()
        });
        environment.add_filter("field", |list: Value, name: &str| match list.try_iter() {
            Ok(list) => list.map(|item| item.get_attr(name)).collect::<Result<Vec<_>, _>>(),
            Err(_) => Ok(Vec::new()),
        });
        Self(environment)
    }

    pub(in crate::dialogue) fn check_expression(&self, source: &str) -> Result<(), Error> {
        self.0.compile_expression(source).map(drop)
    }

    pub(in crate::dialogue) fn check_text(&self, source: &str) -> Result<(), Error> {
        self.0.template_from_str(source).map(drop)
    }

    /// The value of an expression; null if it has none.
    pub(in crate::dialogue) fn value(
        &self,
        source: &str,
        context: &serde_json::Value,
    ) -> Result<serde_json::Value, Error> {
        let value = self.0.compile_expression(source)?.eval(Serde(context))?;
        if value.is_undefined() {
            return Ok(serde_json::Value::Null);
        }
        serde_json::to_value(&value)
            .map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string()))
    }

    /// Whether an expression holds.
    pub(in crate::dialogue) fn holds(
        &self,
        source: &str,
        context: &serde_json::Value,
    ) -> Result<bool, Error> {
        Ok(self.0.compile_expression(source)?.eval(Serde(context))?.is_true())
    }

    /// A text with its values.
    pub(in crate::dialogue) fn text(
        &self,
        source: &str,
        context: &serde_json::Value,
    ) -> Result<String, Error> {
        let text = self.0.render_str(source, Serde(context))?;
        Ok(text.lines().map(str::trim).collect::<Vec<_>>().join(""))
    }
}

fn lang(state: &State<'_, '_>) -> Lang {
    match state.lookup("lang").as_ref().and_then(Value::as_str) {
        Some("en") => Lang::En,
        _ => Lang::Zh,
    }
}

fn day(state: &State<'_, '_>, date: &str) -> Result<String, Error> {
    let today = state.lookup("today").as_ref().and_then(Value::as_str).and_then(|day| day.parse().ok());
    let (Some(today), Ok(date)) = (today, date.get(..10).unwrap_or(date).parse::<jiff::civil::Date>()) else {
        return Err(Error::new(ErrorKind::InvalidOperation, format!("`{date}` is no date")));
    };
    Ok(slots::spoken_date(date, today, lang(state)))
}

/// Of a time `14:30`, or of a local date and time `2026-11-25T14:30`.
fn clock(state: &State<'_, '_>, time: &str) -> Result<String, Error> {
    let time = time.rsplit_once('T').map_or(time, |(_, time)| time);
    let time: jiff::civil::Time =
        time.parse().map_err(|_| Error::new(ErrorKind::InvalidOperation, format!("`{time}` is no time")))?;
    Ok(slots::spoken_clock(time, lang(state)))
}

/// Of a list of times.
fn clocks(state: &State<'_, '_>, list: Vec<Value>) -> Result<Vec<String>, Error> {
    list.iter().map(|time| clock(state, time.as_str().unwrap_or_default())).collect()
}

/// So many of a list, spread over it: the first, the last, and some between.
fn sparse(list: Vec<Value>, most: usize) -> Vec<Value> {
    let last = list.len().saturating_sub(1);
    let mut places: Vec<usize> = match most {
        0 => Vec::new(),
        1 => vec![0],
        _ => (0..most).map(|n| n * last / (most - 1)).collect(),
    };
    places.dedup();
    places.into_iter().filter_map(|place| list.get(place).cloned()).collect()
}

/// 甲、乙和丙; A, B or C: as one offers a choice.
fn several(state: &State<'_, '_>, list: Vec<Value>) -> String {
    let mut words: Vec<String> = list.iter().map(ToString::to_string).collect();
    let (comma, and) = if lang(state) == Lang::En { (", ", " or ") } else { ("、", "，或者") };
    let last = words.pop().unwrap_or_default();
    if words.is_empty() { last } else { format!("{}{and}{last}", words.join(comma)) }
}
