//! How much of what people look for is found, in nine languages.

use crate::{
    running::Core,
    search::{SEARCH, say_all},
};

/// Own sentences in nine languages: a message, and queries that should find it.
const SENTENCES: &str = include_str!("search-queries.txt");
/// Of the queries of each language, in percent.
const LEAST_FOUND: usize = 75;
/// Other messages that are made of the same words. `NETROX_CHAT_TEST_SEARCHED` asks for more: 200,000 for one.
const OTHERS: usize = 3_000;

/// With the queries that should find it.
type Sentence = (&'static str, Vec<&'static str>);

/// Languages, each with its messages.
fn sentences() -> Vec<(&'static str, Vec<Sentence>)> {
    let mut languages: Vec<(&'static str, Vec<Sentence>)> = Vec::new();
    for line in SENTENCES.lines().filter(|line| !line.is_empty()) {
        if let Some(comment) = line.strip_prefix('#') {
            if comment.trim().len() == 2 {
                languages.push((comment.trim(), Vec::new()));
            }
            continue;
        }
        let mut parts = line.split('|');
        let message = parts.next().expect("a message");
        languages.last_mut().expect("a language").1.push((message, parts.collect()));
    }
    languages
}

/// Messages of the words of two sentences in turn: those of one language have a space between all, or none.
fn mixed(count: usize) -> Vec<String> {
    let languages = sentences();
    let mix = |number: usize| {
        let (name, messages) = &languages[number % languages.len()];
        let of = |step: usize| messages[number / languages.len() * step % messages.len()].0;
        let (one, two) = (of(3), of(7));
        if ["zh", "ja", "th"].contains(name) {
            let (one, two): (Vec<char>, Vec<char>) = (one.chars().collect(), two.chars().collect());
            let (one, two) = (&one[..one.len() / 2], &two[two.len() / 2..]);
            return one.iter().chain(two).collect();
        }
        let words = one.split(' ').step_by(2).chain(two.split(' ').skip(1).step_by(2));
        format!("{} {number}", words.collect::<Vec<_>>().join(" "))
    };
    (0..count).map(mix).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn three_of_four_queries_of_each_language_find_their_message() {
    let others = std::env::var("NETROX_CHAT_TEST_SEARCHED").ok();
    let others = others.map_or(OTHERS, |others| others.parse().expect("a number"));
    let core = Core::start_with(&[SEARCH]).await;
    let [ada, bob, cyd, dan] = core.users().await;
    let others = mixed(others);
    let (own, of_others) = others.split_at(others.len() / 2);
    say_all(&core, &ada, &bob, own).await;
    say_all(&core, &cyd, &dan, of_others).await;
    let languages = sentences();
    assert_eq!(languages.len(), 9);
    let messages = languages.iter().flat_map(|(_, messages)| messages);
    let bodies: Vec<_> = messages.map(|(message, _)| (*message).to_owned()).collect();
    let mut ids = say_all(&core, &bob, &ada, &bodies).await.into_iter();
    for (name, messages) in &languages {
        let (mut asked, mut missed) = (0, Vec::new());
        for (_, queries) in messages {
            let id = ids.next().expect("as many");
            for query in queries {
                asked += 1;
                // Nobody may ask for a single letter.
                if query.chars().count() < 2 {
                    missed.push(*query);
                    continue;
                }
                let found = core.found(&ada, query).await;
                assert!(found.is_sorted_by(|one, two| one > two), "{query}: {found:?}");
                if !found.contains(&id) {
                    missed.push(*query);
                }
                // Who takes no part finds none of it.
                assert!(!core.found(&cyd, query).await.contains(&id), "{query}");
            }
        }
        assert!(asked >= 20, "{name}");
        let found = asked - missed.len();
        println!("{name}: {found} of {asked}, without {missed:?}");
        assert!(found * 100 >= asked * LEAST_FOUND, "{name}: {found} of {asked}: {missed:?}");
    }
}
