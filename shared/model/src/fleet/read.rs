//! From the bytes of a fleet file to a [`Fleet`], or to everything that is wrong with them.

use std::fmt;

use super::field::{Notes, Table};
use super::format::Format;
use super::parts::Draft;
use super::place::{Lines, Path};
use super::tree::{self, Fault};
use super::{Fleet, check, limits};

/// One thing that is wrong with a fleet file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where, as `service[1].demand.per_task` (counted from 0); empty for the file as a whole.
    pub path: String,
    /// The line, from 1.
    pub line: usize,
    /// The character in the line, from 1.
    pub column: usize,
    /// What is wrong, and what was expected.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, line, column: _, message } = self;
        write!(f, "line {line}: ")?;
        if !path.is_empty() {
            write!(f, "{path}: ")?;
        }
        f.write_str(message)
    }
}

/// Everything that is wrong with a fleet file, by line. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems {
    first: Vec<Problem>,
    left_out: usize,
}

impl Problems {
    fn new(faults: Vec<Fault>, bytes: &[u8]) -> Self {
        let lines = Lines::new(bytes);
        let problem = |Fault { path, at, message }: Fault| {
            let (line, column) = lines.position(at);
            (line, column, path, message)
        };
        let mut sorted = faults.into_iter().map(problem).collect::<Vec<_>>();
        sorted.sort();
        let left_out = sorted.len().saturating_sub(limits::PROBLEMS);
        sorted.truncate(limits::PROBLEMS);
        let named = sorted.into_iter().map(|(line, column, path, message)| {
            let path = path.to_string();
            Problem { path, line, column, message }
        });
        Self { first: named.collect(), left_out }
    }

    fn one(at: usize, message: String, bytes: &[u8]) -> Self {
        Self::new(vec![Fault { path: Path::default(), at, message }], bytes)
    }

    /// The problems, by line: at most 200.
    #[must_use]
    pub fn as_slice(&self) -> &[Problem] {
        &self.first
    }

    /// The problems, by line: at most 200.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.first.iter()
    }

    /// How many more there are than [`Problems::iter`] gives.
    #[must_use]
    pub fn left_out(&self) -> usize {
        self.left_out
    }
}

impl<'p> IntoIterator for &'p Problems {
    type Item = &'p Problem;
    type IntoIter = std::slice::Iter<'p, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Problems {
    /// One problem a line, without a line break at the end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { first, left_out } = self;
        for (index, problem) in first.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        if *left_out > 0 {
            write!(f, "\nand {left_out} more problems")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// Reads a fleet file.
///
/// # Errors
/// Everything that is wrong with it, at once. Any bytes at all give an answer.
pub fn read(file: impl AsRef<[u8]>, format: Format) -> Result<Fleet, Problems> {
    let bytes = file.as_ref();
    let one = |at, message| Err(Problems::one(at, message, bytes));
    if bytes.len() > limits::BYTES {
        return one(0, format!("the file has {} bytes: expected at most {}", bytes.len(), limits::BYTES));
    }
    let text = match str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let at = error.valid_up_to();
            return one(at, format!("expected UTF-8 text, found the byte 0x{:02x} at offset {at}", bytes[at]));
        }
    };
    if text.trim().is_empty() {
        return one(0, "the file is empty: expected at least name, [hosts] and one [[pool]]".to_owned());
    }

    let (root, faults) = tree::parse(text, format);
    let Some(root) = root else { return Err(Problems::new(faults, bytes)) };
    let notes = Notes::new(&root, faults);
    let draft = Table::top(&notes, Draft::read);
    if let Some(draft) = &draft {
        check::contradictions(draft, &notes);
    }
    let faults = notes.into_faults();
    match draft.and_then(Draft::fleet) {
        Some(fleet) if faults.is_empty() => Ok(fleet),
        Some(_) | None => Err(Problems::new(faults, bytes)),
    }
}

impl Fleet {
    /// The fleet file as TOML, defaults included. [`read()`] gives the same fleet back.
    ///
    /// # Errors
    /// Those of the serializer; a fleet that was read has none.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string_pretty(self)
    }

    /// The fleet file as JSON, defaults included. [`read()`] gives the same fleet back.
    ///
    /// # Errors
    /// Those of the serializer; a fleet that was read has none.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string_pretty(self)
    }
}
