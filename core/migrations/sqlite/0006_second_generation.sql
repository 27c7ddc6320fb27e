-- What a message may carry besides its text: the message that it answers, and a JSON object of the client's.
alter table messages add column reply_to integer;
alter table messages add column meta text;
-- 1 where the participant has deleted it for themselves.
alter table messages add column hidden_for_sender integer;
alter table messages add column hidden_for_receiver integer;
-- 1 where the sender's own client chose client_ref.
alter table messages add column ref_from_client integer;
-- 1 where the message before it in its thread is of the same sender; null where it is not, or where that was not noted.
alter table messages add column continues integer;

-- Where another sender's turn may begin: so a count passes over what one's own turns hold.
create index messages_turns on messages (thread_id, id) where continues is null;

-- Of each participant the newest message that they sent, and the newest of these that the other one was shown; 0 where there
-- is none, null where it is not known. They count where last_message does.
alter table threads add column low_sent integer;
alter table threads add column low_shown integer;
alter table threads add column high_sent integer;
alter table threads add column high_shown integer;

-- How far a participant has got, from the first mark or other change of it on. seq: the place of the latest change of what the
-- user is to see of the thread, in the user's feed.
create table thread_states (
    user_key     integer not null references users (key),
    thread_id    integer not null references threads (id),
    seen_id      integer not null default 0,
    delivered_id integer not null default 0,
    seq          integer,
    primary key (user_key, thread_id)
) strict, without rowid;

create unique index thread_states_seq on thread_states (user_key, seq) where seq is not null;
