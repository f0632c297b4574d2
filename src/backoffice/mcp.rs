//! The same tools by the Model Context Protocol: a door in front of the HTTP routes.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use rmcp::ServiceExt as _;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, ErrorData, ListToolsResult,
    PaginatedRequestParams, ServerCapabilities, ServerConfig, Tool,
};
use rmcp::service::{RequestContext, RoleServer};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use serde_json::Value;
use tokio::sync::oneshot;

use super::BackOffice;
use crate::tools::http::HttpTools;
use crate::tools::mcp::IDEMPOTENCY_KEY;
use crate::tools::{Outcome, Specs, Tools as _, Use};

/// Answers MCP requests by asking the routes.
#[derive(Clone)]
pub(super) struct Door {
    tools: HttpTools,
}

impl Door {
    /// A door in front of the back office that listens on `at`.
    pub fn new(specs: Specs, office: &BackOffice, at: SocketAddr) -> Result<Self, crate::tools::http::Error> {
        let at = match at.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => SocketAddr::new(Ipv4Addr::LOCALHOST.into(), at.port()),
            IpAddr::V6(ip) if ip.is_unspecified() => SocketAddr::new(Ipv6Addr::LOCALHOST.into(), at.port()),
            _ => at,
        };
        let token = office.token.as_deref().cloned();
        let tools = HttpTools::new(specs, &format!("http://{at}"), token, tokio::runtime::Handle::current())?;
        Ok(Self { tools })
    }

    /// Answers on standard input and output until the client ends it.
    pub async fn serve_stdio(self) -> io::Result<()> {
        let session = self.serve(rmcp::transport::stdio()).await.map_err(io::Error::other)?;
        session.waiting().await.map(drop).map_err(io::Error::other)
    }

    /// The service for `/mcp`.
    pub fn service(self) -> StreamableHttpService<Self, LocalSessionManager> {
        // Who may ask is said by the token, not by the name under which the machine is known.
        let config = StreamableHttpServerConfig::default().disable_allowed_hosts();
        StreamableHttpService::new(move || Ok(self.clone()), Arc::default(), config)
    }
}

impl rmcp::ServerHandler for Door {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let tools = self.tools.specs().iter().map(|spec| {
            let schema = spec.parameters.as_object().cloned().unwrap_or_default();
            Tool::new(spec.name.clone(), spec.description.clone(), Arc::new(schema))
        });
        Ok(ListToolsResult::with_all_items(tools.collect()))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let key = context.meta.get(IDEMPOTENCY_KEY).and_then(Value::as_str);
        let key = key.map_or_else(|| uuid::Uuid::now_v7().to_string(), str::to_owned);
        let what = Use {
            tool: request.name.into_owned(),
            arguments: request.arguments.unwrap_or_default(),
            occasion: 0,
        };
        let (sender, outcome) = oneshot::channel();
        self.tools.call(&key, what, Box::new(move |outcome| drop(sender.send(outcome))));
        let outcome = outcome.await.unwrap_or_else(|_| Outcome::Failed("no answer".to_owned()));
        match outcome {
            Outcome::Done(answer) => Ok(whole(answer, false).into()),
            Outcome::Refused { answer, .. } => Ok(whole(answer, true).into()),
            Outcome::Invalid(problem) => Err(ErrorData::invalid_params(problem, None)),
            Outcome::Failed(problem) => Err(ErrorData::internal_error(problem, None)),
        }
    }
}

/// Lists go as text alone: structured content is an object in most versions of the protocol.
fn whole(answer: Value, error: bool) -> CallToolResult {
    let mut result = if error {
        CallToolResult::error(vec![ContentBlock::text(answer.to_string())])
    } else {
        CallToolResult::success(vec![ContentBlock::text(answer.to_string())])
    };
    result.structured_content = answer.is_object().then_some(answer);
    result
}
