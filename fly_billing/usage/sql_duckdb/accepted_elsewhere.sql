-- `accepted_elsewhere`: one row per candidate's key that a landing day outside of this landing has accepted, with that
-- event's place and time. `usage_table` has the landing days that the key index found, and `hit_prefixes` the first 48
-- bits of the hashes. Reads the widest column, `data`, only for meters that use a property of it.
create or replace temp table accepted_elsewhere as
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

keyed as (
    select source, id, content, event from found where property is null
    union all
    select
        found.source, found.id,
        concat_ws('|', found.content, json_extract_string(e.data, '$."' || found.property || '"')), found.event
    from found
    join usage_table as e using (landing_day, path, line)
    where found.property is not null
)

-- Early landings could accept a key twice. The first of these events counts.
select source, id, arg_min(content, event) as content, min(event) as event from keyed group by source, id
