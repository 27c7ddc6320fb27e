//! What is in the way of a step of the indexer on PostgreSQL: behind it all is found, and nothing as it was before.

use netrox_harness::{Arrangement, Role, TestChat, database::Database, eventually, run_test};
use sqlx::{AssertSqlSafe, PgConnection};

use crate::{
    running::{Connection, authorized, connect_to},
    search_index::complete_of,
};

/// Two that index, and one without search.
const INDEXING: [Role; 2] = [Role::Core(0), Role::Core(1)];
const OFF: Role = Role::Core(2);
/// How often it is tried to be in the way at the right moment.
const ATTEMPTS: usize = 60;
/// How often that has to be so.
const RACES: usize = 3;

async fn start() -> TestChat {
    TestChat::builder(Arrangement::Cluster)
        .cores(3)
        .edges(0)
        .set("search", "true")
        .set("log-filter", "info,netrox_core=debug")
        .variable(OFF, "NETROX_CHAT_SEARCH", "false")
        .start()
        .await
}

async fn connect(chat: &TestChat, core: Role) -> Connection {
    authorized(connect_to(chat.grpc_address_of(core)).await)
}

async fn all_indexed(chat: &TestChat) {
    for core in INDEXING {
        complete_of(chat, core).await;
    }
}

/// Steps that were given up for this reason.
fn given_up(chat: &TestChat, reason: &str) -> usize {
    let is_it =
        |line: &String| line.contains("a step of upkeep is given up") && line.contains(reason);
    let steps = |core| chat.log(core).lines().into_iter().filter(is_it).count();
    INDEXING.into_iter().map(steps).sum()
}

/// A session that is in the way.
struct Holder {
    session: PgConnection,
    process: i32,
}

impl Holder {
    async fn of(database: &Database) -> Self {
        let mut session = database.connect().await;
        let process = sqlx::query_scalar("select pg_backend_pid()").fetch_one(&mut session);
        let process = process.await.expect("a process");
        Self { session, process }
    }

    async fn run(&mut self, statement: &str) {
        let ran = sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut self.session).await;
        ran.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }

    /// Takes the entry of a message.
    async fn hold(&mut self, message: i64) {
        let entry = message * 2;
        self.run(&format!("begin; select 1 from message_words where id = {entry} for update"))
            .await;
    }

    async fn let_go(&mut self) {
        self.run("rollback").await;
    }
}

/// Who looks on, and has messages indexed anew.
struct Looker(PgConnection);

impl Looker {
    async fn count(&mut self, query: &str) -> i64 {
        let count = sqlx::query_scalar(AssertSqlSafe(query)).fetch_one(&mut self.0).await;
        count.unwrap_or_else(|error| panic!("{query}: {error}"))
    }

    async fn waits_for(&mut self, holder: i32) -> bool {
        let query = "select count(*) from pg_stat_activity where {} = any(pg_blocking_pids(pid))";
        self.count(&query.replace("{}", &holder.to_string())).await > 0
    }

    /// Sessions that wait for another.
    async fn waiting(&mut self) -> i64 {
        let query = "select count(*) from pg_stat_activity
            where datname = current_database() and cardinality(pg_blocking_pids(pid)) > 0";
        self.count(query).await
    }

    async fn run(&mut self, statement: &str) {
        let ran = sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut self.0).await;
        ran.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }

    /// As where these were stored by a core without search.
    async fn note(&mut self, messages: &[i64]) {
        let ids = messages.iter().map(i64::to_string).collect::<Vec<_>>().join(", ");
        self.run(&format!(
            "insert into unindexed_messages select id, sender, receiver from messages
             where id in ({ids}) on conflict do nothing"
        ))
        .await;
    }

    /// As where all were stored before there was an index.
    async fn begin_anew(&mut self) {
        self.run("update search_build set next_id = (select max(id) from messages)").await;
    }

    async fn forget_words(&mut self) {
        self.run("update message_words set words = null").await;
    }
}

/// A core without search changes a message while another has read it and not indexed it yet: one that was noted, which the change
/// notes again, and one that was there before.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_changed_while_a_step_has_read_it_is_found_as_it_stands() {
    run_test(async {
        let chat = start().await;
        let (one, two) = (connect(&chat, INDEXING[0]).await, connect(&chat, INDEXING[1]).await);
        let off = connect(&chat, OFF).await;
        let [ada, bob] = one.users().await;
        let first = one.say(&ada, &bob, "harbour").await;
        let second = one.say(&ada, &bob, "lighthouse").await;
        all_indexed(&chat).await;
        let mut holder = Holder::of(chat.database()).await;
        let mut looker = Looker(chat.database().connect().await);
        let mut races = [0; 2];
        for attempt in 0..ATTEMPTS {
            let is_noted = attempt % 2 == 0;
            // The step takes both in their order, and waits at the first.
            holder.hold(first).await;
            if is_noted {
                looker.note(&[first, second]).await;
            } else {
                looker.begin_anew().await;
            }
            eventually("a step", async || looker.waits_for(holder.process).await.then_some(()))
                .await;
            let text = format!("lighthouse{attempt}");
            let mut edited = std::pin::pin!(off.edit(&ada, second, &text));
            let mut is_edited = false;
            // Whoever changes what the step has read waits for it.
            while !is_edited && looker.waits_for(holder.process).await {
                if looker.waiting().await > 1 {
                    break;
                }
                let moment = std::time::Duration::from_millis(5);
                if let Ok(done) = tokio::time::timeout(moment, edited.as_mut()).await {
                    done.expect("edited");
                    is_edited = true;
                }
            }
            races[attempt % 2] += usize::from(looker.waits_for(holder.process).await);
            holder.let_go().await;
            if !is_edited {
                edited.await.expect("edited");
            }
            for core in [&one, &two] {
                eventually("the new text", async || {
                    (core.found(&bob, &text).await == [second]).then_some(())
                })
                .await;
                if let Some(before) = attempt.checked_sub(1) {
                    let found = core.found(&bob, &format!("lighthouse{before}")).await;
                    assert!(found.is_empty(), "{found:?}");
                }
                assert_eq!(core.found(&ada, "harbour").await, [first]);
            }
            all_indexed(&chat).await;
            let entry = second * 2;
            let words = format!(
                "select count(*) from message_words where id = {entry} and words like '%{text}%'"
            );
            eventually("the entry", async || (looker.count(&words).await == 1).then_some(())).await;
            if races.into_iter().all(|races| races >= RACES) {
                return;
            }
        }
        panic!("no more than {races:?} races");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_deadlock_of_a_step_all_is_found() {
    const DEADLOCK: &str = "deadlock detected";
    run_test(async {
        let mut chat = start().await;
        // It is looked for before the step gives up by itself. A superuser may say so.
        let soon =
            format!("alter database {} set deadlock_timeout = '20ms'", chat.database().name());
        chat.database().execute(&soon).await;
        for core in INDEXING {
            chat.restart(core).await;
        }
        let (one, two) = (connect(&chat, INDEXING[0]).await, connect(&chat, INDEXING[1]).await);
        let [ada, bob] = one.users().await;
        let first = one.say(&ada, &bob, "harbour one").await;
        let second = one.say(&ada, &bob, "harbour two").await;
        all_indexed(&chat).await;
        let mut looker = Looker(chat.database().connect().await);
        let mut attempts = 0..ATTEMPTS;
        while given_up(&chat, DEADLOCK) == 0 {
            assert!(attempts.next().is_some(), "no deadlock");
            looker.forget_words().await;
            let mut holder = Holder::of(chat.database()).await;
            let mut other = Holder::of(chat.database()).await;
            // It is the step that finds out.
            other.run("set deadlock_timeout = '1min'").await;
            holder.hold(first).await;
            other.hold(second).await;
            looker.note(&[first, second]).await;
            eventually("a step", async || looker.waits_for(holder.process).await.then_some(()))
                .await;
            // What the step has: the other waits for it, and then it for the other.
            let process = other.process;
            let note = format!("select 1 from unindexed_messages where id = {first} for update");
            let asking = tokio::spawn(async move {
                other.run(&note).await;
                other.let_go().await;
            });
            let blocked = format!("select cardinality(pg_blocking_pids({process}))::bigint");
            while looker.waits_for(holder.process).await && looker.count(&blocked).await == 0 {}
            holder.let_go().await;
            asking.await.expect("no panic");
        }
        // Until then they are looked for beside the index.
        let noted = "select count(*) from unindexed_messages";
        eventually("nothing noted", async || (looker.count(noted).await == 0).then_some(())).await;
        for core in [&one, &two] {
            assert_eq!(core.found(&bob, "harbour").await, [second, first]);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_takes_too_long_is_done_in_smaller_ones() {
    const MESSAGES: usize = 12;
    /// Long enough for so many to be too much for a step, and not for a few.
    const SLOW: &str = "\
        create function take_long() returns trigger language plpgsql as $$
        begin
            perform pg_sleep(0.03);
            return new;
        end
        $$;
        create trigger take_long before insert or update on message_words
            for each row execute function take_long()";
    run_test(async {
        let chat = start().await;
        let one = connect(&chat, INDEXING[0]).await;
        let [ada, bob] = one.users().await;
        let mut ids = Vec::new();
        for number in 0..MESSAGES {
            ids.push(one.say(&ada, &bob, &format!("beacon {number}")).await);
        }
        all_indexed(&chat).await;
        let mut looker = Looker(chat.database().connect().await);
        // What waits for a lock is given up sooner.
        let mut holder = Holder::of(chat.database()).await;
        holder.hold(ids[0]).await;
        looker.note(&ids[..1]).await;
        eventually("a step without its lock", async || {
            (given_up(&chat, "lock timeout") > 0).then_some(())
        })
        .await;
        holder.let_go().await;
        all_indexed(&chat).await;

        looker.forget_words().await;
        looker.run(SLOW).await;
        looker.begin_anew().await;
        eventually("a step that took too long", async || {
            (given_up(&chat, "statement timeout") > 0).then_some(())
        })
        .await;
        ids.reverse();
        eventually("all", async || (one.found(&bob, "beacon").await == ids).then_some(())).await;
        // Whoever writes waits for no more than a step.
        let last = one.say(&bob, &ada, "beacon last").await;
        assert_eq!(one.found(&ada, "beacon last").await, [last]);
        all_indexed(&chat).await;
    })
    .await;
}
