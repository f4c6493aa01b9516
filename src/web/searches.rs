//! Searches that people keep: named links to a page with its filter, each caller's own.
use axum::extract::{Path, State};
use axum::response::Response;

use super::{
    Pages, address,
    guard::{Visit, redirect},
    trouble::{Result, Trouble},
};
use crate::app::App;

/// The pages whose searches can be kept: word and address.
const KEPT: [(&str, &str); 2] = [("changes", "/ui/changes"), ("audit", "/ui/audit")];

/// What a page shows of kept searches.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub(super) page: &'static str,
    pub(super) links: Vec<Link>,
    /// The filter that is looked at now, to be kept; empty: there is none.
    pub(super) current: String,
}

/// One kept search.
#[derive(Debug, Clone)]
pub(super) struct Link {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) address: String,
    pub(super) is_here: bool,
}

/// Fields that belong to no filter.
pub(super) const NO_FILTER: [&str; 2] = ["before", "done"];

/// The searches that a visitor keeps for a page.
pub(super) async fn kept(app: &App, visit: &Visit, page: &'static str) -> Result<Kept> {
    let current = visit.query().query_without(&NO_FILTER);
    let found = app.searches(visit.caller(), page).await?;
    let home = home(page);
    let links = found.into_iter().map(|one| Link {
        is_here: one.query == current,
        address: address::with_query(home, &one.query),
        id: one.id,
        name: one.name,
    });
    Ok(Kept {
        page,
        links: links.collect(),
        current,
    })
}

/// Keeps a search.
pub(super) async fn keep(State(pages): State<Pages>, visit: Visit) -> Result<Response> {
    let form = visit.form();
    let page = form.get("page").unwrap_or_default();
    let known = KEPT.iter().find(|(word, _)| *word == page);
    let (word, home) = known.ok_or_else(|| Trouble::new(400, "There is no such page."))?;
    let query = super::form::Fields::parse(form.get("query").unwrap_or_default());
    let query = query.query_without(&NO_FILTER);
    let name = form.get("name").unwrap_or_default();
    let kept = pages
        .app
        .keep_search(visit.caller(), word, name, &query)
        .await;
    kept.map_err(|error| Trouble::from(error).back_to(address::with_query(home, &query)))?;
    let query = format!(
        "{query}{}done=kept",
        if query.is_empty() { "" } else { "&" }
    );
    Ok(redirect(&address::with_query(home, &query)))
}

/// Forgets one.
pub(super) async fn forget(
    State(pages): State<Pages>,
    Path(id): Path<String>,
    visit: Visit,
) -> Result<Response> {
    pages.app.forget_search(visit.caller(), &id).await?;
    let home = home(visit.form().get("page").unwrap_or_default());
    Ok(redirect(&address::with_query(home, "done=forgotten")))
}

fn home(page: &str) -> &'static str {
    let known = KEPT.iter().find(|(word, _)| *word == page);
    known.map_or("/ui", |(_, home)| home)
}
