//! The pool behind [`Synthesizer`]: one thread that owns the queue, the cache and the embedded engine; servers are asked from
//! tasks.
//!
//! One thread is enough for the embedded engine: it needs a few milliseconds for a clause of seconds, and its library allows
//! one caller at a time.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError, mpsc};

use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use super::cache::{Cache, CacheStats, Clip, Key};
use super::espeak::Espeak;
use super::http::Http;
use super::voices::{self, Engine, Error};
use super::{Piece, Request, Synthesizer};

/// Requests to servers at one time; further ones wait.
const SERVER_REQUESTS: usize = 64;

/// How to open a [`Mouth`].
#[derive(Clone, Debug)]
pub struct Options {
    /// Folder with voices beside the embedded ones.
    pub voices: Option<PathBuf>,
    /// Bytes of audio kept for texts that come again.
    pub cache_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { voices: None, cache_bytes: 64 << 20 }
    }
}

/// All voices of a running Nightline.
#[derive(Debug)]
pub struct Mouth {
    queue: mpsc::Sender<Request>,
    cache: Arc<Mutex<Cache>>,
}

/// What speaks for one voice.
enum Speaker {
    Espeak(Box<Espeak>),
    Http(Http),
}

/// What the thread works with.
struct Worker {
    speakers: HashMap<String, (Speaker, [u8; 32])>,
    cache: Arc<Mutex<Cache>>,
    runtime: Option<Handle>,
    requests: Arc<Semaphore>,
}

impl Mouth {
    /// Opens the voices `names` (each once). A voice behind a server needs the async runtime that this is called in; nothing is
    /// asked of the server yet.
    pub fn open(names: &[&str], options: &Options) -> Result<Self, Error> {
        let runtime = Handle::try_current().ok();
        let mut speakers = HashMap::new();
        for &name in names {
            let voice = voices::load(name, options.voices.as_deref())?;
            let speaker = match &voice.engine {
                Engine::Espeak(_) => Speaker::Espeak(Box::new(voice.espeak()?)),
                Engine::Http(http) => {
                    let problem = |problem| Error::Http { name: name.to_owned(), problem };
                    if runtime.is_none() {
                        return Err(problem("it must be opened inside the async runtime".to_owned()));
                    }
                    Speaker::Http(Http::new(http.clone(), voice.language).map_err(problem)?)
                }
            };
            speakers.insert(name.to_owned(), (speaker, voice.digest));
        }
        let cache = Arc::new(Mutex::new(Cache::new(options.cache_bytes)));
        let (queue, requests) = mpsc::channel();
        let worker = Worker {
            speakers,
            cache: cache.clone(),
            runtime,
            requests: Arc::new(Semaphore::new(SERVER_REQUESTS)),
        };
        std::thread::Builder::new()
            .name("mouth".to_owned())
            .spawn(move || {
                for request in requests {
                    worker.serve(request);
                }
            })
            .map_err(|e| Error::Http {
                name: names.join(", "),
                problem: format!("its thread does not start: {e}"),
            })?;
        Ok(Self { queue, cache })
    }

    /// What the cache did so far.
    pub fn cache_stats(&self) -> CacheStats {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner).stats()
    }
}

impl Synthesizer for Mouth {
    fn speak(&self, request: Request) {
        if let Err(mpsc::SendError(mut request)) = self.queue.send(request) {
            (request.sink)(Piece::Failed("the synthesis thread has ended".to_owned()));
        }
    }
}

impl Worker {
    fn serve(&self, mut request: Request) {
        if request.cancelled.load(Ordering::Relaxed) {
            return (request.sink)(Piece::Done);
        }
        let Some((speaker, voice)) = self.speakers.get(&request.voice) else {
            let problem =
                format!("the voice `{}` was not opened; name it in the configuration", request.voice);
            return (request.sink)(Piece::Failed(problem));
        };
        let key = Key { voice: *voice, text: request.text.as_str().into() };
        if let Some(clip) = lock(&self.cache).get(&key) {
            return replay(&clip, &mut request);
        }
        match (speaker, &self.runtime) {
            (Speaker::Espeak(espeak), _) => {
                let mut taken = Vec::new();
                let Request { text, cancelled, sink, .. } = &mut request;
                // A fault of the engine costs this clause, not the thread that all calls share.
                let spoken = catch_unwind(AssertUnwindSafe(|| {
                    espeak.speak(text, cancelled, &mut |piece| keep(&mut taken, piece, sink))
                }));
                let spoken = match spoken {
                    Ok(spoken) => spoken.map_err(|e| e.to_string()),
                    Err(_) => Err("the embedded voice panicked".to_owned()),
                };
                finish(&mut request, spoken, key, taken, &self.cache);
            }
            (Speaker::Http(http), Some(runtime)) => {
                let (http, cache, requests) = (http.clone(), self.cache.clone(), self.requests.clone());
                runtime.spawn(async move {
                    let _turn = requests.acquire().await;
                    let mut taken = Vec::new();
                    let Request { text, cancelled, sink, .. } = &mut request;
                    let spoken =
                        http.speak(text, cancelled, &mut |piece| keep(&mut taken, piece, sink)).await;
                    finish(&mut request, spoken, key, taken, &cache);
                });
            }
            (Speaker::Http(_), None) => (request.sink)(Piece::Failed("there is no async runtime".to_owned())),
        }
    }
}

fn lock(cache: &Mutex<Cache>) -> std::sync::MutexGuard<'_, Cache> {
    cache.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Hands a piece on and remembers it for the cache.
fn keep(
    taken: &mut Vec<(Vec<i16>, std::ops::Range<usize>)>,
    piece: Piece,
    sink: &mut Box<dyn FnMut(Piece) + Send>,
) {
    if let Piece::Audio { samples, span } = &piece {
        taken.push((samples.clone(), span.clone()));
    }
    sink(piece);
}

/// Ends a request; only a clause that was spoken whole is kept.
fn finish(
    request: &mut Request,
    spoken: Result<(), String>,
    key: Key,
    taken: Vec<(Vec<i16>, std::ops::Range<usize>)>,
    cache: &Mutex<Cache>,
) {
    match spoken {
        Ok(()) => {
            if !request.cancelled.load(Ordering::Relaxed) && !taken.is_empty() {
                lock(cache).put(key, taken.into());
            }
            (request.sink)(Piece::Done);
        }
        Err(problem) => (request.sink)(Piece::Failed(problem)),
    }
}

fn replay(clip: &Clip, request: &mut Request) {
    for (samples, span) in clip.iter() {
        if request.cancelled.load(Ordering::Relaxed) {
            break;
        }
        (request.sink)(Piece::Audio { samples: samples.clone(), span: span.clone() });
    }
    (request.sink)(Piece::Done);
}

#[cfg(test)]
mod tests;
