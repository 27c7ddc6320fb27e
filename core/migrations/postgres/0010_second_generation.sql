-- What a message may carry besides its text: the message that it answers, and a JSON object of the client's. Whether a participant
-- has deleted it for themselves. Whether the sender's own client chose client_ref. Whether the message before it in its thread is of
-- the same sender: null where it is not, or where that was not noted, as by an older core.
alter table messages
    add column reply_to bigint,
    add column meta text,
    add column hidden_for_sender boolean,
    add column hidden_for_receiver boolean,
    add column ref_from_client boolean,
    add column continues boolean;
