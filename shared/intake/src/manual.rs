//! Requests of people and applications, and our own beat. Unlike AWS's events they are read strictly: who sends them can
//! mend them, and a field that is ignored in silence would be a wish that is not granted.

use std::collections::BTreeMap;

use evenkeel_model::ids::{FleetName, InvalidId, ServiceName};
use evenkeel_model::trigger::{Amount, Beat, Manual, Request, Trigger};
use jiff::Timestamp;

use crate::Reading;
use crate::malformed::{Malformed, Reason};
use crate::object::Object;

const VERBS: [&str; 5] = ["beat", "demand", "microscale", "backfill", "roll"];
const VERB_LIST: &str = "beat, demand, microscale, backfill, roll";

/// The most services that one demand may name: an ECS cluster holds at most 5,000 (ECS developer guide, "Service quotas").
const MAX_SERVICES: usize = 5_000;

/// The most characters of a note on who asks: a name, an address, a role's ARN.
const MAX_BY_CHARS: usize = 200;

/// Whether the object is meant as a request, perhaps a broken one.
pub(crate) fn asks(object: &Object<'_>) -> bool {
    object.has("fleet") || VERBS.iter().any(|verb| object.has(verb))
}

/// Reads `{"fleet":…, VERB:…}`.
pub(crate) fn read(object: &Object<'_>) -> Result<Reading, Malformed> {
    let fleet: FleetName = object.id("fleet")?;
    let mut verbs = VERBS.into_iter().filter(|verb| object.has(verb));
    let verb = verbs.next().ok_or_else(|| Malformed::here(Reason::NoVerb { verbs: VERB_LIST }))?;
    if let Some(second) = verbs.next() {
        return Err(Malformed::here(Reason::SeveralVerbs { first: verb, second }));
    }
    let with = match verb {
        "beat" => &["hop"][..],
        "demand" => &["at"],
        "roll" => &["pool", "by"],
        _ => &[],
    };
    only(object, verb, with)?;
    let request = match verb {
        "beat" => {
            let hop = object.raw("hop").map(serde_json::from_str).transpose();
            let hop = hop.map_err(|_| Malformed::at("hop", Reason::NotA { expected: "a count" }))?.unwrap_or(0);
            return Ok(Reading::Trigger(Trigger::Beat(Beat { fleet, at: exact_time(object, verb)?, hop })));
        }
        "demand" => Request::Demand(demand(object)?),
        "microscale" => Request::Microscale(object.word(verb)?),
        "backfill" => Request::Backfill(object.word(verb)?),
        _ => {
            // A pool may be left out, but not left empty: the pool `""` is not meant for every pool.
            let pool = object.has("pool").then(|| object.id("pool")).transpose()?;
            let by = object.has("by").then(|| who(object)).transpose()?;
            Request::Roll { verb: object.word(verb)?, pool, by }
        }
    };
    let at = object.has("at").then(|| exact_time(object, "at")).transpose()?;
    Ok(Reading::Trigger(Trigger::Manual(Manual { at, fleet, request, id: None })))
}

/// Refuses fields that the verb has no use for, that are `null`, or that are there twice.
fn only(object: &Object<'_>, verb: &str, with: &[&str]) -> Result<(), Malformed> {
    let mut seen: Vec<&str> = Vec::new();
    for name in object.names() {
        let place: String = name.chars().take(80).collect();
        if name != "fleet" && name != verb && !with.contains(&name) {
            let allowed = ["fleet", verb].iter().chain(with).copied().collect::<Vec<_>>().join(", ");
            return Err(Malformed::at(&place, Reason::UnknownField { allowed }));
        }
        if !object.has(name) {
            return Err(Malformed::at(&place, Reason::Missing));
        }
        if seen.contains(&name) {
            return Err(Malformed::at(&place, Reason::Twice));
        }
        seen.push(name);
    }
    Ok(())
}

/// Who asks: one line that people can read.
fn who(object: &Object<'_>) -> Result<String, Malformed> {
    let by = object.required_text("by")?;
    let by = by.trim();
    if by.is_empty() || by.chars().count() > MAX_BY_CHARS || by.chars().any(char::is_control) {
        return Err(Malformed::at("by", Reason::NotA { expected: "one line of 1 to 200 characters" }));
    }
    Ok(by.to_owned())
}

fn demand(object: &Object<'_>) -> Result<BTreeMap<ServiceName, Amount>, Malformed> {
    let services = Object::parse(object.raw("demand").unwrap_or("{}")).map_err(|problem| problem.inside("demand"))?;
    let mut demand = BTreeMap::new();
    for (name, json) in services.fields() {
        let refused = |reason| Malformed::at(&name.chars().take(80).collect::<String>(), reason).inside("demand");
        if demand.len() == MAX_SERVICES {
            return Err(Malformed::at("demand", Reason::NotA { expected: "at most 5,000 services" }));
        }
        let service: ServiceName = name.parse().map_err(|problem: InvalidId| refused(problem.into()))?;
        let number: f64 = serde_json::from_str(json).map_err(|_| refused(Reason::NotA { expected: "a number" }))?;
        let amount = Amount::try_from(number).map_err(|problem| refused(problem.into()))?;
        if demand.insert(service, amount).is_some() {
            return Err(refused(Reason::Twice));
        }
    }
    if demand.is_empty() {
        return Err(Malformed::at("demand", Reason::Missing));
    }
    Ok(demand)
}

/// A time that has to be right: a demand with a wrong one would be taken for a fresh one.
fn exact_time(object: &Object<'_>, name: &str) -> Result<Timestamp, Malformed> {
    let text = object.required_text(name)?;
    text.parse().map_err(|_| Malformed::at(name, Reason::NotATime { text: text.chars().take(80).collect() }))
}
