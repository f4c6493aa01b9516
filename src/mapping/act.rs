//! From the action to what is done: the write, the link, and the hooks that may still change it.
use serde_json::{Value, json};

use super::{
    Case, Failure, Found, Lookup, MappingHook, ScriptRun,
    condition::View,
    occasion::Occasion,
    properties::{Laid, id_text, without_new_nulls},
    run::{Bindings, unusable},
    situation::Assessed,
};
use crate::model::{
    Action, Link, LinkChange, Object, Step, TargetObject, TargetWrite,
    object::{ID, same_object},
};

/// What an action comes to.
#[derive(Debug)]
pub(super) struct Effect {
    pub(super) step: Step,
    pub(super) link: Option<LinkChange>,
    pub(super) target_id: Option<String>,
    pub(super) unread: Option<String>,
}

/// A case in its situation, about to act.
pub(super) struct Acting<'c, 'a> {
    pub(super) case: Case<'a>,
    pub(super) assessed: &'c Assessed,
    pub(super) action: Action,
    pub(super) occasion: Occasion<'c>,
    pub(super) view: &'c View<'c>,
    pub(super) runs: &'c mut Vec<ScriptRun>,
}

/// What is known about the id that a create would give.
pub(super) struct Reserved {
    id: Option<String>,
    taken: bool,
}

impl Reserved {
    /// What reading `lookup` says about the id of a create.
    pub(super) fn new(case: &Case<'_>, lookup: &Lookup, found: &Found) -> Self {
        Self {
            id: lookup.id.clone(),
            taken: case.link.is_none() && found.object.is_some(),
        }
    }
}

impl<'c> Acting<'c, '_> {
    /// Carries the action out on paper.
    pub(super) async fn effect(&mut self, reserved: &Reserved) -> Result<Effect, Failure> {
        match self.action {
            Action::Create => self.create(reserved).await,
            Action::Update => self.update().await,
            Action::Delete => self.delete().await,
            Action::Link => self.link().await,
            Action::Unlink => self.unlink().await,
            Action::Exception => Err(Failure::Exception {
                mapping: self.case.mapping.name.clone(),
                situation: self.assessed.situation,
            }),
            Action::Report | Action::Noreport | Action::Async | Action::Ignore => {
                Ok(self.nothing(None))
            }
        }
    }

    async fn create(&mut self, reserved: &Reserved) -> Result<Effect, Failure> {
        self.need_source()?;
        if self.assessed.target.is_some() {
            return Err(self.impossible("the target object exists"));
        }
        let nothing = Object::new();
        let Laid { after, id, .. } = self.case.lay(self.view, &nothing).await?;
        let id = id.unwrap_or_else(|| Some(self.case.source.id.to_owned()));
        let (id, after) = self
            .hooked(MappingHook::OnCreate, id, after.unwrap_or_default(), None)
            .await?;
        let unread = id.clone().filter(|_| id != reserved.id);
        if let Some(id) = id.as_ref().filter(|_| unread.is_none() && reserved.taken) {
            return Err(Failure::Exists {
                mapping: self.case.mapping.name.clone(),
                id: id.clone(),
            });
        }
        Ok(Effect {
            link: self.link_to(id.as_deref())?,
            target_id: id.clone(),
            unread,
            step: Step::Write {
                write: TargetWrite::Create { id, after },
            },
        })
    }

    async fn update(&mut self) -> Result<Effect, Failure> {
        self.need_source()?;
        let before = self.need_target()?;
        let Laid { after, id, .. } = self.case.lay(self.view, &before.attributes).await?;
        let id = id.flatten().or_else(|| Some(before.id.clone()));
        let (id, after) = if self.has_hook(MappingHook::OnUpdate) {
            let after = after.unwrap_or_else(|| before.attributes.clone());
            let (id, after) = self
                .hooked(MappingHook::OnUpdate, id, after, Some(before))
                .await?;
            (id, Some(after))
        } else {
            (id, after)
        };
        let rename = id.filter(|id| *id != before.id);
        let changed = after.filter(|after| !same_object(after, &before.attributes));
        let link = self.link_to(Some(rename.as_ref().unwrap_or(&before.id)))?;
        let step = if changed.is_none() && rename.is_none() {
            Step::Nothing
        } else {
            Step::Write {
                write: TargetWrite::Update {
                    before: before.clone(),
                    after: changed.unwrap_or_else(|| before.attributes.clone()),
                    rename: rename.clone(),
                },
            }
        };
        Ok(Effect {
            step,
            link,
            target_id: Some(before.id.clone()),
            unread: rename,
        })
    }

    async fn delete(&mut self) -> Result<Effect, Failure> {
        let link = self.any_link().map(LinkChange::Remove);
        let Some(before) = &self.assessed.target else {
            return Ok(self.nothing(link));
        };
        self.observed(MappingHook::OnDelete).await?;
        Ok(Effect {
            step: Step::Write {
                write: TargetWrite::Delete {
                    before: before.clone(),
                },
            },
            link,
            target_id: Some(before.id.clone()),
            unread: None,
        })
    }

    async fn link(&mut self) -> Result<Effect, Failure> {
        if !self.case.has_source() {
            return Err(self.impossible("there is no source object"));
        }
        let target = self.need_target()?;
        let link = self.link_to(Some(&target.id))?;
        self.observed(MappingHook::OnLink).await?;
        Ok(self.nothing(link))
    }

    async fn unlink(&mut self) -> Result<Effect, Failure> {
        let link = self.case.link.cloned().map(LinkChange::Remove);
        if link.is_some() {
            self.observed(MappingHook::OnUnlink).await?;
        }
        Ok(self.nothing(link))
    }

    fn nothing(&self, link: Option<LinkChange>) -> Effect {
        let target = self.assessed.target.as_ref().map(|target| &*target.id);
        Effect {
            step: Step::Nothing,
            link,
            target_id: target.or(self.case.linked_id()).map(str::to_owned),
            unread: None,
        }
    }

    /// The link to set so that it names this target; none where it does already.
    fn link_to(&self, target_id: Option<&str>) -> Result<Option<LinkChange>, Failure> {
        if self.assessed.foreign.is_some() {
            return Err(self.impossible("the target object is linked to another source"));
        }
        if target_id.is_some() && self.case.linked_id() == target_id {
            return Ok(None);
        }
        let source_id = self.case.source.id.to_owned();
        let target_id = target_id.map(str::to_owned);
        let (first_id, second_id) = if self.case.mapping.links_reversed {
            let unknown = "the links of another mapping need a target id that is known before";
            let first = target_id.ok_or_else(|| self.impossible(unknown))?;
            (first, Some(source_id))
        } else {
            (source_id, target_id)
        };
        Ok(Some(LinkChange::Set {
            link_type: self.case.mapping.link_type.clone(),
            link_qualifier: self.case.qualifier.to_owned(),
            first_id,
            second_id,
        }))
    }

    fn any_link(&self) -> Option<Link> {
        self.case.link.or(self.assessed.foreign.as_ref()).cloned()
    }

    fn need_source(&self) -> Result<(), Failure> {
        match self.case.source.new {
            Some(_) => Ok(()),
            None => Err(self.impossible("the source object is deleted")),
        }
    }

    fn need_target(&self) -> Result<&'c TargetObject, Failure> {
        self.assessed
            .target
            .as_ref()
            .ok_or_else(|| self.impossible("there is no target object"))
    }

    fn impossible(&self, reason: &'static str) -> Failure {
        Failure::Impossible {
            mapping: self.case.mapping.name.clone(),
            action: self.action,
            situation: self.assessed.situation,
            reason,
        }
    }

    fn has_hook(&self, hook: MappingHook) -> bool {
        self.case.mapping.hooks.contains_key(&hook)
    }

    /// Runs a hook that may change the target object.
    async fn hooked(
        &mut self,
        hook: MappingHook,
        id: Option<String>,
        after: Object,
        before: Option<&TargetObject>,
    ) -> Result<(Option<String>, Object), Failure> {
        let mapping = self.case.mapping;
        let script = mapping.hooks.get(&hook);
        let Some(script) = script.filter(|script| !self.case.scripts.leaves_out(script)) else {
            return Ok((id, after));
        };
        let mut target = Object::with_capacity(after.len() + 1);
        if let Some(id) = id {
            target.insert(ID.to_owned(), json!(id));
        }
        target.extend(after);
        let fresh = self.case.scripts.bindings(mapping, hook.key(), script);
        let bindings = self.bindings(fresh).with_mutable("target", target);
        let scripts = self.case.scripts;
        let mut left = scripts
            .hook(mapping, hook.key(), bindings, self.runs)
            .await?;
        let Some(Value::Object(mut after)) = left.remove("target") else {
            return Err(unusable(mapping, hook.key(), "`target` as an object"));
        };
        let id = id_text(&after.shift_remove(ID).unwrap_or_default())
            .map_err(|_| unusable(mapping, hook.key(), "`target._id` as a text"))?;
        without_new_nulls(&mut after, before);
        Ok((id, after))
    }

    /// Runs a hook that changes nothing, but may throw.
    async fn observed(&mut self, hook: MappingHook) -> Result<(), Failure> {
        let mapping = self.case.mapping;
        let script = mapping.hooks.get(&hook);
        let Some(script) = script.filter(|script| !self.case.scripts.leaves_out(script)) else {
            return Ok(());
        };
        let fresh = self.case.scripts.bindings(mapping, hook.key(), script);
        let bindings = self
            .bindings(fresh)
            .with_object("target", self.view.target());
        let scripts = self.case.scripts;
        scripts
            .hook(mapping, hook.key(), bindings, self.runs)
            .await
            .map(|_| ())
    }

    /// Runs the policy's `postAction`, which sees the target object as it will be.
    pub(super) async fn conclude(
        &mut self,
        script: &crate::hooks::Script,
        effect: &Effect,
    ) -> Result<(), Failure> {
        if self.case.scripts.leaves_out(script) {
            return Ok(());
        }
        let after = match &effect.step {
            Step::Write { write } => write.after(),
            _ => self.view.target().cloned(),
        };
        let fresh = self
            .case
            .scripts
            .bindings(self.case.mapping, "postAction", script);
        let bindings = self
            .bindings(fresh)
            .with("target", || after.map_or(Value::Null, Value::Object))
            .with("action", || json!(self.action))
            .with("sourceAction", || json!(self.case.has_source()))
            .with("reconId", || json!(self.occasion.reconciliation()));
        let scripts = self.case.scripts;
        scripts
            .hook(self.case.mapping, "postAction", bindings, self.runs)
            .await
            .map(|_| ())
    }

    fn bindings<'s>(&self, bindings: Bindings<'s>) -> Bindings<'s> {
        let target_id = self.assessed.target.as_ref().map(|target| &*target.id);
        bindings
            .with_object("source", self.case.source.object())
            .with_object("oldTarget", self.view.target())
            .with("targetId", || json!(target_id.or(self.case.linked_id())))
            .with("situation", || json!(self.assessed.situation))
            .with_case(&self.case)
    }
}
