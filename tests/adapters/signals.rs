//! Metrics, alarms, backlogs, beats and fleet files.

use std::collections::BTreeMap;
use std::time::Duration;

use evenkeel_model::fleet::{MetricSource, Missing, Statistic};
use evenkeel_model::observed::{Level, Signal};
use evenkeel_model::{AlarmName, QueueName};
use evenkeel_turn::ports::{Beats, FleetFiles, PortError, ReadSignals};
use serde_json::{Value, json};

use crate::fake::{Fake, Reply, id, now};

fn source(name: &str, seconds: u64) -> MetricSource {
    MetricSource {
        missing: Missing::Hold,
        per: None,
        metric: id(name),
        statistic: Statistic::Sum,
        period: Duration::from_secs(seconds),
        dimensions: BTreeMap::from([("Queue".to_owned(), "q".to_owned())]),
    }
}

fn time(seconds: i64) -> Value {
    json!({ "$time": seconds })
}

fn at(text: &str) -> evenkeel_model::Timestamp {
    text.parse().unwrap()
}

#[tokio::test]
async fn the_newest_period_that_is_over_counts() {
    let begin = at("2026-01-05T00:09:50Z").as_second();
    let fake = Fake::new(move |asked| {
        let first = asked.text("NextToken").is_empty();
        let results = if asked.body["MetricDataQueries"][0]["MetricStat"]["Period"] == 60 {
            json!([{ "Id": "m0", "Timestamps": [time(begin - 110)], "Values": [7.5], "StatusCode": "Complete" }])
        } else if first {
            json!([
                // Of a period of 10 s the one from 10:00 is not over at 10:07.
                { "Id": "m0", "Timestamps": [time(begin + 10), time(begin), time(begin - 10)],
                  "Values": [9.0, 50.0, 40.0], "StatusCode": "PartialData" },
                { "Id": "m1", "Timestamps": [], "Values": [], "StatusCode": "InternalError" },
                { "Id": "m2", "Timestamps": [], "Values": [], "StatusCode": "InternalError" },
            ])
        } else {
            json!([
                { "Id": "m0", "Timestamps": [time(begin - 20)], "Values": [30.0], "StatusCode": "Complete" },
                { "Id": "m1", "Timestamps": [time(begin - 30)], "Values": [2.5], "StatusCode": "Complete" },
            ])
        };
        let next = if first { json!("more") } else { Value::Null };
        Reply::Cbor(json!({ "MetricDataResults": results, "NextToken": next }))
    });
    let mut sources = vec![
        source("shop/Requests", 10),
        source("AWS/ELB/Requests", 60),
        source("a/b", 10),
        source("c/d", 10),
        source("e/f", 10),
    ];
    // Two services that follow one metric pay for it once.
    sources.push(source("shop/Requests", 10));
    let found = fake.aws().metrics(&sources).await.unwrap();
    let expect = [
        Signal::Value { value: 50.0, at: at("2026-01-05T00:10:00Z") },
        Signal::Value { value: 7.5, at: at("2026-01-05T00:09:00Z") },
        // What failed on one page and came on the next.
        Signal::Value { value: 2.5, at: at("2026-01-05T00:09:30Z") },
        Signal::Unknown("metric c/d: InternalError".to_owned()),
        Signal::Unknown("the answer is not complete for metric e/f".to_owned()),
        Signal::Value { value: 50.0, at: at("2026-01-05T00:10:00Z") },
    ];
    assert_eq!(found, expect);
    let calls = fake.asked("GetMetricData");
    let of = |seconds: u64| {
        let has = |period: &Value| *period == seconds;
        &calls.iter().find(|asked| has(&asked.body["MetricDataQueries"][0]["MetricStat"]["Period"])).unwrap().body
    };
    assert_eq!(of(10)["MetricDataQueries"].as_array().unwrap().len(), 4);
    let asked = of(60);
    let stat = &asked["MetricDataQueries"][0]["MetricStat"];
    assert_eq!((&stat["Metric"]["Namespace"], &stat["Metric"]["MetricName"]), (&json!("AWS/ELB"), &json!("Requests")));
    assert_eq!((&stat["Period"], &stat["Stat"]), (&json!(60), &json!("Sum")));
    assert_eq!(stat["Metric"]["Dimensions"], json!([{ "Name": "Queue", "Value": "q" }]));
    assert_eq!(asked["StartTime"].as_f64().unwrap() as i64 % 60, 0);
    assert_eq!(asked["EndTime"].as_f64().unwrap() as i64, now().as_second());
}

#[tokio::test]
async fn no_data_mean_zero_only_where_the_file_says_so_and_the_answer_is_complete() {
    let fake = Fake::new(|_| {
        let empty = |id: &str, code: &str| json!({ "Id": id, "Timestamps": [], "Values": [], "StatusCode": code });
        let codes = [("m0", "Complete"), ("m1", "Complete"), ("m2", "PartialData"), ("m3", "Forbidden")];
        let results: Vec<Value> = codes.iter().map(|(id, code)| empty(id, code)).collect();
        Reply::Cbor(json!({ "MetricDataResults": results }))
    });
    let zero = |name: &str| MetricSource { missing: Missing::Zero, ..source(name, 60) };
    let sources = [source("a/held", 60), zero("a/quiet"), zero("a/part"), zero("a/denied"), zero("a/left-out")];
    let unknown = |because: &str| Signal::Unknown(because.to_owned());
    let expect = [
        unknown("no data of metric a/held"),
        Signal::Value { value: 0.0, at: now() },
        unknown("the answer is not complete for metric a/part"),
        unknown("metric a/denied: Forbidden"),
        unknown("the answer is not complete for metric a/left-out"),
    ];
    assert_eq!(fake.aws().metrics(&sources).await.unwrap(), expect);
}

#[tokio::test]
async fn a_metric_of_days_does_not_make_one_of_seconds_begin_days_ago() {
    let fake = Fake::new(|_| Reply::Cbor(json!({ "MetricDataResults": [] })));
    fake.aws().metrics(&[source("a/day", 86_400), source("a/seconds", 10)]).await.unwrap();
    for asked in fake.asked("GetMetricData") {
        let queries = asked.body["MetricDataQueries"].as_array().unwrap();
        let period = queries[0]["MetricStat"]["Period"].as_i64().unwrap();
        assert_eq!(queries.len(), 1, "each period has a start of its own");
        let begins = asked.body["StartTime"].as_f64().unwrap() as i64;
        let points = (now().as_second() - begins) / period;
        assert!((4..=30).contains(&points), "{points} points of {period} s");
    }
}

#[tokio::test]
async fn metrics_and_alarms_are_asked_for_in_batches() {
    let fake = Fake::new(|asked| {
        let field = if asked.action == "GetMetricData" { "MetricDataQueries" } else { "AlarmNames" };
        let most = if asked.action == "GetMetricData" { 500 } else { 100 };
        assert!(asked.body[field].as_array().unwrap().len() <= most);
        Reply::Cbor(json!({ "MetricDataResults": [], "MetricAlarms": [], "CompositeAlarms": [] }))
    });
    let aws = fake.aws();
    let sources: Vec<MetricSource> = (0..501).map(|number| source(&format!("a/m{number}"), 60)).collect();
    assert_eq!(aws.metrics(&sources).await.unwrap().len(), 501);
    let alarms: Vec<AlarmName> = (0..101).map(|number| id(&format!("alarm-{number}"))).collect();
    assert_eq!(aws.alarms(&alarms).await.unwrap().len(), 101);
    assert_eq!((fake.asked("GetMetricData").len(), fake.asked("DescribeAlarms").len()), (2, 2));
}

#[tokio::test]
async fn alarms_of_both_types_say_whether_they_fire_and_since_when() {
    let since = at("2026-01-05T00:05:00Z");
    let fake = Fake::new(move |asked| {
        assert_eq!(asked.list("AlarmTypes"), ["MetricAlarm", "CompositeAlarm"]);
        let alarm = |name: &str, state: &str| json!({ "AlarmName": name, "StateValue": state, "StateTransitionedTimestamp": time(since.as_second()) });
        Reply::Cbor(json!({
            "MetricAlarms": [alarm("high", "ALARM"), alarm("quiet", "OK"), alarm("blind", "INSUFFICIENT_DATA")],
            "CompositeAlarms": [alarm("both", "ALARM")],
        }))
    });
    let names: [AlarmName; 5] = ["quiet", "high", "both", "blind", "none"].map(id);
    let expect = [
        Signal::Alarm { firing: false, since },
        Signal::Alarm { firing: true, since },
        Signal::Alarm { firing: true, since },
        Signal::Unknown("alarm blind has insufficient data".to_owned()),
        Signal::Unknown("there is no alarm none".to_owned()),
    ];
    assert_eq!(fake.aws().alarms(&names).await.unwrap(), expect);
}

#[tokio::test]
async fn an_alarms_level_is_its_metric_as_a_part_of_its_threshold() {
    let begin = at("2026-01-05T00:09:00Z");
    let fake = Fake::new(move |asked| {
        if asked.action == "GetMetricData" {
            let queries = asked.body["MetricDataQueries"].as_array().unwrap();
            let value = |query: &Value| match query["MetricStat"]["Metric"]["MetricName"].as_str() {
                Some("Cpu") => (vec![time(begin.as_second() + 60), time(begin.as_second())], vec![99.0, 60.0]),
                Some("Latency") => (vec![time(begin.as_second())], vec![0.9]),
                _ => (vec![], vec![]),
            };
            let result = |query: &Value| {
                let (times, values) = value(query);
                json!({ "Id": query["Id"], "Timestamps": times, "Values": values, "StatusCode": "Complete" })
            };
            return Reply::Cbor(json!({ "MetricDataResults": queries.iter().map(result).collect::<Vec<_>>() }));
        }
        assert_eq!(asked.list("AlarmTypes"), ["MetricAlarm"]);
        let alarm = |name: &str, metric: &str, change: Value| {
            let mut alarm = json!({ "AlarmName": name, "Namespace": "shop", "MetricName": metric, "Period": 60,
                "Statistic": "Average", "Threshold": 80.0, "ComparisonOperator": "GreaterThanThreshold",
                "Dimensions": [{ "Name": "Cluster", "Value": "shop" }] });
            let fields = alarm.as_object_mut().unwrap();
            fields.extend(change.as_object().unwrap().clone());
            fields.retain(|_, value| !value.is_null());
            alarm
        };
        let math = json!({ "AlarmName": "math", "Threshold": 5.0, "ComparisonOperator": "GreaterThanThreshold",
            "Metrics": [{ "Id": "e1", "Expression": "m1/m2" }] });
        let p99 = json!({ "Statistic": null, "ExtendedStatistic": "p99", "Threshold": 0.5, "Unit": "Seconds",
            "ComparisonOperator": "GreaterThanOrEqualToThreshold" });
        let first = asked.text("NextToken").is_empty();
        Reply::Cbor(if first {
            json!({ "NextToken": "more", "MetricAlarms": [
                alarm("cpu", "Cpu", json!({})),
                alarm("low", "Cpu", json!({ "ComparisonOperator": "LessThanThreshold" })),
                alarm("zero", "Cpu", json!({ "Threshold": 0.0 })),
                math,
            ] })
        } else {
            json!({ "MetricAlarms": [alarm("blind", "None", json!({})), alarm("latency", "Latency", p99)] })
        })
    });
    let names: [AlarmName; 8] = ["latency", "cpu", "low", "zero", "math", "blind", "composite", "cpu"].map(id);
    let of = |part: f64| Some(Level { part, from: begin });
    let expect = [of(1.8), of(0.75), None, None, None, None, None, of(0.75)];
    assert_eq!(fake.aws().alarm_levels(&names).await.unwrap(), expect);
    let asked = &fake.asked("GetMetricData")[0].body["MetricDataQueries"];
    assert_eq!(asked.as_array().unwrap().len(), 3, "only what can tell is asked for");
    let stat = &asked[2]["MetricStat"];
    assert_eq!((&stat["Stat"], &stat["Unit"], &stat["Period"]), (&json!("p99"), &json!("Seconds"), &json!(60)));
    assert_eq!(stat["Metric"]["Dimensions"], json!([{ "Name": "Cluster", "Value": "shop" }]));
    let fake = Fake::new(|_| Reply::Cbor(json!({ "MetricAlarms": [] })));
    assert_eq!(fake.aws().alarm_levels(&names[..2]).await.unwrap(), [None, None]);
    assert_eq!(fake.calls(), 1, "without an alarm that tells there is no metric to ask for");
}

#[tokio::test]
async fn a_backlog_is_what_waits_and_what_is_in_flight_and_one_queue_does_not_spoil_the_others() {
    let fake = Fake::new(|asked| match (asked.action.as_str(), asked.text("QueueName")) {
        ("GetQueueUrl", "gone") => Reply::Error("QueueDoesNotExist", "", 400),
        ("GetQueueUrl", "closed") => Reply::Error("AccessDenied", "no", 403),
        ("GetQueueUrl", name) => {
            let name = name.to_owned();
            Reply::Json(json!({ "QueueUrl": format!("https://sqs.eu-west-1.amazonaws.com/1/{name}") }))
        }
        _ => Reply::Json(
            json!({ "Attributes": { "ApproximateNumberOfMessages": "42", "ApproximateNumberOfMessagesNotVisible": "3" } }),
        ),
    });
    let aws = fake.aws();
    let queues: [QueueName; 3] = ["jobs", "gone", "closed"].map(id);
    let expect = [
        Signal::Backlog { waiting: 42.0, in_flight: 3.0, at: now() },
        Signal::Unknown("there is no queue gone".to_owned()),
        Signal::Unknown("AccessDenied: no".to_owned()),
    ];
    assert_eq!(aws.backlogs(&queues).await.unwrap(), expect);
    fake.forget();
    aws.backlogs(&queues[..1]).await.unwrap();
    assert_eq!(fake.calls(), 1, "a queue's URL is asked for once");
}

#[tokio::test]
async fn beats_are_delayed_messages_ten_at_a_time() {
    let fake = Fake::new(|asked| {
        let entries = asked.body["Entries"].as_array().unwrap();
        assert!((1..=10).contains(&entries.len()));
        let sent: Vec<Value> =
            entries.iter().map(|e| json!({ "Id": e["Id"], "MessageId": "m", "MD5OfMessageBody": "x" })).collect();
        Reply::Json(json!({ "Successful": sent, "Failed": [] }))
    });
    let delays: Vec<Duration> = (1..=12).map(|beat| Duration::from_secs(beat * 5)).collect();
    // The SDK checks the digest of each body, which this answer has not.
    let answer = fake.aws().wake_after(&id("shop"), &delays, 3).await;
    assert!(answer.is_ok(), "{answer:?}");
    let asked = fake.asked("SendMessageBatch");
    assert_eq!(asked.len(), 2);
    let first = &asked[0].body["Entries"][1];
    assert_eq!(first["DelaySeconds"], 10);
    let body: Value = serde_json::from_str(first["MessageBody"].as_str().unwrap()).unwrap();
    assert_eq!(body, json!({ "fleet": "shop", "beat": "2026-01-05T00:10:17Z", "hop": 3 }));
}

#[tokio::test]
async fn beats_that_were_not_sent_are_told() {
    let fake = Fake::new(|_| {
        let failed = json!([{ "Id": "0", "SenderFault": false, "Code": "InternalError" }]);
        Reply::Json(json!({ "Successful": [], "Failed": failed }))
    });
    let answer = fake.aws().wake_after(&id("shop"), &[Duration::from_secs(10)], 1).await;
    assert!(matches!(answer, Err(PortError::Unavailable(_))), "{answer:?}");
}

#[tokio::test]
async fn a_fleet_file_is_the_parameter_of_its_name() {
    let fake = Fake::new(|_| Reply::Json(json!({ "Parameter": { "Value": "name = \"shop\"" } })));
    assert_eq!(fake.aws().text(&id("shop")).await.unwrap(), "name = \"shop\"");
    assert_eq!(fake.asked("GetParameter")[0].text("Name"), "/evenkeel/fleets/shop");
}

#[tokio::test]
async fn a_fleet_file_in_parts_is_put_together_and_half_of_one_is_refused() {
    // `{"name":"shop"}`, deflated by zlib and encoded, in two parts.
    let parts = ["eNqrVspLzE1V", "slIqzsgvUKoFAChaBRY="];
    let whole = |last: &'static str| {
        Fake::new(move |asked| {
            let value = match asked.text("Name") {
                "/evenkeel/fleets/shop" => "evenkeel:parts 0abc 2",
                "/evenkeel/fleets/shop/0abc/1" => parts[0],
                "/evenkeel/fleets/shop/0abc/2" => last,
                name => panic!("asked for {name}"),
            };
            Reply::Json(json!({ "Parameter": { "Value": value } }))
        })
    };
    assert_eq!(whole(parts[1]).aws().text(&id("shop")).await.unwrap(), "{\"name\":\"shop\"}");
    let half = whole("").aws().text(&id("shop")).await;
    assert!(matches!(&half, Err(PortError::Refused(why)) if why.contains("/evenkeel/fleets/shop")), "{half:?}");
    let odd = Fake::new(|_| Reply::Json(json!({ "Parameter": { "Value": "evenkeel:parts 0abc many" } })));
    let odd = odd.aws().text(&id("shop")).await;
    assert!(matches!(&odd, Err(PortError::Refused(why)) if why.contains("expected 1 to 100")), "{odd:?}");
}

#[tokio::test]
async fn values_are_published_by_namespace_a_thousand_at_a_time() {
    use evenkeel_turn::ports::{DataPoint, PublishMetrics};
    let fake = Fake::new(|asked| {
        let data = asked.body["MetricData"].as_array().unwrap();
        assert!((1..=1000).contains(&data.len()), "{} values", data.len());
        Reply::Cbor(json!({}))
    });
    let point = |name: &str, seconds: u64, value: f64| DataPoint { source: source(name, seconds), at: now(), value };
    let mut points = vec![point("depot/Jobs", 60, 2.5), point("shop/web/Requests", 10, 80.5)];
    points.extend((0..1500).map(|number| point("shop/web/Requests", 10, f64::from(number))));
    fake.aws().publish(&points).await.unwrap();
    let asked = fake.asked("PutMetricData");
    let namespaces: Vec<&str> = asked.iter().map(|asked| asked.text("Namespace")).collect();
    assert_eq!(namespaces, ["depot", "shop/web", "shop/web"]);
    let datum = &asked[1].body["MetricData"][0];
    let told = (&datum["MetricName"], &datum["Value"], &datum["StorageResolution"]);
    assert_eq!(told, (&json!("Requests"), &json!(80.5), &json!(1)));
    assert_eq!(datum["Dimensions"], json!([{ "Name": "Queue", "Value": "q" }]));
    assert_eq!(datum["Timestamp"].as_f64().unwrap() as i64, now().as_second());
    assert!(asked[0].body["MetricData"][0]["StorageResolution"].is_null(), "a minute is the usual resolution");
    fake.forget();
    fake.aws().publish(&[]).await.unwrap();
    assert_eq!(fake.calls(), 0);
}

/// Where AWS would count twice, a call is made once, and nobody is told to make it again unless nothing was done.
#[tokio::test(start_paused = true)]
async fn values_are_put_once_whatever_is_answered() {
    use evenkeel_turn::ports::{DataPoint, PublishMetrics};
    let point = |name: &str| DataPoint { source: source(name, 60), at: now(), value: 1.0 };
    let internal = Reply::Error("InternalServiceFault", "", 500);
    for reply in [internal, Reply::Broken, Reply::Silence, Reply::Error("ThrottlingException", "Rate exceeded", 400)] {
        let throttled = matches!(reply, Reply::Error("ThrottlingException", ..));
        let fake = Fake::new(move |_| reply.clone());
        let answer = fake.aws().publish(&[point("depot/Jobs")]).await;
        assert_eq!(answer == Err(PortError::Throttled), throttled, "{answer:?}");
        assert!(throttled || matches!(answer, Err(PortError::Unavailable(_))), "{answer:?}");
        assert_eq!(fake.calls(), 1);
    }
    // One namespace is taken, and the other throttled.
    let fake = Fake::new(|asked| match asked.text("Namespace") {
        "depot" => Reply::Cbor(json!({})),
        _ => Reply::Error("ThrottlingException", "Rate exceeded", 400),
    });
    let answer = fake.aws().publish(&[point("depot/Jobs"), point("shop/Requests")]).await;
    assert!(matches!(&answer, Err(PortError::Unavailable(why)) if why.starts_with("1 of 2 puts")), "{answer:?}");
    assert_eq!(fake.calls(), 2);
}

#[tokio::test]
async fn a_dead_letter_has_its_reason_and_stays_within_a_messages_size() {
    use evenkeel_turn::ports::DeadLetters;
    let fake = Fake::new(|_| Reply::Json(json!({ "MessageId": "m" })));
    let event = "\u{1}".repeat(100_000);
    assert_eq!(fake.aws().bury("malformed event: ä", &event).await, Ok(true));
    let asked = &fake.asked("SendMessage")[0];
    assert!(asked.text("QueueUrl").ends_with("/dead"));
    assert!(asked.text("MessageBody").len() < 256 * 1024);
    let letter: Value = serde_json::from_str(asked.text("MessageBody")).unwrap();
    assert_eq!(letter["reason"], "malformed event: ä");
}
