//! What a fleet file may say and mean otherwise: remarks, not problems.

use super::{Demand, Fleet, MetricSource, words};

impl Fleet {
    /// What a reader of the file should know, one sentence each.
    #[must_use]
    pub fn remarks(&self) -> Vec<String> {
        let source = |demand: &Demand| match demand {
            Demand::Metric(demand) => Some(demand.source.clone()),
            Demand::Tracking(demand) => Some(demand.source.clone()),
            Demand::Queue(_) | Demand::Manual(_) | Demand::Steps(_) => None,
        };
        let unsaid = |source: &MetricSource| source.adds_up() && source.per.is_none();
        let remark = |(name, source): (_, MetricSource)| {
            let (statistic, period) = (source.statistic, words::show(source.period));
            format!(
                "service {name}: {statistic:?} adds up {period} of {}; say per = \"period\" if that is meant, \
                 or per = \"second\" if it is meant as a rate",
                source.metric
            )
        };
        let sources =
            self.services.iter().filter_map(|service| Some((&service.name, source(service.demand.as_ref()?)?)));
        sources.filter(|(_, source)| unsaid(source)).map(remark).collect()
    }
}
