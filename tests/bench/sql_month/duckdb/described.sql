-- The dimensions in each different `data`: a resource mostly repeats its data, so JSON is parsed once per resource.
create table if not exists described (
    type varchar, data varchar, meter varchar, app varchar, region varchar, preset varchar, memory varchar
);

insert into described
with said as (
    select distinct type, data from staged
    except
    select type, data from described
),

parsed as (
    select
        type, data,
        json_extract_string(
            case when json_valid(data) then data end, ['$.app', '$.region', '$.preset', '$.memory']
        ) as found
    from said
)

select
    type, data, meters.key as meter,
    if(contains(meters.dimensions, 'app'), found[1], '') as app,
    if(contains(meters.dimensions, 'region'), found[2], '') as region,
    if(contains(meters.dimensions, 'preset'), found[3], '') as preset,
    if(contains(meters.dimensions, 'memory'), found[4], '') as memory
from parsed
left join meters on meters.key = parsed.type
