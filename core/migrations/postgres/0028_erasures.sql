-- In a migration of its own, as 0011: a core that runs may hold uploads and wait for messages.
-- True where the file is to be removed, and the message that had it is not there any more.
alter table uploads add column if not exists erased boolean;

-- Deleted users all of whose messages are being erased.
create table if not exists erasures (
    user_key   bigint primary key,
    -- Microseconds since the epoch. Another one when it was asked for again.
    begun      bigint not null,
    -- The newest message when it began, or when the user came back, if that was later: what they have sent since stays.
    through_id bigint not null,
    -- Whether they did.
    bounded    boolean not null default false,
    -- What the user sent up to this place in their feed is erased.
    next_seq   bigint not null default 0,
    -- The core that works at it, and when it last did, in microseconds since the epoch by the clock of the server.
    worker     uuid,
    worked     bigint not null default 0
);
