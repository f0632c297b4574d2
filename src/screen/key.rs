//! What opens the page of one call: HMAC-SHA256 (RFC 2104) of the call's id.

use hmac::{Hmac, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;

use crate::digest::{from_hexadecimal, hexadecimal};

/// Makes and checks keys.
pub(super) struct Keys(Hmac<Sha256>);

impl Keys {
    /// Keys made with `secret`, or with one that is drawn now.
    pub fn new(secret: Option<&SecretString>) -> Self {
        let drawn: [u8; 32] = rand::random();
        let secret = secret.map_or(&drawn[..], |secret| secret.expose_secret().as_bytes());
        Self(Hmac::new_from_slice(secret).unwrap_or_else(|_| unreachable!("HMAC takes keys of every length")))
    }

    /// 64 hexadecimal digits.
    pub fn key(&self, call: &str) -> String {
        hexadecimal(&self.of(call).finalize().into_bytes())
    }

    /// Whether `key` opens `call`. Takes as long for every wrong key of that length.
    pub fn fits(&self, call: &str, key: &str) -> bool {
        from_hexadecimal(key).is_some_and(|bytes| self.of(call).verify_slice(&bytes).is_ok())
    }

    fn of(&self, call: &str) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        mac.update(call.as_bytes());
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_what_other_programs_compute() {
        // printf 0191-a | openssl dgst -sha256 -hmac a-secret-of-the-house
        let keys = Keys::new(Some(&"a-secret-of-the-house".into()));
        assert_eq!(keys.key("0191-a"), "1a189ebd4100b0ee9b3258a97eb2866a31e17e0630173132b51fa521fafebb03");
    }

    #[test]
    fn a_key_opens_its_own_call_alone() {
        let keys = Keys::new(None);
        let key = keys.key("0191-a");
        assert!(keys.fits("0191-a", &key));
        assert!(!keys.fits("0191-b", &key), "another call");
        assert!(!Keys::new(None).fits("0191-a", &key), "another start");
        let changed = key.replace(&key[..1], if key.starts_with('0') { "1" } else { "0" });
        for wrong in ["", "00", &key[..62], &key[..63], &format!("{key}00"), &changed, "ключ", "zz"] {
            assert!(!keys.fits("0191-a", wrong), "{wrong}");
        }
    }
}
