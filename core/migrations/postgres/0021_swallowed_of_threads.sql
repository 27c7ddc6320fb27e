-- In a migration of its own, as 0020. Of each participant the newest message that was swallowed; null where none was. last_message,
-- low_sent and high_sent leave these out. When the thread began for the one who is not user_one, and who wrote first then: set where
-- all that user_one had sent before was swallowed.
alter table threads
    add column low_swallowed bigint,
    add column high_swallowed bigint,
    add column late_created bigint,
    add column late_one bigint;
