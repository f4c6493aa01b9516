//! Scripts: whatever their text, they end within their limits and nothing crashes.
use std::time::Duration;

use recant::{
    hooks::{Limits, Runtime, Variable},
    model::Object,
};
use serde_json::json;

/// Compiles `data` and runs it.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let runtime = Runtime::new(Limits {
        operations: 10_000,
        wall_time: Duration::from_millis(500),
        string_bytes: 4096,
        collection_members: 1000,
        call_depth: 16,
    });
    let script = match runtime.compile("check", text, Object::new()) {
        Ok(script) => script,
        Err(error) => {
            assert!(error.line > 0 && error.column > 0, "{text}: {error}");
            return;
        }
    };
    let workers = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let object = json!({"name": "Ann", "list": [1, 2.5, null], "inner": {"flag": true}});
    let variables = vec![
        ("source", Variable::Constant(object.clone())),
        (
            "object",
            Variable::Mutable(vec!["object", "newObject"], object),
        ),
    ];
    let run = workers.block_on(runtime.run(&script, variables, None));
    if let Err(failure) = run.result {
        assert!(
            !failure.to_string().contains("crashed"),
            "{text}: {failure}"
        );
    }
}
