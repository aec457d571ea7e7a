//! Which deployment a command is about, and whose credentials it uses.

use anyhow::Result;
use clap::Args;
use evenkeel_model::FleetName;

use crate::account::Place;

/// Where the deployment is, as every command that reads one takes it.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Where")]
pub(crate) struct AccountOptions {
    /// The deployment, as `infra/deploy --name` calls it.
    #[arg(long, value_name = "NAME", default_value = "evenkeel", env = "EVENKEEL_DEPLOYMENT")]
    deployment: String,
    /// The ledger's table; called as the deployment otherwise.
    #[arg(long, value_name = "NAME", env = "EVENKEEL_TABLE")]
    table: Option<String>,
    /// The AWS profile; otherwise credentials are found as the AWS CLI finds them.
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    /// The AWS region; otherwise AWS_REGION's or the profile's.
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
}

impl AccountOptions {
    pub(crate) fn place(&self) -> Place {
        let Self { deployment, table, profile, region } = self.clone();
        Place { table: table.unwrap_or_else(|| deployment.clone()), deployment, region, profile }
    }
}

/// Where to look at an account in which nothing need be deployed.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Where")]
pub(crate) struct WhereOptions {
    /// The AWS profile; otherwise credentials are found as the AWS CLI finds them.
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    /// The AWS region; otherwise AWS_REGION's or the profile's.
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
}

impl WhereOptions {
    /// That place, with a deployment if one is named.
    pub(crate) fn place(&self, deployment: Option<&str>) -> Place {
        let Self { profile, region } = self.clone();
        let deployment = deployment.unwrap_or_default().to_owned();
        Place { table: deployment.clone(), deployment, region, profile }
    }
}

/// The fleet that a command is about.
#[derive(Debug, Clone, Args)]
pub(crate) struct OneFleet {
    /// The fleet; it need not be named where the deployment serves one only.
    #[arg(long, value_name = "NAME", value_parser = fleet_name)]
    pub(crate) fleet: Option<FleetName>,
    #[command(flatten)]
    pub(crate) account: AccountOptions,
}

pub(crate) fn fleet_name(text: &str) -> Result<FleetName, String> {
    FleetName::new(text).map_err(|error| error.to_string())
}
