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

use crate::model::{
    Filter,
    filter::{Operator, Relation, Test, Texts, Within},
    pointer::Pointer,
};

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
    /// What a test of values means for a column.
    fn within(&self, _within: &Within) -> Option<Bound> {
        None
    }
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
        Filter::Within(within) => within_bound(within, table, backend),
    }
}

fn within_bound(within: &Within, table: &impl Columns, backend: DbBackend) -> Bound {
    if let Some(bound) = table.within(within) {
        return bound;
    }
    if !within.field.first().is_some_and(|name| table.in_body(name)) {
        return Bound::open();
    }
    let mut conditions = members(&within.field, table, backend);
    match &within.test {
        Test::Present => {}
        // What holds of one element holds of the text that all of them are in.
        Test::Element(inner) => conditions.push(bound(inner, &InElement(table.body()), backend)),
        Test::Compare {
            relation,
            value: Value::String(text),
            texts,
        } => conditions.extend(text_bound(*relation, text, *texts, table, backend)),
        Test::Compare { .. } => {}
    }
    Bound {
        exact: false,
        ..conditions
            .into_iter()
            .reduce(Bound::and)
            .unwrap_or_else(Bound::open)
    }
}

/// A part of a body: it has no columns of its own.
struct InElement(DynIden);

impl Columns for InElement {
    fn bound(&self, _: &Fact<'_>) -> Option<Bound> {
        None
    }
    fn body(&self) -> DynIden {
        self.0.clone()
    }
    fn in_body(&self, _: &str) -> bool {
        true
    }
}

fn members(field: &Pointer, table: &impl Columns, backend: DbBackend) -> Vec<Bound> {
    let needles = field.tokens().iter().filter_map(|token| member(token));
    needles
        .map(|needle| Bound::wider(holds(table.body(), &needle, backend)))
        .collect()
}

/// What the stored JSON holds where a text is compared: the text, or what of it is plain letters in
/// whatever case.
fn text_bound(
    relation: Relation,
    text: &str,
    texts: Texts,
    table: &impl Columns,
    backend: DbBackend,
) -> Option<Bound> {
    let ordered = !matches!(
        relation,
        Relation::Equal | Relation::Contains | Relation::StartsWith | Relation::EndsWith
    );
    // A truth value may be meant.
    let is_word = text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false");
    if ordered || (is_word && relation == Relation::Equal) {
        return None;
    }
    match texts {
        Texts::Exact => {
            let quoted = Value::from(text).to_string();
            let inner = quoted.strip_prefix('"')?.strip_suffix('"')?;
            let needle = match relation {
                Relation::Equal => quoted.clone(),
                Relation::StartsWith => format!("\"{inner}"),
                Relation::EndsWith => format!("{inner}\""),
                _ => inner.to_owned(),
            };
            (!needle.is_empty()).then(|| Bound::wider(holds(table.body(), &needle, backend)))
        }
        Texts::Folded => {
            let needle = longest_plain(text)?.to_ascii_lowercase();
            Some(Bound::wider(holds_folded(table.body(), &needle, backend)))
        }
        Texts::Moments => None,
    }
}

/// The longest piece of a text that JSON and lower case leave as it is but for the case of its
/// letters.
fn longest_plain(text: &str) -> Option<&str> {
    let is_plain = |character: char| {
        character == ' ' || (character.is_ascii_graphic() && !matches!(character, '"' | '\\'))
    };
    text.split(|character| !is_plain(character))
        .max_by_key(|piece| piece.len())
        .filter(|piece| !piece.is_empty())
}

/// Whether a text column holds a text of plain characters in lower case, whatever its own case. In
/// PostgreSQL the rules of no language take part.
fn holds_folded(column: DynIden, needle: &str, backend: DbBackend) -> Expr {
    let lower = match backend {
        DbBackend::Postgres => {
            Expr::cust_with_exprs("lower($1 COLLATE \"C\")", [Expr::col(column)])
        }
        _ => Expr::expr(Func::lower(Expr::col(column))),
    };
    let function = match backend {
        DbBackend::Postgres => "strpos",
        _ => "instr",
    };
    Expr::expr(Func::cust(function).arg(lower).arg(Expr::val(needle))).gt(0)
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
