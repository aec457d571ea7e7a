//! The Lambda binary of the demo's demand.

use evenkeel_demand::handler::{DemandFeed, Handled};
use evenkeel_lambda::{Done, Entry, StartError, start};
use evenkeel_model::trigger::Trigger;
use evenkeel_turn::ports::{Clock, FleetFiles, PublishMetrics};
use evenkeel_turn::{FleetCache, HandleError, Limits};

struct Function(DemandFeed);

impl<P: Clock + FleetFiles + PublishMetrics> Entry<P> for Function {
    const NAME: &'static str = "demand";

    async fn handle(
        &self,
        ports: &P,
        fleets: &FleetCache,
        trigger: &Trigger,
        _: &str,
        limits: Limits,
    ) -> Result<Done, HandleError> {
        Ok(match self.0.handle(ports, fleets.name(), trigger, limits).await? {
            Handled::NotForUs => Done::NotForUs,
            Handled::Published { values, minute } => Done::Answered(serde_json::json!({
                "fleet": fleets.name(), "minute": minute, "values": values,
            })),
        })
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), StartError> {
    start(Function(DemandFeed::default())).await
}
