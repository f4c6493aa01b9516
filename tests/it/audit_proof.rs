//! The audit trail of a folder with a key: what `[audit]` names is used without being asked for, keys
//! change, and a stolen database file does not get a fresh signature.
use std::{path::PathBuf, time::Duration};

use recant::{
    app::{App, Proof, Trust},
    model::signing::Signer,
};
use sea_orm::ConnectionTrait as _;

use crate::{
    audit_delivery::{change, folder, head},
    support::folder::Folder,
};

async fn signed() -> Folder {
    let folder = folder(
        "[audit]\ncheckpoint_key = \"${file:audit.key}\"\ncheckpoint_seconds = 3600\n\
         checkpoint_file = \"elsewhere/checkpoints.jsonl\"\n",
    )
    .await;
    folder.write("audit.key", &Signer::private_pem(&[1; 32]));
    folder
}

fn kept(folder: &Folder) -> PathBuf {
    folder.path().join("elsewhere/checkpoints.jsonl")
}

async fn tamper(folder: &Folder, statements: &[&str]) {
    let url = format!("sqlite://{}", folder.path().join("recant.db").display());
    let database = sea_orm::Database::connect(&url).await.unwrap();
    for sql in statements {
        database.execute_unprepared(sql).await.unwrap();
    }
    database.close().await.unwrap();
}

/// What takes the last entries away, and everything in the database that tells of them.
const CUT: [&str; 3] = [
    "delete from audit_entry where position > 2",
    "delete from audit_checkpoint where position > 2",
    "update chain_head set position = 2, digest = (select digest from audit_entry where position = 2)",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_off_end_shows_by_the_configured_file_without_being_asked_for() {
    let folder = signed().await;
    let app = App::open(folder.path()).await.unwrap();
    change(&app, "u1").await;
    change(&app, "u2").await;
    app.sign_audit().await.unwrap().unwrap();
    let whole = app.verify_audit().await.unwrap();
    assert_eq!((whole.broken, whole.unproven), (None, Vec::new()));
    app.close(Duration::from_secs(5)).await;

    tamper(&folder, &CUT).await;
    let file = std::fs::read_to_string(kept(&folder)).unwrap();
    let app = App::open(folder.path()).await.unwrap();
    let found = app.verify_audit().await.unwrap();
    let broken = found.broken.expect("it shows");
    assert!(
        broken.reason.starts_with("removed at the end"),
        "{broken:?}"
    );
    let onward = app.verify_audit_onward().await.unwrap();
    assert!(onward.broken.is_some());
    // Nothing is signed over it, now or at the end.
    change(&app, "u3").await;
    assert!(app.sign_audit().await.is_err());
    app.close(Duration::from_secs(5)).await;
    assert_eq!(std::fs::read_to_string(kept(&folder)).unwrap(), file);

    // Without the file nobody could know, and that is said.
    std::fs::remove_file(kept(&folder)).unwrap();
    let app = App::open(folder.path()).await.unwrap();
    let found = app.verify_audit().await.unwrap();
    let unproven = found.unproven.join("; ");
    let told = found.broken.map_or(unproven, |broken| broken.reason);
    assert!(
        told.contains("there is no such file") || told.starts_with("missing: a checkpoint"),
        "{told}"
    );
    app.close(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_changed_and_the_whole_chain_stays_verifiable() {
    let folder = signed().await;
    let app = App::open(folder.path()).await.unwrap();
    change(&app, "u1").await;
    app.sign_audit().await.unwrap().unwrap();
    app.close(Duration::from_secs(5)).await;
    let old = Signer::from_seed(&[1; 32]).unwrap();
    let new = Signer::from_seed(&[2; 32]).unwrap();
    folder.write("audit-2.key", &Signer::private_pem(&[2; 32]));
    let settings = std::fs::read_to_string(folder.path().join("recant.toml")).unwrap();
    let settings = settings.replace("${file:audit.key}", "${file:audit-2.key}");

    // The old public key is forgotten: that is told as what it is.
    folder.write("recant.toml", &settings);
    let app = App::open(folder.path()).await.unwrap();
    change(&app, "u2").await;
    app.sign_audit().await.unwrap().unwrap();
    let broken = app.verify_audit().await.unwrap().broken.unwrap();
    assert!(
        broken.reason.contains("key that was not given"),
        "{broken:?}"
    );
    app.close(Duration::from_secs(5)).await;

    folder.write("audit.key.pub", &old.verifier().pem());
    let settings = settings.replace(
        "checkpoint_seconds",
        "public_keys = [\"${file:audit.key.pub}\"]\ncheckpoint_seconds",
    );
    folder.write("recant.toml", &settings);
    let app = App::open(folder.path()).await.unwrap();
    let end = head(&app).await;
    let whole = app.verify_audit().await.unwrap();
    let signed = whole.signed.unwrap();
    assert_eq!((whole.broken, signed.position), (None, end));
    assert!(signed.checkpoints >= 2);
    // Somebody with both public keys, or only the new one.
    let both = Trust::of([old.verifier().clone(), new.verifier().clone()]);
    let only = Trust::of([new.verifier().clone()]);
    for (trust, is_whole) in [(both, true), (only, false)] {
        let proof = Proof {
            trust,
            ..Proof::default()
        };
        let found = app.verify_audit_against(proof).await.unwrap();
        assert_eq!(found.broken.is_none(), is_whole, "{found:?}");
    }
    app.close(Duration::from_secs(5)).await;
}
