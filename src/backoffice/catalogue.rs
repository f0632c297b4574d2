//! Parts with their stock, and prices of services and cars.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::BackOffice;
use super::http::{Ask, Failure, Problem};
use super::matching::{self, best, likeness, words};
use super::value::{Text, Yuan, optional};

pub(super) fn routes() -> OpenApiRouter<BackOffice> {
    OpenApiRouter::new().routes(routes!(find_parts)).routes(routes!(find_prices))
}

/// The most rows that are told.
const MOST: usize = 20;

#[derive(Serialize, ToSchema)]
struct Part {
    code: String,
    #[schema(example = "雨刮片（一对）")]
    name: String,
    /// Models that it fits; empty: all.
    models: Vec<String>,
    price: Yuan,
    /// For fitting it.
    labour: Yuan,
    /// How many each centre has, by its name; centres with none are left out.
    stock: BTreeMap<String, i64>,
    /// Days until a centre that has none gets one.
    lead_days: i64,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct FindParts {
    /// As the caller says it: 雨刷, 刹车片, 空调滤芯 …
    #[param(value_type = String, min_length = 1, max_length = 500)]
    name: Text,
    /// Only parts that fit this model: 青屿 S7, S7 …
    #[serde(default, deserialize_with = "optional")]
    #[param(value_type = Option<String>, example = "青屿 S7")]
    model: Option<Text>,
}

#[derive(Serialize, ToSchema)]
struct Parts {
    parts: Vec<Part>,
}

/// Parts by a spoken name, the best match first.
#[utoipa::path(get, path = "/parts", tag = "parts", params(FindParts), responses(
    (status = 200, body = Parts, description = "none if no part is like the name"),
    (status = 422, body = Problem),
))]
async fn find_parts(
    State(office): State<BackOffice>,
    Ask(find): Ask<FindParts>,
) -> Result<Json<Parts>, Failure> {
    let mut db = office.pool.acquire().await?;
    let (model, name) = wanted(&mut db, Some(&find.name), find.model.as_ref()).await?;
    let rows = sqlx::query("SELECT * FROM parts ORDER BY code").fetch_all(&mut *db).await?;
    let mut all = Vec::new();
    for row in &rows {
        let models = words(row.try_get("models")?)?;
        if model.as_ref().is_none_or(|m| models.is_empty() || models.contains(m)) {
            all.push((names(row, "name")?, row, models));
        }
    }
    let mut parts = Vec::new();
    for (_, row, models) in
        best(all, |(names, ..)| likeness(&name, names.iter().map(String::as_str))).into_iter().take(MOST)
    {
        let code: String = row.try_get("code")?;
        let stock = sqlx::query(
            "SELECT c.name, s.count FROM part_stock s JOIN centres c ON c.id = s.centre WHERE s.part = ? AND s.count > 0",
        )
        .bind(&code)
        .fetch_all(&mut *db)
        .await?
        .iter()
        .map(|row| Ok((row.try_get("name")?, row.try_get("count")?)))
        .collect::<Result<_, sqlx::Error>>()?;
        parts.push(Part {
            code,
            name: row.try_get("name")?,
            models,
            price: Yuan::of(row.try_get("price")?),
            labour: Yuan::of(row.try_get("labour")?),
            stock,
            lead_days: row.try_get("lead_days")?,
        });
    }
    Ok(Json(Parts { parts }))
}

#[derive(Serialize, ToSchema)]
struct Price {
    #[schema(example = "小保养")]
    item: String,
    /// Null: the same for all models.
    model: Option<String>,
    /// 0: free.
    price: Yuan,
    /// `service` or `car` (then it is the guide price).
    kind: String,
    /// What it holds, and on what it depends.
    note: String,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct FindPrices {
    /// As the caller says it: 小保养, 四轮定位, 车价 …; all if it is left out.
    #[serde(default, deserialize_with = "optional")]
    #[param(value_type = Option<String>)]
    item: Option<Text>,
    /// Only prices for this model: 青屿 S7, S7 …
    #[serde(default, deserialize_with = "optional")]
    #[param(value_type = Option<String>, example = "青屿 S7")]
    model: Option<Text>,
}

#[derive(Serialize, ToSchema)]
struct Prices {
    prices: Vec<Price>,
}

/// Prices of services and guide prices of cars by a spoken name, the best match first.
#[utoipa::path(get, path = "/prices", tag = "prices", params(FindPrices), responses(
    (status = 200, body = Prices, description = "none if nothing is like the name"),
    (status = 422, body = Problem),
))]
async fn find_prices(
    State(office): State<BackOffice>,
    Ask(find): Ask<FindPrices>,
) -> Result<Json<Prices>, Failure> {
    let mut db = office.pool.acquire().await?;
    let (model, item) = wanted(&mut db, find.item.as_ref(), find.model.as_ref()).await?;
    let rows =
        sqlx::query("SELECT * FROM prices WHERE ?1 IS NULL OR model IS NULL OR model = ?1 ORDER BY id")
            .bind(&model)
            .fetch_all(&mut *db)
            .await?;
    let rows = if !item.is_empty() {
        let named =
            rows.iter().map(|row| Ok((names(row, "item")?, row))).collect::<Result<Vec<_>, sqlx::Error>>()?;
        best(named, |(names, _)| likeness(&item, names.iter().map(String::as_str)))
            .into_iter()
            .map(|(_, r)| r)
            .collect()
    } else if find.item.is_some() {
        // Only a model was named: what the car costs.
        let mut cars = Vec::new();
        for row in &rows {
            if row.try_get::<&str, _>("kind")? == "car" {
                cars.push(row);
            }
        }
        cars
    } else {
        rows.iter().collect::<Vec<_>>()
    };
    let prices = rows
        .into_iter()
        .take(MOST)
        .map(|row| {
            Ok(Price {
                item: row.try_get("item")?,
                model: row.try_get("model")?,
                price: Yuan::of(row.try_get("price")?),
                kind: row.try_get("kind")?,
                note: row.try_get("note")?,
            })
        })
        .collect::<Result<_, sqlx::Error>>()?;
    Ok(Json(Prices { prices }))
}

/// The model that is meant, named by itself or within the name, and the name without it.
async fn wanted(
    db: &mut SqliteConnection,
    name: Option<&Text>,
    model: Option<&Text>,
) -> Result<(Option<String>, String), Failure> {
    let models = matching::models(db).await?;
    let (within, name) = matching::split_model(&models, name.map_or("", Text::as_str));
    let model = match model {
        Some(model) => Some(matching::model(&models, model.as_str())?),
        None => within,
    };
    Ok((model, name))
}

/// A row's name and aliases.
fn names(row: &SqliteRow, column: &str) -> Result<Vec<String>, sqlx::Error> {
    let mut names = words(row.try_get("aliases")?)?;
    names.push(row.try_get(column)?);
    Ok(names)
}
