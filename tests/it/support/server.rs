//! A server in this process, and a client for it.
use std::{net::SocketAddr, sync::Arc, time::Duration};

use recant::{
    app::App,
    clock::SystemClock,
    config,
    hooks::Runtime,
    server::{self, Ended, Server, StopSender},
};
use reqwest::{Method, header::HeaderMap};
use serde_json::Value;
use tokio::task::JoinHandle;

use super::folder::Folder;

/// A server that answers.
pub struct Running {
    /// The use-cases behind it.
    pub app: App,
    /// Where it listens.
    pub address: SocketAddr,
    /// A client without a token.
    pub client: Client,
    stop: StopSender,
    task: JoinHandle<Result<Ended, server::Error>>,
}

/// Sends requests to one server.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
}

/// An answer, read whole.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

impl Running {
    /// Serves a folder on the address that it names.
    pub async fn start(folder: &Folder) -> Self {
        let runtime = |limits: &recant::hooks::Limits| Runtime::new(limits.clone());
        let loaded = config::load(folder.path(), &runtime, &|_| None);
        let configuration = loaded
            .configuration
            .unwrap_or_else(|| panic!("{:?}", loaded.problems));
        let app = App::open(folder.path()).await.unwrap();
        Self::serve(app, &configuration.server).await.unwrap()
    }

    /// Serves these use-cases.
    pub async fn serve(app: App, settings: &config::Server) -> Result<Self, server::Error> {
        let server = Server::bind(app.clone(), Arc::new(SystemClock), settings).await?;
        let address = server.address();
        let (stop, stops) = server::stops();
        Ok(Self {
            app,
            address,
            client: Client::new(&format!("http://{address}")),
            stop,
            task: tokio::spawn(server.run(stops)),
        })
    }

    /// Asks it to stop; the second time it stops at once.
    pub fn ask_to_stop(&self) {
        self.stop.send(()).unwrap();
    }

    /// Waits until it has stopped.
    pub async fn ended(self) -> Ended {
        let ended = self.task.await.unwrap().unwrap();
        self.app.close(Duration::from_secs(10)).await;
        ended
    }

    /// Stops it and waits until everything in flight is settled.
    pub async fn stop(self) -> Ended {
        self.ask_to_stop();
        self.ended().await
    }
}

impl Client {
    /// A client for the server at an address.
    pub fn new(base: &str) -> Self {
        Self::with(reqwest::Client::builder(), base)
    }

    /// A client of its own making.
    pub fn with(builder: reqwest::ClientBuilder, base: &str) -> Self {
        Self {
            http: builder.no_proxy().build().unwrap(),
            base: base.to_owned(),
            token: None,
        }
    }

    /// The same, which stays where it is when it is led elsewhere.
    pub fn without_redirects(&self) -> Self {
        let builder = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
        Self::with(builder, &self.base)
    }

    /// The same with a token.
    pub fn token(&self, token: &str) -> Self {
        Self {
            token: Some(token.to_owned()),
            ..self.clone()
        }
    }

    /// Sends a request; the body is sent as it is.
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> Reply {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        let response = request.body(body).send().await.unwrap();
        Reply {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            text: response.text().await.unwrap(),
        }
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Reply {
        self.send("GET", path, &[], "").await
    }

    /// A request with a JSON body.
    pub async fn json(&self, method: &str, path: &str, body: &Value) -> Reply {
        let headers = [("content-type", "application/json")];
        self.send(method, path, &headers, body.to_string()).await
    }
}

impl Reply {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// A header's text, or nothing.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// The same, if it has this status.
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:#?}");
        self
    }
}

/// Waits until a condition holds; fails after some seconds.
pub async fn eventually<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    for _ in 0..500 {
        if condition().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("never: {what}");
}
