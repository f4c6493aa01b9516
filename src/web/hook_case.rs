//! A kept run of a script as a case: shown, and saved beside the script.
use askama::Template;
use axum::{extract::State, response::Response};

use super::{
    Pages, address,
    form::Fields,
    guard::{Visit, redirect},
    layout::{Layout, page as rendered},
    markup,
    trouble::{Result, Trouble},
};
use crate::app::CaseWanted;

/// How much of a case is shown.
const SHOWN: usize = 40_000;

#[derive(Template)]
#[template(path = "hook_case.html")]
struct Page {
    layout: Layout,
    script: String,
    home: String,
    operation: String,
    run: String,
    file: String,
    text: String,
    is_cut: bool,
    read_only: Option<String>,
}

/// Shows it.
pub(super) async fn page(State(pages): State<Pages>, visit: Visit) -> Result {
    check_sees_all(&visit)?;
    let wanted = wanted(visit.query())?;
    let home = home(&wanted.script);
    let back = |error: crate::app::Error| Trouble::from(error).back_to(&home);
    let script = pages.app.script_file(&wanted.script).await.map_err(back)?;
    let (file, text) = pages.app.case_of_run(&wanted).await.map_err(back)?;
    rendered(&Page {
        layout: Layout::new(&visit, format!("A run of {} as a case", wanted.script)),
        is_cut: text.chars().count() > SHOWN,
        text: markup::cut(&text, SHOWN),
        read_only: script.read_only,
        script: wanted.script,
        operation: wanted.operation,
        run: wanted.run,
        file,
        home,
    })
}

/// Saves it.
pub(super) async fn save(State(pages): State<Pages>, visit: Visit) -> Result<Response> {
    check_sees_all(&visit)?;
    let wanted = CaseWanted {
        name: visit.form().text("name"),
        ..wanted(visit.form())?
    };
    let home = home(&wanted.script);
    let saved = pages
        .app
        .save_case(wanted, visit.caller(), visit.transaction_id())
        .await;
    saved.map_err(|error| Trouble::from(error).back_to(&home))?;
    Ok(redirect(&format!("{home}&done=case-saved")))
}

/// Runs of scripts hold whole objects: they are for those only who see every attribute.
fn check_sees_all(visit: &Visit) -> Result<()> {
    if visit.veil().is_thin() {
        return Ok(());
    }
    let message = "Runs of scripts hold attributes that are not shown to your roles.";
    Err(Trouble::denied(403, message).back_to("/ui/hooks"))
}

fn wanted(fields: &Fields) -> Result<CaseWanted> {
    let text = |name: &str| {
        let text = fields.text(name);
        text.ok_or_else(|| Trouble::new(404, "There is no such run.").back_to("/ui/hooks"))
    };
    Ok(CaseWanted {
        script: text("file")?,
        operation: text("operation")?,
        run: text("run")?,
        name: None,
    })
}

fn home(script: &str) -> String {
    format!("/ui/hooks/edit?file={}", address::encoded(script))
}
