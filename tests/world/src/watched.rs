//! A value that counts how often it may have been changed, so that what follows from it is computed anew only then.

use std::ops::{Deref, DerefMut};

/// Reading is free; every borrow that could change the value counts as a change.
#[derive(Debug, Default)]
pub(crate) struct Watched<T> {
    value: T,
    changes: u64,
}

impl<T> Watched<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self { value, changes: 0 }
    }

    /// How often the value may have been changed: equal numbers mean an equal value.
    pub(crate) const fn changes(&self) -> u64 {
        self.changes
    }
}

impl<T> Deref for Watched<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for Watched<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.changes += 1;
        &mut self.value
    }
}
