//! A case in words.

use std::fmt;

use crate::case::{Case, Job, Kind, Phase, Spot};
use crate::ecs::Alive;

impl Case {
    /// Names the tasks of a set.
    pub(crate) fn tasks_in(&self, alive: Alive) -> String {
        let named = (0..self.jobs.len()).filter(|number| alive >> number & 1 == 1).map(|number| format!("t{number}"));
        format!("[{}]", named.collect::<Vec<_>>().join(" "))
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, kind) in self.kinds.iter().enumerate() {
            let Kind {
                tier,
                fill,
                size,
                port,
                rules,
                distinct,
                only_in,
                min,
                max,
                want,
                desired,
                headroom,
                ripe,
                apart,
            } = kind;
            write!(f, "  s{number}, tier {tier}, size {size:?}, {min} to {max} tasks, desired {desired}")?;
            match (fill, ripe) {
                (true, true) => write!(f, ", fills holes at once")?,
                (true, false) => write!(f, ", fills holes later")?,
                (false, _) => write!(f, ", wants {want}")?,
            }
            write!(f, ", stops {rules:?}")?;
            if *headroom > 0 {
                write!(f, ", headroom {headroom}")?;
            }
            if *distinct {
                write!(f, ", one a host")?;
            }
            if let Some(port) = port {
                write!(f, ", port {port}")?;
            }
            if let Some(zone) = only_in {
                write!(f, ", only in zone {zone}")?;
            }
            if let Some(apart) = apart {
                write!(f, ", {apart:?}")?;
            }
            writeln!(f)?;
        }
        for (place, spot) in self.spots.iter().enumerate() {
            let Spot { size, zone, door, kept } = spot;
            write!(f, "  h{place}, size {size:?}, zone {zone}, {door:?}")?;
            if let Some(port) = kept {
                write!(f, ", keeps port {port}")?;
            }
            f.write_str(":")?;
            for (number, job) in self.jobs.iter().enumerate().filter(|(_, job)| job.spot == place) {
                let Job { spot: _, kind, size, port: _, phase, protected } = job;
                write!(f, " t{number}")?;
                match kind {
                    Some(kind) => write!(f, "=s{kind}")?,
                    None => write!(f, "=nobody's")?,
                }
                if kind.is_none_or(|kind| self.kinds[kind].size != *size) {
                    write!(f, " of {size:?}")?;
                }
                if *phase != Phase::Running {
                    write!(f, " {phase:?}")?;
                }
                if *protected {
                    write!(f, " protected")?;
                }
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
