//! An engine of Rhai with everything taken away that a hook must not have.
use std::{collections::BTreeSet, sync::Arc};

use rhai::{
    Engine,
    packages::{
        ArithmeticPackage, BasicArrayPackage, BasicFnPackage, BasicIteratorPackage,
        BasicMapPackage, BasicMathPackage, BasicStringPackage, LanguageCorePackage, LogicPackage,
        MoreStringPackage, Package,
    },
};

use super::{Limits, bindings, definitions, limits, session::Session};
use crate::clock::SharedClock;

/// Words of the language that hooks must not use. `eval` runs text that nobody has checked,
/// `import` and `export` reach for other files, `curry` and `this` build values where nothing
/// measures them.
pub(super) const FORBIDDEN: [&str; 5] = ["eval", "import", "export", "curry", "this"];

/// An engine and the session that its functions write to. Used by one run at a time.
#[derive(Debug)]
pub(super) struct Sandbox {
    pub(super) engine: Engine,
    pub(super) session: Arc<Session>,
    /// The limit on operations.
    pub(super) operations: u64,
}

impl Sandbox {
    pub(super) fn new(limits: &Limits, clock: &SharedClock) -> Self {
        let session = Arc::new(Session::new());
        let mut engine = Engine::new_raw();
        add_language(&mut engine);
        set_limits(&mut engine, limits);
        watch(&mut engine, &session, limits);
        bindings::register(&mut engine, &session, clock, limits);
        Self {
            engine,
            session,
            operations: limits.operations,
        }
    }

    /// The names of all functions.
    pub(super) fn functions(&self) -> BTreeSet<String> {
        definitions::names(&self.engine).collect()
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
        .set_max_string_size(limits.string_bytes)
        .set_max_array_size(limits.collection_members)
        .set_max_map_size(limits.collection_members)
        .set_max_call_levels(limits.call_depth)
        .set_max_expr_depths(limits::EXPRESSION_DEPTH, limits::FUNCTION_EXPRESSION_DEPTH)
        .set_max_variables(limits::VARIABLES)
        .set_max_functions(limits::FUNCTIONS)
        .set_max_modules(0);
}

fn watch(engine: &mut Engine, session: &Arc<Session>, limits: &Limits) {
    let at_work = Arc::clone(session);
    let most = limits.operations;
    engine.on_progress(move |_| at_work.count(most).map(Into::into));
    let shown = Arc::clone(session);
    #[expect(deprecated, reason = "volatile, not deprecated, as its note says")]
    engine.on_var(move |name, _, context| {
        shown.weigh(context.call_level(), context.scope())?;
        let inside = context.call_level() > 0 && !context.scope().contains(name);
        Ok(inside.then(|| shown.visible(name)).flatten())
    });
    let printed = Arc::clone(session);
    engine.on_print(move |text| printed.log("info", text));
    let debugged = Arc::clone(session);
    engine.on_debug(move |text, _, _| debugged.log("debug", text));
}
