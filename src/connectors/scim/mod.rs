//! Services that speak SCIM 2.0 (RFC 7643, RFC 7644) as target systems.
//!
//! # How a resource shows
//! A resource is an object without `id`, `meta` and `schemas`: they are the service's own, and never
//! count as a difference. So are attributes that the service's schemas call read-only, every `$ref`,
//! null and the empty list. An attribute of an extension stands under its full name, as in SCIM's
//! own paths: `urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department`. A sub-attribute
//! is addressed with a slash (`name/givenName`). `members` is a list of ids in ascending order.
//!
//! # Which id
//! `_id` is the attribute that `key` names: `externalId` unless said otherwise, so that an object
//! that was deleted comes back under its own id, and that a create that is repeated finds what the
//! first one made. A resource that has no such attribute shows as `id:` and the service's own id.
//! With `"key": "id"` the service's own ids are used, and an undone delete brings a new one.
mod changes;
mod client;
mod connector;
mod delete;
mod dialect;
mod discovery;
mod filter;
mod groups;
mod known;
mod list;
mod patch;
mod query;
mod settings;
mod shape;
mod wire;

pub use client::Scim;
pub use dialect::*;
pub use settings::*;
