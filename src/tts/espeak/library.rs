//! The system's libespeak-ng, loaded at run time.
//!
//! It is GPL, so it is never linked. Its state is global to the process: one [`Library`] behind one lock, used by one caller
//! at a time, in synchronous mode, where its callback runs on the caller's own thread.

use std::cell::RefCell;
use std::ffi::{CString, c_char, c_int, c_short, c_uint, c_void};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::Error;

/// Samples a second of every espeak-ng voice.
pub(super) const ESPEAK_RATE: u32 = 22_050;

/// Of 100: at 100 the engine clips its loudest vowels itself.
const VOLUME: c_int = 55;

const NAMES: [&str; 3] = ["libespeak-ng.so.1", "libespeak-ng.so", "libespeak-ng.1.dylib"];

// From speak_lib.h.
const AUDIO_OUTPUT_SYNCHRONOUS: c_int = 2;
const INITIALIZE_DONT_EXIT: c_int = 0x8000;
const POS_CHARACTER: c_int = 1;
const CHARS_UTF8: c_uint = 1;
const PARAMETER_RATE: c_int = 1;
const PARAMETER_VOLUME: c_int = 2;
const PARAMETER_PITCH: c_int = 3;
const PARAMETER_RANGE: c_int = 4;
const EVENT_LIST_TERMINATED: c_int = 0;
const EVENT_WORD: c_int = 1;

/// `espeak_EVENT`.
#[repr(C)]
struct Event {
    kind: c_int,
    unique_identifier: c_uint,
    text_position: c_int,
    length: c_int,
    audio_position: c_int,
    sample: c_int,
    user_data: *mut c_void,
    id: [u8; 8],
}

type Callback = unsafe extern "C" fn(*mut c_short, c_int, *mut Event) -> c_int;
type Initialize = unsafe extern "C" fn(c_int, c_int, *const c_char, c_int) -> c_int;
type SetSynthCallback = unsafe extern "C" fn(Callback);
type SetVoiceByName = unsafe extern "C" fn(*const c_char) -> c_int;
type SetParameter = unsafe extern "C" fn(c_int, c_int, c_int) -> c_int;
type Synth = unsafe extern "C" fn(
    *const c_void,
    usize,
    c_uint,
    c_int,
    c_uint,
    c_uint,
    *mut c_uint,
    *mut c_void,
) -> c_int;

/// A voice of the engine with its settings.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Tuning {
    /// Name, with `+variant` if any.
    pub name: String,
    /// Words a minute.
    pub rate: u16,
    /// 0..=99.
    pub pitch: u8,
    /// Pitch range, 0..=99.
    pub range: u8,
}

/// What the engine gave for one text.
#[derive(Debug, Default)]
pub(super) struct Rendering {
    /// Mono at [`ESPEAK_RATE`].
    pub samples: Vec<i16>,
    /// Where words begin: character of the text, sample.
    pub words: Vec<(usize, usize)>,
}

/// The loaded library.
pub(super) struct Library {
    set_voice: SetVoiceByName,
    set_parameter: SetParameter,
    synth: Synth,
    current: Option<Tuning>,
    /// Keeps the functions above valid; dropped last.
    _handle: libloading::Library,
}

thread_local! {
    /// What the callback writes to while this thread is inside `espeak_Synth`.
    static RENDERING: RefCell<Option<(Rendering, Arc<AtomicBool>)>> = const { RefCell::new(None) };
}

/// Runs `use_it` with the process's library, loaded on first use. Waits for other callers.
pub(super) fn with<R>(use_it: impl FnOnce(&mut Library) -> Result<R, Error>) -> Result<R, Error> {
    static LIBRARY: OnceLock<Result<Mutex<Library>, Error>> = OnceLock::new();
    match LIBRARY.get_or_init(|| load().map(Mutex::new)) {
        Ok(library) => use_it(&mut library.lock().unwrap_or_else(PoisonError::into_inner)),
        Err(error) => Err(error.clone()),
    }
}

fn load() -> Result<Library, Error> {
    let mut tried = String::new();
    for name in NAMES {
        // SAFETY: loading libespeak-ng runs no initialiser that has requirements of its own.
        match unsafe { libloading::Library::new(name) } {
            Ok(library) => return start(library),
            Err(error) if tried.is_empty() => tried = error.to_string(),
            Err(_) => {}
        }
    }
    Err(Error::NoLibrary(tried))
}

fn start(library: libloading::Library) -> Result<Library, Error> {
    let missing = |e: libloading::Error| Error::NoLibrary(e.to_string());
    // SAFETY: the types are those of speak_lib.h, which have been stable since espeak-ng 1.49.
    let (initialize, set_callback, set_voice, set_parameter, synth) = unsafe {
        (
            *library.get::<Initialize>(c"espeak_Initialize").map_err(missing)?,
            *library.get::<SetSynthCallback>(c"espeak_SetSynthCallback").map_err(missing)?,
            *library.get::<SetVoiceByName>(c"espeak_SetVoiceByName").map_err(missing)?,
            *library.get::<SetParameter>(c"espeak_SetParameter").map_err(missing)?,
            *library.get::<Synth>(c"espeak_Synth").map_err(missing)?,
        )
    };
    // SAFETY: called once in the process, before every other function. A null path means the built-in one.
    let rate = unsafe { initialize(AUDIO_OUTPUT_SYNCHRONOUS, 20, std::ptr::null(), INITIALIZE_DONT_EXIT) };
    if rate != ESPEAK_RATE as c_int {
        return Err(Error::NoData(rate));
    }
    // SAFETY: `collect` has the type that the library calls and lives as long as the process.
    unsafe { set_callback(collect) };
    Ok(Library { set_voice, set_parameter, synth, current: None, _handle: library })
}

impl Library {
    /// Speaks `text`, which must hold no NUL. Stops within one buffer (20 ms of audio) once `cancelled` is set, and then gives
    /// what there is.
    pub fn render(
        &mut self,
        tuning: &Tuning,
        text: &str,
        cancelled: &Arc<AtomicBool>,
    ) -> Result<Rendering, Error> {
        self.tune(tuning)?;
        let text = CString::new(text.replace('\0', " ")).map_err(|_| Error::Engine(-1))?;
        RENDERING.set(Some((Rendering::default(), cancelled.clone())));
        // SAFETY: the text is NUL-terminated and `size` counts the NUL; both outlive the call, which is synchronous.
        let status = unsafe {
            (self.synth)(
                text.as_ptr().cast(),
                text.as_bytes_with_nul().len(),
                0,
                POS_CHARACTER,
                0,
                CHARS_UTF8,
                std::ptr::null_mut(),
                std::ptr::null_mut(),
            )
        };
        let rendering = RENDERING.take().map(|(rendering, _)| rendering).unwrap_or_default();
        if status == 0 { Ok(rendering) } else { Err(Error::Engine(status)) }
    }

    fn tune(&mut self, tuning: &Tuning) -> Result<(), Error> {
        if self.current.as_ref() == Some(tuning) {
            return Ok(());
        }
        self.current = None;
        let name = CString::new(tuning.name.as_str()).map_err(|_| Error::NoVoice(tuning.name.clone()))?;
        // SAFETY: a NUL-terminated name; the library copies it.
        if unsafe { (self.set_voice)(name.as_ptr()) } != 0 {
            return Err(Error::NoVoice(tuning.name.clone()));
        }
        for (parameter, value) in [
            (PARAMETER_RATE, c_int::from(tuning.rate)),
            (PARAMETER_VOLUME, VOLUME),
            (PARAMETER_PITCH, c_int::from(tuning.pitch)),
            (PARAMETER_RANGE, c_int::from(tuning.range)),
        ] {
            // SAFETY: plain numbers.
            let status = unsafe { (self.set_parameter)(parameter, value, 0) };
            if status != 0 {
                return Err(Error::Engine(status));
            }
        }
        self.current = Some(tuning.clone());
        Ok(())
    }
}

/// Takes what the engine has made so far; 1 stops it.
unsafe extern "C" fn collect(samples: *mut c_short, count: c_int, events: *mut Event) -> c_int {
    RENDERING.with_borrow_mut(|slot| {
        let Some((rendering, cancelled)) = slot else { return 1 };
        let mut event = events;
        // SAFETY: the engine gives a list that ends with a terminating event.
        while let Some(e) = unsafe { event.as_ref() }.filter(|e| e.kind != EVENT_LIST_TERMINATED) {
            if e.kind == EVENT_WORD
                && let (Ok(character), Ok(sample)) =
                    (usize::try_from(e.text_position - 1), usize::try_from(e.sample))
            {
                rendering.words.push((character, sample));
            }
            // SAFETY: the list goes on until the terminating event.
            event = unsafe { event.add(1) };
        }
        if let Ok(count) = usize::try_from(count)
            && !samples.is_null()
        {
            // SAFETY: the engine gives `count` samples that stay valid during the call.
            rendering.samples.extend_from_slice(unsafe { std::slice::from_raw_parts(samples, count) });
        }
        c_int::from(cancelled.load(Ordering::Relaxed))
    })
}
