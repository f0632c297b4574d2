//! The one task that writes while calls run. A call hands over and goes on; what cannot be stored is counted and logged.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sqlx::{Connection as _, SqliteConnection};
use tokio::sync::{mpsc, oneshot};

use super::{Booked, Error, Store};
use crate::call::event::{Event, EventKind};
use crate::clock::{Clock, Time};
use crate::record::{CallInfo, CallRecord};

/// Writes that may wait; at 200 calls a few seconds of events.
const QUEUE: usize = 8192;
/// The most writes in one transaction.
const BATCH: usize = 512;
/// How long a write waits for company: what a killed process loses at most, beside the disk's own time.
const FLUSH: Duration = Duration::from_millis(100);
/// Records of ended calls that wait for a disk that is full.
const KEPT: usize = 256;
const LOG_EVERY: Duration = Duration::from_secs(60);

/// Hands what happens in calls to the writing task. Never waits. Cheap to clone.
#[derive(Clone, Debug)]
pub struct StoreHandle {
    queue: mpsc::Sender<Write>,
    lost: Arc<Lost>,
}

/// How much could not be stored since the start.
#[derive(Debug, Default)]
pub struct Lost {
    /// Writes that found the queue full.
    queue: AtomicU64,
    /// Writes that the database refused.
    database: AtomicU64,
}

impl Lost {
    /// Writes that were lost, for whatever reason.
    pub fn total(&self) -> u64 {
        self.queue.load(Ordering::Relaxed) + self.database.load(Ordering::Relaxed)
    }
}

enum Write {
    Begin(CallInfo),
    Event(Arc<str>, Box<Event>),
    Finish(Box<CallRecord>),
    Callback { call_id: String, number: String, when: String, reply: oneshot::Sender<Result<Booked, Error>> },
    Flush(oneshot::Sender<()>),
}

impl StoreHandle {
    /// A call began.
    pub fn begin(&self, info: &CallInfo) {
        self.send(Write::Begin(info.clone()));
    }

    /// Something happened in a call.
    pub fn event(&self, call_id: &Arc<str>, event: &Event) {
        self.send(Write::Event(call_id.clone(), Box::new(event.clone())));
    }

    /// A call is over. Its record finds a way also when the queue is full: a small task waits for room.
    pub fn finish(&self, record: CallRecord) {
        let Err(full) = self.queue.try_send(Write::Finish(Box::new(record))) else { return };
        match (full, tokio::runtime::Handle::try_current()) {
            (mpsc::error::TrySendError::Full(write), Ok(runtime)) => {
                let (queue, lost) = (self.queue.clone(), self.lost.clone());
                runtime.spawn(async move {
                    if queue.send(write).await.is_err() {
                        lost.queue.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            _ => {
                self.lost.queue.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Stores a call-back, after what was handed over before; the promise may be spoken once this is `Ok`.
    pub async fn book_callback(&self, call_id: &str, number: &str, when: &str) -> Result<Booked, Error> {
        let (reply, answer) = oneshot::channel();
        let write =
            Write::Callback { call_id: call_id.into(), number: number.into(), when: when.into(), reply };
        self.queue.try_send(write).map_err(|_| Error::NoWriter)?;
        answer.await.unwrap_or(Err(Error::NoWriter))
    }

    /// Waits until all that was handed over before is stored or counted as lost.
    pub async fn flush(&self) {
        let (reply, answer) = oneshot::channel();
        if self.queue.send(Write::Flush(reply)).await.is_ok() {
            let _ = answer.await;
        }
    }

    /// How much could not be stored.
    pub fn lost(&self) -> &Lost {
        &self.lost
    }

    fn send(&self, write: Write) {
        if self.queue.try_send(write).is_err() {
            self.lost.queue.fetch_add(1, Ordering::Relaxed);
        }
    }
}

pub(super) fn start(store: Store) -> (StoreHandle, tokio::task::JoinHandle<()>) {
    let (queue, incoming) = mpsc::channel(QUEUE);
    let lost = Arc::<Lost>::default();
    let writer = Writer {
        store,
        lost: lost.clone(),
        running: HashMap::new(),
        kept: VecDeque::new(),
        clock: Clock::start(),
        logged: None,
        told: 0,
    };
    (StoreHandle { queue, lost }, tokio::spawn(writer.run(incoming)))
}

struct Writer {
    store: Store,
    lost: Arc<Lost>,
    /// Calls that run, and whether the database knows of them: a full disk may have refused their beginning.
    running: HashMap<String, (CallInfo, bool)>,
    /// Records that a full disk refused, to be tried again.
    kept: VecDeque<Box<CallRecord>>,
    clock: Clock,
    logged: Option<Time>,
    /// Losses that the log knows of.
    told: u64,
}

impl Writer {
    async fn run(mut self, mut writes: mpsc::Receiver<Write>) {
        let mut batch = Vec::new();
        while writes.recv_many(&mut batch, BATCH).await > 0 {
            let full = tokio::time::timeout(FLUSH, async {
                while batch.len() < BATCH && !batch.iter().any(urgent) {
                    let room = BATCH - batch.len();
                    if writes.recv_many(&mut batch, room).await == 0 {
                        break;
                    }
                }
            });
            // Either way it is time to write: the time is up, or there is a reason not to wait for it.
            let _ = full.await;
            self.write(std::mem::take(&mut batch)).await;
            self.log();
        }
        self.retry().await;
    }

    async fn write(&mut self, batch: Vec<Write>) {
        let mut connection = match self.store.acquire().await {
            Ok(connection) => connection,
            Err(error) => {
                self.refused(batch, &error);
                return;
            }
        };
        for write in &batch {
            if let Write::Begin(info) = write {
                self.running.entry(info.id.clone()).or_insert_with(|| (info.clone(), false));
            }
        }
        match self.transaction(&mut connection, &batch).await {
            Ok(booked) => {
                self.settled(batch, booked);
                drop(connection);
                self.retry().await;
            }
            Err(error @ (Error::DiskFull { .. } | Error::Busy { .. } | Error::NotWritable { .. })) => {
                self.refused(batch, &error);
            }
            // One of them is at fault: the others are not to suffer for it.
            Err(error) if batch.len() == 1 => self.refused(batch, &error),
            Err(_) => {
                for write in batch {
                    let one = [write];
                    let outcome = self.transaction(&mut connection, &one).await;
                    match outcome {
                        Ok(booked) => self.settled(one.into(), booked),
                        Err(error) => self.refused(one.into(), &error),
                    }
                }
            }
        }
    }

    /// Writes all or nothing; gives the outcome of each call-back in order.
    async fn transaction(
        &mut self,
        connection: &mut SqliteConnection,
        batch: &[Write],
    ) -> Result<Vec<Booked>, Error> {
        let store = &self.store;
        let running = &self.running;
        let mut booked = Vec::new();
        let outcome: Result<(), sqlx::Error> = async {
            let mut transaction = connection.begin().await?;
            let mut known = std::collections::HashSet::new();
            for write in batch {
                // A call whose beginning was refused begins with the next thing that happens in it.
                if let Some((info, false)) = write.call_id().and_then(|id| running.get(id))
                    && known.insert(&info.id)
                {
                    super::begin_call(&mut transaction, info).await?;
                }
                match write {
                    Write::Begin(_) | Write::Flush(_) => {}
                    Write::Event(call_id, event) => {
                        super::append_event(&mut transaction, &store.outbox, call_id, event).await?;
                    }
                    Write::Finish(record) => {
                        super::finish_call(&mut transaction, &store.outbox, record).await?;
                    }
                    Write::Callback { call_id, number, when, .. } => {
                        booked.push(
                            super::callbacks::book_callback(
                                &mut transaction,
                                &store.outbox,
                                call_id,
                                number,
                                when,
                            )
                            .await?,
                        );
                    }
                }
            }
            transaction.commit().await
        }
        .await;
        store.outbox.committed();
        outcome.map(|()| booked).map_err(|e| store.error(e))
    }

    fn settled(&mut self, batch: Vec<Write>, booked: Vec<Booked>) {
        let mut booked = booked.into_iter();
        for write in batch {
            if let Some((_, stored)) = write.call_id().and_then(|id| self.running.get_mut(id)) {
                *stored = true;
            }
            match write {
                Write::Begin(_) | Write::Event(..) => {}
                Write::Finish(record) => {
                    self.running.remove(&record.info.id);
                }
                Write::Callback { reply, .. } => {
                    let _ = reply.send(booked.next().ok_or(Error::NoWriter));
                }
                Write::Flush(reply) => {
                    let _ = reply.send(());
                }
            }
        }
    }

    /// The database took none of `batch`: records are kept for later, the rest is lost and counted.
    fn refused(&mut self, batch: Vec<Write>, error: &Error) {
        self.warn(error);
        for write in batch {
            match write {
                // Stored with the next thing that happens in this call.
                Write::Begin(_) => {}
                Write::Event(..) => {
                    self.lost.database.fetch_add(1, Ordering::Relaxed);
                }
                Write::Finish(record) => {
                    self.running.remove(&record.info.id);
                    self.keep(record);
                }
                Write::Callback { reply, .. } => {
                    let _ = reply.send(Err(Error::NotStored(error.to_string())));
                }
                Write::Flush(reply) => {
                    let _ = reply.send(());
                }
            }
        }
    }

    fn keep(&mut self, record: Box<CallRecord>) {
        if self.kept.len() == KEPT {
            self.kept.pop_front();
            self.lost.database.fetch_add(1, Ordering::Relaxed);
        }
        self.kept.push_back(record);
    }

    /// Tries again with the records that were refused.
    async fn retry(&mut self) {
        while let Some(record) = self.kept.pop_front() {
            if let Err(error) = self.store.finish_call(&record).await {
                self.kept.push_front(record);
                self.warn(&error);
                return;
            }
        }
    }

    /// One line a minute, however much is wrong.
    fn warn(&mut self, error: &Error) {
        let now = self.clock.now();
        if self.logged.is_none_or(|at| now.saturating_since(at) >= LOG_EVERY) {
            self.logged = Some(now);
            self.told = self.lost.total();
            tracing::error!(%error, lost = self.told, "calls go on without being stored");
        }
    }

    fn log(&mut self) {
        let lost = self.lost.total();
        let now = self.clock.now();
        if lost > self.told && self.logged.is_none_or(|at| now.saturating_since(at) >= LOG_EVERY) {
            self.logged = Some(now);
            self.told = lost;
            tracing::error!(lost, "the database is too slow: events were not stored");
        }
    }
}

impl Write {
    fn call_id(&self) -> Option<&str> {
        match self {
            Self::Begin(info) => Some(&info.id),
            Self::Event(id, _) => Some(id),
            Self::Finish(record) => Some(&record.info.id),
            Self::Callback { call_id, .. } => Some(call_id),
            Self::Flush(_) => None,
        }
    }
}

/// Whether somebody waits for it, or a call ends by it.
fn urgent(write: &Write) -> bool {
    match write {
        Write::Callback { .. } | Write::Flush(_) | Write::Finish(_) => true,
        // What is promised a caller, or kept, is known after a crash.
        Write::Event(_, event) => matches!(
            event.kind,
            EventKind::Ended { .. }
                | EventKind::HandoffRequested { .. }
                | EventKind::HandoffEnded { .. }
                | EventKind::Bridged
                | EventKind::MessageLeft { .. }
                | EventKind::Rated { .. }
        ),
        Write::Begin(_) => false,
    }
}
