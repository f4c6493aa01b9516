//! What a service says about itself (RFC 7643, sections 5 to 7).
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::Value;

/// What a service announces; everything off where it says nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Announced {
    /// PATCH.
    #[serde(deserialize_with = "lenient")]
    pub patch: Feature,
    /// Filters.
    #[serde(deserialize_with = "lenient")]
    pub filter: Feature,
    /// Sorted lists.
    #[serde(deserialize_with = "lenient")]
    pub sort: Feature,
    /// Versions in `ETag`.
    #[serde(deserialize_with = "lenient")]
    pub etag: Feature,
    /// Pages (RFC 9865, section 4).
    #[serde(deserialize_with = "lenient")]
    pub pagination: Pagination,
}

/// One thing that a service can do or not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Feature {
    /// Whether it can.
    pub supported: bool,
    /// How many resources a filter gives at most.
    pub max_results: Option<usize>,
}

/// How a service pages.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Pagination {
    /// By cursor.
    pub cursor: bool,
    /// By index; every service that does not say otherwise does.
    pub index: Option<bool>,
    /// How many resources a page holds at most.
    pub max_page_size: Option<usize>,
}

/// A resource type.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ResourceType {
    /// Its name.
    pub name: String,
    /// Its address below the service's.
    pub endpoint: String,
    /// The URN of its schema.
    pub schema: String,
    /// Its extensions.
    #[serde(deserialize_with = "lenient")]
    pub schema_extensions: Vec<Extension>,
}

/// An extension of a resource type.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Extension {
    /// The URN of its schema.
    pub schema: String,
}

/// A schema.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Schema {
    /// Its URN.
    pub id: String,
    /// Its attributes.
    #[serde(deserialize_with = "lenient")]
    pub attributes: Vec<Attribute>,
}

/// An attribute, or an attribute of a complex one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Attribute {
    /// Its name.
    pub name: String,
    /// Its type: `string`, `boolean`, `complex` and so on.
    #[serde(rename = "type")]
    pub kind: String,
    /// Who may write it: `readOnly`, `readWrite`, `immutable`, `writeOnly`.
    pub mutability: String,
    /// How far its value is unique: `none`, `server`, `global`.
    pub uniqueness: String,
    /// Whether the case of its text counts; none where it does not tell.
    #[serde(deserialize_with = "lenient")]
    pub case_exact: Option<bool>,
    /// What it consists of.
    #[serde(deserialize_with = "lenient")]
    pub sub_attributes: Vec<Attribute>,
}

/// All that a service says about itself. What it does not tell is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Discovery {
    /// What it can do; none where it does not tell.
    pub announced: Option<Announced>,
    /// What it holds.
    pub types: Vec<ResourceType>,
    /// How that looks.
    pub schemas: Vec<Schema>,
}

/// The entries of a list, or of an array: services do both. What cannot be read is left out.
pub fn entries<T: DeserializeOwned>(body: &[u8]) -> Vec<T> {
    let items = match serde_json::from_slice(body) {
        Ok(Value::Array(items)) => items,
        Ok(Value::Object(mut list)) => match list.shift_remove("Resources") {
            Some(Value::Array(items)) => items,
            _ => Vec::new(),
        },
        _ => Vec::new(),
    };
    let read = |item| serde_json::from_value(item).ok();
    items.into_iter().filter_map(read).collect()
}

impl Attribute {
    /// Whether the service alone writes it.
    pub fn is_read_only(&self) -> bool {
        self.mutability.eq_ignore_ascii_case("readOnly")
    }
}

/// A value that is missing, null or of another shape says nothing.
fn lenient<'de, D: Deserializer<'de>, T: DeserializeOwned + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    let value = Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(value).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_service_leaves_out_or_garbles_is_off() {
        let text = r#"{"patch": {"supported": true}, "etag": null, "filter": "yes",
            "pagination": {"cursor": true}}"#;
        let announced: Announced = serde_json::from_str(text).unwrap();
        assert!(announced.patch.supported && announced.pagination.cursor);
        assert!(!announced.etag.supported && !announced.filter.supported);
    }

    #[test]
    fn lists_and_arrays_are_read_alike() {
        let types: Vec<ResourceType> =
            entries(br#"{"Resources": [{"name": "User", "endpoint": "/Users"}, 7]}"#);
        assert_eq!(types.len(), 1);
        let types: Vec<ResourceType> = entries(br#"[{"name": "User"}]"#);
        assert_eq!(types[0].name, "User");
        assert!(entries::<ResourceType>(b"<html>").is_empty());
    }
}
