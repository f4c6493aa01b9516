//! How scripts read objects while they run.
use std::fmt::Debug;

use async_trait::async_trait;

use crate::model::{Filter, Object};

/// How scripts read objects while they run.
#[async_trait]
pub trait Reader: Send + Sync + Debug {
    /// The object at a path such as `managed/user/ID` or `system/crm/account/ID`, or none.
    ///
    /// # Errors
    /// A text that the script gets as an error.
    async fn read(&self, path: &str) -> Result<Option<Object>, String>;

    /// The objects in a container that meet a filter.
    ///
    /// # Errors
    /// A text that the script gets as an error.
    async fn query(&self, container: &str, filter: &Filter) -> Result<Vec<Object>, String>;

    /// The script took the time or a fresh id: run again on the same variables, it may do something
    /// else.
    fn varies(&self) {}
}
