//! What all calls share: the pools, the tenant's settings, the store.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::asr::Recognizer;
use crate::asr::remote::{self, Remote};
use crate::asr::whisper::{ModelSource, OpenError, Options, Whisper};
use crate::call::endpointing::Endpointing;
use crate::call::event::Event;
use crate::call::listening::Hearing;
use crate::call::settings::BargeIn;
use crate::call::{Lexicon, Phrases, Settings, VoiceActivity};
use crate::chat::door::Desk;
use crate::cli::doctor::Verdict;
use crate::config::{self, Config, Model, ToolsPlace};
use crate::dialogue::engine;
use crate::dialogue::light::local_now;
use crate::dialogue::llm::LlmConfig;
use crate::dialogue::sound;
use crate::dialogue::tenant::{self, Tenant};
use crate::dialogue::text::Lang;
use crate::driver::{Callbacks, Services, Voices};
use crate::media::Frame;
use crate::media::vad::Vad;
use crate::record::wav::StereoWriter;
use crate::record::{CallInfo, CallRecord, Tap};
use crate::store::{Store, StoreHandle};
use crate::telemetry::metrics::Metrics;
use crate::tools::http::{self as http_tools, HttpTools};
use crate::tools::mcp::{self as mcp_tools, McpTools, Place};
use crate::tools::{NoTools, Tools};
use crate::tts::clause::Clauses;
use crate::tts::voices::Engine;
use crate::tts::{Mouth, hold, voices};

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
    /// The back office.
    #[error("the tools cannot be used: {0}")]
    Tools(#[from] http_tools::Error),
    /// The back office by MCP.
    #[error("the tools cannot be used: {0}")]
    Mcp(#[from] mcp_tools::Error),
    /// The mind.
    #[error("the mind cannot start: {0}")]
    Mind(#[from] engine::Error),
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
    tenant: Arc<Tenant>,
    voice: Option<String>,
}

/// The pools with the store.
pub struct Shared {
    /// Ears, mouth, mind, call-backs.
    pub services: Services,
    /// What the tenant chose.
    pub settings: Settings,
    tenant: String,
    folder: PathBuf,
    wav: bool,
    /// The database, for reading.
    pub database: Store,
    /// Figures of all calls.
    pub metrics: Metrics,
    /// Where customers write.
    pub chat: Desk,
    store: StoreHandle,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl Pools {
    /// Opens the pools. Must be called in a tokio runtime if a large language model, a back office or a recognition server is configured.
    pub fn open(config: &Config) -> Result<Self, Error> {
        let tenant = Tenant::load(&config.tenant.name, config.tenant.folder.as_deref())?;
        let asr = recognizer(&config.asr, &tenant)?;
        let tools: Arc<dyn Tools> = match &config.tools {
            Some(tools) => {
                let (specs, token) = (tenant.tools.clone(), tools.token.clone());
                match &tools.place {
                    ToolsPlace::Http(url) => {
                        Arc::new(HttpTools::new(specs, url, token, tokio::runtime::Handle::current())?)
                    }
                    ToolsPlace::Mcp(url) => mcp(McpTools::new(specs, Place::Url(url.clone()), token)?),
                    ToolsPlace::McpCommand(words) => {
                        mcp(McpTools::new(specs, Place::Command(words.clone()), token)?)
                    }
                }
            }
            None => Arc::new(NoTools::default()),
        };
        let mind =
            engine::open(tenant.clone(), llm_config(config), (!tools.specs().is_empty()).then(local_now))?;
        let names = voice_names(config, &tenant);
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let options = crate::tts::Options { voices: config.tts.folder.clone(), ..Default::default() };
        let tts = Arc::new(Mouth::open(&names, &options)?);
        let comfort = hold::music(config.tts.folder.as_deref())?;
        let settings = settings(config, &tenant, mind.clone(), comfort.into());
        let services = Services {
            asr,
            tts,
            mind,
            tools,
            callbacks: Arc::new(Unstored),
            language: config.asr.language,
            voices: Voices::default(),
        };
        let pools = Self { services, settings, tenant, voice: config.tts.voice.clone() };
        Ok(pools.in_language(config.asr.language))
    }

    /// The same pools for callers of another language, by its ISO 639-1 code.
    #[must_use]
    pub fn in_language(mut self, language: &'static str) -> Self {
        let lang = if language == "en" { Lang::En } else { Lang::Zh };
        self.services.language = language;
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
        let store = Store::open(&config.store).await?;
        let (handle, writer) = store.writer();
        let services = Services { callbacks: Arc::new(Stored(handle.clone())), ..pools.services };
        Ok(Self {
            chat: Desk::new(services.mind.clone(), services.tools.clone()),
            services,
            settings: pools.settings,
            tenant: pools.tenant.id.clone(),
            folder: config.record.folder.clone(),
            wav: config.record.wav,
            database: store,
            metrics: Metrics::new(),
            store: handle,
            writer: Mutex::new(Some(writer)),
        })
    }

    /// Who called whom, now.
    pub fn info(&self, door: &str, from: &str, to: &str) -> CallInfo {
        call_info(&self.tenant, door, from, to)
    }

    /// Notes that a call began; the taps store and count what happens in it.
    pub fn begin(&self, info: &CallInfo) -> Vec<Box<dyn Tap>> {
        self.store.begin(info);
        let stored = StoreTap { store: self.store.clone(), call: info.id.as_str().into() };
        vec![Box::new(stored), self.metrics.tap(info)]
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
    }
}

/// The tools of an MCP server. One that does not answer now may do so later: each use tries again.
fn mcp(tools: McpTools) -> Arc<dyn Tools> {
    if let Err(error) = tools.check() {
        tracing::error!(%error, "the MCP server cannot be reached; it is tried again with each use");
    }
    Arc::new(tools)
}

/// What `nightline doctor` says of the MCP server, if one is configured.
pub fn check_tools(config: &Config) -> Verdict {
    let Some(tools) = &config.tools else { return Verdict::Good("none configured".into()) };
    let place = match &tools.place {
        ToolsPlace::Http(url) => return Verdict::Good(format!("{url}, over HTTP")),
        ToolsPlace::Mcp(url) => Place::Url(url.clone()),
        ToolsPlace::McpCommand(words) => Place::Command(words.clone()),
    };
    let tenant = match Tenant::load(&config.tenant.name, config.tenant.folder.as_deref()) {
        Ok(tenant) => tenant,
        Err(error) => return Verdict::Wrong(error.to_string(), "correct the tenant's folder".into()),
    };
    let checked = McpTools::new(tenant.tools.clone(), place, tools.token.clone())
        .map_err(|error| error.to_string())
        .and_then(|tools| tools.check().map_err(|error| error.to_string()));
    match checked {
        Ok(missing) if missing.is_empty() => {
            Verdict::Good(format!("all {} tools of tools.toml are offered", tenant.tools.iter().count()))
        }
        Ok(missing) => Verdict::Wrong(
            format!("the MCP server does not offer {}", missing.join(", ")),
            "add them there, or take them and the flows that need them out of the tenant's folder".into(),
        ),
        Err(error) => Verdict::Wrong(error, "start the MCP server, or correct `tools.mcp`".into()),
    }
}

/// The large model, as configured.
pub fn llm_config(config: &Config) -> Option<LlmConfig> {
    config.llm.as_ref().map(|llm| LlmConfig {
        url: llm.url.clone(),
        fallbacks: llm.fallbacks.clone(),
        model: llm.model.clone(),
        api_key: llm.api_key.clone(),
        first_token: llm.first_token,
        total: llm.total,
        ..LlmConfig::default()
    })
}

/// Loads the recogniser's model as the server would.
pub fn check_recognizer(asr: &config::Asr) -> Verdict {
    let source = model_source(asr);
    match Whisper::open(&source, &Options { workers: 1, ..Options::default() }) {
        Ok(_) => Verdict::Good(match &asr.model {
            Model::Embedded => "the embedded model loads".into(),
            Model::File(path) => format!("{} loads", path.display()),
        }),
        Err(error) => Verdict::Wrong(
            error.to_string(),
            "set `asr.model` to \"embedded\" or to a whole ggml whisper file (`nightline models list`)"
                .into(),
        ),
    }
}

/// The model of this process, behind a server if one is configured. Must then be called in a tokio runtime.
fn recognizer(asr: &config::Asr, tenant: &Tenant) -> Result<Arc<dyn Recognizer>, Error> {
    let options = Options {
        workers: asr.workers.get(),
        prompt: Some(prompt(tenant, asr.language)),
        ..Options::default()
    };
    let local = Whisper::open(&model_source(asr), &options)?;
    let Some(remote) = &asr.remote else { return Ok(Arc::new(local)) };
    let mut hotwords = remote.hotwords.clone();
    hotwords.extend(tenant.config.hotwords.iter().cloned());
    let options = remote::Options { hotwords, ..remote.clone() };
    Ok(Arc::new(Remote::new(options, Arc::new(local), tokio::runtime::Handle::current())?))
}

/// Opens the tenant's data and its voices as the server would.
pub fn check_voices(config: &Config) -> Verdict {
    let opened = Tenant::load(&config.tenant.name, config.tenant.folder.as_deref())
        .map_err(Error::from)
        .and_then(|tenant| {
            let names = voice_names(config, &tenant);
            for name in &names {
                if let Engine::Espeak(_) = voices::load(name, config.tts.folder.as_deref())?.engine {
                    voices::load(name, config.tts.folder.as_deref())?.espeak()?;
                }
            }
            Ok(names)
        });
    match opened {
        Ok(names) => Verdict::Good(names.join(", ")),
        Err(error) => Verdict::Wrong(
            error.to_string(),
            "install espeak-ng-data and libespeak-ng1, or name another voice in `tts.voice`".into(),
        ),
    }
}

/// The configured voice, or the tenant's for each of its languages.
fn voice_names(config: &Config, tenant: &Tenant) -> Vec<String> {
    match &config.tts.voice {
        Some(voice) => vec![voice.clone()],
        None => tenant.config.voices.values().cloned().collect(),
    }
}

/// Where the configured model is.
pub fn model_source(asr: &config::Asr) -> ModelSource {
    match &asr.model {
        Model::Embedded => ModelSource::Embedded,
        Model::File(path) => ModelSource::File(path.clone()),
    }
}

/// What a public model is told before each utterance, so that it writes the tenant's words as the tenant does: a sentence
/// about the call, then the tenant's own list, then names of vehicles and parts, the ones of most entries first.
fn prompt(tenant: &Tenant, language: &str) -> String {
    /// A prompt costs time in each decoding and crowds out the utterance.
    const CHARACTERS: usize = 120;
    let chinese = language == "zh";
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for entry in tenant.knowledge.entries() {
        let models = entry.models.iter().map(crate::dialogue::vehicle::Model::name);
        for word in models.chain(entry.keywords.iter().map(String::as_str)) {
            *counts.entry(word).or_default() += 1;
        }
    }
    let mut words: Vec<(&str, usize)> = counts.into_iter().collect();
    words.sort_by_key(|(word, count)| (std::cmp::Reverse(*count), *word));
    let (mut prompt, comma, end) = if chinese {
        (format!("以下是{}客服热线的普通话通话。", tenant.config.name), "、", "。")
    } else {
        (format!("A call to the hotline of {}. ", tenant.config.name_en), ", ", ".")
    };
    let hotwords = tenant.config.hotwords.iter().map(String::as_str);
    let words = hotwords
        .clone()
        .chain(words.iter().map(|(word, _)| *word).filter(|word| hotwords.clone().all(|hot| hot != *word)))
        .filter(|word| chinese || Lang::of(word) == Some(Lang::En));
    for (index, word) in words.enumerate() {
        if prompt.chars().count() + word.chars().count() > CHARACTERS {
            break;
        }
        if index > 0 {
            prompt.push_str(comma);
        }
        prompt.push_str(word);
    }
    prompt + end
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
    }
}

fn settings(
    config: &Config,
    tenant: &Arc<Tenant>,
    mind: Arc<dyn crate::dialogue::Mind>,
    comfort: Arc<[i16]>,
) -> Settings {
    let turns = &config.turns;
    Settings {
        hearing: Hearing { partial_interval: config.asr.partial_interval, ..Hearing::default() },
        endpointing: Endpointing::new(turns.min_silence, turns.max_silence),
        greeting_expects: crate::dialogue::Expect::Open,
        barge_in: BargeIn {
            enabled: turns.barge_in,
            verdict: turns.barge_in_verdict,
            length: turns.barge_in_length,
            ..BargeIn::default()
        },
        no_input: turns.no_input,
        in_flight: Duration::from_millis(80),
        seats: config.seats.targets.iter().map(ToString::to_string).collect(),
        seat_ring: config.seats.ring_timeout,
        seat_accept: Duration::from_secs(45),
        thinking: Duration::from_secs(6),
        phrases: Arc::default(),
        lexicon: Arc::new(TenantLexicon(tenant.clone())),
        mind,
        comfort,
    }
}

/// The tenant's sentences, cut into clauses so that the first is spoken early.
fn phrases(tenant: &Tenant, lang: Lang) -> Phrases {
    let p = tenant.phrases(lang);
    Phrases {
        notice: clauses(&p.notice),
        greeting: clauses(&p.greeting),
        no_input: p.no_input.clone(),
        offer_person: clauses(&p.offer_person),
        thinking: p.thinking.clone(),
        handing_over: clauses(&p.handing_over),
        callback_offer: clauses(&p.seat_busy_offer),
        callback_same_number: clauses(&p.callback_same_number),
        ask_phone: clauses(&p.ask_phone),
        ask_phone_rest: clauses(&p.phone_more),
        ask_keys_rest: clauses(&p.keys_more),
        ask_time: clauses(&p.ask_time),
        callback_booked: clauses(&p.callback_confirm),
        callback_failed: clauses(&p.callback_failed),
        callback_declined: clauses(&p.callback_declined),
        seat_left: clauses(&p.seat_left),
        goodbye: clauses(&p.goodbye),
        apology: clauses(&p.broken),
        seat_keys: clauses(&p.seat_keys),
    }
}

fn clauses(text: &str) -> Vec<String> {
    let mut cutter = Clauses::new();
    let mut out = cutter.push(text);
    out.extend(cutter.finish());
    out
}

struct TenantLexicon(Arc<Tenant>);

impl Lexicon for TenantLexicon {
    fn is_backchannel(&self, words: &str) -> bool {
        self.0.lexicon.is_backchannel(words)
    }
    fn is_interrupt(&self, words: &str) -> bool {
        self.0.lexicon.is_interrupt(words)
    }
    fn likeness(&self, heard: &str, said: &str) -> f32 {
        /// Fewer syllables are alike by chance.
        const SHORTEST: usize = 3;
        /// Of so many syllables, so many may be strangers at the ends.
        const LONG: usize = 6;
        const SPARE: usize = 2;
        let heard = sound::syllables(heard);
        if heard.len() < SHORTEST {
            return 0.0;
        }
        let said = sound::Sounds::of(said);
        let part = |part: &[sound::Syllable]| {
            let share = part.len() as f32 / heard.len() as f32;
            said.find(part, 0.0).map_or(0.0, |found| found.similarity * share)
        };
        // An echo that begins or ends in what nobody said is one all the same.
        let most = if heard.len() >= LONG { SPARE } else { 0 };
        let ends = (0..=most).flat_map(|from| (0..=most - from).map(move |to| (from, to)));
        ends.map(|(from, to)| part(&heard[from..heard.len() - to])).fold(0.0, f32::max)
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
    fn a_public_model_is_told_the_tenants_words() {
        let tenant = Tenant::load("nev", None).expect("the embedded tenant is well formed");
        let chinese = prompt(&tenant, "zh");
        assert!(chinese.starts_with("以下是青屿汽车") && chinese.ends_with('。'), "{chinese}");
        assert!(chinese.contains('、') && chinese.chars().count() <= 121, "{chinese}");
        let english = prompt(&tenant, "en");
        assert!(english.contains("Qingyu Auto") && Lang::of(&english) == Some(Lang::En), "{english}");
    }

    #[test]
    fn only_a_telephone_number_is_called_back() {
        assert_eq!(telephone_number("sip:13800138000@pbx"), Some("13800138000".into()));
        assert_eq!(telephone_number("+8613800138000"), Some("8613800138000".into()));
        assert_eq!(telephone_number("sip:tester@127.0.0.1"), None);
        assert_eq!(telephone_number("anonymous"), None);
        assert_eq!(telephone_number("110"), None);
    }
}
