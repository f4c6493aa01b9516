//! Answers verbs from the folder's store, without a server.
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    chain,
    output::{Failure, Result},
    service::{Answer, Ask, EventAsk, Page, PatchForm, Place, Search, Service, Wish},
};
use crate::{
    app::{self, App, Count, NewToken, SortKey},
    clock::{Clock, SystemClock},
    model::{
        ChangeRequest, Container, Filter, Object, OperationId, Precondition, Requested,
        audit::Topic, event::Shown, filter::Texts, integration::rules::Request, patch::Patch,
        pointer::Pointer,
    },
};

/// How long to wait for changes in flight before the program ends.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The folder's store.
#[derive(Debug)]
pub struct Local {
    app: App,
    caller: String,
}

impl Local {
    /// Opens the folder's store.
    ///
    /// # Errors
    /// The folder has errors, or the store cannot be opened.
    pub async fn open(folder: &std::path::Path) -> Result<Self> {
        Ok(Self {
            app: App::open(folder).await?,
            caller: caller(),
        })
    }
}

fn token_value(token: &app::Token) -> Value {
    serde_json::to_value(token).unwrap_or_default()
}

impl Local {
    fn by<'a>(&'a self, transaction_id: &'a str) -> app::By<'a> {
        app::By {
            caller: &self.caller,
            transaction_id,
        }
    }
}

/// Who asks, as changes and audit name it: `cli:` and the account of this machine.
fn caller() -> String {
    ["USER", "LOGNAME"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok())
        .map_or_else(|| "cli".to_owned(), |account| format!("cli:{account}"))
}

#[async_trait]
impl Service for Local {
    async fn change(&self, ask: &Ask) -> Result<Answer> {
        let changed = self.app.change(request(ask, &self.caller)?).await?;
        Ok(Answer {
            operation: Some(changed.operation),
            outcome: Some(changed.outcome),
            body: changed.body,
        })
    }

    async fn plan(&self, ask: &Ask) -> Result<Value> {
        Ok(self.app.plan(request(ask, &self.caller)?).await?)
    }

    async fn operations(&self, search: &Search) -> Result<Page> {
        let found = self.app.operations(&stored(search)?).await?;
        Ok(Page {
            results: found
                .results
                .iter()
                .map(|record| record.to_value())
                .collect(),
            cursor: found.cookie,
        })
    }

    async fn operation(&self, id: OperationId) -> Result<Value> {
        Ok(self.app.operation(id).await?.to_value())
    }

    async fn heal(&self, id: OperationId) -> Result<Value> {
        Ok(self.app.heal(id, &self.caller).await?.to_value())
    }

    async fn resolve(&self, id: OperationId, reason: &str) -> Result<Value> {
        Ok(self.app.resolve(id, reason, &self.caller).await?.to_value())
    }

    async fn start_recon(&self, wanted: &Value) -> Result<Value> {
        let wanted = serde_json::from_value(wanted.clone())
            .map_err(|error| Failure::Usage(error.to_string()))?;
        let transaction = SystemClock.fresh_id().to_string();
        let run = self.app.start_recon(wanted, &self.caller, &transaction);
        Ok(run.await?.to_value())
    }

    async fn recons(&self) -> Result<Vec<Value>> {
        let runs = self.app.recons(None).await?;
        Ok(runs.iter().map(|run| run.to_value()).collect())
    }

    async fn recon(&self, id: Uuid) -> Result<Value> {
        Ok(self.app.recon(id).await?.to_value())
    }

    async fn recon_entries(&self, id: Uuid, search: &Search) -> Result<Page> {
        let found = self.app.recon_entries(id, &stored(search)?).await?;
        Ok(Page {
            results: found.results.iter().map(|entry| entry.to_value()).collect(),
            cursor: found.cookie,
        })
    }

    async fn act_on_recon(&self, id: Uuid, action: &str) -> Result<Value> {
        Ok(match action {
            "cancel" => {
                let transaction = SystemClock.fresh_id().to_string();
                self.app.cancel_recon(id, self.by(&transaction)).await?
            }
            _ => self.app.approve_recon(id, &self.caller).await?.to_value(),
        })
    }

    async fn syncs(&self) -> Result<Vec<Value>> {
        let syncs = self.app.syncables().await?;
        Ok(syncs.iter().map(|sync| json!(sync)).collect())
    }

    async fn approve_sync(&self, scope: &str) -> Result<Value> {
        let transaction = SystemClock.fresh_id().to_string();
        let stands = self.app.approve_sync(scope, self.by(&transaction)).await?;
        Ok(json!(stands))
    }

    async fn reset_syncs(&self, scope: &str, since: Option<DateTime<Utc>>) -> Result<Vec<String>> {
        let transaction = SystemClock.fresh_id().to_string();
        Ok(self
            .app
            .reset_syncs(scope, since, self.by(&transaction))
            .await?)
    }

    async fn audit(&self, topic: Option<Topic>, search: &Search) -> Result<Page> {
        let found = self.app.audit(topic, &stored(search)?).await?;
        Ok(Page {
            results: found.results.iter().map(|entry| entry.to_value()).collect(),
            cursor: found.cookie,
        })
    }

    async fn explain(&self, id: OperationId) -> Result<Value> {
        Ok(json!(self.app.explain(id).await?))
    }

    async fn events(&self, ask: &EventAsk) -> Result<Value> {
        let search = app::EventSearch {
            after: ask.after,
            from: ask.range_start,
            until: ask.range_end,
            types: ask.types.clone(),
            limit: ask.limit,
            ..app::EventSearch::default()
        };
        let page = self.app.events(&search, Shown::Values).await?;
        Ok(json!({"result": page.events, "cursor": page.cursor, "more": page.more}))
    }

    async fn replay(&self, ask: &Value) -> Result<Value> {
        let text = |name: &str| ask.get(name).and_then(Value::as_str);
        let time = |name: &str| text(name).and_then(|text| text.parse().ok());
        let audience = match (text("to"), text("mapping")) {
            (Some(name), _) => app::Audience::Subscription(name.to_owned()),
            (None, name) => app::Audience::Mapping(name.unwrap_or_default().to_owned()),
        };
        let types = ask.get("types").and_then(Value::as_array);
        let types = types.into_iter().flatten().filter_map(Value::as_str);
        let search = app::EventSearch {
            after: ask.get("from").and_then(Value::as_i64),
            from: time("rangeStart"),
            until: time("rangeEnd"),
            types: types.map(str::to_owned).collect(),
            ..app::EventSearch::default()
        };
        let effects = match ask.get("sideEffects") {
            Some(Value::Bool(true)) => app::SideEffects::Repeat,
            _ => app::SideEffects::Skip,
        };
        let transaction = SystemClock.fresh_id().to_string();
        let by = self.by(&transaction);
        Ok(self.app.replay(&search, &audience, effects, by).await?)
    }

    async fn integration_events(&self, place: &Place, search: &Search) -> Result<Page> {
        let search = stored(search)?;
        let found = match place {
            Place::Integration(name) => self.app.integrations(name, &search).await?,
            Place::Deliveries(name) => self.app.deliveries(name, &search).await?,
            Place::Queue => self.app.queue(&search).await?,
        };
        Ok(Page {
            results: found.results,
            cursor: found.cookie,
        })
    }

    async fn move_event(&self, place: &Place, id: Uuid, action: &str) -> Result<Value> {
        let request = match action {
            "cancel" => Request::Cancel,
            _ => Request::Retry,
        };
        let transaction = SystemClock.fresh_id().to_string();
        let by = self.by(&transaction);
        Ok(match place {
            Place::Integration(name) => {
                let moved = self.app.move_integration(name, id, request, by);
                moved.await?.to_value()
            }
            Place::Deliveries(name) => self.app.move_delivery(name, id, request, by).await?,
            Place::Queue => {
                let message = "name the connector of an event".to_owned();
                return Err(Failure::Usage(message));
            }
        })
    }

    async fn import(&self, connector: &str, ask: &Value) -> Result<Value> {
        let class = ask.get("class").and_then(Value::as_str);
        let ids = ask.get("forceIds").and_then(Value::as_array);
        let force = match (ask.get("force"), ids) {
            (Some(Value::Bool(true)), _) => app::Force::All,
            (_, Some(ids)) => {
                let ids = ids.iter().filter_map(Value::as_str).map(str::to_owned);
                app::Force::Ids(ids.collect())
            }
            _ => app::Force::Nothing,
        };
        let transaction = SystemClock.fresh_id().to_string();
        let by = self.by(&transaction);
        let class = class.unwrap_or_default();
        let done = self.app.import_listed(connector, class, force, by);
        Ok(done.await?)
    }

    async fn destinations(&self) -> Result<Vec<Value>> {
        Ok(self.app.audit_destinations().await?)
    }

    async fn act_on_destination(
        &self,
        name: &str,
        action: &str,
        position: Option<i64>,
    ) -> Result<Value> {
        let transaction = SystemClock.fresh_id().to_string();
        let by = self.by(&transaction);
        Ok(match action {
            "giveUp" => self.app.give_up_audit(name, position, by).await?,
            _ => self.app.resend_audit(name, position, by).await?,
        })
    }

    async fn verify(&self, proof: Option<&Value>) -> Result<Value> {
        let proof = proof.map_or_else(|| Ok(app::Proof::default()), chain::brought)?;
        let verification = self.app.verify_audit_against(proof).await?;
        serde_json::to_value(verification).map_err(|error| Failure::Other(error.to_string()))
    }

    async fn test_connectors(&self) -> Result<Vec<Value>> {
        let mut results = Vec::new();
        for name in self.app.connectors() {
            results.push(self.app.test_connector(&name).await?);
        }
        Ok(results)
    }

    async fn test_connector(&self, name: &str) -> Result<Value> {
        Ok(self.app.test_connector(name).await?)
    }

    async fn ask_script(&self, action: &str, asked: &Value) -> Result<Value> {
        Ok(match action {
            "trace" => self.app.trace_script(asked).await?,
            "backtest" => self.app.backtest(asked).await?,
            "record" => {
                let text = |name: &str| asked.get(name).and_then(Value::as_str);
                let id = text("operation").and_then(|id| id.parse().ok());
                let id = id.ok_or_else(|| Failure::Usage("a change's id is missing".into()))?;
                json!({"result": self.app.record_cases(id, text("hook")).await?})
            }
            other => return Err(Failure::Usage(format!("scripts know no `{other}`"))),
        })
    }

    async fn hook_runs(&self, wanted: &[(&str, String)]) -> Result<Vec<Value>> {
        let named = |name: &str| {
            let found = wanted.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| value.clone())
        };
        let search = app::RunSearch {
            operation: named("operation"),
            hook: named("hook"),
            script: named("script"),
            limit: named("limit")
                .and_then(|limit| limit.parse().ok())
                .unwrap_or(100),
        };
        Ok(self.app.hook_runs(&search).await?)
    }

    async fn tokens(&self) -> Result<Vec<Value>> {
        let tokens = self.app.tokens().await?;
        Ok(tokens.iter().map(token_value).collect())
    }

    async fn create_token(&self, wanted: &Value) -> Result<Value> {
        let wrong = || Failure::Usage("a token needs a name and roles".to_owned());
        let text = |key: &str| wanted.get(key).and_then(Value::as_str).map(str::to_owned);
        let expires_at = text("expiresAt").map(|time| DateTime::parse_from_rfc3339(&time));
        let wanted = NewToken {
            name: text("name").ok_or_else(wrong)?,
            roles: serde_json::from_value(wanted.get("roles").cloned().unwrap_or_default())
                .map_err(|_| wrong())?,
            expires_at: expires_at
                .transpose()
                .map_err(|_| wrong())?
                .map(|time| time.to_utc()),
        };
        let (text, token) = self.app.create_token(&wanted, self.by("")).await?;
        let mut value = token_value(&token);
        if let Some(members) = value.as_object_mut() {
            members.insert("token".into(), text.expose_secret().into());
        }
        Ok(value)
    }

    async fn revoke_token(&self, id: &str) -> Result<Value> {
        let token = self.app.withdraw_token(id, self.by("")).await?;
        Ok(token_value(&token))
    }

    async fn end_sessions(&self, caller: &str) -> Result<Value> {
        let ended = self.app.end_sessions(caller, self.by("")).await?;
        Ok(json!({"caller": caller, "ended": ended}))
    }

    async fn close(&self) {
        self.app.close(PATIENCE).await;
    }
}

fn request(ask: &Ask, caller: &str) -> Result<ChangeRequest> {
    let container = Container::managed(&ask.managed_type);
    let path = match &ask.id {
        Some(id) => container.object(id).to_string(),
        None => container.to_string(),
    };
    Ok(ChangeRequest {
        unseen: Vec::new(),
        container,
        requested: requested(ask)?,
        caller: caller.to_owned(),
        transaction_id: SystemClock.fresh_id().to_string(),
        idempotency: None,
        request: json!({
            "method": ask.wish.word(),
            "resourcePath": path,
            "content": ask.wish.content(),
            "additionalParameters": {},
            "revision": ask.if_match,
        }),
    })
}

fn requested(ask: &Ask) -> Result<Requested> {
    let id = || {
        ask.id
            .clone()
            .ok_or_else(|| Failure::Usage(format!("{}: an id is missing", ask.managed_type)))
    };
    let precondition = |otherwise| match &ask.if_match {
        Some(revision) => Precondition::Revision(revision.clone()),
        None => otherwise,
    };
    Ok(match &ask.wish {
        Wish::Create(content) => Requested::Create {
            id: ask.id.clone(),
            content: object(content)?,
        },
        Wish::Update(content) => Requested::Replace {
            id: id()?,
            content: object(content)?,
            precondition: precondition(Precondition::Exists),
        },
        Wish::Patch(form, content) => Requested::Patch {
            id: id()?,
            patch: patch(*form, content)?,
            precondition: precondition(Precondition::None),
        },
        Wish::Delete => Requested::Delete {
            id: id()?,
            precondition: precondition(Precondition::None),
        },
    })
}

fn object(content: &Value) -> Result<Object> {
    content
        .as_object()
        .cloned()
        .ok_or_else(|| Failure::Usage("the content must be a JSON object".to_owned()))
}

fn patch(form: PatchForm, content: &Value) -> Result<Patch> {
    match form {
        PatchForm::Crest => Patch::parse_crest(content),
        PatchForm::Json => Patch::parse_json_patch(content),
        PatchForm::Merge => Patch::parse_merge(content.clone()),
    }
    .map_err(|error| Failure::Usage(format!("the patch cannot be read: {error}")))
}

fn stored(search: &Search) -> Result<app::Search> {
    let filter = match &search.filter {
        Some(text) => Filter::parse(text)
            .map_err(|error| Failure::Usage(format!("the filter cannot be read {error}")))?,
        None => Filter::Literal(true),
    };
    Ok(app::Search {
        filter,
        sort: search.sort.and_then(sort_key).into_iter().collect(),
        page_size: Some(search.size),
        cookie: search.cursor.clone(),
        offset: 0,
        count: Count::None,
    })
}

fn sort_key(text: &str) -> Option<SortKey> {
    let descending = text.starts_with('-');
    let field = Pointer::parse(text.trim_start_matches('-')).ok()?;
    Some(SortKey {
        field,
        descending,
        texts: Texts::Exact,
    })
}
