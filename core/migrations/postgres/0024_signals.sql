-- When a block was stored, by the clock of the server: other cores look for new ones while users tell what they do just now. So it
-- is dated whatever the version of the core that stores it. Those that are there are old, and none is written again. What a copy
-- or an import stores, which no core knows otherwise, has the date that they set for their session.
alter table blocks add column noted bigint not null default 0;
alter table blocks alter column noted set default coalesce(
    nullif(current_setting('netrox_chat.noted', true), '')::bigint,
    (extract(epoch from clock_timestamp()) * 1000000)::bigint);

create index blocks_noted on blocks (noted);

-- Users who were asked to be online to nobody, and whether they still are; and who was deleted. noted as in blocks.
create table hidden_users (
    user_key bigint  primary key,
    hidden   boolean not null,
    noted    bigint  not null default coalesce(
        nullif(current_setting('netrox_chat.noted', true), '')::bigint,
        (extract(epoch from clock_timestamp()) * 1000000)::bigint)
);

create index hidden_users_noted on hidden_users (noted);

-- The minute since the epoch in which a user was last seen, of those who have left since.
create table last_seen (
    user_key bigint primary key,
    minute   bigint not null
) with (fillfactor = 70);

-- Who is online with which core, while cores cannot tell each other over the bus.
create table rolls (
    core    uuid   primary key,
    version bigint not null,
    -- Microseconds since the epoch, by the clock of the server.
    renewed bigint not null,
    -- 16 bytes for each user.
    users   bytea  not null
);
