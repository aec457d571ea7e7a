//! What functions remember at the worst: every host has a story of its own, and every moment is another.

use std::collections::BTreeMap;

use evenkeel_model::{InstanceId, Timestamp};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde_json::{Map, Value, json};

use crate::yard::{Yard, ago, hex};

const DAY: u64 = 86_400;

/// A storm that has taken the spot hosts one after the other, on-demand hosts that stand in for them, and as many more that
/// are lost in the next turn.
pub(crate) fn storm(yard: &mut Yard, now: Timestamp, rng: &mut ChaCha8Rng) {
    let members: Vec<(&str, InstanceId)> = yard.members().map(|(pool, id)| (pool, id.clone())).collect();
    let spot: Vec<&InstanceId> = members.iter().filter(|(pool, _)| *pool == "spot").map(|(_, id)| id).collect();
    let mut stand_ins = spot.iter();
    let (mut hosts, mut notices, mut outs) = (Map::new(), Map::new(), Map::new());
    for (number, (pool, id)) in members.iter().enumerate() {
        let mut host = json!({
            "pool": pool, "group": format!("large-{pool}"), "since": ago(rng, now, 30 * DAY), "spot": *pool == "spot",
            "joined": true, "in_service": ago(rng, now, 30 * DAY),
        });
        if *pool == "spot" && number % 2 == 0 {
            let at = ago(rng, now, 90);
            host["loss"] =
                json!({ "cause": "interruption", "at": at, "deadline": at + std::time::Duration::from_secs(120) });
            host["told"] = json!(ago(rng, now, 90));
            notices.insert(id.to_string(), json!({ "interruption": at, "at-risk": ago(rng, now, 600) }));
            let out = json!({ "cause": "lost", "by": "backfill", "pool": pool, "since": at, "deadline": at + std::time::Duration::from_secs(3_600) });
            outs.insert(id.to_string(), out);
        } else if *pool == "spot" {
            yard.marked.insert(id.clone());
        } else if *pool == "burst" {
            let stands_in_for = stand_ins.next().map(ToString::to_string);
            host["lease"] = json!({ "reason": "missing", "since": ago(rng, now, DAY), "stands_in_for": stands_in_for });
            host["given_up"] = json!(ago(rng, now, DAY));
        }
        hosts.insert(id.to_string(), host);
    }
    let moves: Vec<Timestamp> = (0..500).map(|_| ago(rng, now, 3_600)).collect();
    let groups: Map<String, Value> = ["base", "spot", "burst"]
        .map(|pool| (format!("large-{pool}"), json!({ "name": pool, "expected": [1, 2, 3, 4, 5] })))
        .into_iter()
        .collect();
    let state =
        json!({ "hosts": hosts, "notices": notices, "groups": groups, "reach": 5_000, "moves": moves, "changed": now });
    let known: evenkeel_backfill::State = serde_json::from_value(state.clone()).unwrap();
    assert_eq!(
        serde_json::to_value(&known).unwrap()["hosts"],
        without_defaults(&state["hosts"]),
        "a field is not known"
    );
    yard.put("turn#state#backfill", state.to_string());
    yard.put("turn#budget", json!({ "outs": outs }).to_string());
}

/// The hosts with nothing that is left out when it is stored.
fn without_defaults(hosts: &Value) -> Value {
    let host = |(id, host): (&String, &Value)| {
        let mut host = host.clone();
        host.as_object_mut().unwrap().retain(|_, value| *value != json!(false) && !value.is_null());
        (id.clone(), host)
    };
    Value::Object(hosts.as_object().unwrap().iter().map(host).collect())
}

/// When this host was launched, as EC2 says it.
fn launched(rng: &mut ChaCha8Rng, now: Timestamp) -> Timestamp {
    Timestamp::from_second(ago(rng, now, 30 * DAY).as_second()).unwrap()
}

/// When a turn did something: of so many turns, each did it to some hosts.
fn turn_of(rng: &mut ChaCha8Rng, now: Timestamp, turns: u64) -> Timestamp {
    now - std::time::Duration::from_micros(10_001_237 * rng.random_range(0..turns))
}

/// A roll of all hosts, of which a thousand are out, with what earlier rolls have left.
pub(crate) fn roll(yard: &Yard, now: Timestamp, rng: &mut ChaCha8Rng) {
    let members: Vec<(&str, &InstanceId)> = yard.members().collect();
    let (mut hosts, mut pairs, mut todo, mut drained, mut outs) =
        (Map::new(), Map::new(), Vec::new(), Vec::new(), Map::new());
    let no_room = |rng: &mut ChaCha8Rng| {
        json!({ "no-room": { "because": format!(
        "3 tasks of storefront-worker-{:02} need {} MiB, and the rest has {}", rng.random_range(0..20), rng.random_range(0..9_999), rng.random_range(0..9_999)) } })
    };
    let mut abandoned = BTreeMap::new();
    for (number, (pool, id)) in members.iter().enumerate() {
        hosts.insert(
            id.to_string(),
            json!({
                "pool": pool, "group": format!("large-{pool}"), "since": ago(rng, now, 30 * DAY), "joined": true,
                "changed": turn_of(rng, now, 300), "launched": launched(rng, now), "image": "ami-0123456789abcdef0",
            }),
        );
        match number % 10 {
            0 | 1 => {
                let since = turn_of(rng, now, 100);
                let phase = if number % 10 == 0 { "draining" } else { "ending" };
                pairs.insert(
                    id.to_string(),
                    json!({
                        "group": format!("large-{pool}"), "phase": phase, "since": since, "asked": turn_of(rng, now, 100),
                        "told": turn_of(rng, now, 100), "version": 4, "successor": hex(rng, "i-0", 16),
                    }),
                );
                drained.push(id);
                let out = json!({ "cause": "roll", "by": "patchroll", "pool": pool, "since": since, "deadline": since + std::time::Duration::from_secs(3_600) });
                outs.insert(id.to_string(), out);
            }
            2 => {
                abandoned.insert(id.to_string(), no_room(rng));
            }
            _ => todo.push(id),
        }
    }
    let ended: Vec<Value> = (0..10)
        .map(|number| {
            let left: BTreeMap<String, Value> = (0..if number == 0 { 500 } else { 20 }).map(|_| (hex(rng, "i-0", 16), no_room(rng))).collect();
            json!({
                "id": format!("roll-{number}"), "because": "asked for by hand", "started": ago(rng, now, 30 * DAY), "at": ago(rng, now, 30 * DAY),
                "ending": "incomplete", "waves": 50, "replaced": 4_000, "went": 100, "abandoned": left,
            })
        })
        .collect();
    let roll = json!({
        "id": "roll-11", "started": ago(rng, now, 3_600), "because": "asked for by hand: anna", "any_time": true, "refresh": "all",
        "stage": "rolling", "todo": todo, "wave": { "since": ago(rng, now, 300), "hosts": pairs }, "waves": 1,
        "abandoned": abandoned, "groups": {},
    });
    let state = json!({ "hosts": hosts, "roll": roll, "ended": ended, "drained": drained, "marked": todo });
    let known: evenkeel_patchroll::State = serde_json::from_value(state.clone()).unwrap();
    assert_eq!(known.hosts.len(), members.len());
    yard.put("turn#state#patchroll", state.to_string());
    yard.put("turn#budget", json!({ "outs": outs }).to_string());
}
