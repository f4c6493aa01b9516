//! Filters as conditions in SQL: never narrower than the filter, often exactly it.
//!
//! What a filter means is said in one place, [`Filter::matches`], and every row that the database
//! lets through is asked there. The condition only keeps the database from sending rows that
//! cannot match: by columns where there are some, and by texts that the stored JSON must hold.
use sea_orm::{
    DbBackend,
    sea_query::{DynIden, Expr, ExprTrait as _, Func},
};
use serde_json::Value;

use crate::model::{Filter, filter::Operator, pointer::Pointer};

/// One thing that a filter says of one attribute.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fact<'a> {
    /// It is there.
    Present(&'a Pointer),
    /// It compares to a value.
    Compare(&'a Pointer, Operator, &'a Value),
}

/// A condition in SQL that holds wherever a filter does.
#[derive(Debug, Clone)]
pub(super) struct Bound {
    /// None: always.
    condition: Option<Expr>,
    /// Whether it holds nowhere else, and is never null.
    exact: bool,
}

/// What a table makes of filters.
pub(super) trait Columns {
    /// What a fact means for a column.
    fn bound(&self, fact: &Fact<'_>) -> Option<Bound>;
    /// The column that holds the rest as JSON.
    fn body(&self) -> DynIden;
    /// Whether the top-level attribute of this name is found in the body.
    fn in_body(&self, name: &str) -> bool;
}

impl<'a> Fact<'a> {
    fn field(&self) -> &'a Pointer {
        match self {
            Self::Present(field) | Self::Compare(field, ..) => field,
        }
    }

    /// The attribute's name, where it is a top-level one.
    pub(super) fn name(&self) -> Option<&'a str> {
        match self.field().tokens() {
            [name] => Some(name),
            _ => None,
        }
    }

    /// The text that the attribute is to be equal to.
    pub(super) fn equal_text(&self) -> Option<&'a str> {
        match self {
            Self::Compare(_, Operator::Equal, Value::String(text)) if !text.contains('\0') => {
                Some(text)
            }
            _ => None,
        }
    }
}

impl Bound {
    /// A condition that is exactly the filter, and never null.
    pub(super) fn exact(condition: Expr) -> Self {
        Self {
            condition: Some(condition),
            exact: true,
        }
    }

    /// A condition that holds at least where the filter does.
    pub(super) fn wider(condition: Expr) -> Self {
        Self {
            condition: Some(condition),
            exact: false,
        }
    }

    /// Any row may match.
    fn open() -> Self {
        Self {
            condition: None,
            exact: false,
        }
    }

    fn literal(holds: bool) -> Self {
        Self::exact(Expr::val(1).eq(i32::from(holds)))
    }

    /// The condition; none: any row may match.
    pub(super) fn condition(&self) -> Option<&Expr> {
        self.condition.as_ref()
    }

    /// Whether the condition is the filter, and nothing needs to be asked again.
    pub(super) fn is_exact(&self) -> bool {
        self.exact
    }

    fn not(self) -> Self {
        match self {
            Self {
                condition: Some(condition),
                exact: true,
            } => Self::exact(condition.not()),
            _ => Self::open(),
        }
    }

    fn and(self, other: Self) -> Self {
        let exact = self.exact && other.exact;
        let condition = match (self.condition, other.condition) {
            (Some(left), Some(right)) => Some(left.and(right)),
            (one, other) => one.or(other),
        };
        Self { condition, exact }
    }

    fn or(self, other: Self) -> Self {
        let exact = self.exact && other.exact;
        match (self.condition, other.condition) {
            (Some(left), Some(right)) => Self {
                condition: Some(left.or(right)),
                exact,
            },
            _ => Self::open(),
        }
    }
}

/// The condition for a filter.
pub(super) fn bound(filter: &Filter, table: &impl Columns, backend: DbBackend) -> Bound {
    let each = |parts: &[Filter]| -> Vec<Bound> {
        parts
            .iter()
            .map(|part| bound(part, table, backend))
            .collect()
    };
    match filter {
        Filter::Literal(holds) => Bound::literal(*holds),
        Filter::Present(field) => fact(&Fact::Present(field), table, backend),
        Filter::Compare {
            field,
            operator,
            value,
        } => fact(&Fact::Compare(field, *operator, value), table, backend),
        Filter::And(parts) => each(parts)
            .into_iter()
            .reduce(Bound::and)
            .unwrap_or_else(|| Bound::literal(true)),
        Filter::Or(parts) => each(parts)
            .into_iter()
            .reduce(Bound::or)
            .unwrap_or_else(|| Bound::literal(false)),
        Filter::Not(part) => bound(part, table, backend).not(),
    }
}

fn fact(fact: &Fact<'_>, table: &impl Columns, backend: DbBackend) -> Bound {
    if let Some(bound) = table.bound(fact) {
        return bound;
    }
    if !fact.field().first().is_some_and(|name| table.in_body(name)) {
        return Bound::open();
    }
    let needles = fact
        .field()
        .tokens()
        .iter()
        .filter_map(|token| member(token));
    needles
        .chain(value_in_text(fact))
        .map(|needle| Bound::wider(holds(table.body(), &needle, backend)))
        .reduce(Bound::and)
        .unwrap_or_else(Bound::open)
}

/// How an object with this member begins it; an index into a list leaves no trace.
fn member(token: &str) -> Option<String> {
    let index = token.bytes().all(|byte| byte.is_ascii_digit());
    (!index).then(|| format!("{}:", Value::from(token)))
}

/// The text that the stored JSON holds where the comparison does: bodies are written without
/// spaces and with one escape for each character that needs one.
fn value_in_text(fact: &Fact<'_>) -> Option<String> {
    let Fact::Compare(_, operator, Value::String(text)) = fact else {
        return None;
    };
    let quoted = Value::from(text.as_str()).to_string();
    let inner = quoted.strip_prefix('"')?.strip_suffix('"')?;
    match operator {
        Operator::Equal => Some(quoted),
        Operator::StartsWith => Some(format!("\"{inner}")),
        Operator::Contains => (!inner.is_empty()).then(|| inner.to_owned()),
        _ => None,
    }
}

/// Whether a text column holds a text, byte for byte.
fn holds(column: DynIden, needle: &str, backend: DbBackend) -> Expr {
    let function = match backend {
        DbBackend::Postgres => "strpos",
        _ => "instr",
    };
    Expr::expr(
        Func::cust(function)
            .arg(Expr::col(column))
            .arg(Expr::val(needle)),
    )
    .gt(0)
}
