//! Whose events are carried out: a connector's, in or out, or a subscription's.
use sea_orm::sea_query::{Cond, Expr, ExprTrait as _};

use super::entity::integration_event::Column;
use crate::model::integration::{Direction, IntegrationEvent};

/// Who has integration events.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Owner {
    direction: Direction,
    name: String,
}

impl Owner {
    /// The connector, or the subscription, that an event is of.
    #[must_use]
    pub fn of(event: &IntegrationEvent) -> Self {
        Self {
            direction: event.direction,
            name: event.connector.clone(),
        }
    }
}

/// Events of anybody but these.
pub(super) fn of_others(owners: &[Owner], column: impl Fn(Column) -> Expr) -> Cond {
    owners.iter().fold(Cond::all(), |others, owner| {
        let other_way = column(Column::Direction).ne(owner.direction.as_str());
        let other_name = column(Column::Connector).ne(owner.name.as_str());
        others.add(Cond::any().add(other_way).add(other_name))
    })
}
