//! Service centres: which are near, and when they have time.

use std::str::FromStr as _;

use axum::Json;
use axum::extract::State;
use jiff::ToSpan as _;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::BackOffice;
use super::http::{Ask, Failure, Id, Problem};
use super::matching::{self, Point, plain};
use super::slots::Centre;
use super::value::{Civil, Day, Invalid, Text, optional};

pub(super) fn routes() -> OpenApiRouter<BackOffice> {
    OpenApiRouter::new().routes(routes!(find_centres)).routes(routes!(free_slots))
}

#[derive(Serialize, ToSchema)]
struct FoundCentre {
    #[schema(example = "sh-pudong")]
    id: String,
    name: String,
    address: String,
    city: String,
    district: String,
    phone: String,
    /// `09:00–18:00`, with days of rest if there are any.
    hours: String,
    /// By air from `near`, or from the middle of `district`; null if neither is known.
    distance_km: Option<f64>,
    /// The first six free slots.
    free: Vec<Civil>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct FindCentres {
    /// 上海, 杭州 …; centres elsewhere are left out.
    #[serde(default, deserialize_with = "optional")]
    #[param(value_type = Option<String>, example = "上海")]
    city: Option<Text>,
    /// A district or a landmark as the caller names it; the nearest come first, those of other districts too.
    #[serde(default, deserialize_with = "optional")]
    #[param(value_type = Option<String>, example = "浦东")]
    district: Option<Text>,
    /// Only centres that do this: 保养, 电池检测 …
    #[serde(default, deserialize_with = "optional")]
    #[param(value_type = Option<String>, example = "保养")]
    service: Option<Text>,
    /// Where the caller is, in degrees: `31.22,121.54`.
    #[serde(default, deserialize_with = "point")]
    #[param(value_type = Option<String>, example = "31.22,121.54")]
    near: Option<Point>,
    /// How many centres, 1 to 12; 3 if it is left out.
    #[param(minimum = 1, maximum = 12)]
    limit: Option<u32>,
    /// Free slots from this day or time on; from now if it is left out.
    #[serde(default, deserialize_with = "optional")]
    #[param(value_type = Option<String>, example = "2026-11-25")]
    from: Option<Since>,
    /// For so many days, 1 to 14; 7 if it is left out.
    #[param(minimum = 1, maximum = 14)]
    days: Option<u32>,
}

/// A day from its beginning, or a time.
#[derive(Clone, Copy)]
struct Since(Civil);

impl TryFrom<String> for Since {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        match Civil::parse(&text) {
            Ok(time) => Ok(Self(time)),
            Err(_) => Day::parse(&text).map(|day| Self(Civil(day.0.at(0, 0, 0, 0)))),
        }
    }
}

fn point<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Point>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)?.filter(|t| !t.trim().is_empty()) else {
        return Ok(None);
    };
    let parse = || {
        let (lat, lon) = text.split_once(',')?;
        let (lat, lon) = (f64::from_str(lat.trim()).ok()?, f64::from_str(lon.trim()).ok()?);
        (lat.abs() <= 90.0 && lon.abs() <= 180.0).then_some(Point { lat, lon })
    };
    parse().map(Some).ok_or_else(|| {
        serde::de::Error::custom(format!("{text:?} is no point: give latitude,longitude as 31.22,121.54"))
    })
}

#[derive(Serialize, ToSchema)]
struct Centres {
    centres: Vec<FoundCentre>,
}

/// Centres with their first free slots: the nearest first, then those that have time soonest.
#[utoipa::path(get, path = "/centres", tag = "centres", params(FindCentres), responses(
    (status = 200, body = Centres, description = "none if the city has none"),
    (status = 422, body = Problem, description = "also `unknown_name` with `choices`, `unknown_place` if no city is given"),
))]
async fn find_centres(
    State(office): State<BackOffice>,
    Ask(find): Ask<FindCentres>,
) -> Result<Json<Centres>, Failure> {
    let limit = within("limit", find.limit, 3, 12)?;
    let days = within("days", find.days, 7, 14)?;
    let now = office.now();
    let from = find.from.map_or(now, |Since(t)| t).max(now);
    let mut db = office.pool.acquire().await?;
    let service = match &find.service {
        Some(service) => Some(matching::service(&mut db, service.as_str()).await?),
        None => None,
    };
    let city = find.city.as_ref().map(|c| plain(c.as_str()).trim_end_matches('市').to_string());
    let place = match (&find.near, &find.district) {
        (None, Some(district)) => matching::place(&mut db, district.as_str(), city.as_deref()).await?,
        _ => None,
    };
    if let (None, None, Some(district), None) = (&find.near, &city, &find.district, &place) {
        let error = format!("the place {:?} is not known: ask for the city and give it", district.as_str());
        return Err(Failure::unfit("unknown_place", error));
    }
    let origin = find.near.or(place.as_ref().map(|p| p.point));
    // A district tells its city.
    let city = city.or(place.map(|p| p.city));
    let mut centres = Vec::new();
    for centre in Centre::all(&mut db).await? {
        if city.as_ref().is_some_and(|city| plain(&centre.city) != *city) {
            continue;
        }
        if let Some(service) = &service
            && !centre.offers(&mut db, service).await?
        {
            continue;
        }
        let range = (from.0.date(), from.0.date().saturating_add((days as i32 - 1).days()));
        let free = centre.free(&mut db, range, now, None).await?;
        let free: Vec<Civil> = free.into_iter().map(|(s, _)| s).filter(|s| *s >= from).take(6).collect();
        centres.push(FoundCentre {
            distance_km: origin.map(|o| (o.km_to(centre.point) * 10.0).round() / 10.0),
            hours: centre.hours(),
            free,
            id: centre.id,
            name: centre.name,
            address: centre.address,
            city: centre.city,
            district: centre.district,
            phone: centre.phone,
        });
    }
    centres.sort_by(|a, b| {
        let soonest = |c: &FoundCentre| (c.free.is_empty(), c.free.first().copied());
        let far = |c: &FoundCentre| c.distance_km.unwrap_or(f64::MAX);
        far(a).total_cmp(&far(b)).then_with(|| soonest(a).cmp(&soonest(b)))
    });
    centres.truncate(limit as usize);
    Ok(Json(Centres { centres }))
}

/// `given`, or `usual` if it is left out; 1..=`most`.
pub(super) fn within(name: &str, given: Option<u32>, usual: u32, most: u32) -> Result<u32, Failure> {
    match given.unwrap_or(usual) {
        n if (1..=most).contains(&n) => Ok(n),
        n => Err(Failure::invalid(format!("{name} is {n}: give 1 to {most}"))),
    }
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct FindSlots {
    #[param(value_type = String, example = "2026-11-25")]
    date: Day,
    /// What it is for: 保养, 电池检测 …; refused (422 `not_offered`) if the centre does not do it.
    #[serde(default, deserialize_with = "optional")]
    #[param(value_type = Option<String>, example = "保养")]
    service: Option<Text>,
}

#[derive(Serialize, ToSchema)]
struct Slot {
    start: Civil,
    /// Places left.
    left: i64,
}

#[derive(Serialize, ToSchema)]
struct Slots {
    centre: String,
    centre_name: String,
    date: Day,
    /// None if the centre is closed, the day is full, past or more than 60 days ahead.
    slots: Vec<Slot>,
}

/// The free slots of a centre on one day.
#[utoipa::path(get, path = "/centres/{id}/slots", tag = "centres",
    params(("id" = String, Path, description = "as /centres gives it, or the centre's name"), FindSlots),
    responses(
        (status = 200, body = Slots),
        (status = 404, body = Problem, description = "there is no such centre"),
        (status = 422, body = Problem),
))]
async fn free_slots(
    State(office): State<BackOffice>,
    Id(id): Id,
    Ask(FindSlots { date, service }): Ask<FindSlots>,
) -> Result<Json<Slots>, Failure> {
    let mut db = office.pool.acquire().await?;
    let centre = Centre::named(&mut db, &id).await?;
    if let Some(service) = service {
        let service = matching::service(&mut db, service.as_str()).await?;
        if !centre.offers(&mut db, &service).await? {
            let error =
                format!("{} does not do {service}: find another by /centres with the service", centre.name);
            return Err(Failure::unfit("not_offered", error));
        }
    }
    let slots = centre.free(&mut db, (date.0, date.0), office.now(), None).await?;
    let slots = slots.into_iter().map(|(start, left)| Slot { start, left }).collect();
    Ok(Json(Slots { centre: centre.id, centre_name: centre.name, date, slots }))
}
