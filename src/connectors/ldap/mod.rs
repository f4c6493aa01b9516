//! LDAP directories (RFC 4511) as target systems.
//!
//! An entry is an object. Its id is a value that the server gave it for good (`entryUUID`), so that
//! neither a rename in Recant nor one past it loses a link; `read` finds an entry by its
//! distinguished name and by the value of its naming attribute too. `dn` is an attribute like any
//! other: to change it is to move the entry. What changes is sent value by value, so that a write
//! happens only if those values still are what was read; single values and deletes are guarded by
//! the assertion control (RFC 4528) besides, where the server has it. Passwords are written and
//! never read. The groups of an account may be an attribute of it (`memberships`).
mod answers;
mod changes;
mod connector;
mod dn;
mod entries;
mod failure;
mod filter;
mod memberships;
mod naming;
mod pages;
mod range;
mod refresh;
mod schema;
mod server;
mod session;
mod settings;
mod steps;
mod tls;
mod wire;
mod write;

pub use connector::Ldap;
pub use settings::*;
