//! Compiling and trying scripts for admins; nothing that a script asks for is carried out.
use serde_json::{Value, json};

use crate::{
    hooks::{Failure, Script, Variable},
    model::{Object, Roles},
    sync::Refusal,
};

use super::{App, Error};

/// The name of a script that stands in a request.
const INLINE: &str = "script";

impl App {
    /// Compiles a script: `{type, source | file}`.
    ///
    /// # Errors
    /// 400 with `detail {line, column}` where it is wrong; 404 for an unknown file.
    pub fn compile_script(&self, script: &Value) -> Result<(), Error> {
        self.script(script).map(|_| ())
    }

    /// Runs a script `{type, source | file, globals}` and gives its value; changes nothing. Names
    /// in `globals` are its variables.
    ///
    /// # Errors
    /// A thrown code from 400 to 499, else 500; 400 for a script that does not compile.
    pub async fn eval_script(&self, script: &Value) -> Result<Value, Error> {
        self.eval_script_for(Roles::ALL, script).await
    }

    /// As [`App::eval_script`], for somebody who may not see everything: their script reads no more
    /// than they do.
    ///
    /// # Errors
    /// As [`App::eval_script`].
    pub async fn eval_script_for(&self, roles: Roles, script: &Value) -> Result<Value, Error> {
        let compiled = self.script(script)?;
        let setup = self.setup_behind(&self.veil(roles));
        let runtime = self.engine().setup().scripts.clone();
        let variables: Vec<(&'static str, Variable)> = Vec::new();
        let run = runtime
            .run(&compiled, variables, Some(self.engine().reader_of(setup)))
            .await;
        run.result.map_err(|failure| failed(&failure))
    }

    /// Runs a script as [`App::eval_script`] does, and tells everything of the run: `{verdict, result,
    /// throws, error, asks, log, operations, durationMicros}`. A script that fails is no error here.
    ///
    /// # Errors
    /// 400 for a script that does not compile.
    pub async fn trace_script(&self, script: &Value) -> Result<Value, Error> {
        let compiled = self.script(script)?;
        let runtime = self.engine().setup().scripts.clone();
        let run = runtime
            .run(&compiled, Vec::new(), Some(self.engine().reader()))
            .await;
        let mut told = json!(run.ended());
        if let Some(members) = told.as_object_mut() {
            members.insert("operations".into(), json!(run.operations));
            let micros = u64::try_from(run.duration.as_micros()).unwrap_or(u64::MAX);
            members.insert("durationMicros".into(), json!(micros));
        }
        Ok(told)
    }

    fn script(&self, script: &Value) -> Result<Script, Error> {
        let text_of = |key: &str| script.get(key).and_then(Value::as_str);
        match text_of("type") {
            Some("text/rhai") => {}
            Some(other) => {
                let message = format!("/type: expected \"text/rhai\", found \"{other}\"");
                return Err(Error::new(400, message));
            }
            None => return Err(Error::new(400, "/type: expected \"text/rhai\"")),
        }
        let globals = match script.get("globals") {
            None | Some(Value::Null) => Object::new(),
            Some(Value::Object(globals)) => globals.clone(),
            Some(_) => return Err(Error::new(400, "/globals: expected an object")),
        };
        let setup = self.engine().setup();
        match (text_of("source"), text_of("file")) {
            (Some(source), None) => setup
                .scripts
                .compile(INLINE, source, globals)
                .map_err(|error| not_compiled(&error)),
            (None, Some(file)) => {
                let configuration = self.configuration();
                let known = configuration
                    .scripts
                    .get(file)
                    .ok_or_else(|| Error::missing(format!("script {file}")))?;
                setup
                    .scripts
                    .compile(file, &known.text, globals)
                    .map_err(|error| not_compiled(&error))
            }
            _ => Err(Error::new(400, "expected either /source or /file")),
        }
    }
}

pub(super) fn not_compiled(error: &crate::hooks::CompileError) -> Error {
    let mut told = Error::new(400, error.to_string());
    told.detail = Some(json!({"line": error.line, "column": error.column}));
    told
}

fn failed(failure: &Failure) -> Error {
    let mut refusal = Refusal::of_hook(INLINE, failure, &Default::default());
    if let Failure::Thrown { message, .. } = failure {
        refusal.message.clone_from(message);
    }
    refusal.into()
}
