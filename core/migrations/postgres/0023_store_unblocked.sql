-- As before (0016), but for what is swallowed: where a receiver blocks the sender, or the first message that both see comes behind
-- swallowed ones, something is to be decided.
create or replace function store_messages(
    -- The start that the caller works in; microseconds since the epoch by the caller's clock, and by the server's.
    current_start bigint, now bigint, begin_by bigint, not_after bigint,
    -- In ascending order, with how many places each takes.
    user_ids uuid[], steps bigint[],
    -- Of each thread who wrote first in the batch, to whom, how many messages, and which of them is the last.
    thread_one int[], thread_two int[], thread_steps bigint[], thread_last int[],
    -- Which is the last that each of the two sends; 0 if none is.
    last_of_one int[], last_of_two int[],
    -- Of each message.
    threads_of int[], senders int[], receivers int[], thread_step bigint[], sender_step bigint[], receiver_step bigint[],
    -- Whether the one before it in its thread is of the same sender; null of the first in the batch.
    follows boolean[],
    bodies text[], metas text[], client_refs uuid[], from_client boolean[],
    -- What the server's clock said behind the locks. What there was: of users, and of threads, whose activity is null where
    -- they are new. The ids of the messages, null where nothing was stored.
    out clock bigint, out user_keys bigint[], out last_seqs bigint[], out starts bigint[],
    out thread_ids bigint[], out activities bigint[], out message_ids bigint[]
) returns record language plpgsql as $$
#variable_conflict use_column
declare
    -- The greatest id that every client can read.
    max_id constant bigint := 9007199254740991;
    messages constant int := cardinality(client_refs);
    is_deleted boolean;
    -- Whether any of the users blocks anybody, or once did.
    may_block boolean;
    -- Whether a thread has nothing but swallowed messages.
    is_one_sided boolean;
    latest_start bigint;
    has_refused boolean;
    -- Of each thread: who sent the last message, if that was noted.
    last_senders bigint[];
    -- And whether what each side sent was noted too.
    noted boolean[];
begin
    if extract(epoch from clock_timestamp()) * 1000000 > begin_by then
        clock := extract(epoch from clock_timestamp()) * 1000000;
        return;
    end if;
    select array_agg(l.key), array_agg(l.last_seq), array_agg(l.start), bool_or(l.deleted), bool_or(l.has_blocks)
        into user_keys, last_seqs, starts, is_deleted, may_block
        from (select * from (
            select u.id, u.key, u.deleted, f.last_seq, f.start, f.has_blocks
            from users u join feeds f on f.user_key = u.key where u.id = any(user_ids)
            order by f.user_key for update of f) as locked order by locked.id) as l;
    clock := extract(epoch from clock_timestamp()) * 1000000;
    if clock > not_after then
        return;
    end if;
    if is_deleted is distinct from false or cardinality(user_keys) <> cardinality(user_ids) then
        return;
    end if;
    -- From here on nobody else writes to these feeds.
    select (select s.start from starts s where s.xmin = s.written_by order by s.start desc limit 1),
            exists (select 1 from refused_sends)
        into latest_start, has_refused;
    if latest_start is distinct from current_start then
        return;
    end if;
    if has_refused and exists (
        select 1 from unnest(senders, client_refs) as w (sender, client_ref), lateral (
            select 1 from refused_sends r
            where r.sender = user_keys[w.sender] and r.client_ref = w.client_ref offset 0) as refused) then
        return;
    end if;
    if may_block and exists (
        select 1 from unnest(senders, receivers) as w (sender, receiver), lateral (
            select 1 from blocks b
            where b.blocker = user_keys[w.receiver] and b.blocked = user_keys[w.sender] offset 0) as blocked) then
        return;
    end if;
    -- "offset 0" has the planner look each one up.
    if exists (
        select 1 from unnest(senders, client_refs) as w (sender, client_ref), lateral (
            select 1 from messages m
            where m.sender = user_keys[w.sender] and m.client_ref = w.client_ref offset 0) as taken) then
        return;
    end if;

    select array_agg(known.id), array_agg(known.last_activity), array_agg(known.last_sender),
            array_agg(known.is_noted), bool_or(known.is_one_sided)
        into thread_ids, activities, last_senders, noted, is_one_sided
        from (select t.id, t.last_activity, t.last_message = 0 as is_one_sided,
                case when t.last_message_at = t.last_activity
                        and (greatest(t.low_swallowed, t.high_swallowed) > t.last_message) is not true then
                    case t.last_message when t.low_sent then t.low_key when t.high_sent then t.high_key end
                end as last_sender,
                t.id is null or coalesce(
                    t.last_message_at = t.last_activity and t.last_message in (t.low_sent, t.high_sent), false) as is_noted
            from unnest(thread_one, thread_two) with ordinality as w (one, two, place)
            left join threads t on t.low_key = least(user_keys[w.one], user_keys[w.two])
                and t.high_key = greatest(user_keys[w.one], user_keys[w.two])
            order by w.place) as known;
    if is_one_sided then
        thread_ids := null;
        return;
    end if;
    if array_position(activities, null) is not null then
        -- A core that limits how many conversations a user begins decides about those itself.
        if current_setting('netrox_chat.decides_new_threads', true) = 'on' then
            thread_ids := null;
            return;
        end if;
        thread_ids := array(
            select coalesce(w.id, nextval('thread_ids'))
            from unnest(thread_ids) with ordinality as w (id, place) order by w.place);
        insert into threads (id, low_key, high_key, user_one, created, last_activity, last_message, last_message_at,
                low_sent, low_shown, high_sent, high_shown)
            select thread_ids[w.place], least(user_keys[w.one], user_keys[w.two]),
                greatest(user_keys[w.one], user_keys[w.two]), user_keys[w.one], now, now, 0, now,
                0, 0, 0, 0
            from unnest(thread_one, thread_two) with ordinality as w (one, two, place)
            where activities[w.place] is null;
    end if;
    if messages = 1 then
        message_ids := array[nextval('message_ids')];
    else
        message_ids := array(select nextval('message_ids') from generate_series(1, messages));
    end if;
    if max_id < any (message_ids) or max_id < any (thread_ids) then
        raise exception 'identifiers are used up' using errcode = 'program_limit_exceeded';
    end if;

    if current_start > any (starts) then
        insert into feed_starts (user_key, start, last_seq)
            select w.user_key, current_start, w.last_seq
            from unnest(user_keys, starts, last_seqs) as w (user_key, start, last_seq) where w.start < current_start;
    end if;
    -- A thread's time is later than that of its last message, also when the clock steps back.
    with moved as (
        update feeds f set last_seq = f.last_seq + w.steps, start = current_start
            from unnest(user_keys, steps) as w (user_key, steps) where f.user_key = w.user_key
    ), written as (
        -- What an older core has written since, it has not noted here.
        update threads t set last_activity = w.at, last_message = w.message, last_message_at = w.at,
                low_sent = coalesce(w.low_last, case when w.was_noted then t.low_sent end),
                low_shown = coalesce(w.low_last, case when w.was_noted then t.low_shown end),
                high_sent = coalesce(w.high_last, case when w.was_noted then t.high_sent end),
                high_shown = coalesce(w.high_last, case when w.was_noted then t.high_shown end)
            from (select v.id, v.message, v.at, v.was_noted,
                    case when v.one < v.two then v.one_last else v.two_last end as low_last,
                    case when v.one < v.two then v.two_last else v.one_last end as high_last
                from (select thread_ids[n.place] as id, message_ids[n.last] as message,
                        greatest(now, activities[n.place] + 1) + n.steps - 1 as at,
                        user_keys[n.one] as one, user_keys[n.two] as two,
                        message_ids[nullif(n.one_last, 0)] as one_last, message_ids[nullif(n.two_last, 0)] as two_last,
                        noted[n.place] as was_noted
                    from unnest(thread_steps, thread_last, thread_one, thread_two, last_of_one, last_of_two)
                        with ordinality as n (steps, last, one, two, one_last, two_last, place)) as v) as w
            where t.id = w.id
    )
    insert into messages (thread_id, id, sender, receiver, body, created, updated, sender_seq, receiver_seq, client_ref,
            meta, ref_from_client, continues)
        select w.thread_id, w.id, w.sender, w.receiver, w.body, w.created, w.created, w.sender_seq, w.receiver_seq,
            w.client_ref, w.meta, nullif(w.from_client, false), nullif(w.continues, false)
        from (
            select thread_ids[v.thread] as thread_id, message_ids[v.place] as id,
                user_keys[v.sender] as sender, user_keys[v.receiver] as receiver, v.body,
                greatest(now, activities[v.thread] + 1) + v.thread_step - 1 as created,
                last_seqs[v.sender] + v.sender_step as sender_seq,
                last_seqs[v.receiver] + v.receiver_step as receiver_seq, v.client_ref, v.meta, v.from_client,
                coalesce(v.follows, last_senders[v.thread] = user_keys[v.sender]) as continues
            from unnest(threads_of, senders, receivers, thread_step, sender_step, receiver_step, follows, bodies, metas,
                    client_refs, from_client) with ordinality
                as v (thread, sender, receiver, thread_step, sender_step, receiver_step, follows, body, meta,
                    client_ref, from_client, place)
        ) as w;
end
$$;
