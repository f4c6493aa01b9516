//! A headless Chromium, driven by its DevTools protocol over two pipes.
use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::servers::chromium;

/// How long anything in a browser may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Reaches nothing but what it is led to, and keeps nothing.
const FLAGS: &str = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run \
    --disable-background-networking --disable-component-update --disable-sync \
    --remote-debugging-pipe";

/// A browser with one page.
pub struct Browser {
    child: Child,
    commands: ChildStdin,
    messages: UnboundedReceiver<Value>,
    /// What it told without being asked.
    events: Vec<Value>,
    session: Option<String>,
    asked: u64,
    profile: TempDir,
}

impl Browser {
    /// Starts one; none where there is no Chromium on this machine, which is said.
    pub async fn start() -> Option<Self> {
        let program = chromium()?;
        let profile = TempDir::new().unwrap();
        // The protocol is spoken over the descriptors 3 and 4, which a shell makes of its own two.
        let line = format!(
            "exec '{program}' {FLAGS} --user-data-dir='{}' about:blank 3<&0 4>&1 </dev/null >/dev/null 2>&1",
            profile.path().display()
        );
        let mut child = Command::new("sh")
            .args(["-c", &line])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, messages) = unbounded_channel();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            let mut text = Vec::new();
            while output.read_until(0, &mut text).is_ok_and(|count| count > 0) {
                text.pop();
                let message = serde_json::from_slice(&text).unwrap_or_default();
                if sender.send(message).is_err() {
                    return;
                }
                text.clear();
            }
        });
        let mut browser = Self {
            commands: child.stdin.take().unwrap(),
            child,
            messages,
            events: Vec::new(),
            session: None,
            asked: 0,
            profile,
        };
        browser.open().await;
        Some(browser)
    }

    async fn open(&mut self) {
        let targets = self.ask("Target.getTargets", json!({})).await;
        let targets = targets["targetInfos"].as_array().unwrap();
        let page = targets.iter().find(|target| target["type"] == "page");
        let page = page.unwrap()["targetId"].clone();
        let attach = json!({"targetId": page, "flatten": true});
        let attached = self.ask("Target.attachToTarget", attach).await;
        self.session = Some(attached["sessionId"].as_str().unwrap().to_owned());
        for domain in ["Page", "Runtime", "Log", "Network"] {
            self.ask(&format!("{domain}.enable"), json!({})).await;
        }
        let folder = self.profile.path().join("downloads");
        let wanted = json!({"behavior": "allow", "downloadPath": folder});
        self.ask("Page.setDownloadBehavior", wanted).await;
    }

    /// Sends a command and waits for its result.
    pub async fn ask(&mut self, method: &str, parameters: Value) -> Value {
        self.asked += 1;
        let id = self.asked;
        let mut message = json!({"id": id, "method": method, "params": parameters});
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        let mut text = message.to_string().into_bytes();
        text.push(0);
        self.commands.write_all(&text).unwrap();
        self.commands.flush().unwrap();
        loop {
            let message = self.next(method).await;
            if message["id"] == id {
                assert!(message["error"].is_null(), "{method}: {message}");
                return message["result"].clone();
            }
            self.events.push(message);
        }
    }

    async fn next(&mut self, what: &str) -> Value {
        let message = tokio::time::timeout(PATIENCE, self.messages.recv()).await;
        let message = message.unwrap_or_else(|_| panic!("the browser is silent at {what}"));
        message.unwrap_or_else(|| panic!("the browser is gone at {what}"))
    }

    /// Waits for an event, and takes all of its kind that were told.
    pub async fn event(&mut self, method: &str) -> Value {
        loop {
            let told = self
                .events
                .iter()
                .position(|event| event["method"] == method);
            if let Some(at) = told {
                return self.events.remove(at);
            }
            let message = self.next(method).await;
            self.events.push(message);
        }
    }

    /// Leads the page to an address and waits until it is there.
    pub async fn go(&mut self, address: &str) {
        self.forget("Page.loadEventFired");
        let gone = self.ask("Page.navigate", json!({"url": address})).await;
        assert!(gone["errorText"].is_null(), "{address}: {gone}");
        self.event("Page.loadEventFired").await;
    }

    /// Runs a script in the page and gives its value.
    pub async fn run(&mut self, script: &str) -> Value {
        let wanted = json!({"expression": script, "awaitPromise": true, "returnByValue": true});
        let done = self.ask("Runtime.evaluate", wanted).await;
        assert!(done["exceptionDetails"].is_null(), "{script}: {done}");
        done["result"]["value"].clone()
    }

    /// Runs a script that leads to another page, and waits until that is there.
    pub async fn leave_by(&mut self, script: &str) {
        self.forget("Page.loadEventFired");
        self.run(&format!("{script}; null")).await;
        self.event("Page.loadEventFired").await;
    }

    /// Writes into a field as somebody would who had pasted it.
    pub async fn fill(&mut self, selector: &str, text: &str) {
        let script = format!(
            "(() => {{ const field = document.querySelector({selector:?}); field.focus(); \
             field.value = {}; field.dispatchEvent(new Event('input', {{bubbles: true}})); }})()",
            json!(text)
        );
        self.run(&script).await;
    }

    /// Presses a button or follows a link, and waits for the page that it leads to.
    pub async fn press(&mut self, selector: &str) {
        self.leave_by(&format!("document.querySelector({selector:?}).click()"))
            .await;
    }

    /// The text of the page's main part.
    pub async fn text(&mut self) -> String {
        let text = self.run("document.querySelector('main').innerText").await;
        text.as_str().unwrap_or_default().to_owned()
    }

    /// Where the page is.
    pub async fn address(&mut self) -> String {
        self.run("location.href").await.as_str().unwrap().to_owned()
    }

    /// Everything that the console or the network complained about since the last time, but for
    /// the statuses that pages are answered with on purpose.
    pub async fn complaints(&mut self, expected: &[u64]) -> Vec<String> {
        self.run("1").await;
        let (mut complaints, mut kept) = (Vec::new(), Vec::new());
        for event in self.events.drain(..) {
            let entry = &event["params"]["entry"];
            match event["method"].as_str().unwrap_or_default() {
                "Runtime.exceptionThrown" => complaints.push(event.to_string()),
                "Runtime.consoleAPICalled" if event["params"]["type"] == "error" => {
                    complaints.push(event.to_string());
                }
                "Log.entryAdded" if entry["level"] == "error" => {
                    let text = entry["text"].as_str().unwrap_or_default();
                    let meant = expected
                        .iter()
                        .any(|status| text.contains(&format!("status of {status}")));
                    if !meant {
                        complaints.push(format!("{text} {}", entry["url"]));
                    }
                }
                _ => kept.push(event),
            }
        }
        self.events = kept;
        complaints
    }

    /// Light or dark, wide or as a phone.
    pub async fn look(&mut self, scheme: &str, width: u32) {
        let size = json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false});
        self.ask("Emulation.setDeviceMetricsOverride", size).await;
        self.ask("Emulation.setScrollbarsHidden", json!({"hidden": true}))
            .await;
        let media = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.ask("Emulation.setEmulatedMedia", media).await;
    }

    /// Whether the page is wider than its window.
    pub async fn overflows(&mut self) -> bool {
        let wider = self
            .run("document.documentElement.scrollWidth > document.documentElement.clientWidth + 1")
            .await;
        wider == true
    }

    /// Keeps a picture of the whole page where `RECANT_TEST_SHOTS` names a folder.
    pub async fn shot(&mut self, name: &str) {
        let Ok(folder) = std::env::var("RECANT_TEST_SHOTS") else {
            return;
        };
        let wanted = json!({"format": "png", "captureBeyondViewport": true});
        let shot = self.ask("Page.captureScreenshot", wanted).await;
        let data = shot["data"].as_str().unwrap();
        let bytes = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, data);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(format!("{folder}/{name}.png"), bytes.unwrap()).unwrap();
    }

    /// A file that the page gave to download, once it is there whole.
    pub async fn downloaded(&mut self, name: &str) -> String {
        let file = self.profile.path().join("downloads").join(name);
        for _ in 0..300 {
            if let Ok(text) = std::fs::read_to_string(&file) {
                return text;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{name} was never downloaded");
    }

    fn forget(&mut self, method: &str) {
        self.events.retain(|event| event["method"] != method);
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
