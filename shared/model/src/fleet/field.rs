//! Reading one field after another from a table, and noting every problem on the way.
//!
//! A [`Kind`] says what one value may be. A [`Table`] hands out its fields, and whatever nobody asked for is unknown.
//! `None` always means that the problem has been noted already.

use std::cell::RefCell;
use std::fmt;

use super::nearest::nearest;
use super::place::{Path, shorten};
use super::tree::{self, Entry, Fault, Node, Value};

/// The problems noted so far.
pub(super) struct Notes<'n> {
    root: &'n Node,
    faults: RefCell<Vec<Fault>>,
}

impl<'n> Notes<'n> {
    pub(super) fn new(root: &'n Node, faults: Vec<Fault>) -> Self {
        Self { root, faults: RefCell::new(faults) }
    }

    /// Notes a problem of the value at `path`; where there is none, the place is the table that should have it.
    pub(super) fn add(&self, path: Path, message: impl Into<String>) {
        self.add_at(self.root.locate(&path), path, message);
    }

    fn add_at(&self, at: usize, path: Path, message: impl Into<String>) {
        self.faults.borrow_mut().push(Fault { path, at, message: message.into() });
    }

    pub(super) fn into_faults(self) -> Vec<Fault> {
        self.faults.into_inner()
    }
}

/// An optional part of the file.
#[derive(Debug)]
pub(super) enum Part<T> {
    /// Left out.
    Absent,
    /// Given, with a problem that has been noted.
    Unreadable,
    /// Given and read.
    Read(T),
}

impl<T> Part<T> {
    pub(super) fn read(&self) -> Option<&T> {
        match self {
            Self::Read(value) => Some(value),
            Self::Absent | Self::Unreadable => None,
        }
    }

    pub(super) fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    /// The field of the finished type, unless there was a problem.
    pub(super) fn field(self) -> Option<Option<T>> {
        match self {
            Self::Absent => Some(None),
            Self::Unreadable => None,
            Self::Read(value) => Some(Some(value)),
        }
    }
}

impl<T> From<Option<T>> for Part<T> {
    /// What was given and read, or given and not read.
    fn from(given: Option<T>) -> Self {
        given.map_or(Self::Unreadable, Self::Read)
    }
}

/// Why a [`Kind`] refused a value.
pub(super) enum Refused {
    /// It is not what was expected.
    Other,
    /// It nearly is, and this is the whole message.
    Because(String),
}

type Take<T> = dyn Fn(&Value) -> Result<T, Refused>;

/// What one value may be: the words for it, and how it is taken.
pub(super) struct Kind<T> {
    expected: String,
    take: Box<Take<T>>,
}

impl<T: 'static> Kind<T> {
    fn new(expected: String, take: impl Fn(&Value) -> Result<T, Refused> + 'static) -> Self {
        Self { expected, take: Box::new(take) }
    }

    /// A kind for which "expected this, found that" says all.
    pub(super) fn of(expected: impl Into<String>, take: impl Fn(&Value) -> Option<T> + 'static) -> Self {
        Self::new(expected.into(), move |value| take(value).ok_or(Refused::Other))
    }

    /// A text that is parsed.
    pub(super) fn of_text(expected: impl Into<String>, parse: impl Fn(&str) -> Result<T, Refused> + 'static) -> Self {
        Self::new(expected.into(), move |value| value.text().ok_or(Refused::Other).and_then(&parse))
    }

    /// A further condition: the message, if a value does not meet it.
    pub(super) fn unless(self, wrong: impl Fn(&T) -> Option<String> + 'static) -> Self {
        let Self { expected, take } = self;
        Self::new(expected, move |value| {
            let taken = take(value)?;
            wrong(&taken).map_or(Ok(taken), |message| Err(Refused::Because(message)))
        })
    }
}

impl<T> Kind<T> {
    fn read(&self, node: &Node, path: Path, notes: &Notes<'_>) -> Option<T> {
        match (self.take)(&node.value) {
            Ok(value) => Some(value),
            Err(refused) => {
                let message = match refused {
                    Refused::Other => mismatch(&self.expected, &node.value),
                    Refused::Because(message) => message,
                };
                notes.add_at(node.at, path, message);
                None
            }
        }
    }
}

fn mismatch(expected: &str, value: &Value) -> String {
    format!("expected {expected}, found {}", value.found())
}

/// A table of the file, while it is being read.
pub(super) struct Table<'a> {
    entries: &'a [Entry],
    path: Path,
    notes: &'a Notes<'a>,
    known: Vec<&'static str>,
}

impl<'a> Table<'a> {
    /// The top of the file.
    pub(super) fn top<T>(notes: &'a Notes<'a>, build: impl FnOnce(&mut Self) -> T) -> Option<T> {
        Self::open(notes.root, Path::default(), notes, build)
    }

    fn open<T>(node: &'a Node, path: Path, notes: &'a Notes<'a>, build: impl FnOnce(&mut Self) -> T) -> Option<T> {
        let Some(entries) = node.value.table() else {
            notes.add_at(node.at, path, mismatch("a table", &node.value));
            return None;
        };
        let mut table = Self { entries, path, notes, known: Vec::new() };
        let built = build(&mut table);
        table.report_unknown_fields();
        Some(built)
    }

    pub(super) fn has(&self, key: &str) -> bool {
        tree::field(self.entries, key).is_some()
    }

    /// Notes a problem of one of the table's fields.
    pub(super) fn note(&self, key: &str, message: impl Into<String>) {
        self.notes.add(self.path.key(key), message);
    }

    /// Notes a problem of the table itself, after which nobody can say which fields it should have.
    pub(super) fn give_up(&mut self, message: impl Into<String>) {
        self.notes.add(self.path.clone(), message);
        self.entries = &[];
    }

    pub(super) fn required<T>(&mut self, key: &'static str, kind: &Kind<T>) -> Option<T> {
        let Some(node) = self.find(key) else {
            self.note(key, format!("missing: expected {}", kind.expected));
            return None;
        };
        kind.read(node, self.path.key(key), self.notes)
    }

    pub(super) fn optional<T>(&mut self, key: &'static str, kind: &Kind<T>) -> Part<T> {
        match self.find(key) {
            None => Part::Absent,
            Some(node) => kind.read(node, self.path.key(key), self.notes).into(),
        }
    }

    pub(super) fn or<T>(&mut self, key: &'static str, default: T, kind: &Kind<T>) -> Option<T> {
        self.optional(key, kind).field().map(|given| given.unwrap_or(default))
    }

    /// A list of single values; empty where it is left out.
    pub(super) fn several<T>(&mut self, key: &'static str, most: usize, kind: &Kind<T>) -> Option<Vec<T>> {
        let items = self.items(key, 0, most, &format!("a list, each item {}", kind.expected))?;
        let path = self.path.key(key);
        let read = items.iter().enumerate().map(|(index, item)| kind.read(item, path.index(index), self.notes));
        // First all of them, so that every problem is noted.
        read.collect::<Vec<_>>().into_iter().collect()
    }

    /// Like [`Table::several`], and a value that comes twice is a problem.
    pub(super) fn distinct<T>(&mut self, key: &'static str, most: usize, kind: &Kind<T>) -> Option<Vec<T>>
    where
        T: PartialEq + fmt::Display,
    {
        let values = self.several(key, most, kind)?;
        for (index, value) in values.iter().enumerate() {
            if values[..index].contains(value) {
                let message = format!("{:?} is in the list already", shorten(&value.to_string()));
                self.notes.add(self.path.key(key).index(index), message);
            }
        }
        Some(values)
    }

    pub(super) fn required_table<T>(&mut self, key: &'static str, build: impl FnOnce(&mut Self) -> T) -> Option<T> {
        let Some(node) = self.find(key) else {
            self.note(key, format!("missing: expected a table [{key}]"));
            return None;
        };
        Self::open(node, self.path.key(key), self.notes, build)
    }

    pub(super) fn optional_table<T>(
        &mut self,
        key: &'static str,
        build: impl FnOnce(&mut Self) -> Option<T>,
    ) -> Part<T> {
        match self.find(key) {
            None => Part::Absent,
            Some(node) => Self::open(node, self.path.key(key), self.notes, build).flatten().into(),
        }
    }

    /// A list of tables (`[[key]]`). An item that is no table is noted and left as `None`, so that indices stay right.
    pub(super) fn tables<T>(
        &mut self,
        key: &'static str,
        least: usize,
        most: usize,
        build: impl Fn(&mut Self) -> T,
    ) -> Option<Vec<Option<T>>> {
        let items = self.items(key, least, most, &format!("a list of tables, each under [[{key}]]"))?;
        let indexed = items.iter().enumerate();
        Some(
            indexed
                .map(|(index, item)| Self::open(item, self.path.key(key).index(index), self.notes, &build))
                .collect(),
        )
    }

    /// A table of texts with keys of the owner's choice.
    pub(super) fn entries_of(&mut self, key: &'static str, expected: &str) -> Option<(Path, &'a [Entry])> {
        let Some(node) = self.find(key) else { return Some((self.path.key(key), &[])) };
        let entries = node.value.table();
        if entries.is_none() {
            self.note(key, mismatch(expected, &node.value));
        }
        Some((self.path.key(key), entries?))
    }

    /// Reads a value that was found by [`Table::entries_of`].
    pub(super) fn read_entry<T>(&self, entry: &Entry, within: &Path, kind: &Kind<T>) -> Option<T> {
        kind.read(&entry.node, within.key(&entry.key), self.notes)
    }

    fn items(&mut self, key: &'static str, least: usize, most: usize, expected: &str) -> Option<&'a [Node]> {
        let Some(node) = self.find(key) else {
            if least == 0 {
                return Some(&[]);
            }
            self.note(key, format!("missing: expected {expected}"));
            return None;
        };
        let Some(items) = node.value.list() else {
            self.note(key, mismatch(expected, &node.value));
            return None;
        };
        if items.len() < least {
            self.note(key, format!("expected at least {least}, found {}", items.len()));
        }
        if items.len() > most {
            self.note(key, format!("expected at most {most}, found {}", items.len()));
        }
        Some(&items[..items.len().min(most)])
    }

    fn find(&mut self, key: &'static str) -> Option<&'a Node> {
        self.known.push(key);
        tree::field(self.entries, key)
    }

    fn report_unknown_fields(&self) {
        // Keys that TOML gives to the last table when they come too late in the file.
        const TOP_KEYS: [&str; 5] = ["name", "cluster", "beat", "api_share", "mode"];
        for Entry { key, at, .. } in self.entries {
            if self.known.contains(&key.as_str()) {
                continue;
            }
            let message = if !self.path.is_root() && TOP_KEYS.contains(&key.as_str()) {
                "unknown field here: it belongs at the top of the file, above the first table".to_owned()
            } else if let Some(near) = nearest(key, self.known.iter().copied()) {
                format!("unknown field: did you mean {near:?}?")
            } else {
                format!("unknown field: expected one of {}", self.known.join(", "))
            };
            self.notes.add_at(*at, self.path.key(key), message);
        }
    }
}
