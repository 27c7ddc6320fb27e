-- Uploads that came as forms which an HTTP library may send again by itself: the same form is one upload for ten minutes.
-- Rows stay: a boundary that was ever sent with other bytes, or by another user, is a fixed one, which says nothing.
create table sent_forms (
    -- Digest of the boundary, which was drawn at random.
    boundary   blob    not null check (length(boundary) = 16),
    -- Digest of who sent it and of all its bytes.
    content    blob    not null check (length(content) = 16),
    -- What was stored; set to null when another form is stored ten minutes later, or more.
    message_id integer,
    -- Microseconds since the epoch.
    sent       integer not null,
    primary key (boundary, content)
) strict, without rowid;

create index sent_forms_sent on sent_forms (sent) where message_id is not null;
