//! From what an account holds to a fleet file: a proposal with its reasons, which `check` accepts.
//!
//! Architecture invariant: pure. What was read comes in, a text goes out.

mod pools;
mod services;
#[cfg(test)]
mod tests;

use std::fmt::Write;

use evenkeel_model::survey::Survey;

use pools::{Numbers, Proposed};

/// The region and profile of the commands that the file tells.
#[derive(Debug, Clone, Default)]
pub(crate) struct Where {
    /// What is added to each command of the AWS CLI.
    pub(crate) options: String,
}

/// Why nothing can be proposed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoFleet {
    /// There are no groups to make pools of.
    #[error(
        "no Auto Scaling group was found{of}: Even Keel keeps hosts of Auto Scaling groups\n  name groups that have no host now with \
         --group; services on Fargate or on ECS Managed Instances need no hosts, and AWS scales those"
    )]
    NoGroups {
        /// Of what.
        of: String,
    },
}

/// The text of a fleet file for what was found.
pub(crate) fn propose(found: &Survey, at: &Where) -> Result<String, NoFleet> {
    let of = found.cluster.as_ref().map(|name| format!(" for cluster {name}")).unwrap_or_default();
    let pools = pools::propose(&found.groups);
    if pools.is_empty() {
        return Err(NoFleet::NoGroups { of });
    }
    let numbers = Numbers::of(&pools);
    let mut text = heading(found, &of);
    text.push_str(&numbers.text());
    text.push_str(&pools::text(&pools));
    text.push_str(&backfill(found, &pools, &numbers));
    text.push_str(&services::text(found));
    text.push_str(&patch(&numbers));
    let rest = [
        ("Switch these off before Even Keel acts: two writers would set one number.", switch_off(found, at)),
        ("Left out, and why:", services::left_out(found)),
        ("Not as Even Keel needs it:", pools::unsupported(&pools)),
        ("Could not be read:", found.unread.clone()),
    ];
    for (title, lines) in rest.iter().filter(|(_, lines)| !lines.is_empty()) {
        let _a_string_takes_all = write!(text, "\n# {title}\n");
        for line in lines.iter().flat_map(|line| line.lines()) {
            let _a_string_takes_all = writeln!(text, "#   {line}");
        }
    }
    Ok(text)
}

fn heading(found: &Survey, of: &str) -> String {
    let name = match &found.cluster {
        Some(cluster) => cluster.as_str(),
        None => found.groups.first().map_or("fleet", |group| group.group.name.as_str()),
    };
    let mut text = format!(
        "# A proposal of `evenkeel init`{of}. Read it, change it, and then:\n#   evenkeel check THIS_FILE         all that is wrong with it\n\
         #   evenkeel look THIS_FILE          what Even Keel sees\n#   evenkeel plan THIS_FILE --live   what it would do\n\n"
    );
    let _a_string_takes_all = writeln!(text, "name = {}", quoted(&plain(name)));
    text.push_str(
        "# mode = \"observe\"      # uncomment to have what is deployed look, plan and record, and take no step\n",
    );
    match &found.cluster {
        Some(cluster) => {
            let _a_string_takes_all = writeln!(text, "cluster = {}", quoted(cluster.as_str()));
        }
        None => text.push_str("# No cluster: hosts behind a load balancer only.\n"),
    }
    if found.strays > 0 {
        let _a_string_takes_all = writeln!(
            text,
            "# {} of the cluster's hosts are in no Auto Scaling group: they are left alone.",
            found.strays
        );
    }
    text.push('\n');
    text
}

/// Hosts that stand in need a pool to come from.
fn backfill(found: &Survey, pools: &[Proposed<'_>], numbers: &Numbers) -> String {
    let alarms: Vec<String> = found.alarms.iter().take(20).map(|alarm| quoted(alarm.as_str())).collect();
    let suggested = format!("alarms = [{}]", alarms.join(", "));
    if !pools.iter().any(Proposed::stands_in) {
        return "# On-demand hosts that stand in for spot hosts that were taken, and help at a peak, need a pool with\n\
                # purchase = \"on-demand\": a group that is empty now. Make one, name it as a [[pool]], and say:\n# [backfill]\n\n"
            .to_owned();
    }
    let mut text = "# On-demand hosts stand in for hosts that were taken.\n[backfill]\n".to_owned();
    if !alarms.is_empty() && numbers.steady < numbers.maximum {
        let _a_string_takes_all = writeln!(
            text,
            "# They also help while one of these alarms is in ALARM, where you name those that mean \"more hosts\":\n# {suggested}"
        );
    }
    text.push('\n');
    text
}

/// A roll takes out a host, or brings one first; where the numbers allow neither, it is left to people to change them.
fn patch(numbers: &Numbers) -> String {
    let begin = "# Replaces every host by one from the newest launch template version. Without windows it starts only by hand\n\
                 # (`evenkeel roll start`).\n";
    let section = "[patch]\n# windows = [\"Sun 02:00-05:00 Europe/London\"]\n";
    if numbers.steady > numbers.minimum {
        return format!(
            "{begin}{section}strategy = \"terminate-first\"   # or launch-first, where groups may grow\nwave = 1\n"
        );
    }
    let hash: String = section.lines().map(|line| format!("# {}\n", line.trim_start_matches("# "))).collect();
    format!("{begin}# It can take out no host while hosts.steady and hosts.minimum are the same.\n{hash}")
}

/// What else sets counts and capacities now, with the command that ends it.
fn switch_off(found: &Survey, at: &Where) -> Vec<String> {
    let options = &at.options;
    let mut lines = services::switch_off(found, options);
    lines.extend(pools::switch_off(&found.groups, options));
    lines
}

/// A TOML string: JSON's escapes are among TOML's.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A text for the AWS CLI, in quotes where a shell would take it apart.
fn argument(text: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | ':' | '+' | '=' | '@');
    if text.chars().all(bare) { text.to_owned() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

/// A name of a fleet or pool: letters, digits, hyphens and underscores, 64 of them.
fn plain(name: &str) -> String {
    let fits = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') { c } else { '-' };
    name.chars().take(64).map(fits).collect()
}
