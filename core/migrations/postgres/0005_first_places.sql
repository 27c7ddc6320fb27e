-- no-transaction
create unique index concurrently if not exists messages_receiver_first_seq
    on messages (receiver, receiver_first_seq) where receiver_first_seq is not null;
