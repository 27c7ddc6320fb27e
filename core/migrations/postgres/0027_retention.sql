-- True where retention has removed the message. What is left of it, of the newest that each user has sent in a thread, tells how far
-- the thread has come: its ids, places and times. It is deleted, hidden for who was shown it, and has no text, reference or file.
alter table messages add column if not exists removed boolean;

-- What the files take is counted (0016) when one is removed, too.
create or replace function count_removed_file() returns trigger language plpgsql as $$
begin
    update user_storage set bytes = bytes - coalesce(old.attachment_size, 0) where user_key = old.sender;
    return null;
end
$$;

create or replace trigger messages_removed_file after delete on messages for each row
    when (old.attachment_path is not null and not old.deleted)
    execute function count_removed_file();
