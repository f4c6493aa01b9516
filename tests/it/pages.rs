//! The pages under `/ui`: in a real browser, by role, and against a store with many changes.
mod browser;
mod rights;
mod scripts;
mod speed;

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
        let body = format!("token={token}&next=%2Fui");
        let headers = [("content-type", "application/x-www-form-urlencoded")];
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
        let (_, rest) = page
            .text
            .split_once("name=\"form_token\" value=\"")
            .unwrap();
        visitor.form_token = rest.split('"').next().unwrap().to_owned();
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
