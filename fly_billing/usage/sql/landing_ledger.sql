-- name: acknowledge_version
-- No rows. Records the last version of the usage table in use that a landing wrote and committed.
update usage_tables set acknowledged = :version
where generation = (select max(generation) from usage_tables);

-- name: record_landed_month
-- No rows. Records a landing day's usage of a month: accepted events, rows of the usage table (with duplicates), and
-- the MD5 of its files.
insert into landed_months (landing_day, month, accepted, rows, files) values (:day, :month, :accepted, :rows, :files)
on conflict (landing_day, month) do update set accepted = excluded.accepted, rows = excluded.rows,
    files = excluded.files;

-- name: record_empty_partitions
-- No rows. Records that the usage table has no rows for these partitions: their days landed again without them.
update landed_months set rows = 0, files = '' where rows is null;

-- name: record_partition
-- No rows. Records the content of a partition that landed before partitions were recorded.
insert into landed_months (landing_day, month, accepted, rows, files) values (:day, :month, 0, :rows, :files)
on conflict (landing_day, month) do update set rows = excluded.rows, files = excluded.files;

-- name: landed_rows
-- One row per landing day: the rows of its files in the usage table, with duplicates, according to `usage_files`.
select f.landing_day, sum(f.accepted + f.duplicate)::bigint as rows
from usage_files as f
group by f.landing_day
having sum(f.accepted + f.duplicate) > 0;

-- name: usage_ledger
-- One row, so that everything is from one moment: the recorded usage tables (the one in use last), the last version
-- that a landing wrote (null if none did), and the expected content by landing day and usage month. `rows` and `files`
-- of a partition are null if it landed before they were recorded.
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
