-- DuckDB. What `snapshot_usage.sql` fills; and `rollups`: one row per rollup, with the snapshot it belongs to.
create or replace temp table snapshots (id uuid, organization_id varchar, fingerprint varchar, events bigint);

create or replace temp view rollups as
select
    md5(concat_ws('|', snapshots.id, meter, dimensions, epoch_us(segment_start)))::uuid as id,
    snapshots.id as snapshot_id,
    quantities.* exclude (organization_id)
from quantities
join snapshots on snapshots.organization_id = quantities.organization_id
