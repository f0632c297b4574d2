//! `[asr]`, `[llm]`, `[tools]`, `[http]`, `[media]`, `[[registration]]` and `[[webhook]]`: what other programs do for us, and who is told.

use std::collections::{BTreeSet, HashSet};
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr as _;
use std::sync::Arc;

use ipnet::IpNet;
use nightline_sip::{Codec, UnknownCodec};
use secrecy::ExposeSecret as _;

use super::{Check, SipUri, socket_addr, some_text, url, websocket_url};
use crate::asr::Engine;
use crate::asr::remote::{self, Mode, Protocol};
use crate::config::raw::Raw;
use crate::config::{Asr, Http, Llm, Media, Model, Registration, Tools, ToolsPlace};
use crate::hook::{EVENTS, Webhook};

/// A shorter secret can be guessed from one page's key.
const SHORTEST_SECRET: usize = 16;

impl Check<'_> {
    pub(super) fn http(&mut self, raw: &Raw) -> Http {
        let http = &raw.http;
        if http.listen.is_none() {
            for (key, set) in [
                ("http.public_url", http.public_url.is_some()),
                ("http.secret", http.secret.is_some()),
                ("http.secret_file", http.secret_file.is_some()),
            ] {
                if set {
                    self.note(
                        key,
                        "it is set, but `http.listen` is not: set that too, or remove this".into(),
                    );
                }
            }
        }
        let secret = self.secret("http.secret", http.secret.as_ref(), http.secret_file.as_deref());
        if secret.as_ref().is_some_and(|secret| secret.expose_secret().len() < SHORTEST_SECRET) {
            let key = if http.secret.is_some() { "http.secret" } else { "http.secret_file" };
            self.note(
                key,
                format!("it is too short, take {SHORTEST_SECRET} characters or more: `openssl rand -hex 32`"),
            );
        }
        Http {
            listen: self.optional("http.listen", http.listen.as_deref(), socket_addr),
            public_url: self.optional("http.public_url", http.public_url.as_deref(), page_url),
            secret,
        }
    }

    pub(super) fn media(&mut self, raw: &Raw) -> Media {
        let media = &raw.media;
        let token = self.secret("media.token", media.token.as_ref(), media.token_file.as_deref());
        let listen = self.optional("media.listen", media.listen.as_deref(), socket_addr);
        if token.as_ref().is_some_and(|token| token.expose_secret().len() < SHORTEST_SECRET) {
            let key = if media.token.is_some() { "media.token" } else { "media.token_file" };
            self.note(
                key,
                format!("it is too short, take {SHORTEST_SECRET} characters or more: `openssl rand -hex 32`"),
            );
        }
        let websocket = match (listen, token) {
            (Some(listen), Some(token)) => Some((listen, token)),
            (Some(_), None) if media.token.is_none() && media.token_file.is_none() => {
                self.note(
                    "media.token",
                    "it is missing, and `media.listen` needs it: `openssl rand -hex 32`".into(),
                );
                None
            }
            _ => None,
        };
        let from = self.networks("media.audiosocket_from", &media.audiosocket_from);
        let mut connect = Vec::new();
        for (i, text) in media.connect.iter().enumerate() {
            let whole = reqwest::Url::parse(text).ok().filter(|url| {
                matches!(url.scheme(), "ws" | "wss") && url.has_host() && url.path().ends_with('/')
            });
            match whole {
                Some(url) => connect.push(url.to_string()),
                None => self.note(
                    &format!("media.connect.{i}"),
                    format!("\"{text}\" is no beginning of a WebSocket URL with a slash at its end: write for example \"ws://10.0.0.7:8088/media/\""),
                ),
            }
        }
        if websocket.is_none() && !connect.is_empty() {
            self.note(
                "media.connect",
                "it is set, but `media.listen` is not, where one would ask for it".into(),
            );
        }
        let audiosocket = self.optional("media.audiosocket", media.audiosocket.as_deref(), socket_addr);
        if audiosocket.is_some() && from.is_empty() {
            self.note(
                "media.audiosocket_from",
                "it is empty, so no AudioSocket could come: name addresses".into(),
            );
        }
        Media {
            websocket,
            audiosocket: audiosocket.map(|listen| (listen, from)),
            max_streams: self.number("media.max_streams", media.max_streams, 1..=10_000) as usize,
            connect,
        }
    }

    /// Addresses and networks of the list `key`.
    pub(super) fn networks(&mut self, key: &str, texts: &[String]) -> Vec<IpNet> {
        let mut networks = Vec::new();
        for (i, text) in texts.iter().enumerate() {
            match text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)) {
                Ok(network) => networks.push(network),
                Err(_) => self.note(
                    &format!("{key}.{i}"),
                    format!(
                        "\"{text}\" is no address and no network: write for example \"10.0.0.7\" or \"10.0.0.0/24\""
                    ),
                ),
            }
        }
        networks
    }

    /// Codecs by their names in SDP; all of them if there is a mistake.
    pub(super) fn codecs(&mut self, names: &[String]) -> Arc<[Codec]> {
        let mut codecs: Vec<Codec> = Vec::new();
        for (i, name) in names.iter().enumerate() {
            let key = format!("sip.codecs.{i}");
            match name.parse() {
                Ok(codec) if codecs.contains(&codec) => {
                    self.note(&key, format!("\"{name}\" stands there twice"));
                }
                Ok(codec) => codecs.push(codec),
                Err(unknown) => self.note(&key, UnknownCodec::to_string(&unknown)),
            }
        }
        if names.is_empty() {
            self.note("sip.codecs", "at least one codec is needed: write for example [\"PCMA\"]".into());
        }
        if codecs.is_empty() { Codec::ALL.into() } else { codecs.into() }
    }

    pub(super) fn registrations(&mut self, raw: &Raw) -> Vec<Registration> {
        let mut registrations = Vec::new();
        let several = raw.registration.len() > 1;
        for (i, raw) in raw.registration.iter().enumerate() {
            let key = |name: &str| format!("registration.{i}.{name}");
            let uri = |text: &str| SipUri::from_str(text).map(|uri| uri.to_string());
            let registrar = self.needed(&key("registrar"), raw.registrar.as_deref(), "registration", uri);
            let mut account = String::new();
            let aor = self.needed(&key("aor"), raw.aor.as_deref(), "registration", |text| {
                let uri = SipUri::from_str(text)?;
                uri.user().clone_into(&mut account);
                if account.is_empty() {
                    return Err(format!("\"{text}\" names no user: write `sip:400@pbx.example`"));
                }
                Ok(uri.to_string())
            });
            let password = self.secret(&key("password"), raw.password.as_ref(), raw.password_file.as_deref());
            if password.is_some() && raw.realm.is_none() && several {
                self.note(
                    &key("realm"),
                    "it is missing: with several registrations each password must name the realm that it is for".into(),
                );
            }
            let user = raw.user.clone().unwrap_or(account);
            let expires = self.seconds(&key("expires_s"), raw.expires_s, 60..=86_400);
            registrations.push(Registration {
                registrar,
                aor,
                user,
                realm: raw.realm.clone(),
                password,
                expires,
            });
        }
        registrations
    }

    pub(super) fn webhooks(&mut self, raw: &Raw) -> Vec<Webhook> {
        let mut seen = HashSet::new();
        let mut webhooks = Vec::new();
        for (i, raw) in raw.webhook.iter().enumerate() {
            let key = |name: &str| format!("webhook.{i}.{name}");
            // A slash at its end is the receiver's business.
            let exact = |text: &str| url(text).map(|_| text.to_owned());
            let url = self.needed(&key("url"), raw.url.as_deref(), "webhook", exact);
            if !seen.insert(url.clone()) {
                self.note(&key("url"), "it is listed twice: make one webhook of both".into());
            }
            let mut events = BTreeSet::new();
            for (at, name) in raw.events.iter().enumerate() {
                match EVENTS.into_iter().find(|known| known == name) {
                    Some(known) => {
                        events.insert(known);
                    }
                    None => self.note(
                        &format!("webhook.{i}.events.{at}"),
                        format!("\"{}\" is no event; there are: {}", name.escape_debug(), EVENTS.join(", ")),
                    ),
                }
            }
            if raw.events.is_empty() {
                events.extend(EVENTS);
            }
            let secret = self.secret(&key("secret"), raw.secret.as_ref(), raw.secret_file.as_deref());
            if raw.secret.is_none() && raw.secret_file.is_none() {
                self.note(
                    &key("secret_file"),
                    "it is missing, and no `secret` is set: the receiver knows us by the signature".into(),
                );
            }
            webhooks.push(Webhook {
                url,
                events,
                secret: secret.unwrap_or_default(),
                timeout: self.millis(&key("timeout_ms"), raw.timeout_ms, 100..=60_000),
                give_up: self.seconds(&key("give_up_s"), raw.give_up_s, 60..=2_592_000),
            });
        }
        webhooks
    }

    pub(super) fn asr(&mut self, raw: &Raw) -> Asr {
        let model = match raw.asr.model.as_str() {
            "embedded" => Model::Embedded,
            "" => {
                self.note("asr.model", "it is empty: write \"embedded\" or the path of a ggml file".into());
                Model::Embedded
            }
            path => Model::File(PathBuf::from(path)),
        };
        let workers = self.number("asr.workers", raw.asr.workers.unwrap_or(1), 1..=256);
        Asr {
            model,
            workers: NonZeroUsize::new(workers as usize).unwrap_or(NonZeroUsize::MIN),
            language: self.choice("asr.language", &raw.asr.language, &[("zh", "zh"), ("en", "en")]),
            partial_interval: self.millis("asr.partial_interval_ms", raw.asr.partial_interval_ms, 100..=5000),
            remote: self.remote(raw),
        }
    }

    fn remote(&mut self, raw: &Raw) -> Option<remote::Options> {
        let remote = &raw.asr.remote;
        let engine = self.choice(
            "asr.engine",
            &raw.asr.engine,
            &[("whisper", Engine::Whisper), ("openai", Engine::OpenAi), ("funasr", Engine::FunAsr)],
        );
        let modes = [("2pass", Mode::TwoPass), ("online", Mode::Online), ("offline", Mode::Offline)];
        let mode = remote.mode.as_deref().map(|mode| self.choice("asr.remote.mode", mode, &modes));
        let mode = mode.unwrap_or(Mode::TwoPass);
        let connect = self.millis("asr.remote.connect_ms", remote.connect_ms, 10..=10_000);
        let first = self.millis("asr.remote.first_ms", remote.first_ms, 50..=30_000);
        let total = self.millis("asr.remote.total_ms", remote.total_ms, 100..=60_000);
        for (key, time) in [("asr.remote.connect_ms", connect), ("asr.remote.first_ms", first)] {
            if time > total {
                self.note(
                    key,
                    format!(
                        "it is longer than `asr.remote.total_ms` ({} ms), which ends all",
                        total.as_millis()
                    ),
                );
            }
        }
        let in_flight = self.number("asr.remote.in_flight", remote.in_flight, 1..=10_000) as usize;
        let failures = self.number("asr.remote.failures", remote.failures, 1..=1000);
        let cool_down = self.seconds("asr.remote.cool_down_s", remote.cool_down_s, 1..=3600);
        let set = [
            ("asr.remote.url", remote.url.is_some(), true, true),
            ("asr.remote.model", remote.model.is_some(), true, false),
            ("asr.remote.mode", remote.mode.is_some(), false, true),
            ("asr.remote.api_key", remote.api_key.is_some(), true, true),
            ("asr.remote.api_key_file", remote.api_key_file.is_some(), true, true),
            ("asr.remote.partials", remote.partials.is_some(), true, true),
            ("asr.remote.hotwords", !remote.hotwords.is_empty(), true, true),
        ];
        for (key, _, openai, funasr) in set.into_iter().filter(|(_, set, ..)| *set) {
            let (fits, wanted) = match engine {
                Engine::OpenAi => (openai, "\"funasr\""),
                Engine::FunAsr => (funasr, "\"openai\""),
                Engine::Whisper if !openai => (false, "\"funasr\""),
                Engine::Whisper if !funasr => (false, "\"openai\""),
                Engine::Whisper => (false, "\"openai\" or \"funasr\""),
            };
            if !fits {
                self.note(
                    key,
                    format!(
                        "it is set, but `asr.engine` is \"{engine}\": set that to {wanted}, or remove this"
                    ),
                );
            }
        }
        let (protocol, url) = match engine {
            Engine::Whisper => return None,
            Engine::OpenAi => {
                (Protocol::OpenAi, self.needed("asr.remote.url", remote.url.as_deref(), "asr.engine", url))
            }
            Engine::FunAsr => (
                Protocol::FunAsr(mode),
                self.needed("asr.remote.url", remote.url.as_deref(), "asr.engine", websocket_url),
            ),
        };
        let model = match protocol {
            Protocol::OpenAi => {
                Some(self.needed("asr.remote.model", remote.model.as_deref(), "asr.engine", some_text))
            }
            Protocol::FunAsr(_) => None,
        };
        let streams = matches!(protocol, Protocol::FunAsr(Mode::TwoPass | Mode::Online));
        Some(remote::Options {
            protocol,
            url,
            model,
            api_key: self.secret(
                "asr.remote.api_key",
                remote.api_key.as_ref(),
                remote.api_key_file.as_deref(),
            ),
            hotwords: remote.hotwords.clone(),
            partials: remote.partials.unwrap_or(streams),
            connect,
            first,
            total,
            in_flight,
            failures,
            cool_down,
        })
    }

    pub(super) fn llm(&mut self, raw: &Raw) -> Option<Llm> {
        let llm = &raw.llm;
        let first_token = self.millis("llm.first_token_ms", llm.first_token_ms, 50..=60_000);
        let total = self.millis("llm.total_ms", llm.total_ms, 100..=300_000);
        if first_token > total {
            self.note(
                "llm.first_token_ms",
                format!(
                    "it is longer than `llm.total_ms` ({} ms): the first token comes first",
                    total.as_millis()
                ),
            );
        }
        if llm.url.is_none() {
            for (key, set) in [
                ("llm.fallbacks", !llm.fallbacks.is_empty()),
                ("llm.model", llm.model.is_some()),
                ("llm.api_key", llm.api_key.is_some()),
                ("llm.api_key_file", llm.api_key_file.is_some()),
                ("llm.logprobs", llm.logprobs),
            ] {
                if set {
                    self.note(key, "it is set, but `llm.url` is not: set that too, or remove this".into());
                }
            }
            return None;
        }
        Some(Llm {
            url: self.needed("llm.url", llm.url.as_deref(), "", url),
            fallbacks: self.urls("llm.fallbacks", &llm.fallbacks),
            model: self.needed("llm.model", llm.model.as_deref(), "llm.url", some_text),
            api_key: self.secret("llm.api_key", llm.api_key.as_ref(), llm.api_key_file.as_deref()),
            first_token,
            total,
            logprobs: llm.logprobs,
        })
    }

    pub(super) fn tools(&mut self, raw: &Raw) -> Option<Tools> {
        let tools = &raw.tools;
        let command = !tools.mcp_command.is_empty();
        let places = [
            ("tools.url", tools.url.is_some()),
            ("tools.mcp", tools.mcp.is_some()),
            ("tools.mcp_command", command),
        ];
        let mut set = places.into_iter().filter(|(_, set)| *set).map(|(key, _)| key);
        let first = set.next();
        for key in set {
            let first = first.unwrap_or_default();
            self.note(
                key,
                format!("it is set, and `{first}` too: tools are in one place, remove one of them"),
            );
        }
        if first.is_none() {
            for (key, set) in
                [("tools.token", tools.token.is_some()), ("tools.token_file", tools.token_file.is_some())]
            {
                if set {
                    self.note(key, "it is set, but `tools.url` is not: set that too, or remove this".into());
                }
            }
            return None;
        }
        let place = match first {
            Some("tools.mcp") => ToolsPlace::Mcp(self.needed("tools.mcp", tools.mcp.as_deref(), "", url)),
            Some("tools.mcp_command") => ToolsPlace::McpCommand(tools.mcp_command.clone()),
            _ => ToolsPlace::Http(self.needed("tools.url", tools.url.as_deref(), "", url)),
        };
        Some(Tools {
            place,
            token: self.secret("tools.token", tools.token.as_ref(), tools.token_file.as_deref()),
        })
    }
}

/// A base to which paths are added.
fn page_url(text: &str) -> Result<String, String> {
    let good = reqwest::Url::parse(text).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.query().is_none()
            && url.fragment().is_none()
    });
    if good {
        Ok(text.trim_end_matches('/').into())
    } else {
        Err("it is not an http:// or https:// URL to which a path can be added: write for example \
             \"https://nightline.example\""
            .into())
    }
}
