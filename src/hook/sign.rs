//! The signature: HMAC-SHA256 (RFC 2104) over the time of sending and the body.

use hmac::{Hmac, Mac as _};
use sha2::Sha256;

use crate::digest::hexadecimal;

/// The header.
pub const SIGNATURE: &str = "X-Nightline-Signature";

/// `t=UNIX,v1=HEX`: `unix` is the time of sending in seconds, HEX the HMAC-SHA256 of `UNIX.BODY` with `secret` as key.
pub fn sign(secret: &str, unix: i64, body: &str) -> String {
    // HMAC takes keys of every length.
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).map(|mut mac| {
        mac.update(unix.to_string().as_bytes());
        mac.update(b".");
        mac.update(body.as_bytes());
        mac.finalize().into_bytes()
    });
    format!("t={unix},v1={}", mac.map(|mac| hexadecimal(&mac)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_what_other_programs_compute() {
        // printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac secret
        assert_eq!(
            sign("secret", 1_700_000_000, "{\"a\":1}"),
            "t=1700000000,v1=49f24e537407743fa4a0242bb63b94b9a47ee99cbbe071ccd8a22550ae411686"
        );
    }

    #[test]
    fn another_time_body_or_secret_gives_another_signature() {
        let first = sign("secret", 1, "a");
        for other in [sign("secret", 2, "a"), sign("secret", 1, "b"), sign("other", 1, "a")] {
            assert_ne!(first.split_once(",v1="), other.split_once(",v1="));
        }
    }
}
