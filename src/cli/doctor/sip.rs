//! `nightline doctor sip`: whether the exchanges around this one answer, what they can do, how they see us, and whether they let us
//! register.

use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use nightline_sip::{Endpoint, EndpointConfig, Probed, Register, RegistrationState, Transport};

use super::{Finding, Verdict, print};
use crate::config::{Config, Registration};
use crate::server;

/// An exchange that says nothing for so long is not there.
const PATIENCE: Duration = Duration::from_secs(8);
/// How long we ask to be known when we try to register.
const EXPIRES: Duration = Duration::from_secs(60);

/// Arguments of `nightline doctor sip`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Whom to ask, such as `sip:pbx.example` or `sip:1001@pbx.example;transport=tcp`; all exchanges and seats of the configuration
    /// if left out.
    target: Vec<String>,
    /// Try the `[[registration]]`s, too. Stop the server before: an exchange that keeps one address for an account forgets the
    /// server's for this.
    #[arg(long)]
    register: bool,
    /// As a JSON array.
    #[arg(long)]
    pub(super) json: bool,
}

impl Args {
    /// Asks everybody and prints what they say. Gives the exit code: 1 if something is wrong.
    pub async fn run(&self, config: &Config, out: &mut dyn Write) -> io::Result<u8> {
        print(&self.examine(config).await, self.json, out)
    }

    /// The same, as a JSON array if that was said before `sip`.
    pub(super) fn or_json(mut self, json: bool) -> Self {
        self.json |= json;
        self
    }

    async fn examine(&self, config: &Config) -> Vec<Finding> {
        let endpoint = match Endpoint::bind(endpoint_config(config)).await {
            Ok((endpoint, _)) => endpoint,
            Err(error) => {
                let advice = "free a port, or correct the certificates of `[sip]`".into();
                return vec![Finding::new("our side", Verdict::Wrong(error.to_string(), advice))];
            }
        };
        let targets = if self.target.is_empty() { configured(config) } else { self.target.clone() };
        let ours: Vec<&str> = config.sip.codecs.iter().map(|codec| codec.name()).collect();
        let mut findings = Vec::new();
        if targets.is_empty() && config.registrations.is_empty() {
            let advice =
                "name one: `nightline doctor sip sip:pbx.example`, or configure `seats.targets`".into();
            findings.push(Finding::new("exchange", Verdict::Note("nobody is configured".into(), advice)));
        }
        for target in &targets {
            findings.extend(ask(&endpoint, target, &ours, config.sip.external_ip).await);
        }
        if self.register {
            for at in &config.registrations {
                findings.push(Finding::new("registration", register(&endpoint, at).await));
            }
        }
        endpoint.shutdown().await;
        findings
    }
}

/// As the server has it, but on free ports beside those of one that runs, one a transport, and without its seats.
fn endpoint_config(config: &Config) -> EndpointConfig {
    let mut ours = server::endpoint_config(config);
    ours.accounts.clear();
    let mut free: Vec<(Transport, SocketAddr)> = Vec::new();
    for (transport, at) in ours.listen {
        if !free.iter().any(|(known, _)| *known == transport) {
            free.push((transport, (at.ip(), 0).into()));
        }
    }
    EndpointConfig { listen: free, ..ours }
}

/// Exchanges and seats by their addresses, each host once.
fn configured(config: &Config) -> Vec<String> {
    let seats = config.seats.profiles.iter().filter(|seat| !seat.way.comes());
    let outbound = config.outbound.iter().map(|outbound| outbound.route.replace("{number}", "0"));
    let mut targets: Vec<String> = Vec::new();
    for uri in seats.map(|seat| seat.uri.clone()).chain(outbound) {
        let host = |uri: &str| uri.split_once('@').map_or(uri, |(_, host)| host).to_owned();
        if !targets.iter().any(|known| host(known) == host(&uri)) {
            targets.push(uri);
        }
    }
    targets
}

async fn ask(endpoint: &Endpoint, target: &str, ours: &[&str], external: Option<IpAddr>) -> Vec<Finding> {
    let finding = |verdict| Finding::new("exchange", verdict);
    let began = crate::clock::Clock::start();
    let probed = match tokio::time::timeout(PATIENCE, endpoint.probe(target)).await {
        Ok(Ok(probed)) => probed,
        Ok(Err(error)) => {
            let advice = "correct the address, or listen by that transport (`sip.listen`)".into();
            return vec![finding(Verdict::Wrong(error.to_string(), advice))];
        }
        Err(_) => Probed { code: 408, ..Probed::default() },
    };
    let took = began.now().saturating_since(crate::clock::Time::ZERO).as_millis();
    let mut findings = vec![finding(judge(target, ours, &probed, took))];
    findings.extend(seen(&probed, external).map(|verdict| Finding::new("our address", verdict)));
    findings
}

/// What an answer tells of an exchange.
fn judge(target: &str, ours: &[&str], probed: &Probed, took: u128) -> Verdict {
    let Probed { code, reason, .. } = probed;
    match code {
        408 => {
            return Verdict::Wrong(
                format!("{target} is silent"),
                "is it on, does it listen there by this transport, does a firewall let SIP through both ways?".into(),
            );
        }
        503 if probed.said.is_none() => {
            let why = if reason.is_empty() { "it cannot be reached" } else { reason.as_str() };
            return Verdict::Wrong(
                format!("{target}: {why}"),
                "is the address right, does it listen by this transport, is its certificate one that we trust (`sip.tls_roots`)?"
                    .into(),
            );
        }
        403 => {
            return Verdict::Wrong(
                format!("{target} refuses us: 403 {reason}"),
                "let it take calls from our address (its access list, its trunk)".into(),
            );
        }
        _ => {}
    }
    let name = probed.server.as_deref().unwrap_or("it does not say what it is");
    let mut found = format!("{target} answers {code} {reason} in {took} ms ({name})");
    if !probed.codecs.is_empty() {
        found.push_str("; codecs ");
        found.push_str(&probed.codecs.join(", "));
        if !probed.codecs.iter().any(|codec| ours.iter().any(|known| known.eq_ignore_ascii_case(codec))) {
            return Verdict::Wrong(found, format!("switch one of {} on there", ours.join(", ")));
        }
    }
    let takes = |method: &str| probed.allow.iter().any(|known| known.eq_ignore_ascii_case(method));
    if !probed.allow.is_empty() && !takes("REFER") {
        let advice = "`seats.join = \"refer\"` will not work with it; the bridge will".into();
        return Verdict::Note(format!("{found}; takes no REFER"), advice);
    }
    match code {
        200..300 => Verdict::Good(found),
        // It is there, but does not like to be asked: many do not.
        _ => Verdict::Note(found, "it is there; whether it takes a call shows `nightline call`".into()),
    }
}

/// Whether they see us where we say to be.
fn seen(probed: &Probed, external: Option<IpAddr>) -> Option<Verdict> {
    let (seen, said) = (probed.seen_as?, probed.said?);
    if seen.ip() == said.ip() {
        return Some(Verdict::Good(format!("they see us at {}, where we say to be", seen.ip())));
    }
    let found = format!("they see us at {}, and we say to be at {}", seen.ip(), said.ip());
    let advice = match external {
        None => format!(
            "there is NAT between us: set `sip.external_ip = \"{}\"`, or audio will not come",
            seen.ip()
        ),
        Some(external) => {
            format!("`sip.external_ip` is {external}, but they see {}: audio will not come", seen.ip())
        }
    };
    Some(Verdict::Wrong(found, advice))
}

/// Registers for a moment from a port of our own.
async fn register(endpoint: &Endpoint, at: &Registration) -> Verdict {
    let Registration { registrar, aor, .. } = at;
    let wish = Register { registrar: registrar.clone(), aor: aor.clone(), expires: EXPIRES };
    let mut registration = match endpoint.register(wish).await {
        Ok(registration) => registration,
        Err(error) => return Verdict::Wrong(error.to_string(), "correct `[[registration]]`".into()),
    };
    let news = async {
        loop {
            match registration.changed().await {
                RegistrationState::Trying => {}
                news => return news,
            }
        }
    };
    match tokio::time::timeout(PATIENCE, news).await {
        Ok(RegistrationState::Registered { expires }) => Verdict::Good(format!(
            "{aor} is registered at {registrar}, for {} s at a time",
            expires.as_secs()
        )),
        Ok(RegistrationState::Failed { code, reason, .. }) => {
            let advice = match code {
                401 | 403 | 407 => {
                    "the account, the password or its realm is wrong, or it may not register from here"
                }
                404 => "the exchange does not know this address of record: correct `aor`",
                408 | 503 => "is the exchange there, by this transport?",
                _ => "the log of the exchange says more",
            };
            Verdict::Wrong(format!("{aor} is not registered at {registrar}: {code} {reason}"), advice.into())
        }
        Ok(_) | Err(_) => Verdict::Wrong(
            format!("{registrar} does not answer a registration of {aor}"),
            "is the exchange there, by this transport?".into(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: [&str; 2] = ["PCMA", "PCMU"];

    fn state(verdict: Verdict) -> (&'static str, String) {
        let finding = Finding::new("x", verdict);
        (finding.state, finding.found + finding.advice.as_deref().unwrap_or_default())
    }

    #[test]
    fn what_an_exchange_says_is_judged() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let well = Probed {
            code: 200,
            reason: "OK".into(),
            server: Some("Kamailio".into()),
            allow: names(&["INVITE", "refer"]),
            codecs: names(&["G729", "pcma"]),
            ..Probed::default()
        };
        let (is, text) = state(judge("sip:pbx", &OURS, &well, 3));
        assert!(is == "good" && text.contains("Kamailio") && text.contains("G729, pcma"), "{text}");
        for (probed, wanted, word) in [
            (Probed { allow: names(&["INVITE"]), ..well.clone() }, "note", "REFER"),
            (Probed { codecs: names(&["G729"]), ..well.clone() }, "wrong", "PCMA"),
            (Probed { code: 404, ..well.clone() }, "note", "nightline call"),
            (Probed { code: 403, ..well.clone() }, "wrong", "access list"),
            (Probed { code: 408, ..Probed::default() }, "wrong", "silent"),
            (Probed { code: 503, ..Probed::default() }, "wrong", "certificate"),
        ] {
            let (is, text) = state(judge("sip:pbx", &OURS, &probed, 3));
            assert!(is == wanted && text.contains(word), "{probed:?}: {is} {text}");
        }
    }

    #[test]
    fn nat_between_us_is_told_with_what_to_write() {
        let at = |text: &str| text.parse().ok();
        let probed =
            Probed { seen_as: at("203.0.113.7:31000"), said: at("10.0.0.2:5060"), ..Probed::default() };
        let (is, text) = state(seen(&probed, None).expect("it is told"));
        assert!(is == "wrong" && text.contains("external_ip = \"203.0.113.7\""), "{text}");
        let other = "198.51.100.1".parse().ok();
        assert!(state(seen(&probed, other).expect("it is told")).1.contains("is 198.51.100.1"));
        let said = Probed { said: at("203.0.113.7:5060"), ..probed };
        assert_eq!(state(seen(&said, None).expect("it is told")).0, "good");
        assert_eq!(seen(&Probed::default(), None), None);
    }
}
