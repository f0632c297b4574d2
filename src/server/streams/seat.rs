//! Seats that answer in a page of ours, at `/seat`.
//!
//! Its page holds `GET /media/seats` open, with a pass of the seat, and is told there by server-sent events when a caller wants it
//! ([`Told`](crate::leg::pages::Told)). It answers by an offer to `POST /media/seats/PAGE/RING`, from where all goes as in a call from a
//! web page, or declines by `DELETE`.

use std::collections::BTreeMap;
use std::convert::Infallible;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::routing::{get, post};
use futures_util::Stream;
use futures_util::stream::unfold;

use super::guard::{self, Bearer};
use super::listener::Peer;
use super::webrtc::{IDLE, LONGEST_OFFER, address, unix_now};
use super::{Door, Refusal};
use crate::leg::pages::Answer;
use crate::seat::Way;

pub(super) fn routes() -> Router<Door> {
    Router::new().route("/media/seats", get(enter)).route(
        "/media/seats/{page}/{ring}",
        post(answer).delete(decline).layer(DefaultBodyLimit::max(LONGEST_OFFER)),
    )
}

impl Door {
    /// Seats that answer in a browser.
    pub(super) fn seats(&self) -> impl Iterator<Item = &str> {
        let profiles = self.host.config.seats.profiles.iter();
        profiles.filter(|seat| seat.way == Way::Browser).map(|seat| seat.id.as_str())
    }

    /// Fails unless `seat` is one of them.
    pub(super) fn check_seat(&self, seat: &str) -> Result<(), Refusal> {
        if self.seats().any(|known| known == seat) { Ok(()) } else { Err(Refusal::Seat(seat.to_owned())) }
    }
}

/// The page of a seat is open, as long as this stream is.
async fn enter(
    State(door): State<Door>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Query(mut query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Refusal> {
    let brought = guard::brought(&headers);
    let pass = door.keeper.as_ref().zip(brought.as_deref());
    let seat = match pass.and_then(|(keeper, pass)| keeper.bearer_of(Bearer::Seat, pass, unix_now())) {
        Some(seat) => seat,
        // With the token it says itself who it is.
        None => {
            door.check(address(&peer, &headers), brought)?;
            query.remove("seat").unwrap_or_default()
        }
    };
    door.check_seat(&seat)?;
    let told = unfold(door.host.pages.enter(&seat), async |mut page| {
        let told = page.next().await?;
        let event = Event::default().json_data(told);
        Some((Ok(event.unwrap_or_default()), page))
    });
    Ok(Sse::new(told).keep_alive(KeepAlive::new().interval(IDLE)))
}

/// The seat answers: its browser's offer.
async fn answer(
    State(door): State<Door>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Path((page, ring)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    let mut answers = door.host.pages.answer(&page, &ring).ok_or(Refusal::Over)?;
    let (met, response) = match door.meet(address(&peer, &headers), &headers, &body).await {
        Ok(met) => met,
        Err(refusal) => {
            let _ = answers.send(Answer::Failed);
            return Err(refusal);
        }
    };
    tokio::spawn(async move {
        let connected = tokio::select! {
            connected = met.connected() => connected,
            // Nobody waits for it any more.
            () = answers.closed() => return,
        };
        let met = match connected {
            Ok(met) => met,
            Err(why) => {
                tracing::warn!(why, "a seat answered, but its browser was not reached");
                let _ = answers.send(Answer::Failed);
                return;
            }
        };
        // The caller may be gone, or another seat was faster: then the browser is left.
        if answers.send(Answer::Taken(Box::new(met.browser), met.asked)).is_ok() {
            met.entry.ended().await;
        }
    });
    Ok(response)
}

/// The seat declines.
async fn decline(
    State(door): State<Door>,
    Path((page, ring)): Path<(String, String)>,
) -> Result<StatusCode, Refusal> {
    let answers = door.host.pages.answer(&page, &ring).ok_or(Refusal::Over)?;
    let _ = answers.send(Answer::Declined);
    Ok(StatusCode::NO_CONTENT)
}
