//! The SCIM service over managed objects, as identity providers use it.
mod bulk;
mod checkers;
mod discovery;
mod groups;
mod hidden;
mod kept;
mod patches;
mod people;
mod searches;
mod service;
