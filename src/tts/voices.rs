//! Voices: one folder each, embedded in the program, and any folder on disk that adds to them or takes their place.
//!
//! A folder holds `voice.toml` and, for Mandarin, `polyphones.txt` and `lexicon.txt`; a file that a folder on disk lacks is
//! taken from the embedded folder of the same name, or from that of the embedded voice of its language.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::SecretString;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::espeak::{self, Espeak};
use super::normalize::Language;
use super::pinyin::Reader;

#[derive(rust_embed::RustEmbed)]
#[folder = "voices/"]
struct Embedded;

/// Why a voice cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such folder.
    #[error("there is no voice `{name}`{}; voices are: {have}", .nearest.as_ref().map(|n| format!(", did you mean `{n}`?")).unwrap_or_default())]
    Unknown {
        /// What was asked for.
        name: String,
        /// The most similar name.
        nearest: Option<String>,
        /// All names.
        have: String,
    },
    /// A file is wrong.
    #[error("{file} of the voice `{name}` cannot be used: {problem}")]
    Bad {
        /// The voice.
        name: String,
        /// The file in its folder.
        file: &'static str,
        /// What is wrong and where.
        problem: String,
    },
    /// The folder with voices cannot be read.
    #[error("the folder of voices {dir} cannot be read: {source}; correct `tts.voices` or create it")]
    Folder {
        /// The folder.
        dir: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The embedded engine does not start.
    #[error("the voice `{name}` cannot speak: {source}")]
    Engine {
        /// The voice.
        name: String,
        /// Why, and what to install.
        source: espeak::Error,
    },
    /// The HTTP client cannot be made.
    #[error("the voice `{name}` cannot speak: {problem}")]
    Http {
        /// The voice.
        name: String,
        /// Why.
        problem: String,
    },
}

/// A voice as its folder describes it.
#[derive(Clone, Debug)]
pub struct Voice {
    /// Its folder.
    pub name: String,
    /// The language it speaks.
    pub language: Language,
    /// Who owns what.
    pub licence: String,
    /// What speaks.
    pub engine: Engine,
    /// Digest of all its files: audio made with other settings is never taken for its own.
    pub digest: [u8; 32],
    polyphones: String,
    lexicon: String,
}

/// What makes the audio.
#[derive(Clone, Debug)]
pub enum Engine {
    /// espeak-ng, in this process.
    Espeak(EspeakVoice),
    /// A server that speaks `POST /v1/audio/speech`.
    Http(HttpVoice),
}

/// Settings of an espeak-ng voice.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EspeakVoice {
    /// espeak-ng's name of the voice; `cmn-latn-pinyin` for Mandarin.
    pub name: String,
    /// The voice for English words.
    #[serde(default = "english")]
    pub english: String,
    /// espeak-ng's voice variant (`f2`, `m3` …); empty for none.
    #[serde(default)]
    pub variant: String,
    /// Words a minute, 80..=450.
    #[serde(default = "rate")]
    pub rate: u16,
    /// Pitch, 0..=99.
    #[serde(default = "middle")]
    pub pitch: u8,
    /// Pitch range, 0..=99.
    #[serde(default = "middle")]
    pub range: u8,
}

impl Default for EspeakVoice {
    fn default() -> Self {
        Self {
            name: "cmn-latn-pinyin".to_owned(),
            english: english(),
            variant: String::new(),
            rate: rate(),
            pitch: middle(),
            range: middle(),
        }
    }
}

/// Settings of a voice behind `POST /v1/audio/speech`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpVoice {
    /// Up to and without `/v1/audio/speech`, such as `http://127.0.0.1:8000`.
    pub url: String,
    /// The server's model.
    pub model: String,
    /// The server's voice.
    pub voice: String,
    /// Environment variable that holds the bearer token, if one is needed.
    #[serde(default)]
    pub key_env: Option<String>,
    /// Samples a second of the server's `pcm`.
    #[serde(default = "pcm_rate")]
    pub rate: u32,
    /// Longest wait for the first audio, milliseconds.
    #[serde(default = "first_audio")]
    pub first_audio_ms: u64,
    /// Longest wait between two pieces of audio, milliseconds.
    #[serde(default = "stall")]
    pub stall_ms: u64,
    /// Send the text in spoken form rather than as written (for servers that read numbers badly).
    #[serde(default)]
    pub spoken_form: bool,
}

impl HttpVoice {
    /// Longest wait for the first audio.
    pub fn first_audio(&self) -> Duration {
        Duration::from_millis(self.first_audio_ms)
    }

    /// Longest wait between two pieces of audio.
    pub fn stall(&self) -> Duration {
        Duration::from_millis(self.stall_ms)
    }

    /// The bearer token, if the environment has it.
    pub fn key(&self) -> Option<SecretString> {
        std::env::var(self.key_env.as_ref()?).ok().map(SecretString::from)
    }
}

fn english() -> String {
    "en-us".to_owned()
}
fn rate() -> u16 {
    175
}
fn middle() -> u8 {
    50
}
fn pcm_rate() -> u32 {
    24_000
}
fn first_audio() -> u64 {
    4_000
}
fn stall() -> u64 {
    2_000
}

/// `voice.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    engine: EngineName,
    language: Language,
    #[serde(default)]
    licence: String,
    espeak: Option<EspeakVoice>,
    http: Option<HttpVoice>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum EngineName {
    Espeak,
    Http,
}

/// Names of all voices, sorted: those embedded and those in `dir`.
pub fn list(dir: Option<&Path>) -> Result<Vec<String>, Error> {
    let mut names: BTreeSet<String> =
        Embedded::iter().filter_map(|path| path.strip_suffix("/voice.toml").map(str::to_owned)).collect();
    if let Some(dir) = dir {
        let failed = |source| Error::Folder { dir: dir.to_owned(), source };
        for entry in std::fs::read_dir(dir).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if entry.path().join("voice.toml").is_file() {
                names.insert(entry.file_name().to_string_lossy().into_owned());
            }
        }
    }
    Ok(names.into_iter().collect())
}

/// The voice `name`, from `dir` if it is there, else the embedded one.
pub fn load(name: &str, dir: Option<&Path>) -> Result<Voice, Error> {
    let names = list(dir)?;
    if !names.iter().any(|n| n == name) {
        let nearest = names
            .iter()
            .map(|n| (strsim::jaro_winkler(n, name), n))
            .filter(|(likeness, _)| *likeness > 0.6)
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .map(|(_, n)| n.clone());
        return Err(Error::Unknown { name: name.to_owned(), nearest, have: names.join(", ") });
    }
    let bad = |file, problem: String| Error::Bad { name: name.to_owned(), file, problem };
    let read = |file: &'static str, folder: &str| -> Result<Option<String>, Error> {
        let on_disk = dir.map(|dir| dir.join(folder).join(file)).filter(|path| path.is_file());
        let bytes = match on_disk {
            Some(path) => {
                Some(std::fs::read(&path).map_err(|e| bad(file, format!("{}: {e}", path.display())))?)
            }
            None => Embedded::get(&format!("{folder}/{file}")).map(|f| f.data.into_owned()),
        };
        bytes.map(|b| String::from_utf8(b).map_err(|_| bad(file, "it is not UTF-8".to_owned()))).transpose()
    };
    let toml = read("voice.toml", name)?.unwrap_or_default();
    let file: File = toml::from_str(&toml).map_err(|e| bad("voice.toml", e.to_string()))?;
    let fallback = match file.language {
        Language::Zh => "nightline-zh",
        Language::En => "nightline-en",
    };
    let data = |file| -> Result<String, Error> {
        Ok(match read(file, name)? {
            Some(text) => text,
            None => read(file, fallback)?.unwrap_or_default(),
        })
    };
    let (polyphones, lexicon) = (data("polyphones.txt")?, data("lexicon.txt")?);
    let engine = match (file.engine, file.espeak, file.http) {
        (EngineName::Espeak, Some(espeak), _) => {
            let wrong = if !(80..=450).contains(&espeak.rate) {
                Some(format!("rate = {} is not within 80..=450 words a minute", espeak.rate))
            } else if espeak.pitch > 99 || espeak.range > 99 {
                Some("pitch and range are within 0..=99".to_owned())
            } else {
                None
            };
            if let Some(problem) = wrong {
                return Err(bad("voice.toml", problem));
            }
            Engine::Espeak(espeak)
        }
        (EngineName::Http, _, Some(http)) => {
            if !(8_000..=96_000).contains(&http.rate) {
                return Err(bad(
                    "voice.toml",
                    format!("rate = {} is not within 8000..=96000 samples a second", http.rate),
                ));
            }
            Engine::Http(http)
        }
        (EngineName::Espeak, ..) => {
            return Err(bad("voice.toml", "engine = \"espeak\" needs a table [espeak]".to_owned()));
        }
        (EngineName::Http, ..) => {
            return Err(bad("voice.toml", "engine = \"http\" needs a table [http]".to_owned()));
        }
    };
    let mut digest = Sha256::new();
    for part in [name, &toml, &polyphones, &lexicon] {
        digest.update((part.len() as u64).to_le_bytes());
        digest.update(part);
    }
    Ok(Voice {
        name: name.to_owned(),
        language: file.language,
        licence: file.licence,
        engine,
        digest: digest.finalize().into(),
        polyphones,
        lexicon,
    })
}

impl Voice {
    /// Opens the embedded engine with this voice's settings.
    pub fn espeak(&self) -> Result<Espeak, Error> {
        let settings = match &self.engine {
            Engine::Espeak(settings) => settings.clone(),
            Engine::Http(_) => EspeakVoice::default(),
        };
        Espeak::open(&settings, self.language, self.reader()?)
            .map_err(|source| Error::Engine { name: self.name.clone(), source })
    }

    fn reader(&self) -> Result<Reader, Error> {
        let bad = |file, problem: String| Error::Bad { name: self.name.clone(), file, problem };
        // Told apart so that the message names the file.
        Reader::new(&self.polyphones, "").map_err(|e| bad("polyphones.txt", e.to_string()))?;
        Reader::new(&self.polyphones, &self.lexicon).map_err(|e| bad("lexicon.txt", e.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        dir
    }

    #[test]
    fn the_embedded_voices_are_there_and_usable() {
        let names = list(None).unwrap();
        assert_eq!(names, ["nightline-en", "nightline-zh"]);
        for name in names {
            let voice = load(&name, None).unwrap();
            assert!(voice.licence.contains("GPL"), "{name} says what it rests on");
            voice.espeak().unwrap_or_else(|e| panic!("{e}"));
        }
    }

    #[test]
    fn an_unknown_voice_brings_the_nearest_name() {
        let error = load("nightlin-zh", None).unwrap_err().to_string();
        assert!(error.contains("did you mean `nightline-zh`?"), "{error}");
        assert!(load("../../etc", None).unwrap_err().to_string().contains("there is no voice"));
    }

    #[test]
    fn a_folder_on_disk_takes_the_place_of_an_embedded_one() {
        let dir = folder(&[(
            "nightline-zh/voice.toml",
            "engine = \"espeak\"\nlanguage = \"zh\"\n[espeak]\nname = \"cmn-latn-pinyin\"\nrate = 250\n",
        )]);
        let ours = load("nightline-zh", Some(dir.path())).unwrap();
        let embedded = load("nightline-zh", None).unwrap();
        assert!(matches!(&ours.engine, Engine::Espeak(e) if e.rate == 250));
        assert_ne!(ours.digest, embedded.digest, "other settings are another voice to the cache");
        assert_eq!(ours.polyphones, embedded.polyphones, "files that are not there are the embedded ones");
    }

    #[test]
    fn mistakes_in_a_voice_are_named() {
        for (toml, says) in [
            ("engine = \"espeak\"\nlanguage = \"zh\"\n", "needs a table [espeak]"),
            ("engine = \"festival\"\nlanguage = \"zh\"\n", "festival"),
            ("engine = \"espeak\"\nlanguage = \"zh\"\n[espeak]\nname = \"x\"\nspeed = 3\n", "speed"),
            ("engine = \"espeak\"\nlanguage = \"zh\"\n[espeak]\nname = \"x\"\nrate = 3\n", "80..=450"),
            (
                "engine = \"http\"\nlanguage = \"zh\"\n[http]\nurl=\"u\"\nmodel=\"m\"\nvoice=\"v\"\nrate=1\n",
                "8000..=96000",
            ),
        ] {
            let dir = folder(&[("mine/voice.toml", toml)]);
            let error = load("mine", Some(dir.path())).unwrap_err().to_string();
            assert!(error.contains(says) && error.contains("mine"), "{error}");
        }
        let error = list(Some(Path::new("/nowhere/voices"))).unwrap_err().to_string();
        assert!(error.contains("/nowhere/voices"), "{error}");
    }
}
