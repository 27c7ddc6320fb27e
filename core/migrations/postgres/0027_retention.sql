-- True where retention has removed the message. What is left of it, of the newest that each user has sent in a thread, tells how far
-- the thread has come: its ids, places and times. It is deleted, hidden for both, and has no text, reference or file.
alter table messages add column if not exists removed boolean;

-- True where the file is to be removed, and the message that had it is not there any more.
alter table uploads add column if not exists erased boolean;

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

-- Deleted users all of whose messages are being erased.
create table if not exists erasures (
    user_key   bigint primary key,
    -- Microseconds since the epoch. Another one when it was asked for again.
    begun      bigint not null,
    -- The newest message when it began: of a user who came back, later ones stay.
    through_id bigint not null,
    -- What the user sent up to this place in their feed is erased.
    next_seq   bigint not null default 0,
    -- The core that works at it, and when it last did, in microseconds since the epoch by the clock of the server.
    worker     uuid,
    worked     bigint not null default 0
);
