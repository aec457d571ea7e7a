//! The page's data is what the functions' turns saved, with the newest decisions of all of them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

use std::collections::BTreeMap;
use std::sync::Arc;

use evenkeel_livefeed::{FromLedger, Source, SourceError};
use evenkeel_model::FunctionName;
use evenkeel_model::decision::{Decision, Outcome, Step, Why};
use evenkeel_model::view::DecisionView;
use evenkeel_turn::ledger::{Item, Key, LedgerError, Write};
use evenkeel_turn::ports::{Answer, Ledger, PortError};
use serde_json::{Value, json};

/// What is stored, by sort key; none: it does not answer.
struct Stored(Option<BTreeMap<&'static str, String>>);

impl Ledger for Stored {
    async fn get(&self, keys: &[Key]) -> Answer<Vec<Option<Item>>> {
        let items = self.0.as_ref().ok_or(PortError::Throttled)?;
        let of = |key: &Key| {
            assert_eq!(key.fleet.as_str(), "shop");
            items.get(key.sort.as_str()).map(|body| Item { version: 3, body: body.clone() })
        };
        Ok(keys.iter().map(of).collect())
    }

    async fn write(&self, _: Vec<Write>) -> Result<(), LedgerError> {
        unreachable!("the page writes nothing")
    }
}

fn page(items: &[(&'static str, String)]) -> FromLedger<Stored> {
    let items = items.iter().cloned().collect();
    FromLedger::new(Arc::new(Stored(Some(items))), "shop".parse().unwrap())
}

fn view() -> String {
    json!({ "fleet": "shop", "at": "2026-01-05T09:30:00Z", "beat_seconds": 10, "hosts": [], "services": [],
            "waits": [], "report": { "waits": [], "shortfall": [] }, "decisions": [] })
    .to_string()
}

/// A feed of decisions made at these times.
fn feed(function: FunctionName, minutes: &[u32]) -> String {
    let decision = |minute: &u32| {
        DecisionView::from(Decision {
            at: format!("2026-01-05T09:{minute:02}:00Z").parse().unwrap(),
            function,
            step: Step::SetDesiredCount { service: "web".parse().unwrap(), from: 1, to: 2 },
            why: Why::WantRose { want: 2, live: 1 },
            outcome: Outcome::Done,
        })
    };
    serde_json::to_string(&minutes.iter().map(decision).collect::<Vec<_>>()).unwrap()
}

fn shown(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[tokio::test]
async fn nothing_saved_and_no_answer_are_told_apart() {
    assert_eq!(page(&[]).view().await, Err(SourceError::NothingYet));
    assert_eq!(page(&[]).patch().await, Ok(None));
    let silent = FromLedger::new(Arc::new(Stored(None)), "shop".parse().unwrap());
    assert_eq!(silent.view().await, Err(SourceError::Unavailable("throttled".to_owned())));
}

#[tokio::test]
async fn views_are_passed_on_as_they_were_saved() {
    let page = page(&[("view#microscale", view()), ("view#backfill", "{\"hosts\":[1]}".to_owned())]);
    assert_eq!(shown(&page.view().await.unwrap())["fleet"], "shop");
    assert_eq!(page.backfill().await.unwrap().as_deref(), Some("{\"hosts\":[1]}"));
    assert_eq!(page.patch().await, Ok(None));
    assert_eq!(page.history().await.as_deref(), Ok("[]"));
}

#[tokio::test]
async fn a_view_in_several_items_is_shown_as_one() {
    let part = |of: u64, hosts: Value| json!({ "of": of, "hosts": hosts }).to_string();
    let first = |hosts: Value| {
        json!({ "at": "2026-01-05T09:30:00Z", "waits": [], "hosts": hosts, "parts": { "of": u64::MAX, "count": 2 } })
            .to_string()
    };
    let items = |of| {
        [
            ("view#microscale", first(json!([1, 2]))),
            ("view#microscale#1", part(of, json!([3]))),
            ("view#microscale#2", part(u64::MAX, json!([4, 5]))),
            ("view#patchroll", first(json!({ "a": 1 }))),
            ("view#patchroll#1", part(u64::MAX, json!({ "b": 2 }))),
            ("view#patchroll#2", part(u64::MAX, json!({}))),
        ]
    };
    let view = shown(&page(&items(u64::MAX)).view().await.unwrap());
    assert_eq!((&view["hosts"], &view["waits"]), (&json!([1, 2, 3, 4, 5]), &json!([])));
    let patch = shown(&page(&items(u64::MAX)).patch().await.unwrap().unwrap());
    assert_eq!(patch["hosts"], json!({ "a": 1, "b": 2 }));
    // A part was written between two reads.
    let torn = shown(&page(&items(7)).view().await.unwrap());
    assert_eq!(torn["hosts"], json!([1, 2, 4, 5]));
    assert_eq!(torn["waits"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn the_feed_has_the_decisions_of_all_functions_newest_first() {
    let many: Vec<u32> = (0..40).rev().collect();
    let items = [
        ("view#microscale", view()),
        ("feed#microscale", feed(FunctionName::Microscale, &many)),
        ("feed#backfill", feed(FunctionName::Backfill, &[38, 20])),
        ("feed#patchroll", feed(FunctionName::Patchroll, &[50])),
    ];
    let view = shown(&page(&items).view().await.unwrap());
    let decisions = view["decisions"].as_array().unwrap();
    let newest: Vec<&str> = decisions[..4].iter().map(|one| one["function"].as_str().unwrap()).collect();
    assert_eq!((decisions.len(), newest), (40, vec!["patchroll", "microscale", "microscale", "backfill"]));
}

#[tokio::test]
async fn what_a_later_version_decided_is_shown_as_it_was_written() {
    let mut later: Value = serde_json::from_str(&feed(FunctionName::Backfill, &[38, 20])).unwrap();
    later[0]["step"] = json!({ "repaint": { "colour": "red" } });
    later[0]["function"] = json!("painter");
    later[0]["text"] = json!("repaint i-1 red");
    let mut seen: Value = serde_json::from_str(&view()).unwrap();
    seen["report"]["waits"] = json!([{ "drying": { "minutes": 5 } }]);
    seen["waits"] = json!(["the paint dries"]);
    seen["weather"] = json!("fine");
    let items = [
        ("view#microscale", seen.to_string()),
        ("feed#microscale", feed(FunctionName::Microscale, &[30])),
        ("feed#backfill", later.to_string()),
    ];
    let view = shown(&page(&items).view().await.unwrap());
    let texts: Vec<&str> =
        view["decisions"].as_array().unwrap().iter().map(|one| one["text"].as_str().unwrap()).collect();
    assert_eq!((texts.len(), texts[0]), (3, "repaint i-1 red"));
    assert_eq!(view["decisions"][0], later[0]);
    assert_eq!((&view["waits"][0], &view["weather"]), (&json!("the paint dries"), &json!("fine")));
}

#[tokio::test]
async fn a_fleet_without_a_cluster_has_a_page_too() {
    let file = r#"name = "shop"
        hosts = { minimum = 1, steady = 2, maximum = 3 }
        pool = [{ name = "base", purchase = "reserved", auto_scaling_group = "shop-base" }]"#;
    let saved = |at: &str| json!({ "at": at }).to_string();
    let mut items = vec![
        ("view#backfill", saved("2026-01-05T09:30:00Z")),
        ("view#patchroll", saved("2026-01-05T09:31:00Z")),
        ("good-file", file.to_owned()),
    ];
    assert_eq!(shown(&page(&items).view().await.unwrap())["at"], "2026-01-05T09:31:00Z");
    items[2].1 = file.replace("hosts =", "cluster = \"shop\"\nhosts =");
    assert_eq!(page(&items).view().await, Err(SourceError::NothingYet), "microscale has yet to look");
}
