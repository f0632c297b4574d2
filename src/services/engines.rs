//! Opens recogniser, voice, mind and tools as configured, and says for `nightline doctor` whether they would open.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Error;
use crate::asr::Recognizer;
use crate::asr::remote::{self, Remote};
use crate::asr::whisper::{ModelSource, Options, Whisper};
use crate::cli::doctor::Verdict;
use crate::config::{self, Config, Model, ToolsPlace};
use crate::dialogue::light::{Acting, local_now};
use crate::dialogue::llm::LlmConfig;
use crate::dialogue::tenant::Tenant;
use crate::dialogue::text::Lang;
use crate::tools::http::HttpTools;
use crate::tools::mcp::{McpTools, Place};
use crate::tools::{NoTools, Tools};
use crate::tts::voices::{self, Engine};

/// The systems behind the hotline, and what a mind can do with them.
pub(super) fn tools(config: &Config, tenant: &Tenant) -> Result<(Arc<dyn Tools>, Option<Acting>), Error> {
    let Some(tools) = &config.tools else { return Ok((Arc::new(NoTools::default()), None)) };
    let (specs, token) = (tenant.tools.clone(), tools.token.clone());
    let mut acting = Acting::fully(tenant, local_now());
    let place = match &tools.place {
        ToolsPlace::Http(url) => {
            let tools = HttpTools::new(specs, url, token, tokio::runtime::Handle::current())?;
            return Ok((Arc::new(tools), Some(acting)));
        }
        ToolsPlace::Mcp(url) => Place::Url(url.clone()),
        ToolsPlace::McpCommand(words) => Place::Command(words.clone()),
    };
    let tools = McpTools::new(specs, place, token)?;
    match tools.check() {
        Ok(missing) => acting.tools.retain(|tool| !missing.contains(tool)),
        Err(error) => {
            tracing::error!(%error, "the MCP server cannot be reached; it is tried again with each use");
        }
    }
    Ok((Arc::new(tools), Some(acting)))
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
        logprobs: llm.logprobs,
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
pub(super) fn recognizer(asr: &config::Asr, tenant: &Tenant) -> Result<Arc<dyn Recognizer>, Error> {
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
pub(super) fn voice_names(config: &Config, tenant: &Tenant) -> Vec<String> {
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
}
