-- DuckDB. One row per candidate's key that another landing day, left as it is, has accepted already. The data of an event is
-- read only where a property of it counts: it is the widest column.
create or replace temp table known as
with found as (
    select
        lake.source, lake.id,
        concat_ws('|', lake.meter, lake.organization_id, epoch_us(lake.time), lake.quantity, lake.dimensions) as content,
        lake.landing_day, lake.path, lake.line, meters.property
    from lake
    semi join candidates on candidates.source = lake.source and candidates.id = lake.id
    left join meters on meters.key = lake.meter
    where not lake.is_duplicate and lake.landing_day not in (select landing_day from replaced)
)

select source, id, content from found where property is null
union all
select
    found.source, found.id,
    concat_ws('|', found.content, json_extract_string(lake.data, '$."' || found.property || '"'))
from found
join lake using (landing_day, path, line)
where found.property is not null
