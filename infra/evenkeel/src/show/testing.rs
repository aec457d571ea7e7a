//! A fleet in the simulated cloud, read as one that is deployed is.

use std::future::Future;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};

use evenkeel_model::fleet::{Format, read};
use evenkeel_model::{FleetName, FunctionName, Timestamp};
use evenkeel_turn::ledger::{Item, Key, LedgerError, Write};
use evenkeel_turn::ports::{Answer, Ledger};
use evenkeel_world::setup::Setup;
use evenkeel_world::{Faults, Ports, Source, World, clock};

use crate::account::{Eyes, Place, Recorded, Standing, recorded};

/// The table of a world, for reading.
struct Table<'w>(Mutex<&'w mut World>);

impl Ledger for Table<'_> {
    async fn get(&self, keys: &[Key]) -> Answer<Vec<Option<Item>>> {
        Ok(self.0.lock().unwrap().items(keys))
    }

    async fn write(&self, _: Vec<Write>) -> Result<(), LedgerError> {
        unreachable!("whoever shows a fleet writes nothing")
    }
}

/// The example fleet with spot hosts, rolls and backfill, with steady demand, after `minutes`.
pub(crate) fn shop(minutes: u64) -> World {
    let fleet = read(include_str!("../../../fleets/shop.toml"), Format::Toml).unwrap();
    let setup = Setup::for_fleet(&fleet);
    let mut world =
        World::new(fleet, setup, 1, Faults::default(), |service| service.demand.as_ref().map(|_| Source::Level(400.0)));
    world.run_until(minutes * clock::MINUTE);
    world
}

/// What the command reads of it, and when.
pub(super) fn stands(world: &mut World) -> (Standing, Vec<Recorded>, Timestamp) {
    let name: FleetName = "shop".parse().unwrap();
    let read = at_once(Standing::read(&Table(Mutex::new(world)), &name)).unwrap().expect("turns were taken");
    (read, recorded(&world.records(Timestamp::UNIX_EPOCH)), clock::timestamp(world.now()))
}

/// What a future gives that waits for nothing.
fn at_once<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(given) => given,
        Poll::Pending => unreachable!("the world's table answers at once"),
    }
}

/// Its account, as each function asks about it.
pub(crate) fn eyes(world: &mut World) -> Eyes<Ports> {
    let [microscale, backfill, patchroll] =
        [FunctionName::Microscale, FunctionName::Backfill, FunctionName::Patchroll].map(|name| world.ports(name));
    Eyes { microscale, backfill, patchroll }
}

/// Nobody's place.
pub(crate) fn nowhere() -> Place {
    Place { deployment: String::new(), table: String::new(), region: Some("simulated".to_owned()), profile: None }
}

/// Without colours.
pub(crate) fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}
