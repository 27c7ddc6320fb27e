-- Users carry a UUID outside and a small integer key inside: the key is what messages, threads
-- and their indexes repeat.
create table users (
    key     integer primary key,
    id      blob    not null unique check (length(id) = 16),
    email   text    not null,
    profile text,
    deleted integer not null default 0,
    updated integer not null
) strict;

-- The sequence of changes that a user should learn of; apart from users, because every message
-- moves two of them.
create table feeds (
    user_key integer primary key references users (key),
    last_seq integer not null
) strict;

-- One per unordered pair; user_one is the participant who wrote first.
create table threads (
    id            integer primary key,
    low_key       integer not null references users (key),
    high_key      integer not null references users (key),
    user_one      integer not null,
    created       integer not null,
    last_activity integer not null,
    unique (low_key, high_key),
    check (low_key < high_key and user_one in (low_key, high_key))
) strict;

create index threads_high_key on threads (high_key);

-- Stored in conversation order, so that a history is one range of the table and costs the same
-- however large the table is. Times are microseconds since the epoch, UTC.
-- sender_seq and receiver_seq: the place of the row's latest change in the feed of each
-- participant; an uploaded file has no receiver_seq until it is dispatched.
create table messages (
    thread_id       integer not null references threads (id),
    id              integer not null,
    sender          integer not null references users (key),
    receiver        integer not null references users (key),
    body            text    not null,
    created         integer not null,
    updated         integer not null,
    seen            integer not null default 0,
    deleted         integer not null default 0,
    sender_seq      integer not null,
    receiver_seq    integer,
    client_ref      blob check (length(client_ref) = 16),
    attachment_path text,
    attachment_name text,
    attachment_size integer,
    attachment_type text,
    dispatched      integer,
    primary key (thread_id, id)
) strict, without rowid;

create unique index messages_id on messages (id);
create unique index messages_sender_seq on messages (sender, sender_seq);
create unique index messages_receiver_seq on messages (receiver, receiver_seq)
    where receiver_seq is not null;
create unique index messages_client_ref on messages (sender, client_ref)
    where client_ref is not null;
create unique index messages_attachment_path on messages (attachment_path)
    where attachment_path is not null;

-- Files that are being uploaded: noted before a file is begun, and taken away in the transaction of the
-- message that refers to it, or after the file was removed. What a start finds here is what a crash
-- cut off.
create table uploads (
    path text primary key
) strict, without rowid;

-- One row that a core rewrites to find out whether a database that failed takes writes again.
create table write_probe (
    id      integer primary key check (id = 1),
    written integer not null
) strict;
