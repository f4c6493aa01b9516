//! Recant keeps many systems in agreement about one record.
//!
//! A change of a record goes to every target system, in the order of the mappings. Where one of them
//! fails, all go back to what they were, and the audit log says so.
//!
//! # How a change walks through the house
//! ```text
//! api / cli / library / feed / recon
//!         │ ChangeRequest
//!         ▼
//!       app ──► sync::lane      one change at a time per object
//!                  │
//!               plan            read targets, run mappings  ─► Plan   (a dry run stops here)
//!                  │
//!               journal         one durable transaction     ─► Journaled
//!                  │
//!               apply           ordered target writes       ─► Applied
//!                  │
//!               settle          onSync hook, audit          ─► Outcome
//!                  └─ compensate: a nested change with the old object, through the same phases
//!       recover: an unfinished journal entry ─► the same phases
//! ```
//!
//! # The rooms
//! Each may enter only those above it that its row names; `tests/it/architecture.rs` holds this.
//!
//! | room | what it does | may enter |
//! | --- | --- | --- |
//! | [`model`] | the words of the domain, without input, output or time | nothing |
//! | [`clock`] | the time and fresh ids, as inputs | nothing |
//! | [`hooks`] | scripts in Rhai, shut in: they see values and leave a verdict | `model`, `clock` |
//! | [`managed`] | managed object types: schema, confidential attributes, hooks | `model`, `hooks` |
//! | [`mapping`] | from a source object to what its targets should hold | the rooms above but `clock` |
//! | [`connectors`] | target systems: SQL tables, directories, CSV files, REST and SCIM services | `model` |
//! | [`oidc`] | who somebody is, by the word of an OpenID Connect provider | `model`, `clock` |
//! | [`store`] | objects, links, journal and audit on disk; nothing else knows sea-orm | `model`, `clock` |
//! | [`audit`] | audit entries and their masking | `model`, `clock`, `store` |
//! | [`sync`] | the engine, a file per phase; only its `apply` writes to targets | everything above |
//! | [`feed`] | integration events, in and out: their turns and when they are tried again | everything above |
//! | [`recon`] | reconciliation: comparing the two sides of a mapping and putting right what differs | everything above but `feed` |
//! | [`config`] | the project folder, from text to values, gathering every problem | everything above but `feed` and `recon` |
//! | [`app`] | the use-cases; the one place that wires | everything above |
//! | [`api`] | the HTTP API: JSON in and out | `app`, `model`, `clock` |
//! | [`scim`] | the SCIM service over managed objects | `app`, `model`, `clock` |
//! | [`web`] | pages for auditors and admins: HTML out, forms in | `app`, `model`, `clock` |
//! | [`server`] | listening, draining, metrics | everything above |
//! | [`cli`] | the command line | everything above |
#![doc = include_str!("threats.md")]
pub mod api;
pub mod app;
pub mod audit;
pub mod cli;
pub mod clock;
pub mod config;
pub mod connectors;
pub mod feed;
pub mod hooks;
pub mod managed;
pub mod mapping;
pub mod model;
pub mod oidc;
pub mod recon;
pub mod scim;
pub mod server;
pub mod store;
pub mod sync;
pub mod web;
