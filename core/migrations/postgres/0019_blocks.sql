-- Who blocks whom. What a blocked user sends to the blocker is swallowed: stored for its sender alone, for good. Such a message has no
-- receiver_seq, and hidden_for_receiver is set.
create table blocks (
    blocker bigint not null,
    blocked bigint not null,
    -- Microseconds since the epoch.
    created bigint not null,
    primary key (blocker, blocked)
);

-- True where the user blocks somebody, or once did. Null: blocks are not looked up.
alter table feeds add column has_blocks boolean;
