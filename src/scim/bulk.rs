//! Many changes in one request (RFC 7644, section 3.7). Each is a change of its own: one that fails
//! takes no other back.
use std::collections::{BTreeMap, BTreeSet};

use axum::{
    http::{Method, StatusCode},
    response::Response,
};
use serde_json::{Value, json};

use super::{
    Scim,
    address::Address,
    answer,
    call::{Call, Expected},
    error::{Failure, Origin, Result, ScimType},
    write::{self, Written},
};
use crate::app::Attempt;

const REQUEST: &str = "urn:ietf:params:scim:api:messages:2.0:BulkRequest";
const RESPONSE: &str = "urn:ietf:params:scim:api:messages:2.0:BulkResponse";
/// What stands before the id of an operation where its resource's id is meant.
const BULK_ID: &str = "bulkId:";

/// POST to `/Bulk`. It is carried out to its end whether the caller waits or not.
pub(super) async fn answer(scim: &Scim, call: Call, body: Value) -> Result<Response> {
    let job = Job::parse(scim, &body)?;
    let scim = scim.clone();
    let running = tokio::spawn(async move { job.run(&scim, &call).await });
    let done = running.await.map_err(|error| {
        tracing::error!(%error, "a bulk request broke off by a fault");
        Failure::fault()
    })?;
    let body = json!({"schemas": [RESPONSE], "Operations": done});
    Ok(answer::json(StatusCode::OK, &body))
}

/// A bulk request.
#[derive(Debug)]
struct Job {
    operations: Vec<Operation>,
    /// After so many failures nothing more is begun; none: everything is.
    fail_on_errors: Option<u64>,
}

#[derive(Debug, Clone)]
struct Operation {
    method: String,
    path: String,
    bulk_id: Option<String>,
    /// As it was sent; null: none.
    version: Value,
    data: Value,
}

/// What became of an operation.
#[derive(Debug)]
struct Done {
    status: u16,
    location: Option<String>,
    version: Option<String>,
    error: Option<Value>,
}

impl Job {
    fn parse(scim: &Scim, body: &Value) -> Result<Self> {
        let syntax = |detail: String| Failure::bad(ScimType::InvalidSyntax, detail);
        let urns = body.get("schemas").and_then(Value::as_array);
        let is_bulk = |urn: &Value| {
            urn.as_str()
                .is_some_and(|urn| urn.eq_ignore_ascii_case(REQUEST))
        };
        if !urns.is_some_and(|urns| urns.iter().any(is_bulk)) {
            return Err(syntax(format!("`schemas` must be [\"{REQUEST}\"]")));
        }
        let Some(Value::Array(operations)) = body.get("Operations") else {
            return Err(syntax(
                "`Operations` must be a list of {method, path, bulkId, data}".into(),
            ));
        };
        let most = scim.settings.bulk_operations;
        if operations.len() > most {
            let detail = format!(
                "a bulk request may have at most {most} operations (maxOperations), this one has {}",
                operations.len()
            );
            return Err(Failure {
                scim_type: Some(ScimType::TooMany),
                ..Failure::new(413, detail)
            });
        }
        let fail_on_errors =
            match body.get("failOnErrors") {
                None | Some(Value::Null) => None,
                Some(number) => Some(number.as_u64().filter(|number| *number > 0).ok_or_else(
                    || syntax("`failOnErrors` must be a whole number from 1".into()),
                )?),
            };
        let operations: Vec<Operation> = operations
            .iter()
            .map(Operation::parse)
            .collect::<Result<_>>()?;
        let mut seen = BTreeSet::new();
        let twice = operations
            .iter()
            .filter_map(|operation| operation.bulk_id.as_ref())
            .find(|id| !seen.insert(*id));
        match twice {
            Some(id) => Err(syntax(format!("bulkId `{id}` is given twice"))),
            None => Ok(Self {
                operations,
                fail_on_errors,
            }),
        }
    }

    /// Carries out one operation after the other; one that names the resource of a later one waits
    /// for it.
    async fn run(&self, scim: &Scim, call: &Call) -> Vec<Value> {
        let mut known: BTreeMap<String, String> = BTreeMap::new();
        let mut done: BTreeMap<usize, Done> = BTreeMap::new();
        let mut circle = BTreeSet::new();
        let mut failures = 0;
        let enough = |failures: u64| self.fail_on_errors.is_some_and(|most| failures >= most);
        while !enough(failures) {
            let Some((at, operation, stuck)) = self.next(&done, &known, &mut circle) else {
                break;
            };
            let result = match stuck {
                Some(failure) => Err(failure),
                None => operation.carry_out(scim, call, at, &known).await,
            };
            if let (Ok(written), Some(id)) = (&result, &operation.bulk_id) {
                let made = written.location.rsplit('/').next().unwrap_or_default();
                let made = percent_encoding::percent_decode_str(made).decode_utf8_lossy();
                known.insert(id.clone(), made.into_owned());
            }
            failures += u64::from(result.is_err());
            let result = match result {
                Err(failure) => Err(operation.told(scim, call, failure).await),
                written => written,
            };
            done.insert(at, Done::of(result));
        }
        done.iter()
            .filter_map(|(at, done)| Some(done.to_value(self.operations.get(*at)?)))
            .collect()
    }

    /// The first operation that is not done and needs nothing that is still to come; else the first
    /// one that is not done, with why it cannot be.
    fn next(
        &self,
        done: &BTreeMap<usize, Done>,
        known: &BTreeMap<String, String>,
        circle: &mut BTreeSet<usize>,
    ) -> Option<(usize, &Operation, Option<Failure>)> {
        let left = || {
            (0..)
                .zip(&self.operations)
                .filter(|(at, _)| !done.contains_key(at))
        };
        let missing = |operation: &Operation| -> Vec<String> {
            let needed = operation.needed();
            needed
                .into_iter()
                .filter(|id| !known.contains_key(id))
                .collect()
        };
        let ready = left().find(|(_, operation)| missing(operation).is_empty());
        if let Some((at, operation)) = ready {
            return Some((at, operation, None));
        }
        let to_come =
            |id: &String| left().any(|(_, operation)| operation.bulk_id.as_ref() == Some(id));
        // What waits for one that failed, or that is not there, fails first; but whoever waited in a
        // circle failed by that.
        let alone = || left().filter(|(at, _)| !circle.contains(at));
        let hopeless = alone().find_map(|(at, operation)| {
            let id = missing(operation).into_iter().find(|id| !to_come(id))?;
            let detail = format!(
                "there is no resource for bulkId `{id}`: its operation failed, or is not there"
            );
            Some((
                at,
                operation,
                Some(Failure::bad(ScimType::InvalidValue, detail)),
            ))
        });
        hopeless.or_else(|| {
            let (at, operation) = left().next()?;
            circle.extend(left().map(|(at, _)| at));
            let detail = "the operations refer to each other in a circle: add the references by a PATCH of its own";
            Some((at, operation, Some(Failure::new(409, detail))))
        })
    }
}

impl Operation {
    fn parse(operation: &Value) -> Result<Self> {
        let syntax = |detail: &str| Failure::bad(ScimType::InvalidSyntax, detail);
        let text = |name: &str| operation.get(name).and_then(Value::as_str);
        let method = text("method").unwrap_or_default().to_ascii_uppercase();
        if !["POST", "PUT", "PATCH", "DELETE"].contains(&method.as_str()) {
            return Err(syntax(
                "an operation's `method` must be POST, PUT, PATCH or DELETE",
            ));
        }
        let path = text("path").ok_or_else(|| syntax("an operation needs a `path`"))?;
        let bulk_id = text("bulkId").filter(|id| !id.is_empty());
        if method == "POST" && bulk_id.is_none() {
            return Err(syntax("an operation with POST needs a `bulkId`"));
        }
        Ok(Self {
            method,
            path: path.to_owned(),
            bulk_id: bulk_id.map(str::to_owned),
            version: operation.get("version").cloned().unwrap_or_default(),
            data: operation.get("data").cloned().unwrap_or_default(),
        })
    }

    /// The bulk ids of resources that it names.
    fn needed(&self) -> BTreeSet<String> {
        let mut needed = BTreeSet::new();
        for segment in self.path.split('/') {
            needed.extend(segment.strip_prefix(BULK_ID).map(str::to_owned));
        }
        note(&self.data, &mut needed);
        needed
    }

    /// A refusal as the caller may see it; what the use-cases have not written down is.
    async fn told(&self, scim: &Scim, call: &Call, failure: Failure) -> Failure {
        let is_new = failure.origin == Origin::Request && failure.operation.is_none();
        let failure = match is_new {
            true => {
                let resource = format!("{}{}", super::ADDRESS, self.below());
                let attempt = Attempt {
                    caller: &call.caller,
                    transaction_id: &call.transaction_id,
                    method: &self.method,
                    resource: resource.trim_start_matches('/'),
                    status: failure.status,
                    message: &failure.detail,
                };
                let id = scim.app.refuse(&attempt).await;
                failure.rejected(id)
            }
            false => failure,
        };
        failure.behind(Some(&call.veil))
    }

    /// Its path below the service's address, with a slash before it.
    fn below(&self) -> String {
        let path = self.path.strip_prefix(super::ADDRESS).unwrap_or(&self.path);
        format!("/{}", path.trim_start_matches('/'))
    }

    async fn carry_out(
        &self,
        scim: &Scim,
        call: &Call,
        at: usize,
        known: &BTreeMap<String, String>,
    ) -> Result<Written> {
        let path = self.path.split('/').map(|segment| {
            let id = segment.strip_prefix(BULK_ID).and_then(|id| known.get(id));
            id.map_or_else(|| segment.to_owned(), |id| encoded(id))
        });
        let path = path.collect::<Vec<_>>().join("/");
        let path = path.strip_prefix(super::ADDRESS).unwrap_or(&path);
        let address = Address::parse(path)?;
        let method = Method::from_bytes(self.method.as_bytes()).map_err(|_| Failure::fault())?;
        let allowed = matches!(address, Address::Collection(_) | Address::Resource(..));
        if !allowed || !address.changes(&method) {
            let detail = format!("{method} of `{}` is no change", self.path);
            return Err(Failure::bad(ScimType::InvalidPath, detail));
        }
        let expected = Expected::of_version(&self.version)?;
        let call = Call {
            method: method.clone(),
            address,
            parameters: super::query::Parameters::default(),
            expected,
            key: call.key.as_ref().map(|key| format!("{key}/{at}")),
            ..call.clone()
        };
        if method == Method::DELETE {
            return write::remove(scim, &call).await;
        }
        let mut data = self.data.clone();
        resolve(&mut data, known);
        write::write(scim, &call, &data).await
    }
}

impl Done {
    fn of(result: Result<Written>) -> Self {
        match result {
            Ok(written) => Self {
                status: written.status.as_u16(),
                location: Some(written.location),
                version: written.version,
                error: None,
            },
            Err(failure) => Self {
                status: failure.status,
                location: None,
                version: None,
                error: Some(failure.body()),
            },
        }
    }

    fn to_value(&self, operation: &Operation) -> Value {
        let mut shown = json!({"method": operation.method});
        let mut add = |name: &str, value: Option<Value>| {
            if let (Some(value), Some(members)) = (value, shown.as_object_mut()) {
                members.insert(name.to_owned(), value);
            }
        };
        add("bulkId", operation.bulk_id.clone().map(Value::from));
        add("location", self.location.clone().map(Value::from));
        add("version", self.version.clone().map(Value::from));
        add("status", Some(self.status.to_string().into()));
        add("response", self.error.clone());
        shown
    }
}

fn encoded(id: &str) -> String {
    percent_encoding::utf8_percent_encode(id, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// Notes every bulk id that a value names.
fn note(value: &Value, needed: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => needed.extend(text.strip_prefix(BULK_ID).map(str::to_owned)),
        Value::Array(items) => items.iter().for_each(|item| note(item, needed)),
        Value::Object(members) => members.values().for_each(|member| note(member, needed)),
        _ => {}
    }
}

/// Puts ids where bulk ids stand.
fn resolve(value: &mut Value, known: &BTreeMap<String, String>) {
    match value {
        Value::String(text) => {
            if let Some(id) = text.strip_prefix(BULK_ID).and_then(|id| known.get(id)) {
                id.clone_into(text);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| resolve(item, known)),
        Value::Object(members) => members.values_mut().for_each(|it| resolve(it, known)),
        _ => {}
    }
}
