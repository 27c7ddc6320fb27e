//! A disk that hangs: the program says that it is not ready, refuses what it cannot store, and goes on with the disk.

use netrox_harness::{
    Arrangement, Role, TestChat, alarms::Before, each, eventually, hanging_disk::HangingDisk,
};

each![; sqlite: a_disk_that_hangs_is_told_of];

async fn is_ready(chat: &TestChat, status: u16) {
    eventually("another readiness", async || {
        let answer = chat.get("/readyz").try_send().await.ok()?;
        (answer.status == status).then_some(())
    })
    .await;
}

async fn a_disk_that_hangs_is_told_of(arrangement: Arrangement) {
    let disk = HangingDisk::make();
    let core = if arrangement == Arrangement::Serve { Role::Serve } else { Role::Core(0) };
    let chat =
        disk.under(TestChat::builder(arrangement).set("store-wait", "0"), core).start().await;
    let (ada, mut at_ada) = chat.join("ada").await;
    let (bob, mut at_bob) = chat.join("bob").await;
    let before = Before::of(&chat).await;
    for round in 1..=2 {
        disk.hang();
        let hung = format!("canary {round}");
        at_ada.say(&bob, &hung).await;
        disk.hangs().await;
        at_bob.say(&ada, "canary behind").await;
        at_ada.expect_error("outcome_unknown").await;
        at_bob.expect_error("unavailable").await;
        is_ready(&chat, 503).await;
        if round == 1 {
            let alarms = ["CoreTakesNoWrites", "UsersAreRefused", "OutcomesAreUnknown"];
            before.alarms_if_it_goes_on(&chat, &[], &alarms).await;
            let log = chat.log(core);
            let told = ["the database does not take writes", "a transaction does not end"];
            assert!(told.iter().all(|line| log.contains(line)), "{:#?}", log.lines());
        }
        at_bob.say(&ada, "canary later").await;
        at_bob.expect_error("unavailable").await;
        assert_eq!(chat.history(&bob, &ada).await.len(), (round - 1) * 2);

        disk.go_on();
        at_bob.expect_body(&hung).await;
        is_ready(&chat, 200).await;
        at_ada.say(&bob, "canary after").await;
        at_bob.expect_body("canary after").await;
        if round == 1 {
            // What hung was stored, and shown, that late.
            let alarms = ["CommitsAreSlow", "DeliveriesAreLate"];
            before.alarms_if_it_goes_on(&chat, &[], &alarms).await;
        }
        let history = chat.history(&ada, &bob).await;
        assert_eq!(history.len(), round * 2, "refused, and stored");
    }
}
