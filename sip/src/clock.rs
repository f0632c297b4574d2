//! The only place in this crate that reads time. Everything sans-IO takes `now` as an argument.

use std::time::Instant;

/// The present moment on the machine's monotonic clock.
#[expect(clippy::disallowed_methods, reason = "the one place that reads time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// The time since 1970, by the machine's clock: for certificates, which are good until a date.
#[expect(clippy::disallowed_methods, reason = "the one place that reads time")]
pub(crate) fn unix_time() -> std::time::Duration {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default()
}

/// Waits until then; for ever without a moment.
pub(crate) async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
