//! Names that only triggers carry, checked once like those of [`crate::ids`].

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::ids::InvalidId;

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, max $max:literal, chars $extra:literal, $expected:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let allowed = |c: char| c.is_ascii_alphanumeric() || $extra.contains(c);
                if text.is_empty() || text.len() > $max || !text.chars().all(allowed) {
                    return Err(InvalidId { text: text.chars().take(80).collect(), expected: $expected });
                }
                Ok(Self(text.into()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(text: String) -> Result<Self, InvalidId> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.as_str().to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}

name!(/** A lifecycle hook's name (Auto Scaling API reference, PutLifecycleHook: 255 of `[A-Za-z0-9\-_\/]`). */
    HookName, max 255, chars "-_/", "a lifecycle hook's name: 1 to 255 letters, digits, hyphens, underscores or slashes");
name!(/** What CompleteLifecycleAction hands back (Auto Scaling API reference: a token of 36 characters). */
    LifecycleToken, max 64, chars "-", "a lifecycle action token: 1 to 64 letters, digits or hyphens");
name!(/** An instance refresh's id (Auto Scaling API reference: 1 to 255 characters; sent as a UUID). */
    RefreshId, max 255, chars "-", "an instance refresh id: 1 to 255 letters, digits or hyphens");
name!(/** The last part of an ECS container instance's ARN. */
    ContainerInstanceId, max 64, chars "-", "a container instance id: 1 to 64 letters, digits or hyphens");
name!(/** An ECS deployment's id, such as `ecs-svc/123`. */
    DeploymentId, max 255, chars "-_/", "a deployment id: 1 to 255 letters, digits, hyphens, underscores or slashes");
name!(/** An EventBridge rule (`[.\-_A-Za-z0-9]+`, 64), or `BUS/RULE`, or `GROUP/SCHEDULE` of EventBridge Scheduler. */
    RuleName, max 512, chars ".-_/", "a rule or schedule: 1 to 512 letters, digits, dots, hyphens, underscores or slashes");
name!(/** A parameter's full name (Systems Manager user guide: letters, digits, `.-_` and `/`; 2,048 at most). */
    ParameterName, max 2048, chars ".-_/", "a parameter's name: 1 to 2,048 letters, digits, dots, hyphens, underscores or slashes");
name!(/** An AWS Health event type code such as `AWS_EC2_INSTANCE_RETIREMENT_SCHEDULED` (AWS Health API reference: 3 to 100 characters). */
    EventTypeCode, max 100, chars "-_", "an event type code: 1 to 100 letters, digits, underscores or hyphens");
