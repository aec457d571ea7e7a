//! The Lambda binary of patchroll.

use evenkeel_aws::Also;
use evenkeel_lambda::{Done, Entry, StartError, start};
use evenkeel_model::trigger::Trigger;
use evenkeel_patchroll::Patchroll;
use evenkeel_patchroll::handler::Ports;
use evenkeel_turn::{FleetCache, HandleError, Limits};

struct Function;

impl<P: Ports> Entry<P> for Function {
    const NAME: &'static str = "patchroll";
    const ALSO: Also = Also { scaled_groups: true, ..Also::NOTHING };

    async fn handle(
        &self,
        ports: &P,
        fleets: &FleetCache,
        trigger: &Trigger,
        holder: &str,
        limits: Limits,
    ) -> Result<Done, HandleError> {
        Ok(Patchroll.handle(ports, fleets, trigger, holder, limits).await?.into())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), StartError> {
    start(Function).await
}
