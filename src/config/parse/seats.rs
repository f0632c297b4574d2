//! `[seats]` and `[outbound]`: who takes calls, how they are queued for, and how customers are called.

use std::collections::HashSet;
use std::str::FromStr as _;

use nightline_sip::DigestAlgorithm;

use super::Check;
use crate::config::raw::Raw;
use crate::config::{Join, Outbound, Seats, SipUri};
use crate::seat::queue::Rules;
use crate::seat::{Profile, Way};

/// What the user part of a registering seat's address may be.
const ACCOUNT: &str = "it has 1 to 64 of A-Z a-z 0-9 - _ .";

impl Check<'_> {
    pub(super) fn outbound(&mut self, raw: &Raw) -> Option<Outbound> {
        let raw = &raw.outbound;
        let ring_timeout = self.seconds("outbound.ring_timeout_s", raw.ring_timeout_s, 5..=180);
        self.number("outbound.at_once", raw.at_once, 1..=1000);
        let route = self.optional("outbound.route", raw.route.as_deref(), |route| {
            if !route.contains("{number}") {
                return Err(format!(
                    "\"{route}\" does not say where the digits go: write for example \"sip:{{number}}@pbx.example\""
                ));
            }
            SipUri::from_str(&route.replace("{number}", "13800138000")).map(|_| route.to_owned())
        })?;
        Some(Outbound { route, at_once: raw.at_once as usize, ring_timeout, reminders: raw.reminders })
    }

    pub(super) fn seats(&mut self, raw: &Raw) -> Seats {
        let takes_pages = raw.media.listen.is_some();
        let raw = &raw.seats;
        let (mut targets, mut accounts) = (Vec::<Profile>::new(), Vec::new());
        for (i, uri) in raw.targets.iter().enumerate() {
            let key = format!("seats.targets.{i}");
            if let Some(uri) = self.optional(&key, Some(uri), SipUri::from_str) {
                targets.push(Profile::plain(&uri.to_string()));
            }
        }
        for (i, seat) in raw.seat.iter().enumerate() {
            let key = |name: &str| format!("seats.seat.{i}.{name}");
            let id = self.line(&key("id"), &seat.id);
            let password =
                self.secret(&key("password"), seat.password.as_ref(), seat.password_file.as_deref());
            let registers = seat.password.is_some() || seat.password_file.is_some();
            let own = registers.then(|| format!("sip:{id}@{}", raw.realm));
            let way = match (seat.browser, registers, seat.refer) {
                (true, ..) => Way::Browser,
                (_, true, _) => Way::Registers,
                (.., true) => Way::Refer,
                _ => Way::Called,
            };
            if way == Way::Browser && (registers || seat.uri.is_some()) {
                self.note(
                    &key("browser"),
                    "a seat that answers in a browser has no telephone: leave `uri` and `password` out, or this".into(),
                );
            } else if way == Way::Browser && !takes_pages {
                self.note(
                    &key("browser"),
                    "its page is on `media.listen`, which is missing: write an address there, and `token_file`".into(),
                );
            } else if seat.uri.is_none() && !way.comes() {
                self.note(
                    &key("uri"),
                    "it is missing: write where the seat is called, a `password` by which it registers here, or `browser = true`"
                        .into(),
                );
            } else if seat.uri.is_some() && registers {
                self.note(
                    &key("uri"),
                    "a seat with a password is called where it has registered: leave one of the two out"
                        .into(),
                );
            }
            if way.comes() && seat.refer {
                self.note(
                    &key("refer"),
                    "the caller's exchange cannot call a seat that comes to us: leave it out".into(),
                );
            }
            if let Some(password) = password {
                if !is_account(&id) {
                    self.note(&key("id"), format!("\"{id}\" is the user that registers: {ACCOUNT}"));
                }
                accounts.push((id.clone(), password));
            }
            let uri = self.optional(&key("uri"), seat.uri.as_deref().or(own.as_deref()), SipUri::from_str);
            let uri = uri.map(|uri| uri.to_string()).or_else(|| (way == Way::Browser).then(String::new));
            targets.extend(uri.map(|uri| Profile {
                id,
                uri,
                way,
                skills: seat.skills.iter().cloned().collect(),
                languages: seat.languages.iter().cloned().collect(),
                schedule: seat.schedule.clone(),
            }));
        }
        let mut ids = HashSet::new();
        if let Some(twice) = targets.iter().find(|seat| !ids.insert(seat.id.as_str())) {
            self.note("seats", format!("\"{}\" is there twice: give each seat a name of its own", twice.id));
        }
        if raw.digest.is_empty() {
            self.note("seats.digest", "it is empty: name at least one of \"sha-256\" and \"md5\"".into());
        }
        let digests = [("sha-256", DigestAlgorithm::Sha256), ("md5", DigestAlgorithm::Md5)];
        let digest = raw.digest.iter().enumerate();
        let digest =
            digest.map(|(i, name)| self.choice(&format!("seats.digest.{i}"), name, &digests)).collect();
        self.number("seats.parallel", raw.parallel, 1..=20);
        self.number("seats.max_waiting", raw.max_waiting, 0..=10_000);
        Seats {
            profiles: targets,
            ring_timeout: self.seconds("seats.ring_timeout_s", raw.ring_timeout_s, 1..=300),
            from: self.optional("seats.from", raw.from.as_deref(), SipUri::from_str),
            join: self.choice("seats.join", &raw.join, &[("bridge", Join::Bridge), ("refer", Join::Refer)]),
            accounts,
            realm: self.line("seats.realm", &raw.realm),
            digest,
            rules: Rules {
                parallel: raw.parallel as usize,
                wrap_up: self.seconds("seats.wrap_up_s", raw.wrap_up_s, 0..=3600),
                rest: self.seconds("seats.rest_s", raw.rest_s, 0..=600),
                max_waiting: raw.max_waiting as usize,
                max_wait: self.seconds("seats.max_wait_s", raw.max_wait_s, 5..=3600),
                any_skill_after: self.seconds("seats.any_skill_after_s", raw.any_skill_after_s, 0..=3600),
            },
        }
    }
}

fn is_account(id: &str) -> bool {
    (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}
