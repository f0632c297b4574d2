//! What all calls share: the pools, the tenant's settings, the store.

mod engines;
mod settings;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinHandle;

pub use self::engines::{check_recognizer, check_tools, check_voices, llm_config, model_source};
use self::engines::{recognizer, tools, voice_names};
pub(crate) use self::settings::clauses;
use self::settings::{phrases, settings};
use crate::asr::remote;
use crate::asr::whisper::OpenError;
use crate::calendar::Calendar;
use crate::call::event::Event;
use crate::call::{Settings, VoiceActivity};
use crate::chat::door::Desk;
use crate::config::Config;
use crate::dialogue::engine;
use crate::dialogue::tenant::{self, Calls, Tenant};
use crate::dialogue::text::Lang;
use crate::driver::{Callbacks, Services, Voices};
use crate::hook;
use crate::media::Frame;
use crate::media::vad::Vad;
use crate::record::wav::StereoWriter;
use crate::record::{CallInfo, CallRecord, Tap};
use crate::screen::Screens;
use crate::seat::floor::Floor;
use crate::seat::shift::Shift;
use crate::store::{Outbox, Store, StoreHandle};
use crate::telemetry::metrics::Metrics;
use crate::tools::http as http_tools;
use crate::tools::mcp as mcp_tools;
use crate::tts::{Mouth, hold, voices};

/// How long webhooks under way may take when the server stops; what is not told then is told after the next start.
const LAST_HOOKS: Duration = Duration::from_secs(2);

/// Why the pools cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The recogniser's model.
    #[error("the recogniser cannot start: {0}")]
    Asr(#[from] OpenError),
    /// The recognition server.
    #[error("the recogniser cannot start: {0}")]
    RemoteAsr(#[from] remote::OpenError),
    /// The voice.
    #[error("the voice cannot start: {0}")]
    Tts(#[from] voices::Error),
    /// The hold music.
    #[error("the hold music cannot be used: {0}")]
    Hold(#[from] hold::Error),
    /// The tenant's data.
    #[error("the tenant's data cannot be used: {0}")]
    Tenant(#[from] tenant::Error),
    /// A seat's schedule.
    #[error("a seat has no hours: {0}")]
    Calendar(#[from] crate::calendar::Error),
    /// The back office.
    #[error("the tools cannot be used: {0}")]
    Tools(#[from] http_tools::Error),
    /// The back office by MCP.
    #[error("the tools cannot be used: {0}")]
    Mcp(#[from] mcp_tools::Error),
    /// The mind.
    #[error("the mind cannot start: {0}")]
    Mind(#[from] engine::Error),
    /// The client of the webhooks.
    #[error("webhooks cannot be sent: {0}")]
    Hooks(#[from] reqwest::Error),
    /// The database.
    #[error("the store cannot be opened: {0}")]
    Store(#[from] crate::store::Error),
}

/// The pools without a store: what a replay or a desk conversation needs.
pub struct Pools {
    /// Ears, mouth, mind; call-backs are only remembered.
    pub services: Services,
    /// What the tenant chose.
    pub settings: Settings,
    /// Who serves callers that want a person.
    pub floor: Floor,
    tenant: Arc<Tenant>,
    voice: Option<String>,
}

/// The pools with the store.
pub struct Shared {
    /// Ears, mouth, mind, call-backs.
    pub services: Services,
    /// What the tenant chose.
    pub settings: Settings,
    /// What the tenant chose for calls that we place.
    pub calls: Calls,
    /// The seats and who waits for them.
    pub floor: Floor,
    calendar: Option<Arc<Calendar>>,
    lang: Lang,
    tenant: String,
    folder: PathBuf,
    wav: bool,
    /// The database, for reading.
    pub database: Store,
    /// Figures of all calls.
    pub metrics: Metrics,
    /// Where customers write.
    pub chat: Desk,
    /// What seats see of calls.
    pub screens: Screens,
    store: StoreHandle,
    writer: Mutex<Option<JoinHandle<()>>>,
    hooks: Mutex<Option<hook::Worker>>,
}

impl Pools {
    /// Opens the pools. Must be called in a tokio runtime if a large language model, a back office or a recognition server is configured.
    pub fn open(config: &Config) -> Result<Self, Error> {
        let tenant = Tenant::load(&config.tenant.name, config.tenant.folder.as_deref())?;
        let asr = recognizer(&config.asr, &tenant)?;
        let (tools, acting) = tools(config, &tenant)?;
        let mind = engine::open(tenant.clone(), llm_config(config), acting)?;
        let names = voice_names(config, &tenant);
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let options = crate::tts::Options { voices: config.tts.folder.clone(), ..Default::default() };
        let tts = Arc::new(Mouth::open(&names, &options)?);
        let comfort = hold::music(config.tts.folder.as_deref())?;
        let settings = settings(config, &tenant, mind.clone(), comfort.into());
        let floor = Floor::new(config.seats.profiles.clone(), config.seats.rules);
        Shift::check(&floor, tenant.calendar.as_deref())?;
        let services = Services {
            asr,
            tts,
            mind,
            tools,
            seats: Arc::new(floor.clone()),
            callbacks: Arc::new(Unstored),
            language: config.asr.language,
            other_language: None,
            voices: Voices::default(),
        };
        let pools = Self { services, settings, floor, tenant, voice: config.tts.voice.clone() };
        Ok(pools.in_language(config.asr.language))
    }

    /// The same pools for callers of another language, by its ISO 639-1 code.
    #[must_use]
    pub fn in_language(mut self, language: &'static str) -> Self {
        let lang = if language == "en" { Lang::En } else { Lang::Zh };
        self.services.language = language;
        let spoken =
            |code: &&str| *code != language && self.tenant.config.languages.iter().any(|own| own == code);
        self.services.other_language = ["zh", "en"].into_iter().find(spoken);
        let voice = |language: &str| {
            self.voice
                .clone()
                .or_else(|| self.tenant.config.voices.get(language).cloned())
                .unwrap_or_default()
        };
        self.services.voices = Voices { chinese: voice("zh"), other: voice(language) };
        self.settings.phrases = Arc::new(phrases(&self.tenant, lang));
        self
    }

    /// Who called whom, now.
    pub fn info(&self, door: &str, from: &str, to: &str) -> CallInfo {
        call_info(&self.tenant.id, door, from, to)
    }
}

impl Shared {
    /// Opens the store beside the pools, and keeps call-backs in it.
    pub async fn with(pools: Pools, config: &Config) -> Result<Self, Error> {
        let store = Store::open_with(&config.store, Outbox::new(&config.webhooks)).await?;
        let metrics = Metrics::new();
        let hooks = match &config.webhooks[..] {
            [] => None,
            all => Some(hook::Worker::start(
                store.clone(),
                all.to_vec(),
                hook::Pace::default(),
                metrics.clone(),
            )?),
        };
        let (handle, writer) = store.writer();
        let services = Services { callbacks: Arc::new(Stored(handle.clone())), ..pools.services };
        Ok(Self {
            chat: Desk::new(services.mind.clone(), services.tools.clone()),
            screens: Screens::new(&config.http, pools.tenant.clone(), services.mind.clone()),
            services,
            settings: pools.settings,
            calls: pools.tenant.config.outbound.clone(),
            floor: pools.floor,
            calendar: pools.tenant.calendar.clone(),
            lang: if config.asr.language == "en" { Lang::En } else { Lang::Zh },
            tenant: pools.tenant.id.clone(),
            folder: config.record.folder.clone(),
            wav: config.record.wav,
            database: store,
            metrics,
            store: handle,
            writer: Mutex::new(Some(writer)),
            hooks: Mutex::new(hooks),
        })
    }

    /// Who called whom, now.
    pub fn info(&self, door: &str, from: &str, to: &str) -> CallInfo {
        call_info(&self.tenant, door, from, to)
    }

    /// Who keeps the seats as the calendar and they themselves want it.
    pub fn shift(&self) -> Shift {
        Shift::new(self.floor.clone(), self.database.clone(), self.calendar.clone(), self.lang)
    }

    /// Notes that a call began; the taps store, count and show what happens in it.
    pub fn begin(&self, info: &CallInfo) -> Vec<Box<dyn Tap>> {
        self.store.begin(info);
        let stored = StoreTap { store: self.store.clone(), call: info.id.as_str().into() };
        vec![Box::new(stored), self.metrics.tap(info), self.screens.tap(info)]
    }

    /// Starts the recording of a call, if calls are recorded. `on_fault` is told if it has to stop.
    pub fn recorder(
        &self,
        info: &CallInfo,
        on_fault: impl FnOnce(String) + Send + 'static,
    ) -> Option<StereoWriter> {
        let path = crate::record::wav_path(&self.folder, &info.id)
            .inspect_err(|error| tracing::error!(%error, "the call is not recorded"))
            .ok()
            .filter(|_| self.wav)?;
        let call = info.id.clone();
        Some(StereoWriter::start(path, move |error| {
            tracing::error!(%error, %call, "the recording stopped");
            on_fault(error.to_string());
        }))
    }

    /// Stores and counts the record of a call that is over, and writes it beside its recording.
    pub async fn finish(&self, record: CallRecord) {
        self.metrics.media(&record.media);
        self.store.finish(record.clone());
        let folder = self.folder.clone();
        let saved = tokio::task::spawn_blocking(move || crate::record::save(&folder, &record)).await;
        if let Ok(Err(error)) = saved {
            tracing::error!(%error, "the record could not be written beside the recording");
        }
    }

    /// Writes that the database did not take since the start.
    pub fn lost(&self) -> u64 {
        self.store.lost().total()
    }

    /// Waits until everything is stored.
    pub async fn close(&self) {
        self.store.flush().await;
        let writer = self.writer.lock().ok().and_then(|mut writer| writer.take());
        drop(writer);
        let hooks = self.hooks.lock().ok().and_then(|mut hooks| hooks.take());
        if let Some(hooks) = hooks {
            hooks.stop(LAST_HOOKS).await;
        }
    }
}

/// A voice activity detector for one leg.
pub fn voice_activity() -> Box<dyn VoiceActivity> {
    Box::new(Vad::new())
}

impl VoiceActivity for Vad {
    fn probability(&mut self, frame: &Frame) -> f32 {
        self.push(frame)
    }
}

/// The calling number, if `from` is one: seven to fifteen digits, perhaps after a plus.
pub fn telephone_number(from: &str) -> Option<String> {
    let user = from.strip_prefix("sip:").or_else(|| from.strip_prefix("tel:")).unwrap_or(from);
    let user = user.split('@').next().unwrap_or_default();
    let digits = user.strip_prefix('+').unwrap_or(user);
    let is_number = (7..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| digits.to_owned())
}

fn call_info(tenant: &str, door: &str, from: &str, to: &str) -> CallInfo {
    CallInfo {
        id: uuid::Uuid::now_v7().to_string(),
        tenant: tenant.into(),
        from: from.into(),
        to: to.into(),
        door: door.into(),
        started: jiff::Timestamp::try_from(crate::clock::wall()).map(|t| t.to_string()).unwrap_or_default(),
        variables: BTreeMap::new(),
    }
}

struct StoreTap {
    store: StoreHandle,
    call: Arc<str>,
}

impl Tap for StoreTap {
    fn event(&mut self, event: &Event) {
        self.store.event(&self.call, event);
    }
}

struct Stored(StoreHandle);

impl Callbacks for Stored {
    fn book(&self, call: &str, number: &str, when: &str, reply: Box<dyn FnOnce(Result<(), String>) + Send>) {
        let (store, call) = (self.0.clone(), call.to_owned());
        let (number, when) = (number.to_owned(), when.to_owned());
        tokio::spawn(async move {
            let booked = store.book_callback(&call, &number, &when).await;
            reply(booked.map(drop).map_err(|error| error.to_string()));
        });
    }
}

/// A rehearsal promises nothing to anybody: its call-backs stay in its record.
struct Unstored;

impl Callbacks for Unstored {
    fn book(&self, _: &str, _: &str, _: &str, reply: Box<dyn FnOnce(Result<(), String>) + Send>) {
        reply(Ok(()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_telephone_number_is_called_back() {
        assert_eq!(telephone_number("sip:13800138000@pbx"), Some("13800138000".into()));
        assert_eq!(telephone_number("+8613800138000"), Some("8613800138000".into()));
        assert_eq!(telephone_number("sip:tester@127.0.0.1"), None);
        assert_eq!(telephone_number("anonymous"), None);
        assert_eq!(telephone_number("110"), None);
    }
}
