//! What a function shows. A snapshot is written when it changes, and the lease says how long it held.
//!
//! A snapshot of many hosts is several items: the first has everything but the later hosts, which are in its parts,
//! `view#microscale#1` and so on. Who knows nothing of parts sees the first hosts.

use std::ops::Range;

use evenkeel_model::view::View;
use evenkeel_model::{FleetName, FunctionName, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::body::to_json;
use crate::error::TurnError;
use crate::fingerprint::Fingerprint;
use crate::lease::{Kept, Lease};
use crate::ledger::{Body, Expect, Item, Key, Write};

/// The field of every view that says when it was seen.
const AT: &str = "at";
/// The fields of its hosts, of what is waited for, and of its parts.
const HOSTS: &str = "hosts";
const WAITS: &str = "waits";
const PARTS: &str = "parts";

/// Bytes of an item of a snapshot as it is stored. An item has room for 400 KB.
const MOST_PART: usize = 300_000;
/// Items of a snapshot: with what else is written, the ledger takes as much at once, and livefeed may answer with it
/// (AWS Lambda developer guide, "Lambda quotas": 6 MB).
const MOST_PARTS: usize = 6;
/// Sentences of what is waited for: nobody reads more.
const MOST_WAITS: usize = 300;

/// The key of a function's snapshot, which the page shows.
#[must_use]
pub fn view_key(fleet: &FleetName, function: FunctionName) -> Key {
    Key::of(fleet, "view", function)
}

fn part_key(fleet: &FleetName, function: FunctionName, number: usize) -> Key {
    Key::of(fleet, "view", format_args!("{function}#{number}"))
}

/// The key of the item that says how long a function's snapshot held.
#[must_use]
pub fn lease_key(fleet: &FleetName, function: FunctionName) -> Key {
    Lease::key(fleet, function)
}

/// What a snapshot's first item says of its others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Parts {
    /// Of which snapshot they are: its fingerprint.
    of: u64,
    /// How many there are.
    count: usize,
}

/// The view in `item` with the time of the last look that found it so, from the function's lease.
///
/// # Errors
/// [`serde_json::Error`] where the item is not JSON.
pub fn shown(item: &Item, lease: Option<&Item>) -> Result<Value, serde_json::Error> {
    let mut view: Value = serde_json::from_str(&item.body)?;
    let written = view[AT].as_str().and_then(|at| at.parse::<Timestamp>().ok());
    // A look whose snapshot was not taken says nothing of an older one.
    let seen = Lease::kept(lease).ok().filter(|kept| kept.view.is_some()).and_then(|kept| kept.seen);
    if let (Some(seen), Some(written)) = (seen, written) {
        view[AT] = serde_json::to_value(seen.max(written))?;
    }
    Ok(view)
}

/// The keys of the items that hold the rest of `view`, in order; mostly none.
#[must_use]
pub fn rest_of(view: &Value, fleet: &FleetName, function: FunctionName) -> Vec<Key> {
    let count = parts_of(view).map_or(0, |parts| parts.count.min(MOST_PARTS));
    (1..=count).map(|number| part_key(fleet, function, number)).collect()
}

fn parts_of(view: &Value) -> Option<Parts> {
    Parts::deserialize(view.get(PARTS)?).ok()
}

/// Puts the hosts of `rest` into `view`. Items are not read at one moment: what is of another snapshot is left out, and the
/// view says so.
pub fn put_together(view: &mut Value, rest: &[Option<Item>]) {
    let Some(parts) = parts_of(view) else { return };
    let mut missing = 0;
    for item in rest {
        let part = item.as_ref().and_then(|item| serde_json::from_str::<Value>(&item.body).ok());
        match part.filter(|part| part["of"] == parts.of).map(|mut part| part[HOSTS].take()) {
            Some(Value::Array(more)) if view[HOSTS].is_array() => {
                view[HOSTS].as_array_mut().into_iter().for_each(|hosts| hosts.extend(more.iter().cloned()));
            }
            Some(Value::Object(more)) if view[HOSTS].is_object() => {
                view[HOSTS].as_object_mut().into_iter().for_each(|hosts| hosts.extend(more.clone()));
            }
            Some(_) | None => missing += 1,
        }
    }
    if missing > 0 {
        say(view, format!("{missing} of {} parts of the hosts were just written anew: look again", parts.count));
    }
}

fn say(view: &mut Value, what: String) {
    if let Some(waits) = view[WAITS].as_array_mut() {
        waits.insert(0, Value::from(what));
    }
}

/// What a function shows: when it was seen, hosts, and what is waited for, in the fields `at`, `hosts` and `waits`.
pub trait Snapshot: Serialize + Clone {
    /// When it was seen.
    fn at(&mut self) -> &mut Timestamp;
    /// What is waited for, in sentences.
    fn waits(&mut self) -> &mut Vec<String>;
    /// How many hosts it has.
    fn hosts(&self) -> usize;
    /// Some of its hosts as JSON, as they are in `hosts`.
    ///
    /// # Errors
    /// [`serde_json::Error`] where they cannot be JSON.
    fn some_hosts(&self, which: Range<usize>) -> Result<String, serde_json::Error>;
    /// Leaves out all hosts but so many of the first.
    fn keep_hosts(&mut self, first: usize);
}

impl Snapshot for View {
    fn at(&mut self) -> &mut Timestamp {
        &mut self.at
    }

    fn waits(&mut self) -> &mut Vec<String> {
        &mut self.waits
    }

    fn hosts(&self) -> usize {
        self.hosts.len()
    }

    fn some_hosts(&self, which: Range<usize>) -> Result<String, serde_json::Error> {
        serde_json::to_string(&self.hosts[which])
    }

    fn keep_hosts(&mut self, first: usize) {
        self.hosts.truncate(first);
    }
}

/// What there is to write of a snapshot, where it is not what is there already; `kept` then says what will be there. An
/// error says why it cannot be kept at all.
pub(crate) fn snapshot<V: Snapshot>(
    fleet: &FleetName,
    function: FunctionName,
    mut view: V,
    kept: &mut Kept,
) -> Result<Vec<Write>, String> {
    let key = view_key(fleet, function);
    shorten(view.waits());
    let print = fingerprint_but_at(&key, &mut view).map_err(|error| error.to_string())?;
    if kept.view == Some(print) {
        return Ok(Vec::new());
    }
    let bodies = bodies(&key, view, print)?;
    let parts = bodies.len() - 1;
    let put = |(number, body)| {
        let key = if number == 0 { key.clone() } else { part_key(fleet, function, number) };
        Write { key, body: Some(body), expect: Expect::Anything, expires: None }
    };
    let mut writes: Vec<Write> = bodies.into_iter().enumerate().map(put).collect();
    // A smaller snapshot has fewer; what is left of them is emptied, because functions may not delete.
    writes.extend((parts + 1..=kept.parts.min(MOST_PARTS)).map(|number| {
        let key = part_key(fleet, function, number);
        Write::put(key, "null".to_owned(), Expect::Anything)
    }));
    (kept.view, kept.parts) = (Some(print), parts);
    Ok(writes)
}

fn shorten(waits: &mut Vec<String>) {
    let more = waits.len().saturating_sub(MOST_WAITS);
    if more > 0 {
        waits.truncate(MOST_WAITS);
        waits.push(format!("{more} more"));
    }
}

/// The snapshot's items, the first one in front.
fn bodies<V: Snapshot>(key: &Key, mut view: V, of: u64) -> Result<Vec<Body>, String> {
    let whole = body(key, &view)?;
    if is_small(&whole) {
        return Ok(vec![whole]);
    }
    // Hosts are much alike, so equal parts of them mostly fit at the first try.
    let likely = (whole.stored_len() * 10 / 9).div_ceil(MOST_PART);
    drop(whole);
    for count in likely.max(2)..=MOST_PARTS {
        if let Some(bodies) = split(key, &view, of, count)? {
            return Ok(bodies);
        }
    }
    let hosts = view.hosts();
    let mut shown = hosts;
    while shown > 0 {
        shown = shown * 3 / 4;
        view.keep_hosts(shown);
        let mut fewer = view.clone();
        fewer.waits().insert(0, format!("{} hosts are left out of the page: there is no room for them", hosts - shown));
        if let Some(bodies) = split(key, &fewer, of, MOST_PARTS)? {
            return Ok(bodies);
        }
    }
    Err("there is no room for it, even without its hosts".to_owned())
}

/// The snapshot in so many items; none where one of them is too large.
fn split<V: Snapshot>(key: &Key, view: &V, of: u64, count: usize) -> Result<Option<Vec<Body>>, String> {
    let hosts = view.hosts();
    let each = hosts.div_ceil(count);
    let mut first = view.clone();
    first.keep_hosts(each);
    let first = body(key, &First { view: &first, parts: Parts { of, count: count - 1 } })?;
    let mut bodies = vec![first];
    for number in 1..count {
        let which = (number * each).min(hosts)..((number + 1) * each).min(hosts);
        let hosts = view.some_hosts(which).map_err(|error| error.to_string())?;
        bodies.push(format!("{{\"of\":{of},\"hosts\":{hosts}}}").into());
    }
    Ok(bodies.iter().all(is_small).then_some(bodies))
}

/// A snapshot that has parts.
#[derive(Serialize)]
struct First<'a, V> {
    #[serde(flatten)]
    view: &'a V,
    parts: Parts,
}

fn body(key: &Key, value: &impl Serialize) -> Result<Body, String> {
    to_json(key, value).map(Body::from).map_err(|error| error.to_string())
}

/// Deflating costs time, so it is only done where it may make a difference.
fn is_small(body: &Body) -> bool {
    body.len() <= MOST_PART || body.stored_len() <= MOST_PART
}

/// The fingerprint of everything that a view says, its time aside.
fn fingerprint_but_at<V: Snapshot>(key: &Key, view: &mut V) -> Result<u64, TurnError> {
    let at = std::mem::replace(view.at(), Timestamp::UNIX_EPOCH);
    let mut print = Fingerprint::default();
    let printed = serde_json::to_writer(&mut print, view);
    *view.at() = at;
    printed.map_err(|source| TurnError::Stored { key: key.sort.clone(), source })?;
    Ok(print.value())
}
