use tokio::time::advance;

use super::{
    super::{cores::LEASE, people::GRACE},
    *,
};

fn user(number: u128) -> UserId {
    UserId(Uuid::from_u128(number))
}

fn roll() -> Arc<Roll> {
    Roll::new(&PresenceMetrics::default())
}

fn shown(roll: &Roll, number: u128) -> Shown {
    roll.shown([user(number)].into_iter())[0].1
}

/// What one says to the other.
fn tell(from: &Roll, to: &Roll) {
    from.words(true).iter().for_each(|word| to.hear(word));
}

#[tokio::test(start_paused = true)]
async fn an_edge_that_breaks_off_leaves_nobody_online_for_long() {
    let roll = roll();
    let (one, two) = (roll.report(), roll.report());
    one.came([user(1), user(2)].into_iter());
    two.came([user(2)].into_iter());
    drop(one);
    roll.settle();
    advance(GRACE).await;
    roll.settle();
    assert_ne!(shown(&roll, 1), Shown::Online);
    assert_eq!(shown(&roll, 2), Shown::Online, "another edge has them");
    assert_eq!(roll.take_unstored(9).len(), 1);
    two.left([user(2)].into_iter());
    assert!(roll.settle().is_some());
}

#[tokio::test(start_paused = true)]
async fn cores_tell_each_other_and_a_silent_one_is_gone_after_its_lease() {
    let (one, two) = (roll(), roll());
    let edge = one.report();
    edge.came((0..7_000).map(user));
    two.bus_changed();
    tell(&two, &one);
    tell(&one, &two);
    assert_eq!((shown(&two, 0), shown(&two, 6_999)), (Shown::Online, Shown::Online));
    edge.came([user(9_000)].into_iter());
    edge.left([user(0)].into_iter());
    tell(&one, &two);
    assert_eq!(shown(&two, 9_000), Shown::Online);
    advance(GRACE).await;
    two.settle();
    assert_ne!(shown(&two, 0), Shown::Online);
    // From here on it says nothing.
    advance(LEASE).await;
    two.settle();
    advance(GRACE).await;
    two.settle();
    assert_ne!(shown(&two, 9_000), Shown::Online);
    assert_eq!(two.take_unstored(usize::MAX).len(), 7_000, "nobody else stores them");
}

#[tokio::test(start_paused = true)]
async fn a_word_that_is_lost_is_asked_for() {
    let (one, two) = (roll(), roll());
    let edge = one.report();
    two.bus_changed();
    tell(&two, &one);
    tell(&one, &two);
    edge.came([user(1)].into_iter());
    one.words(false);
    tell(&one, &two);
    assert_eq!(shown(&two, 1), Shown::Offline);
    tell(&two, &one);
    tell(&one, &two);
    assert_eq!(shown(&two, 1), Shown::Online);
}
