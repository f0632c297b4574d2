//! The page over HTTP.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, REFERRER_POLICY, RETRY_AFTER,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderValue, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use futures_util::{Stream, stream};
use serde::Deserialize;

use super::Screens;
use super::fold::{Fold, Phase, Picture};
use super::live::{Crowded, Look};
use super::view::{News, Told};
use crate::record::CallInfo;
use crate::store::Store;

/// What happens within so short a time is told at once.
const TOGETHER: Duration = Duration::from_millis(120);
/// A comment goes through an idle stream, so that proxies keep it open and a reader that is gone is noticed.
const IDLE: Duration = Duration::from_secs(15);
/// Longest question of a seat, characters.
const QUESTION: usize = 200;

/// Nothing comes from elsewhere, nothing is written into the page as markup, no address of a page is told or kept. A CRM may show the
/// page in a frame: there is nothing in it to be clicked by mistake.
const HEADERS: [(HeaderName, &str); 4] = [
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; \
         form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
    ),
    (REFERRER_POLICY, "no-referrer"),
    (CACHE_CONTROL, "no-store"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
];

#[derive(Clone)]
struct Pages {
    screens: Screens,
    store: Store,
}

pub(super) fn routes(screens: Screens, store: Store) -> Router {
    let javascript = "text/javascript; charset=utf-8";
    let css = "text/css; charset=utf-8";
    Router::new()
        .route(
            "/screen/assets/screen.js",
            get(async move || ([(CONTENT_TYPE, javascript)], include_str!("assets/screen.js"))),
        )
        .route(
            "/screen/assets/screen.css",
            get(async move || ([(CONTENT_TYPE, css)], include_str!("assets/screen.css"))),
        )
        .route("/screen/{call}", get(page))
        .route("/screen/{call}/events", get(events))
        .route("/screen/{call}/ask", get(ask))
        .layer(axum::middleware::map_response(with_headers))
        .with_state(Pages { screens, store })
}

async fn with_headers(mut response: Response) -> Response {
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

#[derive(Deserialize)]
struct Access {
    key: String,
}

/// Why a page is not shown.
enum Refusal {
    /// The key does not fit. Whether there is such a call is not told.
    Key,
    /// There is no such call.
    Missing,
    /// Too many pages of it are open.
    Crowded,
    /// The database does not answer.
    Store,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, zh, en) = match self {
            Self::Key => {
                (StatusCode::FORBIDDEN, "此链接无效或已失效。", "This link is not valid, or not any more.")
            }
            Self::Missing => {
                (StatusCode::NOT_FOUND, "没有这个通话的记录。", "There is no record of this call.")
            }
            Self::Crowded => (
                StatusCode::SERVICE_UNAVAILABLE,
                "打开此通话的页面太多，请关闭一些。",
                "Too many pages of this call are open; close some.",
            ),
            Self::Store => (
                StatusCode::SERVICE_UNAVAILABLE,
                "暂时读不到记录，请稍后再试。",
                "The record cannot be read now; try again later.",
            ),
        };
        let page = format!(
            "<!doctype html><html lang=zh><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
             <meta name=color-scheme content=\"light dark\"><title>Nightline</title><main><h1>{zh}</h1><p lang=en>{en}</p></main></html>"
        );
        let mut response = (status, Html(page)).into_response();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
        }
        response
    }
}

impl Pages {
    /// Nothing is looked up for who has no key.
    fn admit(&self, call: &str, access: Result<Query<Access>, QueryRejection>) -> Result<(), Refusal> {
        match access {
            Ok(Query(access)) if self.screens.0.keys.fits(call, &access.key) => Ok(()),
            _ => Err(Refusal::Key),
        }
    }

    /// The call as it runs, or what is stored of it.
    async fn find(&self, call: &str) -> Result<Found, Refusal> {
        match self.screens.0.live.look(call) {
            Some(Ok(look)) => return Ok(Found::Live(look)),
            Some(Err(Crowded)) => return Err(Refusal::Crowded),
            None => {}
        }
        let stored = self.store.call(call).await.map_err(|error| {
            tracing::error!(%error, "the page of a call cannot be shown");
            Refusal::Store
        })?;
        // A part of an id opens nothing.
        let stored = stored.filter(|stored| stored.record.info.id == call).ok_or(Refusal::Missing)?;
        let picture = Fold::stored(stored.record, &stored.events, self.screens.0.profile.clone());
        Ok(Found::Stored(Box::new(picture)))
    }
}

enum Found {
    Live(Look),
    Stored(Box<Picture>),
}

async fn page(
    State(pages): State<Pages>,
    Path(call): Path<String>,
    access: Result<Query<Access>, QueryRejection>,
) -> Result<Html<&'static str>, Refusal> {
    pages.admit(&call, access)?;
    Ok(Html(include_str!("assets/index.html")))
}

async fn events(
    State(pages): State<Pages>,
    Path(call): Path<String>,
    access: Result<Query<Access>, QueryRejection>,
) -> Result<Response, Refusal> {
    pages.admit(&call, access)?;
    let found = pages.find(&call).await?;
    let feed = Feed { screens: pages.screens, found, told: Told::default(), stage: Stage::Opened };
    let news = Sse::new(feed.stream()).keep_alive(KeepAlive::new().interval(IDLE));
    // Proxies that gather what they pass on would hold it back.
    Ok(([(HeaderName::from_static("x-accel-buffering"), "no")], news).into_response())
}

#[derive(Deserialize)]
struct Question {
    q: String,
}

/// Entries for what a seat asks.
async fn ask(
    State(pages): State<Pages>,
    Path(call): Path<String>,
    access: Result<Query<Access>, QueryRejection>,
    question: Result<Query<Question>, QueryRejection>,
) -> Result<Response, Refusal> {
    pages.admit(&call, access)?;
    let question = question.map(|Query(question)| question.q).unwrap_or_default();
    let question: String = question.trim().chars().take(QUESTION).collect();
    Ok(Json(pages.screens.0.view.find(&question, None)).into_response())
}

/// How long ago the call was answered, milliseconds: the clock of a browser may be wrong.
fn elapsed(info: &CallInfo) -> Option<u64> {
    let started: jiff::Timestamp = info.started.parse().ok()?;
    let now = jiff::Timestamp::try_from(crate::clock::wall()).ok()?;
    u64::try_from(now.as_millisecond() - started.as_millisecond()).ok()
}

/// What one page is told, from its opening to the end of the call. It is asked for the next only when the last has gone out.
struct Feed {
    screens: Screens,
    found: Found,
    told: Told,
    stage: Stage,
}

#[derive(Clone, Copy)]
enum Stage {
    /// Nothing was told yet.
    Opened,
    /// The page has what was so.
    Following,
    /// The page has what is there to be told.
    Ending,
    Ended,
}

impl Feed {
    fn stream(self) -> impl Stream<Item = Result<Event, Infallible>> {
        stream::unfold(self, |mut feed| async move {
            let event = feed.next().await?;
            Some((Ok(event), feed))
        })
    }

    async fn next(&mut self) -> Option<Event> {
        loop {
            match self.stage {
                Stage::Opened | Stage::Following => {}
                Stage::Ending => {
                    self.stage = Stage::Ended;
                    return Some(Event::default().event("end").data("{}"));
                }
                Stage::Ended => return None,
            }
            let (picture, last) = match &mut self.found {
                Found::Stored(picture) => (Picture::clone(picture), true),
                Found::Live(look) => {
                    let mut gone = false;
                    if matches!(self.stage, Stage::Following) {
                        gone = look.pictures.changed().await.is_err();
                        if !gone {
                            tokio::time::sleep(TOGETHER).await;
                        }
                    }
                    let picture = look.pictures.borrow_and_update().clone();
                    let over = picture.kept.phase == Phase::Ended;
                    (picture, gone || over)
                }
            };
            self.stage = if last { Stage::Ending } else { Stage::Following };
            if let Some(news) = self.told.news(&self.screens.0.view, &picture) {
                let (name, sections) = match news {
                    News::State(mut sections) => {
                        sections.insert("elapsed_ms".into(), elapsed(&picture.kept.record.info).into());
                        ("state", sections)
                    }
                    News::Change(sections) => ("change", sections),
                };
                return Some(Event::default().event(name).json_data(sections).unwrap_or_default());
            }
        }
    }
}
