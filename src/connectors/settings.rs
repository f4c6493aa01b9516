//! What `conf/connectors/NAME.json` says, read and checked with every problem gathered.
use std::{fmt, path::Path, time::Duration};

use jsonschema::error::ValidationErrorKind;
use schemars::{JsonSchema, generate::SchemaSettings};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{csv, custom, health, ldap, rest, scim, sql};

/// One target system as it is used. Equal settings need no reopening.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The connector's name, that of its file.
    pub name: String,
    /// What it talks to, and how.
    pub kind: Kind,
    /// How long one attempt may take (`timeoutMs`).
    pub timeout: Duration,
    /// How many attempts there are, the first one included (`retry.attempts`).
    pub attempts: u32,
    /// The pause before the second attempt (`retry.baseMs`).
    pub base: Duration,
    /// How its health is watched (`circuit`, `limits`).
    pub health: health::Settings,
}

/// The kinds of target systems.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// Tables of PostgreSQL, MariaDB/MySQL or SQLite.
    Sql(sql::Settings),
    /// A small CSV file.
    Csv(csv::Settings),
    /// A service that speaks JSON over HTTP.
    Rest(rest::Settings),
    /// An LDAP directory.
    Ldap(ldap::Settings),
    /// A service that speaks SCIM 2.0.
    Scim(scim::Settings),
    /// What the embedding program brings.
    Custom(custom::Settings),
}

/// Something wrong with a connector's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where, as a JSON pointer (RFC 6901); empty means the whole file.
    pub pointer: String,
    /// What would be right. It holds no value of the file that may be secret.
    pub message: String,
}

/// A credential. Its text never shows in `Debug` output.
#[derive(Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Secret(String);

/// What every connector's file may say.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
struct Common {
    /// How long one attempt may take, in milliseconds.
    #[serde(default = "default_timeout")]
    #[schemars(range(min = 1))]
    timeout_ms: u64,
    /// How often a failed call is tried again.
    #[serde(default)]
    retry: Retry,
    /// When the target counts as down.
    circuit: Option<health::RawCircuit>,
    /// How it may be called.
    limits: Option<health::RawLimits>,
}

impl Common {
    /// A target that the program brings itself is watched only where its file asks for it.
    fn health(&self, kind: &Kind) -> health::Settings {
        match (kind, &self.circuit, &self.limits) {
            (Kind::Custom(_), None, None) => health::Settings::OFF,
            (_, circuit, limits) => health::Settings::new(
                &circuit.clone().unwrap_or_default(),
                &limits.clone().unwrap_or_default(),
            ),
        }
    }
}

/// How often a failed call is tried again.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(deny_unknown_fields)]
struct Retry {
    /// How many attempts there are, the first one included.
    #[schemars(range(min = 1))]
    attempts: u32,
    /// The pause before the second attempt in milliseconds; it doubles each time.
    base_ms: u64,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: 3,
            base_ms: 50,
        }
    }
}

/// The words that `type` knows.
const TYPES: [&str; 6] = ["sql", "csv", "rest", "ldap", "scim", "custom"];

fn default_timeout() -> u64 {
    10_000
}

impl Settings {
    /// Reads a connector's file. `value` holds no `${…}` any more; paths in it are relative to
    /// `folder`, the project folder.
    ///
    /// # Errors
    /// Every problem that keeps it from being used.
    pub fn parse(name: &str, value: &Value, folder: &Path) -> Result<Self, Vec<Problem>> {
        let word = type_of(value)?;
        let problems = schema_problems(word, value, |kind| !is_unknown_key(kind));
        if !problems.is_empty() {
            return Err(problems);
        }
        let common: Common = read(value)?;
        let kind = match word {
            "sql" => sql::Settings::validate(read(value)?, folder).map(Kind::Sql),
            "csv" => csv::Settings::validate(read(value)?, folder).map(Kind::Csv),
            "rest" => rest::Settings::validate(read(value)?).map(Kind::Rest),
            "ldap" => ldap::Settings::validate(read(value)?, folder).map(Kind::Ldap),
            "scim" => scim::Settings::validate(read(value)?).map(Kind::Scim),
            _ => custom::Settings::validate(read(value)?).map(Kind::Custom),
        }?;
        Ok(Self {
            name: name.to_owned(),
            health: common.health(&kind),
            kind,
            timeout: Duration::from_millis(common.timeout_ms),
            attempts: common.retry.attempts,
            base: Duration::from_millis(common.retry.base_ms),
        })
    }

    /// A warning for each key that Recant does not know.
    #[must_use]
    pub fn warnings(value: &Value) -> Vec<Problem> {
        type_of(value).map_or_else(
            |_| Vec::new(),
            |word| schema_problems(word, value, is_unknown_key),
        )
    }

    /// The object classes that the connector serves.
    #[must_use]
    pub fn classes(&self) -> Vec<&str> {
        match &self.kind {
            Kind::Sql(settings) => settings.classes.keys().map(String::as_str).collect(),
            Kind::Csv(settings) => vec![settings.class.as_str()],
            Kind::Rest(settings) => settings.classes.keys().map(String::as_str).collect(),
            Kind::Ldap(settings) => settings.classes.keys().map(String::as_str).collect(),
            Kind::Scim(settings) => settings.classes.keys().map(String::as_str).collect(),
            Kind::Custom(settings) => settings.classes.iter().map(String::as_str).collect(),
        }
    }

    /// The word of `type`: `sql`, `csv`, `rest`, `ldap`, `scim` or `custom`.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match &self.kind {
            Kind::Sql(_) => "sql",
            Kind::Csv(_) => "csv",
            Kind::Rest(_) => "rest",
            Kind::Ldap(_) => "ldap",
            Kind::Scim(_) => "scim",
            Kind::Custom(_) => "custom",
        }
    }

    /// What is allowed, and should be known before it is used.
    #[must_use]
    pub fn cautions(&self) -> Vec<Problem> {
        match &self.kind {
            Kind::Ldap(settings) => settings.cautions(),
            _ => Vec::new(),
        }
    }

    /// Whether an attribute of an object class is written and never read.
    #[must_use]
    pub fn is_write_only(&self, class: &str, attribute: &str) -> bool {
        match &self.kind {
            Kind::Ldap(settings) => {
                let class = settings.classes.get(class);
                class.is_some_and(|class| class.is_write_only(attribute))
            }
            _ => false,
        }
    }

    /// Whether an object of the target can have an attribute of this name at all.
    #[must_use]
    pub fn can_name(&self, attribute: &str) -> bool {
        match &self.kind {
            Kind::Ldap(_) => super::ldap::is_attribute(attribute),
            _ => true,
        }
    }

    /// The JSON Schema (draft 2020-12) of a connector's file, for editors.
    #[must_use]
    pub fn json_schema() -> Value {
        let branches: Vec<Value> = TYPES
            .iter()
            .map(|word| {
                json!({
                    "if": {"properties": {"type": {"const": word}}, "required": ["type"]},
                    "then": schema(word),
                })
            })
            .collect();
        json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "Recant connector",
            "description": "A target system, addressed as system/NAME/CLASS.",
            "type": "object",
            "required": ["type"],
            "properties": {"type": {"enum": TYPES}},
            "allOf": branches,
        })
    }
}

impl Problem {
    /// A problem at a place.
    pub fn new(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            pointer: pointer.into(),
            message: message.into(),
        }
    }

    /// A problem of an object class' key.
    pub fn of_class(class: &str, key: &str, message: impl Into<String>) -> Self {
        Self::new(format!("/objects/{}/{key}", escape(class)), message)
    }
}

impl Secret {
    /// A credential with this text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for the one place that sends it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

/// Problems of object class names that no address could hold.
pub fn class_name_problems<'a>(names: impl Iterator<Item = &'a String>) -> Vec<Problem> {
    let mut any = false;
    let mut problems: Vec<Problem> = names
        .inspect(|_| any = true)
        .filter(|name| name.is_empty() || name.contains('/'))
        .map(|name| {
            Problem::new(
                format!("/objects/{}", escape(name)),
                "the name of an object class is not empty and holds no `/`",
            )
        })
        .collect();
    if !any {
        problems.push(Problem::new("/objects", "name at least one object class"));
    }
    problems
}

fn escape(token: &str) -> String {
    token.replace('~', "~0").replace('/', "~1")
}

fn type_of(value: &Value) -> Result<&'static str, Vec<Problem>> {
    let expected = "expected one of `sql`, `csv`, `rest`, `ldap`, `scim`";
    match value.get("type") {
        Some(found) => TYPES
            .into_iter()
            .find(|word| found == word)
            .ok_or_else(|| vec![Problem::new("/type", expected)]),
        None if value.is_object() => Err(vec![Problem::new(
            "",
            format!("`type` is missing: {expected}"),
        )]),
        None => Err(vec![Problem::new("", "expected an object")]),
    }
}

fn read<T: DeserializeOwned>(value: &Value) -> Result<T, Vec<Problem>> {
    T::deserialize(value).map_err(|error| vec![Problem::new("", error.to_string())])
}

/// The schema of one kind of file: what all share, and its own keys.
fn schema(word: &str) -> Value {
    let mut own = match word {
        "sql" => inline_schema::<sql::Raw>(),
        "csv" => inline_schema::<csv::Raw>(),
        "rest" => inline_schema::<rest::Raw>(),
        "ldap" => inline_schema::<ldap::Raw>(),
        "scim" => inline_schema::<scim::Raw>(),
        _ => inline_schema::<custom::Raw>(),
    };
    let mut common = inline_schema::<Common>();
    if let (Some(own), Some(common)) = (
        own.pointer_mut("/properties")
            .and_then(Value::as_object_mut),
        common
            .pointer_mut("/properties")
            .and_then(Value::as_object_mut),
    ) {
        own.insert("type".to_owned(), json!({"const": word}));
        own.append(common);
    }
    own
}

fn inline_schema<T: JsonSchema>() -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.inline_subschemas = true;
    settings.meta_schema = None;
    settings.into_generator().into_root_schema_for::<T>().into()
}

fn is_unknown_key(kind: &ValidationErrorKind) -> bool {
    matches!(kind, ValidationErrorKind::AdditionalProperties { .. })
}

/// What the schema says against `value`. Values are masked: they may be credentials.
fn schema_problems(
    word: &str,
    value: &Value,
    wanted: impl Fn(&ValidationErrorKind) -> bool,
) -> Vec<Problem> {
    let validator = match jsonschema::draft202012::new(&schema(word)) {
        Ok(validator) => validator,
        Err(error) => return vec![Problem::new("", error.to_string())],
    };
    let mut problems = Vec::new();
    for error in validator
        .iter_errors(value)
        .filter(|error| wanted(error.kind()))
    {
        let place = error.instance_path().to_string();
        match error.kind() {
            ValidationErrorKind::AdditionalProperties { unexpected } => {
                problems.extend(unexpected.iter().map(|key| {
                    Problem::new(
                        format!("{place}/{}", escape(key)),
                        format!("unknown key `{key}` is ignored"),
                    )
                }));
            }
            _ => problems.push(Problem::new(place, error.masked().to_string())),
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(value: &Value) -> Result<Settings, Vec<Problem>> {
        Settings::parse("crm", value, Path::new("/project"))
    }

    fn pointers(problems: &[Problem]) -> Vec<&str> {
        problems
            .iter()
            .map(|problem| problem.pointer.as_str())
            .collect()
    }

    #[test]
    fn every_problem_is_reported_at_its_place() {
        let problems = parse(&json!({
            "type": "rest", "timeoutMs": 0, "retry": {"attempts": "many"},
            "circuit": {"openMs": 0}, "limits": {"concurrent": 0, "perSecond": 0},
            "objects": {"account": {"path": "/a", "create": "shout"}},
        }))
        .unwrap_err();
        let mut places = pointers(&problems);
        places.sort_unstable();
        assert_eq!(
            places,
            [
                "",
                "/circuit/openMs",
                "/limits/concurrent",
                "/limits/perSecond",
                "/objects/account/create",
                "/retry/attempts",
                "/timeoutMs"
            ]
        );
    }

    #[test]
    fn unknown_keys_are_warnings_only() {
        let value = json!({
            "type": "csv", "file": "a.csv", "colour": 1, "retry": {"x": 1},
            "objects": {"badge": {"key": "id", "a/b": 1}},
        });
        let settings = parse(&value).unwrap();
        assert_eq!(settings.attempts, 3);
        assert_eq!(settings.timeout, Duration::from_secs(10));
        assert_eq!(settings.base, Duration::from_millis(50));
        let warnings = Settings::warnings(&value);
        let mut places = pointers(&warnings);
        places.sort_unstable();
        assert_eq!(places, ["/colour", "/objects/badge/a~1b", "/retry/x"]);
    }

    #[test]
    fn targets_are_watched_unless_the_file_says_no() {
        let mut value =
            json!({"type": "csv", "file": "a.csv", "objects": {"badge": {"key": "id"}}});
        let circuit = |value: &Value| parse(value).unwrap().health.circuit.map(|it| it.failures);
        assert_eq!(circuit(&value), Some(10));
        value["limits"] = json!({"perSecond": 0.5});
        value["circuit"] = json!({"failures": 0});
        assert_eq!(circuit(&value), None);
        let health = parse(&value).unwrap().health;
        assert_eq!(health.spacing, Duration::from_secs(2));
        let own = json!({"type": "custom", "objects": {"a": {}}});
        assert_eq!(parse(&own).unwrap().health, health::Settings::OFF);
    }

    #[test]
    fn an_unknown_type_is_an_error() {
        assert_eq!(
            pointers(&parse(&json!({"type": "fax"})).unwrap_err()),
            ["/type"]
        );
        assert_eq!(pointers(&parse(&json!({})).unwrap_err()), [""]);
        assert_eq!(pointers(&parse(&json!([])).unwrap_err()), [""]);
    }

    #[test]
    fn credentials_show_nowhere() {
        let rest = parse(&json!({
            "type": "rest", "baseUrl": "https://u.example/api",
            "auth": {"bearer": "hush"}, "headers": {"X-Key": "hush"},
            "objects": {"account": {"path": "/a"}},
        }))
        .unwrap();
        let sql = parse(&json!({
            "type": "sql", "url": "postgres://me:hush@db.example/hr",
            "objects": {"account": {"table": "a", "key": "id"}},
        }))
        .unwrap();
        assert!(!format!("{rest:?}{sql:?}").contains("hush"));
        let wrong = parse(
            &json!({"type": "rest", "baseUrl": "x", "auth": {"bearer": ["hush"]},
            "objects": {"account": {"path": "/a"}}}),
        );
        assert!(!format!("{wrong:?}").contains("hush"));
    }

    #[test]
    fn equal_files_make_equal_settings() {
        let value = json!({"type": "csv", "file": "a.csv", "objects": {"badge": {"key": "id"}}});
        assert_eq!(parse(&value), parse(&value));
        let other = json!({"type": "csv", "file": "b.csv", "objects": {"badge": {"key": "id"}}});
        assert_ne!(parse(&value), parse(&other));
    }

    #[test]
    fn the_schema_for_editors_is_valid() {
        let schema = Settings::json_schema();
        assert!(jsonschema::draft202012::meta::is_valid(&schema));
        let validator = jsonschema::draft202012::new(&schema).unwrap();
        assert!(validator.is_valid(
            &json!({"type": "csv", "file": "a.csv", "objects": {"badge": {"key": "id"}}})
        ));
        assert!(!validator.is_valid(&json!({"type": "csv", "objects": {}})));
    }
}
