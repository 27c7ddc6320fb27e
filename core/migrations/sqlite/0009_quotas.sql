-- What the files take that a user has sent and that were not deleted for everyone. A row is made when it is first asked for; from
-- then on the trigger keeps it, in the transaction that stores or deletes a file.
create table user_storage (
    user_key integer primary key,
    bytes    integer not null
) strict;

-- What a user has sent of files, and the conversations that they have begun of late.
create index messages_files on messages (sender, id, attachment_size)
    where attachment_path is not null and deleted = 0;
create index threads_begun on threads (user_one, created);

-- A message is inserted before it is given its file.
create trigger messages_stored_file
    after update of attachment_path, attachment_size, deleted on messages
    when old.attachment_path is not new.attachment_path
        or old.attachment_size is not new.attachment_size
        or (new.attachment_path is not null and old.deleted <> new.deleted)
begin
    update user_storage set bytes = bytes
            + case when new.attachment_path is null or new.deleted then 0 else coalesce(new.attachment_size, 0) end
            - case when old.attachment_path is null or old.deleted then 0 else coalesce(old.attachment_size, 0) end
        where user_key = new.sender;
end;
