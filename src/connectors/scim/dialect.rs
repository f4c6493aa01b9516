//! In which points large services differ from the standard, each with a name.
use schemars::JsonSchema;
use serde::Deserialize;

/// A known service, or the standard.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// RFC 7644, as far as the service announces it.
    #[default]
    Standard,
    /// The SCIM service of AWS IAM Identity Center: groups only by PATCH, at most 100 members in a
    /// request, members never shown, filters only by equality, pages by cursor.
    Aws,
    /// The SCIM service of Microsoft Entra ID: no PUT, pages by cursor.
    Entra,
    /// GitHub Enterprise: no filters in the paths of a PATCH, filters only by equality.
    Github,
    /// A service made for what Okta sends: users by PUT, groups by PATCH without paths, filters only
    /// by equality.
    Okta,
    /// Salesforce: users are deactivated, not deleted; PATCH without paths; another address of the
    /// service's description.
    Salesforce,
    /// Slack: users are deactivated, not deleted; filters only by equality.
    Slack,
}

/// How a resource is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Way {
    /// By PATCH where the service announces it, otherwise by PUT.
    Announced,
    /// By PATCH (RFC 7644, section 3.5.2).
    Patch,
    /// By PUT of the whole resource (RFC 7644, section 3.5.1).
    Put,
}

/// Which filters the service understands. What it does not understand is sorted out by Recant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Filtering {
    /// All of RFC 7644, section 3.4.2.2, where the service announces filters.
    Announced,
    /// Only `eq`, joined by `and`.
    Equal,
    /// None.
    None,
}

/// How the service cuts lists into pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Paging {
    /// By cursor where the service announces it, otherwise by index.
    Announced,
    /// By `startIndex` and `count` (RFC 7644, section 3.4.2.4).
    Index,
    /// By `cursor` (RFC 9865).
    Cursor,
    /// Not at all.
    None,
}

/// Whether writes say which version they mean (RFC 7644, section 3.14).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Etags {
    /// Where the service announces it, or announces nothing and sends an `ETag`.
    Announced,
    /// Never.
    Never,
}

/// What becomes of a resource that is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Removal {
    /// It goes away.
    Delete,
    /// Its `active` becomes false. A resource that is not active counts as deleted, and is activated
    /// again when it is created; `active` itself cannot be mapped.
    Deactivate,
}

/// What an administrator says otherwise than the dialect. Each key is one deviation.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(deny_unknown_fields)]
pub struct RawDeviations {
    /// Whether the service is asked what it can do (`ServiceProviderConfig`, `ResourceTypes`,
    /// `Schemas`); otherwise only what is said here and in `objects` holds.
    discovery: Option<bool>,
    /// Where the description of the service is, below `baseUrl`.
    config_path: Option<String>,
    /// How a resource is changed.
    update: Option<Way>,
    /// How a resource with `members` is changed.
    group_update: Option<Way>,
    /// Whether each operation of a PATCH names its attribute in `path`; otherwise one operation
    /// without `path` sets them all, and only removals have one.
    patch_paths: Option<bool>,
    /// Whether a `path` may hold a filter, as in `members[value eq "x"]`.
    patch_filters: Option<bool>,
    /// Whether a truth value is sent as the text `True` or `False`.
    booleans_as_text: Option<bool>,
    /// How many members one request may add or remove.
    #[schemars(range(min = 1))]
    members_per_request: Option<usize>,
    /// Whether a group shows its members; where it does not, they cannot be mapped.
    members_shown: Option<bool>,
    /// Which filters the service understands.
    filter: Option<Filtering>,
    /// The attributes that a filter may ask for; any where this is left out.
    filter_attributes: Option<Vec<String>>,
    /// How the service pages.
    paging: Option<Paging>,
    /// How many resources a page may hold.
    #[schemars(range(min = 1))]
    page_size: Option<usize>,
    /// Whether writes say which version they mean.
    etags: Option<Etags>,
    /// What becomes of a user that is deleted.
    delete: Option<Removal>,
}

/// The points in which a service may differ, as they hold for this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deviations {
    /// Whether the service is asked what it can do.
    pub discovery: bool,
    /// Where the description of the service is, with a slash in front.
    pub config_path: String,
    /// How a resource is changed.
    pub update: Way,
    /// How a resource with `members` is changed.
    pub group_update: Way,
    /// Whether each operation of a PATCH names its attribute in `path`.
    pub patch_paths: bool,
    /// Whether a `path` may hold a filter.
    pub patch_filters: bool,
    /// Whether a truth value is sent as text.
    pub booleans_as_text: bool,
    /// How many members one request may add or remove.
    pub members_per_request: usize,
    /// Whether a group shows its members.
    pub members_shown: bool,
    /// Which filters the service understands.
    pub filter: Filtering,
    /// The attributes that a filter may ask for; none means any.
    pub filter_attributes: Option<Vec<String>>,
    /// How the service pages.
    pub paging: Paging,
    /// How many resources a page may hold.
    pub page_size: usize,
    /// Whether writes say which version they mean.
    pub etags: Etags,
    /// What becomes of a user that is deleted.
    pub delete: Removal,
}

impl Dialect {
    /// The points in which the service differs from the standard.
    #[must_use]
    pub fn profile(self) -> Deviations {
        let standard = Deviations::standard();
        let only = |names: &[&str]| Some(names.iter().map(|&name| name.to_owned()).collect());
        match self {
            Self::Standard => standard,
            Self::Aws => Deviations {
                group_update: Way::Patch,
                members_per_request: 100,
                members_shown: false,
                filter: Filtering::Equal,
                filter_attributes: only(&["id", "userName", "externalId", "displayName"]),
                paging: Paging::Cursor,
                ..standard
            },
            Self::Entra => Deviations {
                update: Way::Patch,
                group_update: Way::Patch,
                // What one request to the directory behind it takes.
                members_per_request: 20,
                paging: Paging::Cursor,
                ..standard
            },
            Self::Github => Deviations {
                group_update: Way::Patch,
                patch_filters: false,
                filter: Filtering::Equal,
                filter_attributes: only(&["id", "userName", "externalId", "displayName", "emails"]),
                ..standard
            },
            Self::Okta => Deviations {
                update: Way::Put,
                group_update: Way::Patch,
                patch_paths: false,
                filter: Filtering::Equal,
                paging: Paging::Index,
                ..standard
            },
            Self::Salesforce => Deviations {
                config_path: "/ServiceProviderConfigs".to_owned(),
                patch_paths: false,
                delete: Removal::Deactivate,
                ..standard
            },
            Self::Slack => Deviations {
                filter: Filtering::Equal,
                delete: Removal::Deactivate,
                ..standard
            },
        }
    }
}

impl Deviations {
    fn standard() -> Self {
        Self {
            discovery: true,
            config_path: "/ServiceProviderConfig".to_owned(),
            update: Way::Announced,
            group_update: Way::Announced,
            patch_paths: true,
            patch_filters: true,
            booleans_as_text: false,
            members_per_request: 1000,
            members_shown: true,
            filter: Filtering::Announced,
            filter_attributes: None,
            paging: Paging::Announced,
            page_size: 100,
            etags: Etags::Announced,
            delete: Removal::Delete,
        }
    }

    /// What the dialect says, where the administrator does not say otherwise.
    #[must_use]
    pub fn of(dialect: Dialect, raw: RawDeviations) -> Self {
        let known = dialect.profile();
        let path = raw.config_path.map(|path| slashed(&path));
        Self {
            discovery: raw.discovery.unwrap_or(known.discovery),
            config_path: path.unwrap_or(known.config_path),
            update: raw.update.unwrap_or(known.update),
            group_update: raw.group_update.unwrap_or(known.group_update),
            patch_paths: raw.patch_paths.unwrap_or(known.patch_paths),
            patch_filters: raw.patch_filters.unwrap_or(known.patch_filters),
            booleans_as_text: raw.booleans_as_text.unwrap_or(known.booleans_as_text),
            members_per_request: raw.members_per_request.unwrap_or(known.members_per_request),
            members_shown: raw.members_shown.unwrap_or(known.members_shown),
            filter: raw.filter.unwrap_or(known.filter),
            filter_attributes: raw.filter_attributes.or(known.filter_attributes),
            paging: raw.paging.unwrap_or(known.paging),
            page_size: raw.page_size.unwrap_or(known.page_size),
            etags: raw.etags.unwrap_or(known.etags),
            delete: raw.delete.unwrap_or(known.delete),
        }
    }
}

/// A path below the service's address: a slash in front, none at the end.
pub(super) fn slashed(path: &str) -> String {
    format!("/{}", path.trim_matches('/'))
}
