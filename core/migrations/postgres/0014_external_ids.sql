-- What issuers of access tokens call users, where that is no UUID. Gone with the user's email when the user is deleted.
create table external_ids (
    user_key bigint primary key references users (key),
    -- Empty where none is configured.
    issuer   text   not null check (octet_length(issuer) <= 1024),
    subject  text   not null check (octet_length(subject) between 1 and 255),
    unique (issuer, subject)
);
