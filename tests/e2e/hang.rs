//! A core that hangs: nothing of it answers, and its connections stay.

use netrox_harness::{Arrangement, Role, TestChat, each, process::Signal};

each![; cluster: users_of_a_core_that_hangs_go_on_at_another];

async fn users_of_a_core_that_hangs_go_on_at_another(arrangement: Arrangement) {
    let mut chat = TestChat::start(arrangement).await;
    let (ada, mut at_ada) = chat.join("ada").await;
    let (bob, mut at_bob) = chat.join("bob").await;
    for core in [Role::Core(0), Role::Core(1)] {
        chat.process(core).signal(Signal::STOP);
        // Wherever the streams of the two are: what is sent is in doubt for a while, and arrives.
        for number in 0..20 {
            let body = format!("{number} to bob while {core:?} hangs");
            at_ada.say(&bob, &body).await;
            assert_eq!(at_bob.next().await["message_body"], body);
            let body = format!("{number} to ada while {core:?} hangs");
            at_bob.say(&ada, &body).await;
            assert_eq!(at_ada.next().await["message_body"], body);
        }
        chat.process(core).signal(Signal::CONT);
        // The edges have it again before the other one hangs.
        chat.restart(core).await;
    }
    assert_eq!(chat.history(&ada, &bob).await.len(), 80);
}
