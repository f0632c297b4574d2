use super::*;
use crate::asr::Engine;
use crate::call::event::{EventKind, TurnId};
use crate::clock::Time;
use crate::dialogue::Who;
use std::os::unix::fs::PermissionsExt as _;

fn info(id: &str) -> CallInfo {
    CallInfo {
        id: id.into(),
        tenant: "nev".into(),
        from: "13812345678".into(),
        to: "4001".into(),
        door: "sip".into(),
        started: format!("2026-01-02T03:04:05.{:03}Z", id.bytes().map(u32::from).sum::<u32>() % 1000),
        ..CallInfo::default()
    }
}

fn said(ms: u64, text: &str) -> Event {
    let at = Time::from_start(Duration::from_millis(ms));
    let kind = EventKind::CallerSaid {
        turn: TurnId(1),
        text: text.into(),
        confidence: 0.9,
        engine: Engine::Whisper,
        began: at,
        ended: at,
    };
    Event { at, kind }
}

fn ended(ms: u64, disposition: Disposition) -> Event {
    Event { at: Time::from_start(Duration::from_millis(ms)), kind: EventKind::Ended { disposition } }
}

struct Here {
    folder: tempfile::TempDir,
}

impl Here {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("var/nightline.db")
    }

    async fn open(&self) -> Store {
        Store::open(&self.path()).await.unwrap_or_else(|e| panic!("{e}"))
    }
}

/// Makes every connection refuse to grow the file: what SQLite then says is what it says on a full disk.
async fn fill_disk(store: &Store, full: bool) {
    let mut all = Vec::new();
    for _ in 0..4 {
        all.push(store.pool.acquire().await.unwrap());
    }
    for connection in &mut all {
        let limit = if full { "PRAGMA max_page_count = 1" } else { "PRAGMA max_page_count = 100000000" };
        sqlx::query(limit).execute(&mut **connection).await.unwrap();
    }
}

#[tokio::test]
async fn a_call_reads_back_as_it_was_written() {
    let here = Here::new();
    let store = here.open().await;
    let events = [said(100, "你好"), said(900, "续航下降"), ended(1500, Disposition::Contained)];
    store.begin_call(&info("a-1")).await.unwrap();
    store.append_events("a-1", &events[..2]).await.unwrap();
    let so_far = store.call("a-1").await.unwrap().unwrap();
    assert_eq!(so_far.record.disposition, None);
    assert_eq!(so_far.record.turns.len(), 2, "a running call is folded from its events");

    store.append_events("a-1", &events[2..]).await.unwrap();
    let record = fold(&info("a-1"), &events);
    store.finish_call(&record).await.unwrap();
    store.finish_call(&record).await.unwrap();
    let stored = store.call("a-1").await.unwrap().unwrap();
    assert_eq!(stored.record, record);
    assert_eq!(stored.events, events);
    assert!(store.call("b").await.unwrap().is_none());

    let list = store.calls(10).await.unwrap();
    assert_eq!(list.len(), 1);
    assert_eq!((list[0].duration_ms, list[0].disposition), (1500, Some(Disposition::Contained)));
    assert!(!format!("{list:?}").contains("138"), "a list in a log shows no number");
}

#[tokio::test]
async fn turns_can_be_asked_for_in_sql() {
    let here = Here::new();
    let store = here.open().await;
    store.finish_call(&fold(&info("a"), &[said(100, "续航下降")])).await.unwrap();
    let row =
        sqlx::query("SELECT who, text FROM turns WHERE call_id = 'a'").fetch_one(&store.pool).await.unwrap();
    assert_eq!(row.get::<&str, _>("who"), name_of(&Who::Caller));
    assert_eq!(row.get::<&str, _>("text"), "续航下降");
}

#[tokio::test]
async fn a_short_id_finds_its_call_unless_it_fits_two() {
    let here = Here::new();
    let store = here.open().await;
    for id in ["0191-aa", "0191-ab", "0191"] {
        store.begin_call(&info(id)).await.unwrap();
    }
    assert_eq!(store.call("0191-aa").await.unwrap().unwrap().record.info.id, "0191-aa");
    assert_eq!(store.call("0191").await.unwrap().unwrap().record.info.id, "0191", "the whole id wins");
    assert!(matches!(store.call("0191-").await, Err(Error::Ambiguous { .. })));
    assert!(store.call("%").await.unwrap().is_none(), "no wildcards");
}

#[tokio::test]
async fn a_call_back_is_booked_once_a_call() {
    let here = Here::new();
    let store = here.open().await;
    store.begin_call(&info("a")).await.unwrap();
    assert_eq!(store.book_callback("a", "138", "明天").await.unwrap(), Booked::New);
    assert_eq!(store.book_callback("a", "139", "后天").await.unwrap(), Booked::Changed);
    assert!(store.book_callback("unknown", "1", "x").await.is_err(), "a call-back belongs to a call");
    let open = store.callbacks(Some(CallbackState::Open)).await.unwrap();
    assert_eq!(open.len(), 1);
    assert_eq!((open[0].number.expose().as_str(), open[0].when.as_str()), ("139", "后天"), "the last word");
    let orders = store.orders(false).await.unwrap();
    assert_eq!(orders.len(), 1, "it is placed once");
    assert_eq!(orders[0].order.number.expose(), "139");
    assert!(store.callback_done(open[0].id).await.unwrap());
    assert!(!store.callback_done(open[0].id).await.unwrap(), "done is done");
    assert!(store.orders(false).await.unwrap().is_empty(), "nobody is called who has been");
    assert!(store.callbacks(Some(CallbackState::Open)).await.unwrap().is_empty());
    assert_eq!(store.callbacks(None).await.unwrap().len(), 1);
}

#[tokio::test]
async fn many_calls_write_at_once_and_nothing_is_lost() {
    let here = Here::new();
    let store = here.open().await;
    let (handle, task) = store.writer();
    let calls = (0..40).map(|i| {
        let handle = handle.clone();
        tokio::spawn(async move {
            let id: Arc<str> = format!("call-{i}").into();
            handle.begin(&info(&id));
            let events: Vec<_> =
                (0..49).map(|n| said(n * 20, "好")).chain([ended(1000, Disposition::Contained)]).collect();
            for event in &events {
                handle.event(&id, event);
                tokio::task::yield_now().await;
            }
            handle.finish(fold(&info(&id), &events));
        })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await.unwrap();
    }
    assert_eq!(handle.lost().total(), 0);
    drop(handle);
    task.await.unwrap();
    let list = store.calls(100).await.unwrap();
    assert_eq!(list.len(), 40);
    assert!(list.iter().all(|c| c.disposition == Some(Disposition::Contained)));
    for call in list {
        let stored = store.call(&call.id).await.unwrap().unwrap();
        assert_eq!(stored.events.len(), 50, "{}", call.id);
        assert!(stored.events.is_sorted_by_key(|e| e.at), "events keep their order");
    }
}

#[tokio::test]
async fn a_call_back_through_the_handle_is_stored_when_it_is_confirmed() {
    let here = Here::new();
    let store = here.open().await;
    let (handle, _task) = store.writer();
    handle.begin(&info("a"));
    assert_eq!(handle.book_callback("a", "138", "明天").await.unwrap(), Booked::New);
    assert_eq!(store.callbacks(None).await.unwrap().len(), 1);
    assert_eq!(handle.book_callback("a", "138", "明天").await.unwrap(), Booked::Changed);
    assert!(handle.book_callback("no-such-call", "138", "明天").await.is_err());
}

#[tokio::test]
async fn one_bad_write_does_not_take_others_with_it() {
    let here = Here::new();
    let store = here.open().await;
    let (handle, _task) = store.writer();
    handle.begin(&info("good"));
    handle.event(&"never-begun".into(), &said(1, "x"));
    handle.event(&"good".into(), &said(2, "y"));
    handle.flush().await;
    assert_eq!(store.call("good").await.unwrap().unwrap().events.len(), 1);
    assert_eq!(handle.lost().total(), 1);
}

#[tokio::test]
async fn a_full_disk_does_not_stop_calls_and_records_come_when_there_is_space() {
    let here = Here::new();
    let store = here.open().await;
    let (handle, _task) = store.writer();
    fill_disk(&store, true).await;
    let id: Arc<str> = "a".into();
    let long = "话".repeat(3000);
    handle.begin(&info(&id));
    for i in 0..20 {
        handle.event(&id, &said(i, &long));
    }
    handle.flush().await;
    assert_eq!(handle.lost().total(), 20, "what was not stored is counted");
    let refused = handle.book_callback(&id, "138", &long).await.unwrap_err().to_string();
    assert!(refused.contains("no space left"), "{refused}");
    let record = fold(&info(&id), &[said(1, &long), ended(5, Disposition::Contained)]);
    handle.finish(record.clone());
    handle.flush().await;
    assert!(store.call(&id).await.unwrap().is_none(), "the disk is full, nothing can be there");

    fill_disk(&store, false).await;
    handle.begin(&info("b"));
    handle.event(&"b".into(), &said(1, "x"));
    handle.flush().await;
    assert_eq!(store.call("b").await.unwrap().unwrap().events.len(), 1);
    handle.flush().await;
    assert_eq!(store.call(&id).await.unwrap().unwrap().record, record);
}

#[tokio::test]
async fn a_call_whose_beginning_was_refused_begins_later() {
    let here = Here::new();
    let store = here.open().await;
    let (handle, _task) = store.writer();
    fill_disk(&store, true).await;
    handle.begin(&info("a"));
    handle.event(&"a".into(), &said(1, &"话".repeat(9000)));
    handle.flush().await;
    fill_disk(&store, false).await;
    handle.event(&"a".into(), &said(2, "还在"));
    handle.flush().await;
    let stored = store.call("a").await.unwrap().expect("the call is known");
    assert_eq!(stored.events, [said(2, "还在")]);
}

#[tokio::test]
async fn a_full_queue_never_holds_up_a_call() {
    let here = Here::new();
    let store = here.open().await;
    let (handle, _task) = store.writer();
    // The one thread of this test runs the writer only at an await: until then the queue fills.
    handle.begin(&info("a"));
    let id: Arc<str> = "a".into();
    for i in 0..10_000 {
        handle.event(&id, &said(i, "x"));
    }
    let lost = handle.lost().total();
    assert!((1..10_000).contains(&lost), "some are counted as lost: {lost}");
    handle.finish(fold(&info("a"), &[ended(1, Disposition::Contained)]));
    handle.flush().await;
    tokio::task::yield_now().await;
    handle.flush().await;
    let stored = store.call("a").await.unwrap().unwrap();
    assert_eq!(stored.events.len() as u64 + lost, 10_000);
    assert_eq!(stored.record.disposition, Some(Disposition::Contained), "the record finds a way");
}

#[test]
fn a_killed_process_leaves_its_calls_to_be_closed() {
    const CHILD: &str = "NIGHTLINE_TEST_CRASH_DB";
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    if let Ok(path) = std::env::var(CHILD) {
        runtime.block_on(async {
            let store = Store::open(Path::new(&path)).await.unwrap();
            let (handle, _task) = store.writer();
            for id in ["dies", "was-over"] {
                handle.begin(&info(id));
                handle.event(&id.into(), &said(700, "续航下降"));
            }
            handle.event(&"was-over".into(), &ended(900, Disposition::Contained));
            handle.flush().await;
            std::process::abort();
        });
    }
    let here = Here::new();
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store::tests::a_killed_process_leaves_its_calls_to_be_closed"])
        .env(CHILD, here.path())
        .output()
        .unwrap();
    assert!(!child.status.success(), "the child was to die");
    runtime.block_on(async {
        let before = Store::read(&here.path()).await.unwrap();
        assert_eq!(before.call("dies").await.unwrap().unwrap().record.disposition, None);
        let store = here.open().await;
        let dead = store.call("dies").await.unwrap().unwrap();
        assert_eq!(dead.record.disposition, Some(Disposition::Failed));
        assert_eq!(dead.record.turns[0].text, "续航下降", "what was said is known");
        assert_eq!(dead.record.duration_ms, 700);
        assert!(dead.record.faults[0].contains("stopped during this call"));
        let over = store.call("was-over").await.unwrap().unwrap();
        assert_eq!(over.record.disposition, Some(Disposition::Contained), "its end was stored");
    });
}

#[tokio::test]
async fn an_event_is_on_disk_within_the_flush_time() {
    let here = Here::new();
    let store = here.open().await;
    let (handle, _task) = store.writer();
    let clock = clock::Clock::start();
    handle.begin(&info("a"));
    handle.event(&"a".into(), &said(1, "x"));
    // Nobody asks for a flush here.
    while store.call("a").await.unwrap().is_none_or(|c| c.events.is_empty()) {
        assert!(clock.now().since_start() < Duration::from_secs(10), "it was never written");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_second_server_is_refused_but_a_reader_is_not() {
    let here = Here::new();
    let store = here.open().await;
    store.begin_call(&info("a")).await.unwrap();
    let second = Store::open(&here.path()).await.unwrap_err();
    assert!(matches!(second, Error::InUse { .. }), "{second}");
    let reader = Store::read(&here.path()).await.unwrap();
    assert_eq!(reader.calls(1).await.unwrap()[0].disposition, None, "a reader leaves running calls alone");
    assert!(reader.begin_call(&info("b")).await.is_err(), "a reader cannot write");
    drop(store);
}

#[tokio::test]
async fn the_database_is_for_its_owner_only() {
    let here = Here::new();
    let store = here.open().await;
    let mode = std::fs::metadata(store.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn what_is_wrong_with_the_file_is_said_with_what_to_do() {
    let here = Here::new();
    let path = here.folder.path().join("file");
    let missing = Store::read(&path).await.unwrap_err().to_string();
    assert_eq!(
        missing,
        format!(
            "there is no database at {}: it is made by `nightline serve`; check `store.path`",
            path.display()
        )
    );

    std::fs::write(&path, "this is a shopping list, and a long one: ".repeat(100)).unwrap();
    for error in [Store::open(&path).await.unwrap_err(), Store::read(&path).await.unwrap_err()] {
        let error = error.to_string();
        assert!(error.contains("is not a Nightline database (file is not a database): move"), "{error}");
    }

    let error = Store::open(&path.join("inside-a-file.db")).await.unwrap_err().to_string();
    assert!(error.contains("cannot write the database") && error.contains("`store.path`"), "{error}");
}

#[tokio::test]
async fn a_newer_database_is_not_touched() {
    let here = Here::new();
    let store = here.open().await;
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (9999, 'future', 1, x'00', 0)",
    )
    .execute(&store.pool)
    .await
    .unwrap();
    store.pool.close().await;
    drop(store);
    let error = Store::open(&here.path()).await.unwrap_err();
    assert!(matches!(error, Error::OtherVersion { .. }), "{error}");
}
