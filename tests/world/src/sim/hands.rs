//! What people, the market and the load do to a world from outside.

use evenkeel_model::fleet::Purchase;
use evenkeel_model::{InstanceId, PoolName};

use super::World;
use crate::clock::Ms;
use crate::cloud::Interruption;
use crate::cloud::spot::Trace;
use crate::demand::Walk;

impl World {
    /// Sends every random demand up for some minutes.
    pub fn spike(&mut self) {
        self.steer(Walk::spike);
    }

    /// Lets every random demand fall for some minutes.
    pub fn calm(&mut self) {
        self.steer(Walk::calm);
    }

    fn steer(&mut self, how: impl Fn(&mut Walk)) {
        let mut core = self.lock();
        for service in 0..core.fleet.services.len() {
            if let Some(walk) = core.signals.walk(service) {
                how(walk);
            }
        }
    }

    /// Gives a spot pool, or the spot part of a mixed one, a market that follows a file, scaled so that its maximum is how
    /// many spot hosts the pool has.
    ///
    /// # Errors
    /// Says which pool there is not, or why it cannot follow a market.
    pub fn follow(&mut self, pool: &PoolName, trace: &Trace) -> Result<(), String> {
        let mut core = self.lock();
        let Some(number) = core.cloud.groups.iter().position(|group| group.pool == *pool) else {
            return Err(format!("the fleet has no pool {pool}"));
        };
        if !core.cloud.groups[number].purchase.has_spot() {
            return Err(format!("pool {pool} has no spot hosts"));
        }
        let group = &core.cloud.groups[number];
        let scaled = trace.scaled_to(group.desired.saturating_sub(group.setup.on_demand_base.unwrap_or(0)));
        core.follow(number, scaled);
        Ok(())
    }

    /// Takes a spot host back, whichever works. Gives whether there was one.
    pub fn interrupt(&mut self, how: Interruption) -> bool {
        let mut core = self.lock();
        let Some(host) = core.any_working(|purchase| purchase == Purchase::Spot) else { return false };
        core.interrupt(host, how);
        true
    }

    /// Refuses every launch in a pool for want of capacity, for so long from now on.
    pub fn starve(&mut self, pool: &PoolName, length: Ms) {
        let mut core = self.lock();
        let until = core.now + length;
        for group in core.cloud.groups.iter_mut().filter(|group| group.pool == *pool) {
            group.market.starved_until = until;
        }
    }

    /// Refuses every launch of spot hosts for want of capacity, for so long from now on.
    pub fn starve_spot(&mut self, length: Ms) {
        let pools: Vec<PoolName> = self
            .lock()
            .fleet
            .pools
            .iter()
            .filter(|pool| pool.purchase.has_spot())
            .map(|pool| pool.name.clone())
            .collect();
        for pool in pools {
            self.starve(&pool, length);
        }
    }

    /// Sets the account's limit of a pool's hosts.
    pub fn limit(&mut self, pool: &PoolName, hosts: Option<u32>) {
        for group in self.lock().cloud.groups.iter_mut().filter(|group| group.pool == *pool) {
            group.market.quota = hosts;
        }
    }

    /// Sets the load on the fleet in capacity units, which its alarms watch; none: what the services' demand needs.
    pub fn load(&mut self, units: Option<f64>) {
        self.lock().signals.load = units;
    }

    /// The same as a part of what the fleet's steady hosts can carry.
    pub fn load_of_steady(&mut self, part: Option<f64>) {
        let steady = f64::from(self.lock().fleet.hosts.steady);
        self.load(part.map(|part| part * steady));
    }

    /// EC2 recommends to rebalance a spot host, whichever works. Gives its id.
    pub fn recommend_rebalance(&mut self) -> Option<InstanceId> {
        let mut core = self.lock();
        let host = core.any_working(|purchase| purchase == Purchase::Spot)?;
        core.recommend_rebalance(host);
        core.cloud.instances.get(&host).map(|one| one.id.clone())
    }

    /// Takes this spot host back. Gives whether it was there.
    pub fn interrupt_host(&mut self, id: &InstanceId, how: Interruption) -> bool {
        let mut core = self.lock();
        let Some(host) = core.cloud.number(id) else { return false };
        core.interrupt(host, how);
        true
    }

    /// Sends a payload to every function, as somebody's invocation.
    pub fn invoke(&mut self, payload: &serde_json::Value) {
        let mut core = self.lock();
        match payload["backfill"].as_str() {
            Some("hold") => core.audit.hosts.held = true,
            Some("release") => core.audit.hosts.held = false,
            Some(_) | None => {}
        }
        if let Ok(verb) = serde_json::from_value(payload["roll"].clone()) {
            let (now, pool) = (core.now, serde_json::from_value(payload["pool"].clone()).ok());
            core.audit.liveness.asked(verb, pool.as_ref(), now);
        }
        core.send(payload, crate::delivery::Promise::AtLeastOnce, 0);
    }
}
