//! Reading the audit trail.
use chrono::{DateTime, Utc};
use sea_orm::sea_query::{DynIden, Expr, ExprTrait as _, IntoIden as _, SelectStatement};
use serde_json::Value;

use super::{
    Core, Error, Found, Search, Store,
    entity::audit_entry,
    filter::{Bound, Fact},
    page::{Key, Listed, Order, Sorted, page},
    rows::{from_micros, micros},
};
use crate::model::{
    Object,
    audit::{AuditEntry, ChainedEntry, Topic},
    filter::Operator,
    pointer::Pointer,
};

/// Entries show milliseconds, and texts of one moment may differ in their fraction: what is asked
/// of the column is this much wider, and each entry is then compared as it is shown.
const SLACK: i64 = 2_000_000;

impl Store {
    /// Entries of a topic (none: all), oldest first unless sorted otherwise.
    ///
    /// # Errors
    /// The database fails, or the cookie belongs to another query.
    pub async fn audit(
        &self,
        topic: Option<Topic>,
        search: &Search,
    ) -> Result<Found<ChainedEntry>, Error> {
        self.flush().await?;
        page(self.core(), &Entries { topic }, search).await
    }
}

/// The entries of a topic as a list.
struct Entries {
    topic: Option<Topic>,
}

impl Listed for Entries {
    type Row = audit_entry::Model;
    type Entity = audit_entry::Entity;
    type Word = ChainedEntry;

    fn scope(&self) -> String {
        format!("audit {}", self.topic.map_or("", Topic::as_str))
    }

    fn restrict(&self, query: &mut SelectStatement) {
        if let Some(topic) = self.topic {
            query.and_where(Expr::col(audit_entry::Column::Topic).eq(topic.as_str()));
        }
    }

    fn key_order(&self) -> Order {
        Order::ascending(audit_entry::Column::Position)
    }

    fn key(&self, row: &Self::Row) -> Key {
        Key::Number(row.position)
    }

    fn column(&self, field: &Pointer) -> Option<Sorted<Self::Row>> {
        match field.tokens() {
            [name] if name == "timestamp" => {
                Some((audit_entry::Column::Timestamp.into_iden(), |row| {
                    row.timestamp
                }))
            }
            [name] if name == "position" => {
                Some((audit_entry::Column::Position.into_iden(), |row| {
                    row.position
                }))
            }
            _ => None,
        }
    }

    fn body(&self) -> DynIden {
        audit_entry::Column::Body.into_iden()
    }

    /// What is in columns is not in the body.
    fn in_body(&self, name: &str) -> bool {
        !matches!(
            name,
            "_id" | "position" | "timestamp" | "topic" | "transactionId" | "operation" | "digest"
        )
    }

    fn bound(&self, fact: &Fact<'_>) -> Option<Bound> {
        use audit_entry::Column;
        if fact.name()? == "timestamp" {
            return time_bound(fact);
        }
        let (name, text) = (fact.name()?, fact.equal_text()?);
        let column = match name {
            "_id" => Column::Id,
            "topic" => Column::Topic,
            "transactionId" => Column::TransactionId,
            "operation" => Column::Operation,
            "digest" => Column::Digest,
            _ => return None,
        };
        Some(Bound::wider(Expr::col(column).eq(text)))
    }

    fn view(&self, row: &Self::Row) -> Result<Object, Error> {
        match chained(row.clone()).to_value() {
            Value::Object(object) => Ok(object),
            _ => Ok(Object::new()),
        }
    }

    fn word(&self, _: &Core, row: Self::Row) -> Result<ChainedEntry, Error> {
        Ok(chained(row))
    }
}

fn time_bound(fact: &Fact<'_>) -> Option<Bound> {
    let Fact::Compare(_, operator, Value::String(text)) = fact else {
        return None;
    };
    // Times are compared as they are written, so only one written as entries are bounds a column.
    let time = text
        .ends_with('Z')
        .then(|| DateTime::parse_from_rfc3339(text).ok())??;
    let at = micros(time.with_timezone(&Utc));
    let column = || Expr::col(audit_entry::Column::Timestamp);
    let after = || column().gte(at.saturating_sub(SLACK));
    let before = || column().lte(at.saturating_add(SLACK));
    Some(Bound::wider(match operator {
        Operator::Equal => after().and(before()),
        Operator::Less | Operator::LessOrEqual => before(),
        Operator::Greater | Operator::GreaterOrEqual => after(),
        Operator::Contains | Operator::StartsWith => return None,
    }))
}

/// An entry in its place from its row. One that nobody can read, or of a topic that this version does
/// not know, is shown as such: it must not keep its reader from all others.
pub(super) fn chained(row: audit_entry::Model) -> ChainedEntry {
    let body = match serde_json::from_str(&row.body) {
        Ok(Value::Object(body)) => body,
        _ => damaged(&row),
    };
    ChainedEntry {
        position: row.position,
        entry: AuditEntry {
            id: row.id.parse().unwrap_or_default(),
            topic: Topic::parse(&row.topic).unwrap_or(Topic::Other),
            timestamp: from_micros(row.timestamp),
            transaction_id: row.transaction_id,
            operation: row.operation.and_then(|id| id.parse().ok()),
            body,
        },
        digest: row.digest,
    }
}

fn damaged(row: &audit_entry::Model) -> Object {
    let bytes = row.body.len();
    let members = [
        ("eventName", Value::from("damaged")),
        (
            "message",
            format!("this entry is stored in a form that is not understood ({bytes} bytes): `recant audit verify` tells whether somebody edited it").into(),
        ),
    ];
    members
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}
