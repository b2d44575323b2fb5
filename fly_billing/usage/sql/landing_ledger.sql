-- name: acknowledge_version
-- No rows. A landing has written this version of the usage table in use, and commits what it brought.
update usage_tables set acknowledged = :version
where generation = (select max(generation) from usage_tables);

-- name: add_landed_month
-- No rows. The day brought usage of the month: accepted events, rows of the usage table (with duplicates), and its files.
insert into landed_months (landing_day, month, accepted, rows, files) values (:day, :month, :accepted, :rows, :files)
on conflict (landing_day, month) do update set accepted = excluded.accepted, rows = excluded.rows,
    files = excluded.files;

-- name: record_empty_partitions
-- No rows. The usage table has no rows of these partitions: what they once brought was landed again without it.
update landed_months set rows = 0, files = '' where rows is null;

-- name: record_partition
-- No rows. Keeps what the usage table has of a landing day and usage month that was landed before this was kept.
insert into landed_months (landing_day, month, accepted, rows, files) values (:day, :month, 0, :rows, :files)
on conflict (landing_day, month) do update set rows = excluded.rows, files = excluded.files;

-- name: landed_rows
-- One row per landing day: rows of its files that are in the usage table, duplicates included, by the ledger of files.
select f.landing_day, sum(f.accepted + f.duplicate)::bigint as rows
from usage_files as f
group by f.landing_day
having sum(f.accepted + f.duplicate) > 0;

-- name: usage_ledger
-- One row, so that all of it is from one moment: the usage tables on record (the one in use last), the last version into which
-- a day was landed (null: none ever was), and what the table must hold per landing day and usage month. `rows` and `files`
-- of a partition are null where it was landed before they were kept.
select
    (select max(lake_version) from landing_days) as last_landed,
    (
        select coalesce(json_agg(t order by t.generation), '[]')
        from usage_tables as t
    ) as tables,
    (
        select coalesce(json_agg(json_build_array(m.landing_day, m.month, m.accepted, m.rows, m.files)), '[]')
        from landed_months as m
    ) as partitions;
