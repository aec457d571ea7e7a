//! Events of AWS Systems Manager.

use evenkeel_model::trigger::{Compliance, ParameterChange, Trigger};

use crate::Reading;
use crate::event::Event;
use crate::malformed::Malformed;
use crate::object::word;

/// Systems Manager user guide, "Configuration Compliance events".
pub(crate) fn compliance(event: &Event<'_>) -> Result<Reading, Malformed> {
    let detail = &event.detail;
    // Sent as `non_compliant`; the API writes `NON_COMPLIANT`.
    let status = detail.required_text("compliance-status")?.to_ascii_uppercase();
    Ok(Reading::Trigger(Trigger::Compliance(Compliance {
        at: event.at,
        instance: detail.id("resource-id")?,
        compliance_type: detail.required_text("compliance-type")?.chars().take(100).collect(),
        status: word(&status).map_err(|reason| Malformed::at("compliance-status", reason))?,
    })))
}

/// Systems Manager user guide, "Parameter Store events".
pub(crate) fn parameter(event: &Event<'_>) -> Result<Reading, Malformed> {
    Ok(Reading::Trigger(Trigger::Parameter(ParameterChange {
        at: event.at,
        parameter: event.detail.id("name")?,
        operation: event.detail.word("operation")?,
    })))
}
