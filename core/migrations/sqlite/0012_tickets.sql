-- Tickets that were used, each of which opened one WebSocket, until they would be refused for their age.
create table spent_tickets (
    -- Random.
    id      blob primary key check (length(id) = 16),
    -- Until when it was good, microseconds since the epoch.
    expires integer not null
) strict, without rowid;

create index spent_tickets_expires on spent_tickets (expires);

-- What tickets and expiring links are signed with. Each day there is a new one.
create table ticket_keys (
    -- Random.
    id      integer primary key,
    key     blob not null,
    -- Microseconds since the epoch.
    created integer not null
) strict;
