-- Users who were asked to be online to nobody, and whether they still are.
create table hidden_users (
    user_key integer primary key,
    hidden   integer not null
) strict;

-- The minute since the epoch in which a user was last seen, of those who have left since.
create table last_seen (
    user_key integer primary key,
    minute   integer not null
) strict;
