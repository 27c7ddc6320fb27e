use tokio::time::advance;

use super::{
    super::{cores::LEASE, people::GRACE},
    *,
};

fn user(number: u128) -> UserId {
    UserId(Uuid::from_u128(number))
}

fn roll() -> Arc<Roll> {
    Roll::new(true, &PresenceMetrics::default())
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

#[tokio::test(start_paused = true)]
async fn a_core_that_is_alone_keeps_nothing_for_others() {
    let roll = Roll::new(false, &PresenceMetrics::default());
    let edge = roll.report();
    edge.came([user(1), user(2)].into_iter());
    edge.left([user(1)].into_iter());
    roll.profiles_changed([user(1)].into_iter(), true);
    drop(edge);
    let state = roll.state();
    assert!(state.untold.users.is_empty() && state.untold.profiles.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_core_that_ends_knows_when_those_were_seen_who_are_here_or_have_just_left() {
    let roll = roll();
    let edge = roll.report();
    edge.came([user(1), user(2)].into_iter());
    edge.left([user(1)].into_iter());
    let mut seen: Vec<_> = roll.last_seen().into_iter().map(|(user, _)| user).collect();
    seen.sort_unstable();
    assert_eq!(seen, [user(1), user(2)]);
    advance(GRACE).await;
    roll.settle();
    assert_eq!(roll.last_seen().len(), 1, "that the other has left is to be stored otherwise");
    assert_eq!(roll.take_unstored(9).len(), 1);
}
