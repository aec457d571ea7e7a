//! A fleet file as a tree of values, each with its byte offset: TOML and JSON look the same from here on.

use jsonc_parser::ast;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};
use toml::de::{DeTable, DeValue};

use super::format::Format;
use super::limits;
use super::place::{Path, Step, shorten};

/// A value and where it starts.
pub(super) struct Node {
    pub(super) at: usize,
    pub(super) value: Value,
}

pub(super) enum Value {
    Text(String),
    Whole(i128),
    /// Any other number, also one that is too large for [`Value::Whole`].
    Fraction(f64),
    Flag(bool),
    /// TOML's dates and times. The fleet file has none, so that the text is enough.
    Moment(String),
    Null,
    List(Vec<Node>),
    /// In the order of the file (JSON) or of the keys (TOML); no key comes twice.
    Table(Vec<Entry>),
}

/// A key, where it starts, and its value.
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) at: usize,
    pub(super) node: Node,
}

/// Something wrong with the text itself.
pub(super) struct Fault {
    pub(super) path: Path,
    pub(super) at: usize,
    pub(super) message: String,
}

impl Fault {
    fn new(path: &Path, at: usize, message: impl Into<String>) -> Self {
        Self { path: path.clone(), at, message: message.into() }
    }
}

/// Parses the text. The tree is `None` where the faults are such that what was understood would mislead.
pub(super) fn parse(text: &str, format: Format) -> (Option<Node>, Vec<Fault>) {
    match format {
        Format::Toml => parse_toml(text),
        Format::Json => parse_json(text),
    }
}

/// The value of a key.
pub(super) fn field<'e>(entries: &'e [Entry], key: &str) -> Option<&'e Node> {
    entries.iter().find(|entry| entry.key == key).map(|entry| &entry.node)
}

impl Node {
    /// The offset of the value at `path`, or of the deepest table or list on the way to it.
    pub(super) fn locate(&self, path: &Path) -> usize {
        let mut here = self;
        for step in path.steps() {
            let next = match step {
                Step::Key(key) => here.value.table().and_then(|entries| field(entries, key)),
                Step::Index(index) => here.value.list().and_then(|items| items.get(*index)),
            };
            let Some(next) = next else { break };
            here = next;
        }
        here.at
    }
}

impl Value {
    pub(super) fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    pub(super) fn whole(&self) -> Option<i128> {
        if let Self::Whole(whole) = self { Some(*whole) } else { None }
    }

    /// Any number. One with more digits than a double has is so large that every bound refuses it all the same.
    #[expect(clippy::cast_precision_loss, reason = "see above")]
    pub(super) fn number(&self) -> Option<f64> {
        if let Self::Fraction(fraction) = self { Some(*fraction) } else { self.whole().map(|whole| whole as f64) }
    }

    pub(super) fn flag(&self) -> Option<bool> {
        if let Self::Flag(flag) = self { Some(*flag) } else { None }
    }

    pub(super) fn list(&self) -> Option<&[Node]> {
        if let Self::List(items) = self { Some(items) } else { None }
    }

    pub(super) fn table(&self) -> Option<&[Entry]> {
        if let Self::Table(entries) = self { Some(entries) } else { None }
    }

    /// What it is, in the words of an error message.
    pub(super) fn found(&self) -> String {
        match self {
            Self::Text(text) => format!("the text {:?}", shorten(text)),
            Self::Whole(number) => format!("the number {number}"),
            Self::Fraction(number) => format!("the number {number:?}"),
            Self::Flag(flag) => flag.to_string(),
            Self::Moment(moment) => format!("the date or time {moment}"),
            Self::Null => "null".to_owned(),
            Self::List(_) => "a list".to_owned(),
            Self::Table(_) => "a table".to_owned(),
        }
    }
}

fn number(text: &str, radix: u32) -> Value {
    match i128::from_str_radix(text, radix) {
        Ok(whole) => Value::Whole(whole),
        // Nothing but a huge number is left here; infinity is what every range refuses.
        Err(_) => Value::Fraction(text.parse().unwrap_or(f64::INFINITY)),
    }
}

const DUPLICATE: &str = "duplicate key";

fn parse_toml(text: &str) -> (Option<Node>, Vec<Fault>) {
    let (root, errors) = DeTable::parse_recoverable(text);
    // A doubled key leaves a tree that is right but for that key; after any other error the parser has guessed.
    let trustworthy = errors.iter().all(|error| error.message() == DUPLICATE);
    let mut faults = Vec::new();
    for error in &errors {
        let span = error.span().unwrap_or(0..0);
        let message = match text.get(span.clone()) {
            Some(key) if error.message() == DUPLICATE => format!("the key {:?} is given a second time", shorten(key)),
            _ => format!("this is not TOML: {}", error.message()),
        };
        faults.push(Fault::new(&Path::default(), span.start, message));
    }
    if !trustworthy {
        return (None, faults);
    }
    let value = toml_table(root.into_inner(), &Path::default(), &mut faults);
    (Some(Node { at: 0, value }), faults)
}

fn toml_table(table: DeTable<'_>, path: &Path, faults: &mut Vec<Fault>) -> Value {
    let entries = table.into_iter().map(|(key, value)| {
        let at = key.span().start;
        let key = key.into_inner().into_owned();
        let span = value.span();
        let node = Node { at: span.start, value: toml_value(value.into_inner(), span.start, &path.key(&key), faults) };
        Entry { key, at, node }
    });
    Value::Table(entries.collect())
}

fn toml_value(value: DeValue<'_>, at: usize, path: &Path, faults: &mut Vec<Fault>) -> Value {
    match value {
        DeValue::String(text) => Value::Text(text.into_owned()),
        DeValue::Integer(whole) => number(whole.as_str(), whole.radix()),
        DeValue::Float(fraction) => Value::Fraction(fraction.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(flag) => Value::Flag(flag),
        DeValue::Datetime(moment) => Value::Moment(moment.to_string()),
        DeValue::Array(_) | DeValue::Table(_) if too_deep(path, at, faults) => Value::Null,
        DeValue::Array(items) => {
            let nodes = items.into_iter().enumerate().map(|(index, item)| {
                let at = item.span().start;
                Node { at, value: toml_value(item.into_inner(), at, &path.index(index), faults) }
            });
            Value::List(nodes.collect())
        }
        DeValue::Table(table) => toml_table(table, path, faults),
    }
}

fn too_deep(path: &Path, at: usize, faults: &mut Vec<Fault>) -> bool {
    let deep = path.steps().len() >= limits::DEPTH;
    if deep {
        faults.push(Fault::new(path, at, format!("nested deeper than {} levels", limits::DEPTH)));
    }
    deep
}

/// JSON as RFC 8259 has it: the parser's many liberties are off.
const STRICT: ParseOptions = ParseOptions {
    allow_comments: false,
    allow_loose_object_property_names: false,
    allow_trailing_commas: false,
    allow_missing_commas: false,
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
    allow_bare_decimal_point_numbers: false,
    allow_non_finite_numbers: false,
    allow_extended_string_escapes: false,
};

fn parse_json(text: &str) -> (Option<Node>, Vec<Fault>) {
    let mut faults = Vec::new();
    let root = match parse_to_ast(text, &CollectOptions::default(), &STRICT) {
        Ok(parsed) => parsed.value.map(|value| json_node(value, &Path::default(), &mut faults)),
        Err(error) => {
            let message = format!("this is not JSON: {}", lower_first(&error.kind().to_string()));
            faults.push(Fault::new(&Path::default(), error.range().start, message));
            None
        }
    };
    (root, faults)
}

fn json_node(value: ast::Value<'_>, path: &Path, faults: &mut Vec<Fault>) -> Node {
    match value {
        ast::Value::StringLit(text) => Node { at: text.range.start, value: Value::Text(text.value.into_owned()) },
        ast::Value::NumberLit(written) => {
            let is_whole = written.value.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
            let fraction = || Value::Fraction(written.value.parse().unwrap_or(f64::NAN));
            let value = if is_whole { number(written.value, 10) } else { fraction() };
            Node { at: written.range.start, value }
        }
        ast::Value::BooleanLit(flag) => Node { at: flag.range.start, value: Value::Flag(flag.value) },
        ast::Value::NullKeyword(null) => Node { at: null.range.start, value: Value::Null },
        ast::Value::Object(object) => {
            let at = object.range.start;
            Node { at, value: json_table(object, at, path, faults) }
        }
        ast::Value::Array(array) => {
            let at = array.range.start;
            if too_deep(path, at, faults) {
                return Node { at, value: Value::Null };
            }
            let items = array.elements.into_iter().enumerate();
            let nodes = items.map(|(index, item)| json_node(item, &path.index(index), faults)).collect();
            Node { at, value: Value::List(nodes) }
        }
    }
}

fn json_table(object: ast::Object<'_>, at: usize, path: &Path, faults: &mut Vec<Fault>) -> Value {
    if too_deep(path, at, faults) {
        return Value::Null;
    }
    let mut seen = std::collections::BTreeSet::new();
    let mut entries = Vec::new();
    for property in object.properties {
        let at = property.range.start;
        let key = property.name.into_string();
        if seen.insert(key.clone()) {
            let node = json_node(property.value, &path.key(&key), faults);
            entries.push(Entry { key, at, node });
        } else {
            let message = format!("the key {:?} is given a second time", shorten(&key));
            faults.push(Fault::new(path, at, message));
        }
    }
    Value::Table(entries)
}

fn lower_first(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map(|first| first.to_lowercase().chain(characters).collect()).unwrap_or_default()
}
