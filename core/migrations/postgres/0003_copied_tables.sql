-- What was copied, to tell later whether the source has changed since.
create table copied_tables (
    name text primary key,
    -- SHA-256 of all rows, in hexadecimal digits.
    hash text not null
);
