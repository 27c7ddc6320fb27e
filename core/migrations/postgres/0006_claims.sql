-- When what is known of the user was last said: by a token (its iat), and by a service. Seconds since the epoch; null where
-- that has not happened, or was not dated.
alter table users add column claims_issued bigint, add column upserted bigint;
