//! The whisper engine: one model for all calls, a bounded pool of one-thread workers.
//!
//! The embedded model understands our own synthetic callers only (see `models/README.md`); any ggml whisper file can take
//! its place. whisper.cpp does the arithmetic, through `whisper-rs`.

use std::ffi::{CStr, c_char, c_void};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Once};

use whisper_rs::whisper_rs_sys as sys;
use whisper_rs::{WhisperContext, WhisperContextParameters, WhisperError};

use super::confidence::{self, Calibration};
use super::decode::{Decoder, Model};
use super::ggml::{self, Header};
use super::pool::Pool;
use super::{Job, Recognizer};

/// Where the model comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelSource {
    /// The small model inside of this program: our own synthetic callers only.
    Embedded,
    /// A ggml whisper file.
    File(PathBuf),
}

impl std::fmt::Display for ModelSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Embedded => f.write_str("the embedded model"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

/// How the engine runs.
#[derive(Clone, Debug)]
pub struct Options {
    /// Utterances decoded at a time, one thread each.
    pub workers: usize,
    /// Partials that may wait; beyond that the oldest is answered with [`Error::Dropped`](super::Error::Dropped).
    pub waiting_partials: usize,
    /// Text that steers style and vocabulary, as if it had been said before (`以下是普通话的句子。` makes the published models
    /// write simplified characters and punctuation). Not used with a model of variable context, which has never seen one.
    pub prompt: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        let workers = std::thread::available_parallelism().map_or(2, usize::from);
        Self { workers, waiting_partials: 2 * workers, prompt: None }
    }
}

/// Why the engine did not start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file is not there or not readable.
    #[error("cannot read the model {}: {source}; `nightline models list` shows what can be fetched", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not a whole whisper model.
    #[error("{}: {source}", path.display())]
    Model {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: ggml::Error,
    },
    /// The embedded model cannot be unpacked.
    #[error("the embedded model cannot be unpacked: {0}; the program is damaged, build or install it again")]
    Embedded(io::Error),
    /// The weights of the confidence, beside the model.
    #[error(transparent)]
    Calibration(#[from] confidence::Error),
    /// whisper.cpp refused, most often for lack of memory.
    #[error("whisper.cpp did not load the model: {0}; is there enough memory?")]
    Engine(#[from] WhisperError),
    /// The file is whole, but its weights are not usable.
    #[error("{}: {source}", path.display())]
    Weights {
        /// The file.
        path: PathBuf,
        /// What came of trying it.
        source: super::Error,
    },
    /// A worker thread could not be started.
    #[error("cannot start a recogniser thread: {0}")]
    Thread(io::Error),
    /// No worker was asked for.
    #[error("a recogniser needs at least one worker")]
    NoWorkers,
}

/// Whisper for all calls. Answers each job once: from a worker, or on [`submit`](Recognizer::submit) when it is refused.
/// Dropping it ends running decodings and answers everything that still waits.
pub struct Whisper {
    pool: Pool,
    header: Header,
}

impl Whisper {
    /// Checks and loads a model and starts the workers. Takes some 50 ms with the embedded model, seconds with large ones.
    pub fn open(source: &ModelSource, options: &Options) -> Result<Self, OpenError> {
        if options.workers == 0 {
            return Err(OpenError::NoWorkers);
        }
        send_logs_to_tracing();
        let (context, header, calibration) = match source {
            ModelSource::Embedded => {
                let bytes = embedded()?;
                let header = Header::read(&mut io::Cursor::new(&bytes))
                    .map_err(|source| OpenError::Model { path: "the embedded model".into(), source })?;
                let context = WhisperContext::new_from_buffer_with_params(&bytes, parameters())?;
                let calibration = Calibration::parse(CALIBRATION, "the embedded calibration")?;
                (context, header, calibration)
            }
            ModelSource::File(path) => {
                let header = inspect(path)?;
                let calibration = Calibration::beside(path)?;
                (WhisperContext::new_with_params(path, parameters())?, header, calibration)
            }
        };
        let mut model = Model { context, header: header.clone(), prompt: Vec::new(), calibration };
        if let Some(prompt) = options.prompt.as_deref().filter(|_| !model.fitted()) {
            model.prompt = model.context.tokenize(prompt, 1024)?;
        }
        let model = Arc::new(model);
        let mut decoders: Vec<_> =
            (0..options.workers).map(|_| Decoder::new(Arc::clone(&model))).collect::<Result<_, _>>()?;
        for decoder in &mut decoders {
            let path = || match source {
                ModelSource::Embedded => "the embedded model".into(),
                ModelSource::File(path) => path.clone(),
            };
            decoder.warm_up().map_err(|source| OpenError::Weights { path: path(), source })?;
        }
        let pool = Pool::new(decoders, options.waiting_partials).map_err(OpenError::Thread)?;
        Ok(Self { pool, header })
    }

    /// The shape of the loaded model.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Jobs that wait for a worker: finals, partials.
    pub fn waiting(&self) -> (usize, usize) {
        self.pool.waiting()
    }
}

impl Recognizer for Whisper {
    fn submit(&self, job: Job) {
        self.pool.submit(job);
    }
}

/// Reads the header of the file at `path` and checks that the file is whole.
pub fn inspect(path: &Path) -> Result<Header, OpenError> {
    let mut file = File::open(path).map_err(|source| OpenError::File { path: path.into(), source })?;
    Header::read(&mut file).map_err(|source| OpenError::Model { path: path.into(), source })
}

/// The embedded model as an uncompressed ggml file (15.8 MB).
pub fn embedded() -> Result<Vec<u8>, OpenError> {
    zstd::decode_all(EMBEDDED).map_err(OpenError::Embedded)
}

const EMBEDDED: &[u8] = include_bytes!("../../models/nightline-nano.bin.zst");
const CALIBRATION: &str = include_str!("../../models/nightline-nano.confidence.json");

fn parameters() -> WhisperContextParameters<'static> {
    let mut parameters = WhisperContextParameters::default();
    // Flash attention pads the keys to a multiple of 256, which a fitted context does not survive: 16 → 20 % errors.
    parameters.flash_attn(false);
    parameters
}

/// whisper.cpp writes to standard error by itself. Its news is our DEBUG, its complaints our WARN.
fn send_logs_to_tracing() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: the callback is a plain function that lives for ever and needs no data.
        unsafe {
            sys::whisper_log_set(Some(log), std::ptr::null_mut());
            sys::ggml_log_set(Some(log), std::ptr::null_mut());
        }
    });
}

unsafe extern "C" fn log(level: sys::ggml_log_level, text: *const c_char, _: *mut c_void) {
    if text.is_null() {
        return;
    }
    // SAFETY: whisper.cpp passes a string that ends in zero.
    let text = unsafe { CStr::from_ptr(text) }.to_string_lossy();
    let text = text.trim();
    if text.is_empty() {
        return;
    }
    match level {
        // How an aborted decoding looks from inside; the failure itself comes back as an error of the call.
        _ if text.ends_with("failed to encode") || text.ends_with("failed to decode") => {
            tracing::debug!(target: "nightline::asr::whisper_cpp", "{text}");
        }
        sys::ggml_log_level_GGML_LOG_LEVEL_WARN | sys::ggml_log_level_GGML_LOG_LEVEL_ERROR => {
            tracing::warn!(target: "nightline::asr::whisper_cpp", "{text}");
        }
        _ => tracing::debug!(target: "nightline::asr::whisper_cpp", "{text}"),
    }
}

#[cfg(test)]
mod tests;
