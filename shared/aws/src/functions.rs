//! Functions on Lambda, as a person asks them.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_lambda::primitives::Blob;
use aws_smithy_types::timeout::TimeoutConfig;
use evenkeel_turn::ports::{Answer, PortError};

use crate::Aws;
use crate::error::port_error;

/// A function may take 30 s, and waits for its turn before that.
const LONGEST: Duration = Duration::from_secs(60);

/// What a function answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The answer, or the error's type and words, as JSON.
    pub body: String,
    /// It is an error.
    pub failed: bool,
}

impl Aws {
    /// Calls a function and waits for its answer. Never tried again by itself: what was asked for may have been done.
    ///
    /// # Errors
    /// [`PortError`] where Lambda did not take it, or nobody answered.
    pub async fn invoke(&self, function: &str, payload: &str) -> Answer<Reply> {
        let patience = TimeoutConfig::builder()
            .operation_attempt_timeout(LONGEST)
            .operation_timeout(LONGEST)
            .read_timeout(LONGEST);
        let once = aws_sdk_lambda::Config::builder().retry_config(Self::once()).timeout_config(patience.build());
        let asked = self.lambda.invoke().function_name(function).payload(Blob::new(payload));
        let answer = asked.customize().config_override(once).send().await.map_err(port_error)?;
        let body = answer.payload().map_or(&[][..], AsRef::as_ref);
        let body = String::from_utf8(body.to_vec());
        let body = body.map_err(|_| PortError::Unavailable(format!("{function} answered with what is no text")))?;
        Ok(Reply { body, failed: answer.function_error.is_some() })
    }

    /// The environment variables that a function is told.
    ///
    /// # Errors
    /// [`PortError`] where there is no such function, or Lambda does not say.
    pub async fn environment(&self, function: &str) -> Answer<BTreeMap<String, String>> {
        let asked = self.lambda.get_function_configuration().function_name(function);
        let found = asked.send().await.map_err(port_error)?;
        Ok(found.environment.and_then(|all| all.variables).unwrap_or_default().into_iter().collect())
    }
}
