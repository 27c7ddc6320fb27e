-- no-transaction
-- What a user has sent of files: it is counted once for each user, and the newest is looked up. Built beside cores that write, as
-- messages_turns is.
create index concurrently if not exists messages_files on messages (sender, id) include (attachment_size)
    where attachment_path is not null and not deleted;
