//! Virtual time: milliseconds since the world began.

use std::time::Duration;

use evenkeel_model::Timestamp;

/// Milliseconds since the world began.
pub type Ms = u64;

/// One second.
pub const SECOND: Ms = 1_000;
/// One minute.
pub const MINUTE: Ms = 60 * SECOND;

/// When every world begins: a Monday, so that windows by weekday are easy to reckon.
const BEGIN: Timestamp = Timestamp::constant(1_767_571_200, 0);

/// The moment on the world's calendar.
#[must_use]
pub fn timestamp(at: Ms) -> Timestamp {
    BEGIN.saturating_add(Duration::from_millis(at)).unwrap_or(Timestamp::MAX)
}

/// Seconds with their fraction.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "centuries of milliseconds fit a double")]
pub fn seconds(span: Ms) -> f64 {
    span as f64 / 1_000.0
}

/// The way back from [`timestamp`].
#[must_use]
pub fn since_begin(at: Timestamp) -> Ms {
    u64::try_from(at.duration_since(BEGIN).as_millis()).unwrap_or(0)
}
