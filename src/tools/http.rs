//! Tools over HTTP: JSON in, JSON out, an idempotency key with whatever changes something.

use std::sync::Arc;

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value};

use super::remote::{LONGEST, Remote, address, carry_out, client};
use super::{Method, Outcome, Spec, Specs, Tools, Use};

/// Why the tools cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The URL is wrong.
    #[error("tools.url `{0}` is not an http or https address; give the base, e.g. http://127.0.0.1:8700")]
    Url(String),
    /// The HTTP client cannot start.
    #[error("cannot start the HTTP client for tools.url: {0}; check the TLS settings of this machine")]
    Client(reqwest::Error),
}

/// The back office behind one URL. Cheap to clone.
#[derive(Clone)]
pub struct HttpTools {
    shared: Arc<Shared>,
    runtime: tokio::runtime::Handle,
}

struct Shared {
    specs: Specs,
    base: reqwest::Url,
    token: Option<SecretString>,
    client: reqwest::Client,
}

impl HttpTools {
    /// Prepares the client; connects only when a tool is used.
    pub fn new(
        specs: Specs,
        url: &str,
        token: Option<SecretString>,
        runtime: tokio::runtime::Handle,
    ) -> Result<Self, Error> {
        let base =
            address(url).filter(|url| url.query().is_none()).ok_or_else(|| Error::Url(url.to_owned()))?;
        let client = client().map_err(Error::Client)?;
        Ok(Self { shared: Arc::new(Shared { specs, base, token, client }), runtime })
    }
}

impl Tools for HttpTools {
    fn specs(&self) -> &Specs {
        &self.shared.specs
    }

    fn call(&self, call: &str, what: Use, reply: Box<dyn FnOnce(Outcome) + Send>) {
        carry_out(&self.shared, &self.runtime, call, what, reply);
    }
}

impl Remote for Shared {
    fn specs(&self) -> &Specs {
        &self.specs
    }

    async fn send(&self, spec: &Spec, arguments: &Map<String, Value>, key: &str) -> Result<Outcome, String> {
        let mut rest = arguments.clone();
        let mut url = self.base.clone();
        {
            let mut path = url.path_segments_mut().map_err(|()| "the base URL has no path".to_owned())?;
            path.pop_if_empty();
            for segment in spec.path.split('/').filter(|segment| !segment.is_empty()) {
                match segment.strip_prefix('{').and_then(|s| s.strip_suffix('}')) {
                    // A segment is escaped as a whole: nothing in an argument leaves its place.
                    Some(name) => path.push(&plain(&rest.remove(name).unwrap_or_default())),
                    None => path.push(segment),
                };
            }
        }
        let query = matches!(spec.method, Method::Get | Method::Delete);
        if query && !rest.is_empty() {
            url.query_pairs_mut().extend_pairs(rest.iter().map(|(name, value)| (name, plain(value))));
        }
        let method = match spec.method {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
            Method::Patch => reqwest::Method::PATCH,
            Method::Delete => reqwest::Method::DELETE,
        };
        let mut request = self.client.request(method, url);
        if !query {
            request = request.json(&rest);
        }
        if spec.changes {
            request = request.header("Idempotency-Key", key);
        }
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.expose_secret());
        }
        let mut response = request.send().await.map_err(|error| error.without_url().to_string())?;
        let status = response.status();
        if status.is_server_error() || status == reqwest::StatusCode::TOO_MANY_REQUESTS {
            return Err(format!("it answered with HTTP {status}"));
        }
        let mut body = Vec::new();
        while let Some(part) = response.chunk().await.map_err(|error| error.without_url().to_string())? {
            body.extend_from_slice(&part);
            if body.len() > LONGEST {
                return Ok(Outcome::Failed(format!("its answer is longer than {LONGEST} bytes")));
            }
        }
        let answer: Value = if body.is_empty() {
            Value::Null
        } else {
            match serde_json::from_slice(&body) {
                Ok(answer) => answer,
                Err(error) => {
                    return Ok(Outcome::Failed(format!("HTTP {status}, and its answer is no JSON: {error}")));
                }
            }
        };
        Ok(match status.as_u16() {
            200..=299 => Outcome::Done(answer),
            401 | 403 => Outcome::Failed(format!("HTTP {status}; check tools.token")),
            300..=399 => Outcome::Failed(format!("it sends elsewhere (HTTP {status}); correct tools.url")),
            _ => {
                let code = answer.get("code").and_then(Value::as_str).unwrap_or("refused").to_owned();
                Outcome::Refused { code, answer }
            }
        })
    }
}

/// A value as it stands in a URL.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
