//! What the tests share.
#![allow(dead_code, reason = "each topic uses its part")]
pub mod browser;
pub mod clock;
pub mod databases;
pub mod folder;
pub mod hr;
pub mod issuer;
pub mod kinto;
pub mod people;
pub mod proxy;
pub mod rest;
pub mod scim;
pub mod scim_service;
pub mod server;
pub mod servers;
pub mod slapd;
pub mod target;
pub mod world;
