//! Signing in at the pages through a provider: by links and cookies as browsers follow them.
use serde_json::json;

use super::{form_token, set_cookie};
use crate::support::{
    browser::Browser,
    folder::{Folder, KEY},
    issuer::Issuer,
    server::{Client, Reply, Running},
};

struct Scene {
    issuer: Issuer,
    server: Running,
    _folder: Folder,
}

async fn scene() -> Scene {
    let issuer = Issuer::start().await;
    let folder = Folder::new().await;
    let port = free_port();
    folder.write(
        "recant.toml",
        &format!(
            "[server]\nlisten = \"127.0.0.1:{port}\"\npublic_url = \"http://127.0.0.1:{port}\"\n\n\
             [secrets]\nkey = \"{KEY}\"\n\n[auth.oidc]\nissuer = \"{}\"\naudience = \"recant\"\n\
             client_id = \"recant-pages\"\nclient_secret = \"hush hush\"\n",
            issuer.address
        ),
    );
    Scene {
        server: Running::start(&folder).await,
        issuer,
        _folder: folder,
    }
}

/// A port that nothing listens on: the provider must know where it sends browsers back to.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

impl Scene {
    fn client(&self) -> Client {
        self.server.client.without_redirects()
    }

    /// Goes to the provider and to the address that it sends back to; gives that and the cookie.
    async fn travel(&self, wanted: &str) -> (String, String) {
        let path = format!("/ui/sign-in/provider?next={wanted}");
        let led = self.client().get(&path).await.expect(303);
        let cookie = set_cookie(&led, "recant-sign-in");
        assert!(led.header("set-cookie").contains("HttpOnly; SameSite=Lax"));
        let provider = Client::new("").without_redirects();
        let back = provider.get(led.header("location")).await.expect(303);
        let back = back.header("location").to_owned();
        let own = format!("http://{}", self.server.address);
        let path = back.strip_prefix(&own).unwrap();
        (cookie, path.to_owned())
    }

    async fn arrive(&self, cookie: &str, path: &str) -> Reply {
        // As a browser says that another site's page leads it here.
        let headers = [("cookie", cookie), ("sec-fetch-site", "cross-site")];
        self.client().send("GET", path, &headers, "").await
    }
}

#[tokio::test]
async fn a_browser_is_led_to_the_provider_and_back_to_what_it_wanted() {
    let scene = scene().await;
    let led = scene
        .client()
        .get("/ui/changes?outcome=open")
        .await
        .expect(303);
    let page = scene.client().get(led.header("location")).await.expect(200);
    let link = "href=\"/ui/sign-in/provider?next=%2Fui%2Fchanges%3Foutcome%3Dopen\"";
    assert!(page.text.contains(link), "{}", page.text);
    let (cookie, path) = scene.travel("%2Fui%2Fchanges%3Foutcome%3Dopen").await;
    let arrived = scene.arrive(&cookie, &path).await.expect(303);
    assert_eq!(arrived.header("location"), "/ui/changes?outcome=open");
    let session = set_cookie(&arrived, "recant");
    assert_eq!(
        set_cookie(&arrived, "recant-sign-in"),
        "recant-sign-in=",
        "forgotten"
    );
    let first = arrived.headers.get_all("set-cookie").iter().next().unwrap();
    let first = first.to_str().unwrap();
    let age = first.split("Max-Age=").nth(1).unwrap();
    let age: u64 = age.split(';').next().unwrap().parse().unwrap();
    assert!(
        age <= 3_600,
        "the provider's word counts for an hour: {first}"
    );
    let headers = [("cookie", session.as_str())];
    let page = scene
        .client()
        .send("GET", "/ui/changes", &headers, "")
        .await
        .expect(200);
    assert!(page.text.contains("oidc:ann"));
    // A code is good once, and its cookie is gone.
    let again = scene.arrive(&cookie, &path).await.expect(401);
    assert_eq!(set_cookie(&again, "recant-sign-in"), "recant-sign-in=");
    // Signing out leads on to the provider by a link: a form may not lead there.
    let body = format!("form_token={}", form_token(&page.text));
    let out = scene
        .client()
        .send("POST", "/ui/sign-out", &headers, body)
        .await
        .expect(200);
    assert_eq!(set_cookie(&out, "recant"), "recant=");
    assert!(
        out.text
            .contains(&format!("href=\"{}/logout?", scene.issuer.address)),
        "{}",
        out.text
    );
    assert!(!out.text.contains("oidc:ann"), "nobody is there any more");
    scene
        .client()
        .send("GET", "/ui", &headers, "")
        .await
        .expect(303);
    scene.server.stop().await;
}

#[tokio::test]
async fn what_goes_wrong_on_the_way_is_told_in_words() {
    let scene = scene().await;
    let (cookie, path) = scene.travel("%2Fui").await;
    let (other, _) = scene.travel("%2Fui").await;
    for (cookie, path, status, told) in [
        ("", path.as_str(), 401, "was not begun by this browser"),
        (
            other.as_str(),
            path.as_str(),
            401,
            "was not begun by this browser",
        ),
        (
            cookie.as_str(),
            "/ui/sign-in/callback",
            401,
            "was not begun by this browser",
        ),
    ] {
        let refused = scene.arrive(cookie, path).await.expect(status);
        assert!(refused.text.contains(told), "{}", refused.text);
        assert!(
            refused.text.contains("/ui/sign-in/provider"),
            "one can begin again"
        );
        assert_eq!(set_cookie(&refused, "recant-sign-in"), "recant-sign-in=");
        let begun = refused.headers.get_all("set-cookie").iter();
        let begun = begun.filter(|cookie| cookie.to_str().unwrap().starts_with("recant="));
        assert_eq!(begun.count(), 0, "no session");
    }
    let refused = path.replace("code=", "error=access_denied&nothing=");
    let refused = scene.arrive(&cookie, &refused).await.expect(401);
    assert!(
        refused.text.contains("did not let you in"),
        "{}",
        refused.text
    );
    scene.issuer.claim(json!({"roles": []}));
    let (cookie, path) = scene.travel("%2Fui").await;
    let refused = scene.arrive(&cookie, &path).await.expect(403);
    assert!(refused.text.contains("names no role"), "{}", refused.text);
    let (cookie, path) = scene.travel("//evil.example").await;
    scene.issuer.claim(json!({}));
    let arrived = scene.arrive(&cookie, &path).await.expect(303);
    assert_eq!(arrived.header("location"), "/ui", "nobody is led elsewhere");
    scene.server.stop().await;
}

#[tokio::test]
async fn without_a_provider_there_is_no_way_to_one() {
    let folder = Folder::new().await;
    let server = Running::start(&folder).await;
    server
        .app
        .make_token("ada", &["admin".into()], None)
        .await
        .unwrap();
    let client = server.client.without_redirects();
    let page = client.get("/ui/sign-in").await.expect(200);
    assert!(!page.text.contains("provider"), "{}", page.text);
    for path in [
        "/ui/sign-in/provider",
        "/ui/sign-in/callback?code=x&state=y",
    ] {
        let refused = client.get(path).await.expect(404);
        assert!(
            refused.text.contains("There is no provider"),
            "{}",
            refused.text
        );
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_signs_in_through_the_provider_in_a_browser() {
    let Some(mut browser) = Browser::start().await else {
        return;
    };
    let scene = scene().await;
    let base = format!("http://{}", scene.server.address);
    browser.look("light", 1280).await;
    browser.go(&format!("{base}/ui/audit?topic=access")).await;
    browser.shot("sign-in-provider").await;
    browser.press("a[href*='/ui/sign-in/provider']").await;
    assert_eq!(
        browser.address().await,
        format!("{base}/ui/audit?topic=access")
    );
    let name = browser
        .run("document.querySelector('.who .name').textContent")
        .await;
    assert_eq!(name, "oidc:ann");
    browser.press(".who form button").await;
    let text = browser.text().await;
    assert!(text.contains("You are signed out here"), "{text}");
    let complaints = browser.complaints(&[]).await;
    assert!(complaints.is_empty(), "{complaints:#?}");
    scene.server.stop().await;
}
