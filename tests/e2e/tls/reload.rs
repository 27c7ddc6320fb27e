//! Certificates that change while they are in use.

use std::{fs, path::Path};

use netrox_harness::{
    Arrangement, Role, alarms::Before, certificate::Certificate, each, eventually, process::Signal,
    scrape::Metrics, socket::End, tls::shown_by,
};

use super::{Secured, client, put, user};

each![; serve: certificates_are_read_again_and_open_sockets_stay];

async fn certificates_are_read_again_and_open_sockets_stay(arrangement: Arrangement) {
    let Secured { authority, builder, door, .. } = Secured::new(arrangement);
    let directory = tempfile::tempdir().expect("a directory");
    let audit_log = directory.path().join("audit.log");
    let chat = builder.set("audit-log", &audit_log).start().await;
    let address = chat.edge().address;
    let through = client(&chat, &authority).await;
    let (ada, bob) =
        (user(&chat, through.edge(), "ada").await, user(&chat, through.edge(), "bob").await);
    let (mut at_ada, mut at_bob) =
        (through.edge().connect(&ada).await, through.edge().connect(&bob).await);
    let is_shown = async |name: &str| {
        let expected = authority.der(name);
        let root = authority.certificate();
        eventually("the certificate", async || {
            (shown_by(address, &root).await == expected).then_some(())
        })
        .await;
    };
    let renew = |name: &str| {
        // Issuing it with the address that the door has.
        let Certificate { certificate, key } = authority.issue(name, address.ip());
        put(&certificate, &door.certificate);
        put(&key, &door.key);
    };
    let first = authority.der("door");
    assert_eq!(shown_by(address, &authority.certificate()).await, first);

    // It is seen by itself.
    let copy = |name: &str, of: &Path| {
        let path = of.with_file_name(name);
        fs::copy(of, &path).expect("copied");
        path
    };
    let kept = copy("kept.pem", &door.certificate);
    renew("second");
    is_shown("second").await;
    let log = chat.log(Role::Serve);
    let count = |words: &str| log.count_of(words);
    let again = "the certificates of the HTTP door were read again";
    eventually("a line", async || (count(again) > 0).then_some(())).await;
    at_ada.say(&bob, "after the second").await;
    at_bob.expect_body("after the second").await;

    // And where somebody says so, though nothing has changed.
    let mut chat = chat;
    let before = count(again);
    chat.process(Role::Serve).signal(Signal::HUP);
    eventually("a reading", async || (count(again) > before).then_some(())).await;
    renew("third");
    chat.process(Role::Serve).signal(Signal::HUP);
    is_shown("third").await;

    // A key that is another's.
    let well = Before::of(&chat).await;
    let refused = "the certificates of the HTTP door cannot be used, those before stay";
    let before = count(refused);
    put(&kept, &door.certificate);
    chat.process(Role::Serve).signal(Signal::HUP);
    eventually("a refusal", async || (count(refused) > before).then_some(())).await;
    let told = async || {
        let log = fs::read_to_string(&audit_log).ok()?;
        let outcomes = ["ok", "refused"].map(|outcome| {
            let of = |line: &&str| line.contains(&format!("\"outcome\":\"{outcome}\""));
            log.lines().filter(|line| line.contains("certificates_reloaded")).filter(of).count()
        });
        outcomes.iter().all(|count| *count > 0).then_some(())
    };
    eventually("both in the audit log", told).await;
    assert!(log.contains("is not the key of"), "{:#?}", log.lines());
    is_shown("third").await;
    well.alarms(&chat, &[], &["CertificateFilesAreRefused"]).await;

    // One that nobody has renewed in time.
    let Certificate { certificate, key } = authority.issue_old("fourth", address.ip(), 5);
    put(&certificate, &door.certificate);
    put(&key, &door.key);
    chat.process(Role::Serve).signal(Signal::HUP);
    is_shown("fourth").await;
    let warning = "the certificate of the HTTP door expires in 4 days";
    eventually("a warning", async || (count(warning) > 0).then_some(())).await;
    well.alarms(&chat, &[], &["CertificateEndsSoon"]).await;
    let refused = "certificate_files_refused{certificate=\"the HTTP door\"}";
    let is_used = async || {
        let shown = Metrics::of(chat.admin(Role::Serve)).await;
        (shown.get(&format!("netrox_chat_{refused}")) == 0.0).then_some(())
    };
    eventually("files that are used", is_used).await;
    at_ada.say(&bob, "after all").await;
    at_bob.expect_body("after all").await;

    // A drain ends them as it does without TLS.
    assert_eq!(chat.terminate(Role::Serve).await.code(), Some(0));
    for socket in [&mut at_ada, &mut at_bob] {
        assert_eq!(socket.end().await, End::Closed(1001));
    }
}
