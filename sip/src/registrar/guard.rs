//! Who may register: nonces, digests, and a limit on guessing (RFC 7616, RFC 3261 §22).
//!
//! A nonce carries its own proof, so that asking for one costs us no memory: the time it was made, a random part, and
//! a keyed hash over both, the asker's address and the realm. Only a nonce that came with a right answer is kept, for
//! its count. Every refusal takes the same work and looks the same, whether the user exists or not.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use rand::Rng;
use rand::rngs::StdRng;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{Account, RegistrarConfig};
use crate::digest::{self, DigestAlgorithm, Params, hex, quote};
use crate::error::Error;
use crate::message::{Request, SipUri};

/// Most nonces whose counts are kept; the oldest goes first and is then stale.
const MAX_COUNTS: usize = 16_384;
/// Most addresses whose failures are kept.
const MAX_SOURCES: usize = 4096;

/// What is decided of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is this user.
    Allowed(String),
    /// It has to say who it is.
    Challenge { stale: bool },
    /// It said so, and it is not true.
    Wrong,
    /// Too many failures from there; not looked at.
    Locked(Duration),
}

/// `HA1` of an account by each hash that is offered.
struct Keys {
    realm: String,
    ha1: HashMap<DigestAlgorithm, String>,
}

#[derive(Clone, Copy)]
struct Failures {
    count: u32,
    until: Instant,
}

pub(super) struct Guard {
    realm: String,
    /// Realms of accounts that have their own.
    realms: Vec<String>,
    algorithms: Vec<DigestAlgorithm>,
    nonce_life: Duration,
    max_failures: u32,
    failure_window: Duration,
    accounts: HashMap<String, Keys>,
    /// Stands for the accounts that do not exist.
    decoy: HashMap<DigestAlgorithm, String>,
    key: [u8; 32],
    /// Nonces tell their age from here.
    epoch: Option<Instant>,
    /// The last count of each nonce that was used.
    counts: HashMap<String, u32>,
    /// When they are forgotten.
    count_ends: BTreeSet<(Instant, String)>,
    failures: HashMap<IpAddr, Failures>,
}

impl Guard {
    pub(super) fn new(
        accounts: &[Account],
        config: &RegistrarConfig,
        rng: &mut StdRng,
    ) -> Result<Self, Error> {
        let bad =
            |user: &str, reason: &str| Error::Account { user: user.to_owned(), reason: reason.to_owned() };
        let mut keys: HashMap<String, Keys> = HashMap::new();
        let mut realms: Vec<String> = Vec::new();
        for account in accounts {
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_.!~*+".contains(c);
            if account.user.is_empty() || account.user.len() > 64 || !account.user.chars().all(plain) {
                return Err(bad(&account.user, "its name has to be 1 to 64 of A–Z a–z 0–9 - _ . ! ~ * +"));
            }
            let realm = account.realm.clone().unwrap_or_else(|| config.realm.clone());
            if realm.is_empty() || realm.chars().any(char::is_control) {
                return Err(bad(&account.user, "its realm is empty or has control characters"));
            }
            if realm != config.realm && !realms.contains(&realm) {
                realms.push(realm.clone());
            }
            let mut ha1 = HashMap::new();
            for &algorithm in &config.algorithms {
                let Some(value) = account.secret.ha1(algorithm, &account.user, &realm) else {
                    let reason =
                        format!("{} is offered to all, and its HA1 is missing or no hex", algorithm.as_str());
                    return Err(bad(&account.user, &reason));
                };
                ha1.insert(algorithm, value);
            }
            if keys.insert(account.user.clone(), Keys { realm, ha1 }).is_some() {
                return Err(bad(&account.user, "there are two of that name"));
            }
        }
        if config.algorithms.is_empty() {
            return Err(bad("", "no digest algorithm is offered"));
        }
        let mut decoy = HashMap::new();
        for &algorithm in &config.algorithms {
            decoy.insert(algorithm, algorithm.hash(&[&rng.random::<u128>().to_string()]));
        }
        Ok(Self {
            realm: config.realm.clone(),
            realms,
            algorithms: config.algorithms.clone(),
            nonce_life: config.nonce_life,
            max_failures: config.max_failures,
            failure_window: config.failure_window,
            accounts: keys,
            decoy,
            key: rng.random(),
            epoch: None,
            counts: HashMap::new(),
            count_ends: BTreeSet::new(),
            failures: HashMap::new(),
        })
    }

    pub(super) fn has(&self, user: &str) -> bool {
        self.accounts.contains_key(user)
    }

    /// Looks at the credentials of a request that speaks for the user of `aor`.
    pub(super) fn check(
        &mut self,
        now: Instant,
        source: IpAddr,
        request: &Request,
        aor: &SipUri<'_>,
    ) -> Verdict {
        let source = network(source);
        if let Some(wait) = self.locked(now, source) {
            return Verdict::Locked(wait);
        }
        let realm = self.realm_for(aor).to_owned();
        let found = request
            .headers
            .all("Authorization")
            .filter_map(Params::parse)
            .find(|params| params.get("realm") == Some(&realm));
        let Some(params) = found else { return Verdict::Challenge { stale: false } };
        let nonce = params.get("nonce").unwrap_or_default();
        let Some(age) = self.age(now, source, &realm, nonce) else {
            // Not a nonce that we gave to this address. Whether its digest is right is not looked at: that would tell
            // a guesser what the limit on failures does not see, and let a forged address lock somebody out.
            return Verdict::Challenge { stale: true };
        };
        let Some((user, count)) = self.verify(&params, &realm, request, aor) else {
            self.failed(now, source);
            return Verdict::Wrong;
        };
        if age > self.nonce_life || self.counts.get(nonce).is_some_and(|last| count <= *last) {
            // Too old, or a copy of a request that was taken already.
            return Verdict::Challenge { stale: true };
        }
        self.counted(now, nonce, count, self.nonce_life.saturating_sub(age));
        Verdict::Allowed(user)
    }

    /// The user and the count, if the digest is right. The same work is done for a user who does not exist.
    fn verify(
        &self,
        params: &Params,
        realm: &str,
        request: &Request,
        aor: &SipUri<'_>,
    ) -> Option<(String, u32)> {
        let algorithm = params.algorithm().filter(|a| self.algorithms.contains(a))?;
        let (nonce, uri) = (params.get("nonce")?, params.get("uri")?);
        let (nc, cnonce) = (params.get("nc")?, params.get("cnonce")?);
        let user = params.get("username").unwrap_or_default();
        let keys = self.accounts.get(user).filter(|keys| keys.realm == realm);
        let ha1 = keys.and_then(|keys| keys.ha1.get(&algorithm)).or_else(|| self.decoy.get(&algorithm))?;
        let wanted =
            digest::response(algorithm, ha1, nonce, Some((nc, cnonce)), request.method.as_str(), uri);
        let given = params.get("response").unwrap_or_default().to_ascii_lowercase();
        let same: bool = wanted.as_bytes().ct_eq(given.as_bytes()).into();
        let count = u32::from_str_radix(nc, 16).ok().filter(|count| nc.len() == 8 && *count > 0);
        let meant = same_place(uri, &request.uri);
        let whole = params.get("qop").is_some_and(|qop| qop.eq_ignore_ascii_case("auth"));
        let ours = keys.is_some() && user == aor.user;
        (same && ours && meant && whole).then_some((user.to_owned(), count?))
    }

    /// The values of `WWW-Authenticate`: one for each hash, the better one first (RFC 8760 §2.3).
    pub(super) fn challenges(
        &mut self,
        now: Instant,
        source: IpAddr,
        aor: &SipUri<'_>,
        stale: bool,
        rng: &mut StdRng,
    ) -> Vec<String> {
        let realm = self.realm_for(aor).to_owned();
        let nonce = self.nonce(now, network(source), &realm, rng);
        let stale = if stale { ", stale=true" } else { "" };
        let value = |algorithm: &DigestAlgorithm| {
            let name = algorithm.as_str();
            format!(
                "Digest realm={}, nonce=\"{nonce}\", algorithm={name}, qop=\"auth\"{stale}",
                quote(&realm)
            )
        };
        self.algorithms.iter().map(value).collect()
    }

    /// By the host alone: the realm must not tell which users exist.
    fn realm_for(&self, aor: &SipUri<'_>) -> &str {
        self.realms.iter().find(|realm| realm.eq_ignore_ascii_case(aor.host)).unwrap_or(&self.realm)
    }

    fn nonce(&mut self, now: Instant, source: IpAddr, realm: &str, rng: &mut StdRng) -> String {
        let epoch = *self.epoch.get_or_insert(now);
        let made = now.saturating_duration_since(epoch).as_millis() as u64;
        let stem = format!("{made:016x}{:016x}", rng.random::<u64>());
        let seal = self.seal(&stem, source, realm);
        stem + &seal
    }

    fn seal(&self, stem: &str, source: IpAddr, realm: &str) -> String {
        let mut hash = Sha256::new();
        hash.update(self.key);
        hash.update(format!("{stem} {source} {realm}"));
        hash.update(self.key);
        hex(hash.finalize().get(..16).unwrap_or_default())
    }

    /// How old a nonce is, if we gave it to this address for this realm.
    fn age(&self, now: Instant, source: IpAddr, realm: &str, nonce: &str) -> Option<Duration> {
        let (stem, seal) = (nonce.get(..32)?, nonce.get(32..)?);
        if !bool::from(self.seal(stem, source, realm).as_bytes().ct_eq(seal.as_bytes())) {
            return None;
        }
        let made = Duration::from_millis(u64::from_str_radix(stem.get(..16)?, 16).ok()?);
        Some(now.saturating_duration_since(self.epoch?).saturating_sub(made))
    }

    fn counted(&mut self, now: Instant, nonce: &str, count: u32, life: Duration) {
        while self.count_ends.first().is_some_and(|(end, _)| *end < now || self.counts.len() >= MAX_COUNTS)
            && let Some((_, nonce)) = self.count_ends.pop_first()
        {
            self.counts.remove(&nonce);
        }
        if self.counts.insert(nonce.to_owned(), count).is_none() {
            // A second more: it must not be forgotten before it is too old.
            self.count_ends.insert((now + life + Duration::from_secs(1), nonce.to_owned()));
        }
    }

    fn locked(&self, now: Instant, source: IpAddr) -> Option<Duration> {
        let failures = self.failures.get(&source)?;
        let wait = failures.until.saturating_duration_since(now);
        (failures.count >= self.max_failures && !wait.is_zero()).then_some(wait)
    }

    fn failed(&mut self, now: Instant, source: IpAddr) {
        if self.failures.len() >= MAX_SOURCES && !self.failures.contains_key(&source) {
            self.failures.retain(|_, failures| failures.until > now);
            let first = self.failures.iter().min_by_key(|(_, failures)| failures.until).map(|(ip, _)| *ip);
            if self.failures.len() >= MAX_SOURCES
                && let Some(first) = first
            {
                self.failures.remove(&first);
            }
        }
        let until = now + self.failure_window;
        let failures = self.failures.entry(source).or_insert(Failures { count: 0, until });
        if failures.until <= now {
            *failures = Failures { count: 0, until };
        }
        failures.count += 1;
        if failures.count == self.max_failures {
            failures.until = until;
            tracing::warn!(%source, "too many failed registrations; the address has to wait");
        }
    }
}

/// What one guesser can have many of: a whole /64 of IPv6 is one source.
fn network(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => IpAddr::V4(v4),
            None => IpAddr::from((u128::from(v6) & !u128::from(u64::MAX)).to_be_bytes()),
        },
    }
}

/// Whether the URI of the digest is the one of the request (RFC 7616 §3.4.6). Phones differ in whether they write the
/// usual port, so that is not looked at.
fn same_place(one: &str, other: &str) -> bool {
    match (SipUri::parse(one), SipUri::parse(other)) {
        (Some(one), Some(other)) => one.user == other.user && one.host.eq_ignore_ascii_case(other.host),
        _ => false,
    }
}
