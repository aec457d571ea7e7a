//! The auditor's rules about rolls: invariants 1, 6, 7, 8 and 11, from what the world knows to be true.

use evenkeel_model::GroupName;
use evenkeel_model::decision::{ImageStep, Step};
use evenkeel_model::templates::TemplateUse;

use crate::core::Core;
use crate::turns::TurnNo;

impl Core {
    /// A template, an image or a builder is about to be changed.
    pub(crate) fn image_effect(&mut self, turn: TurnNo, step: &ImageStep) {
        let known = self.audit.hosts.why(turn, |known| matches!(known, Step::Image(known) if known == step));
        if known.is_none() {
            let now = self.now;
            self.audit.violated(11, now, format!("{step} without a recorded decision"));
        }
    }

    /// What a group launches is about to be changed.
    pub(crate) fn use_effect(&mut self, turn: TurnNo, group: &GroupName, template: &TemplateUse) {
        let is = |step: &Step| matches!(step, Step::Image(ImageStep::UseVersion { pool: _, group: one, template: what }) if one == group && what == template);
        if self.audit.hosts.why(turn, is).is_none() {
            let now = self.now;
            self.audit.violated(
                11,
                now,
                format!("{group} told to launch {} without a recorded decision", template.version),
            );
        }
    }
}
