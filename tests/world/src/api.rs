//! AWS's API as its callers feel it: latency, token buckets, counts.

use std::collections::BTreeMap;

use rand_chacha::ChaCha8Rng;

use crate::clock::Ms;
use crate::setup::Spread;

/// A call, in AWS's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Api {
    /// ECS ListContainerInstances and DescribeContainerInstances.
    DescribeContainerInstances,
    /// ECS ListTasks and DescribeTasks.
    DescribeTasks,
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
    /// EC2 DescribeSpotInstanceRequests.
    DescribeSpotRequests,
    /// DynamoDB BatchGetItem.
    BatchGetItem,
    /// DynamoDB TransactWriteItems.
    TransactWriteItems,
}

impl Api {
    /// The action's name.
    #[must_use]
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::DescribeContainerInstances => "ecs:DescribeContainerInstances",
            Self::DescribeTasks => "ecs:DescribeTasks",
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
            Self::DescribeSpotRequests => "ec2:DescribeSpotInstanceRequests",
            Self::BatchGetItem => "dynamodb:BatchGetItem",
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
                | Self::SendMessageBatch
                | Self::TransactWriteItems
        )
    }

    /// Which bucket the call takes from: its size and its refill a second (Amazon ECS API reference, request throttling;
    /// the others are so large that a fleet does not meet them).
    const fn bucket(self) -> Option<(u8, f64, f64)> {
        match self {
            Self::DescribeContainerInstances | Self::DescribeTasks => Some((0, 100.0, 20.0)),
            Self::DescribeServices => Some((1, 100.0, 20.0)),
            Self::UpdateService => Some((2, 50.0, 5.0)),
            Self::UpdateContainerInstancesState | Self::PutAttributes => Some((3, 100.0, 40.0)),
            // Not published; assumed low.
            Self::DescribeAutoScalingGroups
            | Self::DescribeScalingActivities
            | Self::DescribeInstanceRefreshes
            | Self::SetDesiredCapacity
            | Self::TerminateInstance => Some((4, 20.0, 5.0)),
            Self::DescribeSpotRequests => Some((5, 100.0, 20.0)),
            Self::GetMetricData
            | Self::DescribeAlarms
            | Self::GetQueueAttributes
            | Self::SendMessageBatch
            | Self::GetParameter
            | Self::BatchGetItem
            | Self::TransactWriteItems => None,
        }
    }

    /// From the call to the effect, and again from the effect to the answer.
    const fn latency(self) -> Spread {
        match self {
            Self::BatchGetItem | Self::TransactWriteItems => Spread { least: 3, usual: 6, most: 25 },
            Self::SendMessageBatch | Self::GetQueueAttributes | Self::GetParameter => {
                Spread { least: 8, usual: 15, most: 60 }
            }
            Self::DescribeContainerInstances
            | Self::DescribeTasks
            | Self::DescribeServices
            | Self::UpdateService
            | Self::UpdateContainerInstancesState
            | Self::PutAttributes
            | Self::DescribeInstanceRefreshes
            | Self::DescribeAutoScalingGroups
            | Self::DescribeScalingActivities
            | Self::SetDesiredCapacity
            | Self::TerminateInstance
            | Self::DescribeSpotRequests
            | Self::GetMetricData
            | Self::DescribeAlarms => Spread { least: 20, usual: 45, most: 250 },
        }
    }
}

/// What was called, and what the buckets hold.
#[derive(Debug, Default)]
pub(crate) struct Apis {
    pub(crate) calls: BTreeMap<Api, u64>,
    pub(crate) throttled: u64,
    buckets: BTreeMap<u8, (f64, Ms)>,
}

impl Apis {
    /// Counts a call and says how long it takes; none when its bucket is empty.
    pub(crate) fn take(&mut self, api: Api, now: Ms, rng: &mut ChaCha8Rng) -> (Ms, bool) {
        *self.calls.entry(api).or_default() += 1;
        let latency = api.latency().draw(rng);
        let Some((bucket, size, refill)) = api.bucket() else { return (latency, true) };
        let (left, since) = self.buckets.entry(bucket).or_insert((size, now));
        *left = (*left + refill * crate::clock::seconds(now - *since)).min(size);
        *since = now;
        if *left < 1.0 {
            self.throttled += 1;
            return (latency, false);
        }
        *left -= 1.0;
        (latency, true)
    }
}
