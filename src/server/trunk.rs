//! Towards exchanges: who may call us, what they tell of a call, and that they know where we are.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use nightline_sip::{Endpoint, IncomingCall, Register, RegistrationState};

use crate::config::{Registration, Sip};

/// Headers that are kept beside those that begin with `X-`, as they are named in the record.
const KEPT: [&str; 3] = ["user-to-user", "diversion", "history-info"];
/// Most variables of a call; an exchange that sends more sends nonsense.
const MOST: usize = 32;
/// Characters that are kept of each.
const LONGEST: usize = 256;
/// An exchange whose name cannot be looked up is tried again after this time.
const AGAIN: Duration = Duration::from_secs(30);

/// Whether `ip` may call.
pub(super) fn may_call(sip: &Sip, ip: IpAddr) -> bool {
    sip.allow.is_empty() || is_in(&sip.allow, ip)
}

/// Whether one of the networks holds `ip`, also where that is an IPv4 address written as IPv6.
pub(super) fn is_in(networks: &[IpNet], ip: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(&ip.to_canonical()))
}

/// Who calls: as the exchange asserts it if that is believed, else as `From` says.
pub(super) fn caller(sip: &Sip, call: &IncomingCall) -> String {
    let trusted = is_in(&sip.trusted, call.remote_addr().ip());
    let asserted = call.header("P-Asserted-Identity").filter(|_| trusted).and_then(uri_of);
    asserted.map_or_else(|| call.from().uri, str::to_owned)
}

/// The URI of a name-addr or addr-spec (RFC 3325 §9.1): the first of a list.
fn uri_of(value: &str) -> Option<&str> {
    let uri = match value.split_once('<') {
        Some((_, rest)) => rest.split_once('>')?.0,
        None => value.split([',', ';']).next()?,
    };
    Some(uri.trim())
        .filter(|uri| uri.starts_with("sip:") || uri.starts_with("sips:") || uri.starts_with("tel:"))
}

/// What the headers of a call tell beside who calls whom, by name in lower case with underscores.
pub(super) fn variables<'a>(headers: impl Iterator<Item = (&'a str, &'a str)>) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::new();
    for (name, value) in headers {
        let name = name.to_ascii_lowercase();
        if !(name.starts_with("x-") || KEPT.contains(&name.as_str())) {
            continue;
        }
        bounded(&mut variables, &name.replace('-', "_"), value);
    }
    variables
}

/// Notes a variable; the first of a name counts.
pub(super) fn bounded(variables: &mut BTreeMap<String, String>, name: &str, value: &str) {
    if variables.len() < MOST && !variables.contains_key(name) {
        let cut = |text: &str| text.chars().filter(|c| !c.is_control()).take(LONGEST).collect();
        variables.insert(cut(name), cut(value));
    }
}

/// Keeps one exchange told where we are until the future is dropped, and the log told whether it knows.
pub(super) async fn register(endpoint: Endpoint, at: Registration) {
    let Registration { registrar, aor, expires, .. } = at;
    loop {
        let wish = Register { registrar: registrar.clone(), aor: aor.clone(), expires };
        match endpoint.register(wish).await {
            Ok(mut registration) => loop {
                match registration.changed().await {
                    RegistrationState::Trying => {}
                    RegistrationState::Registered { expires } => {
                        tracing::info!(%aor, %registrar, seconds = expires.as_secs(), "registered");
                    }
                    RegistrationState::Failed { code, reason, again } => {
                        let again = again.as_secs();
                        tracing::error!(%aor, %registrar, code, reason, again, "not registered: the exchange sends no calls here");
                    }
                    RegistrationState::Ended => return,
                }
            },
            Err(error) => {
                tracing::error!(%aor, %registrar, %error, again = AGAIN.as_secs(), "not registered");
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_calls_stands_in_any_of_the_forms_of_an_address() {
        for (value, uri) in [
            ("\"Chen, W\" <sip:13800001234@pbx;user=phone>", Some("sip:13800001234@pbx;user=phone")),
            ("tel:+8613800001234", Some("tel:+8613800001234")),
            ("sip:1@a;x=y, tel:2", Some("sip:1@a")),
            ("<sip:1@a", None),
            ("anonymous", None),
        ] {
            assert_eq!(uri_of(value), uri, "{value}");
        }
    }

    #[test]
    fn what_an_exchange_tells_is_kept_within_bounds() {
        let many: Vec<(String, String)> = (0..100).map(|n| (format!("X-N{n}"), "长".repeat(1000))).collect();
        let headers = [
            ("Via", "v"),
            ("X-Plate", "沪AD12345"),
            ("x-plate", "other"),
            ("Diversion", "<sip:400@pbx>"),
            ("X-Odd", "a\u{7}b"),
        ];
        let all = headers.into_iter().chain(many.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let variables = variables(all);
        assert_eq!(variables["x_plate"], "沪AD12345");
        assert_eq!(variables["diversion"], "<sip:400@pbx>");
        assert_eq!(variables["x_odd"], "ab");
        assert!(!variables.contains_key("via"));
        assert_eq!(variables.len(), MOST);
        assert!(variables.values().all(|value| value.chars().count() <= LONGEST));
    }
}
