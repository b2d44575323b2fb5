-- DuckDB. One row per invoice and set of dimensions with events that are in no item, or in more than one; and per rollup
-- that an item prices and that does not have just the events it was added up from.
-- `covered`: the organizations that each invoice bills. `billed`: their rollups, with the item that prices each.
with priced as (
    select
        covered.invoice_id, events.organization_id, events.meter, events.dimensions, events.source, events.id,
        count(billed.item_id) as items
    from events
    join covered on covered.organization_id = events.organization_id
    left join billed
        on billed.invoice_id = covered.invoice_id and billed.organization_id = events.organization_id
        and billed.meter = events.meter and billed.dimensions = events.dimensions
        and events.time >= billed.segment_start and events.time < billed.segment_end
    where not events.is_duplicate
    group by all
),

found as (
    select billed.invoice_id, billed.organization_id, billed.meter, billed.dimensions, billed.rollup_id, billed.events,
        count(events.id) as found
    from billed
    left join events
        on not events.is_duplicate and billed.organization_id = events.organization_id and billed.meter = events.meter
        and billed.dimensions = events.dimensions
        and events.time >= billed.segment_start and events.time < billed.segment_end
    where billed.item_id is not null
    group by all
)

select invoice_id, organization_id, meter, dimensions, count(*) as events, 'in ' || items || ' items' as problem
from priced
where items <> 1
group by all
union all
select invoice_id, organization_id, meter, dimensions, events, 'billed, of which ' || found || ' are in the usage table'
from found
where found <> events
order by all
