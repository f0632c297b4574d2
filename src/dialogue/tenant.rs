//! A tenant: one company's folder, loaded and checked.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;

use super::flow::{self, Flows};
use super::knowledge::{self, Knowledge};
use super::lexicon::Lexicon;
use super::phrases::Phrases;
use super::sound::Phrase;
use super::source::{self, Source};
use super::spelling::Spelling;
use super::text::Lang;
use super::wrap_up::WorkOrders;
use crate::calendar::{self, Calendar};
use crate::tools::{self, Specs};

/// One company: what it says, knows and forbids.
#[derive(Debug)]
pub struct Tenant {
    /// Name of its folder.
    pub id: String,
    /// `tenant.toml`.
    pub config: Config,
    /// Backchannels and interrupts.
    pub lexicon: Lexicon,
    /// Approved entries.
    pub knowledge: Knowledge,
    /// How its terms are written, whatever a recogniser wrote.
    pub spelling: Spelling,
    /// What can be done in its systems (`tools.toml`).
    pub tools: Specs,
    /// What must not be improvised (`flows/*.toml`).
    pub flows: Flows,
    /// When people answer (`calendar.toml`); [`None`] if it does not say.
    pub calendar: Option<Arc<Calendar>>,
}

/// `tenant.toml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The company's name in Chinese.
    pub name: String,
    /// The company's name in English.
    pub name_en: String,
    /// Languages by ISO 639-1 code, the main one first.
    pub languages: Vec<String>,
    /// Voice (folder in `voices/`) by language.
    pub voices: BTreeMap<String, String>,
    /// Files of short words.
    pub lexicon: LexiconFiles,
    /// Words that callers use and a recogniser may not expect: names of models, parts, places.
    #[serde(default)]
    pub hotwords: Vec<String>,
    /// Models of its vehicles, as entries name them in `models`; without them any name is taken.
    #[serde(default)]
    pub models: Vec<String>,
    /// Confidence limits.
    #[serde(default)]
    pub thresholds: Thresholds,
    /// From where on a caller counts as tense, or upset.
    #[serde(default)]
    pub mood: Moods,
    /// House style.
    #[serde(default)]
    pub style: Style,
    /// How callers are recognised.
    #[serde(default)]
    pub profile: Option<Profile>,
    /// Fixed sentences by language; `zh` and `en`.
    pub phrases: PhraseBook,
    /// Dangers, with the advice for each.
    #[serde(default)]
    pub safety: Vec<Danger>,
    /// How callers ask for a person.
    #[serde(default)]
    pub handoff: Cues,
    /// How callers show anger.
    #[serde(default)]
    pub upset: Cues,
    /// What callers say while a person is waited for.
    #[serde(default)]
    pub waiting: Waiting,
    /// The skill that a seat needs, by the reason of the handoff or by topic.
    #[serde(default)]
    pub skills: BTreeMap<String, String>,
    /// Calls that we place.
    #[serde(default)]
    pub outbound: Calls,
    /// How callers complain without it.
    #[serde(default)]
    pub complaint: Option<Complaint>,
    /// The bot stays in the bridge and writes down what caller and seat say.
    #[serde(default)]
    pub notes: bool,
    /// Who is asked at the end how content it is; nobody without it.
    #[serde(default)]
    pub rating: Option<Rating>,
    /// What people are told to do after a call.
    #[serde(default)]
    pub work_orders: Option<WorkOrders>,
}

/// The tenant's tools, if it has any.
const TOOLS: &str = "tools.toml";

/// Files of short words, relative to the tenant's folder.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LexiconFiles {
    /// Lists of backchannels.
    pub backchannels: Vec<String>,
    /// Lists of interrupts.
    pub interrupts: Vec<String>,
}

/// Confidence limits in 0..=1.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Thresholds {
    /// From here on the bot answers.
    pub answer: f32,
    /// The same for entries of sensitive topics.
    pub sensitive: f32,
    /// From here on a topic is offered when the bot asks back.
    pub near: f32,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self { answer: 0.85, sensitive: 0.9, near: 0.15 }
    }
}

/// Limits of a caller's mood in 0..=1.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Moods {
    /// From here on the caller is met with understanding, answers are short, and the thresholds of confidence rise.
    pub tense: f32,
    /// From here on a person takes over.
    pub upset: f32,
    /// By how much the thresholds of confidence rise for a tense caller.
    pub stricter: f32,
}

impl Default for Moods {
    fn default() -> Self {
        Self { tense: 0.5, upset: 0.85, stricter: 0.1 }
    }
}

/// Who is asked at the end of the call how content it is.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rating {
    /// Callers who say goodbye after so many answers, small talk aside, or after a talk with a seat.
    pub after_answers: u32,
}

/// House style.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Style {
    /// Never spoken.
    #[serde(default)]
    pub forbidden: Vec<String>,
    /// Spoken by a large model only if a source says it: promises, prices, safety.
    #[serde(default)]
    pub claims: Vec<String>,
    /// Words of callers who know cars: they get the short wording of an entry (`expert`).
    #[serde(default)]
    pub technical: Vec<String>,
}

/// The tool that tells whose number is calling; used at the first turn in which the answer depends on the vehicle.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Its name. It must only look up.
    pub tool: String,
    /// Its argument that takes the calling number.
    pub phone: String,
    /// JSON pointer to the list of vehicles in its answer.
    pub vehicles: String,
    /// JSON pointer to how the customer is addressed (陈先生), for the page of a seat.
    #[serde(default)]
    pub address: Option<String>,
    /// JSON pointer to the customer's class (金卡).
    #[serde(default)]
    pub value: Option<String>,
    /// What the classes are worth, the more the sooner a seat; 0 for others. Danger and anger count before it.
    #[serde(default)]
    pub values: BTreeMap<String, u8>,
}

/// Fixed sentences by language.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PhraseBook {
    /// Mandarin.
    pub zh: Phrases,
    /// English.
    pub en: Phrases,
}

/// A danger and its advice.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Danger {
    /// How callers tell of it.
    #[serde(flatten)]
    pub cues: Cues,
    /// One clause or two of advice.
    pub advice: String,
    /// The same in English.
    pub advice_en: String,
}

/// A complaint and the flow that listens to it; where that cannot be begun, it is for a person as anger is.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Complaint {
    /// How callers complain.
    #[serde(flatten)]
    pub cues: Cues,
    /// The flow.
    pub flow: String,
}

/// Words that betray an intent.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cues {
    /// Matched by character, anywhere.
    #[serde(default)]
    pub words: Vec<String>,
    /// Matched also by sound, anywhere.
    #[serde(default)]
    pub phrases: Vec<Phrase>,
    /// English, matched as whole words.
    #[serde(default)]
    pub words_en: Vec<String>,
    /// Wordings that only ask about it: these do not count.
    #[serde(default)]
    pub info: Vec<String>,
}

/// How customers are called.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Calls {
    /// Nobody is called from the first time to the second, in the hotline's zone; it may cross midnight.
    pub quiet: Option<[jiff::civil::Time; 2]>,
    /// How often a customer is tried.
    pub attempts: u32,
    /// Minutes between attempts.
    pub retry_minutes: u32,
    /// Whether a reminder is left with a machine that records.
    pub leave_message: bool,
    /// Said to somebody who is called back, before the person is brought in.
    pub callback_here: String,
}

impl Calls {
    /// From an attempt that came to nothing to the next.
    pub fn retry(&self) -> jiff::SignedDuration {
        jiff::SignedDuration::from_mins(i64::from(self.retry_minutes))
    }
}

impl Default for Calls {
    fn default() -> Self {
        Self {
            quiet: None,
            attempts: 3,
            retry_minutes: 30,
            leave_message: true,
            callback_here: "您之前登记了回电，现在给您回过来。".into(),
        }
    }
}

/// What callers say while a person is waited for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Waiting {
    /// They would rather be called back.
    pub stop: Cues,
    /// They want to know how long it takes.
    pub how_long: Cues,
}

/// Why a tenant could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such tenant.
    #[error("there is no tenant `{name}`; known ones: {known}. Name one of them, or give its folder")]
    Unknown {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// `tenant.toml` is wrong.
    #[error("{file}:{line}: {problem}; correct it")]
    Config {
        /// The file.
        file: String,
        /// Line from 1.
        line: usize,
        /// What is wrong.
        problem: String,
    },
    /// A file is missing.
    #[error(transparent)]
    Source(#[from] source::Error),
    /// The knowledge is wrong.
    #[error(transparent)]
    Knowledge(#[from] knowledge::Error),
    /// The tools are wrong.
    #[error(transparent)]
    Tools(#[from] tools::Error),
    /// A flow is wrong.
    #[error(transparent)]
    Flow(#[from] flow::Error),
    /// The calendar is wrong.
    #[error(transparent)]
    Calendar(#[from] calendar::Error),
    /// A tool names a flow that is not there.
    #[error(
        "tools.toml: the tool `{tool}` is personal, but there is no flow `{flow}`; name one of flows/*.toml"
    )]
    NoGuard {
        /// The tool.
        tool: String,
        /// The flow.
        flow: String,
    },
    /// The profile's tool is not there.
    #[error(
        "[profile] in tenant.toml: `{0}` is no tool that only looks up, with that argument; name one of tools.toml"
    )]
    NoProfile(String),
    /// The work orders cannot be made.
    #[error("[work_orders] in tenant.toml: {0}")]
    WorkOrders(String),
    /// An entry begins a flow that is not there.
    #[error("`{entry}`: there is no flow `{flow}`; name one of flows/*.toml")]
    NoFlow {
        /// The entry.
        entry: String,
        /// The flow.
        flow: String,
    },
}

impl Tenant {
    /// Loads the tenant `name`: the folder `<folder>/<name>` if `folder` is given and has it, else the embedded one. Entries
    /// are checked for validity on today's date.
    pub fn load(name: &str, folder: Option<&Path>) -> Result<Arc<Self>, Error> {
        let today = jiff::Timestamp::try_from(crate::clock::wall())
            .unwrap_or(jiff::Timestamp::UNIX_EPOCH)
            .to_zoned(jiff::tz::TimeZone::system())
            .date();
        Self::load_on(name, folder, today).map(Arc::new)
    }

    /// Where the files of the tenant `name` are: as [`load`](Self::load) chooses.
    pub fn source(name: &str, folder: Option<&Path>) -> Result<Source, Error> {
        let on_disk = folder.map(|f| f.join(name)).filter(|f| f.join("tenant.toml").exists());
        match on_disk {
            Some(path) => Ok(Source::Folder(path)),
            None if Source::embedded_names().iter().any(|n| n == name) => {
                Ok(Source::Embedded(name.to_owned()))
            }
            None => {
                let known = Source::embedded_names().join(", ");
                Err(Error::Unknown { name: name.to_owned(), known })
            }
        }
    }

    /// `tenant.toml` alone.
    pub fn config(source: &Source) -> Result<Config, Error> {
        let text = source.read("tenant.toml")?;
        toml::from_str(&text).map_err(|e| Error::Config {
            file: source.show("tenant.toml"),
            line: source::line_of(&text, &e),
            problem: e.message().to_owned(),
        })
    }

    /// `tools.toml` and the flows that use them.
    pub fn deeds(source: &Source) -> Result<(Specs, Flows), Error> {
        let tools = if source.list("", "toml")?.iter().any(|file| file == TOOLS) {
            Specs::parse(&source.show(TOOLS), &source.read(TOOLS)?)?
        } else {
            Specs::default()
        };
        let flows = Flows::load(source, &tools)?;
        let guarded = tools.iter().filter_map(|tool| Some((tool, tool.personal.as_ref()?)));
        for (tool, flow) in guarded {
            if flows.find(flow).is_none() {
                return Err(Error::NoGuard { tool: tool.name.clone(), flow: flow.clone() });
            }
        }
        Ok((tools, flows))
    }

    /// As [`load`](Self::load) on a given day.
    pub fn load_on(name: &str, folder: Option<&Path>, today: jiff::civil::Date) -> Result<Self, Error> {
        let source = Self::source(name, folder)?;
        let config = Self::config(&source)?;
        let read = |files: &[String]| -> Result<Vec<String>, source::Error> {
            files.iter().map(|f| source.read(f)).collect()
        };
        let backchannels = read(&config.lexicon.backchannels)?;
        let interrupts = read(&config.lexicon.interrupts)?;
        let lexicon =
            Lexicon::load(backchannels.iter().map(String::as_str), interrupts.iter().map(String::as_str));
        let knowledge = Knowledge::load(&source, today, &config.style.forbidden)?;
        let spelling = Spelling::new(&config, &knowledge);
        let (tools, flows) = Self::deeds(&source)?;
        if let Some(profile) = config.profile.as_ref().filter(|_| !tools.is_empty()) {
            let takes = |tool: &tools::Spec| {
                !tool.changes && tool.parameters.pointer(&format!("/properties/{}", profile.phone)).is_some()
            };
            if !tools.find(&profile.tool).is_some_and(|tool| takes(tool)) {
                return Err(Error::NoProfile(profile.tool.clone()));
            }
        }
        if let Some(complaint) =
            config.complaint.as_ref().filter(|c| !tools.is_empty() && flows.find(&c.flow).is_none())
        {
            return Err(Error::NoFlow { entry: "[complaint]".into(), flow: complaint.flow.clone() });
        }
        if let Some(orders) = config.work_orders.as_ref().filter(|_| !tools.is_empty()) {
            orders.check(&tools).map_err(Error::WorkOrders)?;
        }
        for entry in knowledge.entries() {
            if let Some(flow) = entry.flow.as_ref().filter(|flow| flows.find(flow).is_none()) {
                return Err(Error::NoFlow { entry: entry.id.clone(), flow: flow.clone() });
            }
        }
        let calendar = Calendar::load(&source)?.map(Arc::new);
        Ok(Self { id: name.to_owned(), config, lexicon, knowledge, spelling, tools, flows, calendar })
    }

    /// Fixed sentences in that language.
    pub fn phrases(&self, lang: Lang) -> &Phrases {
        match lang {
            Lang::Zh => &self.config.phrases.zh,
            Lang::En => &self.config.phrases.en,
        }
    }

    /// True if `text` holds a word that the house style rules out.
    pub fn forbids(&self, text: &str) -> bool {
        self.config.style.forbidden.iter().any(|w| text.contains(w.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_tenant_loads_and_is_complete() {
        let tenant = Tenant::load("nev", None).expect("the embedded tenant is well formed");
        assert!(tenant.knowledge.entries().len() >= 66, "only {} entries", tenant.knowledge.entries().len());
        for entry in tenant.knowledge.entries() {
            let length = entry.answer.chars().count();
            assert!(length <= 80, "{}: an answer of {length} characters is too long to listen to", entry.id);
            assert!((4..=8).contains(&entry.questions.len()), "{}: give 4 to 8 questions", entry.id);
        }
        let english = tenant.knowledge.entries().iter().filter(|e| e.answer_en.is_some()).count();
        assert!(english >= 10, "only {english} entries speak English");
    }

    #[test]
    fn an_unknown_tenant_is_answered_with_the_known_ones() {
        let error = Tenant::load("nevv", None).expect_err("there is no such tenant").to_string();
        assert!(error.contains("nevv") && error.contains("known ones: nev"), "{error}");
    }

    #[test]
    fn a_wrong_tenant_file_is_named_with_its_line() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        std::fs::create_dir(dir.path().join("x")).expect("a folder in it");
        std::fs::write(dir.path().join("x/tenant.toml"), "name = \"x\"\nnam = 3\n").expect("a file in it");
        let error = Tenant::load("x", Some(dir.path())).expect_err("the file is wrong").to_string();
        assert!(error.contains("tenant.toml:2:"), "{error}");
        let whole = Source::Embedded("nev".into()).read("tenant.toml").expect("the reference tenant has one");
        let typo = whole.replacen("phrases = [", "frases = [", 1);
        std::fs::write(dir.path().join("x/tenant.toml"), typo).expect("a file in it");
        let error = Tenant::load("x", Some(dir.path())).expect_err("one key is misspelt").to_string();
        assert!(error.contains("frases"), "{error}");
    }
}
