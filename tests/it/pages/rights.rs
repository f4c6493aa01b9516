//! Who gets to see which page and do what, and what a form must bring along.
use secrecy::ExposeSecret;

use super::{Visitor, diverge};
use crate::support::{folder::Folder, server::Running};

const ROLES: [&str; 4] = ["caller", "hook-admin", "auditor", "admin"];

#[tokio::test]
async fn each_role_sees_and_does_what_the_api_lets_it() {
    let folder = Folder::new().await;
    let server = Running::start(&folder).await;
    let person = serde_json::json!({"userName": "ann"});
    let put = server
        .client
        .json("PUT", "/managed/user/ann", &person)
        .await
        .expect(201);
    let change = put.header("recant-operation").to_owned();
    let mut visitors = Vec::new();
    let mut bearers = Vec::new();
    for role in ROLES {
        let (token, _) = server
            .app
            .make_token(role, &[role.to_owned()], None)
            .await
            .unwrap();
        let token = token.expose_secret().to_owned();
        visitors.push(Visitor::sign_in(&server.client, &token).await);
        bearers.push(server.client.token(&token));
    }
    let none = String::new();
    let change_page = format!("/ui/changes/{change}");
    let change_path = format!("/operations/{change}");
    // The page, and the endpoint with the same use.
    for (page, method, endpoint) in [
        ("/ui/changes", "GET", "/operations"),
        (change_page.as_str(), "GET", change_path.as_str()),
        ("/ui/recon", "GET", "/recon"),
        ("/ui/queue", "GET", "/sync/queue"),
        (
            "/ui/queue/events/directory",
            "GET",
            "/integrations/directory/events",
        ),
        ("/ui/connectors", "POST", "/system?_action=test"),
        ("/ui/audit", "GET", "/audit"),
        ("/ui/audit/export?format=csv", "GET", "/audit?_format=csv"),
        ("/ui/hooks", "GET", "/config/problems"),
    ] {
        for (at, role) in ROLES.iter().enumerate() {
            let shown = visitors[at].get(page).await.status;
            let answered = bearers[at]
                .send(method, endpoint, &[], none.clone())
                .await
                .status;
            assert_eq!(
                shown == 403,
                answered == 403,
                "{role} {page}: {shown}, {endpoint}: {answered}"
            );
        }
    }
    // Deeds: who is refused, and who gets as far as the use-case.
    let heal = format!("{change_page}/heal");
    let missing = "/ui/recon/00000000-0000-0000-0000-000000000000/cancel";
    for (page, fields, [caller, hooks, auditor, admin]) in [
        (heal.as_str(), "", [403, 403, 403, 409]),
        (missing, "", [403, 403, 403, 404]),
        ("/ui/connectors/directory/test", "", [403, 200, 403, 200]),
        ("/ui/audit/verify", "", [403, 403, 303, 303]),
        ("/ui/sessions", "caller=nobody", [403, 403, 403, 303]),
        (
            "/ui/hooks/case",
            "file=compensate.rhai&operation=x&run=x",
            [403, 404, 403, 404],
        ),
        (
            "/ui/searches",
            "page=audit&name=x&query=",
            [403, 403, 303, 303],
        ),
        (
            "/ui/hooks/edit?file=compensate.rhai",
            "action=check&text=1",
            [403, 200, 403, 200],
        ),
        (
            "/ui/objects/user/ann",
            "operation=delete",
            [200, 200, 403, 200],
        ),
        ("/ui/tokens", "name=x", [403, 403, 403, 400]),
    ] {
        for (at, expected) in [caller, hooks, auditor, admin].into_iter().enumerate() {
            let reply = visitors[at].post(page, fields).await;
            assert_eq!(
                reply.status, expected,
                "{} {page}: {}",
                ROLES[at], reply.text
            );
        }
    }
    assert_eq!(folder.employees().await.len(), 1, "a plan deletes nothing");
    server.stop().await;
}

#[tokio::test]
async fn what_a_role_may_not_see_is_not_on_its_page() {
    let folder = Folder::new().await;
    let server = Running::start(&folder).await;
    let person = serde_json::json!({"userName": "ann", "title": "Duchess", "pin": "4711"});
    server
        .client
        .json("PUT", "/managed/user/ann", &person)
        .await
        .expect(201);
    diverge(&folder, &server.client).await;
    for (role, seen, unseen) in [
        ("caller", &["Duchess"][..], &["holds now", "History"][..]),
        ("hook-admin", &["holds now"], &["History", "Recant holds"]),
        (
            "auditor",
            &["History"],
            &["Duchess", "holds now", "What would happen if"],
        ),
        ("admin", &["Duchess", "holds now", "History"], &[]),
    ] {
        let (token, _) = server
            .app
            .make_token(role, &[role.to_owned()], None)
            .await
            .unwrap();
        let visitor = Visitor::sign_in(&server.client, token.expose_secret()).await;
        let page = visitor.get("/ui/objects/user/ann").await.expect(200);
        for text in seen {
            assert!(
                page.text.contains(text),
                "{role} sees {text}: {}",
                page.text
            );
        }
        for text in unseen {
            assert!(
                !page.text.contains(text),
                "{role} does not see {text}: {}",
                page.text
            );
        }
        assert!(!page.text.contains("4711"), "{role} sees no pin");
        let overview = visitor.get("/ui").await.expect(200);
        let told = overview.text.contains("Diverged change");
        assert_eq!(told, ["auditor", "admin"].contains(&role), "{role}");
    }
    server.stop().await;
}

#[tokio::test]
async fn forms_of_others_are_refused_and_strangers_sign_in_first() {
    let folder = Folder::new().await;
    let server = Running::start(&folder).await;
    let (token, _) = server
        .app
        .make_token("ada", &["admin".to_owned()], None)
        .await
        .unwrap();
    let visitor = Visitor::sign_in(&server.client, token.expose_secret()).await;
    let other = Visitor::sign_in(&server.client, token.expose_secret()).await;

    let foreign = format!("form_token={}&name=x&role=admin", other.form_token);
    for body in [
        foreign.as_str(),
        "name=x&role=admin",
        "form_token=&name=x&role=admin",
    ] {
        let refused = visitor.post_raw("/ui/tokens", body.to_owned()).await;
        assert_eq!(refused.status, 403, "{body}");
    }
    let made = visitor
        .post("/ui/tokens", "name=x&role=admin")
        .await
        .expect(200);
    assert!(made.text.contains("recant_"), "{}", made.text);

    let stranger = server.client.without_redirects();
    let led = stranger.get("/ui/audit?user=a%26b").await.expect(303);
    assert_eq!(
        led.header("location"),
        "/ui/sign-in?next=%2Fui%2Faudit%3Fuser%3Da%2526b"
    );
    stranger
        .send("POST", "/ui/tokens", &[], "name=x")
        .await
        .expect(401);
    let (door, form_token) = super::door(&stranger).await;
    let wrong = [
        ("content-type", "application/x-www-form-urlencoded"),
        ("cookie", door.as_str()),
    ];
    let body = format!("form_token={form_token}&token=recant_no");
    let refused = stranger.send("POST", "/ui/sign-in", &wrong, body).await;
    refused.expect(401);
    // Nobody is led away from here after signing in.
    let body = format!(
        "form_token={form_token}&token={}&next=//evil.example",
        token.expose_secret()
    );
    let led = stranger
        .send("POST", "/ui/sign-in", &wrong, body)
        .await
        .expect(303);
    assert_eq!(led.header("location"), "/ui");
    let cookie = led.header("set-cookie");
    assert!(
        cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"),
        "{cookie}"
    );

    let page = visitor.get("/ui").await.expect(200);
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("cache-control", "no-store"),
        ("referrer-policy", "same-origin"),
    ] {
        assert_eq!(page.header(name), value);
    }
    let policy = page.header("content-security-policy");
    assert!(
        policy.starts_with("default-src 'none'; script-src 'self';"),
        "{policy}"
    );
    assert!(
        !policy.contains("unsafe") && policy.contains("frame-ancestors 'none'"),
        "{policy}"
    );
    for inline in ["<style", "style=", "onclick=", "javascript:"] {
        assert!(!page.text.contains(inline), "{inline}");
    }

    visitor.post("/ui/sign-out", "").await.expect(303);
    visitor.get("/ui").await.expect(303);
    let denied = server.app.audit(None, &everything()).await.unwrap();
    let denied = denied
        .results
        .iter()
        .filter(|entry| entry.to_value().to_string().contains("ui/tokens"));
    assert!(denied.count() >= 4, "denials are in the audit");
    server.stop().await;
}

fn everything() -> recant::app::Search {
    recant::app::Search {
        filter: recant::model::Filter::Literal(true),
        sort: Vec::new(),
        page_size: None,
        cookie: None,
        offset: 0,
        count: recant::app::Count::None,
    }
}
