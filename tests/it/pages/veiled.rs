//! Pages for people who do not see every attribute: a planted value is in no byte that they get,
//! and no question leads to it.
use recant::app::App;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use super::Visitor;
use crate::support::{
    folder::Folder,
    server::{Reply, Running},
};

/// Salaries before and after; nobody but an admin may see them. Long enough to be in no id by chance.
const PLANTED: [&str; 2] = ["654321987", "765432198"];
const VIEWERS: [&[&str]; 4] = [
    &["caller"],
    &["hook-admin"],
    &["auditor"],
    &["caller", "hook-admin", "auditor"],
];
/// Tells the salary wherever a script can speak.
const COMPENSATE: &str = r#"
if newObject != () { log_info("pay " + newObject.salary); }
if oldObject != () { log_info("paid " + oldObject.salary); }
if !compensating && !syncResults.success { revert(); }
"#;
const VALIDATE: &str = r#"if object.title == "Loud" { throw "pay of " + object.salary; }"#;

struct Office {
    server: Running,
    folder: Folder,
    admin: Visitor,
    pages: Vec<String>,
}

async fn visitor(app: &App, server: &Running, roles: &[&str]) -> Visitor {
    let roles: Vec<String> = roles.iter().map(|&role| role.to_owned()).collect();
    // Changes are asked for under this name, too, so that callers see them.
    let (token, _) = app.make_token("hr", &roles, None).await.unwrap();
    Visitor::sign_in(&server.client, token.expose_secret()).await
}

/// A server with everything that may hold a salary: changes of each kind, scripts that speak of it, a
/// target that refuses it by name, a target that was changed by hand and reconciled.
async fn office() -> Office {
    let folder = Folder::new().await;
    let path = folder.path().join("conf/managed.json");
    let mut managed: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let user = &mut managed["objects"][0];
    user["schema"]["properties"]["salary"]["viewableBy"] = json!(["admin"]);
    user["onValidate"] = json!({"type": "text/rhai", "file": "validate.rhai"});
    folder.write_json("conf/managed.json", &managed);
    folder.write("hooks/compensate.rhai", COMPENSATE);
    folder.write("hooks/validate.rhai", VALIDATE);
    let server = Running::start(&folder).await;
    let (token, _) = server
        .app
        .make_token("hr", &["admin".to_owned()], None)
        .await
        .unwrap();
    let client = server.client.token(token.expose_secret());
    let put = async |body: Value, status: u16| {
        let reply = client.json("PUT", "/managed/user/ann", &body).await;
        reply.expect(status).header("recant-operation").to_owned()
    };
    let mut changes = vec![
        put(json!({"userName": "ann", "salary": 654_321_987}), 201).await,
        put(json!({"userName": "ann", "salary": 765_432_198}), 200).await,
        put(
            json!({"userName": "ann", "title": "Loud", "salary": 765_432_198}),
            400,
        )
        .await,
    ];
    folder
        .payroll(
            "create trigger proud before update on employee when new.title = 'Duke' \
             begin select raise(abort, 'a duke has more than 765432198, not 654321987'); end",
        )
        .await;
    let duke = json!({"userName": "ann", "title": "Duke", "salary": 654_321_987});
    changes.push(put(duke, 409).await);
    folder.payroll("drop trigger proud").await;
    super::diverge(&folder, &client).await;
    folder.payroll("drop trigger stuck").await;
    folder
        .payroll("update employee set salary = 654321987 where id = 'ann'")
        .await;
    let admin = Visitor::sign_in(&server.client, token.expose_secret()).await;
    let run = admin
        .post("/ui/recon", "mapping=user_payroll&dryRun=yes&force=yes")
        .await
        .expect(303);
    let run = run.header("location").split('?').next().unwrap().to_owned();
    let ended = async || !admin.get(&run).await.text.contains("under way");
    crate::support::server::eventually("the reconciliation ends", ended).await;
    let diverged = admin.get("/ui/changes?outcome=open").await.expect(200);
    let (_, id) = diverged.text.split_once("href=\"/ui/changes/").unwrap();
    changes.push(id.split('"').next().unwrap().to_owned());
    let mut pages: Vec<String> = changes
        .iter()
        .map(|id| format!("/ui/changes/{id}"))
        .collect();
    pages.extend(changes.iter().map(|id| format!("/ui/audit?operation={id}")));
    pages.push(format!("{run}?situation="));
    pages.push(run);
    pages.extend(
        [
            "/ui",
            "/ui/me",
            "/ui/changes",
            "/ui/changes?nested=yes",
            "/ui/objects",
            "/ui/objects?type=user&filter=userName%20pr",
            "/ui/objects/user/ann",
            "/ui/recon",
            "/ui/queue",
            "/ui/queue/events/directory",
            "/ui/connectors",
            "/ui/audit",
            "/ui/audit?topic=activity",
            "/ui/audit?topic=sync",
            "/ui/audit?topic=compensation",
            "/ui/audit?topic=recon",
            "/ui/audit?event=hook",
            "/ui/audit/export?format=csv",
            "/ui/audit/export?format=jsonl",
            "/ui/hooks",
            "/ui/hooks/edit?file=compensate.rhai",
            "/ui/hooks/edit?file=validate.rhai",
        ]
        .map(str::to_owned),
    );
    Office {
        server,
        folder,
        admin,
        pages,
    }
}

fn tells(reply: &Reply) -> bool {
    PLANTED.iter().any(|planted| reply.text.contains(planted))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hidden_value_is_in_no_byte_of_any_page() {
    let office = office().await;
    let mut found = Vec::new();
    for roles in VIEWERS {
        let visitor = visitor(&office.server.app, &office.server, roles).await;
        let mut seen = 0;
        for page in &office.pages {
            let reply = visitor.get(page).await;
            assert!(reply.status != 500, "{roles:?} {page}: {reply:?}");
            seen += usize::from(reply.status == 200);
            if tells(&reply) {
                found.push(format!("{roles:?} {page}: {}", around(&reply.text)));
            }
        }
        assert!(seen >= 4, "{roles:?} sees {seen} pages");
        for (page, fields) in [
            (
                "/ui/objects/user/ann",
                "operation=patch&json=%7B%22title%22%3A%22Earl%22%7D",
            ),
            (
                "/ui/objects/user/ann",
                "operation=patch&json=%7B%22title%22%3A%22Loud%22%7D",
            ),
            (
                "/ui/objects/user/ann",
                "operation=update&json=%7B%22userName%22%3A%22bea%22%7D",
            ),
            ("/ui/objects/user/ann", "operation=delete"),
            ("/ui/connectors/payroll/test", ""),
            (
                "/ui/hooks/edit?file=compensate.rhai",
                "action=backtest&text=1",
            ),
            (
                "/ui/hooks/edit?file=compensate.rhai",
                "action=try&text=%5Bread(%22managed%2Fuser%2Fann%22)%2C%20\
                 read(%22system%2Fpayroll%2Femployee%2Fann%22)%5D&globals=%7B%7D",
            ),
        ] {
            let reply = visitor.post(page, fields).await;
            assert!(reply.status != 500, "{roles:?} {page}: {reply:?}");
            if tells(&reply) {
                found.push(format!(
                    "{roles:?} {page} {fields}: {}",
                    around(&reply.text)
                ));
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
    // The same pages do hold it for whoever may see it.
    let mut held = 0;
    for page in &office.pages {
        held += usize::from(tells(&office.admin.get(page).await));
    }
    assert!(held >= 12, "{held} pages hold it for an admin");
    assert_eq!(
        office.folder.employees().await["ann"]["salary"],
        654_321_987
    );
    office.server.stop().await;
}

fn around(text: &str) -> String {
    let at = PLANTED.iter().find_map(|planted| text.find(planted));
    let at = at.unwrap_or_default();
    let around = text
        .char_indices()
        .filter(|(place, _)| place.abs_diff(at) < 120);
    around.map(|(_, character)| character).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_question_to_a_page_leads_to_a_hidden_value() {
    let office = office().await;
    let roles = VIEWERS[3];
    let visitor = visitor(&office.server.app, &office.server, roles).await;
    for filter in [
        "salary%20gt%201",
        "salary%20pr",
        "!(salary%20eq%20765432198)",
    ] {
        let page = format!("/ui/objects?type=user&filter={filter}");
        visitor.get(&page).await.expect(400);
        office.admin.get(&page).await.expect(200);
    }
    // What is there and what is not are told apart by nothing but the question itself.
    let other = "918273645";
    for page in [
        "/ui/audit?text=",
        "/ui/audit?topic=sync&text=",
        "/ui/changes?hook=",
        "/ui/changes?caller=",
        "/ui/audit/export?format=jsonl&text=",
        "/ui/audit/export?format=csv&text=",
    ] {
        let asked = async |value: &str| {
            let reply = visitor.get(&format!("{page}{value}")).await.expect(200);
            reply.text.replace(value, "VALUE")
        };
        assert_eq!(asked(PLANTED[1]).await, asked(other).await, "{page}");
    }
    let found = visitor
        .get("/ui/audit?text=managed/user/ann")
        .await
        .expect(200);
    assert!(found.text.contains("Entry "), "what is seen is found");
    // A plan would tell a right guess from a wrong one by what it writes.
    for operation in ["patch", "update"] {
        let guess = async |value: &str| {
            let fields = format!(
                "operation={operation}&json=%7B%22userName%22%3A%22ann%22%2C%22salary%22%3A{value}%7D"
            );
            let reply = visitor
                .post("/ui/objects/user/ann", &fields)
                .await
                .expect(400);
            assert!(reply.text.contains("is not shown to you"), "{}", reply.text);
            reply.text.replace(value, "VALUE")
        };
        assert_eq!(guess(PLANTED[1]).await, guess(other).await);
    }
    let page = visitor.get("/ui/objects/user/ann").await.expect(200);
    assert!(!page.text.contains("now.salary"), "no field for it");
    assert!(page.text.contains("now.title"));
    office.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_auditor_is_told_that_it_changed() {
    let office = office().await;
    let auditor = visitor(&office.server.app, &office.server, &["auditor"]).await;
    let changed = auditor.get(&office.pages[1]).await.expect(200);
    for told in [
        "salary <span class=\"tag\">changed</span>",
        "In short",
        "***",
    ] {
        assert!(changed.text.contains(told), "{told}: {}", changed.text);
    }
    let entries = auditor.get("/ui/audit?event=change").await.expect(200);
    assert!(
        entries
            .text
            .contains("salary <span class=\"tag\">changed</span>")
    );
    // A managed object is nothing for who may only try scripts.
    let hooks = visitor(&office.server.app, &office.server, &["hook-admin"]).await;
    let page = hooks.get("/ui/objects/user/ann").await.expect(200);
    assert!(page.text.contains("system/payroll/employee/ann"));
    office.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_its_readers_right_to_it() {
    let folder = Folder::new().await;
    let server = Running::start(&folder).await;
    let app = &server.app;
    let (_keeps, _) = app
        .make_token("ada", &["admin".into()], None)
        .await
        .unwrap();
    let (token, kept) = app
        .make_token("bea", &["auditor".into()], None)
        .await
        .unwrap();
    let visitor = Visitor::sign_in(&server.client, token.expose_secret()).await;
    let cookie = visitor.cookie.clone();
    let client = visitor.client.clone();
    let stream = tokio::spawn(async move {
        let headers = [("cookie", cookie.as_str())];
        client.send("GET", "/ui/live?live=tick", &headers, "").await
    });
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    app.revoke_token(&kept.id).await.unwrap();
    let ended = tokio::time::timeout(std::time::Duration::from_secs(20), stream).await;
    let ended = ended
        .expect("the stream goes on without a right to it")
        .unwrap();
    assert!(
        ended.text.ends_with("event: ended\ndata: 1\n\n"),
        "{ended:?}"
    );
    server.stop().await;
}
