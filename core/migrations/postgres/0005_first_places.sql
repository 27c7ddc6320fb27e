-- In a migration of its own, so that histories are read meanwhile; nobody writes messages while it reads the table once. Not
-- concurrently: that would wait for cores that wait for their turn to migrate.
create unique index messages_receiver_first_seq on messages (receiver, receiver_first_seq)
    where receiver_first_seq is not null;
