//! The ledger on DynamoDB: the suite of every ledger, and what only a table behind a network can do.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use evenkeel_aws::{Aws, Settings};
use evenkeel_turn::ledger::{Expect, Key, LedgerError, Write};
use evenkeel_turn::ports::{Ledger, PortError};
use evenkeel_turn::testing::every_ledger_holds;
use serde_json::{Value, json};

use crate::dynamo::{Dynamo, cancelled};
use crate::fake::{Asked, Fake, Reply, id, now};

fn table() -> (Fake, Arc<Mutex<Dynamo>>) {
    let dynamo = Arc::new(Mutex::new(Dynamo::default()));
    let answers = Arc::clone(&dynamo);
    let fake = Fake::new(move |asked| answers.lock().unwrap_or_else(PoisonError::into_inner).answer(asked));
    (fake, dynamo)
}

fn put(sort: &str, body: &str, expect: Expect) -> Write {
    Write::put(Key::only(&id("shop"), sort), body.to_owned(), expect)
}

#[tokio::test(start_paused = true)]
async fn the_table_holds_what_every_ledger_holds() {
    let (fake, _) = table();
    every_ledger_holds(&fake.aws(), &id("shop"), &id("shop-2")).await;
}

/// With an emulator of DynamoDB, whose address `EVENKEEL_DYNAMODB` names, such as `http://127.0.0.1:5000`.
#[tokio::test]
async fn an_emulators_table_holds_it_too() {
    #[expect(clippy::disallowed_methods, reason = "where an emulator listens is known to whoever started it")]
    let Ok(endpoint) = std::env::var("EVENKEEL_DYNAMODB") else {
        println!("skipped: EVENKEEL_DYNAMODB names no emulator of DynamoDB");
        return;
    };
    let config = aws_config::defaults(aws_config::BehaviorVersion::latest())
        .region(aws_config::Region::new("us-east-1"))
        .credentials_provider(aws_sdk_ecs::config::Credentials::new("id", "secret", None, None, "test"))
        .endpoint_url(endpoint)
        .load()
        .await;
    let table = format!("evenkeel-{}", std::process::id());
    make_table(&aws_sdk_dynamodb::Client::new(&config), &table).await;
    let aws = Aws::new(&config, Settings { table, ..Settings::default() });
    every_ledger_holds(&aws, &id("shop"), &id("shop-2")).await;
}

async fn make_table(client: &aws_sdk_dynamodb::Client, name: &str) {
    use aws_sdk_dynamodb::types::{AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType};
    let mut create = client.create_table().table_name(name).billing_mode(BillingMode::PayPerRequest);
    for (key, kind) in [("pk", KeyType::Hash), ("sk", KeyType::Range)] {
        let text = AttributeDefinition::builder().attribute_name(key).attribute_type(ScalarAttributeType::S);
        let element = KeySchemaElement::builder().attribute_name(key).key_type(kind);
        create = create.attribute_definitions(text.build().unwrap()).key_schema(element.build().unwrap());
    }
    create.send().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_batch_get_leaves_over_is_asked_for_again() {
    let (fake, dynamo) = table();
    let aws = fake.aws();
    for sort in ["a", "b", "c"] {
        aws.write(vec![put(sort, sort, Expect::Absent)]).await.unwrap();
    }
    dynamo.lock().unwrap().page = Some(1);
    let keys = ["c", "x", "a", "b"].map(|sort| Key::only(&id("shop"), sort));
    let found = aws.get(&keys).await.unwrap();
    let bodies: Vec<Option<&str>> = found.iter().map(|item| item.as_ref().map(|item| item.body.as_str())).collect();
    assert_eq!(bodies, [Some("c"), None, Some("a"), Some("b")]);
    assert_eq!(fake.asked("BatchGetItem").len(), 4);
    // A table that never gives all of it is a throttled one.
    dynamo.lock().unwrap().page = Some(0);
    assert_eq!(aws.get(&keys).await, Err(PortError::Throttled));
}

#[tokio::test]
async fn a_kind_is_read_page_by_page_and_only_what_was_asked_for_is_understood() {
    let (fake, dynamo) = table();
    let aws = fake.aws();
    for sort in ["turn#b", "turn#a", "turn#c", "view#a"] {
        aws.write(vec![put(sort, sort, Expect::Absent)]).await.unwrap();
    }
    dynamo.lock().unwrap().page = Some(2);
    // Written by a later version, in a way that this one cannot read.
    dynamo.lock().unwrap().spoil("fleet#shop", "turn#b");
    let turn = |sorts: &[&str]| sorts.iter().map(|sort| Key::only(&id("shop"), sort)).collect::<Vec<Key>>();
    let found = aws.get_together(&turn(&["turn#c", "turn#x", "turn#a"])).await.unwrap();
    let bodies: Vec<Option<&str>> = found.iter().map(|item| item.as_ref().map(|item| item.body.as_str())).collect();
    assert_eq!(bodies, [Some("turn#c"), None, Some("turn#a")]);
    assert_eq!(fake.asked("Query").len(), 2);
    let spoiled = aws.get_together(&turn(&["turn#a", "turn#b"])).await;
    assert!(matches!(&spoiled, Err(PortError::Refused(words)) if words.contains("turn#b")), "{spoiled:?}");
    let mixed = aws.get_together(&turn(&["turn#a", "view#a"])).await;
    assert!(matches!(mixed, Err(PortError::Refused(_))), "{mixed:?}");
}

#[tokio::test]
async fn items_are_as_the_design_says() {
    let (fake, dynamo) = table();
    let expires = Some(now() + Duration::from_millis(1500));
    fake.aws().write(vec![Write { expires, ..put("turn#lease#microscale", "{}", Expect::Absent) }]).await.unwrap();
    let item = dynamo.lock().unwrap().item("fleet#shop", "turn#lease#microscale").cloned();
    // In whole seconds, and not before the time.
    let ttl = (now().as_second() + 2).to_string();
    let expect = json!({
        "pk": { "S": "fleet#shop" }, "sk": { "S": "turn#lease#microscale" }, "body": { "S": "{}" },
        "version": { "N": "1" }, "ttl": { "N": ttl },
    });
    assert_eq!(item, Some(expect));
}

#[tokio::test]
async fn a_large_body_is_deflated_and_comes_back_whole() {
    let (fake, dynamo) = table();
    // Over DynamoDB's 400 KB as it is, as the view of some hundred hosts.
    let host =
        r#"{"id":"i-0123456789abcdef0","pool":"spot","status":"active","tasks":[{"service":"web"},{"service":"web"}]}"#;
    let body = format!("[{}]", vec![host; 5_000].join(","));
    fake.aws().write(vec![put("view#microscale", &body, Expect::Absent)]).await.unwrap();
    let item = dynamo.lock().unwrap().item("fleet#shop", "view#microscale").cloned().unwrap();
    let stored = item["body"]["B"].as_str().expect("bytes");
    assert!(stored.len() < 100_000, "{} bytes are stored for {}", stored.len(), body.len());
    let found = fake.aws().get(&[Key::only(&id("shop"), "view#microscale")]).await.unwrap();
    assert_eq!(found[0].as_ref().map(|item| item.body.as_str()), Some(body.as_str()));
}

/// A script that answers the first call with `first` and lets the table answer the others; `taken` says whether the table
/// takes the first one all the same.
fn with_first(first: Reply, taken: bool) -> Fake {
    let mut dynamo = Dynamo::default();
    let mut first = Some(first);
    let mut tokens: Vec<Value> = Vec::new();
    Fake::new(move |asked: &Asked| {
        let token = asked.body["ClientRequestToken"].clone();
        // DynamoDB answers a transaction whose token it has seen without taking it again.
        let seen = !token.is_null() && tokens.contains(&token);
        if first.is_none() && seen {
            return Reply::Json(json!({}));
        }
        if first.is_none() || taken {
            tokens.push(token);
            let answer = dynamo.answer(asked);
            return first.take().unwrap_or(answer);
        }
        first.take().unwrap_or(Reply::Broken)
    })
}

#[tokio::test(start_paused = true)]
async fn a_transaction_whose_answer_was_lost_is_taken_once() {
    let fake = with_first(Reply::Broken, true);
    let both = vec![put("a", "1", Expect::Absent), put("b", "1", Expect::Absent)];
    let aws = fake.aws();
    assert_eq!(aws.write(both).await, Ok(()));
    let tokens: Vec<String> =
        fake.asked("TransactWriteItems").iter().map(|asked| asked.text("ClientRequestToken").to_owned()).collect();
    assert_eq!(tokens.len(), 2);
    assert_eq!(tokens[0], tokens[1]);
    // The next transaction has another token, even with the same content.
    let again = vec![put("a", "1", Expect::Anything), put("b", "1", Expect::Anything)];
    aws.write(again.clone()).await.unwrap();
    aws.write(again).await.unwrap();
    assert_eq!(aws.get(&[Key::only(&id("shop"), "a")]).await.unwrap()[0].as_ref().unwrap().version, 3);
}

#[tokio::test(start_paused = true)]
async fn a_single_write_whose_answer_was_lost_is_told_as_such_and_not_tried_again() {
    for reply in [Reply::Broken, Reply::Silence, Reply::Error("InternalServerError", "", 500)] {
        let fake = with_first(reply, true);
        let written = fake.aws().write(vec![put("a", "1", Expect::Absent)]).await;
        assert!(matches!(written, Err(LedgerError::Port(PortError::Unavailable(_)))), "{written:?}");
        assert_eq!(fake.calls(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn errors_of_the_table_are_told_apart() {
    let reason = |code: &str| json!({ "Code": code, "Message": "m" });
    let none = reason("None");
    let unavailable = |words: &str| LedgerError::Port(PortError::Unavailable(words.to_owned()));
    let one = vec![put("a", "1", Expect::Absent)];
    let two = vec![put("a", "1", Expect::Absent), put("b", "1", Expect::Absent)];
    let cases = [
        (&one, Reply::Error("ConditionalCheckFailedException", "", 400), LedgerError::Conflict),
        (&one, Reply::Error("TransactionConflictException", "", 400), LedgerError::Conflict),
        (&one, Reply::Error("ThrottlingException", "", 400), PortError::Throttled.into()),
        (&one, Reply::Error("ProvisionedThroughputExceededException", "", 400), PortError::Throttled.into()),
        (&two, cancelled(vec![none.clone(), reason("ConditionalCheckFailed")]), LedgerError::Conflict),
        (&two, cancelled(vec![reason("TransactionConflict"), none.clone()]), LedgerError::Conflict),
        (&two, cancelled(vec![reason("ThrottlingError"), none]), PortError::Throttled.into()),
        (&two, Reply::Error("TransactionInProgressException", "", 400), unavailable("TransactionInProgressException")),
        (
            &one,
            Reply::Error("ResourceNotFoundException", "Requested resource not found", 400),
            PortError::NotFound("ResourceNotFoundException: Requested resource not found".to_owned()).into(),
        ),
        (
            &one,
            Reply::Error("AccessDeniedException", "not authorized", 400),
            PortError::Refused("AccessDeniedException: not authorized".to_owned()).into(),
        ),
    ];
    for (writes, reply, expect) in cases {
        let fake = Fake::new(move |_| reply.clone());
        assert_eq!(fake.aws().write(writes.clone()).await, Err(expect));
    }
}
