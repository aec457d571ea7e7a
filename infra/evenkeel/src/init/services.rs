//! Services, their priorities and their demand, from ECS services, scaling policies and target groups.

use std::collections::BTreeMap;
use std::fmt::Write;

use evenkeel_model::fleet::Statistic;
use evenkeel_model::observed::HandsOff;
use evenkeel_model::survey::{Balanced, FoundService, ScalesBy, Survey};

use super::{argument, quoted};

/// A fleet file's limit of a service's tasks.
const MOST_TASKS: u32 = 5_000;
/// A fleet file's limit of services.
const MOST_SERVICES: usize = 500;

/// What is proposed for a service's demand.
struct Demand {
    /// TOML.
    text: String,
    because: String,
}

/// Why a service is no service of the fleet.
fn not_ours(found: &FoundService) -> Option<&'static str> {
    match found.service.hands_off? {
        HandsOff::Daemon => Some("a daemon has one task on each host, whatever the count"),
        HandsOff::Deleted => Some("it is being deleted"),
        HandsOff::Fargate => Some("its tasks run on Fargate, on no host of the fleet"),
        HandsOff::Anywhere => Some("its tasks run outside AWS"),
        HandsOff::ManagedInstances => Some("its tasks run on ECS Managed Instances, which AWS scales by itself"),
        HandsOff::TaskSets => Some("somebody else makes its task sets, and says how many tasks each has"),
        HandsOff::Deploying | HandsOff::ScaledElsewhere | HandsOff::DeploymentFailed => None,
    }
}

pub(super) fn text(found: &Survey) -> String {
    let mut ours: Vec<&FoundService> = found.services.iter().filter(|one| not_ours(one).is_none()).collect();
    ours.truncate(MOST_SERVICES);
    // Whoever answers people comes first, then whoever is scaled, then the rest.
    ours.sort_by_key(|one| (rank(one), one.service.name.clone()));
    let cluster = found.cluster.as_ref().map(ToString::to_string).unwrap_or_default();
    let mut text = String::new();
    if !ours.is_empty() {
        text.push_str(
            "# Priority 1 is served first when hosts are short. A service whose work can wait may say `fill = true` in place of its\n\
             # demand, with a larger priority than all others: it takes every hole that is left.\n",
        );
    }
    for one in ours {
        text.push_str(&service(one, &cluster));
    }
    text
}

/// 1 is served first.
fn rank(found: &FoundService) -> u32 {
    let requests = found.policies.iter().any(|policy| matches!(policy.by, ScalesBy::Requests(..)));
    match (requests || !found.balanced.is_empty(), found.policies.is_empty()) {
        (true, _) => 1,
        (false, false) => 2,
        (false, true) => 3,
    }
}

fn service(found: &FoundService, cluster: &str) -> String {
    let service = &found.service;
    let why = ["it is behind a load balancer", "it is scaled by what it has to do", "nothing says how urgent it is"];
    let rank = rank(found);
    let (demand, others) = demand(found, cluster);
    let (least, most, because) = bounds(found);
    let mut text = format!("[[service]]\nname = {}\n", quoted(service.name.as_str()));
    let rows = [
        (format!("priority = {rank}"), why[(rank - 1) as usize].to_owned()),
        (format!("min_tasks = {least}"), because.to_owned()),
        (format!("max_tasks = {most}"), String::new()),
    ];
    for (row, because) in rows {
        let row = if because.is_empty() { row } else { format!("{row:<24}# {because}") };
        let _a_string_takes_all = writeln!(text, "{row}");
    }
    let _a_string_takes_all = writeln!(text, "# {}", demand.because);
    let _a_string_takes_all = writeln!(text, "demand = {}", demand.text);
    for other in others {
        let _a_string_takes_all = writeln!(text, "# {other}");
    }
    text.push('\n');
    text
}

/// The least and the most tasks.
fn bounds(found: &FoundService) -> (u32, u32, &'static str) {
    let desired = found.service.desired.min(MOST_TASKS);
    match found.scalable {
        Some((least, most)) => {
            let least = least.min(MOST_TASKS);
            (least, most.clamp(least.max(1), MOST_TASKS), "both as its scalable target has them")
        }
        None => {
            let most = desired.saturating_mul(2).clamp(1, MOST_TASKS);
            (desired, most, "as many as it wants now, and twice that: nothing else says how few are enough")
        }
    }
}

/// The first demand that Even Keel can follow, and what is said of the others.
fn demand(found: &FoundService, cluster: &str) -> (Demand, Vec<String>) {
    let mut chosen: Option<Demand> = None;
    let mut others = Vec::new();
    for policy in &found.policies {
        match (of_policy(found, &policy.by, cluster), &chosen) {
            (Ok(demand), None) => {
                chosen = Some(Demand { because: format!("as its scaling policy {}", policy.name), text: demand });
            }
            (Ok(demand), Some(_)) => {
                others
                    .push(format!("its scaling policy {} as well, of which a service has one: {demand}", policy.name));
            }
            (Err(because), _) => {
                others.push(format!("its scaling policy {} has no counterpart: {because}", policy.name));
            }
        }
    }
    let chosen = chosen.or_else(|| found.balanced.first().and_then(by_requests)).unwrap_or_else(|| Demand {
        because: "nothing tells what it has to do: it holds its count until somebody sends a value (`evenkeel push`); name a metric\n\
                  # or a queue in place of this, or `fill = true` where it can wait"
            .to_owned(),
        text: "{ manual = true, per_task = 1 }".to_owned(),
    });
    if let Some(balanced) = found.balanced.first().filter(|one| one.requests.is_none())
        && chosen.text.contains("manual")
    {
        others.push(format!(
            "it is behind a load balancer; say what one task serves in a minute: {}",
            requests(balanced, "N")
        ));
    }
    (chosen, others)
}

fn of_policy(found: &FoundService, by: &ScalesBy, cluster: &str) -> Result<String, String> {
    let own = |metric: &str, target: f64| {
        let dimensions = BTreeMap::from([
            ("ClusterName".to_owned(), cluster.to_owned()),
            ("ServiceName".to_owned(), found.service.name.to_string()),
        ]);
        tracking(&format!("AWS/ECS/{metric}"), Statistic::Average, &dimensions, target)
    };
    match by {
        ScalesBy::Cpu(target) => own("CPUUtilization", *target),
        ScalesBy::Memory(target) => own("MemoryUtilization", *target),
        ScalesBy::Requests(balanced, target) => positive(*target).map(|target| requests(balanced, &target)),
        ScalesBy::Metric { metric, statistic, dimensions, target } => tracking(metric, *statistic, dimensions, *target),
        ScalesBy::Other(what) => Err(what.clone()),
    }
}

/// A number that a fleet file takes.
fn positive(number: f64) -> Result<String, String> {
    if (1e-9..=1e15).contains(&number) { Ok(format!("{number}")) } else { Err(format!("its target is {number}")) }
}

fn tracking(
    metric: &str,
    statistic: Statistic,
    dimensions: &BTreeMap<String, String>,
    target: f64,
) -> Result<String, String> {
    let target = positive(target)?;
    if evenkeel_model::MetricName::new(metric).is_err() {
        return Err(format!("a fleet file cannot name the metric {metric}"));
    }
    if metric.starts_with("AWS/") && dimensions.is_empty() {
        return Err(format!("{metric} has no dimensions"));
    }
    // A sum over a minute as it is, as a scaling policy takes it.
    let per = if matches!(statistic, Statistic::Sum | Statistic::SampleCount) { ", per = \"period\"" } else { "" };
    let dimensions =
        if dimensions.is_empty() { String::new() } else { format!(", dimensions = {}", table(dimensions)) };
    Ok(format!(
        "{{ metric = {}, statistic = \"{statistic:?}\", period = \"1m\"{per}{dimensions}, target = {target} }}",
        quoted(metric)
    ))
}

fn table(dimensions: &BTreeMap<String, String>) -> String {
    let pairs: Vec<String> =
        dimensions.iter().map(|(name, value)| format!("{} = {}", quoted(name), quoted(value))).collect();
    format!("{{ {} }}", pairs.join(", "))
}

/// All requests of a minute, by what one task serves: the same as so many requests per target.
fn requests(balanced: &Balanced, per_task: &str) -> String {
    let dimensions = BTreeMap::from([
        ("LoadBalancer".to_owned(), balanced.load_balancer.clone()),
        ("TargetGroup".to_owned(), balanced.target_group.clone()),
    ]);
    format!(
        "{{ metric = \"AWS/ApplicationELB/RequestCount\", statistic = \"Sum\", period = \"1m\", per = \"period\", missing = \"zero\", \
         dimensions = {}, per_task = {per_task} }}",
        table(&dimensions)
    )
}

fn by_requests(balanced: &Balanced) -> Option<Demand> {
    let per_task = balanced.requests?.ceil();
    let per_task = positive(per_task).ok()?;
    let because =
        "what each task got in a minute, on the average of the last day: say what one task can serve".to_owned();
    Some(Demand { text: requests(balanced, &per_task), because })
}

/// The services that are not in the file.
pub(super) fn left_out(found: &Survey) -> Vec<String> {
    found.services.iter().filter_map(|one| Some(format!("service {}: {}", one.service.name, not_ours(one)?))).collect()
}

/// What else sets the counts of the services.
pub(super) fn switch_off(found: &Survey, options: &str) -> Vec<String> {
    let Some(cluster) = &found.cluster else { return Vec::new() };
    let scaled = found.services.iter().filter(|one| one.scalable.is_some() && not_ours(one).is_none());
    scaled
        .map(|one| {
            let resource = argument(&format!("service/{cluster}/{}", one.service.name));
            format!(
                "service {}: Application Auto Scaling sets its count\n  aws application-autoscaling deregister-scalable-target \
                 --service-namespace ecs --scalable-dimension ecs:service:DesiredCount --resource-id {resource}{options}",
                one.service.name
            )
        })
        .collect()
}
