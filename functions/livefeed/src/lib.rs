//! The page: one router that works in Lambda and on loopback. It reads the ledger's view and changes nothing.
//!
//! Architecture invariant: no write route, no AWS, nothing from outside: all assets come from this binary.

mod ledger;

use std::future::Future;
use std::io::Write;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use evenkeel_model::FleetName;
use flate2::Compression;
use flate2::write::GzEncoder;
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

/// Lambda answers with no more than 6 MB (AWS Lambda developer guide, "Lambda quotas"), which the view of some thousand hosts
/// is; deflated it is a tenth.
const LARGE: usize = 64 * 1024;

/// Whether the reader says that it understands gzip.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let named =
        headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok()).flat_map(|all| all.split(','));
    named.map(|one| one.split(';').map(str::trim)).any(|mut one| {
        let refused = |weight: &str| weight.strip_prefix("q=").is_some_and(|weight| weight.parse() == Ok(0.0));
        one.next() == Some("gzip") && !one.any(refused)
    })
}

/// None where that fails, which writing into memory does not: then the text is as good.
fn gzip(text: &str) -> Option<Vec<u8>> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(text.as_bytes()).and_then(|()| packed.finish()).ok()
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
            let packed = if text.len() > LARGE && takes_gzip(headers) { gzip(&text) } else { None };
            match packed {
                Some(bytes) => {
                    let packed = [(CONTENT_ENCODING, "gzip"), (VARY, "accept-encoding")];
                    (common, packed, [(ETAG, tag)], bytes).into_response()
                }
                None => (common, [(ETAG, tag)], text.to_string()).into_response(),
            }
        }
        Err(error) => {
            (StatusCode::SERVICE_UNAVAILABLE, common, json!({ "error": error.to_string() }).to_string()).into_response()
        }
    }
}
