-- The usage table is compared with these records before anything is read from it.

create table usage_tables (
    generation integer primary key check (generation > 0),
    table_id text not null check (table_id <> ''),
    shift bigint not null check (shift >= 0),
    first_version bigint not null unique,
    acknowledged bigint not null check (acknowledged >= first_version),
    lost_after bigint check (lost_after <= acknowledged)
);
comment on table usage_tables is
    'the Delta table of usage events, and those it took the place of; the greatest generation is the one in use';
comment on column usage_tables.table_id is 'the id in the Delta table''s metadata: another table has another one';
comment on column usage_tables.shift is
    'lake_version = version in the Delta log + shift: so versions never go back, not even with a new table';
comment on column usage_tables.acknowledged is
    'the last lake_version that a landing committed: later commits in the Delta log do not count';
comment on column usage_tables.lost_after is 'a repair found the later versions of this generation gone';

alter table landed_months
    add column rows bigint check (rows >= accepted),
    add column files text;
comment on column landed_months.rows is
    'rows of the usage table, duplicates included; null: landed before this was kept';
comment on column landed_months.files is
    'MD5 of the names and sizes of the data files with these rows; null: landed before this was kept';
