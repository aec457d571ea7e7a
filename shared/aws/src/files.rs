//! AWS Systems Manager: fleet files, and parameters that name images.

use evenkeel_model::FleetName;
use evenkeel_turn::ports::{Answer, FleetFiles, PortError};

use crate::Aws;
use crate::error::port_error;

impl FleetFiles for Aws {
    async fn text(&self, fleet: &FleetName) -> Answer<String> {
        self.ssm_parameter(&format!("/evenkeel/fleets/{fleet}")).await
    }
}

impl Aws {
    pub(crate) async fn ssm_parameter(&self, name: &str) -> Answer<String> {
        let answer = self.ssm.get_parameter().name(name).send().await.map_err(port_error)?;
        let value = answer.parameter.and_then(|parameter| parameter.value);
        value.ok_or_else(|| PortError::NotFound(format!("parameter {name} has no value")))
    }
}
