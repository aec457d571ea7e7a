//! The Lambda binary of patchroll.

use evenkeel_lambda::{Done, Entry, StartError, start};
use evenkeel_model::trigger::Trigger;
use evenkeel_patchroll::Patchroll;
use evenkeel_patchroll::handler::{Handled, Ports};
use evenkeel_turn::{FleetCache, HandleError, Limits};

struct Function;

impl<P: Ports> Entry<P> for Function {
    const NAME: &'static str = "patchroll";

    async fn handle(
        &self,
        ports: &P,
        fleets: &FleetCache,
        trigger: &Trigger,
        holder: &str,
        limits: Limits,
    ) -> Result<Done, HandleError> {
        Ok(match Patchroll.handle(ports, fleets, trigger, holder, limits).await? {
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
