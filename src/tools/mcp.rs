//! Tools of an MCP server (Model Context Protocol), over streamable HTTP or as a child process.
//!
//! The tenant's `tools.toml` stays the contract: only its tools are used, with its schema, its time limit and its word on what
//! changes something; what the server says of them does not count. Method and path are not used here.

use std::collections::HashSet;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use rmcp::ServiceExt as _;
use rmcp::model::{CallToolRequestParams, CallToolResult, RequestMetaObject};
use rmcp::service::{RoleClient, RunningService, ServiceError};
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::transport::{StreamableHttpClientTransport, TokioChildProcess};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value};
use tokio::sync::Mutex;

use super::remote::{LONGEST, Remote, address, carry_out, client};
use super::{Outcome, Spec, Specs, Tools, Use};

/// The key of the request's `_meta` that makes a repetition do nothing twice: the same for the same use of the same call.
pub const IDEMPOTENCY_KEY: &str = "nightline/idempotencyKey";
/// Longest time for a connection and the list of tools.
const CONNECT: Duration = Duration::from_secs(5);

/// Where an MCP server is.
#[derive(Clone, Debug)]
pub enum Place {
    /// URL of its streamable HTTP endpoint.
    Url(String),
    /// Program and arguments: it is started here and speaks over its standard input and output.
    Command(Vec<String>),
}

/// Why the tools cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The URL is wrong.
    #[error(
        "tools.mcp `{0}` is not an http or https address; give the endpoint, e.g. http://127.0.0.1:8700/mcp"
    )]
    Url(String),
    /// There is no program.
    #[error("tools.mcp_command is empty; name the program and its arguments")]
    Command,
    /// The HTTP client cannot start.
    #[error("cannot start the HTTP client for tools.mcp: {0}; check the TLS settings of this machine")]
    Client(reqwest::Error),
    /// The thread for the connection cannot start.
    #[error("cannot start a thread for the MCP server: {0}; check this machine's limits")]
    Thread(std::io::Error),
}

/// Why there is no connection, or no answer. For the log and for `nightline doctor`.
#[derive(Debug, thiserror::Error)]
pub enum Unreachable {
    /// The program does not start.
    #[error("the program does not start: {0}; check tools.mcp_command")]
    Program(std::io::Error),
    /// It does not speak MCP.
    #[error("no MCP session: {0}; check tools.mcp or tools.mcp_command, and tools.token")]
    Session(String),
    /// It took too long.
    #[error("no MCP session within {CONNECT:?}; check that the server runs")]
    Slow,
}

/// The tools behind one MCP server. Cheap to clone.
#[derive(Clone)]
pub struct McpTools {
    shared: Arc<Shared>,
    runtime: tokio::runtime::Handle,
    _thread: Arc<Thread>,
}

/// A thread of its own: a session lives as long as the process, whatever runtime opened it.
struct Thread(Option<tokio::runtime::Runtime>);

struct Shared {
    specs: Specs,
    place: Place,
    token: Option<SecretString>,
    client: reqwest::Client,
    session: Mutex<Option<Arc<Session>>>,
}

/// A connection, and what its server offers.
struct Session {
    service: RunningService<RoleClient, ()>,
    offered: HashSet<String>,
}

impl Drop for Thread {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl McpTools {
    /// Prepares the client; [`McpTools::check`] or the first use connects.
    pub fn new(specs: Specs, place: Place, token: Option<SecretString>) -> Result<Self, Error> {
        match &place {
            Place::Url(url) if address(url).is_none() => return Err(Error::Url(url.clone())),
            Place::Command(words) if words.is_empty() => return Err(Error::Command),
            Place::Url(_) | Place::Command(_) => {}
        }
        let client = client().map_err(Error::Client)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("mcp")
            .enable_all()
            .build()
            .map_err(Error::Thread)?;
        let session = Mutex::new(None);
        let shared = Shared { specs, place, token, client, session };
        let handle = runtime.handle().clone();
        Ok(Self { shared: Arc::new(shared), runtime: handle, _thread: Arc::new(Thread(Some(runtime))) })
    }

    /// Connects, and gives the names of the tenant's tools that the server does not offer. Blocks for at most five seconds.
    pub fn check(&self) -> Result<Vec<String>, Unreachable> {
        let (sender, receiver) = mpsc::channel();
        let shared = self.shared.clone();
        self.runtime.spawn(async move {
            let session = shared.session().await;
            let _ = sender.send(session.map(|session| shared.missing(&session)));
        });
        receiver.recv_timeout(CONNECT).map_err(|_| Unreachable::Slow)?
    }
}

impl Tools for McpTools {
    fn specs(&self) -> &Specs {
        &self.shared.specs
    }

    fn call(&self, call: &str, what: Use, reply: Box<dyn FnOnce(Outcome) + Send>) {
        carry_out(&self.shared, &self.runtime, call, what, reply);
    }
}

impl Remote for Shared {
    fn specs(&self) -> &Specs {
        &self.specs
    }

    async fn send(&self, spec: &Spec, arguments: &Map<String, Value>, key: &str) -> Result<Outcome, String> {
        let session = self.session().await.map_err(|error| error.to_string())?;
        if !session.offered.contains(&spec.name) {
            return Ok(Outcome::Failed(format!("the MCP server offers no tool `{}`", spec.name)));
        }
        let mut request = CallToolRequestParams::new(spec.name.clone()).with_arguments(arguments.clone());
        if spec.changes {
            let mut meta = RequestMetaObject::default();
            meta.insert(IDEMPOTENCY_KEY.to_owned(), Value::String(key.to_owned()));
            request.meta = Some(meta);
        }
        match session.service.call_tool(request).await {
            Ok(result) => Ok(outcome(result)),
            // The server understood, and there is nothing to repeat.
            Err(ServiceError::McpError(error)) => {
                Ok(Outcome::Failed(format!("it answered: {}", error.message)))
            }
            Err(error) => {
                let mut kept = self.session.lock().await;
                kept.take_if(|other| Arc::ptr_eq(other, &session));
                Err(error.to_string())
            }
        }
    }
}

impl Shared {
    /// The session under way, or a new one.
    async fn session(&self) -> Result<Arc<Session>, Unreachable> {
        let mut kept = self.session.lock().await;
        if let Some(session) = kept.as_ref().filter(|session| !session.service.is_transport_closed()) {
            return Ok(session.clone());
        }
        let opened = tokio::time::timeout(CONNECT, self.open()).await.map_err(|_| Unreachable::Slow)??;
        let session = Arc::new(opened);
        *kept = Some(session.clone());
        Ok(session)
    }

    async fn open(&self) -> Result<Session, Unreachable> {
        let wrong = |error: &dyn std::fmt::Display| Unreachable::Session(error.to_string());
        let service = match &self.place {
            Place::Url(url) => {
                let mut config = StreamableHttpClientTransportConfig::with_uri(url.as_str());
                if let Some(token) = &self.token {
                    config = config.auth_header(token.expose_secret());
                }
                let transport = StreamableHttpClientTransport::with_client(self.client.clone(), config);
                ().serve(transport).await.map_err(|error| wrong(&error))?
            }
            Place::Command(words) => {
                let mut command = tokio::process::Command::new(words.first().map_or("", String::as_str));
                command.args(words.iter().skip(1)).kill_on_drop(true);
                let child = TokioChildProcess::new(command).map_err(Unreachable::Program)?;
                ().serve(child).await.map_err(|error| wrong(&error))?
            }
        };
        let tools = service.list_all_tools().await.map_err(|error| wrong(&error))?;
        let offered: HashSet<String> = tools.into_iter().map(|tool| tool.name.into_owned()).collect();
        let session = Session { service, offered };
        for tool in self.missing(&session) {
            tracing::error!(
                tool,
                "the MCP server does not offer a tool of tools.toml: flows that need it are not begun"
            );
        }
        Ok(session)
    }

    fn missing(&self, session: &Session) -> Vec<String> {
        let names = self.specs.iter().map(|spec| spec.name.clone());
        names.filter(|name| !session.offered.contains(name)).collect()
    }
}

/// What a result comes to: its structured content, or the JSON of its text.
fn outcome(result: CallToolResult) -> Outcome {
    let text: String =
        result.content.iter().filter_map(|part| part.as_text()).map(|part| part.text.as_str()).collect();
    if text.len() > LONGEST {
        return Outcome::Failed(format!("its answer is longer than {LONGEST} bytes"));
    }
    let answer = match (result.structured_content, serde_json::from_str(&text)) {
        (Some(answer), _) | (None, Ok(answer)) => answer,
        (None, Err(_)) if text.is_empty() => Value::Null,
        (None, Err(_)) => Value::String(text),
    };
    if result.is_error != Some(true) {
        return Outcome::Done(answer);
    }
    let code = answer.get("code").and_then(Value::as_str).unwrap_or("refused").to_owned();
    Outcome::Refused { code, answer }
}
