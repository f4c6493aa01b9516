//! An engine of Rhai with everything taken away that a hook must not have.
use std::sync::Arc;

use rhai::{
    Engine,
    packages::{
        ArithmeticPackage, BasicArrayPackage, BasicFnPackage, BasicIteratorPackage,
        BasicMapPackage, BasicMathPackage, BasicStringPackage, LanguageCorePackage, LogicPackage,
        MoreStringPackage, Package,
    },
};

use super::{Limits, bindings, failure::limit, limits, session::Session};
use crate::clock::SharedClock;

/// Operations between two looks at the clock.
const OPERATIONS_PER_LOOK: u64 = 32;

/// Words of the language that hooks must not use. `eval` runs text that nobody has checked,
/// `import` and `export` reach for other files, `curry` builds values past every size limit.
pub(super) const FORBIDDEN: [&str; 4] = ["eval", "import", "export", "curry"];

/// An engine and the session that its functions write to. Used by one run at a time.
#[derive(Debug)]
pub(super) struct Sandbox {
    pub(super) engine: Engine,
    pub(super) session: Arc<Session>,
}

impl Sandbox {
    pub(super) fn new(limits: &Limits, clock: &SharedClock) -> Self {
        let session = Arc::new(Session::new());
        let mut engine = Engine::new_raw();
        add_language(&mut engine);
        set_limits(&mut engine, limits);
        watch(&mut engine, &session);
        bindings::register(&mut engine, &session, clock, limits);
        Self { engine, session }
    }
}

/// The standard packages without files, clock, threads and bytes.
fn add_language(engine: &mut Engine) {
    LanguageCorePackage::new().register_into_engine(engine);
    ArithmeticPackage::new().register_into_engine(engine);
    LogicPackage::new().register_into_engine(engine);
    BasicMathPackage::new().register_into_engine(engine);
    BasicStringPackage::new().register_into_engine(engine);
    MoreStringPackage::new().register_into_engine(engine);
    BasicIteratorPackage::new().register_into_engine(engine);
    BasicFnPackage::new().register_into_engine(engine);
    BasicArrayPackage::new().register_into_engine(engine);
    BasicMapPackage::new().register_into_engine(engine);
    engine.set_strict_variables(true);
    for word in FORBIDDEN {
        engine.disable_symbol(word);
    }
}

/// Every limit by hand: those that Rhai starts with differ between builds.
fn set_limits(engine: &mut Engine, limits: &Limits) {
    engine
        .set_max_operations(limits.operations)
        .set_max_string_size(limits.string_bytes)
        .set_max_array_size(limits.collection_members)
        .set_max_map_size(limits.collection_members)
        .set_max_call_levels(limits.call_depth)
        .set_max_expr_depths(limits::EXPRESSION_DEPTH, limits::FUNCTION_EXPRESSION_DEPTH)
        .set_max_variables(limits::VARIABLES)
        .set_max_functions(limits::FUNCTIONS)
        .set_max_modules(0);
}

fn watch(engine: &mut Engine, session: &Arc<Session>) {
    let at_work = Arc::clone(session);
    engine.on_progress(move |operations| {
        at_work.count(operations);
        let overdue =
            operations.is_multiple_of(OPERATIONS_PER_LOOK) && at_work.remaining().is_zero();
        overdue.then(|| limit::WALL_TIME.into())
    });
    let shown = Arc::clone(session);
    #[expect(deprecated, reason = "volatile, not deprecated, as its note says")]
    engine.on_var(move |name, _, context| {
        let inside = context.call_level() > 0 && !context.scope().contains(name);
        Ok(inside.then(|| shown.visible(name)).flatten())
    });
    let printed = Arc::clone(session);
    engine.on_print(move |text| printed.log("info", text));
    let debugged = Arc::clone(session);
    engine.on_debug(move |text, _, _| debugged.log("debug", text));
}
