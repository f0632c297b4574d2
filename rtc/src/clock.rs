//! The only place in this crate that reads time.

use std::time::Instant;

/// The present moment on the machine's monotonic clock.
#[expect(clippy::disallowed_methods, reason = "the one place that reads time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
