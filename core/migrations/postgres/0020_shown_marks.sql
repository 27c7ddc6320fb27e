-- In a migration of its own, as 0011: whoever reads several of these tables would wait for this one, and it for them.
-- How far the peer is shown that the user has got; null where that is how far it is.
alter table thread_states
    add column shown_seen_id bigint,
    add column shown_delivered_id bigint;
