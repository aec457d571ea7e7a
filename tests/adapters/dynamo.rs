//! A DynamoDB of five calls, which knows the expressions that the ledger writes and no others.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::fake::{Asked, Reply};

/// The table.
#[derive(Debug, Default)]
pub(crate) struct Dynamo {
    items: BTreeMap<(String, String), Value>,
    /// BatchGetItem leaves over what is more than this, and Query has it on its next page.
    pub(crate) page: Option<usize>,
}

impl Dynamo {
    pub(crate) fn answer(&mut self, asked: &Asked) -> Reply {
        match asked.action.as_str() {
            "BatchGetItem" => self.batch_get(&asked.body["RequestItems"]["evenkeel"]),
            "Query" => self.query(&asked.body),
            "UpdateItem" | "DeleteItem" => {
                let call = if asked.action == "UpdateItem" { "Update" } else { "Delete" };
                if !self.holds(&asked.body) {
                    return Reply::Error("ConditionalCheckFailedException", "The conditional request failed", 400);
                }
                self.take(call, &asked.body);
                Reply::Json(json!({}))
            }
            "TransactWriteItems" => self.transact(&asked.body),
            action => panic!("the ledger calls {action}"),
        }
    }

    fn batch_get(&self, asked: &Value) -> Reply {
        assert_eq!(asked["ConsistentRead"], true);
        let keys = asked["Keys"].as_array().unwrap();
        assert!((1..=100).contains(&keys.len()), "{} keys", keys.len());
        let (now, later) = keys.split_at(self.page.unwrap_or(keys.len()).min(keys.len()));
        let found: Vec<&Value> = now.iter().filter_map(|key| self.items.get(&place(key))).collect();
        let left =
            if later.is_empty() { json!({}) } else { json!({ "evenkeel": { "Keys": later, "ConsistentRead": true } }) };
        Reply::Json(json!({ "Responses": { "evenkeel": found }, "UnprocessedKeys": left }))
    }

    fn query(&self, asked: &Value) -> Reply {
        assert_eq!((&asked["TableName"], &asked["ConsistentRead"]), (&json!("evenkeel"), &json!(true)));
        assert_eq!(asked["KeyConditionExpression"], "pk = :pk AND begins_with(sk, :begins)");
        let value = |name: &str| asked["ExpressionAttributeValues"][name]["S"].as_str().unwrap();
        let after = asked.get("ExclusiveStartKey").map(place);
        let ours = self.items.iter().filter(|((pk, sk), _)| pk == value(":pk") && sk.starts_with(value(":begins")));
        let left: Vec<&Value> =
            ours.filter(|(place, _)| after.as_ref().is_none_or(|after| *place > after)).map(|(_, item)| item).collect();
        let (now, later) = left.split_at(self.page.unwrap_or(left.len()).min(left.len()));
        let last = now.last().filter(|_| !later.is_empty());
        let last = last.map(|item| json!({ "LastEvaluatedKey": { "pk": item["pk"], "sk": item["sk"] } }));
        let mut answer = last.unwrap_or_else(|| json!({}));
        answer["Items"] = json!(now);
        Reply::Json(answer)
    }

    fn transact(&mut self, body: &Value) -> Reply {
        assert!(!body["ClientRequestToken"].as_str().unwrap_or_default().is_empty(), "a transaction has a token");
        let items: Vec<(&String, &Value)> =
            body["TransactItems"].as_array().unwrap().iter().flat_map(|item| item.as_object().unwrap()).collect();
        assert!((1..=100).contains(&items.len()), "{} items", items.len());
        if items.iter().all(|(_, item)| self.holds(item)) {
            for (call, item) in items {
                self.take(call, item);
            }
            return Reply::Json(json!({}));
        }
        let reason = |(_, item): &(&String, &Value)| json!({ "Code": if self.holds(item) { "None" } else { "ConditionalCheckFailed" } });
        cancelled(items.iter().map(reason).collect())
    }

    fn holds(&self, asked: &Value) -> bool {
        assert_eq!(asked["TableName"], "evenkeel");
        let found = self.items.get(&place(&asked["Key"]));
        match asked["ConditionExpression"].as_str() {
            None => true,
            Some("attribute_not_exists(#pk)") => {
                assert_eq!(asked["ExpressionAttributeNames"]["#pk"], "pk");
                found.is_none()
            }
            Some("#version = :expected") => {
                assert_eq!(asked["ExpressionAttributeNames"]["#version"], "version");
                found.is_some_and(|item| item["version"] == asked["ExpressionAttributeValues"][":expected"])
            }
            Some(other) => panic!("condition {other}"),
        }
    }

    fn take(&mut self, call: &str, asked: &Value) {
        let place = place(&asked["Key"]);
        if call == "Delete" {
            self.items.remove(&place);
            return;
        }
        let values = &asked["ExpressionAttributeValues"];
        let version = |item: &Value| item["version"]["N"].as_str()?.parse::<u64>().ok();
        let version = self.items.get(&place).and_then(version).unwrap_or(0) + 1;
        let mut item: Map<String, Value> = asked["Key"].as_object().unwrap().clone();
        item.insert("body".to_owned(), values[":body"].clone());
        item.insert("version".to_owned(), json!({ "N": version.to_string() }));
        match asked["UpdateExpression"].as_str() {
            Some("SET #body = :body, #version = if_not_exists(#version, :zero) + :one, #ttl = :ttl") => {
                item.insert("ttl".to_owned(), values[":ttl"].clone());
            }
            Some("SET #body = :body, #version = if_not_exists(#version, :zero) + :one REMOVE #ttl") => {}
            other => panic!("update {other:?}"),
        }
        self.items.insert(place, Value::Object(item));
    }

    /// Leaves an item without what its body is read from.
    pub(crate) fn spoil(&mut self, pk: &str, sk: &str) {
        self.items.get_mut(&(pk.to_owned(), sk.to_owned())).unwrap()["body"] = json!({ "N": "1" });
    }

    pub(crate) fn item(&self, pk: &str, sk: &str) -> Option<&Value> {
        self.items.get(&(pk.to_owned(), sk.to_owned()))
    }
}

/// The answer to a transaction that was not taken.
pub(crate) fn cancelled(reasons: Vec<Value>) -> Reply {
    Reply::JsonError(json!({
        "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
        "Message": "Transaction cancelled, please refer cancellation reasons for specific reasons",
        "CancellationReasons": reasons,
    }))
}

fn place(key: &Value) -> (String, String) {
    let text = |name: &str| key[name]["S"].as_str().unwrap().to_owned();
    (text("pk"), text("sk"))
}
