-- In a migration of its own: whoever reads threads and their users would wait for this one, and it for them.
-- The newest message, by which threads are ordered: ids grow in the order of commits, whatever the clock does. It counts
-- where last_message_at is last_activity; elsewhere it was not noted, as by an older core, and is looked up.
alter table threads add column last_message bigint, add column last_message_at bigint;
