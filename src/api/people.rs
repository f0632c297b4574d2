//! Seats and calls to be placed, over HTTP.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};

use super::{Failure, Shared};
use crate::seat::Way;
use crate::services::telephone_number;
use crate::store::outbound::Order;

/// A seat as it is now.
#[derive(Serialize)]
struct Seat {
    id: String,
    /// Empty if it answers in a browser.
    uri: String,
    way: Way,
    state: &'static str,
    on_duty: bool,
    /// False if it has to register or to open its page and has not.
    reachable: bool,
    call: Option<String>,
}

#[derive(Serialize)]
struct Floor {
    seats: Vec<Seat>,
    /// Callers who wait.
    waiting: usize,
}

/// All seats, and how many callers wait for one.
pub(super) async fn seats(State(shared): State<Shared>) -> Response {
    let seats = shared.floor.seats().into_iter().map(|seat| Seat {
        state: seat.state.name(),
        call: seat.state.call().map(ToString::to_string),
        id: seat.profile.id,
        uri: seat.profile.uri,
        way: seat.profile.way,
        on_duty: seat.on_duty,
        reachable: seat.reachable,
    });
    Json(Floor { seats: seats.collect(), waiting: shared.floor.waiting() }).into_response()
}

#[derive(Deserialize)]
pub(super) struct Wanted {
    away: bool,
}

/// A seat wants calls, or none after the one that it has. Survives a restart.
pub(super) async fn set_seat(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    Json(Wanted { away }): Json<Wanted>,
) -> Result<Response, Failure> {
    if !shared.floor.set_away(&id, away) {
        return Err(Failure(StatusCode::NOT_FOUND, "there is no such seat: see /seats".into()));
    }
    shared.store.set_away(&id, away).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

#[derive(Deserialize)]
pub(super) struct All {
    #[serde(default)]
    all: bool,
}

/// Calls that are to be placed.
pub(super) async fn orders(
    State(shared): State<Shared>,
    Query(All { all }): Query<All>,
) -> Result<Response, Failure> {
    Ok(Json(shared.store.orders(all).await?).into_response())
}

/// Has a customer called. The same `key` twice is one call: 201 the first time, 200 after it.
pub(super) async fn order(
    State(shared): State<Shared>,
    Json(order): Json<Order>,
) -> Result<Response, Failure> {
    if telephone_number(order.number.expose()).is_none() {
        let advice = "`number` is a telephone number, 7 to 15 digits";
        return Err(Failure(StatusCode::UNPROCESSABLE_ENTITY, advice.into()));
    }
    if order.key.is_empty() || order.key.len() > 200 || order.words.chars().count() > 500 {
        let advice = "`key` has 1 to 200 characters, `words` 500 at most";
        return Err(Failure(StatusCode::UNPROCESSABLE_ENTITY, advice.into()));
    }
    let (id, new) = shared.store.order(&order).await?;
    let status = if new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(serde_json::json!({ "id": id }))).into_response())
}

/// Withdraws a call that has not been placed.
pub(super) async fn cancel(State(shared): State<Shared>, Path(id): Path<i64>) -> Result<Response, Failure> {
    if shared.store.cancel_order(id).await? {
        Ok(StatusCode::NO_CONTENT.into_response())
    } else {
        Err(Failure(StatusCode::NOT_FOUND, "there is no open order of that number: see /outbound".into()))
    }
}
