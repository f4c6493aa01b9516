//! From integrations.json as written to integrations.
use std::{collections::BTreeMap, time::Duration};

use secrecy::SecretString;
use url::Url;

use super::{Context, connectors::Connectors, name_problem, scripts::Owner};
use crate::{
    config::{
        read::{
            document::{item, step},
            shape,
        },
        settings::{Integration, Poll, Subscription, Webhook},
        written::integrations as written,
    },
    model::{pointer::Pointer, shared_secret},
};

/// What integrations.json says.
#[derive(Default)]
pub(crate) struct Compiled {
    pub(crate) integrations: BTreeMap<String, Integration>,
    pub(crate) subscriptions: BTreeMap<String, Subscription>,
}

/// Compiles the document: what is without a problem, by connector and by name.
pub(crate) fn compile(context: &mut Context<'_>, connectors: &Connectors) -> Compiled {
    let written: written::Integrations = shape::fit(context.document, context.problems);
    let subscriptions = subscriptions(context, &written);
    let mut integrations = BTreeMap::new();
    for (index, one) in written.integrations.iter().flatten().enumerate() {
        let Some(one) = one else { continue };
        let pointer = item("/integrations", index);
        let Some(name) = &one.connector else { continue };
        let at = step(&pointer, "connector");
        let Some(classes) = connectors.classes.get(name) else {
            context.error(&at, format!("there is no conf/connectors/{name}.json"));
            continue;
        };
        let mut poll = BTreeMap::new();
        for (class, asked) in one.poll.iter().flatten() {
            let at = step(&step(&pointer, "poll"), class);
            let is_unknown = classes.as_ref().is_some_and(|known| !known.contains(class));
            if is_unknown {
                context.error(
                    &at,
                    format!("connector `{name}` has no object class `{class}`"),
                );
            }
            let asked = asked.as_ref();
            if let Some(compiled) = asked.and_then(|asked| polled(context, asked, &at)) {
                poll.insert(class.clone(), compiled);
            }
        }
        let webhook = one.webhook.as_ref();
        let webhook = webhook.map(|one| webhook_of(context, one, name, &step(&pointer, "webhook")));
        let integration = Integration {
            enabled: one.enabled.unwrap_or(true),
            webhook,
            poll,
            retries: one.retries.unwrap_or(100),
            retry_delay: Duration::from_millis(one.retry_delay.unwrap_or(1_000)),
        };
        if integrations.insert(name.clone(), integration).is_some() {
            context.error(
                &at,
                format!("the integration of `{name}` stands here again"),
            );
        }
    }
    Compiled {
        integrations,
        subscriptions,
    }
}

fn subscriptions(
    context: &mut Context<'_>,
    written: &written::Integrations,
) -> BTreeMap<String, Subscription> {
    let mut subscriptions = BTreeMap::new();
    for (index, one) in written.subscriptions.iter().flatten().enumerate() {
        let Some(one) = one else { continue };
        let pointer = item("/subscriptions", index);
        let (Some(name), Some(address)) = (&one.name, &one.url) else {
            continue;
        };
        if let Some(message) = name_problem(name) {
            context.error(&step(&pointer, "name"), message);
        }
        let secrets = secrets(context, one.secrets.as_deref(), &step(&pointer, "secrets"));
        let url = Url::parse(address).ok();
        let Some(url) = url.filter(|url| matches!(url.scheme(), "http" | "https")) else {
            let message = "expected an address such as https://HOST/PATH";
            context.error(&step(&pointer, "url"), message);
            continue;
        };
        let subscription = Subscription {
            url,
            secrets,
            types: one.types.iter().flatten().flatten().cloned().collect(),
            side_effects: one.side_effects.unwrap_or_default(),
            retries: one.retries.unwrap_or(12),
            retry_delay: Duration::from_millis(one.retry_delay.unwrap_or(1_000)),
        };
        if subscriptions.insert(name.clone(), subscription).is_some() {
            let message = format!("the subscription `{name}` stands here again");
            context.error(&step(&pointer, "name"), message);
        }
    }
    subscriptions
}

/// Secrets to sign with: at least one, and each of them one that nobody has who was not told it.
fn secrets(
    context: &mut Context<'_>,
    written: Option<&[Option<String>]>,
    pointer: &str,
) -> Vec<SecretString> {
    let written = written.unwrap_or_default();
    if written.iter().flatten().next().is_none() {
        let message = "needs at least one secret, such as \"${env:WEBHOOK_SECRET}\"";
        context.error(pointer, message);
    }
    let mut secrets = Vec::new();
    for (index, secret) in written.iter().enumerate() {
        let Some(secret) = secret else { continue };
        match shared_secret::check(secret) {
            Ok(()) => secrets.push(secret.as_str().into()),
            Err(problem) => context.error(&item(pointer, index), problem.to_string()),
        }
    }
    secrets
}

fn webhook_of(
    context: &mut Context<'_>,
    written: &written::Webhook,
    connector: &str,
    pointer: &str,
) -> Webhook {
    let secrets = secrets(
        context,
        written.secrets.as_deref(),
        &step(pointer, "secrets"),
    );
    let owner = Owner {
        kind: "integration",
        name: connector.to_owned(),
    };
    let at = step(pointer, "map");
    let map = written.map.as_ref();
    Webhook {
        secrets,
        header: written.header.clone(),
        prefix: written.prefix.clone().unwrap_or_default(),
        map: map.and_then(|script| context.script(script, &at, &owner, "map")),
    }
}

fn polled(context: &mut Context<'_>, written: &written::Poll, pointer: &str) -> Option<Poll> {
    let updated_at = match written.updated_at.as_deref().map(Pointer::parse) {
        None => None,
        Some(Ok(field)) => Some(field),
        Some(Err(error)) => {
            context.error(&step(pointer, "updatedAt"), error.to_string());
            return None;
        }
    };
    Some(Poll {
        interval: Duration::from_millis(written.interval_ms.unwrap_or(5_000)),
        updated_at,
    })
}
