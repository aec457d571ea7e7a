//! Payloads that are broken in every way we can think of never panic, and what is handed on is valid all the same.

mod common;

use evenkeel_intake::{Intake, MAX_ITEMS, read};
use evenkeel_model::trigger::Trigger;
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};

/// One way to break a payload.
#[derive(Debug, Clone)]
enum Mutation {
    Flip { at: Index, to: u8 },
    Truncate { at: Index },
    Remove { at: Index },
    Replace { at: Index, by: Value },
    Nest { at: Index, depth: usize },
    InSqs,
    InSns,
    InSnsInSqs,
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,80}".prop_map(Value::from),
        prop::sample::select(vec![
            "",
            "null",
            "yyyy-mm-ddThh:mm:ssZ",
            "arn:aws:ecs:::task/",
            "i-1",
            "\u{0}",
            "{}",
            "é"
        ])
        .prop_map(Value::from),
        Just(json!({})),
        Just(json!([])),
        Just(json!([{}, [], null, "x", 1])),
        Just(Value::from("x".repeat(5_000))),
    ]
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let at = any::<Index>;
    prop_oneof![
        (at(), any::<u8>()).prop_map(|(at, to)| Mutation::Flip { at, to }),
        at().prop_map(|at| Mutation::Truncate { at }),
        at().prop_map(|at| Mutation::Remove { at }),
        (at(), value()).prop_map(|(at, by)| Mutation::Replace { at, by }),
        (at(), 1..3_000_usize).prop_map(|(at, depth)| Mutation::Nest { at, depth }),
        Just(Mutation::InSqs),
        Just(Mutation::InSns),
        Just(Mutation::InSnsInSqs),
    ]
}

fn apply(mutation: &Mutation, mut payload: Vec<u8>) -> Vec<u8> {
    if let Mutation::Flip { at, to } = mutation {
        if !payload.is_empty() {
            let at = at.index(payload.len());
            payload[at] = *to;
        }
        return payload;
    }
    if let Mutation::Truncate { at } = mutation {
        payload.truncate(at.index(payload.len() + 1));
        return payload;
    }
    let text = String::from_utf8_lossy(&payload).into_owned();
    let whole = |text: &str| serde_json::from_str::<Value>(text).ok();
    match mutation {
        Mutation::Flip { .. } | Mutation::Truncate { .. } => payload,
        Mutation::InSqs => common::in_sqs(&text).into_bytes(),
        Mutation::InSns => common::in_sns(&text).into_bytes(),
        Mutation::InSnsInSqs => common::in_sqs(&common::notification(&text)).into_bytes(),
        Mutation::Remove { at } => edited(whole(&text), at, None).unwrap_or(payload),
        Mutation::Replace { at, by } => edited(whole(&text), at, Some(&by.to_string())).unwrap_or(payload),
        Mutation::Nest { at, depth } => {
            let deep = format!("{}{}", "[".repeat(*depth), "]".repeat(*depth));
            edited(whole(&text), at, Some(&deep)).unwrap_or(payload)
        }
    }
}

/// Removes or replaces one field or element, chosen among all of them.
fn edited(value: Option<Value>, at: &Index, by: Option<&str>) -> Option<Vec<u8>> {
    const MARK: &str = "replace me";
    let mut value = value?;
    let mut places = Vec::new();
    collect(&value, String::new(), &mut places);
    if places.is_empty() {
        return None;
    }
    let (parent, key) = at.get(&places);
    let parent = value.pointer_mut(parent)?;
    match (parent, by) {
        (Value::Object(fields), None) => drop(fields.remove(key)),
        (Value::Array(elements), None) => drop(elements.remove(key.parse().ok()?)),
        (Value::Object(fields), Some(_)) => drop(fields.insert(key.clone(), MARK.into())),
        (Value::Array(elements), Some(_)) => elements[key.parse::<usize>().ok()?] = MARK.into(),
        (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_), _) => return None,
    }
    let text = value.to_string();
    Some(by.map_or_else(|| text.clone(), |by| text.replace(&format!("\"{MARK}\""), by)).into_bytes())
}

fn collect(value: &Value, place: String, places: &mut Vec<(String, String)>) {
    let children: Vec<(String, &Value)> = match value {
        Value::Object(fields) => fields.iter().map(|(key, child)| (key.clone(), child)).collect(),
        Value::Array(elements) => elements.iter().enumerate().map(|(key, child)| (key.to_string(), child)).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return,
    };
    for (key, child) in children {
        collect(child, format!("{place}/{}", key.replace('~', "~0").replace('/', "~1")), places);
        places.push((place.clone(), key));
    }
}

/// Whatever was read: its ids and amounts pass the checks of a fresh deserialization, and everything has a limit.
fn check(intake: &Intake) -> Result<(), TestCaseError> {
    prop_assert!(intake.items.len() <= MAX_ITEMS + 1);
    for item in &intake.items {
        if let Err(problem) = &item.reading {
            prop_assert!(problem.to_string().len() < 3_000, "an endless reason");
        }
    }
    for trigger in intake.triggers() {
        let json = serde_json::to_string(trigger).map_err(|problem| TestCaseError::fail(problem.to_string()))?;
        let again: Trigger = serde_json::from_str(&json).map_err(|problem| TestCaseError::fail(problem.to_string()))?;
        prop_assert_eq!(&again, trigger);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn broken_samples_never_panic_and_hand_on_valid_ids(
        sample in any::<Index>(),
        mutations in prop::collection::vec(mutation(), 0..6),
    ) {
        thread_local!(static SAMPLES: Vec<(String, String)> = common::files(&common::samples()));
        let payload = SAMPLES.with(|samples| sample.get(samples).1.clone().into_bytes());
        let payload = mutations.iter().fold(payload, |payload, mutation| apply(mutation, payload));
        check(&read(&payload))?;
    }

    #[test]
    fn noise_never_panics(payload in prop::collection::vec(any::<u8>(), 0..400)) {
        check(&read(&payload))?;
    }
}
