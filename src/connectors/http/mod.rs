//! What all services over HTTP have in common: credentials, requests, and what a status means.
mod answer;
mod client;
mod oauth;
mod rules;
mod settings;

pub use answer::{Answer, Call, failure, is_addressable, last_segment, segment};
pub use client::{Http, only_if};
pub use rules::{Meaning, RawRule, Rule};
pub use settings::{
    Auth, ClientAuthentication, OAuth2, RawAuth, RawBasic, RawHeader, RawOAuth2, Service,
};
