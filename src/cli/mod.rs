//! The command line: verbs, output, exit codes.
mod arguments;
mod audit;
mod cases;
mod chain;
mod change;
mod check;
mod connectors;
mod demo;
mod events;
mod hooks;
mod init;
mod integrations;
mod local;
mod migrate;
mod ops;
mod output;
mod recon;
mod record;
mod remote;
mod serve;
mod service;
mod table;
mod token;

use std::{ffi::OsString, process::ExitCode};

use clap::{CommandFactory, Parser};
use serde_json::json;

use arguments::{Arguments, Connectors, Globals, Verb};
use hooks::Hooks;
use local::Local;
use output::{Exit, Failure, Form, Output, Result};
use remote::Remote;
use service::Service;

/// Runs the program with its arguments (the first is its own name) and gives its exit code.
pub async fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let parsed = match Arguments::try_parse_from(&arguments) {
        Ok(parsed) => parsed,
        Err(error) => return usage(&error, &arguments),
    };
    let form = if parsed.globals.json {
        Form::Json
    } else {
        Form::Text
    };
    let mut output = Output::stdout(form);
    let ended = match verb(&parsed, &mut output).await {
        Ok(exit) => output.flush().map(|()| exit),
        Err(failure) => Err(failure),
    };
    let exit = ended.unwrap_or_else(|failure| {
        if let Some(report) = failure.report(form, output::colours(&std::io::stderr())) {
            say(&report);
        }
        failure.exit()
    });
    ExitCode::from(exit as u8)
}

async fn verb(arguments: &Arguments, output: &mut Output) -> Result {
    let globals = &arguments.globals;
    match &arguments.verb {
        Verb::Serve => serve::run(&globals.dir).await,
        Verb::Demo(verb) => demo::run(verb, output).await,
        Verb::Init(verb) => init::run(verb.folder.as_ref().unwrap_or(&globals.dir), output).await,
        Verb::Check => check::run(&globals.dir, output),
        Verb::Plan(verb) => {
            let ask = change::ask(&verb.what, None)?;
            asking(globals, async |service| {
                change::plan(service, &ask, output).await
            })
            .await
        }
        Verb::Change(verb) => {
            let ask = change::ask(&verb.what, verb.if_match.as_deref())?;
            asking(globals, async |service| {
                change::change(service, &ask, output).await
            })
            .await
        }
        Verb::Ops(verb) => {
            asking(globals, async |service| {
                ops::run(service, verb, output).await
            })
            .await
        }
        Verb::Events(verb) => {
            asking(globals, async |service| {
                events::run(service, verb, output).await
            })
            .await
        }
        Verb::Recon(verb) => {
            asking(globals, async |service| {
                recon::run(service, verb, output).await
            })
            .await
        }
        Verb::Replay(verb) => {
            asking(globals, async |service| {
                events::replay(service, verb, output).await
            })
            .await
        }
        Verb::Integrations(verb) => {
            asking(globals, async |service| {
                integrations::run(service, verb, output).await
            })
            .await
        }
        Verb::Deliveries(verb) => {
            asking(globals, async |service| {
                integrations::deliveries(service, verb, output).await
            })
            .await
        }
        Verb::Audit(arguments::Audit::Keygen { file, after }) => {
            chain::keygen(file, after.as_deref(), output)
        }
        Verb::Audit(verb) => {
            asking(globals, async |service| {
                audit::run(service, verb, output).await
            })
            .await
        }
        Verb::Hooks(verb) => hook_verb(globals, verb, output).await,
        Verb::Connectors(Connectors::Test { names }) => {
            asking(globals, async |service| {
                connectors::test(service, names, output).await
            })
            .await
        }
        Verb::Token(verb) => {
            asking(globals, async |service| {
                token::run(service, verb, output).await
            })
            .await
        }
        Verb::Migrate(verb) => {
            here_only(globals, "recant migrate")?;
            migrate::run(&globals.dir, *verb, output).await
        }
        Verb::Completions { shell } => completions(*shell, output),
    }
}

async fn hook_verb(globals: &Globals, verb: &Hooks, output: &mut Output) -> Result {
    let folder = &globals.dir;
    match verb {
        Hooks::Check { files } => hooks::check(folder, files, output),
        Hooks::Test { files, case } => cases::test(folder, files, case.as_deref(), output).await,
        Hooks::Run { file, data, trace } => {
            let script = hooks::script(folder, file, data)?;
            let shown = if *trace {
                hooks::Shown::Everything
            } else {
                hooks::Shown::Value
            };
            asking(globals, async |service| {
                hooks::run(service, &script, shown, output).await
            })
            .await
        }
        Hooks::Backtest {
            file,
            against,
            name,
            hook,
        } => {
            let asked = cases::changed(folder, file, name.as_deref())?;
            let asked = cases::Backtest {
                against: *against,
                hook: hook.as_deref(),
                ..asked
            };
            asking(globals, async |service| {
                cases::backtest(service, &asked, output).await
            })
            .await
        }
        Hooks::Runs {
            script,
            hook,
            operation,
            limit,
        } => {
            let wanted = [("script", script), ("hook", hook), ("operation", operation)];
            asking(globals, async |service| {
                cases::runs(service, &wanted, *limit, output).await
            })
            .await
        }
        Hooks::Record {
            operation,
            hook,
            name,
            print,
        } => {
            let wanted = serde_json::json!({"operation": operation, "hook": hook});
            asking(globals, async |service| {
                let recorded = cases::recorded(service, &wanted, name.as_deref()).await?;
                if *print {
                    cases::print(&recorded, output)
                } else {
                    cases::write(folder, &recorded, output)
                }
            })
            .await
        }
        Hooks::Definitions { folder } => hooks::definitions(folder, output),
        Hooks::Docs { format, search } => hooks::docs(*format, search.as_deref(), output),
    }
}

/// Does what a running server answers as well as the folder's store.
async fn asking(globals: &Globals, ask: impl AsyncFnOnce(&dyn Service) -> Result) -> Result {
    let service = service(globals).await?;
    let ended = ask(service.as_ref()).await;
    service.close().await;
    ended
}

async fn service(globals: &Globals) -> Result<Box<dyn Service>> {
    Ok(match &globals.url {
        Some(url) => Box::new(Remote::new(url.clone(), globals.token.clone())?),
        None => Box::new(Local::open(&globals.dir).await?),
    })
}

/// Refuses what would touch this folder although a server is named.
fn here_only(globals: &Globals, verb: &str) -> Result<()> {
    match &globals.url {
        Some(url) => Err(Failure::Usage(format!(
            "`{verb}` works on the folder's own store, not on {url}: leave out --url (RECANT_URL)"
        ))),
        None => Ok(()),
    }
}

fn completions(shell: clap_complete::Shell, output: &mut Output) -> Result {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "recant", &mut script);
    output.line(String::from_utf8_lossy(&script).trim_end())?;
    Ok(Exit::Done)
}

/// A wrong command line, or one that asks for help.
fn usage(error: &clap::Error, arguments: &[OsString]) -> ExitCode {
    let json = arguments.iter().any(|argument| argument == "--json");
    if error.use_stderr() && json {
        say(&format!("{:#}", json!({"message": error.to_string()})));
    } else {
        // A closed pipe is no reason to complain.
        let _ = error.print();
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(Exit::Usage as u8))
}

/// Writes a line to the standard error, if anybody listens.
fn say(line: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "{line}");
}
