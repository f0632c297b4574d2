//! Digest authentication (RFC 7616, RFC 8760, RFC 3261 §22): what both sides of it compute.
//! The server's side is in `registrar`.

use std::fmt::{self, Write};

use md5::Md5;
use sha2::{Digest, Sha256};

/// A hash for digest authentication.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DigestAlgorithm {
    /// SHA-256 (RFC 7616, RFC 8760).
    Sha256,
    /// MD5: broken for signatures, still what most phones and exchanges speak.
    Md5,
}

impl DigestAlgorithm {
    /// As it is spelled in a header.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "SHA-256",
            Self::Md5 => "MD5",
        }
    }

    /// A challenge that names none means MD5 (RFC 7616 §3.3).
    fn parse(name: Option<&str>) -> Option<Self> {
        match name {
            None => Some(Self::Md5),
            Some(name) if name.eq_ignore_ascii_case("MD5") => Some(Self::Md5),
            Some(name) if name.eq_ignore_ascii_case("SHA-256") => Some(Self::Sha256),
            Some(_) => None,
        }
    }

    /// The hash of the parts with colons between them, in lower-case hex.
    pub(crate) fn hash(self, parts: &[&str]) -> String {
        let text = parts.join(":");
        match self {
            Self::Sha256 => hex(&Sha256::digest(text)),
            Self::Md5 => hex(&Md5::digest(text)),
        }
    }
}

/// What proves who somebody is. Its `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// The password itself.
    Password(String),
    /// `H(user:realm:password)` in hex, for one or both hashes: the password need not be kept.
    Ha1 {
        /// By MD5, 32 digits.
        md5: Option<String>,
        /// By SHA-256, 64 digits.
        sha256: Option<String>,
    },
}

impl Secret {
    /// `HA1` for this hash, if it can be had.
    pub(crate) fn ha1(&self, algorithm: DigestAlgorithm, user: &str, realm: &str) -> Option<String> {
        let (given, digits) = match (self, algorithm) {
            (Self::Password(password), _) => return Some(algorithm.hash(&[user, realm, password])),
            (Self::Ha1 { md5, .. }, DigestAlgorithm::Md5) => (md5, 32),
            (Self::Ha1 { sha256, .. }, DigestAlgorithm::Sha256) => (sha256, 64),
        };
        let given = given.as_ref()?.to_ascii_lowercase();
        (given.len() == digits && given.bytes().all(|b| b.is_ascii_hexdigit())).then_some(given)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Password(_) => "Password(…)",
            Self::Ha1 { .. } => "Ha1(…)",
        })
    }
}

/// The parameters of a `Digest …` value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Params(Vec<(String, String)>);

impl Params {
    /// `None` for another scheme, or where the value cannot be read.
    pub(crate) fn parse(value: &str) -> Option<Self> {
        let (scheme, mut rest) = value.trim().split_once([' ', '\t'])?;
        if !scheme.eq_ignore_ascii_case("Digest") {
            return None;
        }
        let mut params = Vec::new();
        loop {
            rest = rest.trim_start_matches([' ', '\t', ',']);
            if rest.is_empty() {
                return Some(Self(params));
            }
            let (name, after) = rest.split_once('=')?;
            let after = after.trim_start();
            let (value, after) = match after.strip_prefix('"') {
                Some(quoted) => unquote(quoted)?,
                None => {
                    let end = after.find(',').unwrap_or(after.len());
                    let (value, after) = after.split_at(end);
                    (value.trim().to_owned(), after)
                }
            };
            params.push((name.trim().to_ascii_lowercase(), value));
            rest = after;
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The hash that is meant; `None` if it is not one of ours.
    pub(crate) fn algorithm(&self) -> Option<DigestAlgorithm> {
        DigestAlgorithm::parse(self.get("algorithm"))
    }
}

/// The rest of a quoted string after its first quote: its content, and what follows.
pub(crate) fn unquote(text: &str) -> Option<(String, &str)> {
    let mut out = String::new();
    let mut chars = text.char_indices();
    while let Some((i, c)) = chars.next() {
        match c {
            '"' => return Some((out, text.get(i + 1..).unwrap_or_default())),
            '\\' => out.push(chars.next()?.1),
            c => out.push(c),
        }
    }
    None
}

/// A quoted string.
pub(crate) fn quote(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// `response` of RFC 7616 §3.4.1; `fresh` is `nc` and `cnonce` for `qop=auth`, `None` for the rule of RFC 2069.
pub(crate) fn response(
    algorithm: DigestAlgorithm,
    ha1: &str,
    nonce: &str,
    fresh: Option<(&str, &str)>,
    method: &str,
    uri: &str,
) -> String {
    let ha2 = algorithm.hash(&[method, uri]);
    match fresh {
        Some((nc, cnonce)) => algorithm.hash(&[ha1, nonce, nc, cnonce, "auth", &ha2]),
        None => algorithm.hash(&[ha1, nonce, &ha2]),
    }
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// RFC 7616 §3.9.1, whose example is a GET: the formula is the same.
    #[test]
    fn the_example_of_the_rfc_comes_out_for_both_hashes() {
        let wanted = [
            (DigestAlgorithm::Md5, "8ca523f5e9506fed4657c9700eebdbec"),
            (DigestAlgorithm::Sha256, "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
        ];
        for (algorithm, response) in wanted {
            let realm = "http-auth@example.org";
            let secret = Secret::Password("Circle of Life".to_owned());
            let ha1 = secret.ha1(algorithm, "Mufasa", realm).expect("a password gives every hash");
            let fresh = Some(("00000001", "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"));
            let nonce = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v";
            let got = super::response(algorithm, &ha1, nonce, fresh, "GET", "/dir/index.html");
            assert_eq!(got, response, "{algorithm:?}");
        }
    }

    #[test]
    fn a_challenge_is_read_with_commas_and_quotes_inside_its_strings() {
        let value =
            r#"Digest realm="a, \"b\" = c",nonce=abc , qop="auth,auth-int", algorithm=SHA-256, stale=TRUE"#;
        let params = Params::parse(value).expect("a digest challenge");
        assert_eq!(params.get("realm"), Some(r#"a, "b" = c"#));
        assert_eq!((params.get("nonce"), params.algorithm()), (Some("abc"), Some(DigestAlgorithm::Sha256)));
        assert_eq!(Params::parse("Basic realm=\"x\""), None);
        assert_eq!(Params::parse("Digest realm=\"x"), None, "an open quote");
    }

    #[test]
    fn a_secret_is_not_shown_by_debug() {
        let secret = Secret::Password("hunter2".to_owned());
        let shown = format!("{secret:?} {:?}", Secret::Ha1 { md5: Some("hunter2".to_owned()), sha256: None });
        assert!(!shown.contains("hunter2"), "{shown}");
    }

    proptest! {
        #[test]
        fn no_value_makes_the_reader_panic_and_quoted_text_comes_back(value in ".{0,80}", text in "[^\r\n]{0,40}") {
            let _ = Params::parse(&format!("Digest {value}"));
            let params = Params::parse(&format!("Digest realm={}, x=y", quote(&text))).expect("a quoted realm");
            prop_assert_eq!(params.get("realm"), Some(text.as_str()));
        }
    }
}
