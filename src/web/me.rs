//! The visitor's own page: who they are here, and their sessions.
use askama::Template;
use axum::extract::State;

use super::{
    Pages,
    guard::{Visit, role_words},
    layout::{Layout, page as rendered},
    markup::{self, Markup},
    sign_in,
    trouble::{Result, Trouble},
};

#[derive(Template)]
#[template(path = "me.html")]
struct Me {
    layout: Layout,
    name: String,
    roles: String,
    ends: Option<Markup>,
    sees_all: bool,
    rows: Vec<Row>,
}

struct Row {
    began: Markup,
    used: Markup,
    ends: Markup,
}

/// Shows it.
pub(super) async fn page(State(pages): State<Pages>, visit: Visit) -> Result {
    let held = pages.app.sessions_of(visit.caller()).await?;
    let ends = visit.session().and_then(|session| session.ends_at);
    rendered(&Me {
        layout: Layout::new(&visit, "You"),
        name: visit.caller().to_owned(),
        roles: role_words(visit.roles()),
        ends: ends.map(markup::time),
        sees_all: visit.veil().is_thin(),
        rows: held
            .iter()
            .map(|one| Row {
                began: markup::time(one.began),
                used: markup::time(one.used),
                ends: markup::time(one.ends),
            })
            .collect(),
    })
}

/// Ends all sessions of the visitor, this one too.
pub(super) async fn end_sessions(State(pages): State<Pages>, visit: Visit) -> Result {
    if visit
        .session()
        .is_none_or(|session| session.ends_at.is_none())
    {
        let message = "You are here without having signed in: there is no session to end.";
        return Err(Trouble::new(409, message).back_to("/ui/me"));
    }
    pages.app.end_sessions(visit.caller(), visit.by()).await?;
    sign_in::signed_out(&pages, &visit, None)
}
