-- no-transaction
-- The oldest messages, for --retain-messages: ids do not tell, since an import brings old ones with ids of their own. Built beside
-- cores that write, as messages_turns is. Without what retention has left.
create index concurrently if not exists messages_created on messages (created) where removed is null;
