//! A bounded pool of decoders: who is served first, and who is not served at all.
//!
//! Finals go before partials, older deadlines first. When more partials wait than the limit, the one with the oldest
//! deadline is dropped: its caller has spoken on. When a final finds no free worker, one running partial is aborted for it.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use super::{Error, Job, Purpose, Transcript};
use crate::clock::Time;

/// What is to be decoded: the part of a [`Job`] that matters to a decoder.
pub(super) struct Heard {
    /// 16 kHz mono.
    pub(super) audio: Arc<[i16]>,
    pub(super) purpose: Purpose,
    pub(super) language: &'static str,
    pub(super) also: Option<&'static str>,
    pub(super) earlier: Option<String>,
}

/// What one worker does with one utterance.
pub(super) trait Decode: Send + 'static {
    /// Decodes an utterance. Returns early, with any error, soon after `abort` is set.
    fn decode(&mut self, heard: &Heard, abort: &AtomicBool) -> Result<Transcript, Error>;

    /// Called after [`decode`](Self::decode) has panicked: makes the decoder usable again.
    fn recover(&mut self) -> Result<(), Error>;
}

/// Worker threads and the queue before them. Dropping it answers everything that waits and ends the threads.
pub(super) struct Pool {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Pool {
    /// One thread for each of `decoders`; at most `waiting_partials` partials wait at a time.
    pub(super) fn new<D: Decode>(decoders: Vec<D>, waiting_partials: usize) -> std::io::Result<Self> {
        let workers = decoders.iter().map(|_| Worker::default()).collect();
        let shared = Arc::new(Shared {
            queue: Mutex::new(Queue { waiting_partials, workers, ..Queue::default() }),
            wake: Condvar::new(),
        });
        let mut pool = Self { shared, threads: Vec::new() };
        for (index, decoder) in decoders.into_iter().enumerate() {
            let shared = Arc::clone(&pool.shared);
            let thread = std::thread::Builder::new().name(format!("asr-{index}"));
            pool.threads.push(thread.spawn(move || work(&shared, index, decoder))?);
        }
        Ok(pool)
    }

    pub(super) fn submit(&self, job: Job) {
        let refused = self.shared.lock().add(job);
        self.shared.wake.notify_one();
        if let Some((reply, error)) = refused {
            reply.send(Err(error));
        }
    }

    /// Jobs that wait: finals, partials.
    pub(super) fn waiting(&self) -> (usize, usize) {
        let queue = self.shared.lock();
        (queue.finals.len(), queue.partials.len())
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let orphans = self.shared.lock().close();
        self.shared.wake.notify_all();
        for job in orphans {
            job.reply.send(Err(stopped()));
        }
        let this = std::thread::current().id();
        for thread in self.threads.drain(..) {
            // The last owner may let go inside a reply, on a worker: that thread ends by itself.
            if thread.thread().id() != this && thread.join().is_err() {
                tracing::error!("a recogniser thread panicked");
            }
        }
    }
}

struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Default)]
struct Queue {
    finals: BTreeMap<(Time, u64), Waiting>,
    partials: BTreeMap<(Time, u64), Waiting>,
    waiting_partials: usize,
    workers: Vec<Worker>,
    idle: usize,
    arrivals: u64,
    closed: bool,
}

#[derive(Default)]
struct Worker {
    running: Option<Purpose>,
    abort: Arc<AtomicBool>,
}

struct Waiting {
    heard: Heard,
    reply: Reply,
}

impl Queue {
    /// Takes a job in. Returns what must be refused for it, to be told outside of the lock.
    fn add(&mut self, job: Job) -> Option<(Reply, Error)> {
        let Job { audio, purpose, deadline, language, also, earlier, reply } = job;
        let heard = Heard { audio, purpose, language, also, earlier };
        let job = Waiting { heard, reply: Reply(Some(reply)) };
        if self.closed {
            return Some((job.reply, stopped()));
        }
        self.arrivals += 1;
        let key = (deadline, self.arrivals);
        match purpose {
            Purpose::Final => {
                self.finals.insert(key, job);
                if self.finals.len() > self.idle {
                    self.preempt();
                }
                None
            }
            Purpose::Partial => {
                self.partials.insert(key, job);
                let over = self.partials.len() > self.waiting_partials + self.idle;
                over.then(|| self.partials.pop_first()).flatten().map(|(_, job)| (job.reply, Error::Dropped))
            }
        }
    }

    fn preempt(&mut self) {
        let partial = |w: &&Worker| w.running == Some(Purpose::Partial) && !w.abort.load(Ordering::Relaxed);
        if let Some(worker) = self.workers.iter().find(partial) {
            worker.abort.store(true, Ordering::Relaxed);
        }
    }

    fn next(&mut self, worker: usize) -> Option<(Waiting, Arc<AtomicBool>)> {
        let (_, job) = self.finals.pop_first().or_else(|| self.partials.pop_first())?;
        let worker = &mut self.workers[worker];
        worker.running = Some(job.heard.purpose);
        worker.abort.store(false, Ordering::Relaxed);
        Some((job, Arc::clone(&worker.abort)))
    }

    fn close(&mut self) -> Vec<Waiting> {
        self.closed = true;
        for worker in &self.workers {
            worker.abort.store(true, Ordering::Relaxed);
        }
        let mut orphans = std::mem::take(&mut self.finals);
        orphans.append(&mut self.partials);
        orphans.into_values().collect()
    }
}

fn work(shared: &Shared, index: usize, mut decoder: impl Decode) {
    loop {
        let mut queue = shared.lock();
        queue.workers[index].running = None;
        let (job, abort) = loop {
            if queue.closed {
                return;
            }
            if let Some(next) = queue.next(index) {
                break next;
            }
            queue.idle += 1;
            queue = shared.wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
            queue.idle -= 1;
        };
        drop(queue);
        let outcome = catch_unwind(AssertUnwindSafe(|| decoder.decode(&job.heard, &abort)));
        let result = match outcome {
            Ok(Err(_)) if abort.load(Ordering::Relaxed) => Err(match job.heard.purpose {
                Purpose::Partial => Error::Dropped,
                Purpose::Final => stopped(),
            }),
            Ok(result) => result,
            Err(_) => {
                tracing::error!("the recogniser panicked; its state is made anew");
                decoder.recover().and(Err(Error::Engine("it panicked on this utterance".into())))
            }
        };
        job.reply.send(result);
    }
}

fn stopped() -> Error {
    Error::Engine("it was shut down".into())
}

type Callback = Box<dyn FnOnce(Result<Transcript, Error>) + Send>;

/// A reply that is sent exactly once: at the latest when it is dropped.
struct Reply(Option<Callback>);

impl Reply {
    fn send(mut self, result: Result<Transcript, Error>) {
        self.call(result);
    }

    fn call(&mut self, result: Result<Transcript, Error>) {
        if let Some(callback) = self.0.take()
            && catch_unwind(AssertUnwindSafe(|| callback(result))).is_err()
        {
            tracing::error!("the receiver of a transcript panicked");
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        self.call(Err(stopped()));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    /// Waits at a gate for each job, then answers with the first sample as text.
    struct Gated {
        started: mpsc::Sender<i16>,
        gate: Arc<Mutex<mpsc::Receiver<()>>>,
    }

    impl Decode for Gated {
        fn decode(&mut self, heard: &Heard, abort: &AtomicBool) -> Result<Transcript, Error> {
            let audio = &heard.audio;
            self.started.send(audio[0]).unwrap();
            assert!(audio[0] != PANICS, "a panic, as the test asked");
            if audio[0] == ABORTABLE {
                while !abort.load(Ordering::Relaxed) {
                    std::thread::yield_now();
                }
                return Err(Error::Engine("aborted".into()));
            }
            self.gate.lock().unwrap().recv_timeout(LONG).expect("the test opens the gate");
            Ok(Transcript { text: audio[0].to_string(), ..Transcript::default() })
        }
        fn recover(&mut self) -> Result<(), Error> {
            Ok(())
        }
    }

    const PANICS: i16 = -1;
    const ABORTABLE: i16 = -2;

    struct Bench {
        pool: Option<Pool>,
        started: mpsc::Receiver<i16>,
        gate: mpsc::Sender<()>,
        replies: mpsc::Receiver<(i16, Result<Transcript, Error>)>,
        reply: mpsc::Sender<(i16, Result<Transcript, Error>)>,
    }

    impl Bench {
        fn new(workers: usize, waiting_partials: usize) -> Self {
            let (started_in, started) = mpsc::channel();
            let (gate, gate_out) = mpsc::channel();
            let (reply, replies) = mpsc::channel();
            let gate_out = Arc::new(Mutex::new(gate_out));
            let decoders = (0..workers)
                .map(|_| Gated { started: started_in.clone(), gate: Arc::clone(&gate_out) })
                .collect();
            Self { pool: Some(Pool::new(decoders, waiting_partials).unwrap()), started, gate, replies, reply }
        }
        fn submit(&self, name: i16, purpose: Purpose, deadline_ms: u64) {
            let reply = self.reply.clone();
            self.pool.as_ref().unwrap().submit(Job {
                audio: Arc::from([name].as_slice()),
                purpose,
                deadline: Time::from_start(Duration::from_millis(deadline_ms)),
                language: "zh",
                also: None,
                earlier: None,
                reply: Box::new(move |result| reply.send((name, result)).unwrap()),
            });
        }
        fn started(&self) -> i16 {
            self.started.recv_timeout(LONG).expect("a worker starts a job")
        }
        fn replied(&self) -> (i16, Result<Transcript, Error>) {
            self.replies.recv_timeout(LONG).expect("a job is answered")
        }
        fn open(&self) {
            self.gate.send(()).unwrap();
        }
    }

    #[test]
    fn finals_go_before_partials_and_older_deadlines_first() {
        let bench = Bench::new(1, 10);
        bench.submit(1, Purpose::Final, 0);
        assert_eq!(bench.started(), 1);
        bench.submit(2, Purpose::Partial, 5);
        bench.submit(3, Purpose::Final, 30);
        bench.submit(4, Purpose::Final, 20);
        bench.submit(5, Purpose::Partial, 1);
        let order: Vec<i16> = (0..4)
            .map(|_| {
                bench.open();
                bench.started()
            })
            .collect();
        assert_eq!(order, [4, 3, 5, 2], "finals by deadline, then partials by deadline");
        bench.open();
        let mut answered: Vec<i16> = (0..5).map(|_| bench.replied().0).collect();
        answered.sort_unstable();
        assert_eq!(answered, [1, 2, 3, 4, 5], "each job is answered once");
    }

    #[test]
    fn a_full_queue_drops_partials_only() {
        let bench = Bench::new(1, 2);
        bench.submit(1, Purpose::Final, 0);
        bench.started();
        for name in 10..20 {
            bench.submit(name, Purpose::Final, 100);
        }
        for name in 2..6 {
            bench.submit(name, Purpose::Partial, u64::from(name.unsigned_abs()));
        }
        let dropped: Vec<_> = (0..2).map(|_| bench.replied()).collect();
        assert_eq!(
            dropped,
            [(2, Err(Error::Dropped)), (3, Err(Error::Dropped))],
            "the oldest partials make room"
        );
        assert_eq!(bench.pool.as_ref().unwrap().waiting(), (10, 2));
        (0..13).for_each(|_| bench.open());
        let rest: Vec<_> = (0..13).map(|_| bench.replied()).collect();
        assert!(rest.iter().all(|(_, result)| result.is_ok()), "finals are never dropped: {rest:?}");
    }

    #[test]
    fn a_final_takes_the_place_of_a_running_partial() {
        let bench = Bench::new(1, 2);
        bench.submit(ABORTABLE, Purpose::Partial, 0);
        assert_eq!(bench.started(), ABORTABLE);
        bench.submit(7, Purpose::Final, 50);
        assert_eq!(bench.replied(), (ABORTABLE, Err(Error::Dropped)));
        bench.open();
        assert!(bench.replied().1.is_ok(), "the abort of the partial must not hit the final");
    }

    #[test]
    fn finals_past_their_deadline_are_answered_all_the_same_and_in_order() {
        let bench = Bench::new(1, 2);
        bench.submit(1, Purpose::Final, 0);
        bench.started();
        for name in (2..=40).rev() {
            bench.submit(name, Purpose::Final, u64::try_from(name).unwrap());
        }
        (1..=40).for_each(|_| bench.open());
        for name in 1..=40 {
            let (answered, result) = bench.replied();
            assert_eq!(answered, name, "the oldest deadline first");
            assert!(result.is_ok(), "no final is dropped, however late: {result:?}");
        }
    }

    #[test]
    fn under_a_flood_only_partials_are_lost_and_each_caller_is_told() {
        let bench = Bench::new(1, 2);
        bench.submit(1, Purpose::Final, 0);
        bench.started();
        for name in 0..10 {
            bench.submit(100 + name, Purpose::Partial, 1_000 + u64::try_from(name).unwrap());
            bench.submit(2 + name, Purpose::Final, 2_000);
        }
        let dropped: Vec<_> = (0..8).map(|_| bench.replied()).collect();
        let names: Vec<_> = dropped.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, (100..108).collect::<Vec<_>>(), "the oldest partials go first");
        assert!(dropped.iter().all(|(_, result)| *result == Err(Error::Dropped)));
        (0..13).for_each(|_| bench.open());
        let rest: Vec<_> = (0..13).map(|_| bench.replied().0).collect();
        assert_eq!(
            rest,
            (1..12).chain([108, 109]).collect::<Vec<_>>(),
            "all finals, then what partials are left"
        );
    }

    #[test]
    fn a_panic_answers_its_job_and_the_worker_goes_on() {
        let bench = Bench::new(1, 2);
        bench.submit(PANICS, Purpose::Final, 0);
        assert!(matches!(bench.replied(), (PANICS, Err(Error::Engine(_)))));
        bench.submit(8, Purpose::Final, 0);
        bench.open();
        assert!(bench.replied().1.is_ok(), "the worker still works");
    }

    #[test]
    fn a_panicking_receiver_does_not_stop_the_worker() {
        let bench = Bench::new(1, 2);
        bench.pool.as_ref().unwrap().submit(Job {
            audio: Arc::from([3].as_slice()),
            purpose: Purpose::Final,
            deadline: Time::ZERO,
            language: "zh",
            also: None,
            earlier: None,
            reply: Box::new(|_| panic!("a careless receiver")),
        });
        bench.submit(4, Purpose::Final, 9);
        bench.open();
        bench.open();
        assert_eq!(bench.replied().0, 4);
    }

    #[test]
    fn shutting_down_answers_what_runs_and_what_waits() {
        let mut bench = Bench::new(1, 5);
        bench.submit(ABORTABLE, Purpose::Final, 0);
        bench.started();
        bench.submit(2, Purpose::Final, 1);
        bench.submit(3, Purpose::Partial, 1);
        bench.pool = None;
        let mut answered: Vec<_> = (0..3).map(|_| bench.replied()).collect();
        answered.sort_by_key(|(name, _)| *name);
        assert_eq!(answered.iter().map(|(name, _)| *name).collect::<Vec<_>>(), [ABORTABLE, 2, 3]);
        assert!(answered.iter().all(|(_, r)| matches!(r, Err(Error::Engine(_)))), "{answered:?}");
        assert!(bench.replies.try_recv().is_err(), "nobody is answered twice");
    }
}
