//! From a tick to published values.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use evenkeel_model::fleet::{self, Format};
use evenkeel_model::trigger::Trigger;
use evenkeel_model::{FleetName, Timestamp};
use evenkeel_turn::ports::{Clock, FleetFiles, PortError, PublishMetrics};
use evenkeel_turn::{FleetError, HandleError, Limits, retry, retry_throttled};
use jiff::TimestampRound;
use jiff::Unit;

use crate::points::points;

/// The function.
#[derive(Debug, Default)]
pub struct DemandFeed {
    /// The last minute that this process published, or may have, for each fleet: a tick that comes twice would count twice in a sum.
    published: Mutex<BTreeMap<FleetName, Timestamp>>,
}

/// What a tick led to.
#[derive(Debug, Clone, PartialEq)]
pub enum Handled {
    /// Not a tick, or one for a minute that is published already.
    NotForUs,
    /// So many values were published, for this minute.
    Published {
        /// How many.
        values: usize,
        /// The minute's begin.
        minute: Timestamp,
    },
}

impl DemandFeed {
    /// Publishes a fleet's demand for the minute of a tick.
    ///
    /// # Errors
    /// [`HandleError`] where there is no fleet file, or CloudWatch does not take the values.
    pub async fn handle<P: Clock + FleetFiles + PublishMetrics>(
        &self,
        ports: &P,
        name: &FleetName,
        trigger: &Trigger,
        limits: Limits,
    ) -> Result<Handled, HandleError> {
        let Trigger::Tick(tick) = trigger else { return Ok(Handled::NotForUs) };
        let at = tick.at.unwrap_or_else(|| ports.now());
        let whole = TimestampRound::new().smallest(Unit::Minute).mode(jiff::RoundMode::Floor);
        let minute = at.round(whole).unwrap_or(at);
        if self.lock().get(name).is_some_and(|last| minute <= *last) {
            return Ok(Handled::NotForUs);
        }
        let deadline = ports.now() + limits.budget;
        let unread = |source| FleetError::Unread { fleet: name.clone(), source };
        let text = retry(ports, deadline, || ports.text(name)).await.map_err(unread)?;
        let fleet = fleet::read(&text, Format::of(text.as_bytes()))
            .map_err(|source| FleetError::Invalid { fleet: name.clone(), source })?;
        let points = points(&fleet, minute);
        let published = retry_throttled(ports, deadline, || ports.publish(&points)).await;
        // What nobody answered may be there: a second time it would count twice in a sum.
        if matches!(published, Ok(()) | Err(PortError::Unavailable(_))) {
            self.lock().insert(name.clone(), minute);
        }
        published.map_err(HandleError::Publish)?;
        Ok(Handled::Published { values: points.len(), minute })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<FleetName, Timestamp>> {
        // A panic elsewhere cannot leave half a value here: the lock only guards one insertion.
        self.published.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenkeel_model::trigger::Tick;
    use evenkeel_turn::ports::{Answer, DataPoint};
    use std::time::Duration;

    const FILE: &str = r#"
        name = "shop"
        cluster = "shop"
        hosts = { minimum = 1, steady = 2, maximum = 3 }
        pool = [{ name = "base", purchase = "reserved", auto_scaling_group = "shop-base" }]
        service = [{ name = "web", priority = 1, demand = { metric = "shop/Requests", period = "20s", per_task = 5 } }]
    "#;

    /// A CloudWatch that keeps what it is given, refuses the first `refuses` calls, and loses the answers of `silent` others.
    #[derive(Default)]
    struct Kept {
        refuses: Mutex<u32>,
        silent: Mutex<u32>,
        points: Mutex<Vec<DataPoint>>,
    }

    impl Clock for Kept {
        fn now(&self) -> Timestamp {
            "2026-01-05T09:30:04Z".parse().unwrap()
        }
        async fn sleep(&self, _: Duration) {}
    }

    impl FleetFiles for Kept {
        async fn text(&self, fleet: &FleetName) -> Answer<String> {
            if fleet.as_str() == "shop" { Ok(FILE.to_owned()) } else { Ok("name = 1".to_owned()) }
        }
    }

    impl PublishMetrics for Kept {
        async fn publish(&self, points: &[DataPoint]) -> Answer<()> {
            let mut refuses = self.refuses.lock().unwrap();
            if *refuses > 0 {
                *refuses -= 1;
                return Err(PortError::Throttled);
            }
            self.points.lock().unwrap().extend_from_slice(points);
            let mut silent = self.silent.lock().unwrap();
            if *silent > 0 {
                *silent -= 1;
                return Err(PortError::Unavailable("no answer".to_owned()));
            }
            Ok(())
        }
    }

    async fn tick(feed: &DemandFeed, ports: &Kept, fleet: &str, at: &str) -> Result<Handled, HandleError> {
        let trigger = Trigger::Tick(Tick { at: Some(at.parse().unwrap()), rule: None });
        let limits = Limits { budget: Duration::from_secs(20), lease: Duration::from_secs(30) };
        feed.handle(ports, &fleet.parse().unwrap(), &trigger, limits).await
    }

    #[tokio::test]
    async fn a_tick_publishes_its_minute_once() {
        let (feed, ports) = (DemandFeed::default(), Kept { refuses: Mutex::new(2), ..Kept::default() });
        let minute = "2026-01-05T09:30:00Z";
        let first = tick(&feed, &ports, "shop", "2026-01-05T09:30:02Z").await.unwrap();
        assert_eq!(first, Handled::Published { values: 3, minute: minute.parse().unwrap() });
        assert_eq!(tick(&feed, &ports, "shop", minute).await.unwrap(), Handled::NotForUs, "the same tick again");
        tick(&feed, &ports, "shop", "2026-01-05T09:31:00Z").await.unwrap();
        let points = ports.points.lock().unwrap();
        let seconds: Vec<i64> = points.iter().map(|point| point.at.as_second() % 3600 - 1800).collect();
        assert_eq!(seconds, [0, 20, 40, 60, 80, 100]);
    }

    #[tokio::test]
    async fn values_whose_answer_is_lost_are_not_published_again() {
        let (feed, ports) = (DemandFeed::default(), Kept { silent: Mutex::new(1), ..Kept::default() });
        let error = tick(&feed, &ports, "shop", "2026-01-05T09:30:00Z").await.unwrap_err();
        assert!(matches!(error, HandleError::Publish(PortError::Unavailable(_))), "{error:?}");
        assert_eq!(tick(&feed, &ports, "shop", "2026-01-05T09:30:00Z").await.unwrap(), Handled::NotForUs);
        assert_eq!(ports.points.lock().unwrap().len(), 3);
    }

    #[tokio::test]
    async fn a_bad_file_needs_a_person_and_a_throttled_call_passes() {
        let feed = DemandFeed::default();
        let error = tick(&feed, &Kept::default(), "other", "2026-01-05T09:30:00Z").await.unwrap_err();
        assert!(!error.is_passing(), "{error:?}");
        let ports = Kept { refuses: Mutex::new(99), ..Kept::default() };
        let error = tick(&feed, &ports, "shop", "2026-01-05T09:30:00Z").await.unwrap_err();
        assert!(error.is_passing(), "{error:?}");
        *ports.refuses.lock().unwrap() = 0;
        let again = tick(&feed, &ports, "shop", "2026-01-05T09:30:00Z").await.unwrap();
        assert!(matches!(again, Handled::Published { .. }), "what was not published may come again");
    }
}
