//! Patches: none breaks, changes an id, or leaves something that cannot be read back.
use recant::model::{Object, patch::Patch};
use serde_json::Value;

type Parse = fn(&Value) -> Result<Patch, recant::model::patch::Error>;

/// Reads `data` as `[OBJECT, PATCH]` and applies the patch in each of its three readings.
pub fn check(data: &[u8]) {
    let Ok(pair) = serde_json::from_slice::<(Object, Value)>(data) else {
        return;
    };
    let (object, patch) = pair;
    let readings: [(_, Parse); 3] = [
        (Patch::parse_crest(&patch), Patch::parse_crest),
        (Patch::parse_json_patch(&patch), Patch::parse_json_patch),
        (Patch::parse_merge(patch), |value| {
            Patch::parse_merge(value.clone())
        }),
    ];
    for (patch, parse) in readings {
        let Ok(patch) = patch else { continue };
        assert_eq!(parse(&patch.to_value()).as_ref(), Ok(&patch));
        if let Ok(after) = patch.apply(&object) {
            assert_eq!(after.get("_id"), object.get("_id"));
            assert_eq!(after.get("_rev"), object.get("_rev"));
            let text = serde_json::to_string(&after).expect("it can be written");
            serde_json::from_str::<Value>(&text).expect("it can be read back");
        }
    }
}
