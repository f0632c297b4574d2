//! The registrar for seats (RFC 3261 §10): who may register, where each of them can be called, and until when.
//!
//! Sans-IO: requests and time go in, replies and events come out. `guard` decides who may. A seat is called where its
//! REGISTER came from, not where its `Contact` says, so one behind NAT is reached too.

mod guard;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;

use self::guard::{Guard, Verdict};
use crate::digest::{DigestAlgorithm, Secret};
use crate::error::Error;
use crate::message::{self, NameAddr, Reply, Request, SipUri};
use crate::stack::{Flow, Transport};

/// Longest `Contact` URI that is taken, bytes.
const MAX_CONTACT: usize = 512;

/// Somebody who may register.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The user part of its address and the name that it logs in with; each once.
    pub user: String,
    /// Its realm, if it differs from [`RegistrarConfig::realm`]. It is asked for where the address of record has it as
    /// its host.
    pub realm: Option<String>,
    /// Its password.
    pub secret: Secret,
}

/// How seats are registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistrarConfig {
    /// The realm of the digest, and a host by which seats are called (`sip:2001@REALM`).
    pub realm: String,
    /// Shortest time between refreshes; a shorter wish gets 423.
    pub min_expires: Duration,
    /// Longest; a longer wish is cut. Also what is given to who asks for none.
    pub max_expires: Duration,
    /// Most contacts of one account; the one that would expire first makes room.
    pub max_contacts: usize,
    /// The hashes that are offered, in this order. Some phones give up on a challenge that they do not know instead
    /// of taking the next one (baresip 1.0, as in Debian 12): for these, MD5 has to stand alone.
    pub algorithms: Vec<DigestAlgorithm>,
    /// How long a nonce may be used.
    pub nonce_life: Duration,
    /// Wrong passwords from one address within `failure_window` after which it gets 503 for as long.
    pub max_failures: u32,
    /// See `max_failures`.
    pub failure_window: Duration,
}

impl Default for RegistrarConfig {
    fn default() -> Self {
        Self {
            realm: "nightline".to_owned(),
            min_expires: Duration::from_secs(60),
            max_expires: Duration::from_secs(3600),
            max_contacts: 5,
            algorithms: vec![DigestAlgorithm::Sha256, DigestAlgorithm::Md5],
            nonce_life: Duration::from_secs(300),
            max_failures: 10,
            failure_window: Duration::from_secs(60),
        }
    }
}

/// Where a registered user can be called. Plain data, to be kept over a restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// The account.
    pub user: String,
    /// The URI that the phone gave.
    pub contact: String,
    /// Where its REGISTER came from, and where calls to it go.
    pub received: SocketAddr,
    /// How it came.
    pub transport: Transport,
    /// Its preference among the contacts of the account, 0 to 1000.
    pub q: u16,
    /// How long it is still good for, from the moment that this was read.
    pub expires_in: Duration,
    /// What the phone calls itself.
    pub user_agent: Option<String>,
    /// The phone's own identity (`+sip.instance`, RFC 5626), by which it replaces its older contacts.
    pub instance: Option<String>,
    /// The `Call-ID` of its REGISTER.
    pub call_id: String,
    /// The number of its last REGISTER; older ones are refused.
    pub cseq: u32,
}

/// What happens to the registrations of seats.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegistrarEvent {
    /// A contact was added. A refresh is not told.
    Registered(Binding),
    /// A contact was taken away, by the phone or by a newer one.
    Unregistered {
        /// The account.
        user: String,
        /// The contact.
        contact: String,
        /// How many contacts the account still has.
        left: usize,
    },
    /// A contact was not refreshed in time.
    Expired {
        /// The account.
        user: String,
        /// The contact.
        contact: String,
        /// How many contacts the account still has.
        left: usize,
    },
    /// The reader was too slow and has missed some: read the bindings again.
    Missed,
}

#[derive(Debug, Clone)]
struct Bound {
    binding: Binding,
    expires: Instant,
    flow: Flow,
}

/// A contact as a REGISTER wishes it.
struct Wish {
    uri: String,
    expires: Duration,
    q: u16,
    instance: Option<String>,
}

/// All accounts and where they are.
pub(crate) struct Registrar {
    config: RegistrarConfig,
    guard: Guard,
    bindings: BTreeMap<String, Vec<Bound>>,
    events: VecDeque<RegistrarEvent>,
}

impl Registrar {
    pub(crate) fn new(
        accounts: &[Account],
        config: &RegistrarConfig,
        rng: &mut StdRng,
    ) -> Result<Self, Error> {
        let guard = Guard::new(accounts, config, rng)?;
        Ok(Self { config: config.clone(), guard, bindings: BTreeMap::new(), events: VecDeque::new() })
    }

    /// Answers a REGISTER.
    pub(crate) fn register(
        &mut self,
        now: Instant,
        request: &Request,
        flow: Flow,
        rng: &mut StdRng,
    ) -> Reply {
        self.expire(now);
        let to = NameAddr::parse(request.headers.get("To").unwrap_or_default()).uri;
        let Some(aor) = SipUri::parse(to) else { return Reply::new(400).because("Bad Address Of Record") };
        let source = flow.remote.ip();
        let user = match self.guard.check(now, source, request, &aor) {
            Verdict::Allowed(user) => user,
            Verdict::Challenge { stale } => {
                let values = self.guard.challenges(now, source, &aor, stale, rng);
                let reply = Reply::new(401);
                return values
                    .into_iter()
                    .fold(reply, |reply, value| reply.header("WWW-Authenticate", value));
            }
            Verdict::Wrong => return Reply::new(403),
            Verdict::Locked(wait) => {
                let seconds = wait.as_secs().max(1).to_string();
                return Reply::new(503).because("Too Many Failures").header("Retry-After", seconds);
            }
        };
        match self.update(now, &user, request, flow) {
            Ok(()) => self.listing(now, &user),
            Err(reply) => reply,
        }
    }

    /// RFC 3261 §10.3, steps 6 and 7: all of the request or nothing of it.
    fn update(&mut self, now: Instant, user: &str, request: &Request, flow: Flow) -> Result<(), Reply> {
        let headers = &request.headers;
        let call_id = headers.get("Call-ID").unwrap_or_default().to_owned();
        let cseq = message::cseq(headers).map_or(0, |(number, _)| number);
        let known = self.bindings.get(user).map(Vec::as_slice).unwrap_or_default();
        let in_order = |bound: &Bound| bound.binding.call_id != call_id || cseq > bound.binding.cseq;
        let out_of_order = || Reply::new(500).because("Request Out Of Order");
        let contacts: Vec<&str> = headers.list("Contact").collect();
        if contacts.iter().any(|contact| contact.trim() == "*") {
            let zero = headers.get("Expires").is_some_and(|expires| expires.trim() == "0");
            if contacts.len() != 1 || !zero {
                return Err(Reply::new(400).because("A Star Stands Alone With Expires 0"));
            }
            if !known.iter().all(in_order) {
                return Err(out_of_order());
            }
            let all: Vec<String> = known.iter().map(|bound| bound.binding.contact.clone()).collect();
            for contact in all {
                self.remove(user, &contact);
            }
            return Ok(());
        }
        let wishes: Vec<Wish> =
            contacts.iter().map(|contact| self.wish(contact, request)).collect::<Result<_, _>>()?;
        if wishes.iter().filter(|wish| !wish.expires.is_zero()).count() > self.config.max_contacts {
            return Err(Reply::new(403).because("Too Many Contacts"));
        }
        let touched =
            |bound: &&Bound| wishes.iter().any(|wish| same_contact(&wish.uri, &bound.binding.contact));
        if !known.iter().filter(touched).all(in_order) {
            return Err(out_of_order());
        }
        for wish in wishes {
            if wish.expires.is_zero() {
                self.remove(user, &wish.uri);
            } else {
                let binding = Binding {
                    user: user.to_owned(),
                    contact: wish.uri,
                    received: flow.remote,
                    transport: flow.transport,
                    q: wish.q,
                    expires_in: wish.expires,
                    user_agent: headers.get("User-Agent").map(|agent| agent.chars().take(128).collect()),
                    instance: wish.instance,
                    call_id: call_id.clone(),
                    cseq,
                };
                self.add(Bound { expires: now + wish.expires, binding, flow });
            }
        }
        Ok(())
    }

    fn wish(&self, contact: &str, request: &Request) -> Result<Wish, Reply> {
        let bad = || Reply::new(400).because("Bad Contact");
        let contact = NameAddr::parse(contact);
        SipUri::parse(contact.uri).filter(|_| contact.uri.len() <= MAX_CONTACT).ok_or_else(bad)?;
        let asked = contact.param("expires").or_else(|| request.headers.get("Expires"));
        // RFC 3261 §10.2.1.1: what cannot be read counts as not given.
        let asked = asked.and_then(|text| text.trim().parse::<u32>().ok());
        let (min, max) = (self.config.min_expires, self.config.max_expires);
        let expires = asked.map_or(max, |seconds| Duration::from_secs(seconds.into())).min(max);
        if !expires.is_zero() && expires < min {
            return Err(Reply::new(423).header("Min-Expires", min.as_secs().to_string()));
        }
        let q = contact.param("q").map_or(Some(1000), read_q).ok_or_else(bad)?;
        let instance = contact.param("+sip.instance").map(|id| id.chars().take(128).collect());
        Ok(Wish { uri: contact.uri.to_owned(), expires, q, instance })
    }

    fn add(&mut self, new: Bound) {
        let user = new.binding.user.clone();
        let bound = self.bindings.entry(user.clone()).or_default();
        if let Some(old) = bound.iter_mut().find(|b| same_contact(&b.binding.contact, &new.binding.contact)) {
            *old = new;
            return;
        }
        let instance = new.binding.instance.as_ref();
        let replaced = instance.and_then(|id| bound.iter().find(|b| b.binding.instance.as_ref() == Some(id)));
        let crowded = bound.len() >= self.config.max_contacts;
        let first = || bound.iter().filter(|_| crowded).min_by_key(|b| b.expires);
        if let Some(contact) = replaced.or_else(first).map(|b| b.binding.contact.clone()) {
            self.remove(&user, &contact);
        }
        tracing::info!(transport = %new.flow.transport, "a seat has registered");
        self.events.push_back(RegistrarEvent::Registered(new.binding.clone()));
        self.bindings.entry(user).or_default().push(new);
    }

    fn remove(&mut self, user: &str, contact: &str) {
        let Some(bound) = self.bindings.get_mut(user) else { return };
        let Some(at) = bound.iter().position(|b| same_contact(&b.binding.contact, contact)) else { return };
        let gone = bound.remove(at).binding;
        let left = bound.len();
        if left == 0 {
            self.bindings.remove(user);
        }
        tracing::info!(left, "a seat has taken its registration back");
        self.events.push_back(RegistrarEvent::Unregistered { user: gone.user, contact: gone.contact, left });
    }

    /// The 200: all contacts of the user and what is left of their time (RFC 3261 §10.3, step 8).
    fn listing(&self, now: Instant, user: &str) -> Reply {
        let bound = self.bindings.get(user).map(Vec::as_slice).unwrap_or_default();
        bound.iter().fold(Reply::new(200), |reply, b| {
            // Rounded up, or a phone that asked for 60 s hears of 59.
            let left = b.expires.saturating_duration_since(now).as_millis().div_ceil(1000);
            let (whole, part) = (b.binding.q / 1000, b.binding.q % 1000);
            let value = format!("<{}>;expires={left};q={whole}.{part:03}", b.binding.contact);
            reply.header("Contact", value)
        })
    }

    /// Takes away what was not refreshed.
    pub(crate) fn expire(&mut self, now: Instant) {
        let events = &mut self.events;
        self.bindings.retain(|user, bound| {
            let due: Vec<String> =
                bound.iter().filter(|b| b.expires <= now).map(|b| b.binding.contact.clone()).collect();
            bound.retain(|b| b.expires > now);
            for contact in due {
                let left = bound.len();
                tracing::info!(left, "the registration of a seat has expired");
                events.push_back(RegistrarEvent::Expired { user: user.clone(), contact, left });
            }
            !bound.is_empty()
        });
    }

    /// When [`Registrar::expire`] is next needed.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.bindings.values().flatten().map(|b| b.expires).min()
    }

    pub(crate) fn poll_event(&mut self) -> Option<RegistrarEvent> {
        self.events.pop_front()
    }

    /// Whether there is such an account.
    pub(crate) fn has(&self, user: &str) -> bool {
        self.guard.has(user)
    }

    /// The contacts of one user, or of all: the preferred ones first, of equal ones the one that was refreshed last.
    pub(crate) fn bindings(&self, now: Instant, user: Option<&str>) -> Vec<Binding> {
        let chosen = self.bindings.iter().filter(|(name, _)| user.is_none_or(|user| user == name.as_str()));
        chosen
            .flat_map(|(_, bound)| {
                let mut bound: Vec<&Bound> = bound.iter().filter(|b| b.expires > now).collect();
                bound.sort_by_key(|b| (std::cmp::Reverse(b.binding.q), std::cmp::Reverse(b.expires)));
                bound.into_iter().map(|b| Binding {
                    expires_in: b.expires.saturating_duration_since(now),
                    ..b.binding.clone()
                })
            })
            .collect()
    }

    /// Where to call a user: at this contact, or at the preferred one.
    pub(crate) fn locate(&self, now: Instant, user: &str, contact: Option<&str>) -> Option<(String, Flow)> {
        let best = self.bindings(now, Some(user));
        let chosen = match contact {
            Some(contact) => best.into_iter().find(|b| same_contact(&b.contact, contact)),
            None => best.into_iter().next(),
        }?;
        let bound = self.bindings.get(user)?.iter().find(|b| b.binding.contact == chosen.contact)?;
        Some((chosen.contact, bound.flow))
    }

    /// Whether a seat is registered from there: then everything of its calls goes back there too.
    pub(crate) fn is_seat(&self, flow: &Flow) -> bool {
        self.bindings
            .values()
            .flatten()
            .any(|b| b.flow.remote == flow.remote && b.flow.transport == flow.transport)
    }

    /// Takes contacts back after a restart. Those of unknown accounts and those that are over are left out; nothing
    /// is told.
    pub(crate) fn restore(&mut self, now: Instant, kept: Vec<(Binding, Flow)>) {
        for (binding, flow) in kept {
            if binding.expires_in.is_zero() || !self.has(&binding.user) {
                continue;
            }
            let bound = self.bindings.entry(binding.user.clone()).or_default();
            let known = bound.iter().any(|b| same_contact(&b.binding.contact, &binding.contact));
            if !known && bound.len() < self.config.max_contacts {
                let expires = now + binding.expires_in.min(self.config.max_expires);
                bound.push(Bound { binding, expires, flow });
            }
        }
        self.bindings.retain(|_, bound| !bound.is_empty());
    }
}

/// `q` in thousandths (RFC 3261 §25.1: 0 to 1 with at most three digits).
fn read_q(text: &str) -> Option<u16> {
    let (whole, part) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
    if part.len() > 3 || !part.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let part: u16 = format!("{part:0<3}").parse().ok()?;
    match whole {
        "0" | "" => Some(part),
        "1" if part == 0 => Some(1000),
        _ => None,
    }
}

/// RFC 3261 §19.1.4, as far as it tells one contact from another.
fn same_contact(one: &str, other: &str) -> bool {
    if one == other {
        return true;
    }
    let (Some(a), Some(b)) = (SipUri::parse(one), SipUri::parse(other)) else { return false };
    let transport = |uri: &SipUri<'_>| uri.param("transport").map(str::to_ascii_lowercase);
    a.user == b.user
        && a.host.eq_ignore_ascii_case(b.host)
        && a.port == b.port
        && transport(&a) == transport(&b)
}
