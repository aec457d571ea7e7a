//! What patchroll shows, in sentences.

use std::fmt;

use evenkeel_model::InstanceId;
use evenkeel_turn::InWords;

use crate::state::Ended;
use crate::view::{PatchState, PatchView, RollView};

impl InWords for PatchView {
    fn in_words(&self) -> Vec<String> {
        let outdated = self.hosts.values().filter(|host| host.state == PatchState::Outdated).count();
        let mut says: Vec<String> = self.mode.says(evenkeel_model::FunctionName::Patchroll).into_iter().collect();
        match &self.roll {
            Some(roll) if self.waves.is_empty() => says.push(roll.to_string()),
            Some(roll) => {
                says.push(format!("a roll would replace {} in {} waves", hosts(roll.hosts as usize), roll.waves))
            }
            None => says.push(format!("no roll is under way; {outdated} of {} are outdated", hosts(self.hosts.len()))),
        }
        for (number, wave) in self.waves.iter().enumerate() {
            let hosts: Vec<&str> = wave.iter().map(InstanceId::as_str).collect();
            says.push(format!("wave {} would be {}", number + 1, hosts.join(", ")));
        }
        says.extend(self.next_window.map(|opens| format!("the next window opens at {opens:.0}")));
        says.extend(self.ended.first().map(ToString::to_string));
        says
    }
}

impl fmt::Display for RollView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, because, started: _, says, wave, waves, done, hosts: all, expected_end, running: _ } = self;
        write!(f, "roll {id} ({because}): wave {wave} of {waves}, {done} of {} done, {says}", hosts(*all as usize))?;
        expected_end.map_or(Ok(()), |end| write!(f, "; it should end at {end:.0}"))
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, because: _, started: _, at, ending, waves, replaced, went, abandoned } = self;
        write!(f, "roll {id} ended at {at:.0}, {ending}: {} replaced", hosts(*replaced as usize))?;
        write!(f, " in {waves} wave{}", if *waves == 1 { "" } else { "s" })?;
        if *went > 0 {
            write!(f, ", {} gone without it", hosts(*went as usize))?;
        }
        if !abandoned.is_empty() {
            let left: Vec<String> = abandoned.iter().map(|(host, cause)| format!("{host} ({cause})")).collect();
            write!(f, ", {} not replaced: {}", hosts(left.len()), left.join(", "))?;
        }
        Ok(())
    }
}

fn hosts(number: usize) -> String {
    format!("{number} host{}", if number == 1 { "" } else { "s" })
}
