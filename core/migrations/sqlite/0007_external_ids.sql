-- What issuers of access tokens call users, where that is no UUID. Gone with the user's email when the user is deleted.
create table external_ids (
    user_key integer primary key references users (key),
    -- Empty where none is configured.
    issuer   text    not null,
    subject  text    not null,
    unique (issuer, subject)
) strict;
