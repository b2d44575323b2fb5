-- The different kinds of usage of the month: a meter with the dimensions that prices name. Prices of a meter may name
-- different dimensions; each such shape has a row of its own, with the dimensions to look up.
create temp table usage_kinds on commit drop as
with kinds as (
    select distinct o.price_book as book, r.meter, r.region, r.preset, r.memory, r.segment_start
    from sql_month.usage_rollups as r
    join organizations as o on o.id = r.organization_id
    where r.month = :month
),

shapes as (select distinct book, meter, by_region, by_preset, by_memory from price_list)

select
    kinds.*, shapes.by_region, shapes.by_preset, shapes.by_memory,
    case when shapes.by_region then kinds.region else '' end as named_region,
    case when shapes.by_preset then kinds.preset else '' end as named_preset,
    case when shapes.by_memory then kinds.memory else '' end as named_memory
from kinds
join shapes on shapes.book = kinds.book and shapes.meter = kinds.meter
