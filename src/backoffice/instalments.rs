//! What a car costs a month.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use sqlx::Row as _;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::BackOffice;
use super::http::{Ask, Failure, Problem};
use super::value::Yuan;

pub(super) fn routes() -> OpenApiRouter<BackOffice> {
    OpenApiRouter::new().routes(routes!(instalments))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Wish {
    /// Of the car, in yuan, 10,000 to 2,000,000.
    #[param(value_type = f64, minimum = 10_000, maximum = 2_000_000, example = 239_800)]
    price: Yuan,
    /// What is paid at once, in yuan.
    #[param(value_type = f64, minimum = 0, example = 71_940)]
    down_payment: Yuan,
    /// 12, 24, 36, 48 or 60.
    #[param(minimum = 12, maximum = 60, example = 36)]
    months: i64,
}

/// An annuity: the same sum each month. A quote, not an offer; the bank decides.
#[derive(Serialize, ToSchema)]
struct Instalments {
    price: Yuan,
    down_payment: Yuan,
    months: i64,
    /// What is borrowed.
    loan: Yuan,
    /// What is paid each month.
    monthly: Yuan,
    /// All monthly sums less the loan.
    total_interest: Yuan,
    /// Nominal, per cent a year.
    rate: f64,
}

const PRICE_FEN: std::ops::RangeInclusive<i64> = 1_000_000..=200_000_000;

/// What is paid each month for a car.
#[utoipa::path(get, path = "/instalments", tag = "prices", params(Wish), responses(
    (status = 200, body = Instalments),
    (status = 422, body = Problem),
))]
async fn instalments(
    State(office): State<BackOffice>,
    Ask(Wish { price, down_payment, months }): Ask<Wish>,
) -> Result<Json<Instalments>, Failure> {
    if !PRICE_FEN.contains(&price.fen()) {
        return Err(Failure::invalid("the price is out of range: give 10000 to 2000000 yuan"));
    }
    let plan = sqlx::query("SELECT annual_bp, min_down_bp FROM instalment_plans WHERE months = ?")
        .bind(months)
        .fetch_optional(&office.pool)
        .await?;
    let Some(plan) = plan else {
        return Err(Failure::invalid(format!(
            "there is no plan of {months} months: ask for 12, 24, 36, 48 or 60"
        )));
    };
    let (annual_bp, min_down_bp): (i64, i64) = (plan.try_get("annual_bp")?, plan.try_get("min_down_bp")?);
    let least = (price.fen() * min_down_bp + 9_999) / 10_000;
    if !(least..price.fen()).contains(&down_payment.fen()) {
        return Err(Failure::invalid(format!(
            "the down payment must be at least {} % of the price ({:.2} yuan) and less than the price",
            min_down_bp as f64 / 100.0,
            least as f64 / 100.0
        )));
    }
    let loan = price.fen() - down_payment.fen();
    let monthly = monthly(loan, annual_bp, months);
    // Without interest the last sum takes up the fen of rounding.
    let total_interest = if annual_bp == 0 { 0 } else { monthly * months - loan };
    Ok(Json(Instalments {
        price,
        down_payment,
        months,
        loan: Yuan::of(loan),
        monthly: Yuan::of(monthly),
        total_interest: Yuan::of(total_interest),
        rate: annual_bp as f64 / 100.0,
    }))
}

/// The monthly sum of an annuity in fen, rounded half up. `annual_bp`: hundredths of a per cent a year.
fn monthly(loan: i64, annual_bp: i64, months: i64) -> i64 {
    let rate = annual_bp as f64 / 120_000.0;
    let sum = if annual_bp == 0 {
        loan as f64 / months as f64
    } else {
        loan as f64 * rate / -(-(months as f64) * rate.ln_1p()).exp_m1()
    };
    // Positive, so away from zero is up.
    sum.round() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn monthly_sums_are_those_of_published_tables() {
        // (loan in yuan, hundredths of a per cent a year, months, monthly sum in fen): banks' tables and, for the shorter
        // ones, exact decimal arithmetic.
        for (loan, rate, months, sum) in [
            (1_000_000, 490, 360, 530_727),
            (1_000_000, 490, 240, 654_444),
            (1_000_000, 325, 360, 435_206),
            (200_000, 600, 360, 119_910),
            (100_000, 600, 12, 860_664),
            (100_000, 0, 12, 833_333),
            (100_000, 0, 24, 416_667),
        ] {
            assert_eq!(monthly(loan * 100, rate, months), sum, "{loan} yuan at {rate} for {months} months");
        }
    }

    #[test]
    fn half_a_fen_is_rounded_up() {
        assert_eq!(monthly(25, 0, 2), 13);
        assert_eq!(monthly(24, 0, 2), 12);
    }
}
