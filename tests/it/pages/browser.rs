//! The pages as people use them: in a headless Chromium, with everything that it complains about.
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::diverge;
use crate::support::{browser::Browser, folder::Folder, server::Running, servers::axe};

/// A server with changes of every outcome, and a browser that has signed in as an admin.
pub(super) struct Scene {
    folder: Folder,
    pub(super) server: Running,
    pub(super) browser: Browser,
    base: String,
    compensated: String,
    diverged: String,
}

impl Scene {
    pub(super) async fn set() -> Option<Self> {
        let mut browser = Browser::start().await?;
        let folder = Folder::new().await;
        folder.write(
            "hooks/mail.rhai",
            "// Addresses are written small.\nif source == () { () } else { source.to_lower() }\n",
        );
        let server = Running::start(&folder).await;
        let client = &server.client;
        for id in ["ann", "ben", "cat"] {
            let person = json!({"userName": id, "mail": format!("{id}@lantern.example")});
            client
                .json("PUT", &format!("/managed/user/{id}"), &person)
                .await
                .expect(201);
        }
        folder.rest.refuse_writes(Some(400));
        let refused = json!({"userName": "ben <b>"});
        let refused = client
            .json("PUT", "/managed/user/ben", &refused)
            .await
            .expect(409);
        let compensated = refused.header("recant-operation").to_owned();
        let diverged = diverge(&folder, client).await;
        let roles = ["admin".to_owned()];
        let (token, _) = server.app.make_token("ada", &roles, None).await.unwrap();
        let base = format!("http://{}", server.address);
        browser.look("light", 1280).await;
        browser.go(&format!("{base}/ui/changes?outcome=open")).await;
        assert!(browser.address().await.contains("/ui/sign-in?next="));
        browser
            .fill("input[name=token]", token.expose_secret())
            .await;
        browser.press(".door button").await;
        Some(Self {
            folder,
            server,
            browser,
            base,
            compensated,
            diverged,
        })
    }

    pub(super) async fn go(&mut self, path: &str) {
        self.browser.go(&format!("{}{path}", self.base)).await;
    }

    /// Every page of this scene.
    pub(super) fn pages(&self) -> Vec<(&'static str, String)> {
        let fixed = [
            ("overview", "/ui"),
            ("changes", "/ui/changes"),
            ("objects", "/ui/objects"),
            ("object", "/ui/objects/user/ann"),
            ("recon", "/ui/recon"),
            ("queue", "/ui/queue"),
            ("events", "/ui/queue/events/directory"),
            ("connectors", "/ui/connectors"),
            ("audit", "/ui/audit"),
            ("hooks", "/ui/hooks"),
            ("hook", "/ui/hooks/edit?file=compensate.rhai"),
            ("tokens", "/ui/tokens"),
            ("me", "/ui/me"),
            ("missing", "/ui/nowhere"),
        ];
        let mut pages: Vec<_> = fixed.map(|(name, path)| (name, path.to_owned())).into();
        pages.push(("compensated", format!("/ui/changes/{}", self.compensated)));
        pages.push(("diverged", format!("/ui/changes/{}", self.diverged)));
        pages
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_follows_heals_edits_and_exports() {
    let Some(mut scene) = Scene::set().await else {
        return;
    };
    // The sign-in led on to what was asked for.
    let address = scene.browser.address().await;
    assert!(address.ends_with("/ui/changes?outcome=open"), "{address}");
    let text = scene.browser.text().await;
    assert!(text.contains("managed/user/ann"), "{text}");

    // A compensated change, with its compensation under it, and nothing taken for markup.
    let compensated = format!("/ui/changes/{}", scene.compensated);
    scene.go(&compensated).await;
    let text = scene.browser.text().await;
    for told in [
        "compensated",
        "ben <b>",
        "told to refuse",
        "Compensation: everything back to what it was",
        "compensate.rhai",
        "In short",
    ] {
        assert!(text.contains(told), "{told}: {text}");
    }
    let nested = "document.querySelectorAll('.step.nested > .timeline > .step.write').length";
    assert!(scene.browser.run(nested).await.as_u64().unwrap() >= 2);

    // A diverged one is healed once its target lets it.
    let diverged = format!("/ui/changes/{}", scene.diverged);
    scene.go(&diverged).await;
    scene.browser.press("form[action$=heal] button").await;
    let text = scene.browser.text().await;
    assert!(
        text.contains("Not now") && text.contains("still diverged"),
        "{text}"
    );
    scene.folder.payroll("drop trigger stuck").await;
    scene.go(&diverged).await;
    scene.browser.press("form[action$=heal] button").await;
    let text = scene.browser.text().await;
    assert!(
        text.contains("The missing undo writes were carried out"),
        "{text}"
    );
    assert_eq!(scene.folder.employees().await["ann"]["name"], "ann");

    edit(&mut scene).await;

    // The audit, taken away.
    scene.go("/ui/audit?topic=compensation").await;
    scene
        .browser
        .run("document.querySelector('a[href*=\"format=csv\"]').click()")
        .await;
    let csv = scene.browser.downloaded("audit.csv").await;
    assert!(csv.starts_with("position,_id,timestamp,topic"), "{csv}");
    assert!(csv.contains("divergenceEnd"), "{csv}");
    scene.browser.press("form[action$=verify] button").await;
    let mut text = scene.browser.text().await;
    assert!(text.contains("The chain is being verified"), "{text}");
    // The result comes by itself.
    for _ in 0..200 {
        text = scene.browser.text().await;
        if text.contains("is whole") {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert!(text.contains("is whole"), "{text}");

    let complaints = scene.browser.complaints(&[409, 400]).await;
    assert!(complaints.is_empty(), "{complaints:#?}");
    scene.server.stop().await;
}

/// A script is edited with a mistake, which is refused; then well.
async fn edit(scene: &mut Scene) {
    let page = "/ui/hooks/edit?file=compensate.rhai";
    let file = scene.folder.path().join("hooks/compensate.rhai");
    let before = std::fs::read_to_string(&file).unwrap();
    scene.go(page).await;
    let broken = "if !compensating {\n    let x = ;\n    revert();\n}\n";
    scene.browser.fill("textarea[name=text]", broken).await;
    scene
        .browser
        .fill("input[name=note]", "never mind failures")
        .await;
    scene.browser.press("button[value=save]").await;
    let text = scene.browser.text().await;
    assert!(text.contains("Not saved: line 2"), "{text}");
    let marked = "document.querySelector('.source li.wrong').textContent.trim()";
    assert_eq!(scene.browser.run(marked).await, "let x = ;");
    assert_eq!(
        std::fs::read_to_string(&file).unwrap(),
        before,
        "the file is as it was"
    );
    let kept = "document.querySelector('textarea[name=text]').value";
    assert_eq!(
        scene.browser.run(kept).await,
        broken,
        "nothing that was typed is lost"
    );

    // Before it is saved, it is held against what the hook has decided so far.
    let lenient = "log_info(\"never mind\");\n";
    scene.browser.fill("textarea[name=text]", lenient).await;
    scene.browser.press("button[value=backtest]").await;
    let text = scene.browser.text().await;
    assert!(text.contains("would have gone otherwise"), "{text}");
    let differing = "document.querySelectorAll('#backtest ~ .panel').length";
    let differing = scene.browser.run(differing).await.as_u64().unwrap();
    assert!(
        differing >= 2,
        "the failed changes would have stood: {text}"
    );
    assert_eq!(std::fs::read_to_string(&file).unwrap(), before);

    let good =
        "if !compensating && !syncResults.success {\n    log_info(\"back\");\n    revert();\n}\n";
    scene.browser.fill("textarea[name=text]", good).await;
    scene.browser.press("button[value=save]").await;
    let text = scene.browser.text().await;
    assert!(text.contains("was saved and is in force"), "{text}");
    assert!(
        text.contains("never mind failures"),
        "in the history: {text}"
    );
    assert_eq!(std::fs::read_to_string(&file).unwrap(), good);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_is_open_to_everybody_in_every_look() {
    let Some(mut scene) = Scene::set().await else {
        return;
    };
    let axe = axe().map(|file| std::fs::read_to_string(file).unwrap());
    let mut findings = Vec::new();
    for (scheme, width) in [("light", 1280), ("dark", 1280), ("light", 390)] {
        scene.browser.look(scheme, width).await;
        for (name, path) in scene.pages() {
            scene.go(&path).await;
            scene
                .browser
                .shot(&format!("{name}-{scheme}-{width}"))
                .await;
            if scene.browser.overflows().await {
                findings.push(format!("{path} is wider than {width}"));
            }
            if let Some(axe) = &axe {
                findings.extend(
                    look(&mut scene.browser, axe, &format!("{path} {scheme} {width}")).await,
                );
            }
        }
    }
    assert!(findings.is_empty(), "{findings:#?}");
    let complaints = scene.browser.complaints(&[404]).await;
    assert!(complaints.is_empty(), "{complaints:#?}");
    scene.server.stop().await;
}

/// What axe finds on the page as it is.
async fn look(browser: &mut Browser, axe: &str, place: &str) -> Vec<String> {
    browser.run(&format!("{axe}; null")).await;
    let found = browser
        .run("axe.run(document, {resultTypes: ['violations']}).then((found) => found.violations)")
        .await;
    let violations = found.as_array().cloned().unwrap_or_default();
    let told = |violation: &Value| {
        let nodes = violation["nodes"].as_array().into_iter().flatten();
        let nodes: Vec<String> = nodes
            .map(|node| format!("{}: {}", node["html"], node["any"][0]["message"]))
            .take(3)
            .collect();
        format!("{place}: {} {nodes:?}", violation["id"])
    };
    violations.iter().map(told).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn open_pages_follow_what_happens() {
    let Some(mut scene) = Scene::set().await else {
        return;
    };
    scene.go("/ui/changes").await;
    let count = "document.querySelectorAll('#changes-list tbody tr').length";
    let before = scene.browser.run(count).await.as_u64().unwrap();
    let pages = scene.server.app.clone();
    let request = recant::model::ChangeRequest {
        unseen: Vec::new(),
        container: recant::model::Container::managed("user"),
        requested: recant::model::Requested::Create {
            id: Some("dan".into()),
            content: json!({"userName": "dan"}).as_object().cloned().unwrap(),
        },
        caller: "test".into(),
        transaction_id: "t".into(),
        idempotency: None,
        request: Value::Null,
    };
    scene.folder.rest.refuse_writes(None);
    pages.change(request).await.unwrap();
    for _ in 0..100 {
        if scene.browser.run(count).await.as_u64().unwrap() > before {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert_eq!(scene.browser.run(count).await, before + 1);
    // Somebody who reads may stop it.
    scene
        .browser
        .run("document.querySelector('#live button').click()")
        .await;
    let label = scene
        .browser
        .run("document.querySelector('#live button').textContent")
        .await;
    assert_eq!(label, "Paused: go on");
    let complaints = scene.browser.complaints(&[]).await;
    assert!(complaints.is_empty(), "{complaints:#?}");
    scene.server.stop().await;
}
