-- What every edge is to know of access tokens that count no more, and of WebSockets that are to end. Written under the lock
-- of the directory, so that versions are committed in their order.
create table session_notices (
    -- Greater than that of all that was written before. The row with the greatest is never removed.
    version bigint not null unique,
    -- 0: the tokens of all. 1: of a user. 2: one token. 3: the sessions of a user. 4: one session. 5: a question.
    kind    bigint not null,
    -- Of 1 and 3 the user, of 2 the digest of the token's name, of 4 the session, of 5 the question and the user.
    key     bytea  not null,
    -- Of tokens: the last second, since the epoch, in which one was issued that is meant. Else microseconds since the epoch.
    cutoff  bigint not null,
    -- Seconds since the epoch, from which on it says nothing any more; null: never.
    expires bigint,
    primary key (kind, key)
);

create index session_notices_expires on session_notices (expires) where expires is not null;

-- The edges that watch a core.
create table session_edges (
    edge text   primary key,
    -- By the clock of the database, microseconds since the epoch.
    seen bigint not null
);

-- What edges answered to questions, for the core that asked.
create table session_answers (
    question uuid   not null,
    edge     text   not null,
    sessions bytea  not null,
    -- By the clock of the database, microseconds since the epoch.
    answered bigint not null,
    primary key (question, edge)
);
