//! What is said where an account does not give what was asked for: what was tried, where, and what to type next.

use std::fmt;

use evenkeel_model::{FleetName, FunctionName};
use evenkeel_turn::ports::PortError;

/// Which deployment, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// What the names of its functions begin with.
    pub(crate) deployment: String,
    /// The ledger's table.
    pub(crate) table: String,
    /// The region, once it is known.
    pub(crate) region: Option<String>,
    /// The profile, where one is named.
    pub(crate) profile: Option<String>,
}

impl Place {
    fn region(&self) -> &str {
        self.region.as_deref().unwrap_or("an unknown region")
    }

    /// Where, without a deployment.
    fn account(&self) -> String {
        let profile = self.profile.as_ref().map(|profile| format!(", profile {profile}")).unwrap_or_default();
        format!("region {}{profile}", self.region())
    }

    fn profile(&self) -> String {
        self.profile.as_ref().map(|profile| format!(" --profile {profile}")).unwrap_or_default()
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { deployment, table, region: _, profile } = self;
        write!(f, "deployment {deployment}, table {table}, region {}", self.region())?;
        profile.as_ref().map_or(Ok(()), |profile| write!(f, ", profile {profile}"))
    }
}

/// Why there is nothing to show. Everything that it says ends with what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Nothing says which region.
    NoRegion { profile: Option<String> },
    /// A call failed.
    Call { tried: String, action: &'static str, place: Place, how: How },
    /// The account could not be looked at.
    Unseen { tried: String, place: Place, how: How },
    /// What should be looked at is not there.
    Missing { tried: String, said: String, place: Place },
    /// There is no function of this deployment.
    NoDeployment { place: Place },
    /// The deployment has no such function.
    NoFunction { function: FunctionName, tried: String, place: Place },
    /// The table has nothing about the fleet.
    NoTurns { fleet: FleetName, place: Place },
    /// No fleet was named, and there is not exactly one.
    Several { fleets: Vec<FleetName>, place: Place },
}

/// How a call failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum How {
    /// There are no credentials.
    NoCredentials(String),
    /// They were good once.
    Expired(String),
    /// AWS does not know them.
    Unknown(String),
    /// Whoever they are may not do this.
    Denied(String),
    /// The table is not there.
    NoTable,
    /// Too many calls.
    Throttled,
    /// Nobody answered.
    Silent(String),
    /// Anything else.
    Other(String),
}

/// What the codes of AWS's errors mean (IAM user guide, "Troubleshoot access denied error messages"; common errors of the
/// service references).
const EXPIRED: [&str; 4] = ["ExpiredToken", "RequestExpired", "is expired", "has expired"];
const UNKNOWN: [&str; 6] = [
    "UnrecognizedClientException",
    "InvalidClientTokenId",
    "InvalidAccessKeyId",
    "InvalidSignatureException",
    "SignatureDoesNotMatch",
    "MissingAuthenticationToken",
];
const DENIED: [&str; 5] =
    ["AccessDenied", "UnauthorizedOperation", "AuthorizationError", "not authorized", "NotAuthorized"];

impl How {
    /// Sorts by AWS's words. Credentials are found out about when a call is made: their errors come as calls that nobody
    /// answered.
    fn of(error: PortError) -> Self {
        let any = |words: &str, codes: &[&str]| codes.iter().any(|code| words.contains(code));
        let words = error.to_string();
        match error {
            PortError::Throttled => Self::Throttled,
            PortError::NotFound(_) => Self::NoTable,
            PortError::Unfinished { .. } => Self::Other(words),
            PortError::Unavailable(said)
            | PortError::Busy(said)
            | PortError::Conflict(said)
            | PortError::NoCapacity(said)
            | PortError::OverQuota(said)
            | PortError::Refused(said) => {
                if any(&said, &EXPIRED) {
                    Self::Expired(said)
                } else if any(&said, &UNKNOWN) {
                    Self::Unknown(said)
                } else if any(&said, &DENIED) {
                    Self::Denied(said)
                } else if said.contains("redentials") {
                    Self::NoCredentials(said)
                } else if words.starts_with("no answer") {
                    Self::Silent(said)
                } else {
                    Self::Other(words)
                }
            }
        }
    }
}

impl Trouble {
    /// A call that failed. `action` is what whoever asks has to be allowed.
    pub(crate) fn of(error: PortError, tried: String, action: &'static str, place: &Place) -> Self {
        Self::Call { tried, action, place: place.clone(), how: How::of(error) }
    }

    /// A look at the account that failed.
    pub(crate) fn unseen(error: PortError, tried: String, place: &Place) -> Self {
        let place = place.clone();
        if let PortError::NotFound(said) = error {
            Self::Missing { tried, said, place }
        } else {
            Self::Unseen { tried, place, how: How::of(error) }
        }
    }
}

impl std::error::Error for Trouble {}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRegion { profile } => {
                let profile = profile.as_deref().unwrap_or("default");
                writeln!(f, "no region is set: neither --region nor AWS_REGION says one, nor profile {profile}")?;
                f.write_str("  type --region eu-west-1, or `aws configure set region eu-west-1`")?;
                if profile == "default" { Ok(()) } else { write!(f, " --profile {profile}") }
            }
            Self::Call { tried, action, place, how } => {
                write!(f, "{tried} ({place}): ")?;
                how.say(action, place, f)
            }
            Self::Unseen { tried, place, how } => {
                write!(f, "{tried} ({}): ", place.account())?;
                how.say("the actions of infra/reader-policy.json", place, f)
            }
            Self::Missing { tried, said, place } => {
                let (region, profile) = (place.region(), place.profile());
                writeln!(f, "{tried} ({}): it is not there: {said}", place.account())?;
                writeln!(f, "  `evenkeel init --region {region}{profile}` lists the clusters that there are:")?;
                f.write_str("  name one of them in the fleet file, or another region with --region")
            }
            Self::NoDeployment { place } => {
                writeln!(
                    f,
                    "there is no deployment {} in {}: no function's name begins so",
                    place.deployment,
                    place.region()
                )?;
                let list = "aws lambda list-functions --query 'Functions[].FunctionName'";
                writeln!(
                    f,
                    "  name it with --deployment, and its region with --region; `{list} --region {}{}` lists what there is,",
                    place.region(),
                    place.profile()
                )?;
                f.write_str("  and `infra/deploy --fleet fleet.toml` makes one")
            }
            Self::NoFunction { function, tried, place } => {
                let Place { deployment, .. } = place;
                writeln!(f, "{tried} ({place}): there is no function {deployment}-{function}")?;
                let section = match function {
                    FunctionName::Microscale => "services",
                    FunctionName::Backfill => "a section [backfill]",
                    FunctionName::Patchroll => "a section [patch]",
                };
                writeln!(
                    f,
                    "  it is deployed for fleets with {section}: add that to the fleet file and run `infra/deploy` with it,"
                )?;
                f.write_str("  or name another deployment with --deployment, or its region with --region")
            }
            Self::NoTurns { fleet, place } => {
                writeln!(f, "no turn has been taken for fleet {fleet} ({place})")?;
                f.write_str("  `evenkeel status` without a name shows the fleets that there are; where it was just deployed, wait a minute,\n")?;
                write!(
                    f,
                    "  and look at the logs otherwise: `aws logs tail /aws/lambda/{}-microscale --region {}{}`",
                    place.deployment,
                    place.region(),
                    place.profile()
                )
            }
            Self::Several { fleets, place } if fleets.is_empty() => {
                write!(
                    f,
                    "deployment {} serves no fleet ({place})\n  `infra/deploy --fleet fleet.toml --name {}` gives it one",
                    place.deployment, place.deployment
                )
            }
            Self::Several { fleets, place } => {
                let names: Vec<&str> = fleets.iter().map(FleetName::as_str).collect();
                writeln!(f, "deployment {} serves several fleets: {}", place.deployment, names.join(", "))?;
                write!(f, "  say which, such as --fleet {}", names[0])
            }
        }
    }
}

impl How {
    fn say(&self, action: &str, place: &Place, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (region, profile) = (place.region(), place.profile());
        match self {
            Self::NoCredentials(said) => {
                writeln!(f, "no usable credentials: {said}")?;
                writeln!(
                    f,
                    "  sign in as for the AWS CLI: `aws sso login{profile}`, or set AWS_PROFILE or name one with --profile;"
                )?;
                write!(f, "  `aws sts get-caller-identity{profile}` tells who you are")
            }
            Self::Expired(said) => {
                write!(
                    f,
                    "the credentials have expired: {said}\n  sign in again: `aws sso login{profile}`, or however you got them"
                )
            }
            Self::Unknown(said) => {
                writeln!(f, "AWS does not know these credentials: {said}")?;
                write!(f, "  `aws sts get-caller-identity{profile}` tells which are used; name others with --profile")
            }
            Self::Denied(said) => {
                writeln!(f, "not allowed: {said}")?;
                write!(
                    f,
                    "  ask for {action}; infra/README.md lists what each command needs, and --profile names other credentials"
                )
            }
            Self::NoTable => {
                writeln!(f, "there is no table {} in {region}", place.table)?;
                writeln!(
                    f,
                    "  name the deployment with --deployment, its table with --table, its region with --region;"
                )?;
                write!(f, "  `aws dynamodb list-tables --region {region}{profile}` lists what there is")
            }
            Self::Throttled => {
                f.write_str("AWS takes no more calls at the moment\n  type the same again in a few seconds")
            }
            Self::Silent(said) => {
                writeln!(f, "no answer: {said}")?;
                write!(
                    f,
                    "  is there a network, and is {region} a region? --region names another; AWS_CA_BUNDLE the certificates of a proxy"
                )
            }
            Self::Other(said) => {
                write!(
                    f,
                    "{said}\n  type the same again; if it stays, look at https://health.aws.amazon.com, or ask with these words"
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(error: PortError) -> String {
        let place = Place {
            deployment: "keel".to_owned(),
            table: "keel".to_owned(),
            region: Some("eu-west-1".to_owned()),
            profile: Some("ops".to_owned()),
        };
        Trouble::of(error, "read how fleet shop stands".to_owned(), "dynamodb:BatchGetItem", &place).to_string()
    }

    #[test]
    fn a_look_that_fails_says_what_to_type_next_and_of_no_deployment() {
        let place = Place {
            deployment: "keel".to_owned(),
            table: "keel".to_owned(),
            region: Some("eu-west-1".to_owned()),
            profile: Some("ops".to_owned()),
        };
        let denied =
            "AccessDeniedException: User: arn:aws:iam::1:user/a is not authorized to perform: ecs:DescribeTasks";
        let cases = [
            (PortError::Refused(denied.to_owned()), "ask for the actions of infra/reader-policy.json"),
            (
                PortError::NotFound("ClusterNotFoundException: Cluster not found.".to_owned()),
                "`evenkeel init --region eu-west-1 --profile ops` lists the clusters",
            ),
        ];
        for (error, next) in cases {
            let said = Trouble::unseen(error, "looked at fleet shop".to_owned(), &place).to_string();
            assert!(said.starts_with("looked at fleet shop (region eu-west-1, profile ops): "), "{said}");
            assert!(said.contains(next) && !said.contains("deployment") && !said.contains("table"), "{said}");
        }
    }

    #[test]
    fn each_kind_of_error_says_what_was_tried_where_and_what_to_type_next() {
        let refused = |words: &str| PortError::Refused(words.to_owned());
        let lost = "dispatch failure: other: an error occurred while loading credentials: the credential provider was not enabled";
        let cases = [
            (PortError::Unavailable(lost.to_owned()), "no usable credentials", "aws sso login --profile ops"),
            (
                refused("ExpiredTokenException: The security token included in the request is expired"),
                "have expired",
                "aws sso login --profile ops",
            ),
            (
                refused("UnrecognizedClientException: The security token included in the request is invalid."),
                "does not know",
                "aws sts get-caller-identity --profile ops",
            ),
            (
                refused(
                    "AccessDeniedException: User: arn:aws:iam::1:user/a is not authorized to perform: dynamodb:BatchGetItem",
                ),
                "not allowed",
                "ask for dynamodb:BatchGetItem",
            ),
            (
                PortError::NotFound("ResourceNotFoundException: Requested resource not found".to_owned()),
                "no table keel in eu-west-1",
                "aws dynamodb list-tables --region eu-west-1 --profile ops",
            ),
            (PortError::Throttled, "no more calls", "type the same again"),
            (
                PortError::Unavailable("dispatch failure: io error: client error (Connect): dns error".to_owned()),
                "no answer",
                "--region",
            ),
        ];
        for (error, happened, next) in cases {
            let said = said(error);
            for part in ["read how fleet shop stands", "deployment keel", "region eu-west-1", happened, next] {
                assert!(said.contains(part), "{said}\nlacks {part:?}");
            }
        }
    }
}
