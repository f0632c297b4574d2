//! `nightline hooks list|retry|test`: the outbox of webhooks, for the engineer.

use std::io::Write;

use super::exit;
use crate::clock::Clock;
use crate::config::Config;
use crate::hook::{self, Told};
use crate::qa::pad;
use crate::record::name_of;
use crate::store::{Hook, Store};

/// Subcommands of `nightline hooks`.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Command {
    /// What waits to be told and what was given up, newest first.
    List {
        /// Also what was told in the last seven days.
        #[arg(long)]
        all: bool,
        /// How many.
        #[arg(long, short = 'n', default_value_t = 50)]
        limit: u32,
        /// As a JSON array.
        #[arg(long)]
        json: bool,
    },
    /// Try again at once what waits or was given up. A running server does it within two seconds.
    Retry {
        /// Its number in the list.
        #[arg(required_unless_present = "all")]
        id: Option<i64>,
        /// All of them.
        #[arg(long, conflicts_with = "id")]
        all: bool,
    },
    /// Send a signed event called `test` to each webhook of the configuration, once, and tell what came of it.
    Test {
        /// Only to this URL.
        url: Option<String>,
    },
}

impl Command {
    /// Runs. Gives the exit code: 1 if a webhook did not take the test, 66 if there is none or no such hook.
    pub async fn run(self, config: Config) -> anyhow::Result<u8> {
        // Not locked while it waits for the network: other tasks may log.
        let (mut out, mut err) = (std::io::stdout(), std::io::stderr());
        self.run_on(&config, &mut out, &mut err).await
    }

    async fn run_on(self, config: &Config, out: &mut dyn Write, err: &mut dyn Write) -> anyhow::Result<u8> {
        match self {
            Self::List { all, limit, json } => {
                let hooks = Store::read(&config.store).await?.hooks(all, limit).await?;
                if json {
                    serde_json::to_writer_pretty(&mut *out, &hooks)?;
                    writeln!(out)?;
                } else {
                    list(&hooks, out)?;
                }
                Ok(0)
            }
            Self::Retry { id, .. } => {
                let count = Store::amend(&config.store).await?.retry_hooks(id).await?;
                if let (0, Some(id)) = (count, id) {
                    writeln!(
                        err,
                        "error: no hook {id} waits or was given up: `nightline hooks list` shows what there is"
                    )?;
                    return Ok(exit::NO_INPUT);
                }
                writeln!(out, "{count} to be tried again")?;
                Ok(0)
            }
            Self::Test { url } => test(config, url.as_deref(), out, err).await,
        }
    }
}

fn list(hooks: &[Hook], out: &mut dyn Write) -> anyhow::Result<()> {
    let time = |ms: i64| {
        jiff::Timestamp::from_millisecond(ms)
            .map_or_else(|_| ms.to_string(), |at| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
    };
    writeln!(
        out,
        "{} {} {} {} TRIES  TO",
        pad("ID", 7),
        pad("STATE", 9),
        pad("EVENT", 18),
        pad("NEXT TRY", 20)
    )?;
    for hook in hooks {
        let waits = hook.state == crate::store::HookState::Waiting;
        let next = if waits { time(hook.due_ms) } else { String::new() };
        writeln!(
            out,
            "{} {} {} {} {:5}  {}",
            pad(&hook.id.to_string(), 7),
            pad(&name_of(&hook.state).replace('_', " "), 9),
            pad(&hook.event, 18),
            pad(&next, 20),
            hook.attempts,
            hook.url
        )?;
        if let Some(problem) = &hook.problem {
            writeln!(out, "        {problem}  ({})", hook.event_id)?;
        }
    }
    Ok(())
}

async fn test(
    config: &Config,
    url: Option<&str>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> anyhow::Result<u8> {
    let chosen: Vec<_> =
        config.webhooks.iter().filter(|webhook| url.is_none_or(|url| url == webhook.url)).collect();
    if chosen.is_empty() {
        match url {
            Some(url) => writeln!(err, "error: no webhook with the URL {url} is configured")?,
            None => writeln!(
                err,
                "error: no webhook is configured: add [[webhook]] with `url` and `secret_file`"
            )?,
        }
        return Ok(exit::NO_INPUT);
    }
    let client = hook::client()?;
    let now = jiff::Timestamp::try_from(crate::clock::wall()).unwrap_or_default();
    let mut code = 0;
    for webhook in chosen {
        let told = Told::test(&format!("test:{}", uuid::Uuid::now_v7()), now);
        let clock = Clock::start();
        let sent = hook::post(&client, webhook, &told.id, told.event, &told.body.to_string(), 1).await;
        let took = clock.now().since_start().as_millis();
        match sent {
            Ok(()) => writeln!(out, "✔ {} took it in {took} ms", webhook.url)?,
            Err(failure) => {
                code = exit::WRONG;
                writeln!(out, "✘ {}: {} ({took} ms)", webhook.url, failure.why)?;
            }
        }
    }
    Ok(code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::event::{Event, EventKind};
    use crate::clock::Time;
    use crate::hook::{EVENTS, Webhook};
    use crate::record::CallInfo;
    use crate::store::Outbox;
    use std::time::Duration;

    async fn run(command: Command, config: &Config) -> (u8, String, String) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = command.run_on(config, &mut out, &mut err).await.unwrap();
        (code, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
    }

    /// A URL at which nobody listens.
    async fn nobody() -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        format!("http://{}/", listener.local_addr().unwrap())
    }

    fn config(folder: &tempfile::TempDir, url: &str) -> Config {
        let webhook = Webhook {
            url: url.into(),
            events: EVENTS.into_iter().collect(),
            secret: "secret".into(),
            timeout: Duration::from_secs(5),
            give_up: Duration::from_secs(60),
        };
        Config { store: folder.path().join("n.db"), webhooks: vec![webhook], ..Config::default() }
    }

    #[tokio::test]
    async fn what_was_given_up_is_listed_and_tried_again() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(&folder, "http://h/");
        let store = Store::open_with(&config.store, Outbox::new(&config.webhooks)).await.unwrap();
        let info =
            CallInfo { id: "a-1".into(), started: "2026-01-02T03:04:05Z".into(), ..CallInfo::default() };
        store.begin_call(&info).await.unwrap();
        store.append_events("a-1", &[Event { at: Time::ZERO, kind: EventKind::Bridged }]).await.unwrap();
        store.hook_given_up(1, "it answered 500").await.unwrap();
        let list = Command::List { all: false, limit: 9, json: false };
        let (code, out, _) = run(list.clone(), &config).await;
        assert_eq!(code, 0);
        assert!(out.contains("given up  bridged") && out.contains("http://h/"), "{out}");
        assert!(out.contains("it answered 500  (a-1:1)"), "{out}");
        let (code, out, _) = run(Command::Retry { id: Some(1), all: false }, &config).await;
        assert_eq!((code, out.as_str()), (0, "1 to be tried again\n"));
        let (_, out, _) = run(list, &config).await;
        assert!(out.contains("waiting   bridged"), "{out}");
        let (code, _, err) = run(Command::Retry { id: Some(7), all: false }, &config).await;
        assert_eq!(code, exit::NO_INPUT, "{err}");
        let (_, json, _) = run(Command::List { all: true, limit: 9, json: true }, &config).await;
        let hooks: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!((&hooks[0]["state"], &hooks[0]["attempts"]), (&"waiting".into(), &1.into()));
        assert!(hooks[0].get("body").is_none(), "a list holds no number");
    }

    #[tokio::test]
    async fn a_test_says_whether_the_receiver_took_it() {
        let folder = tempfile::tempdir().unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, axum::Router::new().fallback(|| async {})).await });
        let (code, out, _) = run(Command::Test { url: None }, &config(&folder, &url)).await;
        assert_eq!(code, 0, "{out}");
        assert!(out.starts_with(&format!("✔ {url} took it in ")), "{out}");
        let url = nobody().await;
        let (code, out, _) = run(Command::Test { url: None }, &config(&folder, &url)).await;
        assert_eq!(code, exit::WRONG);
        assert!(out.starts_with(&format!("✘ {url}: it cannot be reached (")), "{out}");
        let (code, _, err) =
            run(Command::Test { url: Some("http://other/".into()) }, &config(&folder, &url)).await;
        assert_eq!(code, exit::NO_INPUT);
        assert!(err.contains("http://other/"), "{err}");
        let (code, _, err) = run(Command::Test { url: None }, &Config::default()).await;
        assert_eq!(code, exit::NO_INPUT);
        assert!(err.contains("[[webhook]]"), "{err}");
    }
}
