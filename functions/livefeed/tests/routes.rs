//! The routes answer as a browser and a cache expect.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

use std::io::Read;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use evenkeel_livefeed::{Source, SourceError, pages, router};
use flate2::read::GzDecoder;
use http_body_util::BodyExt;
use tower::ServiceExt;

#[derive(Clone)]
struct Fixed(Result<&'static str, SourceError>);

impl Source for Fixed {
    async fn view(&self) -> Result<Arc<str>, SourceError> {
        self.0.clone().map(Arc::from)
    }
    async fn backfill(&self) -> Result<Option<Arc<str>>, SourceError> {
        Ok(None)
    }
    async fn patch(&self) -> Result<Option<Arc<str>>, SourceError> {
        Ok(self.0.is_ok().then(|| Arc::from("{\"roll\":null}")))
    }
    async fn history(&self) -> Result<Arc<str>, SourceError> {
        Ok(Arc::from("[]"))
    }
}

async fn ask(source: Fixed, request: Request<Body>) -> Response<Body> {
    router(source).oneshot(request).await.unwrap()
}

fn get(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).unwrap()
}

async fn text(response: Response<Body>) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

#[tokio::test]
async fn a_known_view_is_not_sent_again() {
    let source = Fixed(Ok("{\"fleet\":\"demo\"}"));
    let first = ask(source.clone(), get("/api/view")).await;
    assert_eq!(first.status(), StatusCode::OK);
    let tag = first.headers()["etag"].clone();
    assert_eq!(text(first).await, "{\"fleet\":\"demo\"}");
    let again = Request::get("/api/view").header("if-none-match", &tag).body(Body::empty()).unwrap();
    assert_eq!(ask(source, again).await.status(), StatusCode::NOT_MODIFIED);
    let other = Request::get("/api/view").header("if-none-match", tag).body(Body::empty()).unwrap();
    assert_eq!(ask(Fixed(Ok("{}")), other).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_large_view_is_deflated_for_readers_that_understand_it() {
    let large: &'static str = Box::leak(format!("[{}1]", "1,".repeat(500_000)).into_boxed_str());
    let asks = |accepts| Request::get("/api/view").header("accept-encoding", accepts).body(Body::empty()).unwrap();
    let answer = ask(Fixed(Ok(large)), asks("br, gzip;q=0.8")).await;
    assert_eq!(answer.headers()["content-encoding"], "gzip");
    assert_eq!(answer.headers()["vary"], "accept-encoding");
    let tag = answer.headers()["etag"].clone();
    let bytes = answer.into_body().collect().await.unwrap().to_bytes();
    assert!(bytes.len() < 10_000, "{}", bytes.len());
    let mut read = String::new();
    GzDecoder::new(bytes.as_ref()).read_to_string(&mut read).unwrap();
    assert!(read == large);
    for (source, accepts) in [(large, "identity"), (large, "gzip;q=0"), ("{}", "gzip")] {
        let answer = ask(Fixed(Ok(source)), asks(accepts)).await;
        assert!(!answer.headers().contains_key("content-encoding"), "{accepts}");
        assert!(text(answer).await == source);
    }
    let again = Request::get("/api/view").header("accept-encoding", "gzip").header("if-none-match", tag);
    assert_eq!(ask(Fixed(Ok(large)), again.body(Body::empty()).unwrap()).await.status(), StatusCode::NOT_MODIFIED);
}

#[tokio::test]
async fn a_missing_view_says_why() {
    let response = ask(Fixed(Err(SourceError::NothingYet)), get("/api/view")).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(text(response).await, "{\"error\":\"no turn has saved a view yet\"}");
}

#[tokio::test]
async fn a_fleet_without_a_function_has_no_view_of_it() {
    let source = Fixed(Ok("{}"));
    assert_eq!(ask(source.clone(), get("/api/backfill")).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(text(ask(source, get("/api/patch")).await).await, "{\"roll\":null}");
}

#[tokio::test]
async fn there_is_no_write_route_and_no_other_page() {
    for path in ["/", "/api/view", "/api/history"] {
        let post = Request::post(path).body(Body::empty()).unwrap();
        assert_eq!(ask(Fixed(Ok("{}")), post).await.status(), StatusCode::METHOD_NOT_ALLOWED);
    }
    assert_eq!(ask(Fixed(Ok("{}")), get("/admin")).await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn each_fleet_has_a_page_of_its_own() {
    let fleet = |name: &str, view| (name.parse().unwrap(), Fixed(Ok(view)));
    let routes = pages([fleet("one", "{\"fleet\":\"one\"}"), fleet("two", "{\"fleet\":\"two\"}")]);
    let ask = async |path: &str| routes.clone().oneshot(get(path)).await.unwrap();
    let there = ask("/fleets/two").await;
    assert_eq!(
        (there.status(), &there.headers()["location"]),
        (StatusCode::PERMANENT_REDIRECT, &"two/".parse().unwrap())
    );
    for path in
        ["/", "/fleets/one/", "/fleets/two/", "/fleets/two/page.js", "/fleets/two/page.css", "/fleets/two/chart.js"]
    {
        assert_eq!(ask(path).await.status(), StatusCode::OK, "{path}");
    }
    for (path, name) in [("/api/view", "one"), ("/fleets/one/api/view", "one"), ("/fleets/two/api/view", "two")] {
        assert_eq!(text(ask(path).await).await, format!("{{\"fleet\":\"{name}\"}}"), "{path}");
    }
    assert_eq!(ask("/fleets/three/").await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_page_asks_for_everything_beside_itself() {
    for path in ["/", "/page.js", "/chart.js"] {
        let body = text(ask(Fixed(Ok("{}")), get(path)).await).await;
        for absolute in ["href=\"/", "src=\"/", "fetch(\"/", "fetch(`/", "from \"/"] {
            assert!(!body.contains(absolute), "{path} has {absolute}: at /fleets/NAME/ that is another fleet's");
        }
    }
}

#[tokio::test]
async fn the_page_loads_nothing_from_elsewhere_and_writes_no_markup() {
    for path in ["/", "/page.css", "/page.js", "/chart.js"] {
        let response = ask(Fixed(Ok("{}")), get(path)).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        let policy = response.headers()["content-security-policy"].to_str().unwrap().to_owned();
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        let body = text(response).await.replace("http://www.w3.org/2000/svg", "");
        for foreign in ["http://", "https://", "innerHTML", "insertAdjacentHTML", "document.write", "eval("] {
            assert!(!body.contains(foreign), "{path} has {foreign}");
        }
    }
}
