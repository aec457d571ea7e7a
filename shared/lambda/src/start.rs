//! The process: clients built once, then one invocation after the other.

use evenkeel_aws::{Aws, Settings};
use evenkeel_model::Timestamp;
use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use serde_json::value::RawValue;

use crate::entry::Entry;
use crate::invocation::{Invocation, invoke};
use crate::log::Stdout;
use crate::not_handled::NotHandled;
use crate::setup::Setup;

/// Serves invocations until the platform ends the process.
///
/// # Errors
/// Where the environment is not one to start in, or the runtime API does not answer.
pub async fn start<E: Entry<Aws> + Send>(entry: E) -> Result<(), lambda_runtime::Error> {
    let Setup { fleets, settings } = Setup::from_environment()?;
    let aws = Aws::from_environment(Settings { also: E::ALSO, ..settings }).await;
    let (entry, aws, fleets) = (&entry, &aws, fleets.as_slice());
    lambda_runtime::run(service_fn(move |event: LambdaEvent<Box<RawValue>>| async move {
        let invocation = Invocation {
            payload: event.payload.get().as_bytes(),
            request: &event.context.request_id,
            deadline: deadline(event.context.deadline),
        };
        invoke(entry, aws, fleets, invocation, &Stdout).await.map_err(Refusal)
    }))
    .await
}

/// Milliseconds since the epoch; one that is no time has passed.
fn deadline(milliseconds: u64) -> Timestamp {
    i64::try_from(milliseconds)
        .ok()
        .and_then(|ms| Timestamp::from_millisecond(ms).ok())
        .unwrap_or(Timestamp::UNIX_EPOCH)
}

/// As the runtime API wants it.
#[derive(Debug)]
struct Refusal(NotHandled);

impl From<Refusal> for Diagnostic {
    fn from(Refusal(error): Refusal) -> Self {
        Self { error_type: error.kind().to_owned(), error_message: error.to_string() }
    }
}
