-- Who blocks whom. What a blocked user sends to the blocker is swallowed: stored for its sender alone, for good. Such a message has no
-- receiver_seq, and hidden_for_receiver is set.
create table blocks (
    blocker integer not null,
    blocked integer not null,
    -- Microseconds since the epoch.
    created integer not null,
    primary key (blocker, blocked)
) strict, without rowid;

-- How far the peer is shown that the user has got; null where that is how far it is.
alter table thread_states add column shown_seen_id integer;
alter table thread_states add column shown_delivered_id integer;

-- Of each participant the newest message that was swallowed; null where none was. last_message, low_sent and high_sent leave these out.
alter table threads add column low_swallowed integer;
alter table threads add column high_swallowed integer;
-- When the thread began for the one who is not user_one, and who wrote first then: set where all that user_one had sent before was
-- swallowed.
alter table threads add column late_created integer;
alter table threads add column late_one integer;

-- What the receiver goes on to see of a message that its sender edited while blocked: a JSON object.
alter table messages add column receiver_sees text;
