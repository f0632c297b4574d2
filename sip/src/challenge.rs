//! The client's side of digest authentication: which challenge to answer, and how (RFC 3261 §22, RFC 8760).

use std::fmt::Write;

use crate::digest::{DigestAlgorithm, Params, Secret, quote, response};
use crate::message::Headers;

/// What we show when a peer asks who we are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The realm that they are for. `None` answers every realm, and so everybody who is called: better name it.
    pub realm: Option<String>,
    /// The name of the account.
    pub user: String,
    /// Its password.
    pub secret: Secret,
}

/// A challenge that we can answer, with what we answer it with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Challenge {
    proxy: bool,
    user: String,
    ha1: String,
    realm: String,
    nonce: String,
    opaque: Option<String>,
    algorithm: DigestAlgorithm,
    /// The challenge named its hash, so the answer has to.
    named: bool,
    qop: bool,
    /// Our credentials were right, only the nonce was old.
    pub(crate) stale: bool,
    uses: u32,
}

impl Challenge {
    /// The first challenge of a 401 or 407 that we have credentials for (RFC 8760 §2.4: the sender's order is kept).
    pub(crate) fn pick(code: u16, headers: &Headers, credentials: &[Credentials]) -> Option<Self> {
        let proxy = code == 407;
        let name = if proxy { "Proxy-Authenticate" } else { "WWW-Authenticate" };
        headers.all(name).find_map(|value| {
            let params = Params::parse(value)?;
            let algorithm = params.algorithm()?;
            let (realm, nonce) = (params.get("realm")?, params.get("nonce")?);
            let qop = match params.get("qop") {
                None => false,
                Some(qop) if qop.split(',').any(|q| q.trim().eq_ignore_ascii_case("auth")) => true,
                // Only auth-int, which nobody speaks.
                Some(_) => return None,
            };
            let fits =
                |c: &&Credentials| c.realm.as_ref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(realm));
            // Credentials for this very realm come before those for any.
            let named = credentials.iter().filter(|c| c.realm.is_some()).find(fits);
            let credentials = named.or_else(|| credentials.iter().find(fits))?;
            Some(Self {
                proxy,
                user: credentials.user.clone(),
                ha1: credentials.secret.ha1(algorithm, &credentials.user, realm)?,
                realm: realm.to_owned(),
                nonce: nonce.to_owned(),
                opaque: params.get("opaque").map(str::to_owned),
                algorithm,
                named: params.get("algorithm").is_some(),
                qop,
                stale: params.get("stale").is_some_and(|stale| stale.eq_ignore_ascii_case("true")),
                uses: 0,
            })
        })
    }

    /// The header that the answer goes into.
    pub(crate) fn header(&self) -> &'static str {
        if self.proxy { "Proxy-Authorization" } else { "Authorization" }
    }

    /// The value of that header for one request; each use of a nonce has its own count.
    pub(crate) fn answer(&mut self, method: &str, uri: &str, cnonce: &str) -> String {
        self.uses += 1;
        let count = format!("{:08x}", self.uses);
        let fresh = self.qop.then_some((count.as_str(), cnonce));
        let response = response(self.algorithm, &self.ha1, &self.nonce, fresh, method, uri);
        let mut out = format!(
            "Digest username={}, realm={}, nonce={}, uri={}, response=\"{response}\"",
            quote(&self.user),
            quote(&self.realm),
            quote(&self.nonce),
            quote(uri),
        );
        if self.named {
            let _ = write!(out, ", algorithm={}", self.algorithm.as_str());
        }
        if let Some((count, cnonce)) = fresh {
            let _ = write!(out, ", cnonce={}, qop=auth, nc={count}", quote(cnonce));
        }
        if let Some(opaque) = &self.opaque {
            let _ = write!(out, ", opaque={}", quote(opaque));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(values: &[&str]) -> Headers {
        values.iter().fold(Headers::default(), |headers, value| headers.with("WWW-Authenticate", *value))
    }

    #[test]
    fn the_first_challenge_that_can_be_answered_is_and_credentials_of_its_realm_go_first() {
        let any =
            Credentials { realm: None, user: "any".to_owned(), secret: Secret::Password("1".to_owned()) };
        let named = Credentials { realm: Some("pbx".to_owned()), user: "named".to_owned(), ..any.clone() };
        let headers = headers(&[
            r#"Digest realm="pbx", nonce="n", algorithm=SHA-512-256"#,
            r#"Digest realm="pbx", nonce="n", algorithm=SHA-256, qop="auth-int""#,
            r#"Digest realm="pbx", nonce="n", algorithm=SHA-256, qop="auth", opaque="o""#,
            r#"Digest realm="pbx", nonce="n""#,
        ]);
        let both = [any.clone(), named];
        let mut challenge = Challenge::pick(401, &headers, &both).expect("one of the four");
        let answer = challenge.answer("REGISTER", "sip:pbx", "c");
        assert!(answer.starts_with("Digest username=\"named\", realm=\"pbx\""), "{answer}");
        assert!(
            answer.contains("algorithm=SHA-256, cnonce=\"c\", qop=auth, nc=00000001, opaque=\"o\""),
            "{answer}"
        );
        assert!(challenge.answer("REGISTER", "sip:pbx", "c").contains("nc=00000002"), "each use counts");
        assert_eq!(Challenge::pick(407, &headers, &both), None, "a 407 has another header");
        let only_md5 = Credentials { secret: Secret::Ha1 { md5: Some("0".repeat(32)), sha256: None }, ..any };
        let mut old = Challenge::pick(401, &headers, &[only_md5]).expect("the last");
        let answer = old.answer("REGISTER", "sip:pbx", "c");
        assert!(!answer.contains("qop") && !answer.contains("algorithm"), "{answer}");
    }
}
