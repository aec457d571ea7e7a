//! A JSON object whose values are only looked at when they are asked for.
//!
//! Derived structs would be shorter to declare but refuse a whole event over one odd field that nobody needs. Here a
//! field costs nothing until it is read, absent, `null`, `""` and ECS's `"null"` are the same, and every refusal names
//! its field.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use evenkeel_model::fleet::nearest;
use evenkeel_model::ids::InvalidId;
use jiff::Timestamp;
use serde::de::value::StrDeserializer;
use serde::de::{Deserialize, DeserializeOwned, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::malformed::{Malformed, Reason};
use crate::time;

/// AWS's free text is kept for people to read, in decisions and logs: more than this is not read.
const MAX_NOTE_CHARS: usize = 500;

/// A JSON object, its values unread, in its own order.
pub(crate) struct Object<'a> {
    fields: Vec<(Cow<'a, str>, &'a RawValue)>,
}

impl<'a> Object<'a> {
    pub(crate) fn parse(json: &'a str) -> Result<Self, Malformed> {
        serde_json::from_str(json).map_err(|problem| Malformed::here(Reason::not_json(&problem)))
    }

    /// The names of its fields, in order, also those of `null`s.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|(name, _)| name.as_ref())
    }

    /// The fields with their unread values.
    pub(crate) fn fields(&self) -> impl Iterator<Item = (&str, &'a str)> {
        self.fields.iter().map(|(name, value)| (name.as_ref(), value.get()))
    }

    /// A field's JSON, unless it is absent or `null`.
    pub(crate) fn raw(&self, name: &str) -> Option<&'a str> {
        let (_, value) = self.fields.iter().find(|(field, _)| field == name)?;
        Some(value.get()).filter(|json| *json != "null")
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.raw(name).is_some()
    }

    /// Text that has to be text when it is there.
    pub(crate) fn text(&self, name: &str) -> Result<Option<Cow<'a, str>>, Malformed> {
        let Some(json) = self.raw(name) else { return Ok(None) };
        if !json.starts_with('"') {
            return Err(Malformed::at(name, Reason::NotA { expected: "text" }));
        }
        let Text(text) = serde_json::from_str(json).map_err(|e| Malformed::at(name, Reason::not_json(&e)))?;
        Ok(Some(text).filter(|text| !text.is_empty() && text != "null"))
    }

    pub(crate) fn required_text(&self, name: &str) -> Result<Cow<'a, str>, Malformed> {
        self.text(name)?.ok_or_else(|| Malformed::at(name, Reason::Missing))
    }

    /// Text for people: never a reason to refuse an event.
    pub(crate) fn note(&self, name: &str) -> Option<String> {
        let text = self.text(name).ok()??;
        Some(text.chars().take(MAX_NOTE_CHARS).collect())
    }

    /// A time in any of AWS's formats; unknown when it is empty, a placeholder, or anything else.
    pub(crate) fn time(&self, name: &str) -> Option<Timestamp> {
        time::lenient(&self.text(name).ok()??)
    }

    pub(crate) fn id<T: FromStr<Err = InvalidId>>(&self, name: &str) -> Result<T, Malformed> {
        self.maybe_id(name)?.ok_or_else(|| Malformed::at(name, Reason::Missing))
    }

    /// An id that may be absent, but is valid when it is there.
    pub(crate) fn maybe_id<T: FromStr<Err = InvalidId>>(&self, name: &str) -> Result<Option<T>, Malformed> {
        self.text(name)?.map(|text| text.parse()).transpose().map_err(|problem: InvalidId| Malformed::at(name, problem))
    }

    /// A word of an enum, as its `serde` names say.
    pub(crate) fn word<T: DeserializeOwned>(&self, name: &str) -> Result<T, Malformed> {
        word(&self.required_text(name)?).map_err(|reason| Malformed::at(name, reason))
    }

    /// A word that is not worth refusing an event for.
    pub(crate) fn maybe_word<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        word(&self.text(name).ok()??).ok()
    }

    /// `true`, `false`, or one of them as text; anything else is unknown.
    pub(crate) fn flag(&self, name: &str) -> Option<bool> {
        self.raw(name)?.trim_matches('"').to_ascii_lowercase().parse().ok()
    }

    /// A whole number, also as text; anything else is unknown.
    pub(crate) fn count(&self, name: &str) -> Option<u64> {
        self.raw(name)?.trim_matches('"').parse().ok()
    }

    /// The JSON of a field that is an object, also where a sender put that JSON into a string: EventBridge Scheduler's
    /// `"detail": "{}"`.
    pub(crate) fn json(&self, name: &str) -> Result<Cow<'a, str>, Malformed> {
        match self.raw(name) {
            Some(json) if json.starts_with('"') => self.required_text(name),
            Some(json) => Ok(json.into()),
            None => Err(Malformed::at(name, Reason::Missing)),
        }
    }

    /// The unread values of a field that is a list.
    pub(crate) fn list(&self, name: &str) -> Result<Vec<&'a str>, Malformed> {
        let Some(json) = self.raw(name) else { return Ok(Vec::new()) };
        if !json.starts_with('[') {
            return Err(Malformed::at(name, Reason::NotA { expected: "a list" }));
        }
        let values: Vec<&RawValue> =
            serde_json::from_str(json).map_err(|e| Malformed::at(name, Reason::not_json(&e)))?;
        Ok(values.into_iter().map(RawValue::get).collect())
    }

    /// The texts of a list, without whatever else is in it.
    pub(crate) fn texts(&self, name: &str) -> Vec<Cow<'a, str>> {
        let values = self.list(name).unwrap_or_default();
        values.into_iter().filter_map(|json| serde_json::from_str(json).ok()).map(|Text(text)| text).collect()
    }
}

/// Reads a word by its `serde` name.
pub(crate) fn word<T: DeserializeOwned>(text: &str) -> Result<T, Reason> {
    let shown: String = text.chars().take(80).collect();
    T::deserialize(StrDeserializer::<NotKnown>::new(&shown)).map_err(|NotKnown(problem)| Reason::NotAWord { problem })
}

/// Why a text is not one of the words that are known.
#[derive(Debug)]
struct NotKnown(String);

impl fmt::Display for NotKnown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotKnown {}

impl serde::de::Error for NotKnown {
    fn custom<T: fmt::Display>(problem: T) -> Self {
        Self(problem.to_string().chars().take(MAX_NOTE_CHARS).collect())
    }

    fn unknown_variant(word: &str, known: &'static [&'static str]) -> Self {
        let meant =
            nearest(word, known.iter().copied()).map(|meant| format!("did you mean {meant}? ")).unwrap_or_default();
        Self(format!("{word:?} is not known here; {meant}known are {}", known.join(", ")))
    }
}

/// Text that is borrowed from the payload where it holds no escapes. `Option<Cow<str>>` alone would always copy.
#[derive(serde::Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Fields)
    }
}

struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = Object<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
        let mut fields = Vec::new();
        while let Some((Text(name), value)) = map.next_entry()? {
            fields.push((name, value));
        }
        Ok(Object { fields })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_has_four_spellings() {
        let object = Object::parse(r#"{"a":null,"b":"","c":"null","n":7}"#).unwrap();
        for name in ["a", "b", "c", "d"] {
            assert_eq!(object.text(name), Ok(None), "{name}");
        }
        assert_eq!(object.text("n"), Err(Malformed::at("n", Reason::NotA { expected: "text" })));
    }

    #[test]
    fn flags_and_counts_may_come_as_text() {
        let object = Object::parse(r#"{"t":true,"s":"False","n":7,"m":"8","x":"null","y":[1]}"#).unwrap();
        assert_eq!(["t", "s", "x", "y"].map(|name| object.flag(name)), [Some(true), Some(false), None, None]);
        assert_eq!(["n", "m", "x", "y"].map(|name| object.count(name)), [Some(7), Some(8), None, None]);
    }

    #[test]
    fn escapes_are_undone() {
        let object = Object::parse(r#"{"\u0061":"one\ntwo"}"#).unwrap();
        assert_eq!(object.text("a"), Ok(Some("one\ntwo".into())));
    }

    #[test]
    fn depth_costs_no_stack() {
        // An unread value is skipped without recursion, however deep it is.
        let json = format!(r#"{{"a":{}1{}}}"#, "[".repeat(500_000), "]".repeat(500_000));
        assert!(Object::parse(&json).unwrap().has("a"));
    }
}
