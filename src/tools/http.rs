//! Tools over HTTP: JSON in, JSON out, an idempotency key with whatever changes something.

use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::spec::known;
use super::{Method, Outcome, Spec, Specs, Tools, Use};

/// Longest answer that is read.
const LONGEST: usize = 256 * 1024;
/// Pause before a use is repeated of which no answer came.
const AGAIN: Duration = Duration::from_millis(150);

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
        // Several parts of a process may do this; the first wins and all are the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let base = reqwest::Url::parse(url)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host() && url.query().is_none())
            .ok_or_else(|| Error::Url(url.to_owned()))?;
        // A back office that sends us elsewhere is wrong: where tools are is the configuration's to say.
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(2))
            .build()
            .map_err(Error::Client)?;
        Ok(Self { shared: Arc::new(Shared { specs, base, token, client }), runtime })
    }
}

impl Tools for HttpTools {
    fn specs(&self) -> &Specs {
        &self.shared.specs
    }

    fn call(&self, call: &str, what: Use, reply: Box<dyn FnOnce(Outcome) + Send>) {
        let what = Use { arguments: known(what.arguments), ..what };
        let spec = match self.shared.specs.check(&what) {
            Ok(spec) => spec.clone(),
            Err(problem) => return reply(Outcome::Invalid(problem)),
        };
        let (shared, key) = (self.shared.clone(), key(call, &what));
        self.runtime.spawn(async move {
            let limit = spec.timeout();
            let outcome = tokio::time::timeout(limit, shared.insist(&spec, &what.arguments, &key)).await;
            reply(
                outcome.unwrap_or_else(|_| {
                    Outcome::Failed(format!("`{}` took longer than {limit:?}", spec.name))
                }),
            );
        });
    }
}

/// The same for the same use of the same call, so that a repetition does nothing twice.
pub(super) fn key(call: &str, what: &Use) -> String {
    let arguments = Value::Object(what.arguments.clone()).to_string();
    let mut hash = Sha256::new();
    for part in [call, &what.tool, &arguments, &what.occasion.to_string()] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().iter().take(16).fold(String::new(), |key, byte| key + &format!("{byte:02x}"))
}

impl Shared {
    /// Once more if no answer came: the key makes it safe.
    async fn insist(&self, spec: &Spec, arguments: &Map<String, Value>, key: &str) -> Outcome {
        match self.send(spec, arguments, key).await {
            Err(first) => {
                tracing::warn!(tool = spec.name, error = %first, "a tool did not answer; asked once more");
                tokio::time::sleep(AGAIN).await;
                self.send(spec, arguments, key).await.unwrap_or_else(Outcome::Failed)
            }
            Ok(outcome) => outcome,
        }
    }

    /// The outcome, or why there was no answer.
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
