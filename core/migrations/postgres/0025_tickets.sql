-- Tickets that were used, each of which opened one WebSocket, until they would be refused for their age.
create table spent_tickets (
    -- Random.
    id      uuid   primary key,
    -- Until when it was good, microseconds since the epoch.
    expires bigint not null
);

create index spent_tickets_expires on spent_tickets (expires);

-- What tickets and expiring links are signed with. Each day there is a new one.
create table ticket_keys (
    -- Random.
    id      bigint primary key,
    key     bytea  not null,
    -- Microseconds since the epoch.
    created bigint not null
);
