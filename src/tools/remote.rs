//! What all tools behind a server share, whatever it speaks: arguments are checked, a use has a time limit, is repeated once if no
//! answer came, and carries the same key each time, so that nothing is done twice.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use super::{Outcome, Spec, Specs, Use};

/// Longest answer that is taken, bytes.
pub(super) const LONGEST: usize = 256 * 1024;
/// Pause before a use is repeated of which no answer came.
const AGAIN: Duration = Duration::from_millis(150);

/// A server that tools are used at.
pub(super) trait Remote: Send + Sync + 'static {
    /// The tools that it is used for.
    fn specs(&self) -> &Specs;

    /// Uses a tool once. The outcome, or why there was no answer.
    fn send(
        &self,
        spec: &Spec,
        arguments: &Map<String, Value>,
        key: &str,
    ) -> impl Future<Output = Result<Outcome, String>> + Send;
}

/// Carries out a use for the call `call` on `runtime`; `reply` is called exactly once, within the tool's time limit.
pub(super) fn carry_out<R: Remote>(
    remote: &Arc<R>,
    runtime: &tokio::runtime::Handle,
    call: &str,
    mut what: Use,
    reply: Box<dyn FnOnce(Outcome) + Send>,
) {
    // What is not known is not sent.
    what.arguments.retain(|_, value| !value.is_null());
    let spec = match remote.specs().check(&what) {
        Ok(spec) => spec.clone(),
        Err(problem) => return reply(Outcome::Invalid(problem)),
    };
    let (remote, key) = (remote.clone(), key(call, &what));
    runtime.spawn(async move {
        let limit = spec.timeout();
        let outcome = tokio::time::timeout(limit, insist(&*remote, &spec, &what.arguments, &key)).await;
        let late = |_| Outcome::Failed(format!("`{}` took longer than {limit:?}", spec.name));
        reply(outcome.unwrap_or_else(late));
    });
}

/// Once more if no answer came: the key makes it safe.
async fn insist(remote: &impl Remote, spec: &Spec, arguments: &Map<String, Value>, key: &str) -> Outcome {
    match remote.send(spec, arguments, key).await {
        Ok(outcome) => outcome,
        Err(first) => {
            tracing::warn!(tool = spec.name, error = %first, "a tool did not answer; asked once more");
            tokio::time::sleep(AGAIN).await;
            remote.send(spec, arguments, key).await.unwrap_or_else(Outcome::Failed)
        }
    }
}

/// The same for the same use of the same call.
fn key(call: &str, what: &Use) -> String {
    let parts = serde_json::json!([call, what.tool, what.arguments, what.occasion]);
    let mut key = crate::digest::sha256(parts.to_string().as_bytes());
    key.truncate(32);
    key
}

/// `url` if it is the address of an HTTP server.
pub(super) fn address(url: &str) -> Option<reqwest::Url> {
    let url = reqwest::Url::parse(url).ok()?;
    (matches!(url.scheme(), "http" | "https") && url.has_host()).then_some(url)
}

/// A client that goes where the configuration says and nowhere else: a server that sends us elsewhere is wrong.
pub(super) fn client() -> reqwest::Result<reqwest::Client> {
    // Several parts of a process may do this; the first wins and all are the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(Duration::from_secs(2))
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_key_is_the_same_for_the_same_use_alone() {
        let what = |tool: &str, plate: &str, occasion| Use {
            tool: tool.into(),
            arguments: json!({ "plate": plate }).as_object().cloned().unwrap_or_default(),
            occasion,
        };
        let first = key("call-1", &what("book", "沪A12345", 1));
        assert_eq!(first, key("call-1", &what("book", "沪A12345", 1)));
        assert_eq!(first.len(), 32);
        for other in [
            key("call-2", &what("book", "沪A12345", 1)),
            key("call-1", &what("move", "沪A12345", 1)),
            key("call-1", &what("book", "沪A12346", 1)),
            key("call-1", &what("book", "沪A12345", 2)),
        ] {
            assert_ne!(first, other);
        }
    }
}
