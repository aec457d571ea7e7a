//! The page: one router that works in Lambda and on loopback. It reads the ledger's view and changes nothing.
//!
//! Architecture invariant: no write route, no AWS, nothing from outside: all assets come from this binary.

mod ledger;

use std::future::Future;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use evenkeel_model::FleetName;
use serde_json::json;

pub use ledger::FromLedger;

/// Where the page's data comes from. Reading only.
pub trait Source: Clone + Send + Sync + 'static {
    /// The newest view as JSON.
    fn view(&self) -> impl Future<Output = Result<Arc<str>, SourceError>> + Send;
    /// Backfill's newest view as JSON; none for a fleet without it.
    fn backfill(&self) -> impl Future<Output = Result<Option<Arc<str>>, SourceError>> + Send;
    /// Patchroll's newest view as JSON; none for a fleet without it.
    fn patch(&self) -> impl Future<Output = Result<Option<Arc<str>>, SourceError>> + Send;
    /// What was wanted and what ran until now, as a JSON array of moments; empty where nothing is kept.
    fn history(&self) -> impl Future<Output = Result<Arc<str>, SourceError>> + Send;
}

/// Why there is nothing to show.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// No turn has saved a view yet.
    #[error("no turn has saved a view yet")]
    NothingYet,
    /// The ledger did not answer.
    #[error("the ledger did not answer: {0}")]
    Unavailable(String),
}

/// Scripts and styles come from the page's own routes only, and nobody may frame it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The routes: `/`, `/page.css`, `/page.js`, `/chart.js`, `/api/view`, `/api/backfill`,
/// `/api/patch`, `/api/history`.
pub fn router<S: Source>(source: S) -> Router {
    Router::new()
        .route("/", get(|| async { asset("text/html; charset=utf-8", include_str!("../assets/page.html")) }))
        .route("/page.css", get(|| async { asset("text/css; charset=utf-8", include_str!("../assets/page.css")) }))
        .route("/page.js", get(|| async { asset("text/javascript; charset=utf-8", include_str!("../assets/page.js")) }))
        .route(
            "/chart.js",
            get(|| async { asset("text/javascript; charset=utf-8", include_str!("../assets/chart.js")) }),
        )
        .route("/api/view", get(view::<S>))
        .route("/api/backfill", get(backfill::<S>))
        .route("/api/patch", get(patch::<S>))
        .route("/api/history", get(history::<S>))
        .with_state(source)
}

/// The pages of several fleets: that of the first at `/`, and each at `/fleets/NAME/`.
pub fn pages<S: Source>(fleets: impl IntoIterator<Item = (FleetName, S)>) -> Router {
    let mut fleets = fleets.into_iter().peekable();
    let first = fleets.peek().map(|(_, source)| router(source.clone())).unwrap_or_default();
    fleets.fold(first, |routes, (fleet, source)| {
        // The page asks for everything beside itself, so its address ends with a slash.
        let there = format!("{fleet}/");
        let beside = move || async move { Redirect::permanent(&there) };
        routes.route(&format!("/fleets/{fleet}"), get(beside)).nest(&format!("/fleets/{fleet}/"), router(source))
    })
}

fn asset(kind: &'static str, text: &'static str) -> Response {
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static(kind)),
        (CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    (headers, text).into_response()
}

async fn view<S: Source>(State(source): State<S>, headers: HeaderMap) -> Response {
    answer(source.view().await, &headers)
}

async fn backfill<S: Source>(State(source): State<S>, headers: HeaderMap) -> Response {
    answer_if_any(source.backfill().await, &headers)
}

async fn patch<S: Source>(State(source): State<S>, headers: HeaderMap) -> Response {
    answer_if_any(source.patch().await, &headers)
}

async fn history<S: Source>(State(source): State<S>, headers: HeaderMap) -> Response {
    answer(source.history().await, &headers)
}

/// The same, or 404 where the fleet has no such function.
fn answer_if_any(found: Result<Option<Arc<str>>, SourceError>, headers: &HeaderMap) -> Response {
    match found.transpose() {
        Some(found) => answer(found, headers),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// JSON with a tag, or 304 where the reader has it already.
fn answer(found: Result<Arc<str>, SourceError>, headers: &HeaderMap) -> Response {
    let common = [
        (CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    match found {
        Ok(text) => {
            // Equal texts have equal tags on every instance of the function.
            let tag = format!("\"{:016x}\"", evenkeel_turn::fingerprint(text.as_bytes()));
            if headers.get(IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes()) {
                return (StatusCode::NOT_MODIFIED, [(ETAG, tag)]).into_response();
            }
            (common, [(ETAG, tag)], text.to_string()).into_response()
        }
        Err(error) => {
            (StatusCode::SERVICE_UNAVAILABLE, common, json!({ "error": error.to_string() }).to_string()).into_response()
        }
    }
}
