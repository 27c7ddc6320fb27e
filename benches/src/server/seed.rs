//! A large database, written straight into the tables of the embedded store: at the rate of the public
//! protocol it would take hours.
//!
//! One conversation of [`CONVERSATION`] messages, and as many others of a thousand each as the wanted
//! number of rows takes, written interleaved as a server would have.

use std::path::Path;

use sqlx::{ConnectOptions as _, Connection as _, Executor as _, sqlite::SqliteConnectOptions};
use uuid::Uuid;

use crate::{Result, progress::note};

/// Messages of the conversation that is read.
pub(crate) const CONVERSATION: u64 = 100_000;
/// Messages of each of the others.
const ROUNDS: u64 = 1_000;
const PER_ROUND: u64 = CONVERSATION / ROUNDS;
/// The least number of rows that there can be.
pub(crate) const MIN_ROWS: u64 = 2 * CONVERSATION;

/// The two who wrote it.
pub(crate) const ONE: Uuid = Uuid::from_u128(0x5eed_0000_0000_4000_8000_0000_0000_0001);
pub(crate) const TWO: Uuid = Uuid::from_u128(0x5eed_0000_0000_4000_8000_0000_0000_0002);

const USERS: &str = "\
    insert into users (key, id, email, updated)
    with recursive n(key) as (select 1 union all select key + 1 from n where key < $1)
    select key, case key when 1 then $2 when 2 then $3 else randomblob(16) end, '', 0 from n";
const THREADS: &str = "\
    insert into threads (id, low_key, high_key, user_one, created, last_activity)
    select key / 2, key - 1, key, key - 1, 0, 0 from users where key % 2 = 0";
const FEEDS: &str = "\
    insert into feeds (user_key, last_seq) select key, iif(key <= 2, $1, $2) from users";
/// One round: slots below `$3` belong to the long conversation, each other to its own.
const MESSAGES: &str = "\
    insert into messages (thread_id, id, sender, receiver, body, created, updated, sender_seq,
        receiver_seq)
    with recursive n(slot) as (select 0 union all select slot + 1 from n where slot + 1 < $2),
    m(slot, thread, seq) as materialized (select slot, iif(slot < $3, 1, slot - $3 + 2),
        iif(slot < $3, $1 * $3 + slot + 1, $1 + 1) from n)
    select thread, $1 * $2 + slot + 1, 2 * thread - 1, 2 * thread, printf('%064d', slot),
        $1 * $2 + slot + 1, $1 * $2 + slot + 1, seq, seq from m";

/// Fills a database that has its schema and nothing else, and that no process has open.
pub(crate) async fn fill(path: &Path, rows: u64) -> Result<()> {
    let slots = (rows.max(MIN_ROWS) / ROUNDS).cast_signed();
    let (rounds, per_round) = (ROUNDS.cast_signed(), PER_ROUND.cast_signed());
    let threads = 1 + slots - per_round;
    // Durable when it is closed; until then a crash costs nothing but the seed.
    let options = SqliteConnectOptions::new()
        .filename(path)
        .pragma("synchronous", "off")
        .pragma("cache_size", "-400000");
    let mut connection = options.connect().await?;
    sqlx::query(USERS)
        .bind(2 * threads)
        .bind(ONE.as_bytes().as_slice())
        .bind(TWO.as_bytes().as_slice())
        .execute(&mut connection)
        .await?;
    connection.execute(THREADS).await?;
    for round in 0..rounds {
        if round % 100 == 0 {
            note(format_args!("seeding: {} of {} messages", round * slots, rounds * slots));
        }
        sqlx::query(MESSAGES)
            .bind(round)
            .bind(slots)
            .bind(per_round)
            .execute(&mut connection)
            .await?;
    }
    let last_seqs = sqlx::query(FEEDS).bind(CONVERSATION.cast_signed()).bind(rounds);
    last_seqs.execute(&mut connection).await?;
    connection.execute("pragma wal_checkpoint(truncate)").await?;
    connection.execute("pragma synchronous = full").await?;
    connection.close().await?;
    Ok(())
}
