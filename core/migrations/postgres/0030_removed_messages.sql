-- no-transaction
-- What retention has left of messages: it goes when there is a newer one. Built beside cores that write, as messages_turns is.
create index concurrently if not exists messages_removed on messages (thread_id, id) where removed is not null;
