use futures_util::{FutureExt, future::join_all};
use tokio::time::{advance, timeout};
use tokio_util::sync::CancellationToken;

use super::*;

const PATIENCE: Duration = Duration::from_secs(5);

fn until() -> Instant {
    Instant::now() + PATIENCE
}

#[tokio::test(start_paused = true)]
async fn a_place_goes_to_who_has_waited_longest() {
    let places = Places::new(2, 10);
    let mut held =
        vec![places.take('a', None, until()).await, places.take('a', None, until()).await];
    let mut waiting = Vec::new();
    for _ in 0..4 {
        let mut take = Box::pin(places.take('a', None, until()));
        assert!(take.as_mut().now_or_never().is_none());
        waiting.push(take);
    }
    // Another key has places of its own.
    places.take('b', None, until()).await.expect("a place");
    while !waiting.is_empty() {
        held.remove(0).expect("a place");
        for later in &mut waiting[1..] {
            assert!(later.as_mut().now_or_never().is_none());
        }
        held.push(waiting.remove(0).await);
    }
    drop(held);
    assert!(places.lines().is_empty(), "nothing is kept");
}

#[tokio::test(start_paused = true)]
async fn who_waits_too_long_and_who_is_one_too_many_is_refused() {
    let places = Places::new(1, 2);
    let _held = places.take('a', None, until()).await.expect("a place");
    let start = Instant::now();
    let mut waiting = Box::pin(join_all((0..2).map(|_| places.take('a', None, until()))));
    assert!(waiting.as_mut().now_or_never().is_none());
    assert_eq!(places.take('a', None, until()).await.err(), Some(Full));
    assert_eq!(start.elapsed(), Duration::ZERO, "at once");
    assert!(waiting.await.iter().all(Result::is_err));
    assert_eq!(start.elapsed(), PATIENCE);
    assert!(places.lines()[&'a'].waiting.is_empty());
}

#[tokio::test(start_paused = true)]
async fn who_stops_to_wait_loses_nothing_for_others() {
    let places = Places::new(1, 10);
    let held = places.take('a', None, until()).await.expect("a place");
    let mut gone = Box::pin(places.take('a', None, until()));
    assert!(gone.as_mut().now_or_never().is_none());
    let mut given = Box::pin(places.take('a', None, until()));
    assert!(given.as_mut().now_or_never().is_none());
    let mut stays = Box::pin(places.take('a', None, until()));
    assert!(stays.as_mut().now_or_never().is_none());
    drop(gone);
    // It is the next one's, who goes without having looked.
    drop(held);
    drop(given);
    assert!(stays.now_or_never().expect("a place").is_ok());
    assert!(places.lines().is_empty());
}

#[tokio::test(start_paused = true)]
async fn who_is_far_too_slow_keeps_a_place_only_while_nobody_waits() {
    let places = Arc::new(Places::new(2, 10));
    let take = async |places: &Places<char>, until| {
        let end = CancellationToken::new();
        let pace = Arc::new(Pace::new(end.clone()));
        (places.take('a', Some(&pace), until).await, pace, end)
    };
    let (slow, slow_pace, slow_end) = take(&places, until()).await;
    let (_slower, _, slower_end) = take(&places, until()).await;
    advance(Duration::from_secs(100)).await;
    slow_pace.took(1);
    assert!(!slow_end.is_cancelled() && !slower_end.is_cancelled());
    let mut waits = Box::pin(take(&places, until()));
    assert!(waits.as_mut().now_or_never().is_none());
    assert!(slower_end.is_cancelled(), "the slowest goes");
    // One waits, so one goes, however long it takes.
    assert!(timeout(Duration::from_secs(3), waits.as_mut()).await.is_err());
    assert!(!slow_end.is_cancelled());
    drop(slow);
    assert!(waits.await.0.is_ok());
}

#[tokio::test(start_paused = true)]
async fn who_is_fast_enough_or_has_no_pace_keeps_it() {
    let places = Places::new(2, 10);
    let end = CancellationToken::new();
    let pace = Arc::new(Pace::new(end.clone()));
    let _fast = places.take('a', Some(&pace), until()).await.expect("a place");
    let _unknown = places.take('a', None, until()).await.expect("a place");
    advance(Duration::from_secs(100)).await;
    pace.took(1_000_000);
    assert!(places.take('a', None, until()).await.is_err());
    assert!(!end.is_cancelled());
}
