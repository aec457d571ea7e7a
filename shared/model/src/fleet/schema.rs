//! The JSON schema of the fleet file, for editors.

use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Value, json};

use super::Fleet;

/// The JSON schema (draft 2020-12) of a fleet file, made from the types. It is kept in `infra/fleet.schema.json`.
///
/// It accepts everything that [`read`](super::read()) accepts. The reverse does not hold: limits of durations and
/// contradictions between fields are for the reader only.
#[must_use]
pub fn schema() -> Schema {
    let settings = SchemaSettings::draft2020_12().with_transform(RecursiveTransform(refuse_null));
    let mut schema = SchemaGenerator::new(settings).into_root_schema_for::<Fleet>();
    schema.insert("title".to_owned(), json!("Even Keel fleet file"));
    schema
}

/// The types call an optional field nullable; in a fleet file what is not given is left out.
fn refuse_null(schema: &mut Schema) {
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = &types[..] {
            let only = only.clone();
            schema.insert("type".to_owned(), only);
        }
    }
    let null = json!({ "type": "null" });
    if let Some(Value::Array(shapes)) = schema.get_mut("anyOf") {
        shapes.retain(|shape| *shape != null);
        if let [Value::Object(only)] = &shapes[..] {
            let only = only.clone();
            schema.remove("anyOf");
            for (key, value) in only {
                schema.insert(key, value);
            }
        }
    }
}
