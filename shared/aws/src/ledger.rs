//! The ledger as a DynamoDB table: partition key `pk` (`fleet#NAME`), sort key `sk`, and the attributes `version`, `body`
//! and `ttl`.
//!
//! A large `body` is deflated. Every put is an update expression, because only that can add one to a version without reading it. What has expired may
//! still be there for days (DynamoDB developer guide, "Using time to live"): readers judge by time themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_sdk_dynamodb::error::{BuildError, SdkError};
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    AttributeValue, CancellationReason, Delete, KeysAndAttributes, TransactWriteItem, Update,
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use evenkeel_model::{FleetName, Timestamp};
use evenkeel_turn::ledger::{Expect, Item, Key, LedgerError, Write, check};
use evenkeel_turn::ports::{Answer, Clock, History, Ledger, PortError, Records};
use evenkeel_turn::{records_end, records_from};

use crate::Aws;
use crate::body::{attribute_of, body_of};
use crate::convert::all;
use crate::error::{Kind, port_error, sort};

/// Keys in one call (DynamoDB API reference, BatchGetItem).
const MOST_KEYS: usize = 100;
/// How often what BatchGetItem left over is asked for again, and the first pause before that; it doubles.
const TRIES: u32 = 4;
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// An item, in DynamoDB's words. The SDK's type for it is this map.
#[expect(clippy::disallowed_types, reason = "the SDK's own type; its order decides nothing")]
type Attributes = std::collections::HashMap<String, AttributeValue>;

impl Ledger for Aws {
    async fn get(&self, keys: &[Key]) -> Answer<Vec<Option<Item>>> {
        // A key that comes twice is refused, so each is asked for once.
        let distinct: Vec<&Key> = keys.iter().collect::<BTreeSet<_>>().into_iter().collect();
        let pages = all(distinct.chunks(MOST_KEYS).map(|chunk| self.batch(chunk))).await?;
        let found: BTreeMap<Key, Item> = pages.into_iter().flatten().collect();
        Ok(keys.iter().map(|key| found.get(key).cloned()).collect())
    }

    /// A Query costs what all that it finds has in size together, where BatchGetItem rounds each key up to 4 KB (DynamoDB
    /// developer guide, "Read and write operations"). Only what was asked for is read further, so that an item which one
    /// function does not understand is no other's trouble.
    async fn get_together(&self, keys: &[Key]) -> Answer<Vec<Option<Item>>> {
        let Some(first @ Key { fleet, .. }) = keys.first() else { return Ok(Vec::new()) };
        let begins = format!("{}#", first.kind());
        if keys.iter().any(|key| key.fleet != *fleet || !key.sort.starts_with(&begins)) {
            return Err(PortError::Refused("keys of several fleets or kinds cannot be read together".to_owned()));
        }
        let asked = self.dynamodb.query().table_name(&self.settings.table).consistent_read(true);
        let asked = asked
            .key_condition_expression("pk = :pk AND begins_with(sk, :begins)")
            .expression_attribute_values(":pk", AttributeValue::S(partition(fleet)))
            .expression_attribute_values(":begins", AttributeValue::S(begins));
        let pages = asked.into_paginator().items().send();
        let pages = pages.collect::<Result<Vec<_>, _>>().await.map_err(port_error)?;
        let found: BTreeMap<&str, &Attributes> = pages.iter().filter_map(|item| Some((sort_of(item)?, item))).collect();
        let item =
            |key: &Key| found.get(key.sort.as_str()).map(|found| item_of(found).map(|(_, item)| item)).transpose();
        keys.iter().map(item).collect()
    }

    async fn write(&self, writes: Vec<Write>) -> Result<(), LedgerError> {
        check(&writes)?;
        match writes.as_slice() {
            [] => Ok(()),
            [write] => self.write_one(write).await,
            several => self.write_several(several).await,
        }
    }
}

impl History for Aws {
    /// Eventually consistent, at half the price: nothing is decided by it.
    async fn records(&self, fleet: &FleetName, since: Timestamp, pages: usize) -> Answer<Records> {
        let [from, to] = [records_from(fleet, since), records_end(fleet)].map(|key| AttributeValue::S(key.sort));
        let (mut found, mut after) = (Records::default(), None);
        for _ in 0..pages {
            let asked = self.dynamodb.query().table_name(&self.settings.table).scan_index_forward(false);
            let asked = asked
                .key_condition_expression("pk = :pk AND sk BETWEEN :from AND :to")
                .expression_attribute_values(":pk", AttributeValue::S(partition(fleet)))
                .expression_attribute_values(":from", from.clone())
                .expression_attribute_values(":to", to.clone());
            let answer = asked.set_exclusive_start_key(after).send().await.map_err(port_error)?;
            for item in answer.items() {
                found.bodies.push(item_of(item)?.1.body);
            }
            after = answer.last_evaluated_key;
            if after.is_none() {
                found.all = true;
                break;
            }
        }
        Ok(found)
    }
}

impl Aws {
    async fn batch(&self, keys: &[&Key]) -> Answer<Vec<(Key, Item)>> {
        let mut left = keys.iter().map(|key| attributes(key)).collect::<Vec<_>>();
        let mut found = Vec::new();
        let mut pause = FIRST_PAUSE;
        for _ in 0..TRIES {
            let asked = KeysAndAttributes::builder().set_keys(Some(left)).consistent_read(true).build();
            let asked = self.dynamodb.batch_get_item().request_items(&self.settings.table, asked.map_err(unbuilt)?);
            let answer = asked.send().await.map_err(port_error)?;
            for item in
                answer.responses.into_iter().flat_map(|mut tables| tables.remove(&self.settings.table)).flatten()
            {
                found.push(item_of(&item)?);
            }
            // Left over when the answer is over 16 MB, or the table is throttled.
            left = answer
                .unprocessed_keys
                .and_then(|mut tables| tables.remove(&self.settings.table))
                .map(|rest| rest.keys)
                .unwrap_or_default();
            if left.is_empty() {
                return Ok(found);
            }
            self.sleep(pause).await;
            pause *= 2;
        }
        Err(PortError::Throttled)
    }

    /// One write takes half of what a transaction takes. The SDK does not try it again: a second try of one that was taken
    /// would fail its condition, and be told as a conflict.
    async fn write_one(&self, write: &Write) -> Result<(), LedgerError> {
        let once = aws_sdk_dynamodb::Config::builder().retry_config(Self::once());
        match change(&self.settings.table, write)? {
            Change::Put(update) => {
                let call = self.dynamodb.update_item().table_name(update.table_name).set_key(Some(update.key));
                let call = call.update_expression(update.update_expression);
                let call = call.set_condition_expression(update.condition_expression);
                let call = call.set_expression_attribute_names(update.expression_attribute_names);
                let call = call.set_expression_attribute_values(update.expression_attribute_values);
                call.customize().config_override(once).send().await.map_err(|error| ledger_error(&error))?;
            }
            Change::Delete(delete) => {
                let call = self.dynamodb.delete_item().table_name(delete.table_name).set_key(Some(delete.key));
                let call = call.set_condition_expression(delete.condition_expression);
                let call = call.set_expression_attribute_names(delete.expression_attribute_names);
                let call = call.set_expression_attribute_values(delete.expression_attribute_values);
                call.customize().config_override(once).send().await.map_err(|error| ledger_error(&error))?;
            }
        }
        Ok(())
    }

    /// A transaction carries a token, which the SDK makes anew for each call and keeps over its tries: one whose answer was
    /// lost is not taken twice. A token made of the content would be wrong, because the same content may be written again
    /// within the ten minutes that DynamoDB remembers it.
    async fn write_several(&self, writes: &[Write]) -> Result<(), LedgerError> {
        let mut items = Vec::new();
        for write in writes {
            let item = TransactWriteItem::builder();
            items.push(match change(&self.settings.table, write)? {
                Change::Put(update) => item.update(*update).build(),
                Change::Delete(delete) => item.delete(*delete).build(),
            });
        }
        let call = self.dynamodb.transact_write_items().set_transact_items(Some(items));
        call.send().await.map(|_| ()).map_err(|error| {
            if let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) = error.as_service_error() {
                return cancelled_because(cancelled.cancellation_reasons(), &error);
            }
            ledger_error(&error)
        })
    }
}

/// A write in DynamoDB's words.
enum Change {
    Put(Box<Update>),
    Delete(Box<Delete>),
}

fn change(table: &str, write: &Write) -> Result<Change, LedgerError> {
    let unbuilt = |error| LedgerError::Port(unbuilt(error));
    let number = |number: u64| AttributeValue::N(number.to_string());
    let key = Some(attributes(&write.key));
    let Some(body) = &write.body else {
        let delete = Delete::builder().table_name(table).set_key(key);
        let delete = match write.expect {
            Expect::Anything => delete,
            Expect::Absent => {
                delete.condition_expression("attribute_not_exists(#pk)").expression_attribute_names("#pk", "pk")
            }
            Expect::Version(version) => delete
                .condition_expression("#version = :expected")
                .expression_attribute_names("#version", "version")
                .expression_attribute_values(":expected", number(version)),
        };
        return Ok(Change::Delete(Box::new(delete.build().map_err(unbuilt)?)));
    };
    let mut expression = "SET #body = :body, #version = if_not_exists(#version, :zero) + :one".to_owned();
    expression.push_str(if write.expires.is_some() { ", #ttl = :ttl" } else { " REMOVE #ttl" });
    let mut update = Update::builder()
        .table_name(table)
        .set_key(key)
        .update_expression(expression)
        .expression_attribute_names("#body", "body")
        .expression_attribute_names("#version", "version")
        .expression_attribute_names("#ttl", "ttl")
        .expression_attribute_values(":body", attribute_of(body))
        .expression_attribute_values(":zero", number(0))
        .expression_attribute_values(":one", number(1));
    if let Some(expires) = write.expires {
        update = update.expression_attribute_values(":ttl", AttributeValue::N(seconds(expires)));
    }
    update = match write.expect {
        Expect::Anything => update,
        Expect::Absent => {
            update.condition_expression("attribute_not_exists(#pk)").expression_attribute_names("#pk", "pk")
        }
        Expect::Version(version) => update
            .condition_expression("#version = :expected")
            .expression_attribute_values(":expected", number(version)),
    };
    Ok(Change::Put(Box::new(update.build().map_err(unbuilt)?)))
}

/// TTL is in whole seconds; an item must not go before its time.
fn seconds(time: Timestamp) -> String {
    let part = i64::from(time.subsec_nanosecond() > 0);
    (time.as_second() + part).to_string()
}

fn attributes(key: &Key) -> Attributes {
    let Key { fleet, sort } = key;
    let pair = |name: &str, value: String| (name.to_owned(), AttributeValue::S(value));
    [pair("pk", partition(fleet)), pair("sk", sort.clone())].into_iter().collect()
}

fn partition(fleet: &FleetName) -> String {
    format!("{PARTITION}{fleet}")
}

const PARTITION: &str = "fleet#";

fn sort_of(found: &Attributes) -> Option<&str> {
    found.get("sk")?.as_s().ok().map(String::as_str)
}

fn item_of(found: &Attributes) -> Answer<(Key, Item)> {
    let read = || {
        let fleet = FleetName::new(found.get("pk")?.as_s().ok()?.strip_prefix(PARTITION)?).ok()?;
        let version = found.get("version")?.as_n().ok()?.parse().ok()?;
        Some((Key { fleet, sort: sort_of(found)?.to_owned() }, Item { version, body: body_of(found.get("body")?)? }))
    };
    read().ok_or_else(|| {
        let key = sort_of(found).unwrap_or("without a sort key");
        PortError::Refused(format!("item {key} of the table is none of ours: it needs a fleet, a version and a body"))
    })
}

fn unbuilt(error: BuildError) -> PortError {
    PortError::Refused(error.to_string())
}

fn ledger_error<E>(error: &SdkError<E, HttpResponse>) -> LedgerError
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    match sort(error) {
        (Kind::Conflict, _) => LedgerError::Conflict,
        (kind, words) => LedgerError::Port(kind.told(words)),
    }
}

/// A cancelled transaction has a reason for each of its items; `None` for those that were fine (DynamoDB API reference,
/// TransactWriteItems).
fn cancelled_because<E>(reasons: &[CancellationReason], error: &SdkError<E, HttpResponse>) -> LedgerError
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let any = |codes: &[&str]| reasons.iter().any(|reason| reason.code().is_some_and(|code| codes.contains(&code)));
    if any(&["ConditionalCheckFailed", "TransactionConflict"]) {
        LedgerError::Conflict
    } else if any(&["ThrottlingError", "ProvisionedThroughputExceeded", "RequestLimitExceeded"]) {
        LedgerError::Port(PortError::Throttled)
    } else {
        let (_, words) = sort(error);
        let because = reasons.iter().find_map(|reason| reason.message()).unwrap_or_default();
        LedgerError::Port(PortError::Refused(format!("{words} {because}").trim_end().to_owned()))
    }
}
