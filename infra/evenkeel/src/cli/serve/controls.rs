//! The buttons of the page over a simulated world.

use evenkeel_model::fleet::Fleet;
use evenkeel_model::trigger::RollVerb;
use evenkeel_world::clock::MINUTE;
use evenkeel_world::{Interruption, World};

/// A button of the page.
pub(super) struct Control {
    pub(super) id: &'static str,
    pub(super) label: &'static str,
    pub(super) title: &'static str,
    shown: Shown,
    pub(super) press: fn(&mut World),
}

/// For which fleets a button is there.
#[derive(Clone, Copy)]
enum Shown {
    Always,
    /// Fleets with spot pools.
    Spot,
    /// Fleets that may be patched.
    Patch,
}

impl Control {
    /// Whether it is there for such a fleet.
    pub(super) fn is_for(&self, fleet: &Fleet) -> bool {
        match self.shown {
            Shown::Always => true,
            Shown::Spot => fleet.pools.iter().any(|pool| pool.purchase.has_spot()),
            Shown::Patch => fleet.patch.is_some(),
        }
    }
}

pub(super) const CONTROLS: [Control; 11] = [
    Control {
        id: "spike",
        label: "Spike",
        title: "Demand goes close to its maximum for five minutes",
        shown: Shown::Always,
        press: World::spike,
    },
    Control {
        id: "calm",
        label: "Calm",
        title: "Demand falls to almost nothing for five minutes",
        shown: Shown::Always,
        press: World::calm,
    },
    Control {
        id: "interrupt",
        label: "Interrupt spot",
        title: "EC2 takes a spot host back, two minutes after its warning",
        shown: Shown::Spot,
        press: |world| {
            world.interrupt(Interruption::Warned);
        },
    },
    Control {
        id: "kill",
        label: "Kill spot",
        title: "EC2 takes a spot host back at once, without a warning",
        shown: Shown::Spot,
        press: |world| {
            world.interrupt(Interruption::Unwarned);
        },
    },
    Control {
        id: "starve",
        label: "Starve spot",
        title: "No spot host can be launched for thirty minutes",
        shown: Shown::Spot,
        press: |world| world.starve_spot(30 * MINUTE),
    },
    Control {
        id: "load",
        label: "Raise load",
        title: "The load rises beyond what the fleet's steady hosts can carry, and its alarms fire",
        shown: Shown::Spot,
        press: |world| world.load_of_steady(Some(1.06)),
    },
    Control {
        id: "unload",
        label: "Normal load",
        title: "The load is what the services' demand needs again",
        shown: Shown::Spot,
        press: |world| world.load_of_steady(None),
    },
    Control {
        id: "patch",
        label: "Patch",
        title: "A new launch template version with a fresh image is published, and every host is replaced",
        shown: Shown::Patch,
        press: World::patch,
    },
    Control {
        id: "pause",
        label: "Pause roll",
        title: "The roll begins no new wave",
        shown: Shown::Patch,
        press: |world| world.roll(RollVerb::Pause, None),
    },
    Control {
        id: "resume",
        label: "Resume roll",
        title: "The roll goes on from where it is",
        shown: Shown::Patch,
        press: |world| world.roll(RollVerb::Resume, None),
    },
    Control {
        id: "abort",
        label: "Abort roll",
        title: "The roll stops for good, and what is done stays done",
        shown: Shown::Patch,
        press: |world| world.roll(RollVerb::Abort, None),
    },
];
