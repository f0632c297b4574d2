//! How the back office tells about itself: its health, its OpenAPI document, and a page for people.

use std::fmt::Write as _;

use axum::extract::State;
use axum::response::Html;
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::{OpenApi, PathItem};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::BackOffice;
use super::http::Failure;
use super::value::Civil;

/// `/health`, which asks for no token.
pub(super) fn health_route() -> OpenApiRouter<BackOffice> {
    OpenApiRouter::new().routes(routes!(health))
}

/// `/openapi.json` and `/`, which tell `document`.
pub(super) fn document_routes(document: OpenApi) -> Router<BackOffice> {
    let page = html(&document);
    Router::new()
        .route("/openapi.json", get(async move || Json(document.clone())))
        .route("/", get(async move || Html(page.clone())))
}

/// Gives the document its title and version.
pub(super) fn titled(mut document: OpenApi) -> OpenApi {
    document.info.title = "Nightline back office".into();
    document.info.version = env!("CARGO_PKG_VERSION").into();
    document.info.description = Some(
        "The systems behind the reference tenant's hotline. Times are civil times in Shanghai (2026-11-25T14:00), amounts \
         yuan, telephone numbers digits. Whatever changes something needs an Idempotency-Key."
            .into(),
    );
    document
}

/// How the back office is.
#[derive(Serialize, ToSchema)]
struct Health {
    /// Whether the database answers.
    ok: bool,
    version: &'static str,
    /// The time that the back office goes by.
    now: Civil,
}

/// Whether the back office is well.
#[utoipa::path(get, path = "/health", tag = "health", responses((status = 200, body = Health)))]
async fn health(State(office): State<BackOffice>) -> Result<Json<Health>, Failure> {
    sqlx::query("SELECT 1").execute(&office.pool).await?;
    Ok(Json(Health { ok: true, version: env!("CARGO_PKG_VERSION"), now: office.now() }))
}

/// A table of the routes.
fn html(document: &OpenApi) -> String {
    let mut rows = String::new();
    for (path, item) in &document.paths.paths {
        for (method, summary) in operations(item) {
            // Writing to a String cannot fail. Nothing here comes from outside the binary.
            let _ = write!(rows, "<tr><td>{method}</td><td><code>{path}</code></td><td>{summary}</td></tr>");
        }
    }
    format!(
        "<!doctype html><html lang=en><meta charset=utf-8><title>Back office</title>\
         <style>body{{font:16px sans-serif;margin:2em}}td{{padding:.2em 1em .2em 0}}</style>\
         <h1>Nightline back office</h1><p>Described in full by <a href=openapi.json>openapi.json</a>.\
         <table>{rows}</table></html>"
    )
}

/// Method and first line of each operation.
fn operations(item: &PathItem) -> Vec<(&'static str, &str)> {
    [("GET", &item.get), ("POST", &item.post), ("PATCH", &item.patch), ("DELETE", &item.delete)]
        .into_iter()
        .filter_map(|(method, operation)| {
            operation.as_ref().map(|o| (method, o.summary.as_deref().unwrap_or_default()))
        })
        .collect()
}
