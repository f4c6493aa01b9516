//! Queries over stored things: what is asked, and a page of what was found.
use crate::model::{Filter, filter::Texts, pointer::Pointer};

/// What a query over stored things asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct Search {
    /// Which.
    pub filter: Filter,
    /// Attributes to sort by, each ascending or descending; the id breaks ties.
    pub sort: Vec<SortKey>,
    /// How many at most; none: all.
    pub page_size: Option<usize>,
    /// Where the page before ended (`pagedResultsCookie`).
    pub cookie: Option<String>,
    /// How many to skip (`_pagedResultsOffset`).
    pub offset: usize,
    /// Whether to count all that match.
    pub count: Count,
}

/// Whether a query counts all that match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Count {
    /// No.
    #[default]
    None,
    /// Yes.
    Exact,
}

/// One sort key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SortKey {
    /// Which attribute.
    pub field: Pointer,
    /// Whether from the largest to the smallest.
    pub descending: bool,
    /// What texts stand for; moments are sorted as they are written.
    pub texts: Texts,
}

/// A page of what a query found.
#[derive(Debug, Clone, PartialEq)]
pub struct Found<T> {
    /// In order.
    pub results: Vec<T>,
    /// Where the next page begins; none after the last.
    pub cookie: Option<String>,
    /// How many match, where that was asked for.
    pub total: Option<u64>,
}
