-- What messages are found by, for --search. Empty until the first start with it, which makes the index over the words and the
-- triggers that note what is not indexed (core/src/store/search/postgres.rs).
--
-- id: that of the message times two, and one more for what its receiver alone sees. words: folded, behind a token of the thread and
-- of each user who may find it; null where nobody may. version: the sum of the message's places in feeds, which grows with each change.
create table message_words (
    id      bigint primary key,
    words   text,
    version bigint not null
);

-- Messages that were stored or changed by a core without --search, or that had more text than is indexed at a time. Whoever searches
-- looks through those of their own.
create table unindexed_messages (
    id       bigint primary key,
    sender   bigint not null,
    receiver bigint not null
);
create index unindexed_messages_of_sender on unindexed_messages (sender, id);
create index unindexed_messages_of_receiver on unindexed_messages (receiver, id);

-- At most one row, from the first start with --search on. next_id: messages up to it were there before, and are to be indexed.
create table search_build (
    id      bigint primary key check (id = 1),
    next_id bigint not null
);

-- Eight letters and digits that are in no word, so that each three of them tell few users apart from all others. In plpgsql: what SQL
-- cannot inline costs eighty times as much.
create or replace function search_token(key bigint) returns text language plpgsql immutable strict parallel safe as $$
declare
    n bigint := key % 2147483647 * 1103515245 % 2147483647;
begin
    return chr(48 + (n % 10)::int) || chr(97 + (n / 10 % 26)::int)
        || chr(48 + (n / 260 % 10)::int) || chr(97 + (n / 2600 % 26)::int)
        || chr(48 + (n / 67600 % 10)::int) || chr(97 + (n / 676000 % 26)::int)
        || chr(48 + (n / 17576000 % 10)::int) || chr(97 + (n / 175760000 % 26)::int);
end
$$;

-- The words of an entry; null where nobody may find it.
create or replace function search_words(thread_id bigint, one bigint, two bigint, words text) returns text
language plpgsql immutable parallel safe as $$
begin
    if coalesce(one, two) is null then
        return null;
    end if;
    return search_token(thread_id * 2 + 1) || ' ' || coalesce(search_token(one * 2) || ' ', '')
        || coalesce(search_token(two * 2), '') || words;
end
$$;

-- The newest entries below one that a user may find, as far as the index tells. Sessions that read make no bitmaps, by which
-- alone the index can be read: here they do. The index gives all that match, which are read and sorted, however few are wanted. So the
-- newest rows are read first, without it, and more of them as long as they are rich in what is searched for.
create or replace function search_entries(user_key bigint, thread_id bigint, patterns text[], below bigint, most bigint)
returns bigint[] language plpgsql stable set enable_bitmapscan = on as $$
declare
    condition text := format('words like %L', '%' || search_token(user_key * 2) || '%');
    pattern text;
    read_most bigint := 2048;
    read bigint;
    found bigint[];
begin
    if thread_id is not null then
        condition := condition || format(' and words like %L', '%' || search_token(thread_id * 2 + 1) || '%');
    end if;
    foreach pattern in array patterns loop
        condition := condition || format(' and words like %L', '%' || pattern || '%');
    end loop;
    loop
        execute 'select count(*), array_agg(id order by id desc) filter (where ' || condition
            || ') from (select id, words from message_words where id < $1 order by id desc limit $2) as newest'
            into read, found using below, read_most;
        found := coalesce(found, '{}');
        if cardinality(found) >= most or read < read_most then
            return found[1:most::int];
        end if;
        exit when cardinality(found) * 8 < most or read_most > 100000;
        read_most := read_most * 8;
    end loop;
    execute 'select array_agg(id) from (select id from (select id from message_words where ' || condition
        || ' and id + 0 < $1 offset 0) as matching order by id desc limit $2) as newest'
        into found using below, most;
    return coalesce(found, '{}');
end
$$;

-- As store_messages, and indexes what it stores. words: the folded text of each message; null of one that is to be indexed later.
create or replace function store_searched_messages(
    current_start bigint, now bigint, begin_by bigint, not_after bigint,
    user_ids uuid[], steps bigint[],
    thread_one int[], thread_two int[], thread_steps bigint[], thread_last int[],
    last_of_one int[], last_of_two int[],
    threads_of int[], senders int[], receivers int[], thread_step bigint[], sender_step bigint[], receiver_step bigint[],
    follows boolean[],
    bodies text[], metas text[], client_refs uuid[], from_client boolean[],
    words text[],
    out clock bigint, out user_keys bigint[], out last_seqs bigint[], out starts bigint[],
    out thread_ids bigint[], out activities bigint[], out message_ids bigint[]
) returns record language plpgsql as $$
begin
    select s.clock, s.user_keys, s.last_seqs, s.starts, s.thread_ids, s.activities, s.message_ids
        into clock, user_keys, last_seqs, starts, thread_ids, activities, message_ids
        from store_messages($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20,
            $21, $22, $23) as s;
    if message_ids is null then
        return;
    end if;
    -- Of a text without any word a space is left.
    insert into message_words as e (id, words, version)
        select m.id * 2,
            search_words(thread_ids[m.thread], user_keys[m.sender], user_keys[m.receiver], m.folded), 0
        from unnest(message_ids, threads_of, senders, receivers, $24) as m (id, thread, sender, receiver, folded)
        where length(m.folded) > 1
        on conflict (id) do update set words = excluded.words, version = excluded.version;
    if array_position($24, null) is not null then
        insert into unindexed_messages (id, sender, receiver)
            select m.id, user_keys[m.sender], user_keys[m.receiver]
            from unnest(message_ids, senders, receivers, $24) as m (id, sender, receiver, folded)
            where m.folded is null
            on conflict (id) do update set id = excluded.id;
    end if;
end
$$;
