//! What hooks were: each version that was saved or found in the folder.
use chrono::{DateTime, Utc};
use sea_orm::{
    ConnectionTrait as _, DbErr, EntityTrait as _, QueryResult,
    sea_query::{Expr, ExprTrait as _, Order, Query},
};

use super::{
    Error, Store,
    entity::hook_version,
    rows::{from_micros, micros},
};

/// A version of a script file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookVersion {
    /// Its id; ids sort by time.
    pub id: uuid::Uuid,
    /// The file's name in the folder of scripts.
    pub file: String,
    /// Hexadecimal SHA-256 of its text.
    pub digest: String,
    /// When it was saved, or found.
    pub saved_at: DateTime<Utc>,
    /// Who saved it; none: it was found in the folder.
    pub saved_by: Option<String>,
    /// Why.
    pub note: String,
    /// Its text.
    pub text: String,
}

/// A version of a script file without its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedVersion {
    /// Its id; ids sort by time.
    pub id: uuid::Uuid,
    /// Hexadecimal SHA-256 of its text.
    pub digest: String,
    /// When it was saved, or found.
    pub saved_at: DateTime<Utc>,
    /// Who saved it; none: it was found in the folder.
    pub saved_by: Option<String>,
    /// Why.
    pub note: String,
}

impl Store {
    /// Keeps a version.
    ///
    /// # Errors
    /// The database fails.
    pub async fn add_hook_version(&self, version: &HookVersion) -> Result<(), Error> {
        let row = hook_version::ActiveModel::from(hook_version::Model {
            id: version.id.to_string(),
            file: version.file.clone(),
            digest: version.digest.clone(),
            saved_at: micros(version.saved_at),
            saved_by: version.saved_by.clone(),
            note: version.note.clone(),
            body: version.text.clone(),
        });
        hook_version::Entity::insert(row)
            .exec_without_returning(self.core().database.writer())
            .await
            .map_err(Error::at("keep a version of a hook"))?;
        Ok(())
    }

    /// The latest versions of a file, newest first, without their texts.
    ///
    /// # Errors
    /// The database fails.
    pub async fn hook_versions(&self, file: &str, count: u64) -> Result<Vec<ListedVersion>, Error> {
        use hook_version::Column;
        let step = "read the versions of a hook";
        let query = Query::select()
            .columns([
                Column::Id,
                Column::Digest,
                Column::SavedAt,
                Column::SavedBy,
                Column::Note,
            ])
            .from(hook_version::Entity)
            .and_where(Expr::col(Column::File).eq(file))
            .order_by(Column::Id, Order::Desc)
            .limit(count)
            .to_owned();
        let rows = self.core().database.fresh().query_all(&query).await;
        let rows = rows.map_err(Error::at(step))?;
        rows.iter()
            .map(listed)
            .collect::<Result<_, _>>()
            .map_err(Error::at(step))
    }

    /// Drops a version that was kept for what did not happen; nothing where there is none.
    ///
    /// # Errors
    /// The database fails.
    pub async fn remove_hook_version(&self, id: uuid::Uuid) -> Result<(), Error> {
        let statement = Query::delete()
            .from_table(hook_version::Entity)
            .and_where(Expr::col(hook_version::Column::Id).eq(id.to_string()))
            .to_owned();
        let removed = self.core().database.execute(&statement).await;
        removed.map_err(Error::at("drop a version of a hook"))?;
        Ok(())
    }

    /// One version.
    ///
    /// # Errors
    /// The database fails.
    pub async fn hook_version(&self, id: uuid::Uuid) -> Result<Option<HookVersion>, Error> {
        let step = "read a version of a hook";
        let row = hook_version::Entity::find_by_id(id.to_string())
            .one(self.core().database.fresh())
            .await
            .map_err(Error::at(step))?;
        row.map(|row| version(row, step)).transpose()
    }
}

fn listed(row: &QueryResult) -> Result<ListedVersion, DbErr> {
    let id: String = row.try_get_by_index(0)?;
    Ok(ListedVersion {
        id: id
            .parse()
            .map_err(|_| DbErr::Type("the id of a version is no UUID".to_owned()))?,
        digest: row.try_get_by_index(1)?,
        saved_at: from_micros(row.try_get_by_index(2)?),
        saved_by: row.try_get_by_index(3)?,
        note: row.try_get_by_index(4)?,
    })
}

fn version(row: hook_version::Model, step: &'static str) -> Result<HookVersion, Error> {
    let damaged = |_| Error::at(step)(super::Refusal::Damaged("a version of a hook"));
    Ok(HookVersion {
        id: row.id.parse().map_err(damaged)?,
        file: row.file,
        digest: row.digest,
        saved_at: from_micros(row.saved_at),
        saved_by: row.saved_by,
        note: row.note,
        text: row.body,
    })
}
