//! The clients that the enabled features need, made once in a process.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use evenkeel_model::Timestamp;
use evenkeel_turn::ports::Clock;

use crate::clock::system_time;
use crate::https::https_client;

/// Tries of one call by the SDK itself: one more for a broken connection. The turn tries again too, and knows how much
/// time it has.
const TRIES: u32 = 2;
/// The SDK's first pause; it draws between 0 and this.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// A connection within a region takes milliseconds.
const CONNECT: Duration = Duration::from_secs(1);
/// The slowest of the calls, a full page of DescribeTasks, stays well under a second.
const ATTEMPT: Duration = Duration::from_secs(3);
/// A turn may last some twenty seconds, and needs several calls one after the other. Its last call may begin just before
/// its time is over, so this also has to fit into what the turn leaves of the function's timeout.
const OPERATION: Duration = Duration::from_secs(5);

/// What the clients need to know besides the account and region.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// The ledger's table.
    pub table: String,
    /// The URL of the queue that wakes this function; none: it is woken by ticks only.
    pub beat_queue: Option<String>,
    /// The URL of the queue for events that can never be used; none: the platform's own has to do.
    pub dead_letters: Option<String>,
    /// The certificates to trust, in PEM; none: all public ones.
    pub roots: Option<Vec<u8>>,
    /// What else is asked about services and groups.
    pub also: Also,
}

/// What is asked about ECS services and groups only where a function decides by it: each is a call, and an action in its role.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Also {
    /// Which of them Application Auto Scaling scales.
    pub scaled_elsewhere: bool,
    /// How long their target groups let a target finish.
    pub deregistration_delays: bool,
    /// What else sets the capacities of the groups.
    pub scaled_groups: bool,
}

impl Also {
    /// Nothing else.
    pub const NOTHING: Self = Self { scaled_elsewhere: false, deregistration_delays: false, scaled_groups: false };
}

/// A client that is made when it is first used: each takes a part of a millisecond, which a start should not have to wait
/// for, and one build of several functions has clients that not all of them use.
type Lazy<C> = LazyLock<C, Box<dyn FnOnce() -> C + Send>>;

/// Everything on AWS that the enabled features can reach. Implements the ports of `evenkeel_turn`.
pub struct Aws {
    now: fn() -> Timestamp,
    #[cfg_attr(not(feature = "ecs"), allow(dead_code, reason = "not every service needs all of it"))]
    pub(crate) settings: Settings,
    #[cfg(feature = "people")]
    config: Arc<SdkConfig>,
    #[cfg(feature = "applicationautoscaling")]
    #[cfg_attr(not(feature = "ecs"), expect(dead_code, reason = "asked about ECS services only"))]
    pub(crate) applicationautoscaling: Lazy<aws_sdk_applicationautoscaling::Client>,
    #[cfg(feature = "autoscaling")]
    pub(crate) autoscaling: Lazy<aws_sdk_autoscaling::Client>,
    #[cfg(feature = "autoscaling")]
    #[cfg_attr(not(feature = "ec2"), allow(dead_code, reason = "the port that reads groups needs both services"))]
    pub(crate) scaling: crate::scaling::Known,
    #[cfg(feature = "cloudwatch")]
    pub(crate) cloudwatch: Lazy<aws_sdk_cloudwatch::Client>,
    #[cfg(feature = "dynamodb")]
    pub(crate) dynamodb: Lazy<aws_sdk_dynamodb::Client>,
    #[cfg(feature = "ec2")]
    pub(crate) ec2: Lazy<aws_sdk_ec2::Client>,
    #[cfg(feature = "ecs")]
    pub(crate) ecs: Lazy<aws_sdk_ecs::Client>,
    #[cfg(feature = "ecs")]
    pub(crate) known: crate::ecs::Known,
    #[cfg(feature = "elb")]
    pub(crate) elb: Lazy<aws_sdk_elasticloadbalancingv2::Client>,
    #[cfg(feature = "lambda")]
    pub(crate) lambda: Lazy<aws_sdk_lambda::Client>,
    #[cfg(feature = "sqs")]
    pub(crate) sqs: Lazy<aws_sdk_sqs::Client>,
    #[cfg(feature = "sqs")]
    pub(crate) queue_urls: crate::queues::Urls,
    #[cfg(feature = "ssm")]
    pub(crate) ssm: Lazy<aws_sdk_ssm::Client>,
}

impl Aws {
    /// The account and region that the environment names.
    pub async fn from_environment(settings: Settings) -> Self {
        let config = aws_config::defaults(BehaviorVersion::latest())
            .http_client(https_client(settings.roots.as_deref()))
            .retry_config(Self::retries())
            .timeout_config(Self::timeouts())
            .load()
            .await;
        Self::new(&config, settings)
    }

    /// Clients of `config`, all with the same HTTP client. Opens no connection.
    #[must_use]
    #[cfg_attr(not(feature = "ecs"), allow(unused_variables, reason = "without features there is no client"))]
    pub fn new(config: &SdkConfig, settings: Settings) -> Self {
        let config = Arc::new(config.clone());
        Self {
            now: system_time,
            settings,
            #[cfg(feature = "people")]
            config: Arc::clone(&config),
            #[cfg(feature = "applicationautoscaling")]
            applicationautoscaling: lazy(&config, aws_sdk_applicationautoscaling::Client::new),
            #[cfg(feature = "autoscaling")]
            autoscaling: lazy(&config, aws_sdk_autoscaling::Client::new),
            #[cfg(feature = "autoscaling")]
            scaling: crate::scaling::Known::default(),
            #[cfg(feature = "cloudwatch")]
            cloudwatch: lazy(&config, aws_sdk_cloudwatch::Client::new),
            #[cfg(feature = "dynamodb")]
            dynamodb: lazy(&config, aws_sdk_dynamodb::Client::new),
            #[cfg(feature = "ec2")]
            ec2: lazy(&config, aws_sdk_ec2::Client::new),
            #[cfg(feature = "ecs")]
            ecs: lazy(&config, aws_sdk_ecs::Client::new),
            #[cfg(feature = "ecs")]
            known: crate::ecs::Known::default(),
            #[cfg(feature = "elb")]
            elb: lazy(&config, aws_sdk_elasticloadbalancingv2::Client::new),
            #[cfg(feature = "lambda")]
            lambda: lazy(&config, aws_sdk_lambda::Client::new),
            #[cfg(feature = "sqs")]
            sqs: lazy(&config, aws_sdk_sqs::Client::new),
            #[cfg(feature = "sqs")]
            queue_urls: crate::queues::Urls::default(),
            #[cfg(feature = "ssm")]
            ssm: lazy(&config, aws_sdk_ssm::Client::new),
        }
    }

    /// The same account and credentials, asked about as `also` says, and with nothing known yet.
    #[cfg(feature = "people")]
    #[must_use]
    pub fn asking(&self, also: Also) -> Self {
        Self::new(&self.config, Settings { also, ..self.settings.clone() })
    }

    /// The same with another clock.
    #[must_use]
    pub fn with_clock(mut self, now: fn() -> Timestamp) -> Self {
        self.now = now;
        self
    }

    /// How often the SDK tries.
    #[must_use]
    pub fn retries() -> RetryConfig {
        RetryConfig::standard().with_max_attempts(TRIES).with_initial_backoff(FIRST_PAUSE)
    }

    /// For a write of which a second would do something more, or be told wrongly, because AWS documents no token or absolute
    /// value that makes it the same: the SDK does not try it again, and whoever asked looks first.
    #[cfg_attr(
        not(any(feature = "cloudwatch", feature = "lambda")),
        allow(dead_code, reason = "not every service has such a write")
    )]
    pub(crate) fn once() -> RetryConfig {
        RetryConfig::disabled()
    }

    /// How long the SDK waits.
    #[must_use]
    pub fn timeouts() -> TimeoutConfig {
        TimeoutConfig::builder()
            .connect_timeout(CONNECT)
            .operation_attempt_timeout(ATTEMPT)
            .operation_timeout(OPERATION)
            .build()
    }
}

#[cfg_attr(not(feature = "ecs"), allow(dead_code, reason = "without features there is no client"))]
fn lazy<C: 'static>(config: &Arc<SdkConfig>, make: fn(&SdkConfig) -> C) -> Lazy<C> {
    let config = Arc::clone(config);
    LazyLock::new(Box::new(move || make(&config)))
}

impl Clock for Aws {
    fn now(&self) -> Timestamp {
        (self.now)()
    }

    async fn sleep(&self, pause: Duration) {
        tokio::time::sleep(pause).await;
    }
}
