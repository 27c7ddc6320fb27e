-- no-transaction
-- Where another sender's turn may begin: so a count passes over what one's own turns hold. Built beside cores that write; none of
-- ours waits inside of a statement for its turn to migrate.
create index concurrently if not exists messages_turns on messages (thread_id, id) where continues is null;
