//! Lists of integration events.
use sea_orm::sea_query::{DynIden, Expr, ExprTrait as _, IntoIden as _, SelectStatement};

use super::{
    Core, Error, Found, Search, Store,
    entity::integration_event as event,
    filter::{Bound, Fact},
    integration_rows::{integration_event, narrow_columns, view},
    page::{Key, Listed, Order, page},
};
use crate::model::{
    Object,
    integration::{Direction, IntegrationEvent, State},
    pointer::Pointer,
};

/// Which integration events are listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IntegrationList {
    /// Those of a connector, in and out.
    Of(String),
    /// Deliveries to a subscription.
    To(String),
    /// Those that wait to go out, or failed to.
    Queue,
}

impl Store {
    /// Integration events, oldest first unless sorted otherwise.
    ///
    /// # Errors
    /// The database fails, or the cookie belongs to another query.
    pub async fn integrations(
        &self,
        list: &IntegrationList,
        search: &Search,
    ) -> Result<Found<IntegrationEvent>, Error> {
        self.flush().await?;
        page(self.core(), list, search).await
    }
}

impl Listed for IntegrationList {
    type Row = event::Model;
    type Entity = event::Entity;
    type Word = IntegrationEvent;

    fn columns(&self) -> Vec<event::Column> {
        narrow_columns()
    }

    fn unread(&self) -> &'static [&'static str] {
        &["payload"]
    }

    fn scope(&self) -> String {
        match self {
            Self::Of(connector) => format!("integrations {connector}"),
            Self::To(subscription) => format!("deliveries {subscription}"),
            Self::Queue => "queue".to_owned(),
        }
    }

    fn restrict(&self, query: &mut SelectStatement) {
        match self {
            Self::Of(connector) => {
                query
                    .and_where(Expr::col(event::Column::Connector).eq(connector.as_str()))
                    .and_where(delivers().not());
            }
            Self::To(subscription) => {
                query
                    .and_where(Expr::col(event::Column::Connector).eq(subscription.as_str()))
                    .and_where(delivers());
            }
            Self::Queue => {
                let open = [State::Queued, State::Processing, State::Errored];
                query
                    .and_where(Expr::col(event::Column::State).is_in(open.map(State::as_str)))
                    .and_where(
                        Expr::col(event::Column::Direction).eq(Direction::Outbound.as_str()),
                    );
            }
        }
    }

    fn key_order(&self) -> Order {
        Order::ascending(event::Column::Id)
    }

    fn key(&self, row: &Self::Row) -> Key {
        Key::Text(row.id.clone())
    }

    fn is_key(&self, field: &Pointer) -> bool {
        matches!(field.tokens(), [name] if name == "_id")
    }

    fn body(&self) -> DynIden {
        event::Column::State.into_iden()
    }

    /// Everything is in columns.
    fn in_body(&self, _: &str) -> bool {
        false
    }

    fn bound(&self, fact: &Fact<'_>) -> Option<Bound> {
        let (name, text) = (fact.name()?, fact.equal_text()?);
        let column = match name {
            "_id" => event::Column::Id,
            "state" => event::Column::State,
            "direction" => event::Column::Direction,
            "integrationExternalId" => event::Column::ExternalId,
            _ => return None,
        };
        Some(Bound::exact(Expr::col(column).eq(text)))
    }

    fn view(&self, row: &Self::Row) -> Result<Object, Error> {
        view(row)
    }

    fn word(&self, _: &Core, row: Self::Row) -> Result<IntegrationEvent, Error> {
        integration_event(&row)
    }
}

/// Whether an event is a delivery.
fn delivers() -> Expr {
    Expr::col(event::Column::Direction).eq(Direction::Delivery.as_str())
}
