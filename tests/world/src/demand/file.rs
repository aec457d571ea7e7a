//! Demand files: `timestamp,value`, or one row for each arrival. A missing point is unknown, not zero.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use csv::{ReaderBuilder, StringRecord, Trim};
use jiff::civil::DateTime;
use jiff::{Timestamp, tz::TimeZone};

use super::Series;

/// More than this is no demand file: two months of seconds have a tenth.
const MOST_BYTES: u64 = 256 * 1024 * 1024;
/// Arrivals are counted for each of these.
const ARRIVALS: Duration = Duration::from_secs(10);
/// A gap longer than this many periods is a hole.
const HOLE: f64 = 1.5;

/// Why a demand file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("{path}: cannot be read")]
    Unread {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A row is wrong.
    #[error("{path}, line {line}: {problem}")]
    Row {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What is wrong, and what was expected.
        problem: String,
    },
    /// The file as a whole is wrong.
    #[error("{path}: {problem}")]
    Whole {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what was expected.
        problem: String,
    },
}

/// Reads a demand file, and says what was odd about it.
///
/// A header `timestamp,value` gives values as they are: each holds until the next, and one period longer where points
/// are missing. Any other header that begins with a timestamp gives arrivals a second, counted for every ten seconds.
///
/// # Errors
/// [`FileError`] with the line.
pub fn read(path: &Path) -> Result<(Series, Vec<String>), FileError> {
    let unread = |source| FileError::Unread { path: path.to_owned(), source };
    let file = File::open(path).map_err(unread)?;
    let found = file.metadata().map_err(unread)?;
    let whole = |problem: String| FileError::Whole { path: path.to_owned(), problem };
    if !found.is_file() {
        return Err(whole("is not a file".to_owned()));
    }
    if found.len() > MOST_BYTES {
        return Err(whole(format!("has {} bytes; at most {MOST_BYTES} are read", found.len())));
    }
    parse(file, path)
}

fn parse(bytes: impl Read, path: &Path) -> Result<(Series, Vec<String>), FileError> {
    let whole = |problem: String| FileError::Whole { path: path.to_owned(), problem };
    let mut rows = ReaderBuilder::new().trim(Trim::All).flexible(true).from_reader(bytes);
    let header = rows.headers().map_err(|error| wrong_row(path, &error))?.clone();
    let names: Vec<String> = header.iter().map(str::to_lowercase).collect();
    let names: Vec<&str> = names.iter().map(|name| name.trim_start_matches('\u{feff}')).collect();
    let values = match names.as_slice() {
        [] | [""] => return Err(whole("is empty; expected a header `timestamp,value`".to_owned())),
        ["timestamp", "value"] => true,
        ["timestamp", ..] if names[1..].contains(&"value") => {
            return Err(whole(format!("has the columns {}; expected timestamp,value", names.join(","))));
        }
        ["timestamp", ..] => false,
        _ => {
            let found = header.iter().collect::<Vec<_>>().join(",");
            return Err(whole(format!(
                "begins with {found:.80?}; expected a header `timestamp,value` or `timestamp,...`"
            )));
        }
    };
    let mut points: Vec<(Timestamp, f64)> = Vec::new();
    for row in rows.records() {
        let row = row.map_err(|error| wrong_row(path, &error))?;
        let point = point(&row, values, names.len()).and_then(|point| match points.last() {
            Some((before, _)) if point.0 < *before => Err(format!("{} is before the row above", &row[0])),
            _ => Ok(point),
        });
        let line = row.position().map_or(0, csv::Position::line);
        points.push(point.map_err(|problem| FileError::Row { path: path.to_owned(), line, problem })?);
    }
    if values { of_values(points).map_err(whole) } else { of_arrivals(&points).map_err(whole) }
}

fn wrong_row(path: &Path, error: &csv::Error) -> FileError {
    let line = error.position().map_or(1, csv::Position::line);
    FileError::Row { path: path.to_owned(), line, problem: format!("is not text in columns ({error})") }
}

fn point(row: &StringRecord, values: bool, columns: usize) -> Result<(Timestamp, f64), String> {
    if row.len() != columns {
        return Err(format!("has {} columns; the header has {columns}", row.len()));
    }
    let at = time(&row[0]).ok_or_else(|| {
        format!("timestamp {:?} is not understood; expected a time such as 2026-01-05 14:30:00", &row[0])
    })?;
    if !values {
        return Ok((at, 1.0));
    }
    let value: f64 = row[1].parse().map_err(|_| format!("value {:?} is not a number", &row[1]))?;
    if !value.is_finite() || value < 0.0 {
        return Err(format!("value {value} is no demand; expected a number that is not negative"));
    }
    Ok((at, value))
}

/// RFC 3339, or a date and a time without a zone, which then is UTC.
fn time(text: &str) -> Option<Timestamp> {
    text.parse::<Timestamp>().ok().or_else(|| {
        let civil: DateTime = text.parse().ok()?;
        Some(civil.to_zoned(TimeZone::UTC).ok()?.timestamp())
    })
}

fn of_values(points: Vec<(Timestamp, f64)>) -> Result<(Series, Vec<String>), String> {
    let mut notes = Vec::new();
    let rows = points.len();
    let distinct = without_duplicates(points);
    if distinct.len() < rows {
        notes.push(format!("{} rows repeat a time; the mean of their values is used", rows - distinct.len()));
    }
    let [(begin, _), _, ..] = distinct.as_slice() else {
        return Err(format!("has {rows} rows; at least two different times are needed to know the period"));
    };
    let begin = *begin;
    let mut gaps: Vec<Duration> = distinct.windows(2).map(|pair| since(pair[1].0, pair[0].0)).collect();
    gaps.sort_unstable();
    let period = gaps[gaps.len() / 2];
    let mut steps = Vec::with_capacity(distinct.len());
    let mut missing = 0;
    for (index, (at, value)) in distinct.iter().enumerate() {
        let offset = since(*at, begin);
        steps.push((offset, Some(*value)));
        let next = distinct.get(index + 1).map(|(next, _)| since(*next, begin));
        if next.is_some_and(|next| (next - offset).as_secs_f64() > period.as_secs_f64() * HOLE) {
            steps.push((offset + period, None));
            missing += 1;
        }
    }
    if missing > 0 {
        notes.push(format!("{missing} holes: demand is unknown there"));
    }
    let length = steps.last().map_or(period, |(at, _)| *at + period);
    Ok((Series::new(steps, length), notes))
}

/// One point for each time: the mean of those that share it.
fn without_duplicates(points: Vec<(Timestamp, f64)>) -> Vec<(Timestamp, f64)> {
    let same = points.chunk_by(|a, b| a.0 == b.0);
    #[expect(clippy::cast_precision_loss, reason = "few rows share a time")]
    same.map(|same| (same[0].0, same.iter().map(|(_, value)| value).sum::<f64>() / same.len() as f64)).collect()
}

#[expect(clippy::cast_possible_truncation, reason = "a file of arrivals has no 2^32 periods")]
fn of_arrivals(points: &[(Timestamp, f64)]) -> Result<(Series, Vec<String>), String> {
    let (Some((begin, _)), Some((end, _))) = (points.first(), points.last()) else {
        return Err("has no rows below its header".to_owned());
    };
    let place = |at: &Timestamp| (since(*at, *begin).as_millis() / ARRIVALS.as_millis()) as u32;
    let periods = place(end) + 1;
    if periods > 10_000_000 {
        return Err(format!("spans {periods} periods of ten seconds; that is more than three years"));
    }
    let mut counts = vec![0.0; periods as usize];
    for (at, arrivals) in points {
        counts[place(at) as usize] += arrivals;
    }
    let step = |(index, count): (u32, f64)| (ARRIVALS * index, Some(count / ARRIVALS.as_secs_f64()));
    let steps = (0..periods).zip(counts).map(step).collect();
    Ok((Series::new(steps, ARRIVALS * periods), Vec::new()))
}

fn since(later: Timestamp, earlier: Timestamp) -> Duration {
    later.duration_since(earlier).unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &[u8]) -> Result<(Series, Vec<String>), String> {
        parse(text, Path::new("d.csv")).map_err(|error| error.to_string())
    }

    #[test]
    fn a_missing_point_is_a_hole_of_unknown_demand() -> Result<(), String> {
        let text = "timestamp,value\n2026-01-05 00:00:00,1\n2026-01-05 00:05:00,2\n2026-01-05 00:15:00,4\n2026-01-05 00:20:00,5\n";
        let (series, notes) = read_text(text.as_bytes())?;
        let at = |minute: u64| series.at(Duration::from_secs(60 * minute));
        assert_eq!([at(0), at(5), at(10), at(15), at(24)], [Some(1.0), Some(2.0), None, Some(4.0), Some(5.0)]);
        assert_eq!(series.length(), Duration::from_secs(25 * 60));
        assert_eq!(notes, ["1 holes: demand is unknown there"]);
        Ok(())
    }

    #[test]
    fn rows_that_share_a_time_give_their_mean() -> Result<(), String> {
        let text = "timestamp,value\n2026-01-05T00:00:00Z,1\n2026-01-05T00:00:00Z,3\n2026-01-05T00:05:00Z,2\n";
        let (series, notes) = read_text(text.as_bytes())?;
        assert_eq!(series.at(Duration::ZERO), Some(2.0));
        assert_eq!(notes.len(), 1);
        Ok(())
    }

    #[test]
    fn arrivals_are_counted_by_period() -> Result<(), String> {
        let text = "TIMESTAMP,Tokens\n2023-11-16 18:17:03.9799600,1\n2023-11-16 18:17:04.03,1\n2023-11-16 18:17:25,1";
        let (series, _) = read_text(text.as_bytes())?;
        let at = |second| series.at(Duration::from_secs(second));
        assert_eq!([at(0), at(10), at(20), at(30)], [Some(0.2), Some(0.0), Some(0.1), None]);
        Ok(())
    }

    #[test]
    fn bad_files_are_refused_with_the_place() {
        let row = |row: &str| format!("timestamp,value\n2026-01-05 00:00:00,1\n{row}\n");
        let cases: &[(Vec<u8>, &str)] = &[
            (Vec::new(), "d.csv: is empty; expected a header `timestamp,value`"),
            (
                b"timestamp,value\n".to_vec(),
                "d.csv: has 0 rows; at least two different times are needed to know the period",
            ),
            (row("").into(), "d.csv: has 1 rows; at least two different times are needed to know the period"),
            (
                row("2026-01-05 00:05:00,NaN").into(),
                "d.csv, line 3: value NaN is no demand; expected a number that is not negative",
            ),
            (
                row("2026-01-05 00:05:00,-1").into(),
                "d.csv, line 3: value -1 is no demand; expected a number that is not negative",
            ),
            (
                row("2026-01-05 00:05:00,inf").into(),
                "d.csv, line 3: value inf is no demand; expected a number that is not negative",
            ),
            (row("2026-01-05 00:05:00,x").into(), "d.csv, line 3: value \"x\" is not a number"),
            (row("2026-01-05 00:05:00").into(), "d.csv, line 3: has 1 columns; the header has 2"),
            (
                row("yesterday,1").into(),
                "d.csv, line 3: timestamp \"yesterday\" is not understood; expected a time such as 2026-01-05 14:30:00",
            ),
            (row("2026-01-04 00:05:00,1").into(), "d.csv, line 3: 2026-01-04 00:05:00 is before the row above"),
            (
                b"a,b\n1,2\n".to_vec(),
                "d.csv: begins with \"a,b\"; expected a header `timestamp,value` or `timestamp,...`",
            ),
            (
                b"timestamp,unit,value\n".to_vec(),
                "d.csv: has the columns timestamp,unit,value; expected timestamp,value",
            ),
            (b"TIMESTAMP,x\n".to_vec(), "d.csv: has no rows below its header"),
        ];
        for (text, expected) in cases {
            assert_eq!(read_text(text).err().as_deref(), Some(*expected), "{:?}", String::from_utf8_lossy(text));
        }
        let binary = read_text(&[0xff, 0xfe, 0x00, b'\n', 0x80]).err().unwrap_or_default();
        assert!(binary.starts_with("d.csv"), "{binary}");
    }
}
