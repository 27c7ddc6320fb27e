-- Starts of this history: each start of a core adds a row, and none is ever changed or removed. The identifier holds the
-- time and random bits, so that a history that goes on from an older copy never has a start of the one that was lost.
create table starts (
    start integer primary key,
    -- By the clock, microseconds since the epoch.
    began integer not null
) strict;

-- The start in which the feed last moved; 0 before the first that was noted.
alter table feeds add column start integer not null default 0;

-- Where a feed stood when it first moved in a start. A position that was reached before that start, and is greater,
-- belongs to a history that was lost.
create table feed_starts (
    user_key integer not null,
    start    integer not null,
    last_seq integer not null,
    primary key (user_key, start)
) strict, without rowid;

-- The place at which the message first appeared to each participant; null where that is still its latest place.
alter table messages add column sender_first_seq integer;
alter table messages add column receiver_first_seq integer;
create unique index messages_receiver_first_seq on messages (receiver, receiver_first_seq)
    where receiver_first_seq is not null;

-- The start that noted the file.
alter table uploads add column start integer not null default 0;

-- References of sends that were refused when they were repeated: a first copy that is still on its way is refused too.
create table refused_sends (
    sender     integer not null,
    client_ref blob    not null check (length(client_ref) = 16),
    -- Microseconds since the epoch.
    refused    integer not null,
    primary key (sender, client_ref)
) strict, without rowid;

create index refused_sends_refused on refused_sends (refused);

-- What the core writes, and removes, to find out whether a disk that was full has room again.
create table write_room (
    bytes blob not null
) strict;
