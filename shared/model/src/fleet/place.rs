//! Where in a file something is: by path (`service[1].demand`) and by line and column.

use std::fmt;

/// The way from the top of the file to a value.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Path(Vec<Step>);

/// One step of a [`Path`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    Key(String),
    Index(usize),
}

impl Path {
    pub(super) fn key(&self, key: &str) -> Self {
        self.with(Step::Key(key.to_owned()))
    }

    pub(super) fn index(&self, index: usize) -> Self {
        self.with(Step::Index(index))
    }

    fn with(&self, step: Step) -> Self {
        Self(self.0.iter().cloned().chain([step]).collect())
    }

    pub(super) fn steps(&self) -> &[Step] {
        &self.0
    }

    pub(super) fn is_root(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (depth, step) in self.0.iter().enumerate() {
            match step {
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Key(key) => {
                    if depth > 0 {
                        f.write_str(".")?;
                    }
                    // A bare key as TOML has it is shown as it is; anything else in quotes, so that a dot or a control
                    // character in a key cannot be mistaken for part of the path.
                    if !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-') {
                        f.write_str(&shorten(key))?;
                    } else {
                        write!(f, "{:?}", shorten(key))?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// At most [`SHOWN`](super::limits::SHOWN) characters of a text, with `…` where something was left out.
pub(super) fn shorten(text: &str) -> String {
    match text.char_indices().nth(super::limits::SHOWN) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text.to_owned(),
    }
}

/// The starts of a text's lines, to tell line and column from a byte offset.
pub(super) struct Lines<'t> {
    text: &'t [u8],
    starts: Vec<usize>,
}

impl<'t> Lines<'t> {
    pub(super) fn new(text: &'t [u8]) -> Self {
        let after_breaks = text.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
        // The break at the very end starts no line: every position is on a line that an editor shows.
        let starts = std::iter::once(0).chain(after_breaks.filter(|start| *start < text.len())).collect();
        Self { text, starts }
    }

    /// Line and column of a byte offset, both from 1; the column counts characters.
    pub(super) fn position(&self, at: usize) -> (usize, usize) {
        let at = at.min(self.text.len());
        let line = self.starts.partition_point(|start| *start <= at).max(1);
        let before = &self.text[self.starts[line - 1]..at];
        let is_character_start = |byte: &&u8| **byte & 0b1100_0000 != 0b1000_0000;
        (line, before.iter().filter(is_character_start).count() + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_reads_as_it_is_written() {
        let path = Path::default().key("service").index(1).key("demand").key("a.b");
        assert_eq!(path.to_string(), "service[1].demand.\"a.b\"");
    }

    #[test]
    fn positions_count_lines_and_characters_from_one() {
        let lines = Lines::new("ab\nü=1\n".as_bytes());
        let positions = [0, 1, 3, 5, 6, 7, 99].map(|at| lines.position(at));
        assert_eq!(positions, [(1, 1), (1, 2), (2, 1), (2, 2), (2, 3), (2, 4), (2, 5)]);
        assert_eq!(Lines::new(b"").position(0), (1, 1));
    }
}
