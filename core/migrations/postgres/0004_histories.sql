-- Starts of this history: the first core that finds a server started, promoted or restored adds a row, and none is ever
-- changed or removed. The identifier holds the time and random bits, so that a history that goes on from an older copy never
-- has a start of the one that was lost.
create table starts (
    start             bigint primary key,
    -- By the clock of the database, microseconds since the epoch.
    began             bigint not null,
    -- The server that it began on. Readable for any role: pg_control_system(), the name of the current log file,
    -- pg_postmaster_start_time() in microseconds.
    system_identifier bigint not null,
    timeline          bigint not null,
    server_started    bigint not null,
    -- Its oid.
    database          bigint not null,
    -- The transaction that wrote the row. The row of a dump that was restored has another one in xmin.
    written_by        xid    not null default pg_current_xact_id()::xid
);

-- The start in which the feed last moved; 0 before the first that was noted.
alter table feeds add column start bigint not null default 0;

-- Where a feed stood when it first moved in a start. A position that was reached before that start, and is greater,
-- belongs to a history that was lost.
create table feed_starts (
    user_key bigint not null,
    start    bigint not null,
    last_seq bigint not null,
    primary key (user_key, start)
);

-- The place at which the message first appeared to each participant; null where that is still its latest place.
alter table messages add column sender_first_seq bigint, add column receiver_first_seq bigint;

-- The start that noted the file.
alter table uploads add column start bigint not null default 0;

-- References of sends that were refused when they were repeated: a first copy that is still on its way is refused too.
create table refused_sends (
    sender     bigint not null,
    client_ref uuid   not null,
    -- Microseconds since the epoch.
    refused    bigint not null,
    primary key (sender, client_ref)
);

create index refused_sends_refused on refused_sends (refused);

-- What a core writes, and removes, to find out whether a disk that was full has room again.
create unlogged table write_room (
    bytes bytea not null
);
alter table write_room alter column bytes set storage external;
