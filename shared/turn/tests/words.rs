//! What a later version has stored in words that this one does not know is carried as it is, and acted on never.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

use std::time::Duration;

use evenkeel_model::Timestamp;
use evenkeel_model::fleet::Disruption;
use evenkeel_turn::{Budget, NoticeKind, Notices, Orders};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Reads what is stored, as every turn does, and gives what is stored again after `change`.
fn again<T: Serialize + DeserializeOwned>(stored: &Value, change: impl FnOnce(&mut T)) -> Value {
    let mut read: T = serde_json::from_str(&stored.to_string()).unwrap();
    change(&mut read);
    serde_json::to_value(&read).unwrap()
}

#[test]
fn a_host_that_is_out_for_an_unknown_cause_counts_as_out_until_its_deadline() {
    let out = |cause: &str, by: &str| json!({ "cause": cause, "by": by, "since": "2026-01-05T00:00:00Z", "deadline": "2026-01-05T01:00:00Z" });
    let stored = json!({ "outs": {
        "i-1": out("lost", "backfill"), "i-2": out("repaint", "backfill"), "i-3": out("roll", "painter"),
        "i-4": { "cause": { "repaint": "red" } },
    } });
    assert_eq!(again::<Budget>(&stored, |_| {}), stored);
    let without = |gone: &str| {
        let mut left = stored.clone();
        left["outs"].as_object_mut().unwrap().remove(gone);
        left
    };
    let repaid = again::<Budget>(&stored, |budget| {
        assert_eq!((budget.out(), budget.free(Disruption { max_out: 4 })), (4, 0));
        budget.outs.retain(|_, _| false);
        assert_eq!(budget.out(), 3, "they are not ours to give back");
    });
    assert_eq!(repaid, without("i-1"));
    let late = again::<Budget>(&stored, |budget| {
        budget.forget_later("2026-01-05T01:00:01Z".parse().unwrap());
        assert_eq!(budget.out(), 2, "whoever took those is dead, and one says no time");
    });
    assert_eq!(late["outs"].as_object().unwrap().keys().collect::<Vec<_>>(), ["i-1", "i-4"]);
}

#[test]
fn notices_of_an_unknown_kind_stay_beside_the_others() {
    let stored = json!({
        "i-1": { "gone": "2026-01-05T00:00:00Z", "repainted": "2026-01-05T00:00:00Z" },
        "i-2": { "repainted": { "how": "red" } },
    });
    let now: Timestamp = "2026-01-05T00:30:00Z".parse().unwrap();
    assert_eq!(again::<Notices>(&stored, |notices| notices.forget(now)), stored);
    let more = again::<Notices>(&stored, |notices| {
        assert!(!notices.is_empty());
        let mut news = Notices::default();
        news.add(&"i-2".parse().unwrap(), NoticeKind::AtRisk, now);
        notices.merge(&news);
        notices.merge(&serde_json::from_value(json!({ "i-3": { "repainted": now } })).unwrap());
    });
    assert_eq!(more["i-2"], json!({ "at-risk": now, "repainted": { "how": "red" } }));
    assert_eq!(more["i-3"], json!({ "repainted": now }));
    // What is known is forgotten after an hour all the same, and hosts that are nobody's with all that was said of them.
    let later = again::<Notices>(&stored, |notices| notices.forget(now + Duration::from_hours(1)));
    assert_eq!(later["i-1"], json!({ "repainted": "2026-01-05T00:00:00Z" }));
    let left = again::<Notices>(&stored, |notices| notices.keep_ours(&[], |host| host.as_str() == "i-2"));
    assert_eq!(left, json!({ "i-2": { "repainted": { "how": "red" } } }));
}

#[test]
fn orders_of_an_unknown_kind_stay_in_the_list() {
    let at = "2026-01-05T00:00:00Z";
    let stored = json!({ "last": 4, "list": [
        { "number": 1, "at": at, "ask": "look" },
        { "number": 2, "at": at, "ask": { "repaint": { "colour": "red" } } },
        { "number": 3, "at": at, "ask": { "roll": { "verb": "rewind", "pool": null } } },
        { "number": 4, "at": at, "ask": "wave" },
    ] });
    assert_eq!(again::<Orders>(&stored, |_| {}), stored);
}
