//! What all routes have in common: how a request is read, how a refusal looks, and that a request which changes something
//! is carried out once however often it comes.

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};
use sqlx::{Row as _, SqliteConnection};
use utoipa::{IntoParams, ToSchema};

use super::BackOffice;
use super::bookings::Booking;
use super::value::{Civil, Invalid};

/// A request that was not carried out.
pub(super) struct Failure {
    status: StatusCode,
    problem: Problem,
}

/// Why a request was not carried out, and what helps to go on.
#[derive(Clone, Serialize, ToSchema)]
pub(super) struct Problem {
    /// What is wrong and what to do, for a person.
    error: String,
    /// The same for a program; it does not change.
    #[schema(example = "slot_taken")]
    code: &'static str,
    /// With `slot_taken` and `outside_hours`: the nearest free slots.
    #[serde(skip_serializing_if = "Option::is_none")]
    free: Option<Vec<Civil>>,
    /// With `duplicate`: the booking that is there already.
    #[serde(skip_serializing_if = "Option::is_none")]
    booking: Option<Box<Booking>>,
    /// With `unknown_name`: what can be named.
    #[serde(skip_serializing_if = "Option::is_none")]
    choices: Option<Vec<String>>,
}

impl Failure {
    fn new(status: StatusCode, code: &'static str, error: impl Into<String>) -> Self {
        Self {
            status,
            problem: Problem { error: error.into(), code, free: None, booking: None, choices: None },
        }
    }

    /// 400: the request cannot be read at all.
    pub fn unreadable(error: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "unreadable", error)
    }

    /// 401: the token is missing or wrong.
    pub fn unknown_client() -> Self {
        let error = "the bearer token is missing or wrong: send `Authorization: Bearer …`";
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", error)
    }

    /// 422: a value is wrong.
    pub fn invalid(error: impl Into<String>) -> Self {
        Self::unfit("invalid", error)
    }

    /// 422 with a code of its own.
    pub fn unfit(code: &'static str, error: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, error)
    }

    /// 422: a name that is not among `choices`.
    pub fn unknown_name(what: &str, name: &str, choices: Vec<String>) -> Self {
        let mut failure = Self::unfit(
            "unknown_name",
            format!("there is no {what} {name:?}: name one of {}", choices.join(", ")),
        );
        failure.problem.choices = Some(choices);
        failure
    }

    /// 404: what was named is not there.
    pub fn missing(error: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", error)
    }

    /// 405: the route is there, but not for this method.
    pub fn wrong_method() -> Self {
        let error = "this route is not for this method: see /openapi.json";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "wrong_method", error)
    }

    /// 409: it is there, but not as the request needs it.
    pub fn conflict(code: &'static str, error: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, error)
    }

    /// Tells slots that could be booked instead.
    pub fn with_free(mut self, free: Vec<Civil>) -> Self {
        self.problem.free = Some(free);
        self
    }

    /// Tells the booking that stands in the way.
    pub fn with_booking(mut self, booking: Booking) -> Self {
        self.problem.booking = Some(Box::new(booking));
        self
    }

    fn body(&self) -> String {
        serde_json::to_string(&self.problem)
            .unwrap_or_else(|_| r#"{"error":"failed","code":"failed"}"#.into())
    }
}

impl From<sqlx::Error> for Failure {
    /// 503: the database failed. What it said goes to the log; it holds no values.
    fn from(error: sqlx::Error) -> Self {
        tracing::error!(%error, "the back office's database failed");
        let error = "the back office cannot reach its database: try again, and look into its log";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", error)
    }
}

impl From<Invalid> for Failure {
    fn from(Invalid(error): Invalid) -> Self {
        Self::invalid(error)
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.problem.error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        respond(self.status, self.body())
    }
}

/// What was done: status and JSON, as it is kept for a request that comes again.
pub(super) struct Answer {
    status: StatusCode,
    body: String,
}

impl Answer {
    /// 200.
    pub fn ok(body: &impl Serialize) -> Result<Self, Failure> {
        Self::new(StatusCode::OK, body)
    }

    /// 201.
    pub fn created(body: &impl Serialize) -> Result<Self, Failure> {
        Self::new(StatusCode::CREATED, body)
    }

    fn new(status: StatusCode, body: &impl Serialize) -> Result<Self, Failure> {
        let body = serde_json::to_string(body).map_err(|e| sqlx::Error::Encode(e.into()))?;
        Ok(Self { status, body })
    }
}

fn respond(status: StatusCode, body: String) -> Response {
    (status, [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response()
}

/// The query of a request. Unknown fields and wrong values are 422.
pub(super) struct Ask<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Ask<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        match Query::try_from_uri(&parts.uri) {
            Ok(Query(query)) => Ok(Self(query)),
            Err(e) => {
                let text = e.body_text();
                let why = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text);
                Err(Failure::invalid(format!("in the query: {why}")))
            }
        }
    }
}

/// What stands for `{id}` or `{vin}` in the path. 404 if it is no text.
pub(super) struct Id(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        match Path::from_request_parts(parts, state).await {
            Ok(Path(id)) => Ok(Self(id)),
            Err(e) => Err(Failure::missing(format!("the path cannot be read: {}", e.body_text()))),
        }
    }
}

/// The JSON body of a request. 400 if it is no JSON, 422 for unknown fields and wrong values.
pub(super) struct Body<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        let bytes = Bytes::from_request(request, state).await.map_err(|e| {
            Failure::new(e.status(), "unreadable", format!("the body cannot be read: {}", e.body_text()))
        })?;
        serde_json::from_slice(&bytes).map(Self).map_err(|e| {
            if e.is_data() {
                Failure::invalid(format!("in the body: {e}"))
            } else {
                Failure::unreadable(format!("the body is no JSON ({e}): send a JSON object"))
            }
        })
    }
}

/// The header that makes a request safe to repeat.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub(super) struct KeyHeader {
    /// 8 to 128 visible ASCII characters, new for each change that is meant. The same key with the same body gives the same
    /// answer again and changes nothing; with another body it is refused (422 `key_reused`).
    #[param(rename = "Idempotency-Key", min_length = 8, max_length = 128, pattern = "^[!-~]+$")]
    idempotency_key: String,
}

/// The key of a request that changes something, with its method and path.
pub(super) struct Key {
    header: KeyHeader,
    route: String,
}

impl<S: Send + Sync> FromRequestParts<S> for Key {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        let wrong = |error: &str| Failure::new(StatusCode::BAD_REQUEST, "no_key", error);
        let key = parts.headers.get("idempotency-key").ok_or_else(|| {
            wrong("the header Idempotency-Key is missing: send one, new for each change that is meant")
        })?;
        let key = key.to_str().unwrap_or_default();
        if !(8..=128).contains(&key.len()) || !key.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(wrong(
                "the header Idempotency-Key needs 8 to 128 visible ASCII characters: send another",
            ));
        }
        let header = KeyHeader { idempotency_key: key.into() };
        Ok(Self { header, route: format!("{} {}", parts.method, parts.uri.path()) })
    }
}

impl Key {
    /// The key together with what is asked under it.
    pub fn with(self, body: &impl Serialize) -> Result<Meant, Failure> {
        let body = serde_json::to_string(body).map_err(|e| sqlx::Error::Encode(e.into()))?;
        let digest =
            Sha256::new().chain_update(&self.route).chain_update([b'\n']).chain_update(body).finalize();
        Ok(Meant { key: self.header.idempotency_key, fingerprint: digest.to_vec() })
    }
}

/// A change that is meant once.
pub(super) struct Meant {
    key: String,
    fingerprint: Vec<u8>,
}

/// How long an answer is kept for a request that comes again.
const KEPT_S: i64 = 7 * 86_400;

impl BackOffice {
    /// Carries out `change` and keeps its answer, in one transaction that no other change runs beside; or gives the answer
    /// that is kept for the same request. A refusal (4xx) is kept too and leaves nothing changed.
    pub(super) async fn once<F>(&self, request: Meant, change: F) -> Result<Response, Failure>
    where
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<Answer, Failure>> + Send,
    {
        let Meant { key, fingerprint } = request;
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let earlier = sqlx::query("SELECT fingerprint, status, body FROM answers WHERE key = ?")
            .bind(&key)
            .fetch_optional(&mut *transaction)
            .await?;
        if let Some(row) = earlier {
            if row.try_get::<&[u8], _>("fingerprint")? != fingerprint {
                return Err(Failure::unfit(
                    "key_reused",
                    "this Idempotency-Key came before with another request: send a new key for a new change",
                ));
            }
            let status = StatusCode::from_u16(row.try_get("status")?).unwrap_or_default();
            return Ok(respond(status, row.try_get("body")?));
        }
        sqlx::query("SAVEPOINT change").execute(&mut *transaction).await?;
        let answer = match change(&mut transaction).await {
            Ok(answer) => answer,
            Err(failure) if failure.status.is_client_error() => {
                sqlx::query("ROLLBACK TO change").execute(&mut *transaction).await?;
                Answer { status: failure.status, body: failure.body() }
            }
            Err(failure) => return Err(failure),
        };
        let now = self.clock.timestamp().as_second();
        sqlx::query("DELETE FROM answers WHERE created < ?")
            .bind(now - KEPT_S)
            .execute(&mut *transaction)
            .await?;
        sqlx::query("INSERT INTO answers (key, fingerprint, status, body, created) VALUES (?, ?, ?, ?, ?)")
            .bind(&key)
            .bind(&fingerprint)
            .bind(answer.status.as_u16())
            .bind(&answer.body)
            .bind(now)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(respond(answer.status, answer.body))
    }
}
