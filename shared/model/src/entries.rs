//! Entries of which a later version may have written some in words that this one does not know.
//!
//! A function may run in an older version than the one that wrote an item: while a deployment is under way, and after it
//! was taken back. What it does not understand is kept beside the rest, as it is, and acted on never.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};

use serde::de::DeserializeOwned;
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// A map that is stored. It is used as the map of the entries that are understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entries<K, V> {
    known: BTreeMap<K, V>,
    later: BTreeMap<String, Value>,
}

impl<K, V> Entries<K, V> {
    /// Entries of later versions, by their keys. They are stored again as they are, whatever is put under their key.
    #[must_use]
    pub const fn later(&self) -> &BTreeMap<String, Value> {
        &self.later
    }

    /// Forgets those entries of later versions that `keep` does not name.
    pub fn retain_later(&mut self, mut keep: impl FnMut(&str, &Value) -> bool) {
        self.later.retain(|key, value| keep(key, value));
    }

    /// Takes over the entries of later versions that `others` has and this has not.
    pub fn merge_later(&mut self, others: &Self) {
        for (key, value) in &others.later {
            self.later.entry(key.clone()).or_insert_with(|| value.clone());
        }
    }

    /// Whether there is nothing, of this version or a later one.
    #[must_use]
    pub fn has_none(&self) -> bool {
        self.known.is_empty() && self.later.is_empty()
    }
}

impl<K, V> Default for Entries<K, V> {
    fn default() -> Self {
        Self { known: BTreeMap::new(), later: BTreeMap::new() }
    }
}

impl<K, V> Deref for Entries<K, V> {
    type Target = BTreeMap<K, V>;

    fn deref(&self) -> &Self::Target {
        &self.known
    }
}

impl<K, V> DerefMut for Entries<K, V> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.known
    }
}

impl<'a, K, V> IntoIterator for &'a Entries<K, V> {
    type Item = (&'a K, &'a V);
    type IntoIter = std::collections::btree_map::Iter<'a, K, V>;

    fn into_iter(self) -> Self::IntoIter {
        self.known.iter()
    }
}

impl<'a, K, V> IntoIterator for &'a mut Entries<K, V> {
    type Item = (&'a K, &'a mut V);
    type IntoIter = std::collections::btree_map::IterMut<'a, K, V>;

    fn into_iter(self) -> Self::IntoIter {
        self.known.iter_mut()
    }
}

impl<K: Ord, V> FromIterator<(K, V)> for Entries<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        Self { known: entries.into_iter().collect(), later: BTreeMap::new() }
    }
}

impl<K: Serialize, V: Serialize> Serialize for Entries<K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (key, value) in &self.known {
            // What a later version wrote under the same key stays.
            let taken = !self.later.is_empty()
                && serde_json::to_value(key)
                    .is_ok_and(|key| key.as_str().is_some_and(|key| self.later.contains_key(key)));
            if !taken {
                map.serialize_entry(key, value)?;
            }
        }
        for (key, value) in &self.later {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl<'de, K: DeserializeOwned + Ord, V: DeserializeOwned> Deserialize<'de> for Entries<K, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut entries = Self::default();
        for (key, value) in BTreeMap::<String, Value>::deserialize(deserializer)? {
            match (K::deserialize(Value::String(key.clone())), V::deserialize(&value)) {
                (Ok(key), Ok(value)) => {
                    entries.known.insert(key, value);
                }
                (Ok(_) | Err(_), Ok(_) | Err(_)) => {
                    entries.later.insert(key, value);
                }
            }
        }
        Ok(entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::FunctionName;

    #[test]
    fn entries_of_a_later_version_are_kept_as_they_are_and_are_none_of_ours() {
        let stored = r#"{"backfill":1,"microscale":"many","weatherman":{"rain":[2.5,null]}}"#;
        let mut entries: Entries<FunctionName, u32> = serde_json::from_str(stored).unwrap();
        assert_eq!(entries.len(), 1);
        assert_eq!(entries.later().len(), 2);
        assert_eq!(serde_json::to_string(&entries).unwrap(), stored);
        // What this version notes under the same key does not take their place.
        entries.insert(FunctionName::Microscale, 7);
        entries.remove(&FunctionName::Backfill);
        assert_eq!(
            serde_json::to_string(&entries).unwrap(),
            r#"{"microscale":"many","weatherman":{"rain":[2.5,null]}}"#
        );
        assert!(!entries.has_none());
    }
}
