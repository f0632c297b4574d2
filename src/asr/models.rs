//! The published whisper models: what there is, what it costs, how to check a file and how to get it.
//!
//! Names, addresses and SHA-1 sums are those that `ggerganov/whisper.cpp` publishes on Hugging Face in its README. All are
//! OpenAI's whisper models, under the MIT licence.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::digest::hexadecimal;
use futures_util::StreamExt;
use sha1::{Digest, Sha1};
use sha2::Sha256;
use tokio::io::AsyncWriteExt;

use super::whisper::{OpenError, inspect};

/// One published model file.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Published {
    /// Short name, as whisper.cpp uses it: `base-q5_1`.
    pub name: &'static str,
    /// Size of the file in MiB, rounded as published.
    pub size_mib: u32,
    /// SHA-1 of the file, as published; `None` where no published sum is known.
    pub sha1: Option<&'static str>,
    /// `zh, en and 97 more` or `en`.
    pub languages: &'static str,
    /// Memory for the model and one worker, in MiB: the file and its working buffers, estimated.
    pub memory_mib: u32,
    /// Time to decode as a share of the audio's, one thread of a 2020s server core, for utterances of 3 s: measured for tiny
    /// and base, scaled by the number of parameters for the rest.
    pub real_time_factor: f32,
}

impl Published {
    /// Name of the file.
    pub fn file(&self) -> String {
        format!("ggml-{}.bin", self.name)
    }

    /// Where it is published.
    pub fn url(&self) -> String {
        format!("https://huggingface.co/ggerganov/whisper.cpp/resolve/main/{}", self.file())
    }
}

const ALL: &str = "zh, en and 97 more";
const ALL_AND_CANTONESE: &str = "zh, en, yue and 97 more";
const EN: &str = "en";

const fn published(
    name: &'static str,
    size_mib: u32,
    sha1: &'static str,
    languages: &'static str,
    memory_mib: u32,
    real_time_factor: f32,
) -> Published {
    Published { name, size_mib, sha1: Some(sha1), languages, memory_mib, real_time_factor }
}

/// What can be fetched, smallest first within a family.
pub const CATALOGUE: &[Published] = &[
    published("tiny", 75, "bd577a113a864445d4c299885e0cb97d4ba92b5f", ALL, 140, 0.15),
    published("tiny-q5_1", 31, "2827a03e495b1ed3048ef28a6a4620537db4ee51", ALL, 95, 0.15),
    published("tiny-q8_0", 42, "19e8118f6652a650569f5a949d962154e01571d9", ALL, 110, 0.12),
    published("tiny.en", 75, "c78c86eb1a8faa21b369bcd33207cc90d64ae9df", EN, 140, 0.15),
    published("tiny.en-q5_1", 31, "3fb92ec865cbbc769f08137f22470d6b66e071b6", EN, 95, 0.15),
    published("tiny.en-q8_0", 42, "802d6668e7d411123e672abe4cb6c18f12306abb", EN, 110, 0.12),
    published("base", 142, "465707469ff3a37a2b9b8d8f89f2f99de7299dac", ALL, 240, 0.4),
    published("base-q5_1", 57, "a3733eda680ef76256db5fc5dd9de8629e62c5e7", ALL, 155, 0.4),
    published("base-q8_0", 78, "7bb89bb49ed6955013b166f1b6a6c04584a20fbe", ALL, 175, 0.3),
    published("base.en", 142, "137c40403d78fd54d454da0f9bd998f78703390c", EN, 240, 0.4),
    published("base.en-q5_1", 57, "d26d7ce5a1b6e57bea5d0431b9c20ae49423c94a", EN, 155, 0.4),
    published("base.en-q8_0", 78, "bb1574182e9b924452bf0cd1510ac034d323e948", EN, 175, 0.3),
    published("small", 466, "55356645c2b361a969dfd0ef2c5a50d530afd8d5", ALL, 650, 1.3),
    published("small-q5_1", 181, "6fe57ddcfdd1c6b07cdcc73aaf620810ce5fc771", ALL, 370, 1.3),
    published("small-q8_0", 252, "bcad8a2083f4e53d648d586b7dbc0cd673d8afad", ALL, 440, 1.0),
    published("small.en", 466, "db8a495a91d927739e50b3fc1cc4c6b8f6c2d022", EN, 650, 1.3),
    published("small.en-q5_1", 181, "20f54878d608f94e4a8ee3ae56016571d47cba34", EN, 370, 1.3),
    published("small.en-q8_0", 252, "9d75ff4ccfa0a8217870d7405cf8cef0a5579852", EN, 440, 1.0),
    published("medium", 1536, "fd9727b6e1217c2f614f9b698455c4ffd82463b4", ALL, 1900, 4.0),
    published("medium-q5_0", 514, "7718d4c1ec62ca96998f058114db98236937490e", ALL, 900, 4.0),
    published("medium-q8_0", 785, "e66645948aff4bebbec71b3485c576f3d63af5d6", ALL, 1200, 3.2),
    published("large-v2", 2960, "0f4c8e34f21cf1a914c59d8b3ce882345ad349d6", ALL, 3600, 8.0),
    published("large-v2-q5_0", 1126, "00e39f2196344e901b3a2bd5814807a769bd1630", ALL, 1700, 8.0),
    published("large-v3", 2960, "ad82bf6a9043ceed055076d0fd39f5f186ff8062", ALL_AND_CANTONESE, 3600, 8.0),
    published(
        "large-v3-q5_0",
        1126,
        "e6e2ed78495d403bef4b7cff42ef4aaadcfea8de",
        ALL_AND_CANTONESE,
        1700,
        8.0,
    ),
    published(
        "large-v3-turbo",
        1536,
        "4af2b29d7ec73d781377bfd1758ca957a807e941",
        ALL_AND_CANTONESE,
        2000,
        5.0,
    ),
    published(
        "large-v3-turbo-q5_0",
        547,
        "e050f7970618a659205450ad97eb95a18d69c9ee",
        ALL_AND_CANTONESE,
        1000,
        5.0,
    ),
    published(
        "large-v3-turbo-q8_0",
        834,
        "01bf15bedffe9f39d65c1b6ff9b687ea91f59e0e",
        ALL_AND_CANTONESE,
        1300,
        4.0,
    ),
];

/// The published model called `name`, also as a file name (`ggml-base.bin`).
pub fn find(name: &str) -> Result<&'static Published, Error> {
    let short = name.strip_prefix("ggml-").unwrap_or(name);
    let short = short.strip_suffix(".bin").unwrap_or(short);
    CATALOGUE.iter().find(|model| model.name == short).ok_or_else(|| {
        let nearest = CATALOGUE.iter().max_by(|a, b| {
            strsim::jaro_winkler(a.name, short).total_cmp(&strsim::jaro_winkler(b.name, short))
        });
        Error::Unknown { name: name.into(), nearest: nearest.map_or("base", |model| model.name) }
    })
}

/// Why a model could not be fetched or verified.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No published model has that name.
    #[error(
        "there is no published model `{name}`; did you mean `{nearest}`? `nightline models list` shows all"
    )]
    Unknown {
        /// What was asked for.
        name: String,
        /// The most similar name.
        nearest: &'static str,
    },
    /// The server cannot be reached.
    #[error(
        "cannot reach {url}: {reason}. Without the internet: fetch the file on another machine, copy it here, \
         check it with `nightline models verify FILE` and set `asr.model` to its path; or give a mirror with --url. What was \
         already fetched is kept and continued next time"
    )]
    Unreachable {
        /// The address.
        url: String,
        /// What went wrong, from the outside in.
        reason: String,
    },
    /// The server answered something else than the file.
    #[error("{url} answered {status}; check the address or give another with --url")]
    Status {
        /// The address.
        url: String,
        /// The HTTP status.
        status: u16,
    },
    /// The connection broke in the middle.
    #[error(
        "the connection to {url} broke after {got} bytes ({reason}); run the same command again to continue"
    )]
    Broken {
        /// The address.
        url: String,
        /// Bytes on disk.
        got: u64,
        /// What went wrong.
        reason: String,
    },
    /// The content is not what was published.
    #[error(
        "{} has SHA-1 {found}, but {expected} is published: the file is damaged or not that model; it was {kept}",
        path.display()
    )]
    WrongHash {
        /// The file.
        path: PathBuf,
        /// Its sum.
        found: String,
        /// The published sum.
        expected: String,
        /// `removed` or `left as it is`.
        kept: &'static str,
    },
    /// The file is not a whole whisper model.
    #[error(transparent)]
    Model(#[from] OpenError),
    /// A file cannot be read or written.
    #[error("{}: {source}; is there space and permission?", path.display())]
    Disk {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Sums of a file.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Sums {
    /// Length in bytes.
    pub length: u64,
    /// SHA-1, hexadecimal: what whisper.cpp publishes.
    pub sha1: String,
    /// SHA-256, hexadecimal.
    pub sha256: String,
}

/// Reads the whole file. Blocks; `progress` is told how many bytes were read since the last call.
pub fn sums(path: &Path, mut progress: impl FnMut(u64)) -> Result<Sums, Error> {
    let disk = |source| Error::Disk { path: path.into(), source };
    let mut file = File::open(path).map_err(disk)?;
    let (mut sha1, mut sha256, mut length) = (Sha1::new(), Sha256::new(), 0);
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = file.read(&mut buffer).map_err(disk)?;
        if read == 0 {
            break;
        }
        sha1.update(&buffer[..read]);
        sha256.update(&buffer[..read]);
        length += read as u64;
        progress(read as u64);
    }
    Ok(Sums { length, sha1: hexadecimal(&sha1.finalize()), sha256: hexadecimal(&sha256.finalize()) })
}

/// Checks a file: is it a whole whisper model, and, if it is named like a published one or `expected` is given, is it that
/// one? Blocks.
pub fn verify(path: &Path, expected: Option<&str>, progress: impl FnMut(u64)) -> Result<Sums, Error> {
    inspect(path)?;
    let sums = sums(path, progress)?;
    match expected {
        Some(expected) if !expected.eq_ignore_ascii_case(&sums.sha1) => Err(Error::WrongHash {
            path: path.into(),
            found: sums.sha1,
            expected: expected.into(),
            kept: "left as it is",
        }),
        _ => Ok(sums),
    }
}

/// What a fetch tells while it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Bytes already on disk, and the whole length if the server says it.
    Start(u64, Option<u64>),
    /// So many more bytes arrived.
    Got(u64),
}

/// Fetches `url` into `into`: the bytes go to `into` with `.part` appended, which a later call continues; once complete the
/// SHA-1 is compared with `expected`, and the file takes its name in one step. A wrong file is removed.
pub async fn fetch(
    url: &str,
    into: &Path,
    expected: Option<&str>,
    mut progress: impl FnMut(Progress),
) -> Result<Sums, Error> {
    let mut part = into.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let disk = |source| Error::Disk { path: part.clone(), source };
    let unreachable = |e: &reqwest::Error| Error::Unreachable { url: url.into(), reason: reason(e) };

    // The process may have a provider already; then this one is not needed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder()
        .connect_timeout(std::time::Duration::from_secs(15))
        .read_timeout(std::time::Duration::from_secs(60))
        .build()
        .map_err(|e| unreachable(&e))?;

    let mut have = tokio::fs::metadata(&part).await.map_or(0, |meta| meta.len());
    let mut request = client.get(url);
    if have > 0 {
        request = request.header("Range", format!("bytes={have}-"));
    }
    let mut response = request.send().await.map_err(|e| unreachable(&e))?;
    // The part is as long as the file, or longer: nothing to continue. The sum below tells whether it is right.
    let complete = response.status() == reqwest::StatusCode::RANGE_NOT_SATISFIABLE && have > 0;
    if !complete {
        let status = response.status();
        if !status.is_success() {
            return Err(Error::Status { url: url.into(), status: status.as_u16() });
        }
        if status != reqwest::StatusCode::PARTIAL_CONTENT {
            have = 0;
        } else if range_start(&response) != Some(have) {
            // A server that answers another range than the one asked for: begin again.
            response = client.get(url).send().await.map_err(|e| unreachable(&e))?;
            have = 0;
        }
        let whole = response.content_length().map(|rest| rest + have);
        progress(Progress::Start(have, whole));
        let mut file = tokio::fs::OpenOptions::new()
            .create(true)
            .write(true)
            .append(have > 0)
            .truncate(have == 0)
            .open(&part)
            .await
            .map_err(disk)?;
        let mut stream = response.bytes_stream();
        let mut broken = None;
        while let Some(chunk) = stream.next().await {
            match chunk {
                Ok(bytes) => {
                    file.write_all(&bytes).await.map_err(disk)?;
                    have += bytes.len() as u64;
                    progress(Progress::Got(bytes.len() as u64));
                }
                Err(e) => {
                    broken = Some(reason(&e));
                    break;
                }
            }
        }
        file.sync_all().await.map_err(disk)?;
        if broken.is_none() && whole.is_some_and(|whole| have < whole) {
            broken = Some("the server closed it early".into());
        }
        if let Some(reason) = broken {
            return Err(Error::Broken { url: url.into(), got: have, reason });
        }
    }

    let (path, wanted) = (part.clone(), expected.map(str::to_owned));
    let checked = tokio::task::spawn_blocking(move || verify(&path, wanted.as_deref(), |_| ())).await;
    let checked = checked.map_err(|e| disk(io::Error::other(e)))?;
    match checked {
        Ok(sums) => {
            tokio::fs::rename(&part, into).await.map_err(disk)?;
            Ok(sums)
        }
        Err(error) => {
            tokio::fs::remove_file(&part).await.map_err(disk)?;
            Err(match error {
                Error::WrongHash { path, found, expected, .. } => {
                    Error::WrongHash { path, found, expected, kept: "removed" }
                }
                other => other,
            })
        }
    }
}

fn range_start(response: &reqwest::Response) -> Option<u64> {
    let range = response.headers().get("content-range")?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split('-').next()?.parse().ok()
}

/// The causes of an error, from the outside in: reqwest's own text hides the one that helps.
fn reason(error: &reqwest::Error) -> String {
    let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(error);
    let mut texts = Vec::new();
    while let Some(e) = cause {
        texts.push(e.to_string());
        cause = e.source();
    }
    if texts.is_empty() { error.to_string() } else { texts.join(": ") }
}

#[cfg(test)]
mod tests;
