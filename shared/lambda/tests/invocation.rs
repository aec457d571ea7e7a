//! What an invocation answers, and what it logs, whatever brought it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

use std::sync::Mutex;
use std::time::Duration;

use evenkeel_lambda::{Done, Entry, Invocation, Log, NotHandled, invoke};
use evenkeel_model::FunctionName;
use evenkeel_model::Timestamp;
use evenkeel_model::report::Report;
use evenkeel_model::trigger::Trigger;
use evenkeel_turn::ledger::{Item, Key, LedgerError, Write};
use evenkeel_turn::ports::{Answer, Clock, DeadLetters, Ledger, PortError};
use evenkeel_turn::{FleetCache, HandleError, Limits, Summary, TurnError};
use serde_json::{Value, json};

/// A clock that stands still, a ledger with one view, and a place for dead letters or none.
#[derive(Default)]
struct Still {
    dead: Option<Mutex<Vec<(String, String)>>>,
}

impl Ledger for Still {
    async fn get(&self, keys: &[Key]) -> Answer<Vec<Option<Item>>> {
        let view = |key: &Key| {
            (key.sort == "view#microscale")
                .then(|| Item { version: 1, body: r#"{"hosts":[{"id":"i-1","tasks":[{"id":"t"}]}]}"#.to_owned() })
        };
        Ok(keys.iter().map(view).collect())
    }

    async fn write(&self, _: Vec<Write>) -> Result<(), LedgerError> {
        unreachable!("an invocation writes nothing itself")
    }
}

impl DeadLetters for Still {
    async fn bury(&self, because: &str, event: &str) -> Answer<bool> {
        let Some(dead) = &self.dead else { return Ok(false) };
        dead.lock().unwrap().push((because.to_owned(), event.to_owned()));
        Ok(true)
    }
}

impl Clock for Still {
    fn now(&self) -> Timestamp {
        "2026-01-05T09:30:12Z".parse().unwrap()
    }

    async fn sleep(&self, _: Duration) {}
}

/// A function that answers a fleet's name to what it is asked, and cannot serve a fleet called `broken`.
#[derive(Default)]
struct Names {
    asked: Mutex<Vec<(String, Limits)>>,
}

impl Entry<Still> for Names {
    const NAME: &'static str = "microscale";

    async fn handle(
        &self,
        _: &Still,
        fleets: &FleetCache,
        trigger: &Trigger,
        holder: &str,
        limits: Limits,
    ) -> Result<Done, HandleError> {
        assert_eq!(holder, "request-1");
        self.asked.lock().unwrap().push((fleets.name().to_string(), limits));
        match (trigger, fleets.name().as_str()) {
            (Trigger::Manual(manual), name) if manual.fleet.as_str() != name => Ok(Done::NotForUs),
            (_, "other") => Ok(Done::NotForUs),
            (_, "broken") => Err(TurnError::Observe(PortError::Throttled).into()),
            (_, "locked") => Err(TurnError::Observe(PortError::Refused("not authorized".to_owned())).into()),
            (_, "turned") => Ok(Done::Turned(Box::new(Summary {
                fleet: fleets.name().clone(),
                function: FunctionName::Microscale,
                mode: evenkeel_model::fleet::Mode::Act,
                held: true,
                rests_until: None,
                rounds: 1,
                decisions: Vec::new(),
                unfinished: false,
                report: Report::default(),
                wakes: Vec::new(),
                missed: 0,
                left: 0,
                not_woken: None,
                not_shown: None,
                fleet_file_refused: None,
            }))),
            (_, name) => Ok(Done::Answered(json!({ "fleet": name }))),
        }
    }
}

#[derive(Default)]
struct Lines(Mutex<Vec<Value>>);

impl Log for Lines {
    fn line(&self, line: &Value) {
        self.0.lock().unwrap().push(line.clone());
    }
}

async fn handle(fleets: &[&str], payload: &str) -> (Result<Value, NotHandled>, Vec<Value>, Vec<(String, Limits)>) {
    handle_with(&Still::default(), fleets, payload).await
}

async fn handle_with(
    ports: &Still,
    fleets: &[&str],
    payload: &str,
) -> (Result<Value, NotHandled>, Vec<Value>, Vec<(String, Limits)>) {
    let fleets: Vec<FleetCache> = fleets.iter().map(|name| FleetCache::new(name.parse().unwrap())).collect();
    let (names, lines) = (Names::default(), Lines::default());
    let deadline = ports.now() + Duration::from_secs(30);
    let invocation = Invocation { payload: payload.as_bytes(), request: "request-1", deadline };
    let answer = invoke(&names, ports, &fleets, invocation, &lines).await;
    (answer, lines.0.into_inner().unwrap(), names.asked.into_inner().unwrap())
}

const TICK: &str = r#"{"id":"e","detail-type":"Scheduled Event","source":"aws.events","account":"1",
    "time":"2026-01-05T09:30:00Z","region":"eu-west-1","resources":[],"detail":{}}"#;

fn batch(bodies: &[&str]) -> String {
    let record = |(number, body): (usize, &&str)| json!({ "messageId": format!("m{number}"), "eventSource": "aws:sqs", "body": body });
    json!({ "Records": bodies.iter().enumerate().map(record).collect::<Vec<_>>() }).to_string()
}

#[tokio::test]
async fn each_fleet_gets_the_trigger_and_time_is_left_for_the_answer() {
    let (answer, _, asked) = handle(&["shop", "depot"], TICK).await;
    assert_eq!(fleets(&answer.unwrap()), ["shop", "depot"]);
    // The first fleet may not take the time of the last.
    let limits = |milliseconds| Limits { budget: Duration::from_millis(milliseconds), lease: Duration::from_secs(35) };
    assert_eq!(asked, [("shop".to_owned(), limits(11_500)), ("depot".to_owned(), limits(23_000))]);
}

#[tokio::test]
async fn a_manual_request_is_answered_with_what_it_asked_for() {
    let status = r#"{"fleet":"depot","microscale":"status"}"#;
    let (answer, ..) = handle(&["shop", "depot"], status).await;
    let answer = answer.unwrap();
    assert_eq!(fleets(&answer), ["depot"], "one shape, however many fleets there are");
    assert_eq!(answer["answers"][0]["function"], "microscale");
}

#[tokio::test]
async fn an_unknown_event_is_a_success_and_a_count() {
    let unknown = TICK.replace("aws.events", "aws.ssm").replace("Scheduled Event", "Calendar State Change");
    let (answer, lines, asked) = handle(&["shop"], &unknown).await;
    assert_eq!((answer, asked.len()), (Ok(json!({ "answers": [] })), 0));
    let metrics = lines.last().unwrap();
    assert_eq!((&metrics["Unknown events"], &metrics["Malformed events"]), (&json!(1), &json!(0)));
    assert_eq!(metrics["_aws"]["CloudWatchMetrics"][0]["Dimensions"], json!([["Function"]]));
}

#[tokio::test]
async fn a_malformed_event_fails_with_its_reason() {
    let malformed = r#"{"fleet":"a shop","microscale":"status"}"#;
    let (answer, lines, _) = handle(&["shop"], malformed).await;
    let error = answer.unwrap_err();
    assert_eq!(error.kind(), "Malformed");
    assert!(error.to_string().contains("fleet"), "{error}");
    assert_eq!(lines.last().unwrap()["Malformed events"], 1);
}

#[tokio::test]
async fn a_turn_that_could_not_be_taken_fails_with_all_that_led_to_it() {
    let (answer, ..) = handle(&["shop", "broken"], TICK).await;
    let error = answer.unwrap_err();
    assert_eq!((error.kind(), error.to_string().as_str()), ("Failed", "turn not taken: not observed: throttled"));
}

#[tokio::test]
async fn of_a_batch_only_what_failed_comes_again() {
    let beat = r#"{"fleet":"shop","beat":"2026-01-05T09:30:10Z"}"#;
    let payload = batch(&[beat, "{", TICK, beat]);
    let (answer, _, asked) = handle(&["shop"], &payload).await;
    assert_eq!(answer, Ok(json!({ "batchItemFailures": [{ "itemIdentifier": "m1" }] })));
    assert_eq!(asked.len(), 2, "beats that come together are one");
    let (answer, ..) = handle(&["broken"], &batch(&[TICK])).await;
    assert_eq!(answer, Ok(json!({ "batchItemFailures": [{ "itemIdentifier": "m0" }] })));
}

/// A place for dead letters, and what an invocation answers with it.
async fn buried(fleets: &[&str], payload: &str) -> (Result<Value, NotHandled>, Vec<(String, String)>) {
    let ports = Still { dead: Some(Mutex::default()) };
    let (answer, ..) = handle_with(&ports, fleets, payload).await;
    (answer, ports.dead.unwrap().into_inner().unwrap())
}

#[tokio::test]
async fn bad_input_is_put_away_once_and_never_comes_again() {
    let malformed = TICK.replace("Scheduled Event", "EC2 Spot Instance Interruption Warning").replace("events", "ec2");
    let (answer, dead) = buried(&["shop"], &malformed).await;
    assert!(answer.unwrap()["answers"][0]["dead_letter"].as_str().unwrap().starts_with("malformed event:"));
    assert!(dead[0].0.starts_with("malformed event:") && dead[0].1.contains("aws.ec2"), "{dead:?}");
    let (answer, dead) = buried(&["shop"], &batch(&["{", TICK])).await;
    assert_eq!(answer, Ok(json!({ "batchItemFailures": [] })));
    let letter: Value = serde_json::from_str(&dead[0].1).unwrap();
    assert_eq!((dead.len(), &letter["messageId"]), (1, &json!("m0")), "the one message, not its batch");
    let (answer, dead) = buried(&["shop"], r#"{"fleet":"a shop","microscale":"status"}"#).await;
    assert_eq!((answer.unwrap_err().kind(), dead.len()), ("Malformed", 0), "whoever asks by hand is answered");
}

#[tokio::test]
async fn what_needs_a_person_is_not_tried_again_and_what_passes_is() {
    let (answer, dead) = buried(&["locked"], TICK).await;
    let because = "turn not taken: not observed: refused: not authorized";
    assert_eq!((answer, dead.len()), (Ok(json!({ "answers": [{ "dead_letter": because }] })), 1));
    assert_eq!(dead[0].0, because);
    let (answer, dead) = buried(&["locked", "broken"], TICK).await;
    assert_eq!((answer.is_err(), dead.len()), (true, 0), "one of the two may work in a moment");
    let (answer, dead) = buried(&["broken"], &batch(&[TICK])).await;
    assert_eq!((answer, dead.len()), (Ok(json!({ "batchItemFailures": [{ "itemIdentifier": "m0" }] })), 0));
}

/// Of which fleets an answer is.
fn fleets(answer: &Value) -> Vec<&str> {
    answer["answers"].as_array().unwrap().iter().filter_map(|one| one["fleet"].as_str()).collect()
}

#[tokio::test]
async fn whoever_asks_for_a_turn_is_told_in_sentences_and_how_the_fleet_stands_after_it() {
    let (answer, ..) = handle(&["turned"], r#"{"fleet":"turned","demand":{"web":1200}}"#).await;
    let answer = &answer.unwrap()["answers"][0];
    assert_eq!(answer["says"], json!(["the demand of web is 1200 now", "nothing had to be changed for it"]));
    // Its tasks, one by one, are not what anybody asked for.
    assert_eq!((&answer["fleet"], &answer["view"]), (&json!("turned"), &json!({ "hosts": [{ "id": "i-1" }] })));
    let (answer, ..) = handle(&["turned"], TICK).await;
    let answer = &answer.unwrap()["answers"][0];
    assert!(answer.get("view").is_none() && answer.get("says").is_none(), "nobody reads it");
}

/// What is said of a request that leads to nothing.
async fn refused(fleets: &[&str], request: &str) -> String {
    let (answer, ..) = handle(fleets, request).await;
    let answer = answer.unwrap();
    assert_eq!(answer["answers"][0]["says"], json!([answer["answers"][0]["refused"]]));
    answer["answers"][0]["refused"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_request_that_leads_to_nothing_says_what_to_do_instead() {
    let said = refused(&["shop", "yard"], r#"{"fleet":"depot","microscale":"status"}"#).await;
    assert!(said.contains("are shop, yard") && said.contains("infra/deploy"), "{said}");
    let said = refused(&["other"], r#"{"fleet":"other","roll":"start"}"#).await;
    assert!(said.contains("name ends with -patchroll"), "{said}");
}

#[tokio::test]
async fn a_request_with_a_misspelt_word_says_which_was_meant_and_how_requests_look() {
    let (answer, ..) = handle(&["shop"], r#"{"fleet":"shop","roll":"plann"}"#).await;
    let said = answer.unwrap_err().to_string();
    assert!(said.contains("did you mean plan? known are plan, start, pause, resume, abort, status"), "{said}");
    assert!(said.contains(r#"{"fleet":"shop","roll":"plan"}"#), "{said}");
}
