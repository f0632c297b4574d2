//! `nightline callbacks list`, `nightline messages list|save|done` and `nightline work-orders list|retry`: what callers are owed.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::exit;
use super::record::{clock, print_json, table};
use crate::record::excerpt::{Channel, excerpt};
use crate::record::name_of;
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
    /// Write the sound of a message to a WAV file.
    Save {
        /// Its number in the list.
        id: i64,
        /// The file; it must not be there yet.
        file: PathBuf,
    },
    /// A message is done with.
    Done {
        /// Its number in the list.
        id: i64,
    },
}

/// Subcommands of `nightline work-orders`.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum WorkOrdersCommand {
    /// Work orders that the tenant's systems do not have, also refused ones with the reason, oldest call first.
    List {
        /// Also those that they have, with their answer.
        #[arg(long)]
        all: bool,
        /// As a JSON array.
        #[arg(long)]
        json: bool,
    },
    /// Hand over once more what was refused.
    Retry {
        /// The id of the call.
        call: String,
    },
}

impl WorkOrdersCommand {
    /// Runs on `store` ([`Store::amend`]). Gives the exit code.
    pub async fn run(&self, store: &Store, out: &mut dyn Write, err: &mut dyn Write) -> anyhow::Result<u8> {
        let (all, json) = match self {
            Self::List { all, json } => (all, json),
            Self::Retry { call } if store.retry_work_order(call).await? => return Ok(0),
            Self::Retry { call } => {
                writeln!(
                    err,
                    "error: the call {call} has no refused work order: `nightline work-orders list` shows what there is"
                )?;
                return Ok(exit::NO_INPUT);
            }
        };
        let orders = store.work_orders(*all).await?;
        if *json {
            print_json(&orders, out)?;
            return Ok(0);
        }
        let mut rows = vec![["FROM", "CALL", "STATE", "ATTEMPTS", "WHAT", "ANSWER"].map(String::from)];
        rows.extend(orders.iter().map(|order| {
            let what = order.what.expose();
            [
                order.from.expose().clone(),
                order.call_id.clone(),
                name_of(&order.state),
                order.attempts.to_string(),
                format!("{} {}", what.tool, serde_json::Value::Object(what.arguments.clone())),
                order.answer.clone().unwrap_or_default(),
            ]
        }));
        write!(out, "{}", table(&rows))?;
        Ok(0)
    }
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
            Self::Save { id, file } => save(store, *id, file, err).await,
            Self::Done { id } if store.message_done(*id).await? => Ok(0),
            Self::Done { id } => missing(&format!("open message {id}"), err),
        }
    }
}

/// Writes the sound of the message `id` to `file`.
async fn save(store: &Store, id: i64, file: &Path, err: &mut dyn Write) -> anyhow::Result<u8> {
    let messages = store.messages(None).await?;
    let Some(message) = messages.into_iter().find(|message| message.id == id) else {
        return missing(&format!("message {id}"), err);
    };
    let call = store.call(&message.call_id).await?;
    let Some(recording) = call.and_then(|call| call.record.recording) else {
        writeln!(
            err,
            "error: the call {} was not recorded: set `record.wav = true` to have the next ones",
            message.call_id
        )?;
        return Ok(exit::NO_INPUT);
    };
    match excerpt(Path::new(&recording), Channel::Caller, message.began_ms, message.ended_ms, file) {
        Ok(ms) => {
            writeln!(err, "{:.1} s written to {}", ms as f64 / 1000.0, file.display())?;
            Ok(0)
        }
        Err(error) => {
            writeln!(err, "error: {error}")?;
            Ok(exit::NO_INPUT)
        }
    }
}

fn missing(what: &str, err: &mut dyn Write) -> anyhow::Result<u8> {
    writeln!(err, "error: there is no {what}: `nightline messages list` shows what there is")?;
    Ok(exit::NO_INPUT)
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
        let file = folder.path().join("message.wav");
        let (code, _, err) = run(MessagesCommand::Save { id: 1, file: file.clone() }).await;
        assert_eq!((code, err.contains("not recorded")), (exit::NO_INPUT, true), "{err}");
        let (code, _, err) = run(MessagesCommand::Save { id: 2, file: file.clone() }).await;
        assert_eq!((code, err.contains("no message 2")), (exit::NO_INPUT, true), "{err}");
        let recording = folder.path().join("call.wav");
        let spec = hound::WavSpec {
            channels: 2,
            sample_rate: 8000,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut wav = hound::WavWriter::create(&recording, spec).unwrap();
        for second in 0..80 * 8000 {
            wav.write_sample((second / 8000) as i16).unwrap();
            wav.write_sample(-1_i16).unwrap();
        }
        wav.finalize().unwrap();
        let mut record = store.call("0191-aa").await.unwrap().unwrap().record;
        record.recording = Some(recording.display().to_string());
        store.finish_call(&record).await.unwrap();
        let (code, _, err) = run(MessagesCommand::Save { id: 1, file: file.clone() }).await;
        assert_eq!((code, err.contains("14.0 s written")), (0, true), "{err}");
        let heard: Vec<i16> =
            hound::WavReader::open(&file).unwrap().into_samples().map(Result::unwrap).collect();
        assert_eq!((heard.len(), heard[0], heard[heard.len() - 1]), (14 * 8000, 61, 74));
        assert_eq!(run(MessagesCommand::Done { id: 1 }).await.0, 0);
        assert_eq!(run(MessagesCommand::List { all: false, json: true }).await.1, "[]\n");
        let (code, _, err) = run(MessagesCommand::Done { id: 1 }).await;
        assert_eq!((code, err.contains("nightline messages list")), (exit::NO_INPUT, true), "{err}");
    }
}
