//! A roll: how it stands, and how it goes on.

use evenkeel_model::{RollId, Timestamp};
use evenkeel_patchroll::{Ended, PatchState, PatchView, RollView};

use super::table::{BAD, FAINT, GOOD, ODD, paint};
use super::words::{age, clock, count};
use crate::account::Standing;

/// How a roll ended, as an exit code says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// No outdated host is left.
    Done,
    /// Some hosts could not be replaced.
    Incomplete,
    /// Somebody asked for it.
    Aborted,
    /// It was taken back.
    RolledBack,
    /// No image could be baked.
    NotBaked,
}

impl Ending {
    /// 0 where all is well; 1 is for errors and 2 for words that are not understood.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Incomplete => 3,
            Self::Aborted => 4,
            Self::RolledBack => 5,
            Self::NotBaked => 6,
        }
    }

    fn of(ended: &Ended) -> Self {
        match &ended.ending {
            evenkeel_patchroll::Ending::Done => Self::Done,
            evenkeel_patchroll::Ending::Incomplete => Self::Incomplete,
            evenkeel_patchroll::Ending::Aborted => Self::Aborted,
            evenkeel_patchroll::Ending::RolledBack(_) => Self::RolledBack,
            evenkeel_patchroll::Ending::NotBaked(_) => Self::NotBaked,
        }
    }
}

/// How the fleet's roll stands, or why there is none.
pub(crate) fn standing(fleet: &Standing, now: Timestamp) -> Vec<String> {
    let Some(view) = &fleet.patch else {
        let rolls = fleet.file.as_ref().is_some_and(|file| file.patch.is_some());
        let says =
            if rolls { "patchroll has not looked yet" } else { "the fleet file has no [patch]: nothing is rolled" };
        return vec![paint(FAINT, says)];
    };
    let mut lines = Vec::new();
    match &view.roll {
        Some(roll) => {
            lines.push(paint(if roll.running { ODD } else { BAD }, roll));
            lines.push(paint(FAINT, format_args!("began {} ago", age(roll.started, now))));
        }
        None => {
            let outdated = view.hosts.values().filter(|host| host.state == PatchState::Outdated).count();
            let style = if outdated == 0 { GOOD } else { ODD };
            let says = format!("{outdated} of {} outdated", count(view.hosts.len(), "host"));
            lines.push(format!("none under way; {}", paint(style, says)));
        }
    }
    lines.extend(view.next_window.map(|opens| format!("the next window opens at {} UTC", clock(opens, now))));
    lines.extend(view.ended.first().map(|ended| {
        let style = if Ending::of(ended) == Ending::Done { FAINT } else { BAD };
        paint(style, format_args!("{ended} ({} ago)", age(ended.at, now)))
    }));
    lines
}

/// How a roll ended, if it did.
pub(crate) fn ended_as(view: &PatchView, roll: &RollId) -> Option<(Ending, String)> {
    let ended = view.ended.iter().find(|ended| ended.id == *roll)?;
    Some((Ending::of(ended), ended.to_string()))
}

/// What was told of a roll last, so that only news is told.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    told: Option<(u32, u32, u32, String, Vec<String>)>,
}

impl Progress {
    /// What has changed since the last look, if anything: a sentence for the roll, and one for each new wait.
    pub(crate) fn news(&mut self, roll: &RollView, waits: &[String]) -> Vec<String> {
        let known: Vec<String> = self.told.as_ref().map(|told| told.4.clone()).unwrap_or_default();
        let now = (roll.wave, roll.done, roll.hosts, roll.says.clone(), waits.to_vec());
        let moved =
            self.told.as_ref().is_none_or(|told| (told.0, told.1, told.2, &told.3) != (now.0, now.1, now.2, &now.3));
        let mut news = if moved { vec![roll.to_string()] } else { Vec::new() };
        news.extend(waits.iter().filter(|wait| !known.contains(wait)).map(|wait| format!("  waits: {wait}")));
        self.told = Some(now);
        news
    }
}
