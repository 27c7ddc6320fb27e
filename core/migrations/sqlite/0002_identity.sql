-- One row: the identity of this database, by which a database that it is copied to knows it again.
create table identity (
    id blob primary key check (length(id) = 16)
) strict, without rowid;

insert into identity (id) values (randomblob(16));

-- As in a database that cores share, which tell by it what was cut off.
alter table uploads add column begun integer not null default 0;
