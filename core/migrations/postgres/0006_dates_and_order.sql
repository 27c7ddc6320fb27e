-- When what is known of the user was last said: by a token (its iat), and by a service. Seconds since the epoch; null where
-- that has not happened, or was not dated.
alter table users add column claims_issued bigint, add column upserted bigint;

-- The newest message, by which threads are ordered: ids grow in the order of commits, whatever the clock does. It counts
-- where last_message_at is last_activity; elsewhere it was not noted, as by an older core, and is looked up.
alter table threads add column last_message bigint, add column last_message_at bigint;
