//! The REST service Kinto from PyPI: the contract, and what becomes of writes that it does not answer.
use std::sync::Arc;

use recant::{
    connectors::{Error, Update},
    model::CauseKind::{Unavailable, Unknown},
};
use serde_json::json;

use super::suite::{self, Subject, map, person, refused};
use crate::support::{
    kinto::Kinto,
    proxy::{Mode, Proxy},
};

const CLASS: &str = "account";

fn subject(address: std::net::SocketAddr, update: &str) -> Subject {
    Subject {
        connector: Kinto::connector(address, update),
        renames: false,
        versions: true,
        types: true,
    }
}

#[tokio::test]
async fn kinto_keeps_the_contract() {
    for update in ["put", "patch"] {
        let Some(server) = Kinto::start().await else {
            return;
        };
        let subject = subject(server.address, update);
        suite::run_with_plain_ids(&subject).await;
        // It takes no such id, and says so.
        let ann = person("A");
        refused(subject.connector.create(CLASS, Some("a/b"), &ann).await);
    }
}

async fn change(subject: &Subject, name: &str) -> Result<(), Error> {
    let before = subject.existing("ann").await;
    let mut after = before.attributes.clone();
    after.insert("name".into(), json!(name));
    let update = Update {
        before: &before,
        after: &after,
        rename: None,
    };
    subject.connector.update(CLASS, &update).await.map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_kinto_does_not_answer_is_unknown_and_what_it_cannot_hear_unavailable() {
    let Some(mut server) = Kinto::start().await else {
        return;
    };
    let proxy = Arc::new(Proxy::before(server.address).await);
    let direct = subject(server.address, "put");
    let through = subject(proxy.address(), "put");
    direct.create("ann", &person("Ann")).await;
    for (mode, held) in [(Mode::CutRequest, "Ann"), (Mode::CutAnswer, "cut")] {
        let before = direct.existing("ann").await;
        let after = map(json!({"name": "cut"}));
        let update = Update {
            before: &before,
            after: &after,
            rename: None,
        };
        proxy.set(mode);
        let error = through.connector.update(CLASS, &update).await.unwrap_err();
        assert_eq!(error.kind, Unknown, "{mode:?}: {error:?}");
        proxy.set(Mode::Pass);
        assert_eq!(direct.existing("ann").await.attributes["name"], held);
    }
    let dump = server.dump().await;
    assert_eq!(dump.len(), 1);
    assert!(change(&through, "again").await.is_ok());
    assert_ne!(server.dump().await, dump);

    // The answer is lost, and the server dies: nobody says that nothing happened.
    let before = direct.existing("ann").await;
    let update = Update {
        before: &before,
        after: &before.attributes,
        rename: None,
    };
    proxy.set(Mode::CutAnswer);
    let error = through.connector.update(CLASS, &update).await.unwrap_err();
    server.kill();
    assert_eq!(error.kind, Unknown, "{error:?}");
    let gone = direct.connector.update(CLASS, &update).await.unwrap_err();
    assert_eq!(gone.kind, Unavailable, "{gone:?}");
    proxy.set(Mode::Pass);
    server.restart().await;
    assert!(direct.read("ann").await.is_none(), "it keeps nothing");
    direct.create("ann", &person("Ann")).await;
    assert!(change(&direct, "back").await.is_ok());
}
