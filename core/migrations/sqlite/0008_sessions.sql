-- What every edge is to know of access tokens that count no more, and of WebSockets that are to end.
create table session_notices (
    -- Greater than that of all that was written before. The row with the greatest is never removed.
    version integer not null unique,
    -- 0: the tokens of all. 1: of a user. 2: one token. 3: the sessions of a user. 4: one session. 5: a question.
    kind    integer not null,
    -- Of 1 and 3 the user, of 2 the digest of the token's name, of 4 the session, of 5 the question and the user.
    key     blob not null,
    -- Of tokens: the last second, since the epoch, in which one was issued that is meant. Else microseconds since the epoch.
    cutoff  integer not null,
    -- Seconds since the epoch, from which on it says nothing any more; null: never.
    expires integer,
    primary key (kind, key)
) strict, without rowid;

create index session_notices_expires on session_notices (expires) where expires is not null;
