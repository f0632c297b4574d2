//! `nightline callbacks list` and `nightline messages list|done`: what callers are owed.

use std::io::Write;

use super::exit;
use super::record::{clock, print_json, table};
use crate::store::{Callback, CallbackState, Store};

/// Subcommands of `nightline callbacks`.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum CallbacksCommand {
    /// Call-backs that were promised and are still to be made, oldest first.
    List {
        /// Also those that were made.
        #[arg(long)]
        all: bool,
        /// As a JSON array.
        #[arg(long)]
        json: bool,
    },
}

/// Subcommands of `nightline messages`.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum MessagesCommand {
    /// Messages of callers that nobody has listened to, oldest first.
    List {
        /// Also those that are done with.
        #[arg(long)]
        all: bool,
        /// As a JSON array.
        #[arg(long)]
        json: bool,
    },
    /// A message is done with.
    Done {
        /// Its number in the list.
        id: i64,
    },
}

impl MessagesCommand {
    /// Runs on `store` ([`Store::amend`]). Gives the exit code.
    pub async fn run(&self, store: &Store, out: &mut dyn Write, err: &mut dyn Write) -> anyhow::Result<u8> {
        match self {
            Self::List { all, json } => {
                let messages = store.messages((!all).then_some(CallbackState::Open)).await?;
                if *json {
                    print_json(&messages, out)?;
                    return Ok(0);
                }
                let mut rows = vec![["NO", "FROM", "CALLED", "AT", "CALL", "MESSAGE"].map(String::from)];
                rows.extend(messages.iter().map(|message| {
                    [
                        message.id.to_string(),
                        message.from.expose().clone(),
                        message.started.clone(),
                        clock(message.began_ms),
                        message.call_id.clone(),
                        message.text.clone(),
                    ]
                }));
                write!(out, "{}", table(&rows))?;
                Ok(0)
            }
            Self::Done { id } if store.message_done(*id).await? => Ok(0),
            Self::Done { id } => {
                writeln!(
                    err,
                    "error: there is no open message {id}: `nightline messages list` shows what there is"
                )?;
                Ok(exit::NO_INPUT)
            }
        }
    }
}

impl CallbacksCommand {
    /// Runs on `store` ([`Store::read`]). Gives the exit code.
    pub async fn run(&self, store: &Store, out: &mut dyn Write) -> anyhow::Result<u8> {
        let Self::List { all, json } = self;
        let callbacks = store.callbacks((!all).then_some(CallbackState::Open)).await?;
        if *json {
            print_json(&callbacks, out)?;
        } else {
            let mut rows = vec![["NO", "NUMBER", "WHEN", "PROMISED", "STATE", "CALL"].map(String::from)];
            rows.extend(callbacks.iter().map(row));
            write!(out, "{}", table(&rows))?;
        }
        Ok(0)
    }
}

fn row(callback: &Callback) -> [String; 6] {
    [
        callback.id.to_string(),
        callback.number.expose().clone(),
        callback.when.clone(),
        callback.created.clone(),
        callback.state.as_str().into(),
        callback.call_id.clone(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::event::{Event, EventKind};
    use crate::clock::Time;
    use crate::record::CallInfo;
    use std::time::Duration;

    async fn store(folder: &tempfile::TempDir) -> Store {
        let store = Store::open(&folder.path().join("n.db")).await.unwrap();
        let info = CallInfo {
            id: "0191-aa".into(),
            from: "13812345678".into(),
            started: "2026-01-02T03:04:05Z".into(),
            ..CallInfo::default()
        };
        store.begin_call(&info).await.unwrap();
        store
    }

    #[tokio::test]
    async fn call_backs_are_listed_with_the_number_to_call() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder).await;
        store.book_callback("0191-aa", "13812345678", "明天").await.unwrap();
        let mut out = Vec::new();
        CallbacksCommand::List { all: false, json: false }.run(&store, &mut out).await.unwrap();
        let out = String::from_utf8(out).unwrap();
        let mut lines = out.lines();
        assert!(lines.next().unwrap().starts_with("NO  NUMBER       WHEN  PROMISED"), "{out}");
        assert!(lines.next().unwrap().starts_with("1   13812345678  明天  2"), "{out}");
        store.callback_done(1).await.unwrap();
        let mut out = Vec::new();
        CallbacksCommand::List { all: false, json: true }.run(&store, &mut out).await.unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "[]\n");
    }

    #[tokio::test]
    async fn messages_are_listed_until_they_are_done_with() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder).await;
        let at = |s| Time::from_start(Duration::from_secs(s));
        let left = Event {
            at: at(75),
            kind: EventKind::MessageLeft { text: "请王师傅回电".into(), began: at(61) },
        };
        store.append_events("0191-aa", &[left]).await.unwrap();
        let run = async |command: MessagesCommand| {
            let (mut out, mut err) = (Vec::new(), Vec::new());
            let code = command.run(&store, &mut out, &mut err).await.unwrap();
            (code, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
        };
        let (_, out, _) = run(MessagesCommand::List { all: false, json: false }).await;
        assert!(out.contains("13812345678") && out.contains("1:01") && out.contains("请王师傅回电"), "{out}");
        assert_eq!(run(MessagesCommand::Done { id: 1 }).await.0, 0);
        assert_eq!(run(MessagesCommand::List { all: false, json: true }).await.1, "[]\n");
        let (code, _, err) = run(MessagesCommand::Done { id: 1 }).await;
        assert_eq!((code, err.contains("nightline messages list")), (exit::NO_INPUT, true), "{err}");
    }
}
