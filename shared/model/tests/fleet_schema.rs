//! The schema in `infra/` is the one that the types give, and it agrees with the reader.

use std::collections::BTreeSet;

use evenkeel_model::fleet::{Format, Problems, read, schema};
use jsonschema::Validator;
use serde_json::{Value, json};

const KEPT: &str = include_str!("../../../infra/fleet.schema.json");
const DEMO: &str = include_str!("../../../infra/fleets/demo.toml");
const SHOP: &str = include_str!("../../../infra/fleets/shop.toml");
const EVERYTHING: &str = include_str!("everything.toml");

/// Where [`EVERYTHING`] has the tables of each type of the schema.
const TABLES: [(&str, &[&str]); 13] = [
    ("Backfill", &["/backfill"]),
    ("Bake", &["/patch/bake"]),
    ("Disruption", &["/disruption"]),
    ("Hosts", &["/hosts"]),
    ("ManualDemand", &["/service/3/demand"]),
    ("MetricDemand", &["/service/0/demand"]),
    ("Microscale", &["/microscale"]),
    ("Patch", &["/patch"]),
    ("Pool", &["/pool/0"]),
    ("QueueDemand", &["/service/2/demand"]),
    ("Service", &["/service/0", "/service/5"]),
    ("StepsDemand", &["/service/4/demand"]),
    ("TrackingDemand", &["/service/1/demand"]),
];

fn validator() -> Validator {
    jsonschema::draft202012::new(schema().as_value()).expect("the schema is one")
}

fn json_of(toml: &str) -> Value {
    toml::from_str(toml).expect("the file is TOML")
}

fn read_json(file: &Value) -> Result<(), Problems> {
    read(file.to_string(), Format::Json).map(|_| ())
}

/// Every path of a value: tables and lists before what is in them.
fn paths(value: &Value, path: &str, found: &mut Vec<String>) {
    found.push(path.to_owned());
    let inner: Vec<(String, &Value)> = match value {
        Value::Object(fields) => fields.iter().map(|(key, field)| (key.clone(), field)).collect(),
        Value::Array(items) => items.iter().enumerate().map(|(index, item)| (index.to_string(), item)).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    };
    for (key, field) in inner {
        paths(field, &format!("{path}/{key}"), found);
    }
}

fn paths_of(file: &Value) -> Vec<String> {
    let mut found = Vec::new();
    paths(file, "", &mut found);
    found
}

#[test]
fn the_kept_schema_is_up_to_date() {
    let made = serde_json::to_string_pretty(&schema()).expect("a schema is JSON") + "\n";
    assert!(
        made == KEPT,
        "infra/fleet.schema.json is not what the types give; make it anew with\n  \
         cargo run -p evenkeel-model --example schema > infra/fleet.schema.json"
    );
}

#[test]
fn both_accept_the_examples() {
    let validator = validator();
    for toml in [DEMO, SHOP, EVERYTHING] {
        let file = json_of(toml);
        assert_eq!(read_json(&file), Ok(()));
        assert!(
            validator.is_valid(&file),
            "{:?}",
            validator.iter_errors(&file).map(|e| e.to_string()).collect::<Vec<_>>()
        );
        // Also with every default written out.
        let written = read(toml, Format::Toml).expect("it was read above").to_json().expect("a fleet is JSON");
        let written = serde_json::from_str::<Value>(&written).expect("it is JSON");
        assert!(validator.is_valid(&written), "{written:#}");
    }
}

#[test]
fn every_property_of_the_schema_is_read() {
    let schema = schema();
    let file = json_of(EVERYTHING);
    let keys = |table: &Value| table.as_object().expect("a table").keys().cloned().collect::<BTreeSet<_>>();
    let check = |name: &str, of_schema: &Value, tables: &[&str]| {
        let used = tables.iter().flat_map(|path| keys(file.pointer(path).expect(path))).collect::<BTreeSet<_>>();
        assert_eq!(used, keys(&of_schema["properties"]), "{name}: everything.toml is to have each property");
    };
    check("Fleet", schema.as_value(), &[""]);
    let types = schema.as_value()["$defs"].as_object().expect("the types");
    let with_properties = types.iter().filter(|(_, shape)| shape.get("properties").is_some());
    for (name, shape) in with_properties {
        let (_, tables) =
            TABLES.iter().find(|(table, _)| table == name).unwrap_or_else(|| panic!("where is a {name}?"));
        check(name, shape, tables);
    }
}

#[test]
fn both_refuse_a_file_without_a_required_field() {
    let validator = validator();
    let mut refused = 0;
    for toml in [DEMO, SHOP, EVERYTHING] {
        let file = json_of(toml);
        for path in paths_of(&file) {
            let Some((table, key)) = path.rsplit_once('/') else { continue };
            let mut without = file.clone();
            let Some(Value::Object(fields)) = without.pointer_mut(table) else { continue };
            fields.remove(key);
            let read = read_json(&without);
            let says_missing =
                |problems: &Problems| problems.iter().any(|problem| problem.message.starts_with("missing"));
            if !validator.is_valid(&without) {
                refused += 1;
                assert!(read.is_err(), "only the schema refuses a file without {path}");
            } else if let Err(problems) = read {
                // What the schema cannot know, such as a service that needs a cluster.
                assert!(!says_missing(&problems), "only the reader requires {path}: {problems}");
            }
        }
    }
    assert!(refused > 40, "only {refused} fields are required");
}

#[test]
fn the_schema_accepts_whatever_the_reader_accepts() {
    let validator = validator();
    let file = json_of(EVERYTHING);
    let values = [
        json!(null),
        json!(true),
        json!(false),
        json!(-1),
        json!(0),
        json!(1),
        json!(7),
        json!(1.5),
        json!(5001),
        json!(1e300),
        json!(""),
        json!("x"),
        json!("a b"),
        json!("90s"),
        json!("1.5 hours"),
        json!("0s"),
        json!("10%"),
        json!("a/b"),
        json!("Sat,Sun 00:00-24:00 Etc/GMT+5"),
        json!("spot"),
        json!("Sum"),
        json!([]),
        json!(["x"]),
        json!({}),
    ];
    let mut accepted = 0;
    for path in paths_of(&file) {
        for value in &values {
            let mut changed = file.clone();
            *changed.pointer_mut(&path).expect("a path of the file") = value.clone();
            if read_json(&changed).is_ok() {
                accepted += 1;
                assert!(validator.is_valid(&changed), "the schema refuses {value} at {path}");
            }
        }
    }
    assert!(accepted > 100, "only {accepted} changes were accepted: the test shows little");
}

#[test]
fn both_have_the_same_bounds_and_know_the_same_fields() {
    let (validator, schema, file) = (validator(), schema(), json_of(EVERYTHING));
    for (name, tables) in TABLES {
        let table = tables[0];
        let properties = schema.as_value()["$defs"][name]["properties"].as_object().expect("the properties");
        for (key, shape) in properties {
            let bounds =
                [("minimum", -1), ("maximum", 1)].map(|(bound, step)| Some(shape.get(bound)?.as_i64()? + step));
            for outside in bounds.into_iter().flatten() {
                let mut changed = file.clone();
                changed.pointer_mut(table).expect(table)[key] = json!(outside);
                assert!(read_json(&changed).is_err(), "the reader accepts {outside} at {table}/{key}");
                assert!(!validator.is_valid(&changed), "the schema accepts {outside} at {table}/{key}");
            }
        }
        let mut changed = file.clone();
        changed.pointer_mut(table).expect(table)["unheard_of"] = json!(1);
        let problems = read_json(&changed).expect_err("an unknown field is refused");
        assert!(problems.to_string().contains("unheard_of: unknown field"), "{problems}");
        assert!(!validator.is_valid(&changed), "the schema accepts an unknown field in {table}");
    }
}
