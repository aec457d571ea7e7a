//! Whether a host that is being taken will be empty in time, said up front.

use std::collections::BTreeMap;
use std::time::Duration;

use evenkeel_model::observed::{EcsService, Running, TaskPhase};
use evenkeel_model::{InstanceId, ServiceName, Timestamp};

/// A container with its image on the host starts in 4 to 9 s (captured: 8.3 and 9.0 s).
const USUAL_START: Duration = Duration::from_secs(9);
/// From DRAINING to ECS's scheduler doing something about it.
const SCHEDULER: Duration = Duration::from_secs(2);

/// What will not be gone from `host` by `deadline`, and why; none where all should be.
pub(crate) fn at_risk(host: &InstanceId, deadline: Timestamp, running: &Running, now: Timestamp) -> Option<String> {
    let left = if deadline > now { deadline.duration_since(now).unsigned_abs() } else { Duration::ZERO };
    let mut alone = 0_u32;
    let mut of: BTreeMap<&ServiceName, u32> = BTreeMap::new();
    for task in running.tasks.iter().filter(|task| task.host == *host && task.phase != TaskPhase::Stopping) {
        match &task.service {
            Some(service) => *of.entry(service).or_default() += 1,
            None => alone += 1,
        }
    }
    let mut risks: Vec<String> = Vec::new();
    for (name, tasks) in of {
        let Some(service) = running.services.iter().find(|service| service.name == *name) else { continue };
        let EcsService { leaving, stop_timeout, .. } = service;
        if leaving.minimum_percent >= 100 && leaving.maximum_percent <= 100 {
            risks.push(format!("{tasks} {name}: minimum and maximum are both 100 %, so none can move first"));
            continue;
        }
        // With a minimum of 100 %, others run first; then a task is deregistered, and then it has its stop timeout.
        let first = if leaving.minimum_percent >= 100 { USUAL_START } else { Duration::ZERO };
        let takes = SCHEDULER + first + leaving.deregistration_delay + *stop_timeout;
        if takes > left {
            let (takes, left) = (takes.as_secs(), left.as_secs());
            risks.push(format!("{tasks} {name} may take {takes} s to go, and {left} s are left"));
        }
    }
    if alone > 0 {
        risks.push(format!("{alone} standalone tasks, which ECS does not move"));
    }
    (!risks.is_empty()).then(|| risks.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn running(leaving: &str, stop_seconds: u64) -> Running {
        let json = serde_json::json!({
            "tasks": [{
                "id": "t-1", "host": "spot-1", "service": "web", "takes": { "cpu": 1, "memory": 1 },
                "phase": "RUNNING", "created": "2026-01-05T00:00:00Z",
            }],
            "services": [{
                "name": "web", "desired": 1, "task": { "cpu": 1, "memory": 1 },
                "stop_timeout": { "secs": stop_seconds, "nanos": 0 },
                "leaving": serde_json::from_str::<serde_json::Value>(leaving).unwrap(),
            }],
        });
        serde_json::from_value(json).unwrap()
    }

    fn risk(leaving: &str, stop_seconds: u64) -> Option<String> {
        let now: Timestamp = "2026-01-05T00:10:00Z".parse().unwrap();
        at_risk(&"spot-1".parse().unwrap(), now + Duration::from_secs(118), &running(leaving, stop_seconds), now)
    }

    #[test]
    fn a_task_that_can_go_in_time_is_no_risk() {
        assert_eq!(risk("{}", 30), None);
    }

    #[test]
    fn what_cannot_go_in_time_is_named_before_the_drain_begins() {
        let said = |leaving, stop| risk(leaving, stop).unwrap_or_default();
        assert!(said("{}", 120).contains("131 s to go, and 118 s are left"));
        assert!(said(r#"{"minimum_percent":100,"maximum_percent":100}"#, 1).contains("both 100 %"));
        let slow = r#"{"deregistration_delay":{"secs":300,"nanos":0}}"#;
        assert!(said(slow, 30).contains("341 s"));
    }
}
