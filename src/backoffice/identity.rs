//! Whether a caller is who a record belongs to. The answer is yes or no: what is on file never leaves this house for it.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use sqlx::Row as _;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::BackOffice;
use super::customers::{self, Customer};
use super::http::{Ask, Failure, Problem};
use super::value::{Phone, Plate, Text, optional};
use crate::dialogue::sound::syllables;

/// Family names to be told apart by ear have at least this likeness: 陈 and 程 on the telephone.
const SAME_SOUND: f32 = 0.85;

pub(super) fn routes() -> OpenApiRouter<BackOffice> {
    OpenApiRouter::new().routes(routes!(check_identity))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Claim {
    /// Whose record: of the owner of this car,
    #[serde(default, deserialize_with = "optional")]
    #[param(value_type = Option<String>, example = "沪AD12345")]
    plate: Option<Plate>,
    /// or of who has this number.
    #[serde(default, deserialize_with = "optional")]
    #[param(value_type = Option<String>)]
    phone: Option<Phone>,
    /// The number that is calling.
    #[serde(default, deserialize_with = "optional")]
    #[param(value_type = Option<String>)]
    caller: Option<Phone>,
    /// The last four digits of the number on file, as the caller names them. They prove nothing if the record was named by
    /// its number.
    #[serde(default, deserialize_with = "optional")]
    #[param(value_type = Option<String>, example = "1234")]
    tail: Option<Text>,
    /// The family name, as the caller names it.
    #[serde(default, deserialize_with = "optional")]
    #[param(value_type = Option<String>, example = "陈")]
    surname: Option<Text>,
}

#[derive(Serialize, ToSchema)]
struct Identity {
    /// Whether what was given fits the record; false also if there is no such record.
    matches: bool,
    /// How the customer is addressed; only if it fits.
    #[schema(example = "陈先生")]
    address: Option<String>,
}

/// Whether a caller is the one on file for a car or a number.
#[utoipa::path(get, path = "/identity", tag = "customers", params(Claim), responses(
    (status = 200, body = Identity),
    (status = 422, body = Problem),
))]
async fn check_identity(
    State(office): State<BackOffice>,
    Ask(claim): Ask<Claim>,
) -> Result<Json<Identity>, Failure> {
    if claim.plate.is_none() && claim.phone.is_none() {
        return Err(Failure::invalid("say whose record: give plate or phone"));
    }
    let mut db = office.pool.acquire().await?;
    let phone = match &claim.plate {
        Some(plate) => {
            let row = sqlx::query(
                "SELECT c.phone FROM vehicles v JOIN customers c ON c.id = v.owner WHERE v.plate = ?",
            )
            .bind(plate.as_str())
            .fetch_optional(&mut *db)
            .await?;
            row.map(|row| row.try_get::<String, _>("phone")).transpose()?.and_then(|p| Phone::parse(&p).ok())
        }
        None => claim.phone.clone(),
    };
    let owner = match &phone {
        Some(phone) => customers::by_phone(&mut db, phone).await?,
        None => None,
    };
    let fits = owner.filter(|owner| fits(&claim, owner));
    Ok(Json(Identity { matches: fits.is_some(), address: fits.map(|owner| owner.address()) }))
}

fn fits(claim: &Claim, owner: &Customer) -> bool {
    let phone = owner.phone();
    if claim.plate.is_some() && claim.phone.as_ref().is_some_and(|claimed| claimed.as_str() != phone) {
        return false;
    }
    let calls = claim.caller.as_ref().is_some_and(|caller| caller.as_str() == phone);
    let tail = claim.tail.as_ref().map(Text::as_str).unwrap_or_default();
    let tail = claim.plate.is_some() && tail.len() == 4 && phone.ends_with(tail);
    let surname = claim.surname.as_ref().map(Text::as_str).unwrap_or_default();
    calls || tail || (!surname.is_empty() && same_name(surname, &owner.surname()))
}

/// The same to the ear: a recogniser writes what it hears.
fn same_name(said: &str, name: &str) -> bool {
    if name.is_ascii() {
        return said.trim().eq_ignore_ascii_case(name);
    }
    let (said, name) = (syllables(said), syllables(name));
    said.len() == name.len()
        && !name.is_empty()
        && said.iter().zip(&name).all(|(said, name)| said.similarity(*name) >= SAME_SOUND)
}
