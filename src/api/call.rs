//! One request as handlers see it.
use std::sync::Arc;

use axum::{
    body::Body,
    extract::FromRequestParts,
    http::{
        HeaderMap, HeaderValue, Method, StatusCode,
        header::{GetAll, IF_MATCH, IF_NONE_MATCH},
        request::Parts,
    },
    response::Response,
};
use serde_json::Value;

use super::{
    Limits,
    access::Caller,
    answer::{self, Pretty},
    body::JsonBody,
    error::{Failure, Result},
    parameters::Parameters,
};
use crate::{
    app::{By, ClientCertificate, Veil},
    model::Precondition,
};

/// What the guard found out about a request before it let it through.
#[derive(Debug, Clone)]
pub(super) struct Context {
    /// Who asks.
    pub(super) caller: Caller,
    /// What ties audit entries together.
    pub(super) transaction_id: String,
    /// The path, decoded.
    pub(super) segments: Vec<String>,
    /// The query parameters.
    pub(super) parameters: Parameters,
    /// Whether to indent.
    pub(super) pretty: Option<Pretty>,
    /// What the caller does not see.
    pub(super) veil: Arc<Veil>,
    /// The certificate that the caller showed.
    pub(super) certificate: Option<Arc<ClientCertificate>>,
}

/// A request that was let through.
#[derive(Debug)]
pub(super) struct Call {
    context: Arc<Context>,
    /// The HTTP method.
    pub(super) method: Method,
    /// The headers.
    pub(super) headers: HeaderMap,
}

impl Context {
    /// The container whose objects the address names; none where it names something else.
    fn container(&self) -> Option<String> {
        container_of(&self.segments)
    }
}

/// The container whose objects an address names; none where it names something else.
pub(super) fn container_of(segments: &[String]) -> Option<String> {
    match segments {
        [first, name, ..] if first == "managed" => Some(format!("managed/{name}")),
        [first, name, class, ..] if first == "system" => Some(format!("system/{name}/{class}")),
        _ => None,
    }
}

impl<S: Sync> FromRequestParts<S> for Call {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        let context = parts.extensions.remove().ok_or_else(Failure::fault)?;
        Ok(Self {
            context,
            method: parts.method.clone(),
            headers: std::mem::take(&mut parts.headers),
        })
    }
}

impl Call {
    /// Who asks.
    pub(super) fn caller(&self) -> &Caller {
        &self.context.caller
    }

    /// What ties audit entries together.
    pub(super) fn transaction_id(&self) -> &str {
        &self.context.transaction_id
    }

    /// Who asks, as audit entries about what people do by hand name it.
    pub(super) fn by(&self) -> By<'_> {
        By {
            caller: &self.context.caller.name,
            transaction_id: &self.context.transaction_id,
        }
    }

    /// The query parameters.
    pub(super) fn parameters(&self) -> &Parameters {
        &self.context.parameters
    }

    /// A segment of the path, counted from 0.
    pub(super) fn segment(&self, at: usize) -> Result<&str> {
        self.context
            .segments
            .get(at)
            .map(String::as_str)
            .ok_or_else(Failure::fault)
    }

    /// The path, decoded, as audit entries name it.
    pub(super) fn path(&self) -> String {
        self.context.segments.join("/")
    }

    /// The `_action`, which the guard has checked.
    pub(super) fn action(&self) -> &str {
        self.parameters().get("_action").unwrap_or_default()
    }

    /// Reads the body of this request, which must hold JSON.
    pub(super) async fn json(&self, body: Body, limits: &Limits) -> Result<JsonBody> {
        JsonBody::read(&self.headers, body, limits).await
    }

    /// The text of a header; 400 where it is there more than once or not text.
    pub(super) fn header(&self, name: &str) -> Result<Option<&str>> {
        let mut values = self.headers.get_all(name).iter();
        let Some(value) = values.next() else {
            return Ok(None);
        };
        if values.next().is_some() {
            return Err(Failure::bad(format!("header `{name}` is given twice")));
        }
        value
            .to_str()
            .map(Some)
            .map_err(|_| Failure::bad(format!("header `{name}` must be visible ASCII")))
    }

    /// What must be true of the stored object.
    ///
    /// # Errors
    /// 400 where the headers contradict each other or name more than one revision.
    pub(super) fn precondition(&self) -> Result<Precondition> {
        let matching = self.header(IF_MATCH.as_str())?;
        let unlike = self.header(IF_NONE_MATCH.as_str())?;
        match (matching, unlike) {
            (None, None) => Ok(Precondition::None),
            (Some(_), Some(_)) => Err(Failure::bad(
                "`If-Match` and `If-None-Match` exclude each other",
            )),
            (None, Some(tag)) if tag.trim() == "*" => Ok(Precondition::Absent),
            (None, Some(_)) => Err(Failure::bad(
                "`If-None-Match` can only be `*` where something is changed",
            )),
            (Some(tag), None) if tag.trim() == "*" => Ok(Precondition::Exists),
            (Some(tag), None) => revision(tag)
                .map(|revision| Precondition::Revision(revision.to_owned()))
                .ok_or_else(|| {
                    Failure::bad("`If-Match` must hold one revision, quoted or bare, or `*`")
                }),
        }
    }

    /// Whether the caller holds this revision already (`If-None-Match` on a read).
    pub(super) fn holds(&self, held: &str) -> bool {
        let tags = self.headers.get_all(IF_NONE_MATCH).iter();
        tags.filter_map(|value| value.to_str().ok())
            .flat_map(|list| list.split(','))
            .any(|tag| tag.trim() == "*" || revision(tag) == Some(held))
    }

    /// A JSON answer in the form that the caller wants, without what it may not see.
    pub(super) fn answer(&self, status: StatusCode, value: &Value) -> Response {
        if self.context.veil.is_thin() {
            return answer::json(status, value, self.context.pretty);
        }
        answer::json(status, &self.seen(value.clone()), self.context.pretty)
    }

    /// What the caller sees of an answer.
    pub(super) fn seen(&self, value: Value) -> Value {
        if self.context.veil.is_thin() {
            return value;
        }
        let container = self.context.container();
        match &container {
            Some(container) if self.action() != "plan" => {
                self.context.veil.objects(container, value)
            }
            about => self.context.veil.document(about.as_deref(), value),
        }
    }

    /// What the caller does not see.
    pub(super) fn veil(&self) -> &Arc<Veil> {
        &self.context.veil
    }

    /// The certificate that the caller showed.
    pub(super) fn certificate(&self) -> Option<Arc<ClientCertificate>> {
        self.context.certificate.clone()
    }

    /// The attributes of a container that the caller does not see.
    pub(super) fn unseen(&self, container: &str) -> Vec<String> {
        self.context.veil.of_container(container).to_vec()
    }

    /// A JSON answer with status 200.
    pub(super) fn ok(&self, value: &Value) -> Response {
        self.answer(StatusCode::OK, value)
    }
}

/// The revision in one entity tag: quoted, weak or bare.
fn revision(tag: &str) -> Option<&str> {
    let tag = tag.trim();
    let tag = tag.strip_prefix("W/").unwrap_or(tag);
    let bare = match tag.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"')?,
        None => tag,
    };
    let is_one = !bare.is_empty() && !bare.contains(['"', ',', ' ']);
    is_one.then_some(bare)
}

/// Whether a header's list of words holds one, whatever its case.
pub(super) fn has_word(values: GetAll<'_, HeaderValue>, word: &str) -> bool {
    values.iter().any(|value| {
        value.to_str().is_ok_and(|list| {
            list.split(',').any(|item| {
                let name = item.split(';').next().unwrap_or_default();
                name.trim().eq_ignore_ascii_case(word)
            })
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(headers: &[(&'static str, &str)]) -> Call {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        Call {
            context: Arc::new(Context {
                caller: Caller::nobody(),
                transaction_id: String::new(),
                segments: Vec::new(),
                parameters: Parameters::default(),
                pretty: None,
                veil: Arc::default(),
                certificate: None,
            }),
            method: Method::PUT,
            headers: map,
        }
    }

    #[test]
    fn preconditions_are_read_quoted_weak_or_bare() {
        let revision = |text: &str| Precondition::Revision(text.to_owned());
        for (header, value, expected) in [
            ("if-match", "\"3\"", revision("3")),
            ("if-match", "W/\"3\"", revision("3")),
            ("if-match", "3", revision("3")),
            ("if-match", "*", Precondition::Exists),
            ("if-none-match", "*", Precondition::Absent),
        ] {
            let found = call(&[(header, value)]).precondition().unwrap();
            assert_eq!(found, expected, "{header}: {value}");
        }
        assert_eq!(call(&[]).precondition().unwrap(), Precondition::None);
    }

    #[test]
    fn wrong_preconditions_are_refused() {
        for headers in [
            &[("if-match", "\"1\", \"2\"")][..],
            &[("if-match", "\"1")],
            &[("if-match", "")],
            &[("if-match", "1"), ("if-match", "2")],
            &[("if-match", "1"), ("if-none-match", "*")],
            &[("if-none-match", "\"1\"")],
        ] {
            let failure = call(headers).precondition().unwrap_err();
            assert_eq!(failure.code(), 400, "{headers:?}");
        }
    }

    #[test]
    fn a_read_knows_what_the_caller_holds() {
        assert!(call(&[("if-none-match", "\"1\", W/\"2\"")]).holds("2"));
        assert!(call(&[("if-none-match", "*")]).holds("2"));
        assert!(!call(&[("if-none-match", "\"1\"")]).holds("2"));
        assert!(!call(&[]).holds("2"));
    }

    #[test]
    fn words_are_found_in_lists() {
        let call = call(&[
            ("prefer", "wait=10"),
            ("prefer", "return=minimal, Respond-Async; x=1"),
        ]);
        assert!(has_word(call.headers.get_all("prefer"), "respond-async"));
        assert!(!has_word(call.headers.get_all("prefer"), "respond"));
    }
}
