-- no-transaction
-- The conversations that a user has begun of late.
create index concurrently if not exists threads_begun on threads (user_one, created);
