-- Copies lacked the feeds of users to whom nothing had happened yet. One that was cut off copies them again.
delete from feeds where exists (select 1 from copy where not finished);
insert into feeds (user_key, last_seq)
select key, 0 from users
where not exists (select 1 from copy where not finished)
on conflict (user_key) do nothing;
