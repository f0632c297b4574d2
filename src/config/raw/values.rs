//! Values whose key tells their unit, and secrets.

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Whole milliseconds; the key ends in `_ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Millis(pub u32);

impl From<Millis> for Duration {
    fn from(ms: Millis) -> Self {
        Self::from_millis(ms.0.into())
    }
}

/// Whole seconds; the key ends in `_s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secs(pub u32);

impl From<Secs> for Duration {
    fn from(s: Secs) -> Self {
        Self::from_secs(s.0.into())
    }
}

/// A key that is never shown: it serialises as [`Secret::HIDDEN`].
#[derive(Clone, Debug)]
pub struct Secret(pub SecretString);

impl Secret {
    /// What stands in a dump instead of a key.
    pub const HIDDEN: &str = "(hidden)";

    /// True if this was copied from a dump.
    pub fn is_hidden(&self) -> bool {
        self.0.expose_secret() == Self::HIDDEN
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(Self::HIDDEN)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d).map(|key| Self(key.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_written() {
        let secret = Secret("sk-1234567".into());
        let shown = format!("{secret:?} {}", serde_json::to_string(&secret).unwrap());
        assert!(!shown.contains("1234567"), "the key leaked: {shown}");
    }
}
