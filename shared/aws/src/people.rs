//! The account that a person works in: credentials and region as the AWS CLI finds them.

use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region};

use crate::https::https_client;
use crate::{Aws, Settings};

/// From anywhere, over whatever line there is.
const CONNECT: Duration = Duration::from_secs(5);
const ATTEMPT: Duration = Duration::from_secs(15);
const OPERATION: Duration = Duration::from_secs(30);

/// What a person says about who and where, besides files and environment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Person {
    /// The profile; `AWS_PROFILE` or the default one otherwise.
    pub profile: Option<String>,
    /// The region; that of the environment or the profile otherwise.
    pub region: Option<String>,
}

/// Neither option nor environment nor profile says a region.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no region is set")]
pub struct NoRegion;

impl Aws {
    /// The account of `person`, and its region's name. Calls nobody yet.
    ///
    /// # Errors
    /// [`NoRegion`].
    pub async fn of_person(person: &Person, settings: Settings) -> Result<(Self, String), NoRegion> {
        let patience = TimeoutConfig::builder()
            .connect_timeout(CONNECT)
            .operation_attempt_timeout(ATTEMPT)
            .operation_timeout(OPERATION);
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(https_client(settings.roots.as_deref()))
            .retry_config(Self::retries())
            .timeout_config(patience.build());
        if let Some(profile) = &person.profile {
            loader = loader.profile_name(profile);
        }
        if let Some(region) = &person.region {
            loader = loader.region(Region::new(region.clone()));
        }
        let config = loader.load().await;
        let region = config.region().ok_or(NoRegion)?.to_string();
        Ok((Self::new(&config, settings), region))
    }
}
