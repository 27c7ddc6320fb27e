//! The sequences that identifiers come from.

use sqlx::PgConnection;

const LIFT: [&str; 3] = [
    "select setval('message_ids', greatest((select last_value from message_ids),
        (select coalesce(max(id), 0) from messages)) + $1)",
    "select setval('thread_ids', greatest((select last_value from thread_ids),
        (select coalesce(max(id), 0) from threads)) + $1)",
    "select setval(pg_get_serial_sequence('users', 'key'), greatest((select last_value from users_key_seq),
        (select coalesce(max(key), 0) from users)) + $1)",
];

pub(in crate::store) async fn lift_sequences(
    connection: &mut PgConnection,
    margin: i64,
) -> Result<(), sqlx::Error> {
    for statement in LIFT {
        sqlx::query(statement).bind(margin).execute(&mut *connection).await?;
    }
    Ok(())
}
