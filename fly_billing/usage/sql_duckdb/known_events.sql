-- `known`: one row per candidate's key that another landing day, left as it is, has accepted already, with that event's
-- place and time. `usage_table` has the landing days that the index of keys names (`hit_prefixes`: the first 48 bits of hashes).
-- The data of an event is read only where a property of it counts: it is the widest column.
create or replace temp table known as
with sought as (
    select distinct source, id
    from candidates
    where greatest(hash(source, id) >> 16, 1) in (select prefix from hit_prefixes)
),

found as (
    select
        e.source, e.id,
        concat_ws('|', e.meter, e.organization_id, epoch_us(e.time), e.quantity, e.dimensions) as content,
        struct_pack(landing_day := e.landing_day, path := e.path, line := e.line, happened := e.time) as event,
        e.landing_day, e.path, e.line, meters.property
    from usage_table as e
    semi join sought on sought.source = e.source and sought.id = e.id
    left join meters on meters.key = e.meter
    where not e.is_duplicate and e.landing_day not in (select landing_day from replaced)
),

told as (
    select source, id, content, event from found where property is null
    union all
    select
        found.source, found.id,
        concat_ws('|', found.content, json_extract_string(usage_table.data, '$."' || found.property || '"')),
        found.event
    from found
    join usage_table using (landing_day, path, line)
    where found.property is not null
)

-- Of keys that were accepted twice before keys were unique over all history, the first counts.
select source, id, arg_min(content, event) as content, min(event) as event from told group by source, id
