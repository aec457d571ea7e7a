//! AWS's errors, sorted by what a turn answers.

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::display::DisplayErrorContext;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use evenkeel_turn::ports::PortError;

/// AWS's words in a decision or a log line; its messages repeat whole requests at times.
const MOST_CHARS: usize = 300;

/// What kind of error a code is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Too many calls.
    Throttled,
    /// Their fault, or nobody answered.
    NoAnswer,
    /// What it is about does not exist.
    Gone,
    /// Something else goes on there.
    Busy,
    /// Somebody else changed it, or it is in another state than the call is for.
    Conflict,
    /// EC2 has no such capacity now.
    Capacity,
    /// The account's limit.
    Quota,
    /// Anything else: asking again gives the same answer.
    Refused,
}

impl Kind {
    /// Sorts by error code; by the message only where services use one code for everything (`ValidationError` of Auto
    /// Scaling, `ClientException` of ECS); by the HTTP status where there is no code that says more.
    pub(crate) fn of(code: &str, message: &str, status: u16) -> Self {
        // Query protocols name the class of an error, JSON protocols its shape, sometimes with a namespace.
        let code = code.rsplit(['#', '/']).next().unwrap_or(code);
        let code = code.split(':').next().unwrap_or(code);
        match code {
            "Throttling"
            | "ThrottlingException"
            | "ThrottledException"
            | "RequestThrottled"
            | "RequestThrottledException"
            | "TooManyRequestsException"
            | "ProvisionedThroughputExceededException"
            | "RequestLimitExceeded"
            | "BandwidthLimitExceeded"
            | "PriorRequestNotComplete"
            | "EC2ThrottledException"
            | "SlowDown" => Self::Throttled,
            "ScalingActivityInProgress"
            | "ScalingActivityInProgressFault"
            | "ResourceContention"
            | "ResourceContentionFault"
            | "ResourceInUse"
            | "ResourceInUseException"
            | "InstanceRefreshInProgress"
            | "UpdateInProgressException" => Self::Busy,
            "ConflictException"
            | "ConditionalCheckFailedException"
            | "TransactionConflictException"
            | "ReplicatedWriteConflictException"
            | "IncorrectState"
            | "IncorrectInstanceState" => Self::Conflict,
            "InsufficientInstanceCapacity"
            | "InsufficientHostCapacity"
            | "InsufficientReservedInstanceCapacity"
            | "InsufficientCapacity"
            | "UnfulfillableCapacity"
            | "SpotMaxPriceTooLow" => Self::Capacity,
            // The account's limit of spot instances, whatever the name sounds like (EC2 API reference, error codes).
            "MaxSpotInstanceCountExceeded" | "LimitExceededException" => Self::Quota,
            "ServiceNotActiveException" | "InvalidAMIID.Unavailable" | "QueueDoesNotExist" => Self::Gone,
            _ if code.ends_with("LimitExceeded") => Self::Quota,
            _ if says_gone(code, message) => Self::Gone,
            _ if status == 429 => Self::Throttled,
            // The first try of the same transaction is still going on.
            "TransactionInProgressException" => Self::NoAnswer,
            "InternalFailure"
            | "InternalError"
            | "InternalServerError"
            | "ServerException"
            | "ServiceUnavailable"
            | "Unavailable"
            | "RequestTimeout" => Self::NoAnswer,
            // An answer of success that cannot be read is none: it may have been done.
            _ if !(300..500).contains(&status) => Self::NoAnswer,
            _ => Self::Refused,
        }
    }

    /// What the turn is told.
    pub(crate) fn told(self, words: String) -> PortError {
        match self {
            Self::Throttled => PortError::Throttled,
            Self::NoAnswer => PortError::Unavailable(words),
            Self::Gone => PortError::NotFound(words),
            Self::Busy => PortError::Busy(words),
            Self::Conflict => PortError::Conflict(words),
            Self::Capacity => PortError::NoCapacity(words),
            Self::Quota => PortError::OverQuota(words),
            Self::Refused => PortError::Refused(words),
        }
    }
}

fn says_gone(code: &str, message: &str) -> bool {
    let named = ["NotFound", "NotFoundException", "NotFoundFault", "NonExistentQueue"];
    let vague = matches!(code, "ValidationError" | "ClientException" | "InvalidParameterException");
    let says = || {
        let message = message.to_ascii_lowercase();
        message.contains("not found") || message.contains("unable to describe task definition")
    };
    named.iter().any(|end| code.ends_with(end)) || (vague && says())
}

/// What kind of error it is, and AWS's words.
pub(crate) fn sort<E>(error: &SdkError<E, HttpResponse>) -> (Kind, String)
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    match error {
        SdkError::ServiceError(answer) => {
            let code = answer.err().code().unwrap_or("");
            let message = answer.err().message().unwrap_or("");
            let status = answer.raw().status().as_u16();
            let words = match (code, message) {
                ("", "") => format!("HTTP status {status}: {}", DisplayErrorContext(answer.err())),
                ("", message) => message.to_owned(),
                (code, "") => code.to_owned(),
                (code, message) => format!("{code}: {message}"),
            };
            (Kind::of(code, message, status), cut(&words))
        }
        SdkError::ConstructionFailure(_) => (Kind::Refused, cut(&DisplayErrorContext(error).to_string())),
        // Timeouts, connections that broke, answers that are no answers. AWS may add variants.
        SdkError::TimeoutError(_) | SdkError::DispatchFailure(_) | SdkError::ResponseError(_) | _ => {
            (Kind::NoAnswer, cut(&DisplayErrorContext(error).to_string()))
        }
    }
}

/// What the turn is told about a call that failed.
pub(crate) fn port_error<E>(error: impl Into<SdkError<E, HttpResponse>>) -> PortError
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let (kind, words) = sort(&error.into());
    kind.told(words)
}

fn cut(words: &str) -> String {
    words.chars().take(MOST_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_tell_what_a_turn_may_do() {
        let sorted = [
            ("ThrottlingException", "Rate exceeded", 400, Kind::Throttled),
            ("Throttling", "Rate exceeded", 400, Kind::Throttled),
            ("RequestLimitExceeded", "Request limit exceeded.", 503, Kind::Throttled),
            ("", "", 429, Kind::Throttled),
            ("ScalingActivityInProgress", "Activity in progress", 400, Kind::Busy),
            ("InsufficientInstanceCapacity", "We currently do not have sufficient capacity", 500, Kind::Capacity),
            ("VcpuLimitExceeded", "You have requested more vCPU capacity", 400, Kind::Quota),
            ("MaxSpotInstanceCountExceeded", "Max spot instance count exceeded", 400, Kind::Quota),
            ("InstanceLimitExceeded", "Your quota allows for 0 more", 400, Kind::Quota),
            ("InvalidInstanceID.NotFound", "The instance ID 'i-1' does not exist", 400, Kind::Gone),
            ("InvalidLaunchTemplateId.VersionNotFound", "", 400, Kind::Gone),
            ("ValidationError", "AutoScalingGroup name not found - AutoScalingGroup 'a' not found", 400, Kind::Gone),
            ("ValidationError", "New SetDesiredCapacity value 9 is above max value 5", 400, Kind::Refused),
            ("com.amazonaws.dynamodb.v20120810#ResourceNotFoundException", "", 400, Kind::Gone),
            ("ClientException", "Unable to describe task definition.", 400, Kind::Gone),
            ("ServerException", "", 500, Kind::NoAnswer),
            ("", "", 502, Kind::NoAnswer),
            ("", "", 200, Kind::NoAnswer),
            ("IncorrectInstanceState", "", 400, Kind::Conflict),
            ("AccessDeniedException", "not authorized", 400, Kind::Refused),
            ("InvalidAMIName.Duplicate", "AMI name x is already in use", 400, Kind::Refused),
        ];
        for (code, message, status, kind) in sorted {
            assert_eq!(Kind::of(code, message, status), kind, "{code} {message} {status}");
        }
    }
}
