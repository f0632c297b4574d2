//! Who may open a stream: the token, a limit on guessing it, and one on streams that have not said who they are.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;

use crate::clock::{Clock, Time};
use crate::digest::{from_hexadecimal, hexadecimal};

/// Streams that have not said who they are.
pub(super) const OPENING: usize = 64;
/// The same from one address.
const OPENING_FROM_ONE: usize = 16;
/// Wrong tokens that an address may bring before it is told so no more.
const GUESSES: u32 = 10;
/// For so long.
pub(super) const LOCKED: Duration = Duration::from_secs(60);
/// Addresses that are remembered.
const REMEMBERED: usize = 4096;

/// Knows the token, and who has guessed at it.
pub(super) struct Keeper {
    /// Made with the token as its key. What is compared is made with what was brought, so that where the two first differ tells
    /// nothing of the token.
    token: Hmac<Sha256>,
    guesses: Mutex<HashMap<IpAddr, (u32, Time)>>,
    clock: Clock,
}

/// What is to be said of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is the one.
    Right,
    /// It is missing or wrong.
    Wrong,
    /// The same, and too many were wrong from there.
    Locked,
}

/// Whom a pass is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bearer {
    /// A caller with this number or address.
    Caller,
    /// This seat.
    Seat,
}

impl Keeper {
    pub(super) fn new(token: &SecretString) -> Self {
        Self { token: keyed(token.expose_secret()), guesses: Mutex::default(), clock: Clock::start() }
    }

    /// Whether the token is among what was brought. A right one is always taken: behind a proxy all come from one address.
    pub(super) fn judge(&self, from: IpAddr, brought: impl IntoIterator<Item = String>) -> Verdict {
        if brought.into_iter().any(|brought| self.is_token(&brought)) {
            return Verdict::Right;
        }
        let now = self.clock.now();
        let mut guesses = self.guesses.lock().unwrap_or_else(PoisonError::into_inner);
        guesses.retain(|_, (_, last)| now.saturating_since(*last) < LOCKED);
        if guesses.get(&from).is_some_and(|(wrong, _)| *wrong >= GUESSES) {
            return Verdict::Locked;
        }
        if guesses.len() < REMEMBERED || guesses.contains_key(&from) {
            let entry = guesses.entry(from).or_insert((0, now));
            *entry = (entry.0 + 1, now);
        }
        Verdict::Wrong
    }

    /// A pass for `bearer`, good until `until` (seconds since 1970): `UNTIL.SIGNATURE.NAME`. Who has it knows nothing of the token and can
    /// be nobody else.
    pub(super) fn pass(&self, bearer: Bearer, name: &str, until: u64) -> String {
        let signature = hexadecimal(&self.signed(bearer, name, until).finalize().into_bytes());
        format!("{until}.{signature}.{name}")
    }

    /// The name of the `bearer` that a pass was made for, if it is one of ours and not over at `now`.
    pub(super) fn bearer_of(&self, bearer: Bearer, pass: &str, now: u64) -> Option<String> {
        let (until, rest) = pass.split_once('.')?;
        let (signature, name) = rest.split_once('.')?;
        let until: u64 = until.parse().ok().filter(|until| *until >= now)?;
        self.signed(bearer, name, until).verify_slice(&from_hexadecimal(signature)?).ok()?;
        Some(name.to_owned())
    }

    fn signed(&self, bearer: Bearer, name: &str, until: u64) -> Hmac<Sha256> {
        let kind = match bearer {
            Bearer::Caller => "pass",
            Bearer::Seat => "seat",
        };
        let mut signed = self.token.clone();
        signed.update(format!("{kind}.{until}.{name}").as_bytes());
        signed
    }

    /// Takes as long for every wrong one.
    fn is_token(&self, brought: &str) -> bool {
        keyed(brought).verify(&self.token.clone().finalize().into_bytes()).is_ok()
    }
}

fn keyed(token: &str) -> Hmac<Sha256> {
    Hmac::new_from_slice(token.as_bytes()).unwrap_or_else(|_| unreachable!("HMAC takes keys of every length"))
}

/// The token of the `Authorization` header: a bearer's, or the password of `Basic`.
pub(super) fn brought(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, credentials) = value.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(credentials.trim().to_owned());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(BASE64.decode(credentials.trim()).ok()?).ok()?;
    decoded.split_once(':').map(|(_, password)| password.to_owned())
}

/// Streams that have not said who they are, by address.
#[derive(Debug, Default)]
pub(super) struct Opening(Mutex<HashMap<IpAddr, usize>>);

/// One of them; dropping it makes room.
pub(super) struct Opened {
    opening: Arc<Opening>,
    from: IpAddr,
}

impl Opening {
    /// One more from there; [`None`] if there are too many.
    pub(super) fn enter(self: &Arc<Self>, from: IpAddr) -> Option<Opened> {
        let mut opening = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = opening.values().sum();
        let own = opening.get(&from).copied().unwrap_or_default();
        if all >= OPENING || own >= OPENING_FROM_ONE {
            return None;
        }
        opening.insert(from, own + 1);
        Some(Opened { opening: self.clone(), from })
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        let mut opening = self.opening.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = opening.get_mut(&self.from) {
            *own -= 1;
            if *own == 0 {
                opening.remove(&self.from);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_found_where_platforms_put_it() {
        let header = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, value.parse().unwrap());
            brought(&headers)
        };
        assert_eq!(header("Bearer a-token").as_deref(), Some("a-token"));
        assert_eq!(header("bearer  a-token ").as_deref(), Some("a-token"));
        assert_eq!(header("Basic dXNlcjphLXRva2Vu").as_deref(), Some("a-token"));
        assert_eq!(header("Digest x"), None);
        assert_eq!(header("Basic ???"), None);
        let none: [String; 0] = [];
        assert_eq!(brought(&HeaderMap::new()).into_iter().collect::<Vec<_>>(), none);
    }

    #[test]
    fn a_pass_is_good_for_one_caller_or_seat_and_a_time() {
        let (keeper, other) = (Keeper::new(&"a-token".into()), Keeper::new(&"b-token".into()));
        let caller = |keeper: &Keeper, pass: &str, now| keeper.bearer_of(Bearer::Caller, pass, now);
        let pass = keeper.pass(Bearer::Caller, "13812345678", 1_000);
        assert_eq!(caller(&keeper, &pass, 999).as_deref(), Some("13812345678"));
        assert_eq!(caller(&keeper, &pass, 1_001), None);
        assert_eq!(caller(&other, &pass, 999), None);
        assert_eq!(caller(&keeper, &pass.replace("1381", "1391"), 999), None);
        assert_eq!(caller(&keeper, &pass.replacen("1000", "2000", 1), 999), None);
        assert_eq!(keeper.bearer_of(Bearer::Seat, &pass, 999), None, "a caller is no seat");
        let seat = keeper.pass(Bearer::Seat, "2001", 1_000);
        assert_eq!(keeper.bearer_of(Bearer::Seat, &seat, 999).as_deref(), Some("2001"));
        assert_eq!(caller(&keeper, &seat, 999), None, "a seat is no caller");
        for nonsense in ["", "a-token", "1000..", "1000.zz.1", "1000.abc.1", "é.é.é"] {
            assert_eq!(caller(&keeper, nonsense, 0), None, "{nonsense}");
        }
        assert_eq!(
            keeper.judge(IpAddr::from([10, 0, 0, 1]), [pass]),
            Verdict::Wrong,
            "it opens nothing else"
        );
    }

    #[test]
    fn who_guesses_is_locked_out_but_for_the_right_token() {
        let keeper = Keeper::new(&"a-token".into());
        let (one, other) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let bring = |from, token: &str| keeper.judge(from, [token.to_owned()]);
        assert_eq!(bring(one, "a-token"), Verdict::Right);
        for _ in 0..GUESSES {
            assert_eq!(bring(one, "a-tokem"), Verdict::Wrong);
        }
        assert_eq!(bring(one, ""), Verdict::Locked);
        assert_eq!(bring(one, "a-token"), Verdict::Right);
        assert_eq!(bring(other, "a-token "), Verdict::Wrong);
        assert_eq!(keeper.judge(other, ["x".to_owned(), "a-token".to_owned()]), Verdict::Right);
    }

    #[test]
    fn streams_that_say_nothing_are_bounded_for_each_address_and_for_all() {
        let opening = Arc::<Opening>::default();
        let one = IpAddr::from([10, 0, 0, 1]);
        let mut held: Vec<Opened> = (0..OPENING_FROM_ONE).filter_map(|_| opening.enter(one)).collect();
        assert_eq!(held.len(), OPENING_FROM_ONE);
        assert!(opening.enter(one).is_none());
        for n in 2..=4 {
            let other = IpAddr::from([10, 0, 0, n]);
            held.extend((0..OPENING_FROM_ONE).filter_map(|_| opening.enter(other)));
        }
        assert_eq!(held.len(), OPENING);
        assert!(opening.enter(IpAddr::from([10, 0, 0, 9])).is_none());
        drop(held);
        assert!(opening.enter(one).is_some());
        assert!(opening.0.lock().unwrap().is_empty());
    }
}
