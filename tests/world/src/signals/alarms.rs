//! The alarms: on services' demand, on the fleet's load, and what anybody is told of them.

use evenkeel_model::AlarmName;
use evenkeel_model::fleet::{Demand, Service};
use evenkeel_model::observed::{Level, Signal};

use super::{ALARM_ABOVE, PUBLISHED, Signals, ceil, threshold};
use crate::clock::{MINUTE, SECOND, timestamp};
use crate::core::{Core, Event};

impl Core {
    /// CloudWatch evaluates the alarms of demands in steps.
    pub(crate) fn evaluate_alarms(&mut self) {
        for service in 0..self.fleet.services.len() {
            let fleet = std::sync::Arc::clone(&self.fleet);
            let Some(Demand::Steps(steps)) = &fleet.services[service].demand else { continue };
            if self.signals.fleet.contains_key(&steps.alarm) {
                continue; // it is one of the fleet's
            }
            let Some(load) = self.signals.demand(service) else { continue };
            let firing = load > ALARM_ABOVE * f64::from(self.running(service));
            if self.signals.services[service].alarm.0 != firing {
                self.signals.services[service].alarm = (firing, self.now);
                self.send_alarm(steps.alarm.as_str(), firing);
            }
        }
        self.evaluate_fleet_alarms();
        self.after(MINUTE, Event::Alarms);
    }

    /// The fleet's alarms: CPU above four fifths of the capacity in service, latency when the queues grow, above nine
    /// tenths.
    fn evaluate_fleet_alarms(&mut self) {
        let busy = self.load_of_capacity();
        let alarms: Vec<AlarmName> = self.signals.fleet.keys().cloned().collect();
        for alarm in alarms {
            let quiet = self.signals.silent.contains(&alarm) || self.signals.deleted.contains(&alarm);
            let firing = busy > threshold(&alarm) && !quiet;
            let now = self.now;
            let Some(state) = self.signals.fleet.get_mut(&alarm) else { continue };
            if state.0 != firing {
                *state = (firing, now);
                self.send_alarm(alarm.as_str(), firing);
            }
        }
    }

    /// A host's agent publishes its metrics.
    pub(crate) fn publish_load(&mut self) {
        let (now, busy) = (self.now, self.load_of_capacity());
        let kept = 2 * self.setup.alarms.period_seconds.max(1) * SECOND + MINUTE;
        let known = &mut self.signals.busy;
        known.push_back((now, busy));
        while known.front().is_some_and(|(at, _)| at + kept < now) {
            known.pop_front();
        }
        self.after(PUBLISHED, Event::Load);
    }

    /// DescribeAlarms and GetMetricData: the newest complete period's average against the threshold.
    pub(crate) fn alarm_level(&self, alarm: &AlarmName) -> Option<Level> {
        let setup = &self.setup.alarms;
        let quiet = self.signals.silent.contains(alarm) || self.signals.deleted.contains(alarm);
        let known = self.signals.fleet.contains_key(alarm) && !quiet;
        if !known || setup.without_level.contains(alarm) || !setup.levels {
            return None;
        }
        let period = setup.period_seconds.max(1) * SECOND;
        let end = self.now.saturating_sub(self.setup.ecs.metric_delay_seconds * SECOND) / period * period;
        let from = end.checked_sub(period)?;
        let within = self.signals.busy.iter().filter(|(at, _)| (from..end).contains(at));
        let (sum, count) = within.fold((0.0, 0.0), |(sum, count), (_, busy)| (sum + busy, count + 1.0));
        let part = sum / count / threshold(alarm);
        part.is_finite().then(|| Level { part, from: timestamp(from) })
    }

    /// Units in all that the load needs so that no alarm of the fleet fires.
    pub(crate) fn units_for_load(&self) -> u32 {
        let lowest = self.signals.fleet.keys().map(threshold).fold(f64::INFINITY, f64::min);
        ceil(self.load_of_capacity() * f64::from(self.cloud.working(|_| true)) / lowest)
    }

    /// The metric of one of the fleet's alarms has no data points from now on, or has them again. Nothing tells of it.
    pub(crate) fn silence_alarm(&mut self, alarm: &AlarmName, silent: bool) {
        let now = self.now;
        let Signals { fleet, silent: all, .. } = &mut *self.signals;
        let Some(state) = fleet.get_mut(alarm) else { return };
        if silent && all.insert(alarm.clone()) {
            *state = (false, now);
        } else if !silent {
            all.remove(alarm);
        }
    }

    /// The load as a part of the capacity in service.
    fn load_of_capacity(&self) -> f64 {
        let working = f64::from(self.cloud.working(|_| true));
        if let Some(load) = self.signals.load {
            return if working > 0.0 { load / working } else { f64::INFINITY };
        }
        let needs = |(service, file): (usize, &Service)| {
            let wanted = self.signals.needs(service).unwrap_or(0).max(file.min_tasks).min(file.ceiling());
            f64::from(wanted) * f64::from(self.cluster.services[service].task.resources.cpu)
        };
        let wanted: f64 = self.fleet.services.iter().enumerate().filter(|(_, file)| !file.fill).map(needs).sum();
        let has: f64 = self.cluster.hosts.values().map(|host| f64::from(host.seen.registered.cpu)).sum();
        if wanted <= 0.0 { 0.0 } else { wanted / has.max(1.0) }
    }

    /// DescribeAlarms.
    pub(crate) fn alarm(&self, alarm: &AlarmName) -> Signal {
        if self.signals.deleted.contains(alarm) {
            return Signal::Unknown(format!("there is no alarm {alarm}"));
        }
        let asks = |demand: &Option<Demand>| matches!(demand, Some(Demand::Steps(steps)) if steps.alarm == *alarm);
        let of_service = self.fleet.services.iter().position(|service| asks(&service.demand));
        match of_service.filter(|_| !self.signals.fleet.contains_key(alarm)) {
            None => match self.signals.fleet.get(alarm) {
                Some(_) if self.signals.silent.contains(alarm) => {
                    Signal::Unknown(format!("alarm {alarm} has insufficient data"))
                }
                Some((firing, since)) => Signal::Alarm { firing: *firing, since: timestamp(*since) },
                None => self.halt_alarm(alarm).unwrap_or_else(|| Signal::Unknown(format!("there is no alarm {alarm}"))),
            },
            Some(service) => {
                let (firing, since) = self.signals.services[service].alarm;
                Signal::Alarm { firing, since: timestamp(since) }
            }
        }
    }
}
