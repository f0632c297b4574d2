//! Opens the mind of a tenant: the light tier alone, or a large model in front of it.

use std::sync::Arc;

use super::Mind;
use super::light::{Acting, LightMind};
use super::llm::{LlmConfig, LlmMind};
use super::tenant::Tenant;

/// Why no mind could be opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A large model needs the async runtime.
    #[error("llm.url is set, but no async runtime is running; open the mind from within tokio")]
    NoRuntime,
    /// The model's configuration is wrong.
    #[error(transparent)]
    Llm(#[from] super::llm::Error),
}

/// The mind of `tenant`, shared by all calls. With `acting` it may use the tenant's tools.
/// With `llm` it must be called from within a tokio runtime.
pub fn open(
    tenant: Arc<Tenant>,
    llm: Option<LlmConfig>,
    acting: Option<Acting>,
) -> Result<Arc<dyn Mind>, Error> {
    let light = LightMind::new(tenant);
    let light = match acting {
        Some(acting) => light.acting(acting),
        None => light,
    };
    let Some(config) = llm else {
        return Ok(Arc::new(light));
    };
    let runtime = tokio::runtime::Handle::try_current().map_err(|_| Error::NoRuntime)?;
    Ok(Arc::new(LlmMind::new(config, light, runtime)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_without_a_runtime_is_refused_with_advice() {
        let tenant = Tenant::load("nev", None).expect("the reference tenant loads");
        let config = LlmConfig { url: "http://127.0.0.1:1/v1".into(), ..LlmConfig::default() };
        let error = open(tenant, Some(config), None).err().expect("there is no runtime here");
        assert!(error.to_string().contains("tokio"), "{error}");
    }
}
