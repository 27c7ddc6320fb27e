-- In a migration of its own: whoever reads threads and their messages would wait for this one, and it for them.
-- Of each participant the newest message that they sent, and the newest of these that the other one was shown; 0 where there
-- is none, null where it is not known. They count where last_message does.
alter table threads
    add column low_sent bigint,
    add column low_shown bigint,
    add column high_sent bigint,
    add column high_shown bigint;

-- How far a participant has got, from the first mark or other change of it on. seq: the place of the latest change of what the
-- user is to see of the thread, in the user's feed. Each mark rewrites it: a part of each page is left for the next version of
-- its rows.
create table thread_states (
    user_key     bigint not null,
    thread_id    bigint not null,
    seen_id      bigint not null default 0,
    delivered_id bigint not null default 0,
    seq          bigint,
    primary key (user_key, thread_id)
) with (fillfactor = 70);

create unique index thread_states_seq on thread_states (user_key, seq) where seq is not null;
