-- 1 where retention has removed the message. What is left of it, of the newest that each user has sent in a thread, tells how far the
-- thread has come: its ids, places and times. It is deleted, hidden for who was shown it, and has no text, reference or file.
alter table messages add column removed integer;

create index messages_removed on messages (thread_id, id) where removed is not null;

-- 1 where the file is to be removed, and the message that had it is not there any more.
alter table uploads add column erased integer;

-- The file of the newest message of those that were removed with one: it tells a directory of files that it is of this database.
create table removed_file (
    id         integer primary key check (id = 1),
    message_id integer not null,
    path       text    not null
) strict;

-- What the files take is counted (0009) when one is removed, too.
create trigger messages_removed_file after delete on messages
    when old.attachment_path is not null and old.deleted = 0
begin
    update user_storage set bytes = bytes - coalesce(old.attachment_size, 0) where user_key = old.sender;
end;

-- Deleted users all of whose messages are being erased.
create table erasures (
    user_key   integer primary key references users (key),
    -- Microseconds since the epoch. Another one when it was asked for again.
    begun      integer not null,
    -- The newest message when it began, or when the user came back, if that was later: what they have sent since stays.
    through_id integer not null,
    -- 1 where they did.
    bounded    integer not null default 0,
    -- What the user sent up to this place in their feed is erased.
    next_seq   integer not null default 0
) strict;
