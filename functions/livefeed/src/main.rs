//! The Lambda binary of the page: a function URL, which asks for IAM before anybody gets here.

use std::sync::Arc;

use axum::middleware::map_response;
use axum::response::Response;
use evenkeel_aws::{Aws, system_time};
use evenkeel_lambda::{Counts, Log, Setup, Stdout};
use evenkeel_livefeed::{FromLedger, pages};

/// The page at `/` shows the first fleet, and `/fleets/NAME/` each.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    let Setup { fleets, settings } = Setup::from_environment()?;
    let aws = Arc::new(Aws::from_environment(settings).await);
    let of = |fleet: &evenkeel_turn::FleetCache| {
        (fleet.name().clone(), FromLedger::new(Arc::clone(&aws), fleet.name().clone()))
    };
    lambda_http::run(pages(fleets.iter().map(of)).layer(map_response(note))).await
}

/// A page that could not be served is counted as a failure.
async fn note(response: Response) -> Response {
    if response.status().is_server_error() {
        Stdout.note("livefeed", "not served", response.status().as_str());
        Stdout.counts("livefeed", &Counts { failed: 1, ..Counts::default() }, system_time());
    }
    response
}
