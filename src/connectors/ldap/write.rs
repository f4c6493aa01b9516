//! Entries that are created, changed and deleted, and the groups that hold them.
use super::{
    connector::{Ldap, as_written},
    entries::{gone, is_elsewhere, is_moved, moved, other},
    failure::{is_about_values, stale},
    memberships::{self, Around, Begun},
    naming,
    session::Entry,
    steps::{Request, Step, all_of, carry_out},
    wire::View,
};
use crate::{
    connectors::{Error, Update, Written},
    model::{CauseKind, Object, TargetObject, object::Difference},
};

impl Ldap {
    pub(super) async fn create_entry(
        &self,
        view: &View<'_>,
        class: &str,
        (id, object): (Option<&str>, &Object),
    ) -> Result<Written, Error> {
        let (dn, naming) = naming::new_name(view, id, object)?;
        let attributes = view.entry(object, &naming)?;
        let groups = memberships::around(view, (&dn, &dn), (&Object::new(), object)).after;
        let own = Request::Add {
            dn: dn.clone(),
            attributes,
        };
        let taken_back = Request::Delete { dn: dn.clone() };
        let own = Step {
            undo: Some(taken_back).filter(|_| !groups.is_empty()),
            ..Step::last(own, Vec::new())
        };
        let is_alone = groups.is_empty();
        let steps = std::iter::once(own).chain(groups).collect();
        let told = self.carry_out(view, steps).await.map_err(stale)?;
        let told = told.filter(|_| is_alone);
        self.written(view, class, &dn, told).await
    }

    async fn carry_out(&self, view: &View<'_>, steps: Vec<Step>) -> Result<Option<Entry>, Error> {
        let mut lease = self.pool.lease().await?;
        let wanted = view.wanted();
        let result = carry_out(&mut lease, view.server, &wanted, steps).await;
        lease.give_back();
        result
    }

    pub(super) async fn update_entry(
        &self,
        view: &View<'_>,
        class: &str,
        update: &Update<'_>,
    ) -> Result<Written, Error> {
        let before = update.before;
        let Some(dn) = self.dn(view, class, before).await? else {
            return Err(gone(&before.id));
        };
        let (place, own) = naming::update_steps(view, &dn, update)?;
        let around = self.around(view, (&dn, &place), update);
        if own.is_empty() && around.is_empty() {
            let now = self.find(view, class, &before.id).await?;
            return now.map(as_written).ok_or_else(|| gone(&before.id));
        }
        let itself = view.is_itself(before)?;
        let is_alone = around.is_empty();
        let conditions = own.first().map_or(&[][..], |step| &step.conditions);
        let conditions = [&itself, conditions].concat();
        // What the server does not see by itself is looked at first.
        let is_looked_at = !(conditions.is_empty() || is_alone && view.server.asserts());
        let is_there = !is_looked_at || !self.at(view, &dn, &all_of(&conditions)).await?.is_empty();
        let written = match is_there {
            false if !is_alone && self.is_there_already(view, (&dn, &place), &itself).await? => {
                self.carry_on(view, (&dn, &place), update, &itself).await
            }
            false => Err(other()),
            true if view.server.asserts() => {
                self.carry_out_asserting(view, (&dn, &place), update, &itself)
                    .await
            }
            true => self.carry_out(view, in_order(own, around)).await,
        };
        let written = match written {
            // Two values of one attribute may be the same to the server: it says so best itself.
            Err(error) if is_about_values(&error) => {
                match self.is_as_read(view, class, before).await {
                    Ok(true) => return Err(error),
                    Ok(false) | Err(_) => Err(stale(error)),
                }
            }
            written => written.map(|told| told.filter(|_| is_alone)),
        };
        match written {
            Ok(told) => self.written(view, class, &place, told).await,
            Err(error) if is_elsewhere(&error) => {
                match self.itself(view, class, before).await {
                    Ok(None) => Err(gone(&before.id)),
                    Ok(Some(now)) if is_moved(&now, &dn) => Err(moved()),
                    // What the server said tells more: another entry of this change is missing.
                    Ok(Some(_)) | Err(_) => Err(error),
                }
            }
            Err(error) => Err(error),
        }
    }

    /// What an update means for the groups of an account.
    fn around(&self, view: &View<'_>, names: (&str, &str), update: &Update<'_>) -> Around {
        memberships::around(view, names, (&update.before.attributes, update.after))
    }

    /// Whether an entry has the name already that an update gives it. Where the name is the id, it
    /// does not tell one entry from another.
    async fn is_there_already(
        &self,
        view: &View<'_>,
        (dn, place): (&str, &str),
        itself: &[String],
    ) -> Result<bool, Error> {
        if dn == place || itself.is_empty() || view.class.is_id_the_name() {
            return Ok(false);
        }
        let found = self.at(view, place, &all_of(itself)).await?;
        Ok(!found.is_empty())
    }

    /// Carries out what is left of an update that was cut off after it had renamed the entry.
    async fn carry_on(
        &self,
        view: &View<'_>,
        (dn, place): (&str, &str),
        update: &Update<'_>,
        itself: &[String],
    ) -> Result<Option<Entry>, Error> {
        let steps = |itself: &[String]| -> Result<Vec<Step>, Error> {
            let mut own = naming::steps_after_renaming(view, dn, update)?;
            for step in &mut own {
                step.conditions.extend_from_slice(itself);
            }
            let objects = (&update.before.attributes, update.after);
            let around = memberships::around_again(view, (dn, place), objects, Begun::Renamed);
            let groups = around.before.into_iter().chain(around.after);
            Ok(groups.chain(own).collect())
        };
        match self.carry_out(view, steps(itself)?).await {
            Err(error)
                if may_be_of_another(&error)
                    && !self.at(view, place, &all_of(itself)).await?.is_empty() =>
            {
                self.carry_out(view, steps(&[])?).await
            }
            result => result,
        }
    }

    /// Carries an update out where the server itself sees that the entry is the one that was read.
    async fn carry_out_asserting(
        &self,
        view: &View<'_>,
        (dn, place): (&str, &str),
        update: &Update<'_>,
        itself: &[String],
    ) -> Result<Option<Entry>, Error> {
        let (_, mut own) = naming::update_steps(view, dn, update)?;
        if let Some(first) = own.first_mut() {
            first.conditions.extend_from_slice(itself);
        }
        let around = self.around(view, (dn, place), update);
        match self.carry_out(view, in_order(own, around)).await {
            Err(error)
                if may_be_of_another(&error)
                    && !itself.is_empty()
                    && !self.at(view, dn, &all_of(itself)).await?.is_empty() =>
            {
                let (_, own) = naming::update_steps(view, dn, update)?;
                let around = self.around(view, (dn, place), update);
                self.carry_out(view, in_order(own, around)).await
            }
            result => result,
        }
    }

    pub(super) async fn delete_entry(
        &self,
        view: &View<'_>,
        class: &str,
        before: &TargetObject,
    ) -> Result<(), Error> {
        let Some(dn) = self.dn(view, class, before).await? else {
            return Ok(());
        };
        let mut steps = memberships::all_left(view, &dn, &before.attributes);
        let is_looked_at = !view.server.asserts() || view.class.memberships.is_some();
        if is_looked_at && !self.is_as_read(view, class, before).await? {
            return Ok(());
        }
        let mut conditions = view.is_itself(before)?;
        if steps.is_empty() {
            // To leave a group may change the entry's own change number.
            conditions.extend(view.as_read(before));
        }
        steps.push(Step::last(Request::Delete { dn: dn.clone() }, conditions));
        match self.carry_out(view, steps).await.map_err(stale) {
            Ok(_) => Ok(()),
            Err(error) if is_elsewhere(&error) => match self.itself(view, class, before).await {
                Ok(None) => Ok(()),
                Ok(Some(now)) if is_moved(&now, &dn) => Err(moved()),
                Ok(Some(_)) | Err(_) => Err(error),
            },
            Err(error) => Err(error),
        }
    }

    /// Whether an entry is there, as it was read. What is never read is no part of it.
    async fn is_as_read(
        &self,
        view: &View<'_>,
        class: &str,
        before: &TargetObject,
    ) -> Result<bool, Error> {
        let Some(now) = self.itself(view, class, before).await? else {
            return Ok(false);
        };
        let mut read = before.attributes.clone();
        read.retain(|name, _| !view.class.is_write_only(name));
        if Difference::between(&now.attributes, &read).is_empty() {
            Ok(true)
        } else {
            Err(other())
        }
    }
}

/// Whether a refusal may mean another entry than the one that is written: slapd's `unique` overlay
/// holds an assertion against the entry below which it searches, too, and that one has another id.
/// Then the id is looked at beforehand.
fn may_be_of_another(error: &Error) -> bool {
    error.kind == CauseKind::Refused && (error.code == 412 || error.code == 122)
}

/// The steps of an update in the order in which they go out: the account leaves groups under its old
/// name and joins them under the new one, and what is its own changes last, for nothing could take
/// that back for certain.
fn in_order(mut own: Vec<Step>, around: Around) -> Vec<Step> {
    let names = |step: &Step| matches!(step.request, Request::Rename { .. });
    let rest = own.split_off(own.iter().take_while(|step| names(step)).count());
    let groups = around.before.into_iter();
    groups.chain(own).chain(around.after).chain(rest).collect()
}
