//! What a function answered to a request by hand.

use evenkeel_model::RollId;
use serde_json::Value;

/// An answer, as people want it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Said {
    /// In sentences.
    pub(crate) says: Vec<String>,
    /// What was asked for is not done, and why.
    pub(crate) refused: Option<String>,
    /// The roll that began.
    pub(crate) roll: Option<RollId>,
}

impl Said {
    /// Takes the answer of a function that did not fail. One of an older version has no sentences, and is shown as it is.
    pub(crate) fn of(body: &Value) -> Self {
        let answers = body["answers"].as_array().cloned().unwrap_or_else(|| vec![body.clone()]);
        let mut said = Self { says: Vec::new(), refused: None, roll: None };
        for answer in &answers {
            match answer["says"].as_array() {
                Some(says) => said.says.extend(says.iter().filter_map(|one| one.as_str().map(str::to_owned))),
                None => said.says.push(serde_json::to_string_pretty(answer).unwrap_or_default()),
            }
            said.refused = said.refused.or_else(|| answer["refused"].as_str().map(str::to_owned));
            let decisions = answer["decisions"].as_array().into_iter().flatten();
            let begun = decisions.filter_map(|one| one["step"]["roll"]["start"]["roll"].as_str()).next();
            said.roll = said.roll.or_else(|| RollId::new(begun?).ok());
        }
        said
    }
}
