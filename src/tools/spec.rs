//! What tools there are: `tools.toml` of a tenant, checked.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::Use;
use crate::dialogue::source::line_of;
use crate::dialogue::text::Lang;

/// How a tool is asked over HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// Looks up.
    Get,
    /// Makes.
    Post,
    /// Changes.
    Patch,
    /// Removes.
    Delete,
}

/// One tool.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Snake case, unique.
    pub name: String,
    /// What it gives and when to use it, for a large model.
    pub description: String,
    /// How it is asked.
    pub method: Method,
    /// Path under the base URL; `{name}` is taken from the arguments, the rest of them go to the query or the body.
    pub path: String,
    /// True if it changes something: needs the caller's yes first, and is sent with an idempotency key.
    pub changes: bool,
    /// Set if its answers are about somebody: a large model uses it for the caller's own records alone, and for any other this
    /// flow is begun, which asks who calls.
    #[serde(default)]
    pub personal: Option<String>,
    /// Longest time for an answer.
    #[serde(default = "default_timeout")]
    pub timeout_ms: u64,
    /// Said while it takes long.
    #[serde(default)]
    pub waiting: Option<String>,
    /// The same in English.
    #[serde(default)]
    pub waiting_en: Option<String>,
    /// What a seat is told of it when it was done (minijinja over `arguments` and `answer`, see `dialogue/flow/words.rs`): a few
    /// words, or none.
    #[serde(default)]
    pub told: Option<String>,
    /// The same in English.
    #[serde(default)]
    pub told_en: Option<String>,
    /// JSON Schema of the arguments, an object.
    pub parameters: Value,
}

fn default_timeout() -> u64 {
    3000
}

impl Spec {
    /// Longest time for an answer.
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }

    /// What is said while it takes long.
    pub fn waiting(&self, lang: Lang) -> Option<&str> {
        match lang {
            Lang::Zh => self.waiting.as_deref(),
            Lang::En => self.waiting_en.as_deref(),
        }
    }

    /// What a seat is told of it, as a template.
    pub fn told(&self, lang: Lang) -> Option<&str> {
        match lang {
            Lang::Zh => self.told.as_deref(),
            Lang::En => self.told_en.as_deref(),
        }
    }

    /// Names in the path.
    pub(super) fn places(&self) -> impl Iterator<Item = &str> {
        self.path.split('{').skip(1).filter_map(|rest| rest.split_once('}').map(|(name, _)| name))
    }
}

/// Why `tools.toml` cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not well formed.
    #[error("{file}:{line}: {problem}; correct it")]
    Malformed {
        /// The file.
        file: String,
        /// Line from 1.
        line: usize,
        /// What is wrong.
        problem: String,
    },
    /// A tool is wrong.
    #[error("{file}: the tool `{tool}` {problem}")]
    Tool {
        /// The file.
        file: String,
        /// The tool.
        tool: String,
        /// What is wrong and what to do.
        problem: String,
    },
}

/// All tools of a tenant.
#[derive(Clone, Debug, Default)]
pub struct Specs {
    tools: Vec<Arc<Spec>>,
    validators: BTreeMap<String, Arc<jsonschema::Validator>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    tool: Vec<Spec>,
}

impl Specs {
    /// Reads `text`, the content of `file`.
    pub fn parse(file: &str, text: &str) -> Result<Self, Error> {
        let parsed: File = toml::from_str(text).map_err(|error| Error::Malformed {
            file: file.to_owned(),
            line: line_of(text, &error),
            problem: error.message().to_owned(),
        })?;
        let mut specs = Self::default();
        for tool in parsed.tool {
            let wrong =
                |problem: String| Error::Tool { file: file.to_owned(), tool: tool.name.clone(), problem };
            let named = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            if tool.name.is_empty() || !tool.name.chars().all(named) {
                return Err(wrong("has a name that is not in snake case; rename it".into()));
            }
            if specs.find(&tool.name).is_some() {
                return Err(wrong("is there twice; rename one of them".into()));
            }
            if !tool.path.starts_with('/') || tool.path.contains("..") {
                return Err(wrong(format!(
                    "has the path `{}`; a path begins with / and has no ..",
                    tool.path
                )));
            }
            if tool.method == Method::Get && tool.changes {
                return Err(wrong(
                    "changes something by GET; use another method, or `changes = false`".into(),
                ));
            }
            if tool.method != Method::Get && !tool.changes {
                return Err(wrong("has a method that changes something; set `changes = true`".into()));
            }
            let validator = jsonschema::validator_for(&tool.parameters).map_err(|error| {
                wrong(format!("has parameters that are no JSON Schema: {error}; correct them"))
            })?;
            for place in tool.places() {
                if tool.parameters.pointer(&format!("/properties/{place}")).is_none() {
                    return Err(wrong(format!(
                        "has `{{{place}}}` in its path but no such parameter; add it"
                    )));
                }
            }
            specs.validators.insert(tool.name.clone(), Arc::new(validator));
            specs.tools.push(Arc::new(tool));
        }
        Ok(specs)
    }

    /// The tool of that name.
    pub fn find(&self, name: &str) -> Option<&Arc<Spec>> {
        self.tools.iter().find(|tool| tool.name == name)
    }

    /// All tools, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &Spec> {
        self.tools.iter().map(Arc::as_ref)
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.tools.is_empty()
    }

    /// The tool that `what` names, if it takes those arguments; else what is wrong with them, for whoever made them up.
    pub fn check(&self, what: &Use) -> Result<&Arc<Spec>, String> {
        let known = || self.iter().map(|tool| tool.name.as_str()).collect::<Vec<_>>().join(", ");
        let spec = self
            .find(&what.tool)
            .ok_or_else(|| format!("there is no tool `{}`; there are: {}", what.tool, known()))?;
        let arguments = Value::Object(what.arguments.clone());
        match self.validators.get(&what.tool).map(|v| v.validate(&arguments)) {
            Some(Err(error)) => Err(format!("`{}` does not take {}: {error}", what.tool, place(&error))),
            _ => Ok(spec),
        }
    }
}

fn place(error: &jsonschema::ValidationError<'_>) -> String {
    let path = error.instance_path().to_string();
    if path.is_empty() {
        "these arguments".into()
    } else {
        format!("this `{}`", path.trim_start_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const BOOK: &str = r#"
[[tool]]
name = "move"
description = "moves a booking"
method = "PATCH"
path = "/bookings/{id}"
changes = true
[tool.parameters]
type = "object"
required = ["id"]
additionalProperties = false
[tool.parameters.properties]
id = { type = "string", pattern = "^[0-9]{6}$" }
start = { type = "string" }
"#;

    fn used(tool: &str, arguments: Value) -> Use {
        let Value::Object(arguments) = arguments else { panic!("arguments are an object") };
        Use { tool: tool.into(), arguments, occasion: 0 }
    }

    #[test]
    fn arguments_are_checked_against_the_schema() {
        let specs = Specs::parse("tools.toml", BOOK).expect("it is well formed");
        assert!(specs.check(&used("move", json!({"id": "123456"}))).is_ok());
        for (tool, arguments, says) in [
            ("move", json!({}), "id"),
            ("move", json!({"id": "12"}), "`id`"),
            ("move", json!({"id": "123456", "url": "http://evil"}), "url"),
            ("drop_all", json!({}), "there are: move"),
        ] {
            let error = specs.check(&used(tool, arguments)).expect_err("it must be refused");
            assert!(error.contains(says), "{error} does not say {says}");
        }
    }

    #[test]
    fn a_wrong_file_is_refused_with_the_reason() {
        for (from, to, says) in [
            ("PATCH", "GET", "GET"),
            ("changes = true", "changes = false", "changes = true"),
            ("/bookings/{id}", "/bookings/{nr}", "nr"),
            ("/bookings/{id}", "http://evil/{id}", "path"),
            ("\"object\"", "\"objekt\"", "JSON Schema"),
            ("name = \"move\"", "name = \"Move it\"", "snake"),
            ("changes = true", "chnges = true", "tools.toml:7"),
        ] {
            let error =
                Specs::parse("tools.toml", &BOOK.replace(from, to)).expect_err("it is wrong").to_string();
            assert!(error.contains(says), "{error} does not say {says}");
        }
        let twice = Specs::parse("tools.toml", &format!("{BOOK}{BOOK}")).expect_err("twice").to_string();
        assert!(twice.contains("twice"), "{twice}");
    }
}
