-- When a block was stored, by the clock of the server: other cores look for new ones while users tell what they do just now. So it
-- is dated whatever the version of the core that stores it.
alter table blocks
    add column noted bigint not null default (extract(epoch from clock_timestamp()) * 1000000)::bigint;

create index blocks_noted on blocks (noted);
