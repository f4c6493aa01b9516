//! The pages without a mouse: everything that can be pressed is reached by the tab key, in order,
//! and shows that it is.
use serde_json::json;

use super::browser::Scene;
use crate::support::browser::Browser;

/// What has the focus: its name as a screen reader tells it, whether it is in sight, and whether
/// it shows that it has the focus.
const FOCUSED: &str = "(() => { const one = document.activeElement; \
    if (!one || one === document.body) return null; \
    const place = one.getBoundingClientRect(); const style = getComputedStyle(one); \
    const labels = one.labels ? [...one.labels].map((label) => label.textContent).join(' ') : ''; \
    return {name: (one.getAttribute('aria-label') || one.textContent || labels || one.title).trim(), \
        seen: place.width > 0 && place.height > 0 && place.left >= -1 && place.right <= innerWidth + 1, \
        marked: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0, \
        tag: one.tagName + ' ' + one.outerHTML.slice(0, 120)}; })()";
/// How many things can be reached.
const REACHABLE: &str = "[...document.querySelectorAll('a[href], button, input:not([type=hidden]), \
    select, textarea, summary, [tabindex=\"0\"]')].filter((one) => one.checkVisibility() && \
    !one.closest('details:not([open]) > :not(summary)')).length";

async fn key(browser: &mut Browser, key: &str, code: u32, text: &str) {
    for kind in ["keyDown", "keyUp"] {
        let mut pressed =
            json!({"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code});
        if kind == "keyDown" && !text.is_empty() {
            pressed["text"] = json!(text);
        }
        browser.ask("Input.dispatchKeyEvent", pressed).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_reached_and_seen_by_keyboard() {
    let Some(mut scene) = Scene::set().await else {
        return;
    };
    let mut findings = Vec::new();
    for width in [1280, 390] {
        scene.browser.look("light", width).await;
        for (name, path) in scene.pages() {
            scene.go(&path).await;
            let reachable = scene.browser.run(REACHABLE).await.as_u64().unwrap();
            let mut reached = 0;
            for _ in 0..400 {
                key(&mut scene.browser, "Tab", 9, "").await;
                let focused = scene.browser.run(FOCUSED).await;
                if focused.is_null() {
                    break;
                }
                reached += 1;
                for (what, good) in [
                    ("is not seen", focused["seen"] == true),
                    ("does not show the focus", focused["marked"] == true),
                    ("has no name", focused["name"] != ""),
                ] {
                    if !good {
                        findings.push(format!("{name} {width}: {what}: {}", focused["tag"]));
                    }
                }
            }
            if reached < reachable {
                findings.push(format!(
                    "{name} {width}: {reached} of {reachable} are reached"
                ));
            }
        }
    }
    assert!(findings.is_empty(), "{findings:#?}");
    scene.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_divergence_is_ended_by_keyboard_alone() {
    let Some(mut scene) = Scene::set().await else {
        return;
    };
    let diverged = scene
        .pages()
        .into_iter()
        .find(|(name, _)| *name == "diverged");
    scene.go(&diverged.unwrap().1).await;
    // The first key press offers to pass the navigation over.
    key(&mut scene.browser, "Tab", 9, "").await;
    let first = scene
        .browser
        .run("document.activeElement.textContent")
        .await;
    assert_eq!(first, "Skip to content");
    key(&mut scene.browser, "Enter", 13, "\r").await;
    for _ in 0..60 {
        key(&mut scene.browser, "Tab", 9, "").await;
        if scene.browser.run("document.activeElement.name").await == "reason" {
            break;
        }
    }
    let typed = json!({"text": "agreed with payroll"});
    scene.browser.ask("Input.insertText", typed).await;
    key(&mut scene.browser, "Tab", 9, "").await;
    key(&mut scene.browser, "Enter", 13, "\r").await;
    scene.browser.event("Page.loadEventFired").await;
    let address = scene.browser.address().await;
    assert!(address.contains("done=resolved"), "{address}");
    let text = scene.browser.text().await;
    assert!(text.contains("agreed with payroll"), "{text}");
    let complaints = scene.browser.complaints(&[]).await;
    assert!(complaints.is_empty(), "{complaints:#?}");
    scene.server.stop().await;
}
