//! The real clock.

use evenkeel_model::Timestamp;

/// The machine's time. Below `main`, time comes through the `Clock` port.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the clock that the Clock port reads on AWS")]
pub fn system_time() -> Timestamp {
    Timestamp::now()
}
