//! What a misspelt word was probably meant to be.

use super::limits;

/// The candidate that `word` is probably a misspelling of.
#[must_use]
pub fn nearest<'c>(word: &str, candidates: impl Iterator<Item = &'c str>) -> Option<&'c str> {
    // The distance costs the product of the lengths, and nobody misspells a name into something so much longer.
    if word.len() > limits::SHOWN {
        return None;
    }
    let allowed = (word.chars().count() / 3).max(1);
    let distance = |candidate| strsim::damerau_levenshtein(word, candidate);
    let near =
        candidates.map(|candidate| (distance(candidate), candidate)).filter(|(distance, _)| *distance <= allowed);
    near.min().map(|(_, candidate)| candidate)
}
