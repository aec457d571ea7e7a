//! The bodies of items: JSON, with the item's name in every error.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::TurnError;
use crate::ledger::{Item, Key};

pub(crate) fn parse<T: DeserializeOwned>(key: &Key, item: Option<&Item>) -> Result<Option<T>, TurnError> {
    item.map(|item| serde_json::from_str(&item.body))
        .transpose()
        .map_err(|source| TurnError::Stored { key: key.sort.clone(), source })
}

pub(crate) fn to_json<T: Serialize>(key: &Key, value: &T) -> Result<String, TurnError> {
    serde_json::to_string(value).map_err(|source| TurnError::Stored { key: key.sort.clone(), source })
}
