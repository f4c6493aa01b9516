//! Asking a database what a table looks like.
use super::{
    columns::{Cell, Class, Column, Table},
    failure::Stage,
    session::Lease,
    settings::{Class as Settings, Dialect},
    wire::{Statement, quoted},
};
use crate::connectors::Error;

/// PostgreSQL: name, type for casts, type or its base, type of elements, whether it is generated,
/// whether it is unique. A view has no indexes; its key is taken for unique.
const POSTGRES: &str = "\
SELECT a.attname::text, format_type(a.atttypid, -1), b.typname::text, b.typtype::text, \
 COALESCE(e.typname::text, ''), (a.attgenerated <> '')::text, \
 (c.relkind NOT IN ('r', 'p') OR EXISTS (SELECT 1 FROM pg_index i WHERE i.indrelid = a.attrelid \
 AND i.indisunique AND i.indpred IS NULL AND i.indnkeyatts = 1 AND i.indkey[0] = a.attnum))::text \
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_type t ON t.oid = a.atttypid \
 JOIN pg_type b ON b.oid = COALESCE(NULLIF(t.typbasetype, 0), t.oid) \
 LEFT JOIN pg_type e ON e.oid = b.typelem AND b.typcategory = 'A' \
WHERE a.attnum > 0 AND NOT a.attisdropped AND a.attrelid = to_regclass(";

/// MySQL: name, type, type in full, what is extra, the table's engine, whether it is unique.
const MYSQL: &str = "\
SELECT c.column_name, c.data_type, c.column_type, c.extra, \
 (SELECT e.engine FROM information_schema.tables e WHERE e.table_schema = c.table_schema \
 AND e.table_name = c.table_name), \
 CAST((SELECT COUNT(*) FROM information_schema.tables t WHERE t.table_schema = c.table_schema \
 AND t.table_name = c.table_name AND t.table_type <> 'BASE TABLE') \
 + (SELECT COUNT(*) FROM information_schema.statistics s WHERE s.table_schema = c.table_schema \
 AND s.table_name = c.table_name AND s.non_unique = 0 AND s.seq_in_index = 1 \
 AND s.column_name = c.column_name AND NOT EXISTS (SELECT 1 FROM information_schema.statistics o \
 WHERE o.table_schema = s.table_schema AND o.table_name = s.table_name \
 AND o.index_name = s.index_name AND o.seq_in_index = 2)) AS CHAR) \
FROM information_schema.columns c WHERE c.table_schema = COALESCE(";

/// Storage engines without transactions, in lower case.
const WITHOUT_ROLLBACK: [&str; 7] = [
    "myisam",
    "mrg_myisam",
    "aria",
    "memory",
    "archive",
    "csv",
    "blackhole",
];

/// MariaDB's JSON is text with a check; this finds the columns that have it.
const MARIADB_JSON: &str = "\
SELECT check_clause FROM information_schema.check_constraints WHERE table_name = ";

/// SQLite: name, declared type, whether it is generated, whether it is unique.
const SQLITE: &str = "\
SELECT c.name, c.type, c.hidden IN (2, 3), \
 (c.pk > 0 AND (SELECT count(*) FROM pragma_table_xinfo(?1, ?2) WHERE pk > 0) = 1) \
 OR EXISTS (SELECT 1 FROM pragma_index_list(?1, ?2) l WHERE l.\"unique\" = 1 AND l.partial = 0 \
 AND (SELECT count(*) FROM pragma_index_info(l.name, ?2)) = 1 \
 AND (SELECT name FROM pragma_index_info(l.name, ?2)) = c.name) \
 OR EXISTS (SELECT 1 FROM pragma_table_list(?1) v WHERE v.schema = ?2 AND v.type <> 'table') \
FROM pragma_table_xinfo(?1, ?2) c WHERE c.hidden <> 1 ORDER BY c.cid";

/// The table as the database describes it, narrowed to what the settings show.
///
/// # Errors
/// Refused where the table, the key or a wanted column is missing, or a type is not known.
pub async fn describe(
    lease: &mut Lease<'_>,
    dialect: Dialect,
    settings: &Settings,
) -> Result<Table, Error> {
    let all = match dialect {
        Dialect::Postgres => postgres(lease, settings).await?,
        Dialect::MySql => mysql(lease, settings).await?,
        Dialect::Sqlite => sqlite(lease, settings).await?,
    };
    narrow(dialect, settings, all)
}

/// A column before its type is looked at.
struct Described {
    column: Column,
    /// The type's name where Recant does not know how to handle it.
    unknown: Option<String>,
}

fn narrow(dialect: Dialect, settings: &Settings, all: Vec<Described>) -> Result<Table, Error> {
    let name = settings.table_name();
    if all.is_empty() {
        let message = format!("there is no table `{name}`");
        return Err(Error::refused("42P01", message));
    }
    let missing = |wanted: &String| !all.iter().any(|it| it.column.name == *wanted);
    let wanted = settings.columns.iter().flatten();
    if let Some(missing) = std::iter::once(&settings.key)
        .chain(wanted)
        .find(|it| missing(it))
    {
        let message = format!("table `{name}` has no column `{missing}`");
        return Err(Error::refused("42703", message));
    }
    let mut key = None;
    let mut columns = Vec::new();
    for described in all {
        let column = described.column;
        if !settings.sees(&column.name) {
            continue;
        }
        if let Some(kind) = described.unknown {
            let message = format!(
                "column `{}` of `{name}` has the type `{kind}`, which Recant does not know: \
                 name the other columns in `columns`",
                column.name
            );
            return Err(Error::refused(501, message));
        }
        if column.name == settings.key {
            key = Some(column);
        } else {
            columns.push(column);
        }
    }
    let key = key.ok_or_else(|| Error::refused("42703", "the key column is missing"))?;
    if !key.is_unique {
        let message = format!(
            "column `{}` of `{name}` is the key, but nothing keeps two rows from sharing it: \
             add a primary key or a unique index",
            key.name
        );
        return Err(Error::refused(409, message));
    }
    let parts: Vec<String> = settings
        .table
        .iter()
        .map(|it| quoted(dialect, it))
        .collect();
    Ok(Table {
        dialect,
        name,
        quoted: parts.join("."),
        key,
        columns,
    })
}

async fn postgres(lease: &mut Lease<'_>, settings: &Settings) -> Result<Vec<Described>, Error> {
    let dialect = Dialect::Postgres;
    let name: Vec<String> = settings
        .table
        .iter()
        .map(|it| quoted(dialect, it))
        .collect();
    let mut statement = Statement::new(dialect, POSTGRES);
    statement
        .bind(Cell::Text(name.join(".")))
        .push(") ORDER BY a.attnum");
    let rows = lease.run(&statement, Stage::Open).await?.rows;
    Ok(rows
        .into_iter()
        .map(|row| {
            let [name, cast, base, kind, element, generated, unique] = texts(row);
            let class = postgres_class(&base, &kind, &element);
            Described {
                unknown: class.is_none().then(|| cast.clone()),
                column: Column {
                    name,
                    class: class.unwrap_or(Class::Written),
                    cast,
                    is_generated: generated == "true",
                    is_unique: unique == "true",
                },
            }
        })
        .collect())
}

fn postgres_class(base: &str, kind: &str, element: &str) -> Option<Class> {
    Some(match (base, element) {
        (
            _,
            "text" | "varchar" | "bpchar" | "name" | "int2" | "int4" | "int8" | "bool" | "uuid",
        ) => Class::List,
        (_, element) if !element.is_empty() => Class::TextList,
        ("text" | "varchar" | "bpchar" | "name" | "citext", _) => Class::Text,
        ("int2" | "int4" | "int8" | "oid", _) => Class::Integer,
        ("numeric", _) => Class::Decimal,
        ("float8", _) => Class::Real,
        ("float4", _) => Class::Single,
        ("bool", _) => Class::Boolean,
        ("json" | "jsonb", _) => Class::Json,
        ("bytea", _) => Class::Binary,
        ("timestamptz", _) => Class::Moment,
        ("timestamp", _) => Class::WallClock,
        (
            "uuid" | "date" | "time" | "timetz" | "interval" | "inet" | "cidr" | "macaddr"
            | "macaddr8" | "money" | "bit" | "varbit" | "xml" | "point" | "line" | "lseg" | "box"
            | "path" | "polygon" | "circle" | "tsvector" | "tsquery" | "hstore" | "ltree",
            _,
        ) => Class::Written,
        // Enumerations, ranges and multiranges are read and written as text.
        _ if matches!(kind, "e" | "r" | "m") => Class::Written,
        _ => return None,
    })
}

async fn mysql(lease: &mut Lease<'_>, settings: &Settings) -> Result<Vec<Described>, Error> {
    let (schema, table) = split(settings);
    let mut statement = Statement::new(Dialect::MySql, MYSQL);
    statement
        .bind(schema.map_or(Cell::Null, Cell::Text))
        .push(", DATABASE()) AND c.table_name = ")
        .bind(Cell::Text(table.clone()))
        .push(" ORDER BY c.ordinal_position");
    let rows: Vec<[String; 6]> = lease
        .run(&statement, Stage::Open)
        .await?
        .rows
        .into_iter()
        .map(texts)
        .collect();
    if let Some([_, _, _, _, engine, _]) = rows.first()
        && WITHOUT_ROLLBACK.contains(&engine.to_lowercase().as_str())
    {
        let message = format!(
            "table `{}` has the engine {engine}, which cannot take a failed write back: use InnoDB",
            settings.table_name()
        );
        return Err(Error::refused(501, message));
    }
    let json = if rows.is_empty() {
        Vec::new()
    } else {
        json_checks(lease, table).await
    };
    Ok(rows
        .into_iter()
        .map(|[name, kind, full, extra, _, unique]| {
            let is_json = json.contains(&format!("json_valid(`{name}`)"));
            let class = mysql_class(&kind.to_lowercase(), &full.to_lowercase(), is_json);
            Described {
                unknown: class.is_none().then_some(full),
                column: Column {
                    name,
                    class: class.unwrap_or(Class::Written),
                    cast: String::new(),
                    is_generated: extra.to_uppercase().contains("GENERATED")
                        && !extra.to_uppercase().contains("DEFAULT_GENERATED"),
                    is_unique: unique != "0",
                },
            }
        })
        .collect())
}

/// MySQL proper has no such column to ask for; it says so, and needs none.
async fn json_checks(lease: &mut Lease<'_>, table: String) -> Vec<String> {
    let mut statement = Statement::new(Dialect::MySql, MARIADB_JSON);
    statement.bind(Cell::Text(table));
    let rows = lease.run(&statement, Stage::Open).await.unwrap_or_default();
    rows.rows
        .into_iter()
        .map(|row| {
            let [clause] = texts(row);
            clause
        })
        .collect()
}

fn mysql_class(kind: &str, full: &str, is_json: bool) -> Option<Class> {
    Some(match kind {
        "tinyint" if full.starts_with("tinyint(1)") => Class::Boolean,
        "tinyint" | "smallint" | "mediumint" | "int" | "bigint" | "year" => Class::Integer,
        "bit" => Class::Bits,
        "decimal" => Class::Decimal,
        "double" => Class::Real,
        "float" => Class::Single,
        "json" => Class::Json,
        "longtext" if is_json => Class::Json,
        "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" => Class::Text,
        "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" => Class::Binary,
        "timestamp" => Class::Moment,
        "datetime" => Class::WallClock,
        "date" | "time" | "enum" | "set" | "uuid" | "inet4" | "inet6" => Class::Written,
        _ => return None,
    })
}

async fn sqlite(lease: &mut Lease<'_>, settings: &Settings) -> Result<Vec<Described>, Error> {
    let (schema, table) = split(settings);
    let mut statement = Statement::new(Dialect::Sqlite, SQLITE);
    statement.binds = vec![
        Cell::Text(table),
        Cell::Text(schema.unwrap_or_else(|| "main".to_owned())),
    ];
    let rows = lease.run(&statement, Stage::Open).await?.rows;
    Ok(rows
        .into_iter()
        .map(|row| {
            let [name, declared, generated, unique] = texts(row);
            let declared = declared.to_uppercase();
            let class = if declared.starts_with("JSON") {
                Class::Json
            } else {
                let boolean = declared.starts_with("BOOL");
                Class::Dynamic { boolean }
            };
            Described {
                unknown: None,
                column: Column {
                    name,
                    class,
                    cast: String::new(),
                    is_generated: generated == "1",
                    is_unique: unique == "1",
                },
            }
        })
        .collect())
}

/// Schema and table.
fn split(settings: &Settings) -> (Option<String>, String) {
    match settings.table.as_slice() {
        [schema, table] => (Some(schema.clone()), table.clone()),
        other => (None, other.concat()),
    }
}

fn texts<const COUNT: usize>(row: Vec<Cell>) -> [String; COUNT] {
    let mut texts = row.into_iter().map(|cell| match cell {
        Cell::Text(text) => text,
        Cell::Bytes(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Cell::Integer(number) => number.to_string(),
        _ => String::new(),
    });
    std::array::from_fn(|_| texts.next().unwrap_or_default())
}
