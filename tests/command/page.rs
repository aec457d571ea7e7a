//! The page of `evenkeel serve`: at once, in step with the clock, and with buttons that act, however large the fleet is.

#![expect(clippy::disallowed_methods, reason = "how soon an answer comes is what is tested")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

/// `evenkeel serve` on a free port, ended with the test.
struct Page {
    child: Child,
    address: String,
}

impl Drop for Page {
    fn drop(&mut self) {
        let _already_over = self.child.kill();
        let _its_code = self.child.wait();
    }
}

impl Page {
    fn open(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_evenkeel"))
            .args(["serve", "--port", "0"])
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.split_once("http://").and_then(|(_, rest)| rest.split_once(' ')).unwrap().0.to_owned();
        Self { child, address }
    }

    /// The status and the body of an answer.
    fn ask(&self, method: &str, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        write!(stream, "{method} {path} HTTP/1.1\r\nHost: here\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
            .unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let status = text.split(' ').nth(1).unwrap().parse().unwrap();
        (status, text.split_once("\r\n\r\n").unwrap().1.to_owned())
    }

    /// What a route says as JSON; none where it has nothing yet.
    fn json(&self, path: &str) -> Option<Value> {
        let (status, body) = self.ask("GET", path);
        // Long answers come in pieces, which begin with their lengths.
        let body: String = if body.starts_with(['{', '[']) { body } else { unchunked(&body) };
        (status == 200).then(|| serde_json::from_str(&body).unwrap())
    }

    fn world(&self) -> Value {
        self.json("/api/world").unwrap()
    }

    /// Waits until something is so, for as long as a machine with much to do may need.
    #[track_caller]
    fn until(&self, what: &str, is: impl Fn(&Self) -> bool) {
        let begun = Instant::now();
        while !is(self) {
            assert!(begun.elapsed() < Duration::from_secs(120), "{what} did not come: {}", self.world());
            sleep(Duration::from_millis(100));
        }
    }
}

fn unchunked(mut text: &str) -> String {
    let mut whole = String::new();
    while let Some((length, rest)) = text.split_once("\r\n") {
        let length = usize::from_str_radix(length, 16).unwrap();
        whole.push_str(&rest[..length]);
        text = rest[length..].trim_start_matches("\r\n");
    }
    whole
}

fn number(value: &Value, name: &str) -> f64 {
    value[name].as_f64().unwrap_or_else(|| panic!("{value} has no {name}"))
}

#[test]
fn the_page_of_a_thousand_hosts_answers_at_once_and_keeps_step() {
    let begun = Instant::now();
    let page = Page::open(&["--fleet", "../../infra/fleets/thousand.toml"]);
    let first = page.world();
    let (status, html) = page.ask("GET", "/");
    let waited = begun.elapsed();
    eprintln!("the first answers came after {} ms", waited.as_millis());
    assert!(waited < Duration::from_secs(2), "{waited:?}");
    assert!(status == 200 && html.contains("<html"), "{status}");
    assert_eq!(first["controls"].as_array().unwrap().len(), 11);
    // It opens with a quarter of an hour, which it says that it has still to catch up with.
    assert!(number(&first, "behind_seconds") > 30.0, "{first}");

    let in_step = |page: &Page| number(&page.world(), "behind_seconds") < 20.0;
    page.until("the clock's time", in_step);
    eprintln!("it was in step after {} ms", begun.elapsed().as_millis());
    let (from, before) = (Instant::now(), number(&page.world(), "simulated_seconds"));
    let mut slowest = Duration::ZERO;
    while from.elapsed() < Duration::from_secs(6) {
        let asked = Instant::now();
        assert!(page.json("/api/view").is_some() && page.json("/api/history").is_some());
        slowest = slowest.max(asked.elapsed());
        sleep(Duration::from_millis(200));
    }
    let after = page.world();
    let (passed, real) = (number(&after, "simulated_seconds") - before, from.elapsed().as_secs_f64());
    eprintln!("{passed:.0} simulated seconds in {real:.1} s, the slowest answer after {} ms", slowest.as_millis());
    assert!(number(&after, "behind_seconds") < 20.0, "{after}");
    assert!((passed / real - 10.0).abs() < 4.0, "{passed} simulated seconds in {real} s");
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");

    let view = page.json("/api/view").unwrap();
    let tasks: u64 =
        view["services"].as_array().unwrap().iter().map(|service| service["running"].as_u64().unwrap()).sum();
    assert!(tasks > 5_000, "{tasks} tasks");
    assert!(page.json("/api/history").unwrap().as_array().unwrap().len() > 60);
}

#[test]
fn the_buttons_act_on_the_world() {
    let page = Page::open(&["--speed", "30"]);
    page.until("the clock's time", |page| number(&page.world(), "behind_seconds") < 60.0);
    let demand = |page: &Page| {
        let view = page.json("/api/view")?;
        view["services"].as_array()?.iter().find(|service| service["name"] == "web")?["demand"].as_f64()
    };
    for (button, calm) in [("calm", true), ("spike", false)] {
        assert_eq!(page.ask("POST", &format!("/api/world/{button}")).0, 204);
        page.until(button, |page| demand(page).is_some_and(|demand| (demand < 300.0) == calm));
    }
    assert_eq!(page.ask("POST", "/api/world/nothing").0, 404);
}
