//! The variables that a script sees.
use serde_json::Value;

/// A variable that a script sees.
#[derive(Debug, Clone, PartialEq)]
pub enum Variable {
    /// It can be read.
    Constant(Value),
    /// It can be changed in place or assigned anew, and comes back in [`super::Run::variables`].
    /// Several names may stand for the same value (`object` and `newObject`): what is done under
    /// one name is seen under all.
    Mutable(Vec<&'static str>, Value),
}

/// What a script sees: names in order with their values (the name of a mutable one is its first).
pub type Variables = Vec<(&'static str, Variable)>;

/// The name, if some hook provides it.
pub(super) fn known(name: &str) -> Option<&'static str> {
    names().find(|known| *known == name)
}

/// What stands on the page of a name that scripts of other systems use and that no hook sets here.
const NOT_SET: &str = "Known from scripts of other systems; no hook of Recant sets it.";

/// Every name that a script may mention beside its globals and its own, with its page: any other
/// name is reported when the script is compiled.
const PAGES: [(&str, &str); 53] = [
    (
        "action",
        "`postAction` of a policy: the action that was carried out, such as `UPDATE`.",
    ),
    ("actionParam", NOT_SET),
    ("candidates", NOT_SET),
    (
        "compensating",
        "`onSync`: true when the hook is asked a second time, because taking the change \
         back failed too.",
    ),
    ("config", NOT_SET),
    (
        "context",
        "Who asks: `caller`, and in the hooks of a change `transactionId`, `operation`, \
         `root` and `depth`.",
    ),
    ("event", NOT_SET),
    ("existing", NOT_SET),
    (
        "global",
        "`result` of a mapping: what the reconciliation counted as a whole.",
    ),
    ("linkId", NOT_SET),
    (
        "linkQualifier",
        "Scripts of a mapping: the link qualifier that the row is about, `default` if \
         there is but one.",
    ),
    ("linkQualifiers", NOT_SET),
    ("mapping", "`linkQualifiers`: the name of the mapping."),
    (
        "mappingConfig",
        "Scripts of a mapping: its `name`, `source` and `target`.",
    ),
    ("mappingName", NOT_SET),
    (
        "newObject",
        "Hooks of a type: the object as it is to be; `()` in a delete. In `onCreate`, \
         `onUpdate` and `onStore` it is the same changeable value as `object`.",
    ),
    ("newTarget", NOT_SET),
    ("newValue", NOT_SET),
    (
        "object",
        "Hooks of a type: the object, which `onCreate`, `onUpdate`, `onStore`, `onRead` \
         and `onRetrieve` may change; in `onSync` it is `()`. Conditions and \
         `linkQualifiers` of a mapping: the source object. Shapes of a connector: the \
         value that is shaped.",
    ),
    (
        "oldObject",
        "Hooks of a type: the object as it was; `()` in a create.",
    ),
    (
        "oldSource",
        "Scripts of a mapping: the source object as it was; `()` in a create.",
    ),
    (
        "oldTarget",
        "Hooks and conditions of a mapping: the target object as it was; `()` where there \
         is none.",
    ),
    ("oldValue", "`linkQualifiers`: the source object as it was."),
    (
        "operation",
        "Shapes of a connector: what the value is shaped for, such as `create`.",
    ),
    ("outcome", NOT_SET),
    ("params", NOT_SET),
    ("previous", NOT_SET),
    ("property", NOT_SET),
    ("propertyName", NOT_SET),
    (
        "recon",
        "Actions of a policy: `reconId`, the reconciliation's id, or `()` in a change.",
    ),
    (
        "reconId",
        "`postAction` and `result` of a mapping: the reconciliation's id, or `()` in a \
         change.",
    ),
    ("report", NOT_SET),
    (
        "request",
        "Hooks of a type: what was asked: `method`, `resourcePath`, `content`, \
         `additionalParameters`, `revision`. Maps of a webhook: the request as it came.",
    ),
    ("resourceContainer", NOT_SET),
    ("resourceId", NOT_SET),
    (
        "resourceName",
        "Hooks of a type: the object's full name as a text, such as `managed/user/ann`.",
    ),
    ("resourcePath", NOT_SET),
    ("result", NOT_SET),
    (
        "returnAll",
        "`linkQualifiers`: true where there is no source object and every qualifier is \
         wanted.",
    ),
    (
        "situation",
        "Hooks and policies of a mapping: how source and target stand to each other, such \
         as `CONFIRMED`.",
    ),
    (
        "source",
        "Scripts of a mapping: the source object, or in a transform the value of the \
         property's `source`. `result`: what was counted on that side.",
    ),
    (
        "sourceAction",
        "Policies of a mapping: whether the row came from a source object, not from a \
         target.",
    ),
    ("sourceId", "Scripts of a mapping: the source object's id."),
    ("sourceObject", NOT_SET),
    ("statistics", NOT_SET),
    ("subscription", NOT_SET),
    ("syncDetails", NOT_SET),
    (
        "syncResults",
        "`onSync`: what became of the change: `success`, `action`, `preflight`, and \
         `syncDetails`, a row for each mapping with `mapping`, `targetObjectSet`, \
         `sourceId`, `targetId`, `situation`, `action`, `result`, `oldTargetValue`, \
         `newTargetValue` and `cause`.",
    ),
    (
        "target",
        "Hooks of a mapping: the target object, which `onCreate` and `onUpdate` may \
         change. Conditions, policies and `validTarget`: the target object as it is. \
         `result`: what was counted on that side.",
    ),
    (
        "targetId",
        "Hooks of a mapping: the target object's id; `()` where it is not known.",
    ),
    ("targetObject", NOT_SET),
    ("trigger", NOT_SET),
    ("value", NOT_SET),
];

/// A variable that some hook sets, or that scripts of other systems know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Page {
    /// Its name.
    pub name: &'static str,
    /// Where it is set, and to what.
    pub doc: &'static str,
}

/// Every name that scripts may mention.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    PAGES.into_iter().map(|(name, _)| name)
}

/// The pages of the variables that some hook sets.
pub(super) fn pages() -> impl Iterator<Item = Page> {
    let set = PAGES.into_iter().filter(|(_, doc)| *doc != NOT_SET);
    set.map(|(name, doc)| Page { name, doc })
}
