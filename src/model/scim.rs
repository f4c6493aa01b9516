//! SCIM 2.0 (RFC 7643, RFC 7644): its attributes, paths and filters, and which managed type is which
//! kind of resource.
pub mod attribute;
pub mod filter;
mod path;
mod read;
pub mod resource;
mod standard;

pub use attribute::{Attribute, Kind, Mutability, Returned, Uniqueness};
pub use filter::Filter;
pub use path::{Path, Target};
pub use resource::{Bound, Form, Part, ResourceType, Resources, Schema, Slot, Source};
pub use standard::{attribute_of, attributes_of};

use serde_json::Value;

/// The schema of users (RFC 7643, section 4.1).
pub const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
/// The schema of groups (RFC 7643, section 4.2).
pub const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
/// What enterprises add to users (RFC 7643, section 4.3).
pub const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
/// A group's members.
pub const MEMBERS: &str = "members";
/// The groups that a user is in.
pub const GROUPS: &str = "groups";
/// The id that the provisioning side knows a resource by.
pub const EXTERNAL_ID: &str = "externalId";

/// A truth value, as such or as text: some providers write `"True"`.
#[must_use]
pub fn truth(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(truth) => Some(*truth),
        Value::String(text) if text.eq_ignore_ascii_case("true") => Some(true),
        Value::String(text) if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}
