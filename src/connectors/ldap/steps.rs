//! Writes of one or more requests: each is carried out, or those before it are taken back.
use std::collections::HashSet;

use ldap3::{
    LdapResult, Mod, Scope, SearchEntry,
    controls::{
        Assertion, Control, ControlType, MakeCritical as _, PostRead, RawControl, ReadEntryResp,
    },
};

use super::{
    answers,
    failure::{PASSWORD_POLICY, Stage, answered, is_about_values},
    range::Piece,
    server::Server,
    session::{Entry, Lease},
    wire::ENTRY_DN,
};
use crate::{
    connectors::{Error, signs},
    model::CauseKind,
};

/// One request.
#[derive(Debug)]
pub enum Request {
    /// A new entry.
    Add {
        /// Where.
        dn: String,
        /// Its attributes.
        attributes: Vec<(Vec<u8>, HashSet<Vec<u8>>)>,
    },
    /// Other values.
    Modify {
        /// Where.
        dn: String,
        /// What changes.
        mods: Vec<Mod<Vec<u8>>>,
    },
    /// Another name or another place.
    Rename {
        /// Where it is.
        dn: String,
        /// What names it below its parent from now on.
        rdn: String,
        /// The new parent, where it moves.
        parent: Option<String>,
        /// Whether the values that named it go.
        forget_old: bool,
    },
    /// No entry any more.
    Delete {
        /// Where.
        dn: String,
    },
}

/// A request, what takes it back, and what must hold before it.
#[derive(Debug)]
pub struct Step {
    /// The request.
    pub request: Request,
    /// What takes it back; none where nothing follows that could ask for that.
    pub undo: Option<Request>,
    /// What must hold of the entry (RFC 4515); all of it.
    pub conditions: Vec<String>,
    /// What is sent instead where the server refuses the request for what the entry holds, and what
    /// takes that back.
    pub otherwise: Option<(Request, Request)>,
    /// Where the entry meets this filter after a refusal, somebody has done it already.
    pub done: Option<String>,
}

impl Request {
    /// Where it goes.
    fn dn(&self) -> &str {
        match self {
            Self::Add { dn, .. }
            | Self::Modify { dn, .. }
            | Self::Rename { dn, .. }
            | Self::Delete { dn } => dn,
        }
    }
}

impl Step {
    /// A request that nothing follows.
    #[must_use]
    pub fn last(request: Request, conditions: Vec<String>) -> Self {
        Self {
            request,
            undo: None,
            conditions,
            otherwise: None,
            done: None,
        }
    }
}

/// Carries steps out in order; gives the entry after the last of them, where the server told.
///
/// # Errors
/// *Refused* and *unavailable* where nothing happened, or everything that had happened was taken
/// back; otherwise *unknown*.
pub async fn carry_out(
    lease: &mut Lease,
    server: &Server,
    wanted: &[&str],
    steps: Vec<Step>,
) -> Result<Option<Entry>, Error> {
    let mut undos = Vec::new();
    let mut entry = None;
    for step in steps {
        match one(lease, server, wanted, step).await {
            Ok((found, undo)) => {
                entry = found;
                undos.extend(undo);
            }
            Err(error) if undos.is_empty() => return Err(error),
            Err(error) => return Err(taken_back(lease, server, undos, error).await),
        }
        signs::further();
    }
    Ok(entry)
}

/// Carries one step out; gives what the entry holds then, and what takes it back.
async fn one(
    lease: &mut Lease,
    server: &Server,
    wanted: &[&str],
    step: Step,
) -> Result<(Option<Entry>, Option<Request>), Error> {
    let place = step.request.dn().to_owned();
    let sent = send(lease, server, wanted, step.request, &step.conditions).await;
    let error = match (sent, step.otherwise) {
        (Ok(found), _) => return Ok((found, step.undo)),
        (Err(error), Some((request, undo))) if is_of_the_entry(&error) => {
            match send(lease, server, wanted, request, &step.conditions).await {
                Ok(found) => return Ok((found, Some(undo))),
                // The first refusal is the one that matters where both say the same.
                Err(other) if is_of_the_entry(&other) => error,
                Err(other) => return Err(other),
            }
        }
        (Err(error), _) => error,
    };
    if let Some(filter) = step.done.filter(|_| is_of_the_entry(&error)) {
        let found = lease.search(&place, Scope::Base, &filter, &["1.1"]).await;
        if found.is_ok_and(|found| !found.is_empty()) {
            return Ok((None, None));
        }
    }
    Err(error)
}

/// Whether a refusal is about what the entry holds: a value that is there or is not, or one that its
/// object class asks for (objectClassViolation).
fn is_of_the_entry(error: &Error) -> bool {
    is_about_values(error)
        || error.kind == CauseKind::Refused && (error.code == 412 || error.code == 65)
}

/// The error of a step after those before it were taken back: the same where that succeeded.
async fn taken_back(
    lease: &mut Lease,
    server: &Server,
    undos: Vec<Request>,
    error: Error,
) -> Error {
    let half = |error: Error| {
        let message = format!(
            "{}; what was done before it could not be taken back",
            error.message
        );
        Error::unknown(error.code, message)
    };
    // Where the connection is gone or the step may have happened, only a look tells.
    if error.kind == CauseKind::Unknown {
        return error;
    }
    for undo in undos.into_iter().rev() {
        if send(lease, server, &[], undo, &[]).await.is_err() {
            return half(error);
        }
    }
    error
}

async fn send(
    lease: &mut Lease,
    server: &Server,
    wanted: &[&str],
    request: Request,
    conditions: &[String],
) -> Result<Option<Entry>, Error> {
    let controls = controls(server, wanted, &request, conditions)?;
    let ldap = lease.with_controls(controls);
    let outcome = match request {
        Request::Add { dn, attributes } => ldap.add(&dn, attributes).await,
        Request::Modify { dn, mods } => ldap.modify(&dn, mods).await,
        Request::Rename {
            dn,
            rdn,
            parent,
            forget_old,
        } => {
            ldap.modifydn(&dn, &rdn, forget_old, parent.as_deref())
                .await
        }
        Request::Delete { dn } => ldap.delete(&dn).await,
    };
    let result = lease.outcome(outcome)?;
    if result.rc == 0 {
        return Ok(after(&result));
    }
    Err(answered(&result, Stage::Write))
}

fn controls(
    server: &Server,
    wanted: &[&str],
    request: &Request,
    conditions: &[String],
) -> Result<Vec<RawControl>, Error> {
    let mut controls = Vec::new();
    let is_delete = matches!(request, Request::Delete { .. });
    if server.asserts() && !conditions.is_empty() {
        let filter = all_of(conditions);
        // The control cannot be made of anything else.
        if ldap3::parse_filter(&filter).is_err() {
            // The conditions hold values, which no error may tell.
            let message = "what the entry must be cannot be asked for";
            return Err(Error::refused(400, message));
        }
        controls.push(Assertion { filter }.critical().into());
    }
    if server.reads_after_writes() && !is_delete && !wanted.is_empty() {
        controls.push(PostRead::new(wanted.to_vec()));
    }
    if server.knows(PASSWORD_POLICY) && !is_delete {
        controls.push(RawControl {
            ctype: PASSWORD_POLICY.to_owned(),
            crit: false,
            val: None,
        });
    }
    Ok(controls)
}

/// The filter that holds where all of these do.
#[must_use]
pub fn all_of(conditions: &[String]) -> String {
    format!("(&{})", conditions.concat())
}

/// The entry in the answer to a write. One that does not say its own name is of no use.
fn after(result: &LdapResult) -> Option<Entry> {
    let read = result.ctrls.iter().find_map(|control| match control {
        Control(Some(ControlType::PostReadResp), raw) if raw.val.is_some() => {
            // What cannot be read is looked for afterwards.
            answers::read(|| raw.parse::<ReadEntryResp>())
        }
        _ => None,
    })?;
    let mut entry = Entry::new(SearchEntry {
        dn: String::new(),
        attrs: read.attrs,
        bin_attrs: read.bin_attrs,
    });
    entry.dn = entry.texts(ENTRY_DN).into_iter().next()?;
    // What comes in pieces is read as a whole.
    Some(entry).filter(|entry| Piece::of(entry).is_none())
}
