//! From the situation to the action: the first policy whose condition holds, or the default.
use serde_json::{Value, json};

use super::{
    Case, Failure, PolicyAction,
    condition::View,
    occasion::Occasion,
    run::{Bindings, unusable},
};
use crate::{
    hooks::Script,
    model::{Action, Situation},
};

/// An action, and what runs after it is decided.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chosen<'a> {
    pub(super) action: Action,
    pub(super) post_action: Option<&'a Script>,
}

impl<'a> Case<'a> {
    /// The action for a situation.
    pub(super) async fn choose(
        &self,
        situation: Situation,
        view: &View<'_>,
        occasion: Occasion<'_>,
    ) -> Result<Chosen<'a>, Failure> {
        let policies = self.mapping.policies.iter();
        for policy in policies.filter(|policy| policy.situation == situation) {
            if view
                .meets(policy.condition.as_ref(), "condition of a policy")
                .await?
            {
                let action = match &policy.action {
                    PolicyAction::Fixed(action) => *action,
                    PolicyAction::Script(script) => {
                        self.ask_for_action(script, situation, view, occasion)
                            .await?
                    }
                };
                return Ok(Chosen {
                    action,
                    post_action: policy.post_action.as_ref(),
                });
            }
        }
        Ok(Chosen {
            action: occasion.default_for(situation),
            post_action: None,
        })
    }

    async fn ask_for_action(
        &self,
        script: &Script,
        situation: Situation,
        view: &View<'_>,
        occasion: Occasion<'_>,
    ) -> Result<Action, Failure> {
        const HOOK: &str = "action of a policy";
        let bindings = Bindings::of(script)
            .with_object("source", self.source.object())
            .with_object("target", view.target())
            .with("situation", || json!(situation))
            .with("sourceAction", || json!(self.has_source()))
            .with("recon", || json!({"reconId": occasion.reconciliation()}))
            .with_case(self);
        let name = self.scripts.value(self.mapping, HOOK, bindings).await?;
        name.as_str()
            .map(|name| Value::String(name.to_ascii_uppercase()))
            .and_then(|name| serde_json::from_value(name).ok())
            .ok_or_else(|| unusable(self.mapping, HOOK, "the name of an action"))
    }

    /// Whether an absent target might be created, so that the id it would get is worth reading.
    pub(super) fn may_create(&self) -> bool {
        let absent = |policy: &&super::Policy| policy.situation == Situation::Absent;
        match self.mapping.policies.iter().find(absent) {
            Some(policy) if policy.condition.is_none() => match policy.action {
                PolicyAction::Fixed(action) => action == Action::Create,
                PolicyAction::Script(_) => true,
            },
            _ => true,
        }
    }
}
