//! A fleet and what is seen of it, with stable made-up names: what may be shown to strangers.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use evenkeel_backfill::Seen;
use evenkeel_model::Fleet;
use evenkeel_model::fleet::{Backfill, Demand, MetricSource, Patch, Pool, Service};
use evenkeel_model::groups::{Group, Member, Refusal, ScaledBy, SpotRequest};
use evenkeel_model::observed::{
    Constraint, EcsService, Host, Observed, Placement, ProviderShare, Running, Signal, Task,
};
use evenkeel_model::templates::{TemplateUse, TemplateVersion};

use super::Sight;

/// The same with made-up names: `service-1` is the same service wherever it stands, and in the next file too as long as the
/// fleet file is the same.
pub(crate) fn anonymous(fleet: &Fleet, sight: &Sight) -> anyhow::Result<(Fleet, Sight)> {
    let (mut fleet, mut sight) = (fleet.clone(), sight.clone());
    let mut names = Names::default();
    names.fleet(&mut fleet);
    names.sight(&mut sight);
    sight.fleet = serde_json::to_value(&fleet)?;
    Ok((fleet, sight))
}

/// What each name is replaced by, by its kind.
#[derive(Default)]
struct Names {
    made_up: BTreeMap<&'static str, BTreeMap<String, String>>,
}

impl Names {
    /// The made-up name of a text.
    fn of(&mut self, kind: &'static str, name: &str) -> String {
        let known = self.made_up.entry(kind).or_default();
        let next = format!("{kind}-{}", known.len() + 1);
        known.entry(name.to_owned()).or_insert(next).clone()
    }

    /// Replaces an id.
    fn id<T: Display + FromStr>(&mut self, kind: &'static str, id: &mut T) {
        if let Ok(made_up) = self.of(kind, &id.to_string()).parse() {
            *id = made_up;
        }
    }

    fn ids<'a, T: Display + FromStr + 'a>(&mut self, kind: &'static str, ids: impl IntoIterator<Item = &'a mut T>) {
        ids.into_iter().for_each(|id| self.id(kind, id));
    }

    fn keys<K: Display + FromStr + Ord + Clone, V>(&mut self, kind: &'static str, map: &mut BTreeMap<K, V>) {
        let renamed = std::mem::take(map).into_iter().map(|(mut key, value)| {
            self.id(kind, &mut key);
            (key, value)
        });
        *map = renamed.collect();
    }

    /// AWS's words hold names, account numbers and ARNs of any kind: only the error's code is kept.
    fn words(text: &mut String) {
        let plain = |word: &&str| word.chars().all(|c| c.is_ascii_alphabetic());
        let code = text.split([':', ' ']).find(|word| word.len() > 8 && plain(word) && word.ends_with("Exception"));
        *text = code.map_or_else(|| "(words left out)".to_owned(), |code| format!("{code} (words left out)"));
    }

    fn signal(signal: &mut Signal) {
        match signal {
            Signal::Unknown(because) => Self::words(because),
            Signal::Value { .. } | Signal::Backlog { .. } | Signal::Alarm { .. } => {}
        }
    }

    fn fleet(&mut self, fleet: &mut Fleet) {
        let Fleet {
            name,
            cluster,
            pools,
            backfill,
            services,
            patch,
            beat: _,
            api_share: _,
            mode: _,
            microscale: _,
            hosts: _,
            disruption: _,
        } = fleet;
        self.id("fleet", name);
        self.ids("cluster", cluster);
        for Pool { name, auto_scaling_group, purchase: _, units: _ } in pools {
            self.id("pool", name);
            self.id("group", auto_scaling_group);
        }
        if let Some(Backfill { alarms, .. }) = backfill {
            self.ids("alarm", alarms);
        }
        for Service { name, demand, .. } in services {
            self.id("service", name);
            match demand {
                Some(Demand::Metric(demand)) => self.metric(&mut demand.source),
                Some(Demand::Tracking(demand)) => self.metric(&mut demand.source),
                Some(Demand::Queue(demand)) => self.id("queue", &mut demand.queue),
                Some(Demand::Steps(demand)) => self.id("alarm", &mut demand.alarm),
                Some(Demand::Manual(_)) | None => {}
            }
        }
        if let Some(Patch { halt_alarms, bake, .. }) = patch {
            self.ids("alarm", halt_alarms);
            // What a builder runs is nobody's business, and nothing of it is looked at.
            *bake = None;
        }
    }

    /// AWS's own metrics have names that everybody knows.
    fn metric(&mut self, source: &mut MetricSource) {
        if !source.metric.as_str().starts_with("AWS/") {
            let made_up = format!("made-up/{}", self.of("metric", source.metric.as_str()));
            source.metric = made_up.parse().unwrap_or_else(|_| source.metric.clone());
        }
        for value in source.dimensions.values_mut() {
            *value = self.of("dimension", value);
        }
    }

    fn sight(&mut self, sight: &mut Sight) {
        let Sight { at: _, fleet: _, microscale, backfill, halts, unread } = sight;
        if let Some(Observed { at: _, hosts, tasks, services, demand }) = microscale {
            self.hosts(hosts);
            self.running(tasks, services);
            self.keys("service", demand);
            demand.values_mut().for_each(Self::signal);
        }
        self.seen(backfill);
        self.keys("alarm", halts);
        halts.values_mut().for_each(Self::signal);
        let renamed = std::mem::take(unread).into_iter().map(|(what, mut because)| {
            Self::words(&mut because);
            let what = match (what.strip_prefix("demand of "), what.strip_prefix("alarm ")) {
                (Some(service), _) => format!("demand of {}", self.of("service", service)),
                (_, Some(alarm)) => format!("alarm {}", self.of("alarm", alarm)),
                (None, None) => what,
            };
            (what, because)
        });
        *unread = renamed.collect();
    }

    fn seen(&mut self, seen: &mut Seen) {
        let Seen { at: _, unread, groups, hosts, requests, alarms, levels, refusals, running } = seen;
        unread.values_mut().for_each(Self::words);
        groups.iter_mut().for_each(|group| self.group(group));
        self.hosts(hosts);
        for SpotRequest { instance, code: _, at: _ } in requests {
            self.id("host", instance);
        }
        self.keys("alarm", alarms);
        alarms.values_mut().for_each(Self::signal);
        self.keys("alarm", levels);
        self.keys("group", refusals);
        for Refusal { message, at: _, kind: _, zone: _ } in refusals.values_mut().flatten() {
            Self::words(message);
        }
        if let Some(Running { tasks, services }) = running {
            self.running(tasks, services);
        }
    }

    fn group(&mut self, group: &mut Group) {
        let Group {
            name,
            subnets,
            members,
            template,
            lines,
            scaled_by,
            target_groups,
            desired: _,
            min: _,
            max: _,
            zones: _,
            instance_type: _,
            own_images: _,
            suspended: _,
            warm_pool: _,
        } = group;
        self.id("group", name);
        self.ids("subnet", subnets);
        for Member { id, template, .. } in members {
            self.id("host", id);
            if let Some(TemplateVersion { id, version: _ }) = template {
                self.id("template", id);
            }
        }
        for TemplateUse { id, version: _ } in template.iter_mut().chain(lines) {
            self.id("template", id);
        }
        match scaled_by {
            Some(ScaledBy::ManagedScaling(name) | ScaledBy::Policy(name) | ScaledBy::Schedule(name)) => {
                *name = self.of("policy", name);
            }
            Some(ScaledBy::Units(_)) | None => {}
        }
        self.ids("target-group", target_groups);
    }

    fn hosts(&mut self, hosts: &mut [Host]) {
        for Host { id, pool, provider, attributes, .. } in hosts {
            self.id("host", id);
            self.ids("pool", pool);
            self.ids("provider", provider);
            attributes.retain(|name, _| is_everybodys(name));
        }
    }

    fn running(&mut self, tasks: &mut [Task], services: &mut [EcsService]) {
        for Task { id, host, service, .. } in tasks {
            self.id("task", id);
            self.id("host", host);
            self.ids("service", service);
        }
        for EcsService { name, providers, constraints, strategy, .. } in services {
            self.id("service", name);
            for ProviderShare { provider, group, base: _, weight: _ } in providers {
                self.id("provider", provider);
                self.ids("group", group);
            }
            constraints.retain(|constraint| match constraint {
                Constraint::DistinctInstance => true,
                Constraint::MemberOf(expression) => tells_nothing(expression),
            });
            strategy.retain(|placement| match placement {
                Placement::Binpack(_) | Placement::Random => true,
                Placement::Spread(field) => !field.contains(':') || tells_nothing(field),
            });
        }
    }
}

/// ECS's own attributes, which placement goes by; others name what is in the account, or are its owner's.
const TELL_NOTHING: [&str; 5] =
    ["ecs.availability-zone", "ecs.instance-type", "ecs.os-type", "ecs.cpu-architecture", "ecs.os-family"];

fn is_everybodys(attribute: &str) -> bool {
    TELL_NOTHING.contains(&attribute) || attribute.starts_with("ecs.capability.")
}

/// Whether an expression of the cluster query language is about such attributes only.
fn tells_nothing(expression: &str) -> bool {
    let mut about = expression.split("attribute:");
    let before = about.next().unwrap_or_default();
    let name = |rest: &str| rest.split([' ', ')', '=', '!', '<', '>']).next().unwrap_or_default().to_owned();
    !before.contains(':') && !expression.contains("ec2InstanceId") && about.all(|rest| is_everybodys(&name(rest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_expressions_over_attributes_that_every_host_has_are_kept() {
        let kept = ["attribute:ecs.cpu-architecture == arm64", "attribute:ecs.capability.docker-plugin.local exists"];
        assert!(kept.iter().all(|expression| tells_nothing(expression)));
        let left_out = [
            "attribute:stack == production",
            "attribute:ecs.os-type == linux and attribute:stack == production",
            "ec2InstanceId in ['i-1']",
            "task:group == service:web",
            "attribute:ecs.subnet-id == subnet-1",
        ];
        for expression in left_out {
            assert!(!tells_nothing(expression), "{expression}");
        }
    }

    #[test]
    fn of_an_error_only_its_code_is_kept() {
        let mut said = "refused: AccessDeniedException: User: arn:aws:iam::123456789012:user/anna is not".to_owned();
        Names::words(&mut said);
        assert_eq!(said, "AccessDeniedException (words left out)");
        let mut said = "there is no alarm shop-cpu-high".to_owned();
        Names::words(&mut said);
        assert_eq!(said, "(words left out)");
    }
}
