//! Typed ids: a name is checked once, at the door, and trusted afterwards.
//!
//! Ids are shared (`Arc<str>`), because a turn over 200,000 tasks copies them freely.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error as _};
use serde::{Serialize, Serializer};

/// Why a text is not a valid id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {expected}")]
pub struct InvalidId {
    /// The refused text, cut to 80 characters.
    pub text: String,
    /// What would have been accepted, in words.
    pub expected: &'static str,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, max $max:literal, chars $extra:literal, $expected:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// What this id looks like, in the words that error messages use.
            pub const EXPECTED: &'static str = $expected;
            const PATTERN: &'static str = concat!("^[A-Za-z0-9", $extra, "]{1,", $max, "}$");

            /// Checks the text and takes it.
            ///
            /// # Errors
            /// [`InvalidId`] when the text is empty, too long, or holds other characters.
            pub fn new(text: &str) -> Result<Self, InvalidId> {
                let allowed = |c: char| c.is_ascii_alphanumeric() || $extra.replace('\\', "").contains(c);
                if text.is_empty() || text.len() > $max || !text.chars().all(allowed) {
                    let text = text.chars().take(80).collect();
                    return Err(InvalidId { text, expected: Self::EXPECTED });
                }
                Ok(Self(text.into()))
            }

            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
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

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = Cow::<str>::deserialize(deserializer)?;
                Self::new(&text).map_err(D::Error::custom)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "pattern": Self::PATTERN })
            }
        }
    };
}

id!(/** The name of a fleet: part of ledger keys and of the SSM parameter's path. */
    FleetName, max 64, chars "\\-_", "a fleet name: 1 to 64 letters, digits, hyphens or underscores");
id!(/** The name of a pool in the fleet file. */
    PoolName, max 64, chars "\\-_", "a pool name: 1 to 64 letters, digits, hyphens or underscores");
id!(/** An ECS cluster's short name (ECS API reference, CreateCluster: 255 letters, numbers, underscores, hyphens). */
    ClusterName, max 255, chars "\\-_", "a cluster name: 1 to 255 letters, digits, hyphens or underscores");
id!(/** An ECS service's name (ECS API reference, CreateService: 255 letters, numbers, underscores, hyphens). */
    ServiceName, max 255, chars "\\-_", "a service name: 1 to 255 letters, digits, hyphens or underscores");
id!(/** An Auto Scaling group's name; AWS takes nearly any text, Even Keel the printable ASCII that needs no quoting. */
    GroupName, max 255, chars "\\-_./:@+= #()", "an Auto Scaling group name: 1 to 255 characters");
id!(/** An EC2 instance id such as `i-0abc…`; words such as `spot-1` are accepted, so that stories stay readable. */
    InstanceId, max 64, chars "\\-", "an instance id: 1 to 64 letters, digits or hyphens");
id!(/** The last part of an ECS task's ARN. */
    TaskId, max 64, chars "\\-", "a task id: 1 to 64 letters, digits or hyphens");
id!(/** An availability zone such as `eu-west-1a`. */
    Zone, max 64, chars "\\-", "an availability zone: 1 to 64 letters, digits or hyphens");
id!(/** A CloudWatch alarm's name. */
    AlarmName, max 255, chars "\\-_./:@+= #()", "an alarm name: 1 to 255 characters");
id!(/** A CloudWatch metric as `namespace/name`; the namespace may hold slashes itself (`AWS/ApplicationELB/RequestCount`). */
    MetricName, max 512, chars "\\-_./:# ", "a metric: namespace/name");
id!(/** An SQS queue's name (80 letters, digits, hyphens, underscores; `.fifo` at the end of FIFO queues). */
    QueueName, max 80, chars "\\-_.", "a queue name: 1 to 80 letters, digits, hyphens or underscores");

id!(/** An EC2 launch template's id, such as `lt-0abc…`. */
    TemplateId, max 64, chars "\\-", "a launch template id: 1 to 64 letters, digits or hyphens");
id!(/** An EC2 image's id, such as `ami-0abc…`. */
    ImageId, max 64, chars "\\-", "an image id: 1 to 64 letters, digits or hyphens");
id!(/** A VPC subnet's id, such as `subnet-0abc…`. */
    SubnetId, max 64, chars "\\-", "a subnet's id: 1 to 64 letters, digits or hyphens");
id!(/** An EC2 instance type, such as `m7i.large`. */
    InstanceType, max 64, chars "\\-.", "an instance type: 1 to 64 letters, digits, hyphens or dots");
id!(/** A load balancer's target group, as its ARN. */
    TargetGroup, max 512, chars "\\-_./:", "a target group's ARN: 1 to 512 characters");
id!(/** An ECS capacity provider's name (ECS API reference, CreateCapacityProvider: 255 letters, numbers, underscores, hyphens). */
    ProviderName, max 255, chars "\\-_", "a capacity provider's name: 1 to 255 letters, digits, hyphens or underscores");
id!(/** One roll, such as `20260105T020000-7`; part of the names of what it makes. */
    RollId, max 64, chars "\\-", "a roll's id: 1 to 64 letters, digits or hyphens");

impl MetricName {
    /// The namespace and the metric's own name, split at the last slash; `None` where there is no slash or an empty part.
    #[must_use]
    pub fn split(&self) -> Option<(&str, &str)> {
        self.as_str().rsplit_once('/').filter(|(namespace, name)| !namespace.is_empty() && !name.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_good_names_and_refuses_bad_ones() {
        assert_eq!(ServiceName::new("web-1_x").unwrap().as_str(), "web-1_x");
        for bad in ["", "a b", "a/b", "naïve", &"x".repeat(256)] {
            assert!(ServiceName::new(bad).is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn a_metric_splits_at_its_last_slash() {
        assert_eq!(MetricName::new("AWS/ELB/RequestCount").unwrap().split(), Some(("AWS/ELB", "RequestCount")));
        assert_eq!(MetricName::new("RequestCount").unwrap().split(), None);
    }

    #[test]
    fn ids_survive_json() {
        let id: InstanceId = serde_json::from_str("\"i-0abc\"").unwrap();
        assert_eq!(serde_json::to_string(&id).unwrap(), "\"i-0abc\"");
        assert!(serde_json::from_str::<InstanceId>("\"\"").is_err());
    }
}
