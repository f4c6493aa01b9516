//! Sends changes from many callers, each with objects of its own, and times the answers.
use std::time::{Duration, Instant};

use serde_json::json;

/// How many objects a caller changes by turns.
const OBJECTS: usize = 20;

/// What a run came to.
pub struct Figures {
    /// Milliseconds of each change, sorted.
    times: Vec<f64>,
    elapsed: Duration,
}

impl Figures {
    pub fn changes(&self) -> usize {
        self.times.len()
    }

    pub fn per_second(&self) -> f64 {
        self.times.len() as f64 / self.elapsed.as_secs_f64()
    }

    /// Milliseconds.
    pub fn percentile(&self, percent: f64) -> f64 {
        let index = (self.times.len() as f64 * percent / 100.0) as usize;
        self.times
            .get(index.min(self.times.len().saturating_sub(1)))
            .copied()
            .unwrap_or_default()
    }
}

/// Creates every object.
pub async fn warm_up(url: &str, callers: usize) {
    let http = client();
    let tasks: Vec<_> = (0..callers)
        .map(|caller| {
            let (http, url) = (http.clone(), url.to_owned());
            tokio::spawn(async move {
                for object in 0..OBJECTS {
                    send(&http, &url, caller, object, 0, "fine").await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("a caller");
    }
}

/// Changes objects for a while; `name` is part of what is written.
pub async fn drive(url: &str, callers: usize, time: Duration, name: &'static str) -> Figures {
    let begun = Instant::now();
    let http = client();
    let tasks: Vec<_> = (0..callers)
        .map(|caller| {
            let (http, url) = (http.clone(), url.to_owned());
            tokio::spawn(async move {
                let mut times = Vec::new();
                let mut round = 1;
                while begun.elapsed() < time {
                    let sent = Instant::now();
                    send(&http, &url, caller, round % OBJECTS, round, name).await;
                    times.push(sent.elapsed().as_secs_f64() * 1e3);
                    round += 1;
                }
                times
            })
        })
        .collect();
    let mut times = Vec::new();
    for task in tasks {
        times.append(&mut task.await.expect("a caller"));
    }
    let elapsed = begun.elapsed();
    times.sort_by(f64::total_cmp);
    Figures { times, elapsed }
}

async fn send(
    http: &reqwest::Client,
    url: &str,
    caller: usize,
    object: usize,
    round: usize,
    name: &str,
) {
    let body = json!({
        "userName": format!("user{caller}"),
        "givenName": "Ada",
        "sn": format!("{name} {round}"),
        "mail": format!("user{caller}.{object}@example.org"),
        "department": format!("d{}", round % 9),
        "salary": 40_000 + round,
    });
    let answer = http
        .put(format!("{url}/managed/user/{caller}-{object}"))
        .json(&body)
        .send()
        .await
        .expect("an answer");
    let status = answer.status();
    let text = answer.text().await.expect("a body");
    let fits = if name == "fine" {
        status.is_success()
    } else {
        status == 409
    };
    assert!(fits, "{status}: {text}");
}

fn client() -> reqwest::Client {
    reqwest::Client::builder()
        .no_proxy()
        .build()
        .expect("a client")
}
