//! The policies of a mapping.
use super::One;
use crate::{
    config::{
        read::document::{item, step},
        written::sync as written,
    },
    mapping::{Policy, PolicyAction},
    model::{Action, Situation},
};

impl One<'_, '_> {
    pub(super) fn policies(&mut self) -> Vec<Policy> {
        let list = self.at("policies");
        let mut settled = Vec::new();
        let mut policies = Vec::new();
        for (index, written) in self.written.policies.iter().flatten().enumerate() {
            let Some(written) = written else { continue };
            let pointer = item(&list, index);
            self.hints(written, &pointer, &mut settled);
            policies.extend(self.policy(written, &pointer));
        }
        policies
    }

    fn policy(&mut self, written: &written::Policy, pointer: &str) -> Option<Policy> {
        let situation = written.situation.map(|name| name.0);
        let hook = |part: &str| match situation {
            Some(situation) => format!("{part} of {situation}"),
            None => part.to_owned(),
        };
        let action = match &written.action {
            Some(written::ActionOrScript::Name(name)) => Some(PolicyAction::Fixed(name.0)),
            Some(written::ActionOrScript::Script(script)) => self
                .context
                .script(
                    script,
                    &step(pointer, "action"),
                    &self.owner,
                    &hook("action"),
                )
                .map(PolicyAction::Script),
            None => None,
        };
        let condition = written.condition.as_ref().and_then(|condition| {
            let pointer = step(pointer, "condition");
            self.context
                .condition(condition, &pointer, &self.owner, &hook("condition"))
        });
        let post_action = written.post_action.as_ref().and_then(|script| {
            let pointer = step(pointer, "postAction");
            self.context
                .script(script, &pointer, &self.owner, &hook("postAction"))
        });
        Some(Policy {
            situation: situation?,
            condition,
            action: action?,
            post_action,
        })
    }

    /// Warns of policies that never count, and of those that leave targets behind.
    fn hints(&mut self, written: &written::Policy, pointer: &str, settled: &mut Vec<Situation>) {
        let Some(situation) = written.situation.map(|name| name.0) else {
            return;
        };
        if settled.contains(&situation) {
            let message = format!(
                "never counts: a policy for {situation} without a condition stands before it"
            );
            self.context.warning(pointer, message);
        } else if written.condition.is_none() {
            settled.push(situation);
        }
        let Some(written::ActionOrScript::Name(action)) = &written.action else {
            return;
        };
        if situation == Situation::SourceMissing && action.0 != Action::Delete {
            let message = format!(
                "`{}` leaves the target behind when its source is deleted, and a create that is taken \
                 back may not be undone: use `DELETE`, which is the default",
                action.0
            );
            self.context.warning(&step(pointer, "action"), message);
        }
    }
}
