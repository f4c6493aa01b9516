//! Real database servers for tests; `tests/run` starts them and says where they are.
use std::io::Write as _;

use sqlx::{AssertSqlSafe, Connection, Executor, MySqlConnection, PgConnection};

/// A PostgreSQL server whose user may create databases; none where it is left out.
///
/// # Panics
/// Where `RECANT_TEST_REQUIRE=1` and there is none.
pub fn postgres_url() -> Option<String> {
    server("RECANT_TEST_POSTGRES_URL", "PostgreSQL")
}

/// A MariaDB server whose user may create databases; none where it is left out.
///
/// # Panics
/// Where `RECANT_TEST_REQUIRE=1` and there is none.
pub fn mariadb_url() -> Option<String> {
    server("RECANT_TEST_MARIADB_URL", "MariaDB")
}

/// The program of an LDAP server (OpenLDAP's slapd), which a test starts for itself; none where it
/// is left out.
///
/// # Panics
/// Where `RECANT_TEST_REQUIRE=1` and there is none.
pub fn slapd_program() -> Option<String> {
    server("RECANT_TEST_SLAPD", "slapd")
}

/// The program of a SCIM server, which a test starts for itself; none where it is left out.
///
/// # Panics
/// Where `RECANT_TEST_REQUIRE=1` and there is none.
pub fn scim_server() -> Option<String> {
    server("RECANT_TEST_SCIM_SERVER", "SCIM server")
}

/// The program of the REST service Kinto, which a test starts for itself; none where it is left out.
///
/// # Panics
/// Where `RECANT_TEST_REQUIRE=1` and there is none.
pub fn kinto() -> Option<String> {
    server("RECANT_TEST_KINTO", "Kinto")
}

/// The program schemathesis, which tries an API against its description; none where it is left out.
///
/// # Panics
/// Where `RECANT_TEST_REQUIRE=1` and there is none.
pub fn schemathesis() -> Option<String> {
    server("RECANT_TEST_SCHEMATHESIS", "schemathesis")
}

/// The folder with the programs that check SCIM services (`scim2`, `scim-sanity`); none where they
/// are left out.
///
/// # Panics
/// Where `RECANT_TEST_REQUIRE=1` and there is none.
pub fn scim_checkers() -> Option<String> {
    server("RECANT_TEST_SCIM_CHECKERS", "SCIM checkers")
}

/// The program of a browser, which a test starts for itself; none where it is left out.
///
/// # Panics
/// Where `RECANT_TEST_REQUIRE=1` and there is none.
pub fn chromium() -> Option<String> {
    server("RECANT_TEST_CHROMIUM", "Chromium")
}

/// The script of axe, which looks for what shuts people out of pages; none where it is left out.
///
/// # Panics
/// Where `RECANT_TEST_REQUIRE=1` and there is none.
pub fn axe() -> Option<String> {
    server("RECANT_TEST_AXE", "axe")
}

/// The URL of a new and empty database on the server at `url`.
///
/// # Panics
/// Where the server cannot be reached, or refuses.
pub async fn fresh_database(url: &str) -> String {
    #[expect(clippy::disallowed_methods, reason = "a name that nobody else has")]
    let name = format!("test_{}", uuid::Uuid::now_v7().simple());
    let statement = AssertSqlSafe(format!("create database {name}"));
    if url.starts_with("postgres") {
        let mut connection = PgConnection::connect(url).await.expect("PostgreSQL");
        connection.execute(statement).await.expect(&name);
        connection.close().await.expect("PostgreSQL");
    } else {
        let mut connection = MySqlConnection::connect(url).await.expect("MariaDB");
        connection.execute(statement).await.expect(&name);
        connection.close().await.expect("MariaDB");
    }
    let mut url = url::Url::parse(url).expect(url);
    url.set_path(&name);
    url.into()
}

fn server(variable: &str, name: &str) -> Option<String> {
    let url = std::env::var(variable).ok().filter(|url| !url.is_empty());
    if url.is_none() {
        let test = std::thread::current();
        let test = test.name().unwrap_or("a test");
        assert_ne!(
            std::env::var("RECANT_TEST_REQUIRE").as_deref(),
            Ok("1"),
            "{test} needs {name}, and {variable} does not say where it is"
        );
        // Not by `eprintln!`, which a passing test keeps to itself.
        let _ = writeln!(
            std::io::stderr(),
            "LEFT OUT: {test}: no {name} ({variable} is not set; `tests/run` starts one)"
        );
    }
    url
}

#[tokio::test]
async fn every_database_is_new_and_empty() {
    for url in [postgres_url(), mariadb_url()].into_iter().flatten() {
        let (one, other) = (fresh_database(&url).await, fresh_database(&url).await);
        assert_ne!(one, other);
        for url in [one, other] {
            assert_eq!(tables(&url).await, 0, "{url}");
        }
    }
}

async fn tables(url: &str) -> i64 {
    let count = "select count(*) from information_schema.tables where table_schema = ";
    if url.starts_with("postgres") {
        let mut connection = PgConnection::connect(url).await.expect(url);
        let query = AssertSqlSafe(format!("{count}'public'"));
        sqlx::query_scalar(query).fetch_one(&mut connection).await
    } else {
        let mut connection = MySqlConnection::connect(url).await.expect(url);
        let query = AssertSqlSafe(format!("{count}database()"));
        sqlx::query_scalar(query).fetch_one(&mut connection).await
    }
    .expect(url)
}
