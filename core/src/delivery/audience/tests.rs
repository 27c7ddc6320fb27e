use uuid::Uuid;

use super::{looks::LONGEST_GAP, *};

fn user(number: u128) -> UserId {
    UserId(Uuid::from_u128(number))
}

fn alone() -> Audience {
    Audience::new(false, SignalMetrics::default())
}

fn shared() -> Audience {
    Audience::new(true, SignalMetrics::default())
}

fn keep(audience: &Audience, pair: Pair, standing: Standing) {
    let mut pairs = audience.shard(pair);
    let (version, begun) = (pairs.version(pair), Instant::now());
    let sight = Sight { standing, hidden: false };
    assert!(pairs.keep(pair, Kept { sight, begun }, version));
}

fn held(audience: &Audience, pair: Pair) -> Option<Standing> {
    let mut pairs = audience.shard(pair);
    pairs.get(pair).filter(|kept| audience.holds(kept)).map(|kept| kept.sight.standing)
}

#[tokio::test(start_paused = true)]
async fn a_core_alone_keeps_what_it_knows_until_it_tells_otherwise() {
    let (audience, pair) = (alone(), (user(1), user(2)));
    keep(&audience, pair, Standing::Told);
    tokio::time::advance(OPEN_FOR / 2).await;
    assert_eq!(held(&audience, pair), Some(Standing::Told));
    audience.block(user(2), user(1));
    assert_eq!(held(&audience, pair), Some(Standing::NotTold));
    tokio::time::advance(SHUT_FOR).await;
    assert_eq!(held(&audience, pair), None);
}

#[tokio::test(start_paused = true)]
async fn what_others_may_have_changed_is_known_for_a_moment_unless_it_is_looked_for() {
    let (audience, pair) = (shared(), (user(1), user(2)));
    let looks = audience.looks.as_ref().expect("others");
    keep(&audience, pair, Standing::Told);
    tokio::time::advance(MAX_AGE).await;
    assert_eq!(held(&audience, pair), None);
    // A look that began after it was read says nothing of what came between.
    lock(looks).note(Instant::now(), HashSet::new(), HashSet::new());
    assert_eq!(held(&audience, pair), None);
    keep(&audience, pair, Standing::Told);
    for _ in 0..20 {
        tokio::time::advance(MAX_AGE - Duration::from_millis(1)).await;
        lock(looks).note(Instant::now(), HashSet::new(), HashSet::new());
        assert_eq!(held(&audience, pair), Some(Standing::Told));
    }
    tokio::time::advance(LONGEST_GAP * 2).await;
    lock(looks).note(Instant::now(), HashSet::new(), HashSet::new());
    assert_eq!(held(&audience, pair), None, "nobody looked for a while");
    keep(&audience, pair, Standing::Told);
    audience.learn(Learnt::Block(user(1), user(2)));
    assert_eq!(held(&audience, pair), Some(Standing::NotTold));
}

#[tokio::test(start_paused = true)]
async fn a_message_opens_what_was_shut() {
    let (audience, pair) = (alone(), (user(1), user(2)));
    assert!(!audience.is_in_use());
    audience.note_asked();
    assert!(audience.is_in_use());
    keep(&audience, pair, Standing::NotTold);
    audience.wrote(user(2), user(1));
    assert_eq!(held(&audience, pair), Some(Standing::NotTold), "the other way");
    audience.wrote(user(1), user(2));
    assert_eq!(held(&audience, pair), None, "it is read again");
    tokio::time::advance(SHUT_FOR * 2).await;
    assert!(!audience.is_in_use());
}

#[tokio::test(start_paused = true)]
async fn what_comes_over_the_bus_stops_at_a_block_of_this_core() {
    let (audience, pair) = (shared(), (user(1), user(2)));
    let passes = |pair| {
        let mut passed = false;
        audience.pass(pair, || passed = true);
        passed
    };
    assert!(passes(pair));
    audience.block(user(2), user(1));
    assert!(!passes(pair) && !passes((user(2), user(1))));
    assert!(passes((user(1), user(3))));
    tokio::time::advance(SHUT_FOR).await;
    assert!(passes(pair), "by now the others know");
    audience.block(user(2), user(1));
    audience.forget(user(2), user(1));
    assert!(passes(pair), "it was taken back");
}

#[tokio::test(start_paused = true)]
async fn after_a_long_time_without_a_look_anything_may_have_changed() {
    let mut looks = looks::Looks::default();
    let (blocks, hidden) = (HashSet::new(), HashSet::new());
    assert_eq!(looks.news(Instant::now(), &blocks, &hidden), [], "nobody has looked before");
    for (seconds, news) in [(15, &[][..]), (25, &[Learnt::Gap][..])] {
        looks.note(Instant::now(), HashSet::new(), HashSet::new());
        tokio::time::advance(Duration::from_secs(seconds)).await;
        assert_eq!(looks.news(Instant::now(), &blocks, &hidden), news, "{seconds}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_pair_is_known_to_be_shut_from_the_block_on() {
    let (audience, pair) = (alone(), (user(1), user(2)));
    assert!(!audience.is_shut(pair), "nothing is known of it");
    keep(&audience, pair, Standing::Told);
    assert!(!audience.is_shut(pair));
    audience.block(user(2), user(1));
    assert!(audience.is_shut(pair));
    audience.forget(user(2), user(1));
    assert!(!audience.is_shut(pair));
}
