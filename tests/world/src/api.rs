//! AWS's API as its callers feel it: latency, token buckets, counts.

use std::collections::BTreeMap;

use evenkeel_model::FunctionName;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use crate::account::{Bucket, Buckets, Taken};
use crate::clock::Ms;
use crate::setup::Spread;

/// The adapters make so many requests of one call at once.
const TOGETHER: u32 = 8;
/// So few pages of one call all take as long as the first.
const MOST_ALIKE: u32 = 8;

/// A call, in AWS's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Api {
    /// ECS DescribeClusters, ListContainerInstances and DescribeContainerInstances.
    DescribeContainerInstances,
    /// ECS ListTasks.
    ListTasks,
    /// ECS DescribeTasks.
    DescribeTasks,
    /// ECS GetTaskProtection.
    GetTaskProtection,
    /// ECS DescribeServices.
    DescribeServices,
    /// ECS UpdateService.
    UpdateService,
    /// CloudWatch GetMetricData.
    GetMetricData,
    /// CloudWatch DescribeAlarms.
    DescribeAlarms,
    /// SQS GetQueueAttributes.
    GetQueueAttributes,
    /// SQS SendMessageBatch.
    SendMessageBatch,
    /// SSM GetParameter.
    GetParameter,
    /// ECS UpdateContainerInstancesState.
    UpdateContainerInstancesState,
    /// Auto Scaling DescribeAutoScalingGroups.
    DescribeAutoScalingGroups,
    /// Auto Scaling DescribeScalingActivities.
    DescribeScalingActivities,
    /// ECS PutAttributes and DeleteAttributes.
    PutAttributes,
    /// Auto Scaling DescribeInstanceRefreshes.
    DescribeInstanceRefreshes,
    /// Auto Scaling SetDesiredCapacity.
    SetDesiredCapacity,
    /// Auto Scaling TerminateInstanceInAutoScalingGroup.
    TerminateInstance,
    /// Auto Scaling DescribeWarmPool.
    DescribeWarmPool,
    /// Auto Scaling SetInstanceHealth.
    SetInstanceHealth,
    /// EC2 DescribeSpotInstanceRequests.
    DescribeSpotRequests,
    /// EC2 DescribeLaunchTemplateVersions.
    DescribeTemplateVersions,
    /// EC2 DescribeInstances.
    DescribeInstances,
    /// EC2 DescribeImages.
    DescribeImages,
    /// EC2 CreateLaunchTemplateVersion.
    CreateTemplateVersion,
    /// EC2 ModifyLaunchTemplate.
    ModifyTemplate,
    /// EC2 RunInstances.
    RunInstances,
    /// EC2 TerminateInstances.
    TerminateInstances,
    /// EC2 CreateImage.
    CreateImage,
    /// EC2 DeregisterImage and DeleteSnapshot.
    DeregisterImage,
    /// Auto Scaling UpdateAutoScalingGroup.
    UpdateGroup,
    /// Elastic Load Balancing DescribeTargetHealth.
    DescribeTargetHealth,
    /// DynamoDB BatchGetItem.
    BatchGetItem,
    /// DynamoDB Query.
    Query,
    /// DynamoDB TransactWriteItems.
    TransactWriteItems,
}

impl Api {
    /// The action's name.
    #[must_use]
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::DescribeContainerInstances => "ecs:DescribeContainerInstances",
            Self::ListTasks => "ecs:ListTasks",
            Self::DescribeTasks => "ecs:DescribeTasks",
            Self::GetTaskProtection => "ecs:GetTaskProtection",
            Self::DescribeServices => "ecs:DescribeServices",
            Self::UpdateService => "ecs:UpdateService",
            Self::GetMetricData => "cloudwatch:GetMetricData",
            Self::DescribeAlarms => "cloudwatch:DescribeAlarms",
            Self::GetQueueAttributes => "sqs:GetQueueAttributes",
            Self::SendMessageBatch => "sqs:SendMessageBatch",
            Self::GetParameter => "ssm:GetParameter",
            Self::UpdateContainerInstancesState => "ecs:UpdateContainerInstancesState",
            Self::DescribeAutoScalingGroups => "autoscaling:DescribeAutoScalingGroups",
            Self::DescribeScalingActivities => "autoscaling:DescribeScalingActivities",
            Self::PutAttributes => "ecs:PutAttributes",
            Self::DescribeInstanceRefreshes => "autoscaling:DescribeInstanceRefreshes",
            Self::SetDesiredCapacity => "autoscaling:SetDesiredCapacity",
            Self::TerminateInstance => "autoscaling:TerminateInstanceInAutoScalingGroup",
            Self::DescribeWarmPool => "autoscaling:DescribeWarmPool",
            Self::SetInstanceHealth => "autoscaling:SetInstanceHealth",
            Self::DescribeSpotRequests => "ec2:DescribeSpotInstanceRequests",
            Self::DescribeTemplateVersions => "ec2:DescribeLaunchTemplateVersions",
            Self::DescribeInstances => "ec2:DescribeInstances",
            Self::DescribeImages => "ec2:DescribeImages",
            Self::CreateTemplateVersion => "ec2:CreateLaunchTemplateVersion",
            Self::ModifyTemplate => "ec2:ModifyLaunchTemplate",
            Self::RunInstances => "ec2:RunInstances",
            Self::TerminateInstances => "ec2:TerminateInstances",
            Self::CreateImage => "ec2:CreateImage",
            Self::DeregisterImage => "ec2:DeregisterImage",
            Self::UpdateGroup => "autoscaling:UpdateAutoScalingGroup",
            Self::DescribeTargetHealth => "elasticloadbalancing:DescribeTargetHealth",
            Self::BatchGetItem => "dynamodb:BatchGetItem",
            Self::Query => "dynamodb:Query",
            Self::TransactWriteItems => "dynamodb:TransactWriteItems",
        }
    }

    /// Whether the call changes something that others see.
    #[must_use]
    pub(crate) const fn changes(self) -> bool {
        matches!(
            self,
            Self::UpdateService
                | Self::UpdateContainerInstancesState
                | Self::PutAttributes
                | Self::SetDesiredCapacity
                | Self::TerminateInstance
                | Self::SetInstanceHealth
                | Self::CreateTemplateVersion
                | Self::ModifyTemplate
                | Self::RunInstances
                | Self::TerminateInstances
                | Self::CreateImage
                | Self::DeregisterImage
                | Self::UpdateGroup
                | Self::SendMessageBatch
                | Self::TransactWriteItems
        )
    }

    /// Which bucket the call takes from: its size and its refill a second (Amazon ECS API reference, request throttling;
    /// the others are so large that a fleet does not meet them).
    const fn bucket(self) -> Option<(u8, f64, f64)> {
        match self {
            Self::DescribeContainerInstances | Self::ListTasks | Self::DescribeTasks => Some((0, 100.0, 20.0)),
            Self::GetTaskProtection => Some((8, 200.0, 80.0)),
            Self::DescribeServices => Some((1, 100.0, 20.0)),
            Self::UpdateService => Some((2, 50.0, 5.0)),
            Self::UpdateContainerInstancesState | Self::PutAttributes => Some((3, 100.0, 40.0)),
            // Not published; assumed low.
            Self::DescribeAutoScalingGroups
            | Self::DescribeScalingActivities
            | Self::DescribeInstanceRefreshes
            | Self::SetDesiredCapacity
            | Self::UpdateGroup
            | Self::TerminateInstance
            | Self::DescribeWarmPool
            | Self::SetInstanceHealth => Some((4, 20.0, 5.0)),
            Self::DescribeSpotRequests
            | Self::DescribeTemplateVersions
            | Self::DescribeInstances
            | Self::DescribeImages => Some((5, 100.0, 20.0)),
            Self::CreateTemplateVersion
            | Self::ModifyTemplate
            | Self::RunInstances
            | Self::CreateImage
            | Self::DeregisterImage => Some((6, 50.0, 5.0)),
            Self::TerminateInstances => Some((7, 100.0, 5.0)),
            Self::DescribeTargetHealth
            | Self::GetMetricData
            | Self::DescribeAlarms
            | Self::GetQueueAttributes
            | Self::SendMessageBatch
            | Self::GetParameter
            | Self::BatchGetItem
            | Self::Query
            | Self::TransactWriteItems => None,
        }
    }

    /// From the call to the effect, and again from the effect to the answer.
    const fn latency(self) -> Spread {
        match self {
            // The RunInstances call took 2.5 to 5 s (brevdev cold-boot study, 2026); CreateImage is taken to be alike.
            Self::RunInstances | Self::CreateImage => Spread { least: 1_500, usual: 2_500, most: 5_000 },
            Self::BatchGetItem | Self::Query | Self::TransactWriteItems => Spread { least: 3, usual: 6, most: 25 },
            Self::SendMessageBatch | Self::GetQueueAttributes | Self::GetParameter => {
                Spread { least: 8, usual: 15, most: 60 }
            }
            Self::DescribeContainerInstances
            | Self::ListTasks
            | Self::DescribeTasks
            | Self::GetTaskProtection
            | Self::DescribeServices
            | Self::UpdateService
            | Self::UpdateContainerInstancesState
            | Self::PutAttributes
            | Self::DescribeInstanceRefreshes
            | Self::DescribeAutoScalingGroups
            | Self::DescribeScalingActivities
            | Self::SetDesiredCapacity
            | Self::TerminateInstance
            | Self::DescribeWarmPool
            | Self::SetInstanceHealth
            | Self::DescribeSpotRequests
            | Self::DescribeTemplateVersions
            | Self::DescribeInstances
            | Self::DescribeImages
            | Self::CreateTemplateVersion
            | Self::ModifyTemplate
            | Self::TerminateInstances
            | Self::DeregisterImage
            | Self::UpdateGroup
            | Self::DescribeTargetHealth
            | Self::GetMetricData
            | Self::DescribeAlarms => Spread { least: 20, usual: 45, most: 250 },
        }
    }
}

/// A function's requests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Calls {
    /// To AWS, about the fleet.
    pub aws: u64,
    /// To the table.
    pub ledger: u64,
    /// Wake-ups that it asked for.
    pub beats: u64,
}

/// What was called, and what the buckets hold.
#[derive(Debug, Default)]
pub(crate) struct Apis {
    /// Requests, by who made them.
    pub(crate) calls: BTreeMap<(FunctionName, Api), u64>,
    pub(crate) throttled: u64,
    looks: BTreeMap<FunctionName, u64>,
    buckets: Buckets,
    /// When the buckets were asked for how much, where somebody wants to know.
    pub(crate) noted: Option<Vec<Taken>>,
}

impl Apis {
    /// Requests by action.
    pub(crate) fn by_action(&self) -> BTreeMap<&'static str, u64> {
        let mut sums = BTreeMap::new();
        for ((_, api), calls) in &self.calls {
            *sums.entry(api.name()).or_default() += calls;
        }
        sums
    }

    /// How often a function looked at the cluster's services.
    pub(crate) fn looks(&self, function: FunctionName) -> u64 {
        self.looks.get(&function).copied().unwrap_or(0)
    }

    /// A function's requests to AWS, those to its table and its wake-ups aside.
    pub(crate) fn of_aws(&self, function: FunctionName) -> u64 {
        self.split(function).aws
    }

    /// A function's requests, by what they are for.
    pub(crate) fn split(&self, function: FunctionName) -> Calls {
        let mut split = Calls::default();
        for ((_, api), calls) in self.calls.iter().filter(|((by, _), _)| *by == function) {
            *match api {
                Api::BatchGetItem | Api::Query | Api::TransactWriteItems => &mut split.ledger,
                Api::SendMessageBatch => &mut split.beats,
                Api::DescribeContainerInstances
                | Api::ListTasks
                | Api::DescribeTasks
                | Api::GetTaskProtection
                | Api::DescribeServices
                | Api::UpdateService
                | Api::GetMetricData
                | Api::DescribeAlarms
                | Api::GetQueueAttributes
                | Api::GetParameter
                | Api::UpdateContainerInstancesState
                | Api::DescribeAutoScalingGroups
                | Api::DescribeScalingActivities
                | Api::PutAttributes
                | Api::DescribeInstanceRefreshes
                | Api::SetDesiredCapacity
                | Api::TerminateInstance
                | Api::DescribeWarmPool
                | Api::SetInstanceHealth
                | Api::DescribeSpotRequests
                | Api::DescribeTemplateVersions
                | Api::DescribeInstances
                | Api::DescribeImages
                | Api::CreateTemplateVersion
                | Api::ModifyTemplate
                | Api::RunInstances
                | Api::TerminateInstances
                | Api::CreateImage
                | Api::DeregisterImage
                | Api::UpdateGroup
                | Api::DescribeTargetHealth => &mut split.aws,
            } += calls;
        }
        split
    }

    /// Counts a call's requests and says how long it takes, and whether its bucket had enough for all of them. Pages of a list
    /// come one after the other, and of other requests some are made together: the bucket fills meanwhile.
    pub(crate) fn take(
        &mut self,
        api: Api,
        function: FunctionName,
        requests: usize,
        now: Ms,
        rng: &mut ChaCha8Rng,
    ) -> (Ms, bool) {
        let requests = u32::try_from(requests.max(1)).unwrap_or(u32::MAX);
        let latency = api.latency().draw(rng);
        *self.calls.entry((function, api)).or_default() += u64::from(requests);
        if api == Api::DescribeServices {
            *self.looks.entry(function).or_default() += 1;
        }
        let Some((number, size, refill)) = api.bucket() else { return (latency, true) };
        let bucket = Bucket { number, size, refill };
        let together = if api == Api::ListTasks { 1 } else { TOGETHER };
        let rounds = requests.div_ceil(together);
        // Of many pages, some are slow and some are quick.
        let takes = match rounds {
            ..=MOST_ALIKE => latency * u64::from(rounds),
            _ => latency + (1..rounds).map(|_| api.latency().draw(rng)).sum::<Ms>(),
        };
        let taken = Taken::new(now, function, bucket, requests, takes - latency);
        if let Some(noted) = &mut self.noted {
            noted.push(taken);
        }
        if !self.buckets.take(taken) {
            self.throttled += 1;
            return (latency, false);
        }
        (takes, true)
    }
}
