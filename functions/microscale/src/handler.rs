//! From a trigger to a turn of microscale: who is woken by what, and how it looks and acts.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use evenkeel_model::decision::{Planned, Step};
use evenkeel_model::fleet::{Demand, Fleet, MetricSource, Service};
use evenkeel_model::observed::{Observed, Running, Signal};
use evenkeel_model::trigger::{Amount, DeploymentEvent, MicroscaleVerb, Request, ServiceEvent, Trigger};
use evenkeel_model::view::View;
use evenkeel_model::{AlarmName, FleetName, FunctionName, QueueName, ServiceName, Timestamp};
use evenkeel_turn::ports::{Answer, Beats, ChangeEcs, Clock, FleetFiles, Ledger, PortError, ReadEcs, ReadSignals};
use evenkeel_turn::{
    Applied, Call, FleetCache, Function, Given, HandleError, Limits, Looked, Memory, Notices, Outlook, Pushed, SOON,
    Tell, Told, cluster, dry_run, fingerprint, push_demand, retry, run, wake,
};
use futures_util::future::{Either, Ready, join, join3, ready};

use crate::looked::looked;
use crate::plan::plan;
use crate::state::State;
use crate::view::view;

/// The time between two ticks of the schedule; EventBridge has none shorter (EventBridge user guide, rate expressions).
const TICK: Duration = Duration::from_secs(60);

/// CloudWatch shows a high-resolution metric's period two or three seconds after its end.
const METRICS_ARE_LATE: Duration = Duration::from_secs(3);

/// Twenty fleets of two hundred hosts in an account stay within what ECS lets it read when their beats fall into so many
/// different seconds; each more makes what a look sees a little older.
const BEAT_PHASES: u64 = 3;

/// The function.
#[derive(Debug, Clone, Copy, Default)]
pub struct Microscale;

/// Everything that microscale needs of the world.
pub trait Ports: Clock + ReadEcs + ChangeEcs + ReadSignals + Beats + Ledger + FleetFiles {}
impl<P: Clock + ReadEcs + ChangeEcs + ReadSignals + Beats + Ledger + FleetFiles> Ports for P {}

/// What a trigger led to.
pub type Handled = evenkeel_turn::Handled<State, View>;

impl Microscale {
    /// Does what `trigger` asks for; `holder` is a name that no other invocation has.
    ///
    /// # Errors
    /// [`HandleError`] when nothing could be decided or saved.
    pub async fn handle<P: Ports>(
        &self,
        ports: &P,
        fleets: &FleetCache,
        trigger: &Trigger,
        holder: &str,
        limits: Limits,
    ) -> Result<Handled, HandleError> {
        let in_force = fleets.in_force_for(trigger, ports).await?;
        let fleet = in_force.fleet.as_ref();
        if let Trigger::ContainerInstanceState(change) = trigger
            && !fleets.memory().hosts().is_news(change, ports.now())
        {
            return Ok(Handled::NotForUs);
        }
        let mut not_woken = None;
        match self.asks(fleet, trigger) {
            Asks::Nothing => return Ok(Handled::NotForUs),
            Asks::Turn => {}
            // A tick that comes twice makes twice the beats, which costs a little and harms nothing.
            Asks::TurnAndBeats => {
                not_woken = wake(ports, &fleet.name, &beats_after(ports.now(), fleet), trigger.hops()).await;
            }
            Asks::DryRun => {
                let (outlook, view) = dry_run(self, ports, fleets, limits, |_| {}).await?;
                let view = view.unwrap_or_else(|| View::empty(fleet, ports.now()));
                return Ok(Handled::Planned(Box::new((outlook, view))));
            }
            Asks::Demand(amounts) => {
                if let Some(because) = not_pushed(fleet, amounts.keys()) {
                    return Ok(Handled::Refused(because));
                }
                let now = ports.now();
                let at = trigger.at().unwrap_or(now);
                let sent =
                    |(service, amount): (&ServiceName, &Amount)| (service.clone(), Pushed { value: amount.get(), at });
                push_demand(ports, &fleet.name, &amounts.iter().map(sent).collect(), now).await?;
            }
        }
        let call = Call { holder, limits, news: &Notices::default(), beat: matches!(trigger, Trigger::Beat(_)) };
        let mut summary = run(self, ports, fleets, call).await?;
        if summary.unfinished {
            not_woken = not_woken.or(wake(ports, &fleet.name, &[SOON], trigger.hops()).await);
        }
        summary.not_woken = not_woken;
        Ok(Handled::Turned(Box::new(summary)))
    }

    /// What a trigger asks of this function. Events only say "look now", so few of them are needed: ECS replaces stopped
    /// tasks by itself, and hosts and counts are looked at with every beat.
    fn asks<'t>(&self, fleet: &Fleet, trigger: &'t Trigger) -> Asks<'t> {
        let turn_if = |yes: bool| if yes { Asks::Turn } else { Asks::Nothing };
        let has = |service: &ServiceName| fleet.services.iter().any(|ours| ours.name == *service);
        match trigger {
            Trigger::Tick(_) => Asks::TurnAndBeats,
            Trigger::Beat(beat) => turn_if(beat.fleet == fleet.name),
            Trigger::ContainerInstanceState(change) => turn_if(fleet.cluster.as_ref() == Some(&change.cluster)),
            Trigger::ServiceAction(action) => turn_if(
                action.event == ServiceEvent::ServiceTaskPlacementFailure
                    && fleet.cluster.as_ref() == Some(&action.cluster)
                    && has(&action.service),
            ),
            Trigger::DeploymentState(change) => turn_if(
                change.event != DeploymentEvent::InProgress
                    && change.cluster.as_ref().is_none_or(|cluster| fleet.cluster.as_ref() == Some(cluster))
                    && has(&change.service),
            ),
            Trigger::Alarm(change) => {
                turn_if(fleet.services.iter().any(
                    |service| matches!(&service.demand, Some(Demand::Steps(steps)) if steps.alarm == change.alarm),
                ))
            }
            Trigger::Manual(manual) if manual.fleet == fleet.name => match &manual.request {
                Request::Demand(amounts) => Asks::Demand(amounts),
                Request::Microscale(MicroscaleVerb::Status | MicroscaleVerb::Plan) => Asks::DryRun,
                Request::Backfill(_) | Request::Roll { .. } => Asks::Nothing,
            },
            Trigger::Manual(_)
            | Trigger::SpotInterruption(_)
            | Trigger::RebalanceRecommendation(_)
            | Trigger::InstanceState(_)
            | Trigger::LifecycleAction(_)
            | Trigger::ScalingActivity(_)
            | Trigger::InstanceRefresh(_)
            | Trigger::TaskState(_)
            | Trigger::Health(_)
            | Trigger::Finding(_)
            | Trigger::Compliance(_)
            | Trigger::Parameter(_) => Asks::Nothing,
        }
    }
}

/// Why demand cannot be sent for all of these services: one that is not there, or takes its demand from elsewhere. Nothing
/// is kept then, because a value that nobody reads looks like one that was taken.
fn not_pushed<'s>(fleet: &Fleet, mut services: impl Iterator<Item = &'s ServiceName>) -> Option<String> {
    let manual = |ours: &&Service| matches!(ours.demand, Some(Demand::Manual(_)));
    let taken: Vec<&str> = fleet.services.iter().filter(manual).map(|ours| ours.name.as_str()).collect();
    let taken = if taken.is_empty() { "none".to_owned() } else { taken.join(", ") };
    services.find_map(|service| match fleet.services.iter().find(|ours| ours.name == *service) {
        None => Some(format!("fleet {} has no service {service}: demand can be sent for {taken}", fleet.name)),
        Some(ours) if matches!(ours.demand, Some(Demand::Manual(_))) => None,
        Some(_) => Some(format!(
            "service {service} has no `demand = {{ manual = true, .. }}` in the fleet file, so what is sent for it would not count: \
             demand can be sent for {taken}"
        )),
    })
}

/// The waits until the beats of the next minute, in whole seconds as SQS takes them.
///
/// Beats keep step with the clock, as metric periods do, and come a little after a period's end: then its value can be
/// read, and is as fresh as can be. Fleets of one account share its API, so each has its own second of three.
fn beats_after(now: Timestamp, fleet: &Fleet) -> Vec<Duration> {
    let beat = fleet.beat.as_secs();
    if beat == 0 || beat >= TICK.as_secs() {
        return Vec::new();
    }
    let second = now.as_second().unsigned_abs();
    let first = (second - second % beat) + METRICS_ARE_LATE.as_secs() + beat_phase(&fleet.name);
    let first = if first <= second { first + beat } else { first };
    (0..TICK.as_secs() / beat).map(|count| Duration::from_secs(first + count * beat - second)).collect()
}

/// By how many seconds a fleet's beats come later than others'.
#[must_use]
pub fn beat_phase(fleet: &FleetName) -> u64 {
    fingerprint(fleet.as_str().as_bytes()) % BEAT_PHASES
}

/// What a trigger asks for.
enum Asks<'t> {
    Nothing,
    Turn,
    TurnAndBeats,
    DryRun,
    Demand(&'t BTreeMap<ServiceName, Amount>),
}

impl<P: Ports> Function<P> for Microscale {
    const NAME: FunctionName = FunctionName::Microscale;
    type State = State;
    type Seen = Observed;
    type View = View;

    async fn observe(
        &self,
        given: &Given<'_, State>,
        ports: &P,
        deadline: Timestamp,
        memory: &Memory,
    ) -> Answer<Observed> {
        let fleet = given.fleet;
        let look = join(cluster(fleet, ports, deadline, memory), demand(fleet, ports, deadline));
        let ((hosts, running), demand) = look.await;
        let (hosts, running) = (hosts?, running?);
        let Some(Running { tasks, services }) = running else {
            return Err(PortError::Refused("the fleet has no cluster, so there are no tasks to count".to_owned()));
        };
        Ok(Observed { at: given.now, hosts, tasks, services, demand })
    }

    fn plan(&self, given: &Given<'_, State>, seen: &Observed) -> Outlook<State> {
        plan(given, seen)
    }

    async fn apply(&self, fleet: &Fleet, planned: &Planned, ports: &P) -> Answer<()> {
        let Some(cluster) = &fleet.cluster else { return Err(PortError::Refused("no cluster".to_owned())) };
        match &planned.step {
            Step::SetDesiredCount { service, from: _, to } => ports.set_desired_count(cluster, service, *to).await,
            Step::Host(_) | Step::Image(_) | Step::Roll(_) => {
                Err(PortError::Refused(format!("not a step of microscale: {}", planned.step)))
            }
        }
    }

    fn tells(&self, given: &Given<'_, State>, outlook: &Outlook<State>) -> Option<Tell> {
        let missing = &outlook.report.shortfall;
        let old = given.now.duration_since(given.board.told.at).unsigned_abs() >= TICK;
        let news = *missing != given.board.told.missing || (old && !missing.is_empty());
        news.then(|| Tell::Shortfall(Told { at: given.now, missing: missing.clone(), would: false }))
    }

    fn settle(&self, state: &mut State, applied: &Applied<'_>) {
        state.settle(applied);
    }

    fn looked(
        &self,
        given: &Given<'_, State>,
        seen: &Observed,
        outlook: &Outlook<State>,
        planned: &[Planned],
    ) -> Option<Looked> {
        Some(looked(given, seen, outlook, planned))
    }

    fn view(&self, given: &Given<'_, State>, seen: &Observed, outlook: &Outlook<State>) -> Option<View> {
        Some(view(given, seen, outlook))
    }
}

/// Reads all demand sources at once. A source that cannot be read is unknown; it must not stop the turn.
async fn demand<P: ReadSignals + Clock>(
    fleet: &Fleet,
    ports: &P,
    deadline: Timestamp,
) -> BTreeMap<ServiceName, Signal> {
    let mut metrics: Asked<MetricSource> = Asked::default();
    let mut queues: Asked<QueueName> = Asked::default();
    let mut alarms: Asked<AlarmName> = Asked::default();
    for service in &fleet.services {
        match &service.demand {
            Some(Demand::Metric(demand)) => metrics.ask(&service.name, &demand.source),
            Some(Demand::Tracking(demand)) => metrics.ask(&service.name, &demand.source),
            Some(Demand::Queue(demand)) => queues.ask(&service.name, &demand.queue),
            Some(Demand::Steps(demand)) => alarms.ask(&service.name, &demand.alarm),
            Some(Demand::Manual(_)) | None => {}
        }
    }
    let (values, backlogs, states) = join3(
        retry(ports, deadline, || metrics.if_any(|sources| ports.metrics(sources))),
        retry(ports, deadline, || queues.if_any(|queues| ports.backlogs(queues))),
        retry(ports, deadline, || alarms.if_any(|alarms| ports.alarms(alarms))),
    )
    .await;
    metrics.pair(values).chain(queues.pair(backlogs)).chain(alarms.pair(states)).collect()
}

/// The services that ask sources of one kind.
struct Asked<T> {
    services: Vec<ServiceName>,
    sources: Vec<T>,
}

impl<T> Default for Asked<T> {
    fn default() -> Self {
        Self { services: Vec::new(), sources: Vec::new() }
    }
}

impl<T: Clone> Asked<T> {
    fn ask(&mut self, service: &ServiceName, source: &T) {
        self.services.push(service.clone());
        self.sources.push(source.clone());
    }

    /// Makes the call, unless there is nothing to ask.
    fn if_any<'s, F: Future<Output = Answer<Vec<Signal>>> + 's>(
        &'s self,
        call: impl FnOnce(&'s [T]) -> F,
    ) -> Either<Ready<Answer<Vec<Signal>>>, F> {
        if self.sources.is_empty() { Either::Left(ready(Ok(Vec::new()))) } else { Either::Right(call(&self.sources)) }
    }

    /// One answer for each service; all unknown where the call failed.
    fn pair(self, answers: Answer<Vec<Signal>>) -> impl Iterator<Item = (ServiceName, Signal)> {
        let answers = answers.unwrap_or_else(|error| vec![Signal::Unknown(error.to_string()); self.services.len()]);
        self.services.into_iter().zip(answers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn demand_is_taken_for_services_that_ask_for_it_only() {
        let text = "name = \"a\"\ncluster = \"a\"\nhosts = { minimum = 1, steady = 1, maximum = 1 }\n\
            pool = [{ name = \"p\", purchase = \"reserved\", auto_scaling_group = \"p\" }]\n\
            [[service]]\nname = \"web\"\npriority = 1\nmax_tasks = 6\ndemand = { manual = true, per_task = 10 }\n\
            [[service]]\nname = \"api\"\npriority = 1\nmax_tasks = 6\n\
            demand = { metric = \"a/m\", period = \"10s\", per_task = 1 }\n\
            [[service]]\nname = \"low\"\npriority = 2\nfill = true\n";
        let fleet = evenkeel_model::fleet::read(text, evenkeel_model::fleet::Format::Toml).unwrap();
        let names = |names: &[&str]| names.iter().map(|name| name.parse().unwrap()).collect::<Vec<ServiceName>>();
        let refused = |sent: &[&str]| not_pushed(&fleet, names(sent).iter());
        assert_eq!(refused(&["web"]), None);
        assert_eq!(refused(&["web", "wbe"]).as_deref(), Some("fleet a has no service wbe: demand can be sent for web"));
        for other in ["api", "low"] {
            let said = refused(&["web", other]).unwrap_or_default();
            assert!(said.starts_with(&format!("service {other} has no `demand = ")), "{said}");
        }
    }

    #[test]
    fn beats_follow_the_ends_of_periods() {
        let waits = |name: &str, at: &str, beat| {
            let now: Timestamp = at.parse().unwrap_or(Timestamp::MIN);
            let text = include_str!("../../../infra/fleets/demo.toml");
            let mut fleet = evenkeel_model::fleet::read(text, evenkeel_model::fleet::Format::Toml).unwrap();
            (fleet.name, fleet.beat) = (name.parse().unwrap(), Duration::from_secs(beat));
            beats_after(now, &fleet).iter().map(Duration::as_secs).collect::<Vec<_>>()
        };
        assert_eq!(waits("demo", "2026-01-05T00:00:01Z", 10), [2, 12, 22, 32, 42, 52]);
        assert_eq!(waits("shop", "2026-01-05T00:00:01Z", 10), [4, 14, 24, 34, 44, 54], "each fleet has its second");
        assert_eq!(waits("demo", "2026-01-05T00:00:03.5Z", 10), [10, 20, 30, 40, 50, 60]);
        assert_eq!(waits("demo", "2026-01-05T00:00:00Z", 30), [3, 33]);
        assert!(waits("demo", "2026-01-05T00:00:00Z", 60).is_empty());
    }
}
