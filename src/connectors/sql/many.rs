//! Reading many rows by their ids in few statements.
use std::collections::HashSet;

use super::{
    columns::Table,
    connector::{Sql, is_misfit, next_rows},
    filter, wire,
};
use crate::{
    connectors::{Error, IdPage, Query},
    model::TargetObject,
};

/// How many ids one statement asks for at most.
const MANY: usize = 1_024;

impl Sql {
    /// The ids of the rows after one, in the order of their keys; none where the filter has no
    /// translation, so that only whole rows tell.
    pub(super) async fn ids_after(
        &self,
        table: &Table,
        query: &Query,
    ) -> Result<Option<IdPage>, Error> {
        let mut base = wire::select_keys(table);
        base.push(" WHERE (");
        if !filter::push(&mut base, table, &query.filter) {
            return Ok(None);
        }
        let statement = next_rows(table, &base, query.cursor.as_deref(), query.page_size)?;
        let rows = self.fetch(&statement).await?;
        let is_last = rows.len() <= query.page_size;
        let ids = rows.into_iter().take(query.page_size);
        let ids = ids
            .map(|row| Ok(wire::object(table, row)?.id))
            .collect::<Result<Vec<_>, Error>>()?;
        let cursor = ids.last().filter(|_| !is_last).cloned();
        Ok(Some(IdPage { ids, cursor }))
    }

    /// Those of the rows with these ids that exist.
    pub(super) async fn read_rows(
        &self,
        table: &Table,
        ids: &[String],
    ) -> Result<Vec<TargetObject>, Error> {
        let mut found = Vec::with_capacity(ids.len());
        for part in ids.chunks(MANY) {
            let Some(statement) = wire::select_many(table, part) else {
                continue;
            };
            let rows = match self.fetch(&statement).await {
                Ok(rows) => rows,
                // One of the ids is no value of the key's type; only asking for each tells which.
                Err(error) if is_misfit(&error) => {
                    for id in part {
                        found.extend(self.read_row(table, id).await?);
                    }
                    continue;
                }
                Err(error) => return Err(error),
            };
            // The database may hold more ids for equal than Recant does.
            let asked: HashSet<&str> = part.iter().map(String::as_str).collect();
            for row in rows {
                let object = wire::object(table, row)?;
                if asked.contains(object.id.as_str()) {
                    found.push(object);
                }
            }
        }
        Ok(found)
    }
}
