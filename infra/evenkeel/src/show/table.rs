//! Columns that stand in line, whatever is coloured.

use std::fmt;

use anstyle::{AnsiColor, Style};

/// What a title looks like.
pub(crate) const TITLE: Style = Style::new().bold();
/// What is beside the point.
pub(crate) const FAINT: Style = Style::new().dimmed();
/// What is as it should be.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
/// What may want a look.
pub(crate) const ODD: Style = AnsiColor::Yellow.on_default();
/// What wants a look.
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();

/// A text in a style.
pub(crate) fn paint(style: Style, text: impl fmt::Display) -> String {
    format!("{style}{text}{style:#}")
}

/// A text with its style.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    pub(crate) fn of(style: Style, text: impl fmt::Display) -> Self {
        Self { text: text.to_string(), style }
    }

    /// A number that is faint where it is nothing, and in `style` where it is something.
    pub(crate) fn count(number: u32, style: Style) -> Self {
        Self::of(if number == 0 { FAINT } else { style }, number)
    }
}

impl<T: fmt::Display> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::of(Style::new(), text)
    }
}

/// Rows of cells; the first row is the heading. The first column is in line to the left, and so is the last where it is of
/// words; all others are numbers, to the right.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    rows: Vec<Vec<Cell>>,
    words_last: bool,
}

impl Table {
    pub(crate) fn new(heading: &[&str], words_last: bool) -> Self {
        Self { rows: vec![heading.iter().map(|text| Cell::of(FAINT, text)).collect()], words_last }
    }

    pub(crate) fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.text.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in &self.rows {
            let mut line = String::new();
            let filled = row.iter().rposition(|cell| !cell.text.is_empty()).map_or(0, |last| last + 1);
            for (column, Cell { text, style }) in row.iter().take(filled).enumerate() {
                let last = column + 1 == filled;
                let left = column == 0 || (column + 1 == columns && self.words_last);
                let space = " ".repeat(widths[column] - text.chars().count());
                let painted = paint(*style, text);
                match (left, last) {
                    (true, true) => line.push_str(&painted),
                    (true, false) => line.push_str(&format!("{painted}{space}  ")),
                    (false, true) => line.push_str(&format!("{space}{painted}")),
                    (false, false) => line.push_str(&format!("{space}{painted}  ")),
                }
            }
            writeln!(f, "  {}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_in_line_whatever_is_coloured() {
        let mut table = Table::new(&["pool", "running", ""], true);
        table.row(vec!["base".into(), Cell::count(3, GOOD), "reserved".into()]);
        table.row(vec![Cell::of(BAD, "overflow-2"), Cell::count(12, BAD), "on-demand".into()]);
        let plain = anstream::adapter::strip_str(&table.to_string()).to_string();
        assert_eq!(plain, "  pool        running\n  base              3  reserved\n  overflow-2       12  on-demand\n");
    }
}
