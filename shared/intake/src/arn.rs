//! The parts of an ARN that name something.

use std::str::FromStr;

use evenkeel_model::ids::{ClusterName, InvalidId};

use crate::malformed::{Malformed, Reason};

/// What an ECS ARN names: `KIND/CLUSTER/NAME`, or `KIND/NAME` before 2018 and for clusters themselves (ECS developer
/// guide, "Amazon Resource Names (ARNs) and IDs").
pub(crate) struct EcsName<T> {
    pub(crate) cluster: Option<ClusterName>,
    pub(crate) name: T,
}

/// The last part of an ARN, after the account: `arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE`.
pub(crate) fn resource(arn: &str) -> Option<&str> {
    arn.strip_prefix("arn:")?.splitn(5, ':').nth(4)
}

/// Reads an ECS ARN; `place` names the field in what is refused.
pub(crate) fn ecs<T: FromStr<Err = InvalidId>>(
    arn: &str,
    kind: &str,
    expected: &'static str,
    place: &str,
) -> Result<EcsName<T>, Malformed> {
    let refused = || Malformed::at(place, Reason::NotAnArn { text: arn.chars().take(80).collect(), expected });
    let path = resource(arn).and_then(|path| path.strip_prefix(kind)?.strip_prefix('/')).ok_or_else(refused)?;
    let (cluster, name) = match path.split_once('/') {
        Some((cluster, name)) => (Some(cluster), name),
        None => (None, path),
    };
    let cluster = cluster.map(str::parse).transpose().map_err(|problem: InvalidId| Malformed::at(place, problem))?;
    let name = name.parse().map_err(|problem: InvalidId| Malformed::at(place, problem))?;
    Ok(EcsName { cluster, name })
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenkeel_model::ids::TaskId;

    fn task(arn: &str) -> Option<(Option<String>, String)> {
        let EcsName { cluster, name } = ecs::<TaskId>(arn, "task", "a task's ARN", "taskArn").ok()?;
        Some((cluster.map(|cluster| cluster.to_string()), name.to_string()))
    }

    #[test]
    fn reads_both_generations_of_ecs_arns_and_nothing_else() {
        assert_eq!(task("arn:aws:ecs:eu-west-1:123456789012:task/shop/t-1"), Some((Some("shop".into()), "t-1".into())));
        assert_eq!(task("arn:aws:ecs:eu-west-1:123456789012:task/t-1"), Some((None, "t-1".into())));
        for bad in
            ["", "t-1", "arn:aws:ecs:eu-west-1:task/t-1", "arn:aws:ecs:::taskshop/t-1", "arn:aws:ecs:::task/a/b/c"]
        {
            assert_eq!(task(bad), None, "{bad}");
        }
    }
}
