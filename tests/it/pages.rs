//! The pages under `/ui`: in a real browser, by role, and against a store with many changes.
mod browser;
mod door;
mod keyboard;
mod provider;
mod rights;
mod saves;
mod scripts;
mod speed;
mod veiled;

use crate::support::{folder::Folder, server::Client};

/// What a form needs: the cookie of a session and the token of its forms.
struct Visitor {
    client: Client,
    cookie: String,
    form_token: String,
}

impl Visitor {
    /// Signs in with a bearer token.
    async fn sign_in(client: &Client, token: &str) -> Self {
        let client = client.without_redirects();
        let (door, given) = door(&client).await;
        let body = format!("form_token={given}&token={token}&next=%2Fui");
        let headers = [
            ("content-type", "application/x-www-form-urlencoded"),
            ("cookie", door.as_str()),
        ];
        let reply = client
            .send("POST", "/ui/sign-in", &headers, body)
            .await
            .expect(303);
        let cookie = reply
            .header("set-cookie")
            .split(';')
            .next()
            .unwrap()
            .to_owned();
        let mut visitor = Self {
            client,
            cookie,
            form_token: String::new(),
        };
        let page = visitor.get("/ui").await.expect(200);
        visitor.form_token = form_token(&page.text);
        visitor
    }

    /// Asks for a page.
    async fn get(&self, path: &str) -> crate::support::server::Reply {
        self.client
            .send("GET", path, &[("cookie", &self.cookie)], "")
            .await
    }

    /// Sends a form of this session.
    async fn post(&self, path: &str, fields: &str) -> crate::support::server::Reply {
        let body = format!("form_token={}&{fields}", self.form_token);
        self.post_raw(path, body).await
    }

    async fn post_raw(&self, path: &str, body: String) -> crate::support::server::Reply {
        let headers = [
            ("cookie", self.cookie.as_str()),
            ("content-type", "application/x-www-form-urlencoded"),
        ];
        self.client.send("POST", path, &headers, body).await
    }
}

/// The cookie of a browser at the sign-in page, and the token in its form.
async fn door(client: &Client) -> (String, String) {
    let page = client.get("/ui/sign-in").await.expect(200);
    (set_cookie(&page, "recant-door"), form_token(&page.text))
}

/// What a form of a page brings along.
fn form_token(page: &str) -> String {
    let (_, rest) = page
        .split_once("name=\"form_token\" value=\"")
        .unwrap_or_else(|| panic!("no form: {page}"));
    rest.split('"').next().unwrap().to_owned()
}

/// A cookie that an answer sets, as a browser sends it back.
fn set_cookie(reply: &crate::support::server::Reply, name: &str) -> String {
    let cookies = reply.headers.get_all("set-cookie").iter();
    let pairs = cookies.map(|cookie| cookie.to_str().unwrap().split(';').next().unwrap());
    let found = pairs
        .into_iter()
        .find(|pair| pair.split('=').next() == Some(name));
    found
        .unwrap_or_else(|| panic!("no cookie {name}: {reply:?}"))
        .to_owned()
}

/// A change of `ann` whose compensation fails, too: payroll lets it in and not out.
async fn diverge(folder: &Folder, client: &Client) -> String {
    folder.rest.refuse_writes(Some(400));
    folder
        .payroll(
            "create trigger stuck before update on employee when old.name = 'ann2' and new.name = 'ann' \
             begin select raise(abort, 'stuck'); end",
        )
        .await;
    let wanted = serde_json::json!({"userName": "ann2"});
    let reply = client
        .json("PUT", "/managed/user/ann", &wanted)
        .await
        .expect(500);
    folder.rest.refuse_writes(None);
    reply.header("recant-operation").to_owned()
}
