//! Values on their way into a script and back: they come back as they were, or are refused.
use recant::{
    hooks::{Limits, Runtime, Variable},
    model::{Object, object::same},
};
use serde_json::Value;

/// Hands `data`, read as JSON, to a script that returns it.
pub fn check(data: &[u8]) {
    if let Ok(value) = serde_json::from_slice::<Value>(data) {
        check_value(&value);
    }
}

/// Hands a value to a script that returns it, as a constant and as a variable that it may change.
pub fn check_value(value: &Value) {
    let runtime = Runtime::new(Limits::default());
    let script = runtime
        .compile("check", "value", Object::new())
        .expect("compiles");
    let workers = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    for variable in [
        Variable::Constant(value.clone()),
        Variable::Mutable(vec!["value"], value.clone()),
    ] {
        let run = workers.block_on(runtime.run(&script, vec![("value", variable)], None));
        match run.result {
            Ok(back) => assert!(same(&back, value), "{value} came back as {back}"),
            Err(failure) => {
                let text = failure.to_string();
                assert!(!text.contains("crashed"), "{value}: {text}");
            }
        }
    }
}
