//! What the service says about itself (RFC 7643, sections 5 to 7): features, schemas, kinds.
use axum::{http::StatusCode, response::Response};
use serde_json::{Value, json};

use super::{
    Scim, Settings,
    address::Address,
    answer::{self, Listed},
    call::Call,
    error::{Failure, Result},
};
use crate::model::scim::{Attribute, EXTERNAL_ID, ResourceType, Resources, Schema};

const CONFIG: &str = "urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig";
const SCHEMA: &str = "urn:ietf:params:scim:schemas:core:2.0:Schema";
const RESOURCE_TYPE: &str = "urn:ietf:params:scim:schemas:core:2.0:ResourceType";

/// GET of one of the three.
pub(super) fn answer(scim: &Scim, call: &Call) -> Result<Response> {
    // Nobody shall think that a filter had an effect (RFC 7644, section 4).
    if call.parameters.has_filter() {
        return Err(Failure::new(
            403,
            "what the service says about itself is not filtered",
        ));
    }
    let resources = scim.app.resources();
    let value = match &call.address {
        Address::ServiceProviderConfig => config(&scim.settings, &call.base),
        Address::Schemas(None) => Listed::whole(schemas(&resources, &call.base)).to_value(),
        Address::Schemas(Some(id)) => schemas(&resources, &call.base)
            .into_iter()
            .find(|schema| is(schema, "id", id))
            .ok_or_else(|| Failure::missing(format!("schema `{id}`")))?,
        Address::ResourceTypes(None) => {
            let kinds = resources.types.iter();
            let kinds = kinds.map(|kind| resource_type(kind, &call.base));
            Listed::whole(kinds.collect()).to_value()
        }
        Address::ResourceTypes(Some(name)) => resources
            .named(name)
            .map(|kind| resource_type(kind, &call.base))
            .ok_or_else(|| Failure::missing(format!("resource type `{name}`")))?,
        _ => return Err(Failure::fault()),
    };
    Ok(answer::json(StatusCode::OK, &value))
}

fn is(value: &Value, name: &str, text: &str) -> bool {
    let said = value.get(name).and_then(Value::as_str);
    said.is_some_and(|said| said.eq_ignore_ascii_case(text))
}

fn config(settings: &Settings, base: &str) -> Value {
    json!({
        "schemas": [CONFIG],
        "documentationUri": "https://www.rfc-editor.org/rfc/rfc7644",
        "patch": {"supported": true},
        "bulk": {
            "supported": true,
            "maxOperations": settings.bulk_operations,
            "maxPayloadSize": settings.body_bytes,
        },
        "filter": {"supported": true, "maxResults": settings.page_size},
        "changePassword": {"supported": true},
        "sort": {"supported": true},
        "etag": {"supported": true},
        "pagination": {
            "cursor": true,
            "index": true,
            "defaultPaginationMethod": "index",
            "defaultPageSize": settings.page_size,
            "maxPageSize": settings.page_size,
        },
        "authenticationSchemes": [{
            "type": "oauthbearertoken",
            "name": "Bearer token",
            "description": "A token with the role `caller` or `admin`",
            "specUri": "https://www.rfc-editor.org/rfc/rfc6750",
            "primary": true,
        }],
        "meta": {
            "resourceType": "ServiceProviderConfig",
            "location": format!("{base}/ServiceProviderConfig"),
        },
    })
}

/// Every schema once; one that several kinds have is what they have together.
fn schemas(resources: &Resources, base: &str) -> Vec<Value> {
    let mut together: Vec<(Schema, Vec<Attribute>)> = Vec::new();
    for schema in resources.types.iter().flat_map(|kind| &kind.schemas) {
        let known = together
            .iter()
            .position(|(known, _)| known.urn.eq_ignore_ascii_case(&schema.urn));
        let at = known.unwrap_or_else(|| {
            together.push((schema.clone(), Vec::new()));
            together.len() - 1
        });
        let Some((_, attributes)) = together.get_mut(at) else {
            continue;
        };
        for bound in &schema.attributes {
            let attribute = &bound.attribute;
            let there = attributes.iter().any(|known| known.is(&attribute.name));
            // What every resource has belongs to no schema (RFC 7643, section 3.1).
            if !there && !attribute.is(EXTERNAL_ID) {
                attributes.push(attribute.clone());
            }
        }
    }
    together
        .iter()
        .map(|(schema, attributes)| described(schema, attributes, base))
        .collect()
}

fn described(schema: &Schema, attributes: &[Attribute], base: &str) -> Value {
    let attributes: Vec<Value> = attributes.iter().map(Attribute::to_json).collect();
    json!({
        "schemas": [SCHEMA],
        "id": schema.urn,
        "name": schema.name,
        "description": schema.description,
        "attributes": attributes,
        "meta": {
            "resourceType": "Schema",
            "location": format!("{base}/Schemas/{}", schema.urn),
        },
    })
}

fn resource_type(kind: &ResourceType, base: &str) -> Value {
    let extensions = kind.extensions().iter();
    let extensions: Vec<Value> = extensions
        .map(|schema| json!({"schema": schema.urn, "required": false}))
        .collect();
    json!({
        "schemas": [RESOURCE_TYPE],
        "id": kind.name,
        "name": kind.name,
        "endpoint": format!("/{}", kind.endpoint),
        "description": kind.description,
        "schema": kind.schema(),
        "schemaExtensions": extensions,
        "meta": {
            "resourceType": "ResourceType",
            "location": format!("{base}/ResourceTypes/{}", kind.name),
        },
    })
}
