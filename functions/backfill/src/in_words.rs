//! What backfill shows, in sentences.

use std::collections::BTreeMap;

use evenkeel_turn::InWords;

use crate::view::{BackfillView, HostLine};

impl InWords for BackfillView {
    fn in_words(&self) -> Vec<String> {
        let mut pools: BTreeMap<String, Vec<&HostLine>> = BTreeMap::new();
        for host in &self.hosts {
            pools.entry(format!("pool {} ({})", host.pool, host.purchase)).or_default().push(host);
        }
        let observes = self.mode.says(evenkeel_model::FunctionName::Backfill);
        let pools = pools.iter().map(|(pool, hosts)| format!("{pool}: {}", counted(hosts)));
        let mut says: Vec<String> = observes.into_iter().chain(pools).collect();
        let (out, max_out) = (self.out, self.max_out);
        says.push(format!("{out} host{} out, {max_out} may be", if out == 1 { " is" } else { "s are" }));
        for (alarm, line) in self.alarms.iter().filter(|(_, line)| line.says != "OK") {
            says.push(format!("alarm {alarm} is {}", line.says));
        }
        if self.on_hold {
            says.push("on hold by request: no on-demand host is given back before somebody asks to release".to_owned());
        }
        says
    }
}

fn counted(hosts: &[&HostLine]) -> String {
    let coming = hosts.iter().filter(|host| host.coming).count();
    let going = hosts.iter().filter(|host| host.going).count();
    let mut says = format!("{} host{}", hosts.len(), if hosts.len() == 1 { "" } else { "s" });
    for (number, what) in [(coming, "coming"), (going, "going")] {
        if number > 0 {
            says.push_str(&format!(", {number} {what}"));
        }
    }
    says
}
