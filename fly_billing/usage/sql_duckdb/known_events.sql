-- `known`: one row per candidate's key that another landing day, left as it is, has accepted already, with that event's
-- place and time. `lake` has the landing days that the index of keys names (`hit_prefixes`: the first 48 bits of hashes).
-- The data of an event is read only where a property of it counts: it is the widest column.
create or replace temp table known as
with sought as (
    select distinct source, id
    from candidates
    where greatest(hash(source, id) >> 16, 1) in (select prefix from hit_prefixes)
),

found as (
    select
        lake.source, lake.id,
        concat_ws('|', lake.meter, lake.organization_id, epoch_us(lake.time), lake.quantity,
            lake.dimensions) as content,
        struct_pack(
            landing_day := lake.landing_day, path := lake.path, line := lake.line, happened := lake.time
        ) as event,
        lake.landing_day, lake.path, lake.line, meters.property
    from lake
    semi join sought on sought.source = lake.source and sought.id = lake.id
    left join meters on meters.key = lake.meter
    where not lake.is_duplicate and lake.landing_day not in (select landing_day from replaced)
),

told as (
    select source, id, content, event from found where property is null
    union all
    select
        found.source, found.id,
        concat_ws('|', found.content, json_extract_string(lake.data, '$."' || found.property || '"')), found.event
    from found
    join lake using (landing_day, path, line)
    where found.property is not null
)

-- Of keys that were accepted twice before keys were unique over all history, the first counts.
select source, id, arg_min(content, event) as content, min(event) as event from told group by source, id
