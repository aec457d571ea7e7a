//! The Lambda binary of backfill.

use evenkeel_aws::Also;
use evenkeel_backfill::Backfill;
use evenkeel_backfill::handler::{Handled, Ports};
use evenkeel_lambda::{Done, Entry, StartError, start};
use evenkeel_model::trigger::Trigger;
use evenkeel_turn::{FleetCache, HandleError, Limits};

struct Function;

impl<P: Ports> Entry<P> for Function {
    const NAME: &'static str = "backfill";
    const ALSO: Also = Also { deregistration_delays: true, ..Also::NOTHING };

    async fn handle(
        &self,
        ports: &P,
        fleets: &FleetCache,
        trigger: &Trigger,
        holder: &str,
        limits: Limits,
    ) -> Result<Done, HandleError> {
        Ok(match Backfill.handle(ports, fleets, trigger, holder, limits).await? {
            Handled::NotForUs => Done::NotForUs,
            Handled::Turned(summary) => Done::Turned(Box::new(summary)),
            Handled::Planned(parts) => {
                let (outlook, view) = *parts;
                Done::planned(&outlook.steps, &outlook.report, &view)
            }
        })
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), StartError> {
    start(Function).await
}
