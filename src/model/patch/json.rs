//! JSON Patch (RFC 6902), one operation at a time so that none grows the object without end.
use json_patch::PatchOperation;
use serde_json::Value;

use super::{Error, Growth, Object, check_depth};
use crate::model::object::same;

/// Reads one operation.
pub(super) fn parse(operation: &Value) -> Result<PatchOperation, String> {
    let name = operation.get("op").and_then(Value::as_str);
    let members: &[&str] = match name {
        Some("add" | "replace" | "test") => &["path", "value"],
        Some("remove") => &["path"],
        Some("move" | "copy") => &["from", "path"],
        Some(other) => {
            return Err(format!(
                "unknown operation `{other}`: expected add, remove, replace, move, copy or test"
            ));
        }
        None => return Err("expected an object with the operation's name in `op`".to_owned()),
    };
    if let Some(missing) = members
        .iter()
        .find(|member| operation.get(**member).is_none())
    {
        return Err(format!("`{missing}` is missing"));
    }
    serde_json::from_value(operation.clone())
        .map_err(|_| "`path` and `from` must be JSON pointers such as /name".to_owned())
}

/// Applies the operations in order.
pub(super) fn apply(patch: &json_patch::Patch, object: Object) -> Result<Object, Error> {
    let mut growth = Growth::default();
    let mut document = Value::Object(object);
    for (index, operation) in patch.iter().enumerate() {
        check(operation, &document, &mut growth).map_err(|message| Error::of(index, message))?;
        if matches!(operation, PatchOperation::Test(_)) {
            continue;
        }
        // The document is a copy, so there is nothing to take back where this fails.
        json_patch::patch_unsafe(&mut document, std::slice::from_ref(operation))
            .map_err(|error| Error::of(index, format!("`{}`: {}", operation.path(), error.kind)))?;
    }
    match document {
        Value::Object(object) => Ok(object),
        _ => Err(Error::Whole(
            "the result of the patch must be a JSON object".to_owned(),
        )),
    }
}

fn check(operation: &PatchOperation, document: &Value, growth: &mut Growth) -> Result<(), String> {
    let at = |place: &json_patch::jsonptr::Pointer| document.pointer(place.as_str());
    let above = operation.path().count();
    match operation {
        PatchOperation::Add(add) => check_depth(above, &add.value),
        PatchOperation::Replace(replace) => check_depth(above, &replace.value),
        PatchOperation::Copy(copy) => at(&copy.from).map_or(Ok(()), |value| {
            growth.copy(value)?;
            check_depth(above, value)
        }),
        PatchOperation::Move(moved) => {
            at(&moved.from).map_or(Ok(()), |value| check_depth(above, value))
        }
        PatchOperation::Test(test) => match at(&test.path) {
            Some(found) if same(found, &test.value) => Ok(()),
            _ => Err(format!("`{}`: the test does not hold", test.path)),
        },
        PatchOperation::Remove(_) => Ok(()),
    }
}
