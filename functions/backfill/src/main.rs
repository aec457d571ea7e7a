//! The Lambda binary of backfill.

use evenkeel_aws::Also;
use evenkeel_backfill::Backfill;
use evenkeel_backfill::handler::Ports;
use evenkeel_lambda::{Done, Entry, StartError, start};
use evenkeel_model::trigger::Trigger;
use evenkeel_turn::{FleetCache, HandleError, Limits};

struct Function;

impl<P: Ports> Entry<P> for Function {
    const NAME: &'static str = "backfill";
    const ALSO: Also = Also { deregistration_delays: true, scaled_groups: true, ..Also::NOTHING };

    async fn handle(
        &self,
        ports: &P,
        fleets: &FleetCache,
        trigger: &Trigger,
        holder: &str,
        limits: Limits,
    ) -> Result<Done, HandleError> {
        Ok(Backfill.handle(ports, fleets, trigger, holder, limits).await?.into())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), StartError> {
    start(Function).await
}
