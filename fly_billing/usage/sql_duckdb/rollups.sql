-- name: create_snapshots
-- Creates the table that `snapshot_usage` fills, and the view `rollups`: one row per rollup, with its snapshot.
-- `id_of` makes an id of a text: its hash, which begins with the digits of the month (`monthly_ids`). A month that was
-- begun before ids had these digits has none here, and keeps its older ids.
create or replace temp macro id_of(name) as (
    case
        when getvariable('first_digits') = '' then md5(name)
        else concat(
            getvariable('first_digits'), substr(md5(name), 5, 8), '8', substr(md5(name), 14, 3), '8',
            substr(md5(name), 18)
        )
    end
)::uuid;

create or replace temp table snapshots (id uuid, organization_id varchar, fingerprint varchar, events bigint);

create or replace temp view rollups as
select
    id_of(concat_ws('|', snapshots.id, meter, dimensions, epoch_us(segment_start))) as id,
    snapshots.id as snapshot_id,
    quantities.* exclude (organization_id)
from quantities
join snapshots on snapshots.organization_id = quantities.organization_id;

-- name: snapshot_usage
-- Adds one row to `snapshots` per billed organization from $first to $last, inclusive, also without usage. The
-- fingerprint covers the whole content of its rollups. The caller passes blocks, because DuckDB concatenates this
-- content in memory beyond its limit.
insert into snapshots
with described as (
    select
        organization_id,
        md5(string_agg(
            concat_ws(
                '|', meter, dimensions, epoch_us(segment_start), epoch_us(segment_end), quantity, events, daily
            ), chr(10)
            order by meter, dimensions, segment_start
        )) as fingerprint,
        sum(events)::bigint as events
    from quantities
    where organization_id >= $first and organization_id <= $last
    group by organization_id
)

select
    id_of('snapshot|' || id || '|' || getvariable('month') || '|' || coalesce(fingerprint, 'empty')) as id,
    id as organization_id,
    coalesce(fingerprint, 'empty') as fingerprint,
    coalesce(events, 0) as events
from billed_organizations
left join described on described.organization_id = billed_organizations.id
where id >= $first and id <= $last;
