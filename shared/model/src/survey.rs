//! What an account holds of which a fleet could be made, as it was read.

use std::collections::BTreeMap;

use crate::fleet::Statistic;
use crate::groups::Group;
use crate::ids::{AlarmName, ClusterName, ProviderName};
use crate::observed::EcsService;
use crate::resources::Resources;

/// A cluster with all that belongs to it; or groups without one.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Survey {
    /// The ECS cluster.
    pub cluster: Option<ClusterName>,
    /// The Auto Scaling groups that its hosts are of, those behind its capacity providers, and those that were named.
    pub groups: Vec<FoundGroup>,
    /// Hosts of the cluster that are in no group.
    pub strays: usize,
    /// Its services.
    pub services: Vec<FoundService>,
    /// Alarms about the cluster, its groups or its load balancers, but for those that scaling policies made.
    pub alarms: Vec<AlarmName>,
    /// What could not be read, and why.
    pub unread: Vec<String>,
}

/// An Auto Scaling group.
#[derive(Debug, Clone, PartialEq)]
pub struct FoundGroup {
    /// As the functions see it.
    pub group: Group,
    /// How it says that its instances are bought.
    pub bought: Bought,
    /// How many of its instances are spot, by EC2's spot requests.
    pub spot: usize,
    /// The capacity provider that it is behind.
    pub provider: Option<ProviderName>,
    /// What one of its hosts registered with the cluster.
    pub room: Option<Resources>,
}

/// How a group buys instances (Auto Scaling API reference, InstancesDistribution; EC2 API reference,
/// LaunchTemplateInstanceMarketOptions).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bought {
    /// On demand, whether a reservation or a savings plan pays for it or not.
    OnDemand,
    /// As spot instances.
    Spot,
    /// So many on demand first, and so many of a hundred beyond them.
    Both {
        /// `OnDemandBaseCapacity`.
        base: u32,
        /// `OnDemandPercentageAboveBaseCapacity`.
        percent: u32,
    },
}

/// An ECS service.
#[derive(Debug, Clone, PartialEq)]
pub struct FoundService {
    /// As the functions see it.
    pub service: EcsService,
    /// Its scalable target's `MinCapacity` and `MaxCapacity`, where Application Auto Scaling has one.
    pub scalable: Option<(u32, u32)>,
    /// The scaling policies of that target.
    pub policies: Vec<FoundPolicy>,
    /// Its target groups behind Application Load Balancers.
    pub balanced: Vec<Balanced>,
}

/// A scaling policy of Application Auto Scaling.
#[derive(Debug, Clone, PartialEq)]
pub struct FoundPolicy {
    /// `PolicyName`.
    pub name: String,
    /// What it goes by.
    pub by: ScalesBy,
}

/// What a scaling policy goes by.
#[derive(Debug, Clone, PartialEq)]
pub enum ScalesBy {
    /// Target tracking of the service's own CPU utilisation, in percent.
    Cpu(f64),
    /// Target tracking of the service's own memory utilisation, in percent.
    Memory(f64),
    /// Target tracking of the requests that each target gets in a minute.
    Requests(Balanced, f64),
    /// Target tracking of a metric of one's own.
    Metric {
        /// `Namespace/MetricName`.
        metric: String,
        /// `Statistic`.
        statistic: Statistic,
        /// `Dimensions`.
        dimensions: BTreeMap<String, String>,
        /// `TargetValue`.
        target: f64,
    },
    /// Anything else, in words: steps, forecasts, metric math.
    Other(String),
}

/// A target group behind an Application Load Balancer, as CloudWatch's dimensions call them.
#[derive(Debug, Clone, PartialEq)]
pub struct Balanced {
    /// `app/NAME/ID`.
    pub load_balancer: String,
    /// `targetgroup/NAME/ID`.
    pub target_group: String,
    /// Requests that each target got in a minute, on the average of the last day; none where nothing tells.
    pub requests: Option<f64>,
}

impl Balanced {
    /// Of a policy's `ResourceLabel`, `app/NAME/ID/targetgroup/NAME/ID` (Application Auto Scaling API reference,
    /// PredefinedMetricSpecification).
    #[must_use]
    pub fn of_label(label: &str) -> Option<Self> {
        let at = label.find("/targetgroup/")?;
        let (load_balancer, target_group) = (label[..at].to_owned(), label[at + 1..].to_owned());
        load_balancer.starts_with("app/").then_some(Self { load_balancer, target_group, requests: None })
    }

    /// Of both ARNs (Elastic Load Balancing, "CloudWatch metrics for your Application Load Balancer").
    #[must_use]
    pub fn of_arns(load_balancer: &str, target_group: &str) -> Option<Self> {
        let (_, load_balancer) = load_balancer.split_once(":loadbalancer/")?;
        let target_group = target_group.rsplit(':').next()?;
        Self::of_label(&format!("{load_balancer}/{target_group}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_group_is_known_by_label_and_by_arns() {
        let label = Balanced::of_label("app/shop/50dc6c495c0c9188/targetgroup/web/73e2d6bc24d8a067");
        let arn = "arn:aws:elasticloadbalancing:eu-west-1:1:";
        let arns = Balanced::of_arns(
            &format!("{arn}loadbalancer/app/shop/50dc6c495c0c9188"),
            &format!("{arn}targetgroup/web/73e2d6bc24d8a067"),
        );
        assert_eq!(label, arns);
        let found = label.unwrap();
        assert_eq!(found.load_balancer, "app/shop/50dc6c495c0c9188");
        assert_eq!(found.target_group, "targetgroup/web/73e2d6bc24d8a067");
        let network = format!("{arn}loadbalancer/net/shop/50dc6c495c0c9188");
        assert_eq!(Balanced::of_arns(&network, &format!("{arn}targetgroup/web/1")), None, "it counts no requests");
    }
}
