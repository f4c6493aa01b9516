//! What all services over HTTP have in common: credentials, requests, and what a status means.
mod answer;
mod client;
mod settings;

pub use answer::{Answer, Call, failure, is_addressable, last_segment, segment};
pub use client::{Http, only_if};
pub use settings::{Auth, RawAuth, RawBasic, RawHeader, Service};
