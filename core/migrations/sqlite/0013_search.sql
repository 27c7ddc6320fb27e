-- What messages are found by, for --search. Empty until the first start with it. The rowid of an entry: the id of the message times
-- two, and one more for what its receiver alone sees. words: folded, behind a token of the thread and of each user who may find it.
create virtual table message_words using fts5 (
    words, content='', contentless_delete=1, detail=none, tokenize='trigram case_sensitive 1'
);

-- Messages that were stored or changed without --search, or that had more text than is indexed at a time. Whoever searches
-- looks through those of their own.
create table unindexed_messages (
    id       integer primary key,
    sender   integer not null,
    receiver integer not null
) strict;
create index unindexed_messages_of_sender on unindexed_messages (sender, id);
create index unindexed_messages_of_receiver on unindexed_messages (receiver, id);

-- At most one row, from the first start with --search on. next_id: messages up to it were there before, and are to be indexed.
create table search_build (
    id      integer primary key check (id = 1),
    next_id integer not null
) strict;
