//! What turns would do, in sentences.

use evenkeel_model::decision::Planned;
use evenkeel_model::report::Report;
use evenkeel_model::{InstanceId, Timestamp};

use super::words::count;

/// What a turn of `function` would do at that moment, and what it would wait for.
pub(crate) fn plan(function: &str, (steps, report): (&[Planned], &Report), at: Timestamp) -> String {
    let mut lines = vec![format!("A turn of {function} at {at:.0} would take {}.", count(steps.len(), "step"))];
    lines.extend(steps.iter().map(|planned| format!("  {}: {}", planned.step, planned.why)));
    if !report.waits.is_empty() {
        lines.push("It would wait:".to_owned());
        lines.extend(report.waits.iter().map(|wait| format!("  {wait}")));
    }
    lines.join("\n")
}

/// The waves of a roll, a line each.
pub(crate) fn waves(waves: &[Vec<InstanceId>]) -> impl Iterator<Item = String> + '_ {
    waves.iter().enumerate().map(|(number, wave)| {
        let hosts: Vec<&str> = wave.iter().map(InstanceId::as_str).collect();
        format!("  wave {}: {}", number + 1, hosts.join(", "))
    })
}
